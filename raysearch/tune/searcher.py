"""The study's proposer under the name that Ray Tune calls a Searcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search.searcher import Searcher


class StudySearcher(Searcher):
    """Hands Tune the next trial; learns nothing here: records teach the proposer, not Tune.

    Where all that is left waits for trials at work it hands out nothing: Tune then asks again with
    each event, or ten times a second.

    Tune wants to pickle its searcher into snapshots that nobody reads: it gets an empty shell.
    """

    def __init__(
        self, draw: Callable[[str], dict[str, Any] | None], waits: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._draw = draw
        self._waits = waits

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration for Tune, None for the moment, or FINISHED."""
        drawn = self._draw(trial_id)
        if drawn is None and not self._waits():
            return Searcher.FINISHED
        return drawn

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
