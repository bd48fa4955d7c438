"""Which trials are inputs of others, or will be: their weights are kept beside the leaders'."""

from __future__ import annotations

from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search.suggestion import upstream_trials


class CheckpointRetention:
    """The inputs of every trial that was suggested or recorded, and the replicates of such inputs.

    A replicate of an input is kept in every phase: that of the trial which takes it may run much
    later.
    """

    def __init__(self) -> None:
        self._inputs: set[str] = set()
        self._draws: dict[str, str] = {}
        """Recipes of the confirming draws, by id."""

    def used_by(self, config: TrialConfig) -> None:
        """Mark the inputs of a trial that will run as needed."""
        self._inputs |= {c.id for c in upstream_trials(config)}

    def learn(self, record: TrialRecord) -> None:
        """Mark a record's inputs as used, and the record if it replicates an input."""
        self.used_by(record.config)
        if record.phase != "search":
            self._draws[record.id] = record.config.seedless_id

    @property
    def used(self) -> set[str]:
        """Return the ids of the trials whose weights stay."""
        drawn = {id_ for id_, recipe in self._draws.items() if recipe in self._inputs}
        return self._inputs | drawn
