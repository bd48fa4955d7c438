"""Corpora: texts without labels from elsewhere, as a transfer pool."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysearch.engine import columns
from raysearch.engine.data import TaskData
from raysearch.engine.protocol import Rows
from raysearch.engine.sources import KINDS, read_frame
from raysearch.engine.splits import normalise
from raysearch.errors import InputError
from raysearch.plan.config import ID_LENGTH

_ORDER = 6  # stream of a trial's data seed, apart from those of engine.data and engine.crossfit

_KEPT = 2
_opened: OrderedDict[tuple[str, int, str], Corpus] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of a corpus that stand in no split of the task, each once."""

    name: str
    digest: str
    """16 hex digits over the texts, in order."""
    text: Sequence[str]
    dropped: int
    """Texts that were empty, stood twice, or stand in a split of the task."""

    column: str = "text"
    """Where they stood."""

    def __len__(self) -> int:
        return len(self.text)

    def take(self, n: int, seed: int) -> Rows:
        """The first n texts of the seed's order: smaller pools are prefixes of larger ones."""
        order = np.random.default_rng([seed, _ORDER]).permutation(len(self.text))[:n]
        name = f"corpus-{self.digest}"
        return Rows(name, order.astype(np.int64), [self.text[i] for i in order.tolist()])

    def sentence(self) -> str:
        """What a run says about it."""
        return (
            f"pool {self.name}: {len(self):,} texts of column '{self.column}'; {self.dropped:,} "
            "dropped that are empty, stand twice or stand in the task"
        )


def open_corpus(name: str, data: TaskData, data_dir: Path | None) -> Corpus:
    """Read a corpus: a file or a folder of that name under `data_dir`; its text column.

    Texts equal to one of any split of the task (case and white space aside) are dropped, labelled
    or not.

    Raises:
        InputError: it is not there, holds no text, or the task asks for pairs.
    """
    path = _find(name, data_dir)
    key = (str(path), path.stat().st_mtime_ns, data.digest)
    if key not in _opened:
        while len(_opened) >= _KEPT:
            _opened.popitem(last=False)
        _opened[key] = _read(path, name, data)
    return _opened[key]


def _read(path: Path, name: str, data: TaskData) -> Corpus:
    if data.task.text_pair is not None:
        raise InputError(f"pool '{name}': holds single texts, task '{data.task.name}' has pairs")
    frame = read_frame(path)
    column = "text"
    if column not in frame.columns:
        column = columns.guess_texts(frame, set(), f"pool '{name}'")[0]
    texts = [str(t) for t in frame[column] if isinstance(t, str)]
    seen = {normalise(t) for rows in data.splits.values() for t in rows.text}
    kept = []
    for text in texts:
        alike = normalise(text)
        if alike and alike not in seen:
            seen.add(alike)
            kept.append(text)
    if not kept:
        raise InputError(
            f"pool '{name}': none of its {len(texts):,} texts is left once empty ones, copies and "
            f"those of task '{data.task.name}' are dropped"
        )
    book = hashlib.sha256("\x1e".join(kept).encode("utf-8", "surrogatepass"))
    shown = Path(name).stem if Path(name).suffix in KINDS else name
    dropped = len(frame) - len(kept)
    return Corpus(shown, book.hexdigest()[:ID_LENGTH], kept, dropped, column)


def _find(name: str, data_dir: Path | None) -> Path:
    path = Path(name)
    if path.suffix in KINDS:
        if not path.is_file():
            raise InputError(f"pool '{name}': there is no such file")
        return path
    if "/" in name or name.startswith("."):
        raise InputError(f"pool '{name}': is no {', '.join(KINDS)} file and no corpus's name")
    if data_dir is None:
        raise InputError(f"pool '{name}': is read from --data-dir, and none is set")
    folder = data_dir / name
    for kind in KINDS:
        for split in ("train", "unlabelled"):
            if (folder / f"{split}{kind}").is_file():
                return folder / f"{split}{kind}"
    raise InputError(f"pool '{name}': there is no folder '{name}' with a train file in {data_dir}")
