"""Cascades of a run: those worth having, or those of two points, and how to run one."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysearch.analysis import Run
from raysearch.analysis.cascade import cascades as all_cascades
from raysearch.analysis.cascade import of_pair, why
from raysearch.analysis.cascade_point import Cascade
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.point_lookup import find
from raysearch.errors import InputError

DIGITS = 8
"""Of an id where a person reads it."""


def list_cascades(
    run: Run, first: str | None = None, second: str | None = None
) -> tuple[tuple[Cascade, ...], str]:
    """Return the cascades worth having, or all of two named points, and what is missing.

    Raises:
        InputError: one point is named, or what is named is no such pair, or nothing is confirmed.
    """
    if first is not None and second is not None:
        return _of_two(run, first, second)
    if first is None and second is None:
        return _worth_having(run)
    raise InputError("--first and --second: both are needed, or neither")


def commands(run: Path, cascade: Cascade) -> list[str]:
    """Return what exports the members, and labels a table with both."""
    where = shlex.quote(str(run))
    return [
        f"raysearch export {where} {cascade.first} --to first",
        f"raysearch export {where} {cascade.second} --to second",
        f"raysearch predict first IN.csv -o OUT.csv --otherwise second "
        f"--threshold {cascade.threshold:g}",
    ]


def _worth_having(run: Run) -> tuple[tuple[Cascade, ...], str]:
    made, missing = all_cascades(run), why(run)
    if not made and missing:
        done = confirmation(run)
        hint = "" if done.estimates or done.why else f"; first: raysearch confirm {run.folder}"
        raise InputError(f"{run.folder}: {missing}{hint}")
    return made, missing


def _of_two(run: Run, first: str, second: str) -> tuple[tuple[Cascade, ...], str]:
    ids = [find(run, name)[1].point_id for name in (first, second)]
    if ids[0] == ids[1]:
        raise InputError(
            f"{run.folder}: --first '{first}' and --second '{second}' are one point, {ids[0]}"
        )
    return of_pair(run, *ids)


def pick_cascade(run: Path, made: tuple[Cascade, ...], name: str) -> Cascade | None:
    """Return the cascade that the start of an id means; the best on validation without one.

    Raises:
        InputError: no cascade has such an id, or several have.
    """
    if not name:
        return max(made, key=lambda c: (c.validation, -c.validation_flops), default=None)
    hits = [c for c in made if c.point_id.startswith(name.lower())]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(c.point_id[:DIGITS] for c in hits or made) or "none"
    which = "may be" if hits else "is not one of"
    raise InputError(f"{run}: cascade '{name}' {which} {known}")


def cascades_json(run: Run, made: tuple[Cascade, ...], missing: str) -> dict[str, Any]:
    """Return a run's cascades as plain JSON, with what exports and runs each."""
    listed = []
    for c in made:
        value = {k: v for k, v in asdict(c).items() if v is not None}
        listed.append({**value, "commands": commands(run.folder, c)})
    return {"score": run.records[0].score, "cascades": listed, "missing": missing}
