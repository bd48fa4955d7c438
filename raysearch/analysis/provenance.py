"""Where a run's figures come from: hashes, versions, and the commands that make them again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysearch.analysis.run import Run
from raysearch.config.catalog import find_study
from raysearch.config.option import get_in, options_of, text_of
from raysearch.config.study import Study
from raysearch.errors import InputError
from raysearch.run.folder import RECORDS, STUDY

RAN = {"methods": "method", "models": "model"}
"""Of a list that the study leaves open, the table's column of what took part."""


def hashes(run: Run, points: Sequence[str]) -> dict[str, Any]:
    """Return the digests a reader can check: of the data's splits, of the records, of the points.

    Args:
        run: one run, as `read_run` reads it.
        points: ids of the points the figures show.
    """
    of = {str(i): str(t) for i, t in zip(run.table["point_id"], run.table["id"], strict=True)}
    return {
        "splits": run.study.get("splits"),
        "records_sha256": _sha256(run.folder / RECORDS),
        "study_sha256": _sha256(run.folder / STUDY),
        "points": {point: of.get(point) for point in dict.fromkeys(points)},
        "confirming_trials": sorted(
            r.id for r in run.records if r.phase == "confirm" and r.status == "DONE"
        ),
        "outside": {o.name: o.key for o in run.outside},
    }


def versions(run: Run) -> list[str]:
    """Return what the trials ran with, as comments, and every package installed here, as pins."""
    counts: Counter[str] = Counter()
    for record in run.records:
        facts = {k: record.made_by[k] for k in MADE if k in record.made_by}
        counts[", ".join(f"{k} {v}" for k, v in facts.items())] += 1
    lines = [f"# {n:,} trials ran with {facts}" for facts, n in counts.most_common() if facts]
    pins = {
        f"{d.metadata['Name']}=={d.version}"
        for d in importlib.metadata.distributions()
        if d.metadata["Name"]
    }
    return [*lines, "# what these figures were made with", *sorted(pins, key=str.lower)]


MADE = ("raysearch", "python", "torch", "transformers", "device", "device_name", "precision")
"""Of a record's `made_by`: what can change a number."""


def commands(run: Run, point: str, paper: str) -> list[str]:
    """Return the commands that make the run, its confirming draws and its report again.

    Folders are named without the place they lie at.
    """
    out = f"runs/{run.folder.resolve().name}"
    lines = [*_frontier(run, out)]
    draws = run.study.get("draws")
    if any(r.phase == "confirm" for r in run.records) and draws:
        lines.append(shlex.join(["raysearch", "confirm", out, "--draws", str(draws)]))
    for system in run.outside:
        words = ["raysearch", "add-point", out, "--name", system.name, "--predictions", "FILE"]
        for key in ("labels", "ms", "dollars_per_1k"):
            if getattr(system, key) is not None:
                words += [f"--{key.replace('_', '-')}", f"{getattr(system, key):g}"]
        lines.append(shlex.join(words))
    lines.append(shlex.join(["raysearch", "report", out, point, "--paper", paper]))
    return lines


def _frontier(run: Run, out: str) -> list[str]:
    study = run.study
    before, words = [], ["raysearch", "frontier"]
    task = study.get("task_as_run")
    source = str(task.get("source", "")) if isinstance(task, Mapping) else ""
    if source.startswith("file:") and isinstance(task, Mapping):
        before.append("# own data: put the file or folder here; hashes.json has its digest")
        words += ["--task", Path(source.removeprefix("file:")).name]
        for option, key in (("text", "text"), ("label", "label"), ("group", "group")):
            if task.get(key):
                words += [f"--{option}", str(task[key])]
        words += _question(task)
    else:
        words += ["--task", str(study.get("task", ""))]
    name = str(study.get("name", ""))
    try:
        find_study(name)
        words += ["--study", name]
    except InputError:
        before.append(f"# study '{name}' was a file of its own: its text stands in {STUDY}")
        words += ["--study", f"{name or 'study'}.yaml"]
    for one in options_of(Study, "search", "machine", "limits", "prices", "sharing", "data"):
        value = get_in(study, one.path)
        if one.name in RAN and not value:
            value = list(dict.fromkeys(str(v) for v in run.table[RAN[one.name]]))
        if one.name == "pool" and value:
            value = Path(str(value)).name
        taught = one.name != "share_teacher" or run.table["teacher"].notna().any()
        text = text_of(value)
        if text is not None and taught and one.name != "concurrency":  # the machine's
            words += [one.flag, *([text] if text else [])]
    for kind in ("data", "models"):
        if kind in (study.get("folders") or {}):
            words += [f"--{kind}-dir", kind]
    return [*before, shlex.join([*words, "--out", out])]


def _question(task: Mapping[str, Any]) -> list[str]:
    """Return the options that set an own task's cloze question."""
    words = [f"{label}={','.join(several)}" for label, several in (task.get("words") or {}).items()]
    options = [w for t in task.get("templates") or () for w in ("--template", str(t))]
    return [*options, "--words", ";".join(words)] if words else options


def _sha256(path: Path) -> str | None:
    """Return the file's SHA-256; None where the file is absent."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
