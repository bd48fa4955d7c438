"""Scores against scikit-learn, scipy and simulation; one more score takes one function."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import playwright
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score

from raysearch import score_intervals, score_sums, scores
from raysearch.analysis import cascade, read_run
from raysearch.analysis.bootstrap import Judged, features, replicates
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.external import rows_interval
from raysearch.analysis.intervals import careful, interval
from raysearch.analysis.report_text import summary
from raysearch.analysis.thresholds import cascaded, sums_by_level
from raysearch.data.own import notes, own_task
from raysearch.data.sources import read
from raysearch.errors import InputError
from raysearch.panels.embed import points_json
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.recommended import look
from raysearch.recommend.sentences import headline, interval_note
from raysearch.recommend.words import text
from raysearch.score_intervals import BALANCED_F1, BALANCED_MCC, FISHER, RANKS, SHARE, Floats
from raysearch.scores import SCORES
from raysearch.workflow.task_option import task_of
from tests.support import tiny
from tests.support.judged import own_csv, write_run
from tests.support.verbs import Say

PACKAGE = Path(scores.__file__).parent
ASSETS = PACKAGE / "panels" / "assets"


# Intervals


def cells(mcc: float, true: float, predicted: float) -> Floats:
    """Chances of (0, 0), (0, 1), (1, 0), (1, 1), label and prediction, of that MCC and shares."""
    both = true * predicted + mcc * np.sqrt(true * (1 - true) * predicted * (1 - predicted))
    return np.array([1 - true - predicted + both, predicted - both, true - both, both])


def coverage(counts: Floats, mcc: float, way: str) -> float:
    """How often the interval holds the truth, of tables of counts (t, 4)."""
    hits = 0
    for row in counts.astype(np.int64):
        true, predicted = np.repeat([0, 0, 1, 1], row), np.repeat([0, 1, 0, 1], row)
        parts = score_sums.by_class(np.eye(2)[predicted], true)
        value = SCORES["mcc"].whole([parts])
        formula = {"formula": BALANCED_MCC, "share": SHARE, "fisher": FISHER}.get(way)
        if formula is None:
            ends = SCORES["mcc"].interval(value, len(parts), parts)
            assert ends is not None
        else:
            ends = formula.interval(value, len(parts))
        hits += ends[0] <= mcc <= ends[1]
    return hits / len(counts)


@pytest.mark.parametrize(
    ("mcc", "true", "predicted", "rows", "formula"),
    [
        (0.5, 0.5, 0.5, 500, (0.93, 0.97)),
        (0.8, 0.5, 0.5, 500, (0.93, 0.97)),
        (0.5, 0.7, 0.72, 500, (0.89, 0.95)),  # CoLA: 70 % of the sentences are acceptable
        (0.6, 0.1, 0.1, 500, (0.65, 0.85)),  # a rare class: what the docs warn of
    ],
)
def test_an_interval_of_mcc_holds_the_truth(
    mcc: float, true: float, predicted: float, rows: int, formula: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(rows, cells(mcc, true, predicted), size=1000).astype(np.float64)
    assert 0.93 <= coverage(counts, mcc, "rows") <= 0.97
    assert formula[0] <= coverage(counts, mcc, "formula") <= formula[1]
    # neither the interval of a share nor that of Pearson's r is one
    assert coverage(counts, mcc, "share") < 0.87 and coverage(counts, mcc, "fisher") < 0.93


def test_the_interval_of_mcc_is_that_of_the_phi_coefficient() -> None:
    """The worked example of statpsych's ci.phi, whose source is Bishop, Fienberg and Holland."""
    predicted, true = (
        np.repeat([0, 0, 1, 1], [229, 28, 96, 24]),
        np.repeat([0, 1, 0, 1], [229, 28, 96, 24]),
    )
    parts = score_sums.by_class(np.eye(2)[predicted], true)
    assert SCORES["mcc"].whole([parts]) == pytest.approx(0.1229976, abs=1e-7)
    assert score_intervals.mcc_interval(parts) == pytest.approx((0.01462398, 0.2285149), abs=1e-7)


