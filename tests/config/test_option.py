"""An annotated field of a study is its option everywhere: shell, HTTP, arguments and YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import click
import pytest
from pydantic import Field, ValidationError

from raysearch.cli import options
from raysearch.cli.remote import submit
from raysearch.cli.studies import frontier, resume, run
from raysearch.config.option import Option, arguments, options_of, with_options
from raysearch.config.strict import load_yaml, parse
from raysearch.config.study import Count, Study
from raysearch.errors import InputError
from raysearch.service.fields import with_options_of
from raysearch.service.submission import Submission

GOLDEN = json.loads((Path(__file__).parent / "golden" / "options.json").read_text("utf-8"))
"""The options and the HTTP body as they were when six lists held them."""


class Wider(Study):
    """A study with one more field of each kind; nothing else knows of them."""

    scheduler: Annotated[str, Option("Which scheduler.", "NAME")] = "none"
    milestones: Annotated[tuple[Count, ...], Option("Where trials pause.", "N,N")] = ()
    bodies: Annotated[tuple[str, ...] | None, Option("Bodies; +X adds.", "A,B")] = None
    factor: Annotated[Count | None, Option("Keep one of so many.", "N", name="keep")] = None
    slack: Annotated[
        Annotated[float, Field(ge=0)] | None, Option("Slack.", "X", section="limits")
    ] = None
    eager: Annotated[bool, Option("Start at once.", section="data")] = False
    hidden: int = 3


FULL = {
    "scheduler": "halving",
    "milestones": (3, 9),
    "bodies": ("a", "b"),
    "factor": 4,
    "slack": 0.5,
    "eager": True,
}
NEW = ("scheduler", "milestones", "bodies", "keep", "slack", "eager")


def typed(words: list[str], model: type[Study] = Wider) -> dict[str, Any]:
    """What click reads of a command line with a model's options."""
    verb = click.Command("verb", callback=lambda **_: 0)
    options.from_study(model=model)(verb)
    return verb.make_context("verb", list(words)).params


def chosen(words: list[str], study: Study | None = None) -> Study:
    """The study that a command line makes."""
    return with_options(study or Wider(name="s"), typed(words), {})


def flags(verb: click.Command, names: set[str]) -> list[list[Any]]:
    return [
        [p.opts[0], p.name, p.type.name, p.metavar, getattr(p, "help", None), p.is_flag]  # type: ignore[attr-defined]
        for p in verb.params
        if p.name in names
    ]


@pytest.mark.parametrize("verb", [frontier, run, submit], ids=lambda v: v.name)
def test_the_options_are_those_of_the_six_lists(verb: click.Command) -> None:
    assert flags(verb, {o[1] for o in GOLDEN["options"]}) == GOLDEN["options"]
    assert flags(resume, {o[1] for o in GOLDEN["resume"]}) == GOLDEN["resume"]


def test_the_body_is_that_of_the_six_lists() -> None:
    schema = Submission.model_json_schema()
    before = GOLDEN["submission"]
    names = before["properties"]
    assert {k: schema["properties"].get(k) for k in names} == names
    rest = {k: v for k, v in schema.items() if k != "properties"}
    assert rest == {k: v for k, v in before.items() if k != "properties"}


def test_every_option_of_a_study_is_an_option_of_every_verb_that_runs_one() -> None:
    known = {p.name for p in frontier.params}
    names = [o.name for o in options_of(Study)]
    assert len(names) == len(set(names)) >= 19
    assert set(names) <= known & {p.name for p in run.params} & {p.name for p in submit.params}


def test_a_new_field_is_an_option_of_the_command_line() -> None:
    words = ["--scheduler=halving", "--milestones=3,9", "--bodies=a,b", "--keep=4"]
    study = chosen([*words, "--slack=0.5", "--eager"])
    assert study == Wider(name="s", **FULL)
    assert chosen([]) == Wider(name="s")
    assert chosen(["--bodies=+b"], Wider(name="s", bodies=("a",))) == Wider(
        name="s", bodies=("a", "b")
    )
    verb = click.Command("verb")
    options.from_study(model=Wider)(verb)
    page = verb.get_help(click.Context(verb))
    assert "--keep N" in page and "Keep one of so many." in page and "--hidden" not in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--milestones=3,x"], "--milestones: 'x' is not a whole number above 0"),
        (["--slack=-1"], r"options: slack: .* \(stands there: -1.0\)"),
        (["--keep=0"], "options: factor: .*greater than 0"),
    ],
)
def test_a_wrong_value_of_a_new_field_is_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        chosen(words)
    assert "\n" not in str(caught.value)


def test_a_new_field_is_a_key_of_a_submission() -> None:
    model: Any = with_options_of(Wider)(Submission)
    assert set(NEW) <= set(model.model_fields) and "hidden" not in model.model_fields
    body = {**FULL, "keep": 4, "labels": [32], "prices": {"label": 0.25}}
    del body["factor"]
    given = model.model_validate(json.loads(json.dumps(body)))
    words = arguments(options_of(Wider), given.model_dump())
    assert chosen(words) == Wider(name="s", **FULL, labels=(32,), prices={"label": 0.25})


@pytest.mark.parametrize(
    "body",
    [
        {"scheduler": "../x"},
        {"scheduler": "-x"},
        {"bodies": ["a", "/etc/passwd"]},
        {"bodies": []},
        {"keep": 10**10},
        {"keep": 0},
        {"slack": float("inf")},
        {"slack": -1},
        {"milestones": list(range(1, 40))},
        {"factor": 4},
        {"hidden": 4},
    ],
)
def test_a_new_field_takes_no_path_and_no_monster(body: dict[str, Any]) -> None:
    model: Any = with_options_of(Wider)(Submission)
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_a_new_field_is_a_key_of_the_yaml(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\nscheduler: halving\nmilestones: [3, 9]\nfactor: 4\n", "utf-8")
    study = parse(Wider, load_yaml(path), path.name)
    assert (study.scheduler, study.milestones, study.factor) == ("halving", (3, 9), 4)


def test_a_study_comes_back_from_its_arguments() -> None:
    words = ["--methods=a,b", "--labels=32,1k", "--trials=7", "--draws=0", "--seed=3"]
    words += ["--hours=1.5", "--flops=1e15", "--precision=fp32", "--share-teacher=4"]
    words += ["--price-per-label=0.5", "--price-per-cpu-hour=0", "--pool=wiki", "--pool-lines"]
    study = chosen(words)
    assert (study.trials, study.draws, study.shared_by, study.labels) == (7, 0, 4, (32, 1000))
    value = {o.name: getattr(study, o.path[0]) for o in options_of(Wider) if len(o.path) == 1}
    value["prices"] = study.prices.model_dump()
    assert chosen(arguments(options_of(Wider), value)) == study


def test_prices_that_are_not_given_stay() -> None:
    before = Wider(name="s", prices={"cpu_hour": 0.1, "label": 0.2})
    prices = chosen(["--price-per-label=0.3"], before).prices
    assert (prices.cpu_hour, prices.gpu_hour, prices.label) == (0.1, None, 0.3)


def test_an_empty_text_adds_nothing() -> None:
    assert chosen(["--methods=", "--labels=", "--trials="]) == Wider(name="s")
    with pytest.raises(InputError, match="--share-teacher: '' is not a number"):
        chosen(["--share-teacher="])
