"""Ray, and only Ray: the study runner, its searcher, its trainable and its callbacks.

Importing this package imports nothing; `raysearch.tune.runner` loads Ray, `raysearch.run.folder`
and `raysearch.cli.progress` do not.
"""

from __future__ import annotations

__all__: list[str] = []
