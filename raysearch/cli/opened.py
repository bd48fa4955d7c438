"""The data of a run that is there already, opened as it was when the run began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.errors import InputError
from raysearch.plan.asrun import read_asrun

if TYPE_CHECKING:
    from raysearch.analysis.report_text import RowName
    from raysearch.engine.data import TaskData
    from raysearch.engine.protocol import Rows

data_dir: Callable[[Any], Any] = click.option(
    "--data-dir",
    type=options.FOLDER,
    envvar="RAYSEARCH_DATA_DIR",
    metavar="DIR",
    help="Folder of data sets, where they no longer lie where the run found them.",
)


def open_data(out: Path, given: Path | None) -> TaskData:
    """Load the run's task and check that it is the same data.

    Raises:
        InputError: no run, no data, or data that have changed since.
    """
    as_run = read_asrun(out)
    folder = given or (Path(as_run.folders["data"]) if "data" in as_run.folders else None)
    if given is not None and not given.is_dir():
        raise InputError(f"--data-dir: no folder '{given}'")

    from raysearch.engine.data import load_task

    data = load_task(as_run.task, data_dir=folder)
    if data.digest != as_run.splits:
        raise InputError(
            f"{out}: the data of task '{as_run.task.name}' have changed since the run began "
            f"(digest {data.digest}, the run says {as_run.splits})"
        )
    return data


def row_names(rows: Rows, ids: Iterable[int], *, texts: bool) -> dict[int, RowName]:
    """Hashes of rows by row number, and their texts where a reader asked for them."""
    from raysearch.analysis.report_text import RowName
    from raysearch.engine.hashes import row_hash

    place = {int(i): at for at, i in enumerate(rows.ids)}
    out = {}
    for number in ids:
        at = place[number]
        text, pair = rows.text[at], None if rows.pair is None else rows.pair[at]
        shown = (text, pair) if texts else (None, None)
        out[number] = RowName(row_hash(text, pair), *shown)
    return out
