"""A folder is written beside its target, tried out on real texts, and moved into place whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raysearch import export
from raysearch.data.rows import Logits, Rows
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import InputError, RaysearchError
from raysearch.export.manifest import digests, write_manifest
from raysearch.export.model import Format, Model
from raysearch.export.predictor import Predictor, probabilities
from raysearch.training.graph import Graph

TOLERANCE = 1e-4
"""Largest difference of a probability between what was trained and what was written."""
TEXTS = 256
"""Texts that are compared."""


class ParityError(RaysearchError):
    """The written files do not compute what was trained."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How well the files do what the trained point did."""

    texts: int
    difference: float
    """Largest difference of a probability (of a number, over the spread of the numbers)."""
    same: float
    """Share of texts with the same answer."""
    int8: bool

    def sentence(self) -> str:
        """Return the result as a sentence."""
        if not self.texts:
            return "not compared: the data hold no text to compare on"
        tail = f", {self.same:.1%} of the answers the same" if self.int8 else ""
        return f"probabilities within {self.difference:.1e} on {self.texts} texts{tail}"


def choose(name: str | None, graph: Graph, *, int8: bool) -> Format:
    """Return the format of that name, or the first that fits; InputError names those that fit."""

    def against(f: Format) -> str:
        if graph.kind not in f.kinds:
            return f"holds {' and '.join(f.kinds)} models, this one is of kind {graph.kind}"
        if int8 and not f.int8:
            return "has no int8"
        return f.check_graph(graph)

    if name is None:
        order = sorted(export.names(), key=lambda n: (export.get(n).rank, n))
        able = [n for n in order if not against(export.get(n))]
        if not able:
            raise InputError(f"no format can hold this model{' in int8' if int8 else ''}")
        return export.get(able[0])
    chosen = export.get(name)
    if not (reason := against(chosen)):
        return chosen
    able = [n for n in export.names() if not against(export.get(n))]
    hint = f"; --format may be {' or '.join(able)}" if able else "; no format can"
    raise InputError(f"--format {name}: {reason}{hint}")


def check_target(target: Path, force: bool) -> None:
    """Raise InputError when something stands at the target, or it has no folder to stand in."""
    if os.path.lexists(target) and not force:
        raise InputError(f"{target}: stands there already; --force replaces it")
    if os.path.lexists(target) and not target.is_dir():
        raise InputError(f"{target}: is a file; --to must name a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / "raysearch.json").is_file():
        raise InputError(f"{target}: is no exported model and is not replaced; name another folder")


def compare(
    fmt: Format, folder: Path, model: Model, rows: Rows, tokeniser: Tokeniser | None
) -> Parity:
    """Compare what stock tools compute from the folder with the graph itself.

    Raises:
        ParityError: a probability differs by more than 1e-4; not asked of int8.
    """
    rows = rows.take(np.arange(min(TEXTS, len(rows))))
    checks = fmt.checks(model, rows, tokeniser)
    comparisons = [_compared(fmt, folder, m, some, tokeniser) for m, some in checks]
    return Parity(
        comparisons[0].texts,
        max(p.difference for p in comparisons),
        min(p.same for p in comparisons),
        model.manifest.int8,
    )


def _compared(
    fmt: Format, folder: Path, model: Model, rows: Rows, tokeniser: Tokeniser | None
) -> Parity:
    manifest = model.manifest
    if not len(rows):
        return Parity(0, 0.0, 1.0, manifest.int8)
    expected = probabilities(model.graph.logits(rows, tokeniser), manifest.regression)
    pairs = None if rows.pair is None else list(rows.pair)
    logits = fmt.stock(folder, manifest, list(rows.text), pairs)
    off = float(np.abs(logits - expected).max()) if logits.shape == expected.shape else np.inf
    if manifest.regression:
        off /= max(1.0, float(np.ptp(expected)))
    same = float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean())
    if not off <= TOLERANCE and not manifest.int8:
        raise ParityError(
            f"format '{fmt.name}': probabilities differ by {off:.2g} from the trained model's on "
            f"{len(rows)} texts, {TOLERANCE:g} is allowed; nothing was written"
        )
    return Parity(len(rows), off, same, manifest.int8)


def write(
    fmt: Format,
    model: Model,
    target: Path,
    rows: Rows,
    tokeniser: Tokeniser | None,
    finish: Callable[[Predictor, Parity], str],
    *,
    force: bool = False,
) -> Parity:
    """Write a model in a format, compare it, and move it to its place.

    Args:
        fmt: from `choose`.
        model: what to write.
        target: the folder to make; nothing is left there when anything fails.
        rows: texts to compare on.
        tokeniser: the trained encoder's, None for n-grams.
        finish: (the folder at work, parity) -> README.md.
        force: replace what stands there.

    Raises:
        InputError: the target stands there, or cannot be written.
        ParityError: the files do not compute what was trained.
    """
    check_target(target, force)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        fmt.write(model, draft)
        write_manifest(draft, model.manifest)
        parity = compare(fmt, draft, model, rows, tokeniser)
        (draft / "README.md").write_text(
            finish(fmt.open(draft, model.manifest), parity), encoding="utf-8"
        )
        write_manifest(draft, replace(model.manifest, files=digests(draft)))
        mode = (draft / "README.md").stat().st_mode
        for path in draft.iterdir():
            path.chmod(mode)  # safetensors writes for its owner alone
        _move(draft, target)
    except OSError as e:
        raise InputError(f"{target}: cannot be written: {e.strerror or e}") from e
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return parity


def _move(draft: Path, target: Path) -> None:
    """Move the draft to the target; what stood there goes only when the new one is whole."""
    old = draft.with_name(draft.name + ".old")
    if target.is_dir():
        target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def as_logits(predictor: Predictor, temperature: float) -> Callable[[Rows], Logits]:
    """Return a predictor as the trial's own scale of logits: its temperature taken out again."""

    def predict(rows: Rows) -> Logits:
        pairs = None if rows.pair is None else list(rows.pair)
        logits = predictor.infer(predictor.prepare(list(rows.text), pairs))
        return np.asarray(logits * np.float32(temperature), np.float32)

    return predict
