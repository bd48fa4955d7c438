"""The study's proposer under the name that Ray Tune calls a Searcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search.searcher import Searcher


class StudySearcher(Searcher):
    """Hands Tune the next trial; learns nothing here: records teach the proposer, not Tune.

    Tune wants to pickle its searcher into snapshots that nobody reads: it gets an empty shell.
    """

    def __init__(self, draw: Callable[[str], dict[str, Any] | None]) -> None:
        super().__init__()
        self._draw = draw

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration for Tune, or FINISHED."""
        drawn = self._draw(trial_id)
        return Searcher.FINISHED if drawn is None else drawn

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the record has come through the callback."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: a study is resumed from its records."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> StudySearcher:
        return self
