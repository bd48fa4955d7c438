"""Corpora: texts without labels from elsewhere, as a transfer pool, however large."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raysearch.config.task import Task
from raysearch.config.trial import ID_LENGTH, digest
from raysearch.data import columns
from raysearch.data.frames import pieces
from raysearch.data.rows import Rows
from raysearch.data.splits import PAIR, keys, normalise
from raysearch.data.tables_in import STREAMED
from raysearch.data.task_data import TaskData
from raysearch.data.texts import Texts, opened, taken, written
from raysearch.errors import InputError, nearest
from raysearch.storage.store import Store, facts

_ORDER = 6  # stream of a trial's data seed, apart from those of task_data and crossfit

_KEPT = 2
_opened: OrderedDict[str, Corpus] = OrderedDict()

FILE = "texts.arrow"
"""Of an entry of the Store."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of a corpus that are in no split of the task, each once; on disk."""

    name: str
    digest: str
    """16 hex digits over the texts, in order."""
    text: Sequence[str]
    dropped: int
    """Texts that were empty, duplicate, or in a split of the task."""

    column: str = "text"
    """Where they stood."""
    pair: Sequence[str] | None = None
    """The second texts where the task has pairs."""

    def __len__(self) -> int:
        return len(self.text)

    def take(self, n: int, seed: int) -> Rows:
        """Return the first n texts of the seed's order: smaller pools begin larger ones."""
        order = np.random.default_rng([seed, _ORDER]).permutation(len(self.text))[:n]
        pair = None if self.pair is None else taken(self.pair, order)
        name = f"corpus-{self.digest}"
        return Rows(name, order.astype(np.int64), taken(self.text, order), pair)

    def sentence(self) -> str:
        """Return a description of the corpus for a run, as a sentence."""
        kind = "texts" if self.pair is None else "pairs"
        return (
            f"pool {self.name}: {len(self):,} {kind} of column '{self.column}'; "
            f"{self.dropped:,} dropped that are empty, stand twice or stand in the task"
        )


def open_corpus(
    name: str, data: TaskData, data_dir: Path | None, store: Store, *, lines: bool = False
) -> Corpus:
    """Open a corpus: a file or a folder of that name under `data_dir`; its text column.

    It is read in pieces and written to the Store once, and memory-mapped from there: only a hash of
    each text stands in memory while that happens. Texts equal to one of any split of the task (case
    and white space aside) are dropped, labelled or not. With `lines` each line is a text. A task
    with pairs needs both its columns, or two that are named like a pair.

    Raises:
        InputError: it is not there, holds no text, or no pairs where the task needs them.
    """
    path, key = _find(name, data_dir), corpus_key(name, data, data_dir, lines=lines)
    try:
        store.build("corpora", key, lambda f: _Reader(name, data, lines).fill(path, f / FILE))
    except OSError as e:
        why = e.strerror or str(e)
        raise InputError(f"pool '{name}': cannot be written to the store: {why}") from e
    return read_corpus(name, key, store)


def corpus_key(name: str, data: TaskData, data_dir: Path | None, *, lines: bool = False) -> str:
    """Return the key of `open_corpus` in the Store; it depends on the file's time."""
    path = _find(name, data_dir)
    about = path.stat()
    made_of = {"path": str(path.resolve()), "size": about.st_size, "mtime": about.st_mtime_ns}
    return digest({**made_of, "task": data.digest, "lines": lines})


def read_corpus(name: str, key: str, store: Store) -> Corpus:
    """Open a corpus that is in the Store already; InputError where it is not."""
    if key not in _opened:
        while len(_opened) >= _KEPT:
            _opened.popitem(last=False)
        folder = store.entry("corpora", key)
        if folder is None:
            raise InputError(f"pool '{name}': is not in the store any more")
        about, table = facts(folder), opened(folder / FILE)
        columns_ = {k: Texts(table.select_columns([k]), k) for k in table.column_names}
        _opened[key] = Corpus(
            Path(name).stem if Path(name).suffix in STREAMED else name,
            about["digest"],
            columns_["text"],
            int(about["dropped"]),
            about["column"],
            columns_.get("pair"),
        )
    return _opened[key]


