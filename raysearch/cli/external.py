"""The verb that sets a system from outside beside a run's points: add-point."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.open_run import data_dir as data_dir_option
from raysearch.cli.open_run import open_data
from raysearch.cli.sync import carry
from raysearch.errors import InputError
from raysearch.record import Outside
from raysearch.run.records import RecordWriter

if TYPE_CHECKING:
    from raysearch.analysis import Run
    from raysearch.analysis.confirmation import Confirmation
    from raysearch.analysis.external import Against
    from raysearch.data.external import Predictions

LONGEST = 80
"""Characters of a name."""
SHOWN = 8
"""Confirmed points a terminal shows, the best first."""


@click.command("add-point")
@click.argument("run", type=options.FOLDER)
@click.option("--name", metavar="NAME", help="What the system is called.")
@click.option(
    "--predictions",
    type=options.FOLDER,
    metavar="FILE",
    help="CSV, TSV or JSONL with text (and text_pair) or hash, and prediction.",
)
@click.option("--dollars-per-1k", type=float, metavar="X", help="Price of 1,000 texts.")
@click.option("--labels", type=int, metavar="N", help="Labelled examples it has used.")
@click.option("--ms", type=float, metavar="X", help="Milliseconds per text.")
@click.option(
    "--template",
    type=options.FOLDER,
    metavar="FILE",
    help="Write the rows to be predicted, texts and all, and stop.",
)
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def add_point(run: Path, **given: Any) -> int:
    r"""Set a system from outside beside a run's points, by its predictions of the test rows.

    \b
    raysearch add-point runs/sst2-quick --template rows.csv
    raysearch add-point runs/sst2-quick --name gpt-x --predictions rows.csv --dollars-per-1k 0.4
    """
    if given["template"] is not None:
        return _template(run, given)
    name = _name(given["name"])
    path: Path | None = given["predictions"]
    if path is None:
        raise InputError("--predictions: name a file, or --template FILE to write what it must say")
    costs = {key: _cost(key, given[key]) for key in ("labels", "ms", "dollars_per_1k")}

    from raysearch.analysis import read_run
    from raysearch.analysis.confirmation import confirmation
    from raysearch.analysis.external import against, rows_interval, uncovered
    from raysearch.data import external

    before = read_run(run)
    data = open_data(run, given["data_dir"])
    rows = external.judged_rows(data, crossfitted=_crossfitted(before))
    found = external.read_predictions(path, rows, data.task)
    scored = external.score(found, rows, data.task)
    label: Any = rows.label
    interval = rows_interval(found.values, label, data.task.score, data.task.classes)
    added = Outside(
        name,
        _key(name, data.digest, found),
        {"test": scored},
        len(rows),
        data.task.score,
        interval,
        **costs,
    )
    replaced = _store(run, before, added, found)
    carry(run)
    after = read_run(run)
    made = confirmation(after)
    held = against(after, made, outside=(added,))
    why = uncovered(after, made, added)
    if given["as_json"]:
        print(json.dumps(_json(added, held, why, replaced, found), allow_nan=False))
        return 0
    _say(run, after, made, added, held, why, replaced, found)
    return 0


def _template(run: Path, given: dict[str, Any]) -> int:
    if given["predictions"] is not None:
        raise InputError("--template: writes the rows to be predicted; --predictions reads them")
    from raysearch.analysis import read_run
    from raysearch.data.external import judged_rows, write_template

    crossfitted = _crossfitted(read_run(run))
    data = open_data(run, given["data_dir"])
    rows = judged_rows(data, crossfitted=crossfitted)
    count = write_template(given["template"], rows)
    what = f"numbers ({data.task.score})" if data.task.regression else "one of the labels"
    if given["as_json"]:
        print(json.dumps({"file": str(given["template"]), "texts": count, "rows": len(rows)}))
        return 0
    print(f"{given['template']}: {count:,} texts, without labels; they leave the run on your word")
    names = "" if data.task.regression else ": " + ", ".join(data.task.label_names[:8])
    print(f"  add a column 'prediction', {what}{names}")
    return 0


def _crossfitted(run: Run) -> bool:
    return any(r.phase == "confirm" and r.config.data.folds for r in run.records)


def _name(given: str | None) -> str:
    """A name fit to stand on a page: something, short, printable."""
    name = unicodedata.normalize("NFC", (given or "").strip())
    if not name:
        raise InputError("--name: name the system, as gpt-x")
    if len(name) > LONGEST:
        raise InputError(f"--name: has {len(name)} characters, may have {LONGEST}")
    bad = next((c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        raise InputError(f"--name: holds the character U+{ord(bad):04X}, must be printable")
    return name


def _cost(key: str, value: float | None) -> Any:
    """A cost as given; None where none was, never 0."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise InputError(f"--{key.replace('_', '-')}: is {value:g}, must be a number, 0 or above")
    return value


