"""Early exit: whether each exit is right as often as it says, before and after its temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from raysearch.analysis import Run
from raysearch.analysis.calibrated import BINS, spread_of
from raysearch.analysis.exit_trials import ExitOutputsBySeed, exit_outputs, exit_trial, title
from raysearch.outputs.calibration import FEWEST, Bin, ece, reliability, softmax
from raysearch.panels import style
from raysearch.panels.panes import names, panes

STATES = ("as trained", "with temperature")
DASHES = dict(zip(STATES, ("dash", "solid"), strict=True))
FITTED = "Temperatures were fitted on rows of their own."
UNFITTED = f"No temperature was fitted: fewer than {FEWEST} labelled rows were held back for it."
LACK = "What its exits said is not in the run's Store."
TALL = 210
LARGEST = 11
"""Diameter of the mark of the fullest bin."""


@dataclass(frozen=True, slots=True)
class State:
    """An exit's probabilities in one state, its answers by rising confidence."""

    ece: float
    """Expected calibration error: the mean over draws, or of all folds together."""
    bins: tuple[Bin, ...]
    """Answers of all draws together."""


@dataclass(frozen=True, slots=True)
class Exit:
    """One exit."""

    name: str
    temperature: float
    """Mean over draws."""
    before: State
    after: State | None
    """None: no exit has a temperature."""

    @property
    def states(self) -> dict[str, State]:
        """Return the states by name, as they are drawn."""
        states = zip(STATES, (self.before, self.after), strict=True)
        return {name: state for name, state in states if state is not None}


@dataclass(frozen=True, slots=True)
class Info:
    """The exits of one trial, shallow to deep."""

    exits: tuple[Exit, ...]
    caption: str


def info(run: Run, *, point: str = "") -> Info:
    """Read the exits of a point's trial, or of the best, off a run.

    Raises:
        InputError: a point is named, and there is no such or its model has no exits.
    """
    trial = exit_trial(run, point)
    if trial is None:
        return Info((), "")
    outputs = exit_outputs(run, trial, "test") or exit_outputs(run, trial, "validation")
    if outputs is None:
        return Info((), f"{title(trial)}. {LACK}")
    cold = np.stack([h.exits.temperature for h in outputs.draws])
    fitted = bool((cold != 1).any())
    exits = tuple(
        Exit(
            name,
            float(cold[:, k].mean()),
            _state(outputs, k, calibrated=False),
            _state(outputs, k, calibrated=True) if fitted else None,
        )
        for k, name in enumerate(trial.names)
    )
    text = f"{title(trial)}: on {outputs.words}. {FITTED if fitted else UNFITTED}"
    return Info(exits, text)


def _state(outputs: ExitOutputsBySeed, k: int, *, calibrated: bool) -> State:
    probabilities = [
        softmax((h.exits.calibrated if calibrated else h.exits.logits)[:, k]) for h in outputs.draws
    ]
    together, label = (
        np.concatenate(probabilities),
        np.concatenate([h.labels for h in outputs.draws]),
    )
    errors = [ece(p, h.labels, BINS) for p, h in zip(probabilities, outputs.draws, strict=True)]
    whole = ece(together, label, BINS) if outputs.folds else None
    return State(spread_of(errors, whole).mean, tuple(reliability(together, label, BINS)))


def draw(info: Info) -> go.Figure:
    """Draw a pane per exit; confidence is right on the dotted line and too high below it."""
    errors = [" → ".join(f"{s.ece:.3f}" for s in e.states.values()) for e in info.exits]
    titles = [f"{e.name}: ECE {error}" for e, error in zip(info.exits, errors, strict=True)]
    out = panes(titles, "confidence", "share right", (), height=TALL)
    linear = {"type": "linear", "range": [0, 1.04], "dtick": 0.25, "tickformat": ".2~f"}
    out.update_xaxes(linear)
    out.update_yaxes({"range": [0, 1.04], "dtick": 0.25})
    out.update_layout(meta={"caption": info.caption})
    marks = style.marks(STATES)
    for k, one in enumerate(info.exits):
        across, up = names(k)
        out.add_scatter(
            x=[0, 1],
            y=[0, 1],
            xaxis=across,
            yaxis=up,
            mode="lines",
            line={"dash": "dot", "width": 1, "color": style.GREY},
            hoverinfo="skip",
            showlegend=False,
        )
        for name, state in one.states.items():
            most = max((b.count for b in state.bins), default=1)
            out.add_scatter(
                x=[b.confidence for b in state.bins],
                y=[b.accuracy for b in state.bins],
                customdata=[b.count for b in state.bins],
                xaxis=across,
                yaxis=up,
                mode="lines+markers",
                name=name,
                legendgroup=name,
                showlegend=k == 0,
                line={"color": marks[name].colour, "width": 1.5, "dash": DASHES[name]},
                marker={
                    "symbol": marks[name].shape,
                    "color": marks[name].colour,
                    "size": [4 + (LARGEST - 4) * (b.count / most) ** 0.5 for b in state.bins],
                },
                hovertemplate=style.inert(f"{one.name}, {name}")
                + ", confidence %{x:.2f}: %{y:.2f} right, %{customdata} answers<extra></extra>",
            )
    return out


def numbers(info: Info) -> list[dict[str, object]]:
    """Return every number of the picture, one row per bin."""
    return [
        {
            "exit": e.name,
            "temperature": e.temperature,
            "state": name,
            "ece": state.ece,
            "confidence": b.confidence,
            "accuracy": b.accuracy,
            "count": b.count,
        }
        for e in info.exits
        for name, state in e.states.items()
        for b in state.bins
    ]
