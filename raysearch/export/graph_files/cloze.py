"""A masked LM behind a pattern, over its rung's own checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysearch.costs.timing import Model, timed
from raysearch.encoders.cloze import open_head
from raysearch.encoders.graphs import ClozeGraph
from raysearch.encoders.patterns import Pattern
from raysearch.export.graph_parts import Opened, load_tensors, part, save_parts, whose
from raysearch.trial.trained import TrainedModel


def write(run: TrainedModel, graphs: Sequence[ClozeGraph], folder: Path) -> dict[str, Any]:
    """Write one graph's weights; return what else its reader must know."""
    (graph,) = graphs
    parts = {"encoder": graph.encoder, "transform": graph.transform}
    save_parts(folder, parts, {"weight": graph.weight, "bias": graph.bias})
    return {**whose(run), "template": graph.template, "mask": graph.mask}


def read(folder: Path, facts: Mapping[str, Any]) -> list[Model]:
    """Return the model that `write` wrote."""
    tensors = load_tensors(folder)
    opened = Opened(folder, facts)
    encoder = opened.encoder(tensors)
    weight, bias = tensors["weight"], tensors["bias"]
    # any words: their ids are read next
    head = open_head(opened.checkpoint, [[0]] * len(bias), opened.device)
    head.load_state_dict(part(tensors, "transform."))
    graph = ClozeGraph(encoder, head.eval(), facts["template"], facts["mask"], weight, bias)
    return [opened.model(graph.encoded_logits, Pattern(graph.template))]


def times(
    folder: Path, facts: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Time the model."""
    return [timed(model, texts, pairs) for model in read(folder, facts)]
