"""An encoder with exits under one rule or several, which share its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.config.catalog import find_rung
from raysearch.costs.timing import Model, timed
from raysearch.encoders.exit_graph import ExitGraph, ExitRule
from raysearch.encoders.exits import ExitHeads
from raysearch.export.graph_parts import Opened, load_tensors, part, save_parts, whose
from raysearch.trial.trained import TrainedModel


def write(run: TrainedModel, graphs: Sequence[ExitGraph], folder: Path) -> dict[str, Any]:
    """Write the first graph's weights; return what else its reader must know, and every rule."""
    graph = graphs[0]
    save_parts(folder, {"encoder": graph.encoder, "exits": graph.exits}, {})
    return {
        **whose(run),
        "pooling": graph.pooling,
        "layers": graph.exits.layers,
        "classes": graph.classes,
        "temperature": graph.rule.temperature.tolist(),
        "rules": [[g.rule.criterion, g.rule.threshold] for g in graphs],
    }


def read(folder: Path, facts: Mapping[str, Any]) -> list[Model]:
    """Return the models that `write` wrote, one a rule."""
    tensors = load_tensors(folder)
    opened = Opened(folder, facts)
    encoder = opened.encoder(tensors)
    exits = ExitHeads(
        facts["layers"],
        encoder.hidden,
        facts["classes"],
        dropout=0.0,
        generator=torch.Generator(),
    )
    exits.load_state_dict(part(tensors, "exits."))
    exits = exits.to(opened.device).eval()
    temperature, rung = np.array(facts["temperature"]), find_rung(facts["rung"])
    return [
        opened.model(
            ExitGraph(
                encoder, exits, facts["pooling"], ExitRule(criterion, threshold, temperature), rung
            ).encoded_logits
        )
        for criterion, threshold in facts["rules"]
    ]


def times(
    folder: Path, facts: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Time each model; texts take different ways through it."""
    models = read(folder, facts)
    return [timed(m, texts, pairs, uneven=True, warm=i > 0) for i, m in enumerate(models)]
