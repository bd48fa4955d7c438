"""What stands for each procedure of a run: its one point that validation chooses."""

from __future__ import annotations

import json
import math

from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.intervals import careful
from raysearch.analysis.run import Run
from raysearch.analysis.winners import winners


def chosen(run: Run) -> dict[str, str]:
    """Return the chosen point of each procedure, in the order of their names.

    Among a procedure's confirmed points the best mean validation score of the fresh draws, where
    it has none the best of the search; by the lower end of its interval over the validation rows
    (see `careful`). Ties: the cheaper in inference, then the id. Left out are int8 twins, and
    procedures without a validation score (zero-shot), which nothing chooses.
    """
    table = run.table
    int8 = table["point"].map(lambda p: bool(isinstance(p, str) and json.loads(p).get("int8")))
    ranked: dict[str, list[tuple[bool, float, float, str]]] = {}
    fresh = {e.point_id: e for e in confirmation(run).estimates}
    rows = table[~int8 & (table["phase"] != "confirm")].drop_duplicates("point_id")
    won = set(winners(table[~int8])["point_id"])
    for row in rows[rows["point_id"].notna()].to_dict("records"):
        name, e = str(row["point_id"]), fresh.get(str(row["point_id"]))
        if e is None and name not in won:
            continue
        seen = float(row["score_validation"]) if e is None else e.validation
        judges = row["validation_rows"] if e is None else e.validation_rows
        if not math.isfinite(seen):
            continue
        value = careful(seen, int(judges), str(row["score_name"]))
        cost = float(row["infer_flops"])
        key = (e is None, -value, cost if math.isfinite(cost) else math.inf, name)
        ranked.setdefault(str(row["procedure"]), []).append(key)
    return {procedure: min(keys)[-1] for procedure, keys in sorted(ranked.items())}
