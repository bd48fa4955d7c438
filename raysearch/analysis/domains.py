"""Trained on one domain, tested on the others: a matrix of scores for each method, kept as JSON.

A domain is a run's task. `raysearch domains` writes the file into every run that takes part.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raysearch.errors import RecordError

FILE = "domains.json"
SCHEMA = 1


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
    """What stands for a method in one domain: the models of a point that validation has chosen."""

    trained_on: str
    point_id: str
    words: str
    """Method, model, labels and knobs."""
    draws: int
    """Fresh draws of data and seed that were asked; 0: the search's own trial."""
    confirmed: int
    """Fresh draws there are, with or without their weights."""


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

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; holds no text and no path."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Matrix:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not whole, or of another schema.
        """
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}, {SCHEMA} is expected")
        domains = tuple(Domain(**d) for d in value["domains"])
        made = cls(str(value["score"]), domains, tuple(map(_method, value["methods"])))
        known = {d.task for d in domains}
        for m in made.methods:
            named = {c.trained_on for c in m.cells} | {c.tested_on for c in m.cells}
            if not named <= known or not all(_whole(c) for c in m.cells):
                raise ValueError(f"the matrix of {m.method} is not whole")
        return made


def _method(value: Mapping[str, Any]) -> MethodMatrix:
    cells = [{**c, "per_draw": tuple(c["per_draw"])} for c in value["cells"]]
    return MethodMatrix(
        str(value["method"]),
        tuple(Source(**s) for s in value["sources"]),
        tuple(Cell(**c) for c in cells),
        None if value["drop"] is None else Drop(**value["drop"]),
    )


def _whole(cell: Cell) -> bool:
    return all(math.isfinite(v) for v in (cell.score, cell.low, cell.high, *cell.per_draw))


def read_domains(folder: Path) -> Matrix | None:
    """Read the matrix of a run's folder; None where there is none.

    Raises:
        RecordError: the file cannot be read or is not whole.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return Matrix.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        reason = " ".join(str(e).split()) or type(e).__name__
        raise RecordError(
            f"{path}: is not whole ({reason}); `raysearch domains RUN RUN` writes it anew"
        ) from e


def write_domains(folders: Sequence[Path], matrix: Matrix) -> None:
    """Write the matrix into every folder: all drafts first, then each takes its name whole.

    Raises:
        RecordError: a folder or the disk refuses.
    """
    text = json.dumps(matrix.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    drafts = {folder / FILE: folder / f".{FILE}.{os.getpid()}.part" for folder in folders}
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
