"""The first page of a service: every study, its state, and its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysearch.panels.template import render
from raysearch.service.replies import StudyReply

AT_WORK = ("starting", "running", "stopping")


@dataclass(frozen=True, slots=True)
class Row:
    """A study of the list."""

    study: StudyReply
    linked: bool
    """Whether there is a page of it."""
    summary: Mapping[str, Any] | None = None
    """Summary of its records (of `run_queries`); None where they have not been read yet."""

    @property
    def id(self) -> str:
        """Return the study's id."""
        return self.study.id

    @property
    def state(self) -> str:
        """Return the study's state."""
        return self.study.state

    @property
    def link(self) -> str:
        """Return the address of its page; empty where there is none."""
        return self.study.dashboard if self.linked else ""

    @property
    def badge(self) -> str:
        """Return the state with the verb at work, unless it is the search."""
        doing = self.study.verb != "frontier" and self.study.state in AT_WORK
        return f"{self.study.state}: {self.study.verb}" if doing else self.study.state

    @property
    def lines(self) -> list[str]:
        """Return the first sentence of its page, and the reason for its state."""
        sentence = (self.summary or {}).get("says")
        return [str(text) for text in (sentence, self.study.why) if text]

    @property
    def about(self) -> str:
        """Return owner, task, study, trials and since when it has this state."""
        study = self.study
        since = study.since[:16].replace("T", " ")
        parts = [study.owner, f"task {study.task}", f"study {study.study}", self._trials()]
        parts.append(f"{study.state} since {since} UTC")
        return " · ".join(filter(None, parts))

    def _trials(self) -> str:
        if self.summary is None:
            return "records are being read" if self.linked else ""
        if "trials" not in self.summary:
            return ""
        text = f"{self.summary['trials']:,} of {self.summary['wanted']:,} trials"
        draws = int(self.summary.get("draws") or 0)
        return f"{text}, {draws:,} draws" if draws else text


def page(rows: Sequence[Row], refresh: int) -> str:
    """Return the list of studies as HTML, the newest first.

    Args:
        rows: the studies, the oldest first.
        refresh: the page loads itself anew after so long [s].
    """
    return render(
        __package__,
        "studies.html",
        refresh=refresh,
        counts=_counts(rows),
        studies=list(reversed(rows)),
    )


def _counts(rows: Sequence[Row]) -> str:
    """Return how many studies there are, by state.

    >>> _counts([])
    '0 studies'
    """
    by_state = Counter("at work" if r.state in AT_WORK else r.state for r in rows)
    parts = [f"{len(rows)} {'study' if len(rows) == 1 else 'studies'}"]
    return ", ".join(parts + [f"{n} {state}" for state, n in by_state.items()])
