"""Rungs of a ladder: one model size each, from `ladder.yaml`. Data only."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("ngram", "dan", "encoder")


@dataclass(frozen=True, slots=True)
class ModelSize:
    """One model size."""

    name: str
    family: str
    """`encoder`: a transformer checkpoint; `ngram`: hashed n-gram features; `dan`: a table of
    n-gram embeddings."""
    source: str = ""
    """Weights: `hf:owner/name[@revision]`, `file:FOLDER`, `builtin:FOLDER` or `random:...`."""
    folder: str = ""
    """Name of the checkpoint's folder under --models-dir."""
    depth: int | None = None
    """Use the first k layers of the checkpoint; None: all."""
    buckets: int = 0
    """Hash buckets of an n-gram rung, rows of a table of embeddings."""
    layers: int = 0
    hidden: int = 0
    """Also the width of a table of embeddings, and of the layer on it."""
    intermediate: int = 0
    vocabulary: int = 0
    positions: int = 512
    """Shape of an encoder after cutting to its depth; checked against the built module."""
    params: int = 0
    """Parameters of the body (embeddings, layers; no pooler, no head), checked when built."""
    licence: str = ""
    pretrained_on: str = ""
    """Data of tasks that the checkpoint was trained on; shown beside a result."""
    ladders: tuple[str, ...] = ("default",)

    @property
    def has_checkpoint(self) -> bool:
        """Return whether its weights lie in a folder; n-gram models begin from nothing."""
        return bool(self.source or self.folder)
