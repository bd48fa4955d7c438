"""Scores against scikit-learn and scipy."""

import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics

from raysearch.data.evaluate import majority, scores


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_scikit_learns(classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(50, classes)).astype(np.float32) * 3
    label = rng.integers(0, max(2, classes // 2), 50)
    before = logits.copy(), label.copy()
    got = scores(logits, label)
    predicted = logits.argmax(axis=1)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": metrics.accuracy_score(label, predicted),
        "macro_f1": metrics.f1_score(label, predicted, average="macro", zero_division=0),
        "mcc": metrics.matthews_corrcoef(label, predicted),
        "nll": metrics.log_loss(label, p, labels=range(classes)),
    }
    if classes == 2:
        expected["f1"] = metrics.f1_score(label, predicted, zero_division=0)
    assert got == pytest.approx(expected, rel=1e-6)
    exact = ("accuracy", "macro_f1", "mcc", "f1")
    assert all(got[name] == expected[name] for name in exact if name in got)  # to the digit
    assert np.array_equal(logits, before[0]) and np.array_equal(label, before[1])


def test_numbers_are_scored_as_scipy_does():
    rng = np.random.default_rng(0)
    label = rng.normal(size=40).astype(np.float32)
    out = (label + rng.normal(size=40)).astype(np.float32)[:, None]
    got = scores(out, label)
    assert got["spearman"] == pytest.approx(spearmanr(out[:, 0], label).statistic, rel=1e-12)
    assert got["pearson"] == pytest.approx(pearsonr(out[:, 0], label).statistic, rel=1e-5)
    assert got["mse"] == pytest.approx(metrics.mean_squared_error(label, out[:, 0]), rel=1e-5)


def test_hard_cases_have_a_number_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = scores(np.array([[3.0, 0.0]] * 4, np.float32), np.zeros(4, np.int64))
        assert one["accuracy"] == one["macro_f1"] == 1 and one["mcc"] == 0
        far = scores(np.array([[1e4, -1e4]], np.float32), np.array([1]))
        assert far["nll"] == pytest.approx(2e4) and far["accuracy"] == 0
        constant = scores(np.ones((5, 1), np.float32), np.arange(5, dtype=np.float32))
        assert constant["pearson"] == 0 and constant["mse"] == 3
        single = scores(np.ones((1, 1), np.float32), np.ones(1, np.float32))
        assert single == {"pearson": 0.0, "spearman": 0.0, "mse": 0.0}


def test_ties_go_to_the_lower_class():
    got = scores(np.zeros((4, 3), np.float32), np.array([0, 1, 2, 0]))
    assert got["accuracy"] == 0.5 and got["nll"] == pytest.approx(np.log(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number_is_refused(bad):
    logits = np.zeros((3, 2), np.float32)
    logits[1, 1] = bad
    with pytest.raises(FloatingPointError, match="finite"):
        scores(logits, np.array([0, 1, 0]))


@pytest.mark.parametrize("rows", [0, 2])
def test_rows_must_agree(rows):
    with pytest.raises(ValueError, match="rows of logits"):
        scores(np.zeros((rows, 2), np.float32), np.zeros(3 if rows else 0, np.int64))


def test_majority_answers_the_commonest_training_class():
    got = majority(np.array([2, 2, 0]), np.array([2, 0, 1, 2]))
    assert got["accuracy"] == 0.5
    unseen = majority(np.array([0, 0, 1]), np.array([3, 3]))
    assert unseen["accuracy"] == 0
    number = majority(np.array([1.0, 3.0], np.float32), np.array([2.0, 4.0], np.float32))
    assert number == {"pearson": 0.0, "spearman": 0.0, "mse": 2.0}