def _key(name: str, splits: str, found: Predictions) -> str:
    from raysearch.config.trial import digest

    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "system"
    rows = [found.ids.tolist(), found.values.tolist()]
    return f"{slug}-{digest({'name': name, 'splits': splits, 'rows': rows})}"


def _store(run: Path, before: Run, added: Outside, found: Predictions) -> bool:
    """Keep predictions and event while holding the folder; whether the name was there already."""
    import numpy as np

    from raysearch.analysis.external import KIND
    from raysearch.run.folder import Folder, held
    from raysearch.storage.store import Store

    folder, store = Folder(run), Store(run / "store")

    def fill(at: Path) -> dict[str, Any]:
        np.save(at / "ids.npy", found.ids)
        np.save(at / "predictions.npy", found.values)
        return {"name": added.name, "rows": added.rows}

    with held(folder):
        store.build(KIND, added.key, fill)
        writer = RecordWriter(folder.records)
        try:
            writer.append(added.to_json())
        finally:
            writer.close()
        old = [o for o in before.outside if o.name == added.name]
        for other in old:
            if other.key != added.key:
                store.drop(KIND, other.key)
    return bool(old)


def _json(
    added: Outside, held: list[Against], why: str, replaced: bool, found: Predictions
) -> dict[str, Any]:
    value = added.to_json()
    value = {k: v for k, v in value.items() if k not in ("schema", "event")}
    keys = ("point_id", "difference", "low", "high", "verdict")
    pairs = [{k: getattr(a, k) for k in keys} for a in held]
    more = {"replaced": replaced, "read_as": found.read_as, "shared": found.shared}
    return {**value, **more, "against": pairs, **({"why": why} if why else {})}


def _say(
    run: Path,
    after: Run,
    made: Confirmation,
    added: Outside,
    held: list[Against],
    why: str,
    replaced: bool,
    found: Predictions,
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from raysearch.analysis.point_lookup import find, name_of

    ends = added.interval
    span = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    print(f"{added.name}: {added.score} {added.value:.3f}{span} on test ({added.rows:,} rows)")
    shared = (
        f"; {found.shared:,} rows share the prediction of an equal text" if found.shared else ""
    )
    print(f"  predictions read as {found.read_as}{shared}; interval over the test rows alone")
    if replaced:
        print(f"  replaces the earlier '{added.name}'")
    if why:
        first = f"confirm first: raysearch confirm {run}"
        print(f"  no verdict: {why}" if made.estimates or made.why else f"  {first} ({why})")
        return
    ranked = sorted(held, key=lambda a: -made.estimates[made.at(a.point_id) or 0].validation)
    best = ranked[0]
    words = {"better": "better than", "worse": "worse than"}
    said = words.get(best.verdict, "not distinguishable from")
    print(
        f"  {said} the best confirmed point ({name_of(*find(after, best.point_id))}): "
        f"{best.difference:+.3f} [{best.low:+.3f}, {best.high:+.3f}], paired over rows"
    )
    table = Table(title="Against the confirmed points, the best on validation first")
    table.title_justify = "left"
    for column in ("point", "method, model, labels"):
        table.add_column(column)
    for column in (added.score, "difference", "95 % interval", "verdict"):
        table.add_column(column, justify="right")
    for pair in ranked[:SHOWN]:
        estimate = made.estimates[made.at(pair.point_id) or 0]
        table.add_row(
            pair.point_id[:8],
            Text(name_of(*find(after, pair.point_id))),
            f"{estimate.score:.3f}",
            f"{pair.difference:+.3f}",
            f"[{pair.low:+.3f}, {pair.high:+.3f}]".replace("[", r"\["),
            pair.verdict,
        )
    Console(width=110).print(table)
    if len(ranked) > SHOWN:
        print(f"{len(ranked) - SHOWN} more in --json")
