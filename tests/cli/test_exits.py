"""predict with a threshold, and with two folders in a row, as a person types them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from raysearch.export.cascade import Cascade
from raysearch.export.manifest import FILE, read_manifest
from raysearch.export.opening import open_model
from tests.support import tiny
from tests.support.verbs import refused

EARLY = ("early_exit", "random-2", {"epochs": 2, "min_steps": 12})
NGRAM = ("ngram_linear", "hash-16", {})
FINETUNE = ("finetune", "random-2", {})


@pytest.fixture(scope="module")
def home(tiny_rungs, tmp_path_factory):
    """A folder of exported folders: exits, ngrams and whole of one task, and others."""
    from raysearch.cli import main
    from raysearch.config import catalog

    rungs = {**catalog.ladder(), **tiny_rungs}
    home = tmp_path_factory.mktemp("exits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_ladder", lambda path: rungs)
        made = tiny.run_folder(home / "two", "two", EARLY, NGRAM, FINETUNE)
        runs = {
            name: (made.out, record.id)
            for name, record in zip(("exits", "ngrams", "whole"), made.records, strict=True)
        }
        for task in ("five", "pair", "number"):
            other = tiny.run_folder(home / f"run-{task}", task, NGRAM)
            runs[task] = other.out, other.records[0].id
        for name, (out, trial) in runs.items():
            with pytest.raises(SystemExit) as stop:
                main(["export", str(out), trial, "--to", str(home / name)])
            assert stop.value.code == 0
    swapped = shutil.copytree(home / "ngrams", home / "swapped")
    facts = json.loads((swapped / FILE).read_text())
    (swapped / FILE).write_text(json.dumps(facts | {"labels": facts["labels"][::-1]}))
    return home


@pytest.fixture
def table(say):
    """Twenty texts as in.csv, some of many words."""
    rng = np.random.default_rng(5)
    texts = [tiny.text_of(tiny.SIGNAL[i % 5], rng, 3 + 2 * i) for i in range(20)]
    with Path("in.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerows([["text"], *([t] for t in texts)])
    return texts


def rows(path):
    with Path(path).open(newline="") as f:
        return list(csv.DictReader(f))


def probabilities(path):
    return np.array([[float(v) for k, v in r.items() if k.startswith("p_")] for r in rows(path)])


# One folder, another threshold


def test_exits_are_exported_where_no_format_is_named(home):
    manifest = read_manifest(home / "exits")
    assert manifest.format == "onnx_exits" and manifest.exits == "1,2"
    assert "--format" not in re.findall(
        r"raysearch export .*", (home / "exits/README.md").read_text()
    )


@pytest.mark.parametrize("batch", ["1", "3", "2048"])
def test_a_threshold_is_chosen_when_predicting(home, say, table, batch):
    predictor = open_model(home / "exits")
    middle = np.median(predictor_confidence(predictor, table))
    layers = {}
    for name, args in (
        ("never", ("--threshold", "never")),
        ("inf", ("--threshold", "inf")),
        ("one", ("--threshold", "1.0")),
        ("middle", ("--threshold", str(middle))),
        ("tie", ("--threshold", "0.5")),
        ("zero", ("--threshold", "0")),
        ("entropy", ("--threshold", "0", "--criterion", "entropy")),
        ("patience", ("--threshold", "1", "--criterion", "patience")),
    ):
        given = ("-o", f"{name}.csv", "--batch-rows", batch)
        code, _, err = say("predict", home / "exits", "in.csv", *given, *args)
        assert code == 0, err
        (mean,) = re.findall(r"; (\d\.\d\d) of 2 layers a text -> ", err)
        layers[name] = float(mean)
        criterion = args[3] if len(args) > 2 else "confidence"
        predictor.change_rule(args[1], criterion)
        expected = predictor.probabilities(table)
        np.testing.assert_allclose(probabilities(f"{name}.csv"), expected, atol=1e-5)
        answers = [predictor.labels[k] for k in expected.argmax(axis=1)]
        assert [r["prediction"] for r in rows(f"{name}.csv")] == answers
    assert layers["never"] == layers["inf"] == layers["one"] == layers["patience"] == 2.0
    assert layers["zero"] == layers["tie"] == layers["entropy"] == 1.0
    assert 1.0 < layers["middle"] < 2.0


def predictor_confidence(predictor, texts):
    """How sure the first exit is of each text, after its own temperature alone."""
    predictor.change_rule("0", "confidence")
    logits, _ = predictor.exit_results(predictor.prepare(texts))
    z = logits * predictor.manifest.temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).max(axis=1)


def test_without_a_threshold_the_folders_own_holds(home, say, table):
    code, _, err = say("predict", home / "exits", "in.csv", "-o", "out.csv")
    assert code == 0, err
    expected = open_model(home / "exits").probabilities(table)
    np.testing.assert_allclose(probabilities("out.csv"), expected, atol=1e-6)
    assert "of 2 layers a text" in err


def test_a_threshold_that_is_none_is_one_line(home, say, table):
    begin = ("predict", home / "exits", "in.csv", "-o", "out.csv")
    for args, part in (
        (("--threshold", "1.5"), "threshold '1.5': must be from 0 to 1 by confidence, or never"),
        (("--threshold", "-0.1"), "must be from 0 to 1"),
        (("--threshold", "x"), "threshold 'x'"),
        (("--threshold", "nan"), "threshold 'nan'"),
        (("--threshold", ""), "threshold ''"),
        (("--threshold", "0.5", "--criterion", "patience"), "a whole number from 0 to 1 by pat"),
        (("--threshold", "999", "--criterion", "patience"), "threshold '999': must be a whole"),
        (("--threshold", "0.5", "--criterion", "patienc"), "Did you mean 'patience'?"),
        (("--criterion", "hope"), "no criterion 'hope'"),
    ):
        refused(say(*begin, *args), part)
    own = read_manifest(home / "exits")
    other = "entropy" if own.criterion == "confidence" else "confidence"
    if own.threshold != "never":
        refused(say(*begin, "--criterion", other), f"--criterion {other}: needs --threshold too")
    refused(
        say("predict", home / "ngrams", "in.csv", "-o", "out.csv", "--threshold", "0.5"),
        "ngrams: takes no --threshold: all its texts go the same way",
    )
    refused(
        say("predict", home / "whole", "in.csv", "-o", "out.csv", "--criterion", "entropy"),
        "whole: takes no --criterion: all its texts go the same way",
    )
    assert not Path("out.csv").exists()


# Two folders in a row


@pytest.mark.parametrize("batch", ["1", "7", "2048"])
@pytest.mark.parametrize(("cheap", "large"), [("ngrams", "whole"), ("exits", "ngrams")])
def test_the_second_answers_where_the_first_is_not_sure(home, say, table, cheap, large, batch):
    first, second = (open_model(home / n).probabilities(table) for n in (cheap, large))
    threshold = float(np.median(first.max(axis=1))) + 1e-6
    sure = first.max(axis=1) >= threshold
    assert 0 < sure.sum() < 20
    code, out, err = say(
        *("predict", home / cheap, "in.csv", "-o", "out.csv", "--batch-rows", batch),
        *("--otherwise", home / large, "--threshold", str(threshold)),
    )
    assert code == 0 and not out, err
    on = 20 - sure.sum()
    assert f"{sure.sum()} answered by {home / cheap}, {on} answered by {home / large}" in err
    expected = np.where(sure[:, None], first, second)
    np.testing.assert_allclose(probabilities("out.csv"), expected, atol=1e-5)
    assert list(rows("out.csv")[0]) == ["text", "prediction", "p_class 0", "p_class 1"]
    labels = read_manifest(home / cheap).labels
    assert [r["prediction"] for r in rows("out.csv")] == [labels[k] for k in expected.argmax(1)]


@pytest.mark.parametrize(("threshold", "by"), [("0", 0), ("0.5", 0), ("never", 1), ("inf", 1)])
def test_the_ends_of_the_threshold(home, say, table, threshold, by):
    code, _, err = say(
        *("predict", home / "ngrams", "in.csv", "-o", "out.csv"),
        *("--otherwise", home / "whole", "--threshold", threshold),
    )
    names = [home / "ngrams", home / "whole"]
    assert code == 0 and f"20 answered by {names[by]}" in err, err
    assert f"0 answered by {names[1 - by]}" in err
    expected = open_model(names[by]).probabilities(table)
    np.testing.assert_allclose(probabilities("out.csv"), expected, atol=1e-5)


def test_the_second_is_asked_for_no_more_than_its_texts(home, table):
    deferred = []
    second = open_model(home / "whole")
    prepare = second.prepare
    second.prepare = lambda texts, pairs=None: (deferred.extend(texts), prepare(texts, pairs))[1]
    made = Cascade(open_model(home / "ngrams"), second, "0.9", ("a", "b"))
    first = open_model(home / "ngrams").probabilities(table).max(axis=1)
    made.probabilities(table)
    assert deferred == [t for t, p in zip(table, first, strict=True) if p < 0.9]
    assert made.probabilities([]).shape == (0, 2)


def test_what_makes_no_cascade_is_one_line(home, say, table):
    def ask(first, second, *args):
        end = ("--otherwise", home / second, *args)
        return say("predict", home / first, "in.csv", "-o", "out.csv", *end)

    t = ("--threshold", "0.9")
    refused(ask("ngrams", "whole"), "--otherwise: needs --threshold")
    refused(ask("ngrams", "whole", *t, "--criterion", "entropy"), "--criterion: is of one model")
    refused(ask("ngrams", "whole", "--threshold", "2"), "must be from 0 to 1 by confidence")
    refused(ask("ngrams", "whole", "--threshold", "x"), "threshold 'x'")
    refused(ask("ngrams", "swapped", *t), "label 1 is 'class 1', in", "it is 'class 0'; they must")
    refused(ask("ngrams", "five", *t), "has 5 labels", "has 2")
    refused(ask("ngrams", "pair", *t), "pair: reads pairs of texts", "ngrams reads one text")
    refused(ask("ngrams", "number", *t), "number: answers with a number")
    refused(ask("number", "ngrams", *t), "number: answers with a number")
    refused(ask("ngrams", "nowhere", *t), "nowhere: no such folder")
    assert not Path("out.csv").exists()