def test_the_interval_of_mcc_of_many_classes_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(5, 800, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    logits = rng.normal(size=(800, 5)) + 1.5 * np.eye(5)[label]
    parts = features(logits, label, "mcc")
    low, high = score_intervals.mcc_interval(parts)
    ends = rows_interval(logits.argmax(axis=1), label, "mcc", 5)
    assert ends is not None and (low, high) == pytest.approx(ends, abs=0.006)


def test_mcc_is_not_taken_for_accuracy_any_more() -> None:
    low, high = interval(0.5, 1000, "mcc")
    assert (low, high) != interval(0.5, 1000, "accuracy")
    assert (low, high) == pytest.approx((0.444, 0.552), abs=1e-3)  # 2 p - 1 of Wilson's at 0.75
    assert low == pytest.approx(2 * SHARE.interval(0.75, 1000)[0] - 1)
    assert interval(-0.2, 1000, "mcc")[0] < -0.2 < interval(-0.2, 1000, "mcc")[1]
    assert careful(0.5, 50, "mcc") == interval(0.5, 50, "mcc")[0] < careful(0.5, 50, "accuracy")


@pytest.mark.parametrize(
    ("positive", "f1", "formula"),
    [(0.5, 0.9, (0.93, 0.97)), (0.68, 0.9, (0.95, 1.0)), (0.37, 0.88, (0.88, 0.95))],
)
def test_an_interval_of_f1_holds_the_truth(
    positive: float, f1: float, formula: tuple[float, float]
) -> None:
    """At the shares of positive rows of balanced data, of MRPC and of QQP."""
    hit, miss = positive * f1, positive * (1 - f1)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(1000, [hit, miss, miss, 1 - hit - 2 * miss], size=1000)
    by_rows, by_formula = 0, 0
    for tp, fp, fn, _ in counts.tolist():
        value = 2 * tp / (2 * tp + fp + fn)
        ends = interval(value, 1000, "f1")
        by_formula += ends[0] <= f1 <= ends[1]
        parts = np.repeat([[1.0, 1, 1], [0, 1, 0], [0, 0, 1]], [tp, fp, fn], axis=0)
        low, high = score_intervals.f1_interval(parts)
        assert low < value < high
        by_rows += low <= f1 <= high
    assert 0.93 <= by_rows / 1000 <= 0.97
    assert formula[0] <= by_formula / 1000 <= formula[1]


def test_an_interval_of_spearman_holds_the_truth() -> None:
    rng, r, hits = np.random.default_rng(0), 0.8, 0
    truth = 6 / np.pi * np.arcsin(r / 2)  # of the bivariate normal
    for _ in range(1000):
        x = rng.normal(size=200)
        y = r * x + np.sqrt(1 - r * r) * rng.normal(size=200)
        low, high = interval(SCORES["spearman"].of(x[:, None], y), 200, "spearman")
        hits += low <= truth <= high
    assert 0.93 <= hits / 1000 <= 0.97


@pytest.mark.parametrize("name", sorted(SCORES))
def test_intervals_stay_within_bounds_and_hold_the_score(name: str) -> None:
    of = SCORES[name]
    assert of.maximise == (of.formula is not None)
    if of.formula is None:
        with pytest.raises(ValueError, match="has no formula"):
            interval(0.5, 10, name)
        assert careful(0.5, 10, name) == 0.5
        return
    assert (of.formula.low, of.formula.high) == of.bounds
    for value in np.linspace(*of.bounds, 9).tolist():
        for rows in (4, 50, 5000):
            low, high = interval(value, rows, name)
            assert of.bounds[0] <= low <= value + 1e-12 and value - 1e-12 <= high <= of.bounds[1]


def test_no_row_that_errs_and_no_second_class_have_an_interval_too() -> None:
    label = np.array([0, 1] * 20)
    low, high = score_intervals.mcc_interval(score_sums.by_class(np.eye(2)[label], label))
    assert 0.7 < low < high == 1
    one = np.zeros(40, np.int64)
    assert score_intervals.mcc_interval(score_sums.by_class(np.eye(2)[one], one)) == (-1, 1)
    assert score_intervals.f1_interval(score_sums.of_second(np.eye(2)[one], one)) == (0, 1)


def test_the_page_computes_the_same_intervals() -> None:
    """The page has kind, bounds and spread as data: no name of a score stands in its script."""
    cases = [
        [v, n, {"kind": f.kind, "low": f.low, "high": f.high, "spread": f.spread}]
        for f in (SHARE, FISHER, BALANCED_MCC, BALANCED_F1, RANKS)
        for v in (f.low, f.low + 0.3, 0.5, 0.93, f.high)
        for n in (3, 10, 1043)
    ]
    script = (ASSETS / "answer.js").read_text(encoding="utf-8")
    script += f"console.log(JSON.stringify({json.dumps(cases)}.map((c) => interval(...c))));"
    node = Path(playwright.__file__).parent / "driver" / "node"
    made = subprocess.run([node, "-"], input=script, capture_output=True, text=True, check=True)
    for (v, n, f), found in zip(cases, json.loads(made.stdout), strict=True):
        want = score_intervals.Formula(**f).interval(v, n)
        assert found == pytest.approx(want, abs=1e-15), (v, n, f)


# Spearman: no sum over rows decides it


def ranked(seed: int = 0, rows: int = 120) -> tuple[Floats, Floats]:
    """Predictions and labels (n,), both with ties."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 11, rows) / 2
    return (label + rng.normal(0, 1.5, rows)).round(1), label


def test_resampled_spearman_is_scipys_on_the_resampled_rows() -> None:
    """To rounding: resamples are ranked anew, not taken from the ranks of the whole sample."""
    x, y = ranked()
    before = x.copy(), y.copy()
    rng = np.random.default_rng(1)
    taken = rng.integers(len(x), size=(300, len(x)))
    weights = np.stack([np.bincount(t, minlength=len(x)) for t in taken]).astype(np.float64)
    score = SCORES["spearman"]
    found = score.weighted(score.parts(x[:, None], y), weights)
    full = np.array([spearmanr(x[t], y[t]).statistic for t in taken])
    assert np.abs(found - full).max() < 1e-12
    assert np.array_equal(before[0], x) and np.array_equal(before[1], y)


def test_ranks_of_the_whole_sample_would_be_off() -> None:
    """Why they are not used: Pearson's sums over them miss a full bootstrap by so much."""
    x, y = ranked(rows=60)
    rng = np.random.default_rng(1)
    weights = np.stack([np.bincount(rng.integers(60, size=60), minlength=60) for _ in range(2000)])
    score, whole = SCORES["spearman"], np.ones((1, 60))
    full = score.weighted(score.parts(x[:, None], y), weights.astype(np.float64))
    ranks = [score_sums._ranks(column, whole)[0] for column in (x, y)]
    moments = score_sums.moments(ranks[0][:, None], ranks[1], True)
    fixed = score_sums.CORRELATION.total(weights @ moments, weights.sum(axis=1))
    off = np.abs(fixed - full)
    assert 0.01 < off.mean() < 0.025 and off.max() < 0.2


def test_folds_of_spearman_are_judged_together() -> None:
    x, y = ranked(rows=150)
    folds = np.array_split(np.random.default_rng(0).permutation(150), 3)
    choice = [
        Judged(k, np.sort(f), features(x[np.sort(f), None], y[np.sort(f)], "spearman"))
        for k, f in enumerate(folds)
    ]
    made = replicates([choice, choice], "spearman", pooled=True, resamples=300)
    assert made.estimate[0] == pytest.approx(spearmanr(x, y).statistic)
    low, high = made.interval(0)
    assert -1 <= low < made.estimate[0] < high <= 1 and made.difference(0, 1) == (0, 0)


# One more score


def trained(folder: Path, name: str) -> Path:
    """A confirmed run of own data that is scored so."""
    if SCORES[name].kind == scores.NUMBERS:
        rng = np.random.default_rng(0)
        rows = [
            (tiny.text_of(tiny.SIGNAL[i % 5], rng, 20) + f" {i}", i % 5 / 4 + i / 999)
            for i in range(160)
        ]
        folder.mkdir(parents=True)
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / "own.csv", index=False)
        task = own_task(str(folder / "own.csv"), score=name)
    else:
        folder.mkdir(parents=True)
        task = own_task(str(own_csv(folder / "own.csv")), score=name)
    assert task.score == name and task.regression == (SCORES[name].kind == scores.NUMBERS)
    write_run(folder / "run", task)
    return folder / "run"