class _Reader:
    """Reads a corpus once, and keeps what is new."""

    def __init__(self, name: str, data: TaskData, lines: bool) -> None:
        self._task = data.task
        self._where = f"pool '{name}'"
        if lines and data.task.text_pair is not None:
            raise InputError(
                f"{self._where}: lines are single texts, task '{data.task.name}' has pairs"
            )
        self._lines = lines
        self._whole = {
            _hash(key) for rows in data.splits.values() for key in keys(rows.text, rows.pair)
        }
        self._seen = set(self._whole)
        if lines:  # nor may a judging text come in line by line
            task_texts = (t for rows in data.splits.values() for t in rows.text)
            self._seen |= {_hash(normalise(line)) for t in task_texts for line in t.splitlines()}
        self._book = hashlib.sha256()
        self._columns: tuple[str, ...] = ()
        self._all = 0

    def fill(self, path: Path, to: Path) -> dict[str, Any]:
        """Write the texts that are kept; return facts for the manifest."""
        names = ("text",) if self._task.text_pair is None else ("text", "pair")
        kept = written(to, names, self._kept(path))
        if not self._all:
            raise InputError(f"{self._where}: holds no rows")
        if not kept:
            raise InputError(
                f"{self._where}: none of its {self._all:,} texts is left once empty ones, copies "
                f"and those of task '{self._task.name}' are dropped"
            )
        made = self._book.hexdigest()[:ID_LENGTH]
        shown = "', '".join(self._columns)
        return {"digest": made, "dropped": self._all - kept, "column": shown}

    def _kept(self, path: Path) -> Iterator[tuple[str, ...]]:
        first = True
        for row in self._rows(path):
            self._all += 1
            key = PAIR.join(map(normalise, row))
            if not key.strip(PAIR) or (mark := _hash(key)) in self._seen:
                continue
            self._seen.add(mark)
            self._book.update(("" if first else "\x1e").encode())
            self._book.update(PAIR.join(row).encode("utf-8", "surrogatepass"))
            first = False
            # half a surrogate pair is no text that could be written
            yield tuple(t.encode("utf-8", "replace").decode("utf-8") for t in row)

    def _rows(self, path: Path) -> Iterator[tuple[str, ...]]:
        for frame in pieces(path):
            self._columns = self._columns or _columns(frame, self._task, self._where)
            if len(self._columns) == 1 and self._columns[0] != "text" in frame.columns:
                raise InputError(
                    f"{self._where}: its texts stand in column '{self._columns[0]}' of the first "
                    f"rows and in 'text' of later ones, must stand in one"
                )
            if path.suffix != ".jsonl":  # where a line may lack a key
                for name in self._columns:
                    columns.column(frame, name, self._where)
            frame = frame.reindex(columns=list(self._columns))
            for row in zip(*(frame[name] for name in self._columns), strict=True):
                if not all(isinstance(t, str) for t in row):
                    self._all += 1
                elif not self._lines:
                    yield row
                elif _hash(normalise(row[0])) in self._whole:
                    self._all += 1
                else:
                    yield from ((line,) for line in row[0].splitlines() or [""])


def _columns(frame: pd.DataFrame, task: Task, where: str) -> tuple[str, ...]:
    """Return the column with texts, or the two with pairs."""
    if task.text_pair is not None:
        for two in ((task.text, task.text_pair), *columns.PAIRS):
            if set(two) <= set(frame.columns):
                return two
        raise InputError(f"{where}: holds single texts, task '{task.name}' has pairs")
    if "text" in frame.columns:
        return ("text",)
    return (columns.guess_texts(frame, set(), where)[0],)


def _hash(key: str) -> int:
    data = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _find(name: str, data_dir: Path | None) -> Path:
    path = Path(name)
    if path.suffix in STREAMED:
        if not path.is_file():
            raise InputError(f"pool '{name}': there is no such file")
        return path
    if "/" in name or name.startswith("."):
        raise InputError(f"pool '{name}': is no {', '.join(STREAMED)} file and no corpus's name")
    if data_dir is None:
        raise InputError(f"pool '{name}': is read from --data-dir, and none is set")
    folder = data_dir / name
    for kind in STREAMED:
        for split in ("train", "unlabelled"):
            if (folder / f"{split}{kind}").is_file():
                return folder / f"{split}{kind}"
    known = [p.parent.name for kind in STREAMED for p in data_dir.glob(f"*/train{kind}")]
    hint = nearest(name, known)
    raise InputError(
        f"pool '{name}': there is no folder '{name}' with a train file in {data_dir}"
        + (f". Did you mean '{hint}'?" if hint else "")
    )
