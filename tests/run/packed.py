"""A run's folder as a few files: the small ones as they are, the rest in one Parquet table.

The Store holds the rows and labels of a split once for every point; a column of bytes with a
dictionary holds them once. What can be built again is left out (tokens, pages, the log).

    python -m tests.run.packed runs/search tests/fixtures/old_runs/search ID...

keeps the weights and checkpoints of these trials alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "old_runs"
PLAIN = ("records.jsonl", "suggestions.jsonl", "study.yaml")
PACK = "files.parquet"
BUILT_AGAIN = ("tokens", "answers")
"""Kinds of the Store that a run builds anew where they are missing: tokens of a split, and what a
teacher has answered."""


def unpack(name: str, out: Path) -> Path:
    """Write the run folder that a fixture holds to `out`, and return it."""
    home = FIXTURES / name
    out.mkdir(parents=True)
    for file in PLAIN:
        shutil.copyfile(home / file, out / file)
    table = parquet.read_table(home / PACK)
    for path, data in zip(*(table.column(c).to_pylist() for c in ("path", "data")), strict=True):
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return out


def pack(run: Path, home: Path, trials: Collection[str]) -> None:
    """Write the fixture of a run folder, with the weights and checkpoints of these trials alone."""
    home.mkdir(parents=True, exist_ok=True)
    for file in PLAIN:
        shutil.copyfile(run / file, home / file)
    found = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and _kept(path.relative_to(run).parts, trials)
    }
    table = pa.table({"path": list(found), "data": pa.array(list(found.values()), pa.binary())})
    parquet.write_table(
        table,
        home / PACK,
        compression="zstd",
        compression_level=19,
        use_dictionary=["data"],
        dictionary_pagesize_limit=1 << 28,
        write_statistics=False,
    )


def _kept(parts: tuple[str, ...], trials: Collection[str]) -> bool:
    if parts[0] == "checkpoints":
        return parts[1] in trials
    if parts[0] != "store" or parts[1] in BUILT_AGAIN:
        return False
    return parts[1] != "weights" or parts[2] in trials


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
