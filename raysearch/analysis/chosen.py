"""Which point is meant: the one that was named, or the best where none was."""

from __future__ import annotations

import math

import pandas as pd

from raysearch.analysis.confirmation import Confirmation, confirmation
from raysearch.analysis.frontier import candidates
from raysearch.analysis.table import Run
from raysearch.analysis.winners import winners
from raysearch.errors import InputError, nearest

FEWEST_DIGITS = 4
"""Of an id, so that a prefix is not unique by chance."""


def chosen(run: Run, made: Confirmation | None = None) -> str | None:
    """Return the id of the best point: of the confirmed ones where there are any, else of all.

    Confirmed points are ranked by the mean validation score of their fresh draws, winners by their
    own; ties go to fewer infer_flops, then fewer train_flops_full, then the smaller id. None where
    nothing has a validation score.
    """
    made = confirmation(run) if made is None else made
    rows = candidates(run.table)
    if made.estimates:
        fresh = {e.point_id: e.validation for e in made.estimates}
        rows = rows[rows["point_id"].isin(list(fresh))].drop_duplicates("point_id")
        rows = rows.assign(rank=[fresh[str(p)] for p in rows["point_id"]])
    else:
        rows = winners(run.table)
        rows = rows.assign(rank=rows["score_validation"])
    keys = ["rank", "infer_flops", "train_flops_full", "point_id"]
    ranked = rows.sort_values(keys, ascending=[False, True, True, True], na_position="last")
    return str(ranked["point_id"].iloc[0]) if len(ranked) else None


def find(run: Run, name: str) -> pd.Series:
    """Return the row of the table that a point's or a trial's id, or the start of one, means.

    A trial of several points means its best on validation.

    Raises:
        InputError: no such id, an ambiguous one, or fewer than four digits.
    """
    rows = candidates(run.table)
    known = sorted({str(i) for i in (*rows["point_id"], *rows["id"])})
    where = f"{run.folder}: point"
    if len(name) < FEWEST_DIGITS:
        raise InputError(f"{where} '{name}': at least {FEWEST_DIGITS} digits of an id are needed")
    hits = [i for i in known if i.startswith(name.lower())]
    if len(hits) > 1 and name.lower() not in hits:
        raise InputError(f"{where} '{name}' may be {', '.join(hits[:3])}: give more digits")
    if not hits:
        hint = nearest(name, known)
        guess = f" Did you mean '{hint}'?" if hint else ""
        raise InputError(
            f"{where} '{name}': no finished trial or point has that id.{guess} "
            "records.parquet lists them (id, point_id)"
        )
    mine = rows[(rows["point_id"] == hits[0]) | (rows["id"] == hits[0])]
    best = mine.sort_values("score_validation", ascending=False, na_position="last", kind="stable")
    return best.iloc[0]


def name_of(row: pd.Series) -> str:
    """Return a point in words: method, model, labels."""
    labels = row["labels_train"]
    many = "?" if labels is None or math.isnan(float(labels)) else f"{int(labels):,}"
    return f"{row['method']}, {row['model']}, {many} labels"
