"""Read a task's source: a folder, one file, the hub or the toy data, as tables by split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from raysearch.config.task import Task
from raysearch.data.frames import read_frame
from raysearch.data.tables_in import KINDS, shown
from raysearch.errors import InputError
from raysearch.storage import hub

OWN = "own"
"""Folder of packed files of the user's own."""

ALIASES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
    "unlabelled": ("unlabelled", "unlabeled", "unsupervised"),
}
"""File and split names that are taken for ours when a task names none."""


@dataclass(frozen=True, slots=True)
class Table:
    """One split as it was read."""

    frame: pd.DataFrame
    where: str
    """What an error calls it."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Class names in the order of the ids, by column, where the source has them."""


@dataclass(frozen=True, slots=True)
class Source:
    """All splits of a source, under our names, and remarks on them."""

    tables: Mapping[str, Table]
    notes: tuple[str, ...] = ()


def files(task: Task, data_dir: Path | None) -> dict[str, Path]:
    """Return the files a task is read from, by split; empty when it is not read from files.

    A folder under `data_dir` comes before the hub; `file:` is always itself.
    """
    if task.source.startswith("file:"):
        path = Path(task.source.removeprefix("file:"))
        paths = _in_folder(path, task) if path.is_dir() else {"train": path}
        if "unlabelled" in task.splits and Path(task.splits["unlabelled"]).is_absolute():
            paths["unlabelled"] = Path(task.splits["unlabelled"])
        return paths
    if task.source.startswith("builtin:") or data_dir is None:
        return {}
    folder = data_dir / (task.folder or task.name)
    if not folder.is_dir():
        return {}
    paths = _in_folder(folder, task)
    beside = folder.with_name(folder.name + "_unsup") / "train.parquet"
    if "unlabelled" in task.splits and "unlabelled" not in paths and beside.is_file():
        paths["unlabelled"] = beside
    return paths


def input_files(task: Task, data_dir: Path | None) -> dict[str, Path]:
    """Return the files that `localised` needs to read the task elsewhere, by relative name."""
    paths = files(task, data_dir)
    if not paths:
        return {}
    own, home = task.source.startswith("file:"), paths["train"].parent
    folder = OWN if own else task.folder or task.name
    out = {}
    for split, path in paths.items():  # a file alone may have any name
        known = path.parent == home and (not own or Path(task.source[5:]).is_dir())
        out[f"{folder}/{path.name if known else split + path.suffix}"] = path
    if not own and (home / "meta.json").is_file():
        out[f"{folder}/meta.json"] = home / "meta.json"
    return out


def localised(task: Task, folder: Path) -> Task:
    """Return the task as it is read from a folder with its packed files, the `data_dir` then."""
    if not task.source.startswith("file:"):
        return task
    splits = {k: v for k, v in task.splits.items() if not Path(v).is_absolute()}
    return replace(task, source=f"file:{folder / OWN}", splits=splits)


def read(task: Task, data_dir: Path | None = None) -> Source:
    """Read every split of a task; InputError names what cannot be read and what would help."""
    paths = files(task, data_dir)
    if paths:
        notes, names = _about(paths.get("train"), task)
        tables = {n: Table(read_frame(p), shown(p), names) for n, p in paths.items()}
        return Source(tables, notes)
    if task.source.startswith("file:"):
        raise InputError(
            f"{task.source.removeprefix('file:')}: holds no train file, must hold train"
            f" with one of {', '.join(KINDS)}"
        )
    if task.source.startswith("builtin:"):
        return _builtin(task)
    if task.source.startswith("hf:"):
        return _hub(task)
    folder = task.folder or task.name
    looked = f"there is no folder '{folder}' in {data_dir}" if data_dir else "no --data-dir is set"
    raise InputError(f"task '{task.name}': is read from --data-dir only, and {looked}")


def _in_folder(folder: Path, task: Task) -> dict[str, Path]:
    paths = {}
    for split, aliases in ALIASES.items():
        if task.splits and split not in task.splits and split != "unlabelled":
            continue
        wanted = (task.splits[split],) if split in task.splits else aliases
        # A hub's name for a split need not be the folder's: cola reports on `validation`, but imdb
        # calls its pool `unsupervised`.
        for name in dict.fromkeys((*wanted, *(aliases if split == "unlabelled" else ()))):
            path = next((p for k in KINDS if (p := folder / f"{name}{k}").is_file()), None)
            if path is not None:
                paths[split] = path
                break
    return paths if "train" in paths else {}


def _about(path: Path | None, task: Task) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Read the meta.json beside a folder's files: its description and label names."""
    meta_path = path.parent / "meta.json" if path is not None else None
    if meta_path is None or not meta_path.is_file() or task.source.startswith("file:"):
        return (), {}
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise InputError(f"{meta_path}: is not JSON") from e
    notes = []
    folder = meta_path.parent.name
    published, listed = meta.get("published_size") or {}, meta.get("splits") or {}
    for split in ("train", "validation", "test"):
        whole, rows = published.get(split), listed.get(split, {}).get("rows")
        if isinstance(whole, int) and isinstance(rows, int) and rows < whole:
            notes.append(f"{folder}: {split} holds {rows:,} of the published {whole:,} rows")
    if meta.get("notes"):
        notes.append(f"{folder}: {meta['notes']}")
    names = tuple(str(n) for n in meta.get("label_names") or ())
    return tuple(notes), {"label": names} if names else {}


def _builtin(task: Task) -> Source:
    if task.source != "builtin:toy":
        raise InputError(f"task '{task.name}': no source '{task.source}'. Known: builtin:toy")
    from raysearch.toy import grammar

    tables = {}
    for split in task.splits:
        texts, labels = grammar.split(split, classes=task.classes)  # type: ignore[arg-type]
        frame = pd.DataFrame({"text": texts, "label": labels})
        tables[split] = Table(frame, f"toy {split}")
    return Source(tables, ("toy: sentences made by a grammar, with 3.5 % of the labels wrong",))


def _hub(task: Task) -> Source:
    loaded, notes = hub.fetch(task)
    name = hub.hub_id(task.source)[0]
    tables = {}
    for split, aliases in ALIASES.items():
        if task.splits and split not in task.splits:
            continue
        wanted = (task.splits[split],) if split in task.splits else aliases
        theirs = next((w for w in wanted if w in loaded), None)
        if theirs is None:
            continue
        data = loaded[theirs]
        classes = {
            column: tuple(str(n) for n in kind.names)
            for column, kind in data.features.items()
            if hasattr(kind, "names")
        }
        tables[split] = Table(data.to_pandas(), f"hf:{name} {theirs}", classes)
    if "train" not in tables:
        names = ", ".join(str(s) for s in loaded)
        train = task.splits.get("train", "train")
        raise InputError(f"hf:{name}: holds no split '{train}'. Known: {names}")
    return Source(tables, notes)
