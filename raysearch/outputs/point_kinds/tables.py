"""Points of a table of n-grams: the rows kept, and the type they are stored as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysearch.outputs.points import PointWords, with_rest

KNOBS = frozenset({"rows", "table"})


def words(knobs: Mapping[str, Any]) -> PointWords | None:
    """Return rows and type, on the curve of the type; None for other knobs.

    >>> words({"rows": 20000, "table": "float32"}), words({"rows": 1, "table": "int8"}).label
    (PointWords(label='20,000 rows, float32', curve='float32'), '1 row, int8')
    """
    if not (knobs.keys() >= KNOBS and isinstance(knobs["rows"], int)):
        return None
    rows = "1 row" if knobs["rows"] == 1 else f"{knobs['rows']:,} rows"
    own = PointWords(f"{rows}, {knobs['table']}", str(knobs["table"]))
    return with_rest(own, {k: v for k, v in knobs.items() if k not in KNOBS})
