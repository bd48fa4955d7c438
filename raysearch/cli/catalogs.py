"""The verbs that look before anything is spent: ls, check, doctor."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from raysearch.cli import options
from raysearch.config import catalog
from raysearch.config.space import NONE
from raysearch.errors import InputError, unknown
from raysearch.scores import SCORES
from raysearch.workflow.options import DEFAULT_OPTIONS

KINDS = ("tasks", "methods", "models", "spaces", "studies", "objectives", "scores")


@click.command()
@click.argument("kind", metavar="|".join(KINDS))
@click.option("--json", "as_json", is_flag=True, help="A JSON list on standard output.")
def ls(kind: str, as_json: bool) -> int:
    r"""List what there is.

    \b
    raysearch ls tasks
    """
    if kind not in KINDS:
        raise unknown("ls", "kind", kind, KINDS)
    rows = _rows(kind)
    if as_json:
        print(json.dumps(rows))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(v) for v in row.values()))
    Console(width=shutil.get_terminal_size((120, 20)).columns).print(table)
    return 0


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind == "tasks":
        return [
            {"name": t.name, "classes": t.classes, "score": t.score, "source": t.source}
            for t in catalog.tasks().values()
        ]
    if kind == "models":
        return [
            {
                "name": r.name,
                "family": r.family,
                "params": r.params or f"{r.buckets:,} buckets",
                "ladders": ", ".join(r.ladders),
                "source": r.source or r.folder,
            }
            for r in catalog.ladder().values()
        ]
    if kind == "methods":
        from raysearch import methods

        described = [methods.get(name) for name in methods.names()]
        return [
            {"name": m.name, "tldr": m.tldr, "families": ", ".join(m.families), "source": m.source}
            for m in described
        ]
    if kind == "spaces":
        return [
            {
                "method": s.method,
                "knob": k,
                "kind": d.kind,
                "range": list(d.options) or [d.low, d.high],
            }
            for s in catalog.method_spaces().values()
            for k, d in s.knobs.items()
        ]
    if kind == "studies":
        found_studies = [catalog.find_study(name) for name in catalog.studies()]
        return [
            {"name": s.name, "trials": s.trials, "labels": list(s.labels), "tldr": s.tldr}
            for s in found_studies
        ]
    if kind == "scores":
        return [
            {
                "name": s.name,
                "of": s.kind,
                "classes": s.classes or "",
                "better": "more" if s.maximise else "less",
                "tldr": s.tldr,
            }
            for s in SCORES.values()
        ]
    from raysearch.objectives import OBJECTIVES

    return [
        {"name": o.name, "unit": o.unit, "better": "more" if o.maximise else "less", "tldr": o.tldr}
        for o in OBJECTIVES.values()
    ]


@click.command()
@options.data
@options.folders
@click.option("--study", metavar="NAME|FILE", help="Only this study.")
def check(**given: Any) -> int:
    r"""Join spaces, methods, tasks and ladder before anything is spent.

    \b
    raysearch check --task sst2 --data-dir data --models-dir models
    """
    from raysearch import methods, stages
    from raysearch.objectives import get as find_objective

    for space in catalog.method_spaces().values():
        _check_space(space, stages.find(space.method))
        _check_inputs(space, stages.find(space.method))
    rungs, tasks = catalog.ladder(), catalog.tasks()
    climbs = {name for r in rungs.values() for name in r.ladders}
    for task in tasks.values():
        if task.ladder not in climbs:
            raise unknown(f"tasks.yaml: {task.name}", "ladder", task.ladder, climbs)
    wanted = [given["study"]] if given["study"] else list(catalog.studies())
    for study in (catalog.find_study(name) for name in wanted):
        for name in study.methods or ():
            methods.get(name)
        for name in study.models or ():
            catalog.find_rung(name)
        for name in study.objectives:
            find_objective(name)
    counts = f"{len(catalog.method_spaces())} spaces, {len(rungs)} models, {len(tasks)} tasks"
    print(f"{counts}, {len(wanted)} studies: whole")
    if given["task"]:
        _check_task(given)
    return 0


def _check_space(space: Any, method: Any) -> None:
    """Check that every knob of the YAML is one of the method and that `first` builds its knobs."""
    fields = [f.name for f in dataclasses.fields(method.knobs)]
    for knob in space.knobs:
        if knob not in fields:
            raise unknown(f"search_spaces/{space.method}.yaml", "knob", knob, fields)
    method.knobs(**space.default_config)


def _check_inputs(space: Any, method: Any) -> None:
    """Check that the method declares every role of the YAML and the candidates can fill it."""
    from raysearch import methods, stages

    where, roles = f"search_spaces/{space.method}.yaml", {i.role: i for i in method.inputs}
    known = sorted({*methods.names(), *stages.names()})
    for role, names in space.inputs.items():
        if role not in roles:
            raise unknown(where, "input", role, roles)
        for name in names:
            if name == NONE:
                if not roles[role].optional:
                    raise InputError(f"{where}: inputs.{role}: none, but it is not optional")
                continue
            if name not in known:
                raise unknown(f"{where}: inputs.{role}", "method or stage", name, known)
            gives, wanted = stages.find(name).gives, roles[role].gives
            if gives != wanted:
                raise InputError(f"{where}: inputs.{role}: '{name}' gives {gives}, not {wanted}")


def _check_task(given: Mapping[str, Any]) -> None:
    from raysearch.workflow.prepare import prepare

    prepared = prepare({**DEFAULT_OPTIONS, **given})
    for line in prepared.run.notes:
        print(line)
    for name, reason in prepared.run.left_out.items():
        print(f"left out: {name}: {reason}")
    rows = ", ".join(f"{n:,} {split}" for split, n in prepared.run.rows.items())
    print(f"task {prepared.run.task.name}: {rows}; score {prepared.run.task.score}")
    for method, names in prepared.world.space.rungs.items():
        print(f"  {method}: {', '.join(names)}")


PACKAGES = ("torch", "transformers", "datasets", "peft", "ray", "optuna", "pandas", "plotly")


@click.command()
@options.folders
@click.option(
    "--cluster", type=options.FOLDER, metavar="FILE", help="Check this cluster file instead."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(
    data_dir: Path | None, models_dir: Path | None, cluster: Path | None, as_json: bool
) -> int:
    r"""Versions, devices, folders and the hub; what is missing, and the command that mends it.

    \b
    raysearch doctor
    raysearch doctor --cluster cluster.yaml
    """
    if cluster is not None:
        return _cluster(cluster, as_json)
    from raysearch.storage.hub import answers

    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "raysearch": _version("raysearch"),
    }
    mend = []
    for name in PACKAGES:
        facts[name] = _version(name)
        if facts[name] is None:
            mend.append(f"{name} is missing: pip install {name}")
    facts["cores"] = os.cpu_count()
    facts["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if facts["torch"] is not None:
        facts |= _devices()
    facts["hub"] = "reachable" if answers() else "not reachable"
    for option, folder in (("--data-dir", data_dir), ("--models-dir", models_dir)):
        key = option.removeprefix("--").replace("-", "_")
        facts[key] = None if folder is None else sorted(p.name for p in _folders(option, folder))
        if folder is None and facts["hub"] == "not reachable":
            mend.append(f"the hub cannot be reached: give {option} DIR for anything but toy")
    facts["mend"] = mend
    if as_json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        if key != "mend":
            print(f"{key:14} {', '.join(value) if isinstance(value, list) else value}")
    for line in mend:
        print(f"! {line}")
    return 0


def _cluster(path: Path, as_json: bool) -> int:
    """Print what is wrong with a cluster file, a line each; return 2 when something is."""
    from raysearch.cluster import cluster_file

    config = cluster_file.read(path)
    wrong = cluster_file.problems(config)
    notes = [] if wrong else cluster_file.unchecked(config)
    if as_json:
        print(json.dumps({"file": str(path), "problems": wrong, "notes": notes}))
        return 2 if wrong else 0
    for line in wrong:
        print(f"! {path}: {line}")
    for line in notes:
        print(f"{path}: {line}")
    if not wrong:
        kind, most = config["provider"]["type"], cluster_file.workers(config)
        print(f"{path}: whole: {kind}, a head and up to {most} workers")
    return 2 if wrong else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    import torch

    from raysearch.training.precision import resolve

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"devices": names or ["cpu"], "precision_auto": resolve("auto", device)}


def _folders(option: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{option}: no folder '{folder}'")
    return [p for p in folder.iterdir() if p.is_dir()]
