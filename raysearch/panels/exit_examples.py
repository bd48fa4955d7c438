"""Early exit: the rows that leave first and those that go all the way, by number or hash.

Who holds the data names them by hash, and by text where a reader asked for it: see `named`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.exit_trials import (
    ExitOutputsBySeed,
    ExitTrial,
    by_criterion,
    exit_outputs,
    exit_trial,
    never,
    title,
)
from raysearch.analysis.point_costs import flops_of
from raysearch.analysis.report_text import Namer, RowName
from raysearch.outputs.calibration import softmax
from raysearch.outputs.described import label_of
from raysearch.outputs.exit_rules import exit_index
from raysearch.panels import style
from raysearch.panels.exit_calibration import LACK
from raysearch.record import OperatingPoint

LINE = 25
"""Height of a row of the table."""
WRAP = 84
"""Letters of a text on one line."""
LONGEST = 400
"""Letters of a text that are shown."""
BY_NUMBER = "Rows are named by their number in the split."
BY_HASH = (
    "The hash is the first 16 digits of SHA-256 over the text, case folded and white space "
    "collapsed."
)


@dataclass(frozen=True, slots=True)
class Example:
    """A row."""

    kind: str
    """easiest or hardest."""
    row: int
    """Its number in the split, as the logits have it."""
    exit: float
    """Which it leaves at, from 1: the mean over draws."""
    layer: str
    """The same in words."""
    confidence: float
    """Where it leaves, calibrated: the mean over draws."""
    right: int
    """Draws that answer it right."""
    draws: int
    name: RowName | None = None
    """Hash, and text where texts are shown."""


@dataclass(frozen=True, slots=True)
class Info:
    """The easiest rows, then the hardest."""

    split: str
    rows: tuple[Example, ...]
    whose: str
    caption: str


def info(run: Run, *, point: str = "", most: int = 8) -> Info:
    """Read the rows of a point, or of the best trial's, off a run.

    Where the best never lets a text leave early, the point of its trial stands in that spends the
    nearest to half of the whole model's FLOPs.

    Raises:
        InputError: a point is named, and there is no such or its model has no exits.
    """
    trial = exit_trial(run, point)
    if trial is None:
        return Info("", (), "", "")
    shown = trial.best if point or not never(trial.best) else _half(trial)
    given = exit_outputs(run, trial, "test") or exit_outputs(run, trial, "validation")
    whose = f"{title(trial)}, {label_of(shown)}"
    if given is None:
        return Info("", (), whose, f"{whose}. {LACK}")
    rows = _examples(trial, shown, given, most)
    caption = (
        f"{whose}: on {given.words}. Easiest: leave first, the surest before the others; hardest: "
        f"leave last, the least sure before the others. {BY_NUMBER}"
    )
    return Info(given.split, rows, whose, caption)


def _half(trial: ExitTrial) -> OperatingPoint:
    tried = [p for p in by_criterion(trial, "confidence") if flops_of(p)]
    whole = max(map(flops_of, tried), default=0.0)
    return min(tried, key=lambda p: abs(flops_of(p) - whole / 2), default=trial.best)


def _examples(
    trial: ExitTrial, point: OperatingPoint, outputs: ExitOutputsBySeed, most: int
) -> tuple[Example, ...]:
    ids = np.concatenate([h.ids for h in outputs.draws])
    at, sure, right = [], [], []
    for h in outputs.draws:
        z = h.exits.calibrated
        left = exit_index(z, str(point.knobs["criterion"]), point.knobs["threshold"])
        exited = z[np.arange(len(z)), left]
        at.append(left + 1)
        sure.append(softmax(exited).max(axis=1))
        right.append(exited.argmax(axis=1) == h.labels)
    rows, place = np.unique(ids, return_inverse=True)
    count = np.bincount(place)
    mean_at = np.bincount(place, weights=np.concatenate(at)) / count
    mean_sure = np.bincount(place, weights=np.concatenate(sure)) / count
    hits = np.bincount(place, weights=np.concatenate(right))
    easy = np.lexsort([rows, -mean_sure, mean_at])
    most = min(most, len(rows) // 2)
    hard = np.lexsort([rows, mean_sure, -mean_at])[:most]

    def example(kind: str, i: int) -> Example:
        k = float(mean_at[i])
        whole = trial.names[round(k) - 1]
        layer = whole if k == round(k) else f"exit {k:.1f}"
        right, total = int(hits[i]), int(count[i])
        return Example(kind, int(rows[i]), k, layer, float(mean_sure[i]), right, total)

    return tuple(
        example(kind, int(i))
        for kind, of in (("easiest", easy[:most]), ("hardest", hard))
        for i in of
    )


def named(info: Info, names: Namer) -> Info:
    """Return the same with the rows' hashes and, where they are shown, texts."""
    known = names(info.split, [r.row for r in info.rows]) if info.rows else {}
    if not known:
        return info
    rows = tuple(replace(r, name=known.get(r.row)) for r in info.rows)
    return replace(info, rows=rows, caption=info.caption.replace(BY_NUMBER, BY_HASH))


def draw(info: Info) -> go.Figure:
    """Draw a table."""
    texts = [_text(r) for r in info.rows]
    shown = any(texts)
    lines = [max(1, t.count("<br>") + 1) for t in texts]
    out = style.figure(
        height=60 + LINE * (len(info.rows) + 1) + 18 * (sum(lines) - len(lines)),
        margin={"l": 0, "r": 0, "t": 8, "b": 8},
        width=1060 if shown else None,
        meta={"caption": info.caption},
    )
    if not info.rows:
        return out
    kinds = [r.kind for r in info.rows]
    first = [k if at == kinds.index(k) else "" for at, k in enumerate(kinds)]
    columns = {
        "": (first, 0.9),
        f"{info.split} row": ([str(r.row) for r in info.rows], 0.8),
        "hash": ([r.name.hash if r.name else "" for r in info.rows], 1.7),
        "leaves at": ([r.layer for r in info.rows], 0.9),
        "confidence": ([f"{r.confidence:.3f}" for r in info.rows], 1.1),
        "right": ([_right(r) for r in info.rows], 0.8),
        "text": (texts, 7.0),
    }
    columns = {name: of for name, of in columns.items() if any(of[0])}
    look = {"align": "left", "fill": {"color": "rgba(0,0,0,0)"}}
    look["line"] = {"color": "rgba(128,134,145,0.3)", "width": 1}
    out.add_table(
        columnwidth=[wide for _, wide in columns.values()],
        header={**look, "values": [f"<b>{style.inert(name)}</b>" for name in columns]},
        cells={**look, "values": [values for values, _ in columns.values()], "height": LINE},
    )
    return out


def _right(example: Example) -> str:
    if example.draws == 1:
        return "right" if example.right else "wrong"
    return f"{example.right} of {example.draws}"


def _text(example: Example) -> str:
    """Return the row's texts as they are, cut and in lines; empty where they are not shown."""
    if example.name is None or example.name.text is None:
        return ""
    parts = [p for p in (example.name.text, example.name.pair) if p is not None]
    lines: list[str] = []
    for part in parts:
        short = part if len(part) <= LONGEST else part[: LONGEST - 1] + "…"
        lines += textwrap.wrap(short, WRAP) or [""]
    return "<br>".join(style.inert(line) for line in lines)


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one line per row; no text."""
    return [
        {
            "kind": r.kind,
            "split": info.split,
            "row": r.row,
            "hash": None if r.name is None else r.name.hash,
            "exit": r.exit,
            "confidence": r.confidence,
            "right": r.right,
            "draws": r.draws,
        }
        for r in info.rows
    ]
