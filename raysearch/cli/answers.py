"""The verbs that answer: recommend, confirm. What they say is what the page says, word for word."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.sync import carry
from raysearch.config.option_values import names, number, positive
from raysearch.errors import InputError
from raysearch.run.study_file import read_asrun

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.recommend.answer import Answer
    from raysearch.recommend.points import Points

LIMITS = {
    "labels": "--labels",
    "max_ms": "--max-ms",
    "max_bytes": "--max-bytes",
    "max_train_flops": "--max-train-flops",
    "volume": "--volume",
}

limits: Callable[[Any], Any] = options.group(
    click.option("--labels", metavar="N", help="Labels I have: training and validation."),
    click.option("--max-ms", metavar="X", help="At most so many milliseconds a text (measured)."),
    click.option("--max-bytes", metavar="X", help="At most so large when stored."),
    click.option("--max-train-flops", metavar="X", help="At most so much training compute."),
    click.option("--min-score", metavar="X", help="At least this score on validation."),
    click.option("--volume", metavar="N", help="Texts a month, for the dollars to own."),
)


@click.command()
@click.argument("run", type=options.FOLDER)
@limits
@options.prices
@click.option("--cost", metavar="AXIS", default="", help="Cost that breaks ties, as infer_flops.")
@click.option("--methods", metavar="A,B", help="Only these methods.")
@click.option("--teacher", metavar="full|shared|free", default="full", help="Who pays a teacher.")
@options.share
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def recommend(run: Path, as_json: bool, **given: Any) -> int:
    r"""Say what to train within limits, what else ties, and why not the others.

    \b
    raysearch recommend runs/sst2-quick --labels 800 --max-ms 5
    """
    import numpy as np

    from raysearch.analysis import read_run
    from raysearch.recommend.answer import answer
    from raysearch.recommend.collect import collect
    from raysearch.recommend.label_value import unpriced
    from raysearch.recommend.points import OWN

    points = collect(read_run(run, shared_by=options.share_of(given)))
    setting = asked(points, given)
    found = answer(points, **setting)
    if setting["cost"] == OWN and not np.isfinite(found.own).any():
        raise InputError(f"--cost own: {'; '.join(unpriced(points, found))}")
    if as_json:
        print(json.dumps(to_json(points, found), allow_nan=False))
    else:
        for line in lines(points, found):
            print(line)
    return 0


def recommended(run: Run) -> str:
    """The point that the page recommends at first; of an int8 twin the float one.

    Raises:
        InputError: no point has a score on validation.
    """
    from raysearch.analysis.point_lookup import find
    from raysearch.recommend.recommended import recommended as best

    found = best(run)
    if found is None:
        raise InputError(f"{run.folder}: no point has a score on validation: none to take")
    record, point = find(run, found)
    if point.knobs.get("int8"):  # taken by name alone
        rest = {k: v for k, v in point.knobs.items() if k != "int8"}
        return next((p.point_id for p in record.points if dict(p.knobs) == rest), found)
    return found


def asked(points: Points, given: dict[str, Any]) -> dict[str, Any]:
    """The setting that the options ask for.

    Raises:
        InputError: a number that is none, or a method, axis or teacher that does not exist.
    """
    from raysearch.errors import unknown
    from raysearch.recommend.points import OWN, TEACHERS

    out: dict[str, Any] = {
        name: positive(given[name], option, zero=name in ("labels", "volume"))
        for name, option in LIMITS.items()
    }
    out["min_score"] = number(given["min_score"], "--min-score")
    named = options.prices_of(given)
    out["prices"] = {**points.prices, **named} if named else None
    if given["teacher"] not in TEACHERS:
        raise unknown("--teacher", "account", given["teacher"], TEACHERS)
    out["teacher"] = given["teacher"]
    axes = {a.name for a in points.axes} | {OWN}
    if given["cost"] and given["cost"] not in axes:
        raise unknown("--cost", "cost", given["cost"], axes)
    out["cost"] = given["cost"]
    out["methods"] = None
    if given["methods"]:
        out["methods"] = names(given["methods"])
        for name in out["methods"]:
            if name not in points.fates:
                raise unknown("--methods", "method", name, points.fates)
    return out


def lines(points: Points, found: Answer) -> list[str]:
    """What the page's first screen says, line by line."""
    from raysearch.recommend.sentences import details, footer, headline, interval_note, why
    from raysearch.recommend.words import text

    out = [text(s) for s in (*headline(points, found), *details(points, found))]
    if found.choice is not None:
        out.append(
            f"Export it: raysearch export {points.run} {points.ids[found.choice]} --to model"
        )
    out.append("")
    out += [f"{who}: {said}" for who, said in why(points, found)]
    out += ["", *(line for line in (interval_note(points, found), footer(points, found)) if line)]
    return out


