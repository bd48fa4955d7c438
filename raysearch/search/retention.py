"""Whose weights somebody learns from, or will: these are kept beside those of the leaders."""

from __future__ import annotations

from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.search.suggestion import lineage


class Weights:
    """The teachers of everyone who was suggested or recorded, and the draws of such teachers.

    A draw of a teacher is kept in every phase: the same draw of its student may run much later.
    """

    def __init__(self) -> None:
        self._taught: set[str] = set()
        self._draws: dict[str, str] = {}
        """Recipes of the confirming draws, by id."""

    def used_by(self, student: TrialConfig) -> None:
        """Note a trial that will run: it learns from all its teachers."""
        self._taught |= {teacher.id for teacher in lineage(student)}

    def learn(self, record: TrialRecord) -> None:
        """Note a record: its teachers have students, and it may be a teacher's draw."""
        self.used_by(record.config)
        if record.phase != "search":
            self._draws[record.id] = record.config.recipe

    @property
    def used(self) -> set[str]:
        """Ids of the trials whose weights stay."""
        drawn = {id_ for id_, recipe in self._draws.items() if recipe in self._taught}
        return self._taught | drawn
