"""A report as sentences and as plain JSON; the terminal and the page share them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raysearch.analysis.calibrated import Spread
from raysearch.analysis.point_lookup import name_of
from raysearch.analysis.report import Report

NO_LABELS = "used no labels: nothing was chosen or drawn"


@dataclass(frozen=True, slots=True)
class RowName:
    """Name of a row: the hash of its text, and the text where texts are shown."""

    hash: str
    text: str | None = None
    pair: str | None = None


Namer = Callable[[str, Sequence[int]], Mapping[int, RowName]]
"""Names of a split's rows by row number, from who holds the data; none where they are gone."""


def title(report: Report) -> str:
    """Name the point: method, model, labels, and its own knobs."""
    return name_of(report.about.record, report.about.point)


def summary(report: Report) -> list[str]:
    """Return what the point scores and what the report rests on, a sentence or two a line."""
    count = len(report.about.draws)
    value = report.scores.get(report.score)
    name = report.score
    if report.estimate is not None:
        e = report.estimate
        first = (
            f"{name} {e.score:.3f} [{e.low:.3f}, {e.high:.3f}] on test ({report.rows:,} rows), "
            f"{count} fresh draws; 95 % interval over draws and rows."
        )
    elif report.about.confirmed:
        mean = "" if value is None else f" {value.mean:.3f}"
        draws = "1 fresh draw" if count == 1 else f"{count} fresh draws"
        first = f"{name}{mean} on test ({report.rows:,} rows), {draws}: too few for an interval."
    else:
        shown = ""
        if value is not None:
            shown = f" {value.mean:.3f}"
            if report.alone is not None:
                shown += f" [{report.alone[0]:.3f}, {report.alone[1]:.3f}]"
        what = "one draw: not confirmed" if report.about.record.labels_used else NO_LABELS
        ends = "; 95 % interval over the rows alone" if report.alone is not None else ""
        first = f"{name}{shown} on test ({report.rows:,} rows), {what}{ends}."
    lines = [first]
    if report.about.folds:
        lines.append(
            f"Cross-fitted in {report.about.folds} folds: every row is judged by models that never "
            "saw it; numbers are over all rows together, and ranges are those of the folds."
        )
    made = report.calibration
    if made is not None and made.fitted:
        lines.append(
            f"ECE {spread(made.ece_before)}, after temperature scaling {spread(made.ece_after)} "
            f"(T {spread(made.temperature, 2)}, fitted on the validation rows of the same draw)."
        )
    elif made is not None:
        lines.append(
            f"ECE {spread(made.ece_before)}; too few validation rows to fit a temperature."
        )
    facts = report.about.record.facts
    if "rows_shared" in facts:
        lines.append(
            f"Hashed vocabulary: of the {facts['rows_hit']:,} rows that its texts fall on, "
            f"{facts['rows_shared']:,} hold several n-grams."
        )
    return lines


def spread(value: Spread, digits: int = 3) -> str:
    """Return a mean with its range over draws; the mean alone where they agree.

    >>> spread(Spread(0.5, 0.4, 0.6)), spread(Spread(0.5, 0.5, 0.5), 2)
    ('0.500 (0.400 to 0.600)', '0.50')
    """
    if math.isnan(value.mean):
        return "-"
    if value.low == value.high:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def label_name(report: Report, value: float) -> str:
    """Return the name of a class id, or the number."""
    names = report.about.names
    return names[int(value)] if names else f"{value:.3g}"


def to_json(report: Report, rows: Mapping[int, RowName]) -> dict[str, Any]:
    """Return the report as plain JSON; a number without a meaning is None."""
    about = report.about
    e = report.estimate
    out: dict[str, Any] = {
        "point_id": about.point.point_id,
        "id": about.record.id,
        "task": about.record.config.task,
        "method": about.record.config.method,
        "model": about.record.config.rung,
        "labels": about.record.config.data.train,
        "hyper": dict(about.record.hyper),
        "point": dict(about.point.knobs),
        "score": report.score,
        "confirmed": about.confirmed,
        "draws": [d.draw for d in about.draws],
        "folds": about.folds,
        "test_rows": report.rows,
        "estimate": None if e is None else {"score": e.score, "low": e.low, "high": e.high},
        "scores": {k: asdict(v) for k, v in report.scores.items()},
        "classes": [asdict(c) for c in report.classes],
        "label_names": list(about.names),
        "confusion": report.confusion.tolist(),
        "calibration": None if report.calibration is None else asdict(report.calibration),
        "learning_curve": [asdict(p) for p in report.curve],
        "hardest": [_hard(report, h, rows.get(h.id)) for h in report.hard],
    }
    plain: dict[str, Any] = _known(out)
    return plain


def _hard(report: Report, hard: Any, name: RowName | None) -> dict[str, Any]:
    out = {
        "row": hard.id,
        "label": label_name(report, hard.label) if report.about.names else hard.label,
        "prediction": label_name(report, hard.prediction)
        if report.about.names
        else hard.prediction,
        "confidence" if report.about.names else "distance": hard.confidence,
        "wrong": hard.wrong,
        "draws": hard.draws,
    }
    if name is not None:
        out["hash"] = name.hash
        out |= {k: v for k in ("text", "pair") if (v := getattr(name, k)) is not None}
    return out


def _known(value: Any) -> Any:
    """Return the same value with NaN and infinities as None, at every depth."""
    if isinstance(value, Mapping):
        return {str(k): _known(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_known(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
