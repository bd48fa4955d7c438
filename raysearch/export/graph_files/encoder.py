"""An encoder with a linear head, over its rung's own checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysearch.costs.timing import Model, timed
from raysearch.encoders.graphs import EncoderGraph
from raysearch.export.graph_parts import Opened, load_tensors, save_parts, whose
from raysearch.trial.trained import TrainedModel


def write(run: TrainedModel, graphs: Sequence[EncoderGraph], folder: Path) -> dict[str, Any]:
    """Write one graph's weights; return what else its reader must know."""
    (graph,) = graphs
    tensors = {"weight": graph.weight, "bias": graph.bias}
    save_parts(folder, {"encoder": graph.encoder}, tensors)
    return {**whose(run), "pooling": graph.pooling, "normalise": graph.normalise}


def read(folder: Path, facts: Mapping[str, Any]) -> list[Model]:
    """Return the model that `write` wrote."""
    tensors = load_tensors(folder)
    opened = Opened(folder, facts)
    encoder = opened.encoder(tensors)
    weight, bias = tensors["weight"], tensors["bias"]
    graph = EncoderGraph(encoder, facts["pooling"], facts["normalise"], weight, bias)
    return [opened.model(graph.encoded_logits)]


def times(
    folder: Path, facts: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Time the model."""
    return [timed(model, texts, pairs) for model in read(folder, facts)]
