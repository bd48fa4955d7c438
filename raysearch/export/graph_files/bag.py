"""Tables of n-grams, each as it is exported: the model that is timed is the one that people get."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysearch.costs.timing import Model, peak_memory, timed
from raysearch.export import table
from raysearch.export.manifest import Manifest, write_manifest
from raysearch.export.model import Model as Exported
from raysearch.ngrams import dan_numpy
from raysearch.ngrams.graphs import BagGraph
from raysearch.trial.trained import TrainedModel

TABLE = "table"


def write(run: TrainedModel, graphs: Sequence[BagGraph], folder: Path) -> dict[str, Any]:
    """Write each table into a folder of its own; return the folders' names."""
    names = [f"{TABLE}{k}" for k in range(len(graphs))]
    for name, graph in zip(names, graphs, strict=True):
        _write_table(graph, folder / name)
    return {"tables": names}


def _write_table(graph: BagGraph, folder: Path) -> None:
    names = tuple(map(str, range(max(2, graph.classes))))
    facts = Manifest("table", "", "", names, graph.classes == 1, graph.pair)
    known = replace(facts, **graph.summary())
    folder.mkdir()
    table.FORMAT.write(Exported(graph, known), folder)
    write_manifest(folder, known)


def read(folder: Path, facts: Mapping[str, Any]) -> list[Model]:
    """Return the models that `write` wrote."""
    return [_open(folder / name) for name in facts["tables"]]


def _open(folder: Path) -> Model:
    made = dan_numpy.Model(folder)

    def bags(texts: Sequence[str], pairs: Sequence[str] | None) -> Any:
        return made.features(list(texts), None if pairs is None else list(pairs))

    return Model(bags, made.logits)


def times(
    folder: Path, facts: Mapping[str, Any], texts: Sequence[str], pairs: Sequence[str] | None
) -> list[dict[str, float]]:
    """Time each table alone, small ones before large ones: the one before has been dropped.

    So the most memory that was held until then is that of the table just timed.
    """
    folders = [folder / name for name in facts["tables"]]
    order = sorted(folders, key=lambda f: sum(p.stat().st_size for p in f.iterdir()))
    by_folder = {}
    for one in order:
        by_folder[one] = timed(_open(one), texts, pairs) | {"peak_memory": peak_memory()}
        gc.collect()
    return [by_folder[one] for one in folders]
