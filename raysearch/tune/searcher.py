"""The study's proposer under the name that Ray Tune calls a Searcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search.searcher import Searcher


class StudySearcher(Searcher):
    """Passes the next trial to Tune; ignores results: records go to the proposer, not to Tune.

    Where all that is left waits for running trials it returns nothing: Tune then calls again with
    each event, or ten times a second. Tune pickles its searcher into snapshots that are never read:
    it gets an empty shell.
    """

    def __init__(
        self, draw: Callable[[str], dict[str, Any] | None], waits: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._draw = draw
        self._waits = waits

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None for the moment, or FINISHED."""
        drawn = self._draw(trial_id)
        if drawn is None and not self._waits():
            return Searcher.FINISHED
        return drawn

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the record has come through the callback."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing: a study is resumed from its records."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> StudySearcher:
        return self
