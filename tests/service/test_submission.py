"""What may be submitted: data, never code, never a file of the service's machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raysearch.cli.remote import submission as from_options
from raysearch.cli.studies import frontier
from raysearch.errors import InputError
from raysearch.service.submission import Submission, arguments, read, study_of, task_name


def refused(body: object, *parts: str, kind: str = "application/json") -> None:
    """One line that holds these parts."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InputError) as error:
        found = read(raw, kind)
        task_name(found, hub=False)
        study_of(found)
    text = str(error.value)
    assert "\n" not in text.strip() and len(text) < 2000
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.csv", "x/y.csv", "data.csv", "~/x.csv", "file:x", ".", "hf:a/b", "sst3"],
)
def test_a_task_is_a_name_of_the_catalog(path: str):
    refused({"task": path}, "task")


def test_hub_ids_only_where_they_are_allowed():
    given = Submission(task="hf:owner/name")
    assert task_name(given, hub=True) == "hf:owner/name"


@pytest.mark.parametrize("name", ["glue", "nyu-mll/glue:cola@bcdc", "a.b/c_d", "x@v1.0"])
def test_a_hub_id(name: str):
    assert task_name(Submission(task=f"hf:{name}"), hub=True) == f"hf:{name}"


@pytest.mark.parametrize(
    "name",
    ["/tmp/x/datasets/bert", "..", "../x", "a/../b", "a/b/c", "~/x", ".", "", "a/", "a/.b", "é/b"]
    + ["a//b", "a\\b", "a b", "C:/x", "a:/etc", "a@/etc", "json:../x", "/x"],
)
def test_no_hub_id_is_a_folder(name: str):
    with pytest.raises(InputError, match="must be hf:OWNER/NAME"):
        task_name(Submission(task=f"hf:{name}"), hub=True)


@pytest.mark.parametrize("name", ["audit.jsonl", "tokens.json", "x.csv", "a.parquet", "x.txt"])
def test_a_pool_is_no_file_beside_the_service(name: str):
    refused({"pool": name}, "pool", "pool_dataset")
    refused({"study": {"name": "x", "pool": name}}, "study: pool", "pool_dataset")


@pytest.mark.parametrize("key", ["pool", "study", "searcher", "precision", "score"])
@pytest.mark.parametrize(
    "value", ["/etc/passwd", "../x", "a/b", "-x", ".hidden", "", "a\nb", "a b"]
)
def test_no_name_leads_to_a_file(key: str, value: str):
    refused({key: value}, key)


@pytest.mark.parametrize("key", ["methods", "models"])
def test_no_list_leads_to_a_file(key: str):
    refused({key: ["fine", "../x"]}, key)
    refused({"study": {"name": "x", key: ["../x"]}}, key)


def test_an_inline_study_names_no_file_either():
    refused({"study": {"name": "x", "pool": "/etc/passwd"}}, "pool", "must be a name")
    refused({"study": {"name": "../x"}}, "name")
    refused({"study": {"name": "x", "task": "sst2"}}, "beside the study")
    refused({"study": {"name": "x", "trails": 3}}, "no key 'trails'", "Did you mean 'trials'?")
    refused({"study": "quik"}, "no study 'quik'. Did you mean 'quick'?")


@pytest.mark.parametrize("key", ["out", "address", "data_dir", "models_dir", "import", "code"])
def test_keys_that_are_not_a_submitters(key: str):
    refused({key: "x"}, f"no key '{key}'")