@pytest.fixture(params=["sums", "value"])
def toy(request: pytest.FixtureRequest) -> Iterator[str]:
    """A score that no file but this one knows; gone after the test."""
    more = {"sums": score_sums.RIGHT} if request.param == "sums" else {}

    @scores.score(scores.CLASSES, label="toy score", bounds=(0.0, 1.0), formula=SHARE, **more)
    def toy_score(logits: Floats, labels: scores.Labels) -> float:
        """Share of rows that are right, under another name."""
        return float((logits.argmax(axis=1) == labels).mean())

    yield "toy_score"
    del SCORES["toy_score"]


def accepted(folder: Path, name: str, say: Say) -> None:
    """Table, intervals, bootstrap, report, page and command line take the score."""
    run = read_run(folder)
    kept = run.table.dropna(subset=["score_test"])
    assert set(kept["score_name"]) == {name}
    best = max(
        (r for r in run.records if r.phase == "search"),
        key=lambda r: r.points[0].scores["validation"][name],
    )
    assert name in best.points[0].scores["test"]
    made = confirmation(run)
    assert made.why == "" and len(made.estimates) == 3
    for e in made.estimates:
        assert SCORES[name].bounds[0] <= e.low < e.score < e.high <= SCORES[name].bounds[1]
    points = collect(run)
    formula = SCORES[name].formula
    assert formula is not None and points.kind == formula.kind
    page = points_json(points)
    assert page["score"] == name and page["formula"]["low"] == SCORES[name].bounds[0]
    assert name in text(headline(points, answer(points))[0])
    shown = look(run)
    assert shown is not None and shown.scores[name].mean == pytest.approx(made.estimates[0].score)
    assert summary(shown)[0].startswith(f"{name} ")
    code, out, _ = say("report", folder)
    assert code == 0 and name in out
    code, out, _ = say("ls", "scores", "--json")
    assert code == 0 and name in [row["name"] for row in json.loads(out)]
    none = dict.fromkeys(("text", "label", "group", "unlabelled", "seed"))
    given = {
        **none,
        "task": str(folder.parent / "own.csv"),
        "score": name,
    }  # the options of a study
    assert task_of(given, None).score == name