def to_json(points: Points, found: Answer) -> dict[str, Any]:
    """The same as plain JSON; what is not known is left out."""
    from raysearch.recommend.differences import difference_of, interval_of
    from raysearch.recommend.point_text import name
    from raysearch.recommend.sentences import details, footer, headline, why
    from raysearch.recommend.words import text

    def shown(i: int | None) -> dict[str, Any] | None:
        if i is None:
            return None
        ends = interval_of(points, i)
        costs = {k: float(v[i]) for k, v in points.costs.items() if math.isfinite(v[i])}
        if math.isfinite(found.own[i]):
            costs["own"] = float(found.own[i])
        out: dict[str, Any] = {
            "point_id": points.ids[i],
            "name": name(points, i),
            "method": points.methods[points.method[i]],
            "model": points.models[points.model[i]],
            "labels": int(points.labels[i]),
            "draws": int(points.draws[i]),
            "validation": float(points.validation[i]),
            "test": float(points.test[i]),
            "interval": None if ends is None else list(ends),
            "costs": costs,
        }
        if found.choice is not None and i != found.choice:
            gap = difference_of(points, i, found.choice)
            out["difference"] = float(points.test[i] - points.test[found.choice])
            out["difference_interval"] = None if gap is None else list(gap)
        return out

    return {
        "task": points.task,
        "score": points.score,
        "choice": shown(found.choice),
        "runner_up": shown(found.runner),
        "cheaper_tie": shown(found.tie),
        "nothing_stands_out": found.flat,
        "relax": [
            {"limit": limit, "needed": need, "point": shown(i)} for limit, need, i in found.relax
        ],
        "sentences": [text(s) for s in (*headline(points, found), *details(points, found))],
        "why": dict(why(points, found)),
        "footer": footer(points, found),
    }


@click.command()
@click.argument("run", type=options.FOLDER)
@click.option("--draws", type=int, metavar="K", help="Fresh draws of each candidate. [the study's]")
@options.folders
@click.option("--hours", type=float, metavar="H", help="Only as many candidates as fit this time.")
@options.gpus
@options.address
@options.storage
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def confirm(run: Path, draws: int | None, as_json: bool, **given: Any) -> int:
    r"""Run the best again on fresh draws of data and seeds; estimates come from those alone.

    \b
    raysearch confirm runs/sst2-quick --draws 5
    """
    from raysearch.cli import phases, studies
    from raysearch.cli.prepare import prepare

    as_run = read_asrun(run)
    draws = (as_run.study.draws or 5) if draws is None else draws
    if draws < 1:
        raise InputError(f"--draws: {draws} given, must be 1 or more (3 for an interval)")
    if given["hours"] is not None and not given["hours"] > 0:
        raise InputError(f"--hours: {given['hours']:g} given, must be above 0")
    say = studies.printer(as_json)
    with studies.at_hand(given["address"]) as cluster:
        prepared = prepare({**studies.NOTHING, "out": run, **given, "hours": None}, **cluster)
        hours, address = given["hours"], given["address"]
        done = phases.confirm_run(prepared, draws, say, hours=hours, address=address)
    if done.outcome is not None and done.outcome.interrupted:
        say(done.outcome.stopped_by)
        say(f"go on with: raysearch confirm {run} --draws {draws}")
        return 130 if done.outcome.stopped_by.startswith("interrupted") else 1
    found, table = studies.read_back(run)
    page = studies.write_page(run)
    carry(run)
    if as_json:
        print(
            json.dumps({**phases.as_json(done), **studies.confirmed_json(found), "page": str(page)})
        )
        return 0
    studies.show(found, page, table)
    return 0
