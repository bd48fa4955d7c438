"""Look closely at one point of a run, its hardest rows named."""

from __future__ import annotations

from pathlib import Path

from raysearch.analysis import Run
from raysearch.analysis.point_lookup import find
from raysearch.analysis.report import Report, report
from raysearch.analysis.report_text import RowName
from raysearch.errors import InputError
from raysearch.recommend.recommended import recommended_id
from raysearch.workflow.open_run import open_data, row_names


def report_point(
    run: Run, point: str = "", data_dir: Path | None = None, *, texts: bool = False
) -> tuple[Report, dict[int, RowName], str]:
    """Return the report of a point, names of its hardest rows, and why there are none.

    A folder of records opens without its data; they are needed for texts alone.

    Args:
        run: a run; not changed.
        point: start of a point's or a trial's id; empty: the recommended one.
        data_dir: folder of data sets; None: where the run found them.
        texts: name rows by their texts too.

    Raises:
        InputError: no such point, or texts without the data.
    """
    name = find(run, point)[1].point_id if point else recommended_id(run)
    made = report(run, name)
    try:
        data = open_data(run.folder, data_dir)
    except InputError as e:
        if texts:
            raise
        return made, {}, str(e)
    from raysearch.data.external import judged_rows

    rows = judged_rows(data, crossfitted=made.about.folds > 0)
    return made, row_names(rows, [h.id for h in made.hard], texts=texts), ""
