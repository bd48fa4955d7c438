"""Trained on one domain, tested on the others: a matrix of scores for each method, kept as JSON.

A domain is a run's task. `raysearch domains` writes the file into every run that takes part.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from raysearch.errors import InputError, RecordError
from raysearch.run.folder import RunFolder

SCHEMA = 1
MOST = 2**53
"""The largest count: beyond it floats lose their units."""
LONGEST = 160
"""Characters of the reason why a file is not whole."""
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Domain:
    """One run's task."""

    task: str
    run: str
    """Name of the run's folder; no path."""
    splits: str
    """Digest of the task's splits."""
    test_rows: int


@dataclass(frozen=True, slots=True)
class Source:
    """What stands for a method in one domain: the models of a point chosen or named."""

    trained_on: str
    point_id: str
    words: str
    """Method, model, labels and knobs."""
    draws: int
    """Fresh draws of data and seed whose models predicted; 0: the search's own trial."""
    confirmed: int
    """Draws there are beside the search's own trial, with or without their weights."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One score: the mean over the models, in the unit of the tasks' score."""

    trained_on: str
    tested_on: str
    score: float
    low: float
    high: float
    """The 95 % interval, over test rows and, of three draws or more, over draws."""
    rows: int
    """Test rows that judge, each counted once."""
    dropped: int
    """Test rows left out: their text stands among those the models may have learnt from."""
    per_draw: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """The in-domain score minus that of the models of other domains on the same test rows.

    The mean over all pairs of different domains: the transfer loss of Glorot et al. 2011 (ICML,
    section 4.2), each method its own baseline.
    """

    mean: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class MethodMatrix:
    """One method over all domains; a domain that has no point of it has no source."""

    method: str
    sources: tuple[Source, ...]
    cells: tuple[Cell, ...]
    drop: Drop | None = None
    """None without two domains."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """All methods over all domains, in the order of the runs."""

    score: str
    domains: tuple[Domain, ...]
    methods: tuple[MethodMatrix, ...]
    by_hand: bool = False
    """Whether somebody named the points; else validation of the domain of training chose them."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; it contains no text and no path."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, value: object) -> Matrix:
        """Read what `to_json` wrote.

        Raises:
            ValueError, OverflowError: it is not whole, or of another schema.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            schema = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise ValueError(f"its schema is {schema!r}, {SCHEMA} is expected")
        domains = tuple(_made(Domain, d) for d in _list(value, "domains"))
        methods = tuple(_method(m) for m in _list(value, "methods"))
        known = {d.task for d in domains}
        if len(known) < len(domains):
            raise ValueError("a domain stands twice")
        for m in methods:
            pairs = [(c.trained_on, c.tested_on) for c in m.cells]
            named = {task for pair in pairs for task in pair} | {s.trained_on for s in m.sources}
            if not named <= known or len(set(pairs)) < len(pairs):
                raise ValueError(f"the matrix of {m.method!r} is not whole")
        score = _value("score", "str", value.get("score"))
        by_hand = _value("by_hand", "bool", value.get("by_hand", False))
        return cls(score, domains, methods, by_hand)


def _method(value: object) -> MethodMatrix:
    if not isinstance(value, dict):
        raise ValueError(f"a method is of type {type(value).__name__}")
    drop = value.get("drop")
    return MethodMatrix(
        _value("method", "str", value.get("method")),
        tuple(_made(Source, s) for s in _list(value, "sources")),
        tuple(_made(Cell, c) for c in _list(value, "cells")),
        None if drop is None else _made(Drop, drop),
    )


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(items := value.get(key), list):
        raise ValueError(f"{key} is of type {type(items).__name__}, a list is expected")
    return items


def _made(kind: type[Made], value: object) -> Made:
    """Build one of the rows above: every field there, and of its type; nothing else."""
    if not isinstance(value, dict):
        raise ValueError(f"a {kind.__name__.lower()} is of type {type(value).__name__}")
    types = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    if value.keys() != types.keys():
        raise ValueError(f"the keys of a {kind.__name__.lower()} are {sorted(value)}")
    return kind(**{name: _value(name, types[name], value[name]) for name in types})


def _value(name: str, kind: str, value: object) -> Any:
    """Return one value as its field's type has it.

    Raises:
        ValueError: it is not; a number that is not finite, a count below 0, a text that no file
            of UTF-8 holds.
        OverflowError: a number that is too large.
    """
    if kind == "tuple[float, ...]" and isinstance(value, list) and value:
        return tuple(_value(name, "float", v) for v in value)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and plain and math.isfinite(float(value)):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    if kind == "int" and plain and isinstance(value, int) and 0 <= value <= MOST:
        return value
    if kind == "str" and isinstance(value, str):
        value.encode()
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    raise ValueError(f"{name} is {value!r}")


def read_domains(folder: Path) -> Matrix | None:
    """Read the matrix of a run's folder; None where there is none.

    Raises:
        InputError: the file cannot be read or is not whole; somebody has changed it by hand.
    """
    path = RunFolder(folder).domains
    if not path.exists():
        return None
    try:
        return Matrix.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, OverflowError, RecursionError) as e:
        reason = " ".join(str(getattr(e, "strerror", None) or e).split())
        reason = reason if len(reason) <= LONGEST else reason[:LONGEST] + " ..."
        reason = reason.encode("ascii", "backslashreplace").decode()
        raise InputError(
            f"{path}: is not whole ({reason}); `raysearch domains RUN RUN` writes it anew"
        ) from e


def write_domains(folders: Sequence[Path], matrix: Matrix) -> None:
    """Write the matrix into every folder: all drafts first, then each takes its name whole.

    Raises:
        RecordError: a folder or the disk refuses.
    """
    text = json.dumps(matrix.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    paths = [RunFolder(folder).domains for folder in folders]
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths}
    try:
        for draft in drafts.values():
            draft.write_text(text, encoding="utf-8")
        for path, draft in drafts.items():
            os.replace(draft, path)
    except OSError as e:
        where = e.filename2 or e.filename
        raise RecordError(f"{where}: cannot be written: {e.strerror or e}") from e
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
