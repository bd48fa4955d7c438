"""The data of a run, opened as they were when the run began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.errors import InputError
from raysearch.run.study_file import StudyManifest, read_study_manifest
from raysearch.workflow.listeners import Notify, ignore

if TYPE_CHECKING:
    from raysearch.analysis.report_text import Namer, RowName
    from raysearch.data.rows import Rows
    from raysearch.data.task_data import TaskData


def open_data(out: Path, given: Path | None, *, ask_hub: bool = True) -> TaskData:
    """Load the run's task and check that it is the same data.

    Args:
        out: the run's folder.
        given: the folder of data sets; None: where the run found them.
        ask_hub: whether the hub may be asked; False: it is this machine's copy or none.

    Raises:
        InputError: no run, no data, or data that have changed since.
    """
    as_run = read_study_manifest(out)
    folder = given or (Path(as_run.folders["data"]) if "data" in as_run.folders else None)
    if given is not None and not given.is_dir():
        raise InputError(f"--data-dir: no folder '{given}'")
    data = _load(as_run, folder, ask_hub)
    if data.digest != as_run.splits:
        raise InputError(
            f"{out}: the data of task '{as_run.task.name}' have changed since the run began "
            f"(digest {data.digest}, the run says {as_run.splits})"
        )
    return data


def _load(as_run: StudyManifest, folder: Path | None, ask_hub: bool) -> TaskData:
    from raysearch.data import sources
    from raysearch.data.task_data import load_task
    from raysearch.storage import hub

    online = ask_hub or not as_run.task.source.startswith("hf:")
    if online or sources.files(as_run.task, folder):
        return load_task(as_run.task, data_dir=folder)
    with hub.offline():
        return load_task(as_run.task, data_dir=folder)


def rows_of(data: TaskData, split: str) -> Rows:
    """Return the rows that a run's row numbers of a split are of.

    What was carved out of the pool may be carved anew for a draw, so that any row of the pool may
    be meant.
    """
    from raysearch.data.crossfit import POOL

    if data.pool is not None and split in data.carved:
        return data.pool.rows(POOL)
    return data.splits[split]


def row_names(rows: Rows, ids: Iterable[int], *, texts: bool) -> dict[int, RowName]:
    """Return hashes of rows by row number, and their texts where `texts`.

    Numbers that no row has are left out.
    """
    import numpy as np

    from raysearch.analysis.report_text import RowName
    from raysearch.data.hashes import row_hash

    wanted = list(ids)
    positions = np.flatnonzero(np.isin(rows.ids, np.array(wanted, np.int64)))
    place = {int(rows.ids[at]): int(at) for at in positions}
    out = {}
    for number in wanted:
        if number not in place:
            continue
        at = place[number]
        text, pair = rows.text[at], None if rows.pair is None else rows.pair[at]
        shown = (text, pair) if texts else (None, None)
        out[number] = RowName(row_hash(text, pair), *shown)
    return out


def row_namer(
    out: Path,
    given: Path | None = None,
    *,
    texts: bool = False,
    notify: Notify = ignore,
) -> Namer:
    """Return a function that names rows of a run's data by hash, and by text where texts are shown.

    For texts the data are opened at once. For hashes they are opened when the first row is to be
    named, from this machine alone; where that cannot be, no row is named and `notify` is given
    the reason.

    Raises:
        InputError: texts are asked for, and the data cannot be read.
    """

    @cache
    def data() -> TaskData | None:
        try:
            return open_data(out, given, ask_hub=texts)
        except InputError as e:
            if texts:
                raise
            notify(f"rows are named by number: {e}")
            return None

    def names(split: str, ids: Sequence[int]) -> Mapping[int, RowName]:
        opened = data()
        return {} if opened is None else row_names(rows_of(opened, split), ids, texts=texts)

    if texts:
        data()
    return names
