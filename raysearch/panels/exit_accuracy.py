"""Early exit: what each exit scores on its own, beside the model that ends where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.bootstrap import FEWEST, Judged, features, replicates
from raysearch.analysis.exit_trials import (
    ExitOutputsBySeed,
    ExitTrial,
    exit_outputs,
    exit_trial,
    first_layers,
    score_of,
    title,
)
from raysearch.panels import style
from raysearch.panels.captions import UNCOUNTED
from raysearch.panels.crossing import Cell, crossing, row
from raysearch.panels.exit_calibration import LACK
from raysearch.panels.panes import symbols


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit at which every text leaves."""

    name: str
    layers: int
    """Below it; where these are not known, which exit it is."""
    validation: float | None
    test: float | None
    """Means over draws, or, cross-fitted, over all rows."""
    ends: tuple[float, float] | None
    """The 95 % interval on test; None: not confirmed."""
    draws: int
    """Fresh ones, on test."""


@dataclass(frozen=True, slots=True)
class Info:
    """The exits of one trial, shallow to deep."""

    score: str
    procedures: tuple[str, ...]
    """Of the run, so that the marks are those of other pictures."""
    procedure: str
    axis: str
    exits: tuple[Exit, ...]
    tuned: tuple[tuple[int, Cell], ...]
    """The baseline's models of the first layers on as many labels, by layers."""
    caption: str
    baseline: str = ""
    """A procedure."""


def info(run: Run, *, point: str = "", baseline: str = "") -> Info:
    """Read the exits of a point's trial, or of the best, off a run.

    Args:
        run: as `raysearch.analysis.read_run` reads it.
        point: a point of the trial; empty: the best trial.
        baseline: procedure whose models of the first layers stand beside the exits; empty: none.

    Raises:
        InputError: a point is named, and there is no such or its model has no exits.
    """
    grid = crossing(run)
    trial = exit_trial(run, point)
    if trial is None:
        return Info(grid.score, grid.procedures, "", "", (), (), "")
    procedure, model, budget = trial.cell
    test, seen = (exit_outputs(run, trial, split) for split in ("test", "validation"))
    if test is None and seen is None:
        return Info(grid.score, grid.procedures, procedure, "", (), (), f"{title(trial)}. {LACK}")
    layers = trial.layers
    kin = first_layers(model) if layers else {}
    tuned = sorted(
        (
            (kin[c.model], c)
            for c in grid.cells
            if c.procedure == baseline and c.budget == budget and c.model in kin
        ),
        key=lambda of: of[0],
    )
    exits = _exits(trial, test, seen)
    parts = [f"{title(trial)}: each exit alone, "]
    parts.append(", ".join(f"on {h.words}" for h in (seen, test) if h is not None) + ".")
    if test is None:
        parts.append(" Not shown on test.")
    if baseline and not tuned:
        parts.append(f" {baseline}: no model of the first layers ran on as many labels.")
    name = "layers below the exit" if layers else "exit"
    caption = f"{''.join(parts)} {UNCOUNTED}"
    return Info(
        grid.score, grid.procedures, procedure, name, exits, tuple(tuned), caption, baseline
    )


def _exits(
    trial: ExitTrial, test: ExitOutputsBySeed | None, seen: ExitOutputsBySeed | None
) -> tuple[Exit, ...]:
    score = trial.record.score
    ends: list[tuple[float, float] | None] = [None] * trial.exits
    if test is not None and test.fresh and len(test.draws) >= FEWEST:
        alone = test.folds == 0  # folds are summed up together
        choices = [
            [
                Judged(
                    h.draw,
                    h.ids,
                    features(
                        h.exits.logits[:, k].astype(np.float64), h.labels, score, centred=alone
                    ),
                )
                for h in test.draws
            ]
            for k in range(trial.exits)
        ]
        made = replicates(choices, score, pooled=not alone)
        ends = [made.interval(k) for k in range(trial.exits)]
    draws = len(test.draws) if test is not None and test.fresh else 0
    return tuple(
        Exit(
            name,
            trial.layers[k] if trial.layers else k + 1,
            None if seen is None else _mean(seen, k, score),
            None if test is None else _mean(test, k, score),
            ends[k],
            draws if ends[k] is not None else 0,
        )
        for k, name in enumerate(trial.names)
    )


