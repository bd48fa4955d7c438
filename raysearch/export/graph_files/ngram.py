"""Hashed n-grams and a linear model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.costs.timing import Model, timed
from raysearch.export.graph_parts import load_tensors, loose_rows, save_parts
from raysearch.ngrams import hashed
from raysearch.ngrams.graphs import NgramGraph
from raysearch.trial.trained import TrainedModel


def write(run: TrainedModel, graphs: Sequence[NgramGraph], folder: Path) -> dict[str, Any]:
    """Write one graph's weights; return what else its reader must know."""
    (graph,) = graphs
    tensors = {"weight": torch.from_numpy(graph.weight), "bias": torch.from_numpy(graph.bias)}
    if graph.idf is not None:
        tensors["idf"] = torch.from_numpy(graph.idf)
    save_parts(folder, {}, tensors)
    return dict(graph.summary())


def read(folder: Path, facts: Mapping[str, Any]) -> list[Model]:
    """Return the model that `write` wrote."""
    arrays = {k: v.numpy() for k, v in load_tensors(folder).items()}
    weight, bias, idf = arrays["weight"], arrays["bias"], arrays.get("idf")
    hashing = hashed.hashing(facts["buckets"], facts["ngrams"], facts["weighting"])

    def count(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        counts = hashing.transform(hashed.joined(loose_rows(texts, pairs)))
        return hashed.weighted(counts, idf)

    return [Model(count, lambda x: np.asarray(x @ weight + bias))]


def times(
    folder: Path, facts: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Time the model."""
    return [timed(model, texts, pairs) for model in read(folder, facts)]