@pytest.mark.parametrize(
    ("body", "kind", "part"),
    [
        (b"{", "application/json", "is not JSON"),
        (b"[1]", "application/json", "must be a mapping"),
        (b'{"hours": NaN}', "application/json", "is not JSON"),
        (b'{"hours": 1e999}', "application/json", "hours"),
        (b'{"text": "\\ud800"}', "application/json", "text"),
        (b"\xff", "application/json", "is not JSON"),
        (b"[" * 100_000, "application/json", "is not JSON"),
        (b"{" * 500_000, "application/yaml", "nested deeper"),
        (b"a: [", "application/yaml", ""),
        (b"trials: 1\ntrials: 2", "application/yaml", "stands twice"),
        (b"study: &a [1]\nlabels: *a", "application/yaml", "aliases"),
        (b"trials: !!python/object/apply:os.system [x]", "application/yaml", "tags"),
        (b'seed: !!int ""', "application/yaml", "tags"),
        (b"seed: !!bool foo", "application/yaml", "tags"),
        (b"seed: !!timestamp foo", "application/yaml", "tags"),
        (b"seed: !!float x", "application/yaml", "tags"),
        (b"seed: " + b"1:1" * 300_000, "application/yaml", "in quotes"),
        (b"seed: 1:30", "application/yaml", "in quotes"),
        (b"seed: -1_0:30:59.5", "application/yaml", "in quotes"),
        (b"seed: " + b"1" * 5000, "application/yaml", "in quotes"),
        (b"seed: 2001-99-99", "application/yaml", "cannot be read"),
        (b"seed: 2001-01-01", "application/yaml", "cannot be read"),
        (b"{[1]: 2}", "application/yaml", ""),
        (b"=: =", "application/yaml", ""),
        (b"hours: .inf", "application/yaml", ""),
        (b"\xff", "application/yaml", "cannot be read"),
        (b"", "application/yaml", "must be a mapping"),
    ],
)
def test_bodies_that_are_none(body: bytes, kind: str, part: str):
    refused(body, part, kind=kind)


def test_yaml_says_the_same_as_json():
    value = {"trials": 3, "labels": [32, 100], "study": {"name": "own", "trials": 4}}
    plain = read(json.dumps(value).encode(), "application/json")
    assert read(yaml.safe_dump(value).encode(), "application/yaml; charset=utf-8") == plain


def test_a_yaml_body_is_refused_as_fast_as_it_is_long():
    body = b"seed: " + b":".join([b"1"] * 100_000)
    begun = time.process_time()
    refused(body, "in quotes", kind="application/yaml")
    assert time.process_time() - begun < 10


def words(**value: object) -> list[str]:
    return arguments(Submission(**value), task="toy", data=None, pool=None, study=None)


def test_each_key_becomes_an_option_that_the_command_line_has():
    value = {
        "text": "--yes",
        "label": "a b; rm -rf",
        "template": ["{text} It was {mask}.", "--out=/x"],
        "words": "a=b",
        "pool": "wiki",
        "pool_lines": True,
        "study": "quick",
        "methods": ["finetune"],
        "models": ["toy-tiny"],
        "labels": [32, 100],
        "prices": {"cpu_hour": 0.5},
        **{"trials": 2, "draws": 0, "seed": 1, "hours": 1.5, "share_teacher": 4},
        **{"searcher": "tpe", "precision": "fp32", "flops": 1e15, "group": "g", "score": "mcc"},
    }
    found = words(**value)
    known = {o for p in frontier.params for o in p.opts}
    assert {w.partition("=")[0] for w in found} <= known
    context = frontier.make_context("frontier", list(found))
    assert context.params["text"] == "--yes" and context.params["label"] == "a b; rm -rf"
    assert context.params["template"] == ("{text} It was {mask}.", "--out=/x")
    assert context.params["out"] is None and context.params["draws"] == 0
    assert context.params["labels"] == "32,100" and context.params["pool_lines"] is True


line = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), min_size=1).filter(
    lambda t: t.strip() and "\x7f" not in t
)


@given(line, line)
def test_no_text_becomes_another_option(text: str, label: str):
    given = Submission(text=text[:100], label=label[:100])
    found = arguments(given, task=None, data=Path("/x.csv"), pool=None, study=None)
    context = frontier.make_context("frontier", found)
    assert context.params["text"] == given.text and context.params["label"] == given.label
    assert context.params["out"] is None and context.params["yes"] is False


def test_the_client_says_what_its_options_say(tmp_path: Path):
    uploaded: list[Path] = []

    def upload(path: Path) -> str:
        uploaded.append(path)
        return "ab" * 16

    options = ["--task", "tickets.csv", "--label", "queue", "--labels", "32,1k", "--draws", "0"]
    options += ["--methods", "finetune,dan", "--price-per-label", "0.3", "--trials", "4"]
    params = frontier.make_context("frontier", options).params
    params = {k: v for k, v in params.items() if k not in ("yes", "as_json", "out", "address")}
    for name in ("data_dir", "models_dir", "storage"):
        params.pop(name, None)
    body = from_options(dict(params), upload)
    assert uploaded == [Path("tickets.csv")]
    assert body == {
        "dataset": "ab" * 16,
        "label": "queue",
        "labels": [32, 1000],
        "draws": 0,
        "methods": ["finetune", "dan"],
        "prices": {"label": 0.3},
        "trials": 4,
    }
    assert read(json.dumps(body).encode(), "application/json").draws == 0