def _mean(outputs: ExitOutputsBySeed, k: int, score: str) -> float:
    """Return the mean over draws; of folds, and of validation rows that differ by draw, alike."""
    if outputs.folds and outputs.split == "test":
        logits = np.concatenate([h.exits.calibrated[:, k] for h in outputs.draws])
        return score_of(logits, np.concatenate([h.labels for h in outputs.draws]), score)
    each = [score_of(h.exits.calibrated[:, k], h.labels, score) for h in outputs.draws]
    return float(np.mean(each))


def draw(info: Info) -> go.Figure:
    """Draw marks on test with bars, a thin line on validation; fine-tuned models beside them."""
    out = style.figure(
        height=400,
        xaxis={"title": {"text": info.axis}, "dtick": 1},
        annotations=[style.top_title(info.score)],
        legend=style.BELOW,
        margin={"l": 56, "r": 16, "t": 28, "b": 84},
        meta={"caption": info.caption},
    )
    if not info.exits:
        return out
    mark = style.marks(info.procedures)[info.procedure]
    tested = [e for e in info.exits if e.test is not None]
    if tested:
        scores = [e.test or 0.0 for e in tested]
        out.add_scatter(
            x=[e.layers for e in tested],
            y=scores,
            mode="lines+markers",
            name=style.inert(f"{info.procedure}, one exit for all, test"),
            line={"color": mark.colour, "width": 1.6},
            marker={
                "symbol": [mark.shape + ("-open" if e.ends is None else "") for e in tested],
                "size": 8,
                "color": mark.colour,
                "line": {"width": 1.4, "color": mark.colour},
            },
            error_y=style.bars(scores, [e.ends for e in tested]),
            text=[_words(e) for e in tested],
            hovertemplate="%{text}<extra></extra>",
        )
    seen = [e for e in info.exits if e.validation is not None]
    if seen:
        out.add_scatter(
            x=[e.layers for e in seen],
            y=[e.validation for e in seen],
            mode="lines",
            name=style.inert(f"{info.procedure}, validation"),
            line={"color": mark.colour, "width": 1.2, "dash": "dash"},
            hovertemplate="%{y:.3f} on validation<extra></extra>",
        )
    if info.tuned:
        look = style.marks(info.procedures)[info.baseline]
        scores = [c.test for _, c in info.tuned]
        out.add_scatter(
            x=[layers + 0.08 for layers, _ in info.tuned],
            y=scores,
            mode="markers",
            name=style.inert(f"{info.baseline}, model of so many layers, test"),
            marker=symbols(look, [c for _, c in info.tuned]),
            error_y=style.bars(scores, [c.ends for _, c in info.tuned]),
            text=[style.inert(f"{c.words}: {c.shown}") for _, c in info.tuned],
            hovertemplate="%{text}<extra></extra>",
        )
    return out


def _words(exit: Exit) -> str:
    ends = "not confirmed"
    if exit.ends is not None:
        ends = f"[{exit.ends[0]:.3f}, {exit.ends[1]:.3f}], {exit.draws} draws"
    return style.inert(f"all leave at {exit.name}: {exit.test:.3f} {ends}")


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per mark."""
    out: list[dict[str, object]] = []
    for e in info.exits:
        low, high = e.ends or (None, None)
        scores = {"validation": e.validation, info.score: e.test, "low": low, "high": high}
        out.append({"procedure": info.procedure, "layers": e.layers, **scores, "draws": e.draws})
    for layers, cell in info.tuned:
        values = row(info.score, cell)
        kept = ("procedure", "validation", info.score, "low", "high", "draws")
        out.append({"layers": layers, **{k: values[k] for k in kept}})
    return out
