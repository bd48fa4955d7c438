"""The Python face: a run's records in a notebook. Loads neither torch nor Ray.

    run = raysearch.open_run("runs/sst2-quick")
    run.recommend(labels=800, max_ms=5)

docs/python.md has examples that are executed.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from raysearch.analysis import Run, RunReader
from raysearch.analysis import frontier as find_frontier
from raysearch.recommend import request

if TYPE_CHECKING:
    from raysearch.panels.style import Figure

COLUMNS = ("point_id", "procedure", "model", "labels", "score_validation", "score_test")
"""Of the table, what a frontier shows beside its cost."""


def open_run(path: Path | str, *, shared_by: int | None = None) -> OpenRun:
    """Open a run's folder; its data and its models are not needed.

    Args:
        path: the folder that `raysearch frontier` has written.
        shared_by: how many students share a teacher's bill; None: what the study says.

    Raises:
        InputError: no such folder, or no records in it.
        RecordError: records that this version cannot read.
    """
    opened = OpenRun(RunReader(path, shared_by=shared_by))
    opened.table()
    return opened


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to train within some limits."""

    lines: tuple[str, ...]
    """What the first screen of the run's page says."""
    value: dict[str, Any]
    """The same as plain JSON: choice, runner_up, cheaper_tie, sentences, why."""

    @property
    def point_id(self) -> str | None:
        """Return the id of the chosen point; None where nothing fits."""
        choice = self.value["choice"]
        return None if choice is None else str(choice["point_id"])

    def __str__(self) -> str:
        """Return the lines."""
        return "\n".join(self.lines).strip()

    def __repr__(self) -> str:
        """Return the lines: what a person reads at a prompt."""
        return str(self)

    def _repr_html_(self) -> str:
        return _paragraphs(self.lines)


@dataclass(frozen=True, slots=True, repr=False)
class OpenRun:
    """A run's folder, read when something is needed of it, and again when its records change."""

    _reader: RunReader

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return self._reader.folder

    def read(self) -> Run:
        """Return records, study and table as the files are now."""
        return self._reader.read()

    def table(self) -> pd.DataFrame:
        """Return a copy of the table: one row a point, in natural units, NaN where not measured."""
        return self.read().table.copy()

    def frontier(self, cost: str = "infer_flops", *, labels: int | None = None) -> pd.DataFrame:
        """Return the points that no other beats on validation score and one cost, cheapest first.

        Points of the search: chosen on validation, with the score on test beside it.

        Args:
            cost: an objective of which less is better, as train_flops_full, bytes, latency_ms.
            labels: only trials with this label budget; None: all.

        Raises:
            InputError: there is no such objective.
        """
        members = find_frontier(self.read().table, ("score", cost), labels=labels)
        shown = [*COLUMNS, *([] if cost in COLUMNS else [cost])]
        return members.members[shown].reset_index(drop=True)

    def recommend(
        self,
        *,
        labels: float | None = None,
        max_ms: float | None = None,
        max_bytes: float | None = None,
        max_train_flops: float | None = None,
        min_score: float | None = None,
        volume: float | None = None,
        cost: str = "",
        methods: Sequence[str] | None = None,
        teacher: str = "full",
    ) -> Recommendation:
        """Say what to train within limits, what else ties, and why not the others.

        Args:
            labels: labels at hand, for training and validation.
            max_ms: at most so many milliseconds a text.
            max_bytes: at most so large when stored.
            max_train_flops: at most so much training compute.
            min_score: at least this score on validation.
            volume: texts a month, for the dollars to own.
            cost: cost that breaks ties; empty: the run's default.
            methods: only these.
            teacher: who pays a teacher: full, shared or free.

        Raises:
            InputError: a limit that is out of range, or a name that does not exist.
        """
        limits = {
            "labels": labels,
            "max_ms": max_ms,
            "max_bytes": max_bytes,
            "max_train_flops": max_train_flops,
            "min_score": min_score,
            "volume": volume,
        }
        given = {key: None if value is None else repr(value) for key, value in limits.items()}
        names = None if methods is None else ",".join(methods)
        chosen = {"cost": cost, "methods": names, "teacher": teacher}
        points, answered = request.recommend(self.read(), {**given, **chosen})
        lines = tuple(request.to_text(points, answered))
        return Recommendation(lines, request.to_json(points, answered))

    def figure(self, cost: str = "infer_flops") -> Figure:
        """Return a plotly figure of score on test against a cost, confirmed points with intervals.

        Raises:
            InputError: there is no such objective.
        """
        from raysearch.panels.score_cost import draw, info

        return draw(info(self.read(), cost=cost))

    def __repr__(self) -> str:
        """Return the folder, and how much it holds."""
        run = self.read()
        return f"<run {str(self.folder)!r}: {len(run.records)} trials, {len(run.table)} points>"

    def _repr_html_(self) -> str:
        table = self.frontier().to_html(index=False, float_format=lambda v: f"{v:.4g}")
        return _paragraphs([repr(self), *self.recommend().lines[:1]]) + table


def _paragraphs(lines: Sequence[str]) -> str:
    """Return lines as HTML; a text of a user's is no markup."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
