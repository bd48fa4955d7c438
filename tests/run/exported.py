"""An exported point of an old run: what its tensors hold, and what it predicts for a few texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.run.outputs import Output, output
from tests.support.verbs import Say

TEXTS = (
    "the plot was dull and the actors were terrible",
    "a great film with a wonderful cast",
    "i would not call this boring at all",
    "the food was fine but the service was slow",
    "",
    "an unknown wordling, twice: wordling",
)
POINTS = {
    "native": "3830f67e74207f24",  # ngram_linear on hash-16, 32 labels
    "table": "5397a6ddab8dfd44",  # sparse_distill from finetune on dan-10k, 32 labels
    "hf": "52942322c1b7050b",  # finetune on toy-tiny, 32 labels
}
"""Points of the run `search` whose weights are kept, by the format that they are exported to."""
AFTER = 1e-6
"""How far numbers of an exported model may lie apart, relative to the larger: matrix products of
other machines differ by some units in the last place of 32 bits."""


def exported(say: Say, run: Path, point: str, kind: str) -> dict[str, Any]:
    """Export a point and predict with what was written."""
    model, table, made = Path(f"{kind}-model"), Path("texts.csv"), Path(f"{kind}.csv")
    lines = output(say, "export", run, point, "--to", model, "--format", kind).splitlines()
    pd.DataFrame({"text": TEXTS}).to_csv(table, index=False)
    output(say, "predict", model, table, "-o", made)
    labelled = pd.read_csv(made, keep_default_na=False)
    manifest = json.loads((model / "raysearch.json").read_text(encoding="utf-8"))
    manifest.pop("files")  # digests of code and card too, which hold words and versions
    chances = [c for c in labelled.columns if c.startswith("p_")]
    return {
        "files": sorted(str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()),
        "manifest": manifest,
        "tensors": {
            f"{file.name}/{name}": _moments(values)
            for file in sorted(model.rglob("*.safetensors"))
            for name, values in load_file(file).items()
        },
        "first line": lines[0],
        "predictions": list(labelled["prediction"]),
        "chances": [[float(v) if v != "" else None for v in labelled[c]] for c in chances],
    }


def _moments(values: NDArray[Any]) -> dict[str, Any]:
    """Shape, type and three sums, of which the last knows each value's place."""
    flat = values.astype(np.float64).ravel()
    place = 1.0 + np.arange(flat.size) % 97
    return {
        "shape": list(values.shape),
        "type": str(values.dtype),
        "absolute": float(np.abs(flat).sum()),
        "square": float(np.square(flat).sum()),
        "placed": float((np.abs(flat) * place * np.where(flat < 0, 0.5, 1.0)).sum()),
    }


def _of(kind: str) -> Output:
    return lambda say, run: exported(say, run, POINTS[kind], kind)


OUTPUTS: dict[str, dict[str, Output]] = {"search": {f"export_{kind}": _of(kind) for kind in POINTS}}
"""What is kept of each run's exports, by the name of its file."""