@pytest.mark.parametrize("name", ["f1", "spearman", "mcc"])
def test_a_score_goes_from_end_to_end(name: str, tmp_path: Path, say: Say) -> None:
    accepted(trained(tmp_path / "own", name), name, say)


def test_a_score_of_one_function_goes_from_end_to_end(toy: str, tmp_path: Path, say: Say) -> None:
    folder = trained(tmp_path / "own", toy)
    accepted(folder, toy, say)
    csv = str(folder.parent / "own.csv")
    lines = notes(own_task(csv, score=toy), read(own_task(csv)))
    assert "scoring toy score, as asked" in " ".join(lines)
    assert (toy in cascaded()) == (SCORES[toy].sums is not None)
    missing = cascade.why(read_run(folder))
    assert ("sums over rows decide" in missing) == (SCORES[toy].sums is None)
    same = replicates_of(folder, toy)
    assert np.array_equal(same, replicates_of(folder, "accuracy"))


def replicates_of(folder: Path, score: str) -> Floats:
    """The same rows and draws under the score: (B, m)."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 50)
    draws = [rng.normal(size=(50, 2)) for _ in range(3)]
    choice = [Judged(d, np.arange(50), features(z, label, score)) for d, z in enumerate(draws)]
    return replicates([choice], score, resamples=100).resampled


def test_an_unconfirmed_page_says_which_interval_it_draws(tmp_path: Path) -> None:
    task = tiny.write_task(tmp_path / "two", "two", test=200)
    write_run(tmp_path / "run", replace(task, score="mcc"), draws=0)
    run = read_run(tmp_path / "run")
    points = collect(run)
    assert points.kind == "stretched" and points.majority is None
    note = interval_note(points, answer(points))
    assert "binomial (stretched to −1 to 1) interval over the 200 test texts" in note
    shown = look(run)
    assert shown is not None and shown.alone is not None
    # what the rows say and what the formula says are near each other here: classes are balanced
    assert shown.alone == pytest.approx(interval(shown.scores["mcc"].mean, 200, "mcc"), abs=0.03)


def test_a_score_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(tiny.text_of(tiny.SIGNAL[i % 3], rng, 20), "abc"[i % 3]) for i in range(60)]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "three.csv", index=False)
    with pytest.raises(InputError, match="score f1 takes 2 classes, the task has 3"):
        own_task(str(tmp_path / "three.csv"), score="f1")
    with pytest.raises(InputError, match="no score 'mc'. Did you mean 'mcc'"):
        own_task(str(tmp_path / "three.csv"), score="mc")
    with pytest.raises(InputError, match="no score 'nll'"):  # less is better
        own_task(str(tmp_path / "three.csv"), score="nll")


def test_f1_is_scikit_learns_and_makes_cascades() -> None:
    rng = np.random.default_rng(0)
    label, logits = rng.integers(0, 2, 300), rng.normal(size=(300, 2))
    predicted, level = logits.argmax(axis=1), rng.integers(0, 4, 300)
    assert SCORES["f1"].of(logits, label) == f1_score(label, predicted)
    for name in cascaded():
        sums = sums_by_level(level, predicted, label, count=4, classes=2, score=name)
        for k in range(4):
            rows = features(logits[level == k], label[level == k], name)
            assert np.array_equal(sums[k], rows.sum(axis=0))
    assert cascaded() == ["accuracy", "macro_f1", "mcc", "f1"]
    with pytest.raises(ValueError, match="a cascade needs classes: accuracy, macro_f1, mcc, f1"):
        sums_by_level(level, predicted, label, count=4, classes=2, score="nll")


# Names


FIELDS = {("panels/reliability.py", "accuracy"), ("panels/exit_calibration.py", "accuracy")}
"""Fields of a picture's data that are not scores: the accuracy of the rows of one bin."""


def test_no_other_file_spells_the_name_of_a_score() -> None:
    """Strings of the code, docstrings aside; and whatever the page's scripts say."""
    word = re.compile(rf"\b({'|'.join(SCORES)})\b")
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            text_ = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if text_ and id(node) not in prose and where != "scores.py":
                found |= {(where, m[1]) for m in word.finditer(node.value)}
    assert found == FIELDS
    scripts = sorted(PACKAGE.rglob("*.js"))
    assert len(scripts) > 3
    assert not [p.name for p in scripts if word.search(p.read_text(encoding="utf-8"))]


def test_every_score_is_whole() -> None:
    assert len(SCORES) >= 8 and len(scores.main_scores()) >= 6
    for name, of in SCORES.items():
        assert of.name == name and of.tldr.endswith((".", "]")) and of.label
        assert of.kind in (scores.CLASSES, scores.NUMBERS)
        assert of.formula is None or of.formula.low <= of.formula.high
    assert {scores.DEFAULT, scores.UNEVEN, scores.NUMBER} <= set(scores.main_scores())
    page = (PACKAGE.parent / "docs" / "adding-a-score.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in SCORES)
