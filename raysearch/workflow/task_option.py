"""Which task the options mean: one of the catalog, a person's own data, or the run's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysearch.config.catalog import find_task, tasks
from raysearch.config.task import Task
from raysearch.errors import InputError
from raysearch.run.study_file import StudyManifest
from raysearch.workflow.options import OWN_DATA


def task_of(given: Mapping[str, Any], old: StudyManifest | None) -> Task:
    """Return the task that is meant; the run's own when none is named.

    Raises:
        InputError: no such task, or one that the run is not of.
    """
    name: str | None = given["task"]
    own = {k: given.get(k) for k in OWN_DATA} | {"template": given.get("template") or None}
    if name is None and old is not None:
        return _with_question(old.task, old, given)
    if name is None or name in tasks():
        extra = [k for k, v in own.items() if v is not None]
        if extra:
            raise InputError(f"--{extra[0]}: is for own data; task '{name or 'toy'}' has its own")
        task = find_task(name or "toy")
    elif name.startswith("hf:") or Path(name).exists() or "." in name or "/" in name:
        from raysearch.data.task_data import own_task

        templates = tuple(own.pop("template") or ())
        task = own_task(name, **own, templates=templates, seed=given["seed"] or 0)
    else:
        task = find_task(name)  # raises with the nearest name
    if old is not None and task.name != old.task.name:
        raise InputError(
            f"{given['out']}: holds a run of task '{old.task.name}', not '{task.name}'; "
            "give another --out"
        )
    return task if old is None else _with_question(task, old, given)


def _with_question(task: Task, old: StudyManifest, given: Mapping[str, Any]) -> Task:
    """Return the task with its question: a run keeps the one it began with, or gets its first.

    A run has one question, as it has one task: points of different ones are not compared.
    """
    templates, words = tuple(given.get("template") or ()), given.get("words")
    if task is old.task and (templates or words is not None):
        from raysearch.data.own import with_question

        if task.name in tasks() and tasks()[task.name].source == task.source:
            option = "--template" if templates else "--words"
            raise InputError(f"{option}: is for own data; task '{task.name}' has its own")
        task = with_question(task, templates, words)
    if not task.templates:
        return replace(task, templates=old.task.templates, words=old.task.words)
    questions = [(t.templates, dict(t.words)) for t in (task, old.task)]
    if old.task.templates and questions[0] != questions[1]:
        raise InputError(
            f"task '{task.name}': its run has other templates or label words; give another --out"
        )
    return task
