"""Which point a name means."""

from __future__ import annotations

from raysearch.analysis.run import Run
from raysearch.errors import InputError, nearest
from raysearch.outputs.described import label_of
from raysearch.record import OperatingPoint, TrialRecord

FEWEST_DIGITS = 4
"""Of an id, so that a prefix is not unique by chance."""


class NoSuchPoint(InputError):
    """No id of the run begins so."""


def find(run: Run, name: str) -> tuple[TrialRecord, OperatingPoint]:
    """Find the trial of the search and its point that an id, or the start of one, means.

    A trial of several points means its best on validation; int8 twins go by their own id alone.

    Raises:
        NoSuchPoint: no such id.
        InputError: an ambiguous one, fewer than four digits, or a trial without points.
    """
    search = [r for r in run.records if r.phase != "confirm"]
    points = {p.point_id: (r, p) for r in search for p in r.points}
    trials = {r.id: r for r in search}
    where = f"{run.folder}: point"
    name = name.lower()
    known = {*points, *trials}
    if name not in known and len(name) < FEWEST_DIGITS:
        raise InputError(f"{where} '{name}': at least {FEWEST_DIGITS} digits of an id are needed")
    hits = [name] if name in known else sorted(i for i in known if i.startswith(name))
    if len(hits) > 1:
        raise InputError(f"{where} '{name}' may be {', '.join(hits[:3])}: give more digits")
    if not hits:
        hint = nearest(name, known)
        guess = f" Did you mean '{hint}'?" if hint else ""
        raise NoSuchPoint(
            f"{where} '{name}': no trial or point of the search has that id.{guess} "
            "records.parquet lists them (id, point_id)"
        )
    if hits[0] in points:
        return points[hits[0]]
    record = trials[hits[0]]
    own = [p for p in record.points if not p.knobs.get("int8")]
    if not own:
        raise InputError(f"{where} '{name}': trial {record.id} is {record.status}, without a point")
    scores = [p.scores.get("validation", {}).get(record.score, float("-inf")) for p in own]
    return record, own[scores.index(max(scores))]


def name_of(record: TrialRecord, point: OperatingPoint) -> str:
    """Return a point in words: method, model, labels, its own knobs."""
    config = record.config
    labels = f"{config.data.train:,} labels" if config.data.train else "no labels"
    words = label_of(point)
    return ", ".join([config.method, config.rung, labels, *([words] if words else [])])


def labels_by_point(run: Run) -> dict[str, str]:
    """Return the label of each point of a run that has one, by point id."""
    return {p.point_id: w for r in run.records for p in r.points if (w := label_of(p))}
