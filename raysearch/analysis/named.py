"""Which point a name means."""

from __future__ import annotations

import math

import pandas as pd

from raysearch.analysis.frontier import candidates
from raysearch.analysis.table import Run
from raysearch.errors import InputError, nearest

FEWEST_DIGITS = 4
"""Of an id, so that a prefix is not unique by chance."""


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
