"""What somebody submits, and the command line that it becomes.

No key of it names code, nor a file but one that was uploaded before, by its content.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, JsonValue, model_validator

from raysearch.config.catalog import studies, tasks
from raysearch.config.strict import Strict, load_yaml, parse
from raysearch.config.study import Study
from raysearch.errors import InputError, unknown

WHERE = "submission"
DEEPEST = 32
"""Levels of a YAML body; a study has five."""
LONGEST = 400
"""Characters of a text without quotes in a YAML body."""
SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+")
"""How YAML 1.1 writes numbers to the base of 60: 1:30 is 90."""


HUB = re.compile(r"hf:\w[\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?(@[\w.-]+)?\Z", re.ASCII)
"""What a data set of the hub looks like: no folder's path."""


def _plain(text: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError("must be one line of text")
    return text


def _name(text: str) -> str:
    if not text or not all(c.isalnum() or c in "._-" for c in text) or text.startswith((".", "-")):
        raise ValueError("must be a name: letters, digits, . _ and -")
    return text


def _corpus(text: str) -> str:
    if Path(text).suffix:  # what has an ending is a file for the command line
        raise ValueError("must be a corpus's name, no file's; upload it and name its pool_dataset")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Name = Annotated[str, Field(max_length=80), AfterValidator(_plain), AfterValidator(_name)]
Corpus = Annotated[Name, AfterValidator(_corpus)]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(gt=0, le=10**9)]


class Prices(Strict):
    """Dollars."""

    cpu_hour: From0 | None = None
    gpu_hour: From0 | None = None
    label: From0 | None = None


class Submission(Strict):
    """A study to run: the keys are the options of `raysearch frontier`."""

    task: Annotated[str, Field(max_length=200), AfterValidator(_plain)] | None = None
    """A task of the catalog; `hf:owner/name` where the service allows it."""
    dataset: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Own data: the id that uploading it gave."""
    text: Line | None = None
    label: Line | None = None
    group: Line | None = None
    score: Name | None = None
    template: Annotated[tuple[Line, ...], Field(max_length=8)] = ()
    words: Annotated[str, Field(max_length=2000), AfterValidator(_plain)] | None = None
    pool: Corpus | None = None
    """A corpus beside the service's data sets, by name."""
    pool_dataset: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Own texts for students: the id that uploading them gave."""
    pool_lines: bool = False
    study: Name | dict[str, JsonValue] | None = None
    """A shipped study's name, or a whole one as in a study's file."""
    methods: Names | None = None
    models: Names | None = None
    labels: Annotated[tuple[Whole, ...], Field(min_length=1, max_length=32)] | None = None
    trials: Annotated[int, Field(gt=0, le=100_000)] | None = None
    draws: Annotated[int, Field(ge=0, le=100)] | None = None
    searcher: Name | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    hours: Above | None = None
    gpu_hours: Above | None = None
    flops: Above | None = None
    dollars: Above | None = None
    precision: Name | None = None
    concurrency: Annotated[int, Field(gt=0, le=10_000)] | None = None
    """Trials at once at most; the queue may give fewer."""
    share_teacher: Whole | None = None
    prices: Prices = Prices()
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
    """Read a body that is JSON, or YAML where its content type says so.

    Raises:
        InputError: not that, or a key or value that may not stand there.
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
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{WHERE}.yaml"
            path.write_text(text, "utf-8")
            value = load_yaml(path)
        json.dumps(value, allow_nan=False)  # dates and infinities are no JSON
        return value
    except InputError:
        raise
    except yaml.YAMLError as e:
        raise InputError(f"{WHERE}: is not YAML: {getattr(e, 'problem', None) or e}") from e
    except Exception as e:  # a library that reads what strangers wrote: whatever it raises
        raise InputError(f"{WHERE}: cannot be read: {e}") from e


def _harmless(text: str) -> None:
    """InputError for YAML that is small and costs much: aliases multiply, depth is quadratic.

    Nor are tags, which read any text as a number or a date, nor numbers to the base of 60.
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
    name = given.task or "toy"
    if name.startswith("hf:"):
        if not hub:
            raise InputError(f"{WHERE}: task: hub ids are not read here; upload the data instead")
        if not HUB.match(name):
            raise InputError(f"{WHERE}: task: must be hf:OWNER/NAME[:CONFIG][@REVISION]")
        return name
    if name not in tasks():
        raise unknown(WHERE, "task", name, tasks())
    return name


def study_of(given: Submission) -> Study | str:
    """Return the study inline, or a shipped one's name.

    Raises:
        InputError: no such study, or an inline one that names a file.
    """
    if given.study is None or isinstance(given.study, str):
        name = given.study or "quick"
        if name not in studies():
            raise unknown(WHERE, "study", name, studies())
        return name
    try:
        json.dumps(given.study, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as e:
        raise InputError(f"{WHERE}: study: cannot be read: {e}") from e
    study = parse(Study, given.study, f"{WHERE}: study")
    names = {"name": study.name, "pool": study.pool}
    names |= {f"methods.{i}": n for i, n in enumerate(study.methods or ())}
    names |= {f"models.{i}": n for i, n in enumerate(study.models or ())}
    for key, value in names.items():
        if value is not None:
            try:
                _name(_plain(value))
                if key == "pool":
                    _corpus(value)
            except ValueError as e:
                raise InputError(f"{WHERE}: study: {key}: {e}") from None
    if study.task:
        raise InputError(f"{WHERE}: study: task: stands beside the study, not in it")
    return study


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
    prices = given.prices
    value: Mapping[str, Any] = {
        "task": task if data is None else data,
        **{k: getattr(given, k) for k in ("text", "label", "group", "score", "words")},
        "pool": given.pool if pool is None else pool,
        "study": study if study is not None else given.study,
        "methods": given.methods and ",".join(given.methods),
        "models": given.models and ",".join(given.models),
        "labels": given.labels and ",".join(map(str, given.labels)),
        **{k: getattr(given, k) for k in ("trials", "draws", "searcher", "seed", "hours")},
        **{k: getattr(given, k) for k in ("gpu_hours", "flops", "dollars", "precision")},
        "share_teacher": given.share_teacher,
        "price_per_cpu_hour": prices.cpu_hour,
        "price_per_gpu_hour": prices.gpu_hour,
        "price_per_label": prices.label,
    }
    out = [f"--{k.replace('_', '-')}={v}" for k, v in value.items() if v is not None]
    out += [f"--template={t}" for t in given.template]
    return [*out, *(["--pool-lines"] if given.pool_lines else [])]
