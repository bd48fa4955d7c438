"""Submissions, and the command lines that they become.

No key names code, nor a file but one that was uploaded before, by its content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, JsonValue, model_validator

from raysearch.config import option
from raysearch.config.catalog import studies, tasks
from raysearch.config.strict import Strict, parse, read_yaml
from raysearch.config.study import Study
from raysearch.errors import InputError, unknown
from raysearch.service.fields import (
    Corpus,
    From0,
    Id,
    Line,
    Name,
    as_corpus,
    as_name,
    one_line,
    with_options_of,
)

WHERE = "submission"
DEEPEST = 32
"""Levels of a YAML body; a study has five."""
LONGEST = 400
"""Characters of a text without quotes in a YAML body."""
SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+")
"""How YAML 1.1 writes numbers to the base of 60: 1:30 is 90."""


HUB = re.compile(r"hf:\w[\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?(@[\w.-]+)?\Z", re.ASCII)
"""What a data set of the hub looks like: no folder's path."""


@with_options_of(Study)
class Submission(Strict):
    """A study to run: the keys are the options of `raysearch frontier`."""

    task: Annotated[str, Field(max_length=200), AfterValidator(one_line)] | None = None
    """A task of the catalog; `hf:owner/name` where the service allows it."""
    dataset: Id | None = None
    """Own data: the id that uploading it gave."""
    text: Line | None = None
    label: Line | None = None
    group: Line | None = None
    score: Name | None = None
    template: Annotated[tuple[Line, ...], Field(max_length=8)] = ()
    words: Annotated[str, Field(max_length=2000), AfterValidator(one_line)] | None = None
    pool: Corpus | None = None
    """A corpus beside the service's data sets, by name."""
    pool_dataset: Id | None = None
    """Own texts for students: the id that uploading them gave."""
    study: Name | dict[str, JsonValue] | None = None
    """A shipped study's name, or a whole one as in a study's file."""
    concurrency: Annotated[int, Field(gt=0, le=10_000)] | None = None
    """Trials at once at most; the queue may give fewer."""
    gpus: Annotated[int, Field(ge=0, le=10_000)] = 0
    """GPUs that have to be free before the study starts; with 0 it uses none."""
    gpus_per_trial: From0 | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Submission:
        if self.task is not None and self.dataset is not None:
            raise ValueError("task and dataset: give one of them")
        if self.gpus_per_trial is not None and self.gpus_per_trial > self.gpus:
            raise ValueError("gpus_per_trial: cannot be above gpus, those that the study waits for")
        if self.pool is not None and self.pool_dataset is not None:
            raise ValueError("pool and pool_dataset: give one of them")
        return self


def read(body: bytes, kind: str) -> Submission:
    """Read a body that is JSON, or YAML by its content type.

    Raises:
        InputError: not that, or a key or value that is not allowed.
    """
    value = _yaml(body) if "yaml" in kind else _json(body)
    if not isinstance(value, dict):
        raise InputError(f"{WHERE}: holds {type(value).__name__}, must be a mapping of keys")
    return parse(Submission, value, WHERE)


def _json(body: bytes) -> Any:
    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is no number")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as e:
        raise InputError(f"{WHERE}: is not JSON: {e}") from e


def _yaml(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        _harmless(text)
        value = read_yaml(text, f"{WHERE}.yaml")
        json.dumps(value, allow_nan=False)  # dates and infinities are no JSON
        return value
    except InputError:
        raise
    except yaml.YAMLError as e:
        raise InputError(f"{WHERE}: is not YAML: {getattr(e, 'problem', None) or e}") from e
    except Exception as e:  # a parser of untrusted text may raise anything
        raise InputError(f"{WHERE}: cannot be read: {e}") from e


def _harmless(text: str) -> None:
    """Raise InputError for YAML that is small and costs much.

    Aliases multiply, depth is quadratic. Tags, which read any text as a number or a date, and
    sexagesimal numbers are refused too.
    """
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise InputError(f"{WHERE}: aliases (*name) are not read")
        if isinstance(token, yaml.TagToken):
            raise InputError(f"{WHERE}: tags (!!name) are not read")
        if isinstance(token, yaml.ScalarToken) and token.plain:
            if len(token.value) > LONGEST or SEXAGESIMAL.match(token.value):
                raise InputError(f"{WHERE}: '{token.value[:40]}' must stand in quotes")
        name = type(token).__name__
        depth += name.endswith("StartToken") - name.endswith("EndToken")
        if depth > DEEPEST:
            raise InputError(f"{WHERE}: is nested deeper than {DEEPEST} levels")


def task_name(given: Submission, *, hub: bool) -> str | None:
    """Return the task to name on the command line; None with own data.

    Raises:
        InputError: a file, a hub id where none is allowed, or no task of the catalog.
    """
    if given.dataset is not None:
        return None
    task = given.task or "toy"
    if task.startswith("hf:"):
        if not hub:
            raise InputError(f"{WHERE}: task: hub ids are not read here; upload the data instead")
        if not HUB.match(task):
            raise InputError(f"{WHERE}: task: must be hf:OWNER/NAME[:CONFIG][@REVISION]")
        return task
    if task not in tasks():
        raise unknown(WHERE, "task", task, tasks())
    return task


def study_of(given: Submission) -> Study | str:
    """Return the study inline, or a shipped one's name.

    Raises:
        InputError: no such study, or an inline one that names a file.
    """
    if given.study is None or isinstance(given.study, str):
        shipped = given.study or "quick"
        if shipped not in studies():
            raise unknown(WHERE, "study", shipped, studies())
        return shipped
    try:
        json.dumps(given.study, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as e:
        raise InputError(f"{WHERE}: study: cannot be read: {e}") from e
    study = parse(Study, given.study, f"{WHERE}: study")
    for key, value in _texts(study):
        try:
            as_name(one_line(value))
            if key == "pool":
                as_corpus(value)
        except ValueError as e:
            raise InputError(f"{WHERE}: study: {key}: {e}") from None
    if study.task:
        raise InputError(f"{WHERE}: study: task: stands beside the study, not in it")
    return study


def _texts(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the study's name and every text that an option could hold, by its key."""
    yield "name", study.name
    for key in (o.path[0] for o in option.options_of(Study)):
        value = getattr(study, key)
        if isinstance(value, str):
            yield key, value
        if isinstance(value, tuple):
            yield from ((f"{key}.{i}", t) for i, t in enumerate(value) if isinstance(t, str))


def arguments(
    given: Submission,
    *,
    task: str | None,
    data: Path | None,
    pool: Path | None,
    study: Path | None,
) -> list[str]:
    """Return the options of `raysearch frontier`, each as one word.

    Args:
        given: what was submitted.
        task: its task's name; None with own data.
        data: own data's file.
        pool: own pool's file.
        study: the inline study's file.
    """
    own = {
        "task": task if data is None else data,
        **{k: getattr(given, k) for k in ("text", "label", "group", "score", "words")},
        "study": study if study is not None else given.study,
    }
    value = given.model_dump(exclude={"concurrency"})  # the queue decides how many run at once
    if pool is not None:
        value["pool"] = pool
    out = [f"--{k}={v}" for k, v in own.items() if v is not None]
    out += [f"--template={t}" for t in given.template]
    return [*out, *option.arguments(option.options_of(Study), value)]
