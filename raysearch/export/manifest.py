"""`raysearch.json` of an exported folder: what the files compute and where they come from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from raysearch.errors import InputError

FILE = "raysearch.json"
SCHEMA = 1
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "tuple[str, ...]": (list,),
    "Mapping[str, str]": (dict,),
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that a predictor needs beside the weights. It names no path."""

    format: str
    task: str
    score: str
    """The task's main score."""
    labels: tuple[str, ...] = ()
    """In the order of the logits; empty for a number."""
    regression: bool = False
    pair: bool = False
    """Reads two texts."""
    text: str = "text"
    """Column of the text in the training data."""
    text_pair: str = ""
    """Column of the second text there."""
    max_length: int = 0
    """Longest input, special tokens included [tokens]; 0: texts are not cut."""
    pooling: str = ""
    """`mean` or `cls`; empty for n-grams and for a prompted model."""
    normalise: bool = False
    """Pooled vectors are scaled to length sqrt(H) before the head."""
    template: str = ""
    """Pattern around the text of a prompted model, as tokens in prompt.json; else empty."""
    criterion: str = ""
    """By what a text leaves a model with exits early: confidence, entropy or patience."""
    threshold: str = ""
    """Reached by what leaves; `never` sends every text through all layers."""
    exits: str = ""
    """Layers after which there is an exit, ascending, as 2,4,6; empty: only after the last."""
    layers: int = 0
    """Layers of the trained encoder; a file may hold one more, which only averages."""
    ngrams: int = 0
    """Longest word n-gram of an n-gram model."""
    buckets: int = 0
    """Hash buckets of an n-gram model, rows of a table of n-grams."""
    weighting: str = ""
    """`tf` or `tfidf` of an n-gram model."""
    int8: bool = False
    temperature: float = 1.0
    """Already folded in: probabilities come out calibrated. In a model with exits it
    divides the final logits, after the exits' own temperatures, and changes no exit."""
    trial: str = ""
    point: str = ""
    splits: str = ""
    """Digest of the training data's splits."""
    weights: str = ""
    """Digest of the checkpoint that training started from."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each other file of the folder, for people; nothing is opened by these names."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""
        return 1 if self.regression else len(self.labels)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write raysearch.json."""
    value = {"schema": SCHEMA, **asdict(manifest)}
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read raysearch.json of a folder.

    Raises:
        InputError: no such folder, no such file, or one that is not whole.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one that `raysearch export` wrote")
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: no {FILE} in it; expected what `raysearch export` wrote")
    where = f"{folder.name}/{FILE}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise InputError(f"{where}: is not JSON") from e
    if not isinstance(value, dict) or value.pop("schema", None) != SCHEMA:
        raise InputError(f"{where}: is not of schema {SCHEMA}, the one this version reads")
    known = {f.name: str(f.type) for f in fields(Manifest)}
    for name, item in value.items():
        if name not in known:
            raise InputError(f"{where}: no key '{name}'. Known: {', '.join(known)}")
        if not _fits(item, known[name]):
            raise InputError(f"{where}: {name} is {_short(item)}, must be {known[name]}")
    for name in ("format", "task", "score"):
        if name not in value:
            raise InputError(f"{where}: key '{name}' is missing")
    manifest = Manifest(**{**value, "labels": tuple(value.get("labels", ()))})
    if not manifest.regression and len(set(manifest.labels)) < 2:
        raise InputError(f"{where}: labels must be at least two different names")
    if not 0 < manifest.temperature < math.inf:
        raise InputError(f"{where}: temperature is {manifest.temperature}, must be above 0")
    return manifest


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool) != (kind == "bool") or not isinstance(value, _TYPES[kind]):
        return False
    if isinstance(value, int) and kind == "int":
        return value >= 0
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(isinstance(v, str) for v in inner)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder but raysearch.json, by name."""
    out = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name != FILE):
        with path.open("rb") as f:
            out[path.name] = hashlib.file_digest(f, "sha256").hexdigest()
    return out
