"""The promises of hashed n-grams with a linear model."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from raysearch.data.rows import Rows
from raysearch.training.linear import NEVER
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    home = tmp_path_factory.mktemp("tasks")
    return {
        name: tiny.write_task(home / name, name, train=150)
        for name in ("two", "five", "number", "pair")
    }


def table(task, out, labels=100, **hyper):
    return tiny.trial(tiny.world(task, out), "ngram_linear", "hash-16", labels, **hyper)


def texts(*lines, pair=None):
    return Rows("elsewhere", np.arange(len(lines)), list(lines), pair)


@pytest.mark.parametrize("name", ["two", "five"])
@pytest.mark.parametrize("weighting", ["tf", "tfidf"])
def test_learns_what_is_easy(tasks, tmp_path, name, weighting):
    run = tiny.finish(table(tasks[name], tmp_path, weighting=weighting))
    assert tiny.accuracy(run) > 0.95


def test_learns_a_number(tasks, tmp_path):
    run = tiny.finish(table(tasks["number"], tmp_path, c=100.0))
    assert run.record().points[0].scores["validation"]["pearson"] > 0.9


@pytest.mark.parametrize(
    ("ngrams", "found"), [(1, 3), (2, 3 + 2), (3, 3 + 2 + 1)], ids=["uni", "bi", "tri"]
)
def test_ngrams_up_to_the_longest(tasks, tmp_path, ngrams, found):
    run = tiny.finish(table(tasks["two"], tmp_path, ngrams=ngrams))
    assert run.learner._features(texts("red was here")).nnz == found


def test_letters_marks_and_any_case_are_words(tasks, tmp_path):
    run = tiny.finish(table(tasks["two"], tmp_path, ngrams=1))
    assert run.learner._features(texts("I like it!")).nnz == 4
    a, b = (run.learner._features(texts(t)).toarray() for t in ("RED Fox", "red fox"))
    assert np.array_equal(a, b)


@pytest.mark.parametrize("weighting", ["tf", "tfidf"])
def test_the_features_are_scikit_learns(tasks, tmp_path, weighting):
    run = tiny.finish(table(tasks["two"], tmp_path, weighting=weighting))
    hashed = HashingVectorizer(
        n_features=2**16,
        ngram_range=(1, 2),
        token_pattern=r"(?u)\w+|[^\w\s]",
        alternate_sign=False,
        norm=None,
    )
    train, test = (
        hashed.transform(r.text) for r in (run.setup.train, run.setup.data.splits["test"])
    )
    theirs = TfidfTransformer(use_idf=weighting == "tfidf").fit(train).transform(test)
    ours = run.learner._features(run.setup.data.splits["test"])
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), rtol=1e-4, atol=1e-6)


def test_tfidf_counts_rows_of_train_alone(tasks, tmp_path):
    """A word in every training row weighs least, whatever the other splits hold."""
    run = tiny.finish(table(tasks["two"], tmp_path, ngrams=1))
    x = run.learner._features(texts("red"))
    assert x.nnz == 1 and x.data[0] == pytest.approx(1)
    counts = run.learner._hash.transform(run.setup.train.text)
    seen = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = run.learner._idf
    assert idf[seen.argmax()] == idf[seen > 0].min() and idf[seen == 0].max() == idf.max()


def test_both_texts_of_a_pair_count(tasks, tmp_path):
    run = tiny.finish(table(tasks["pair"], tmp_path))
    one = run.learner._features(texts("red fox", pair=["the hen"]))
    other = run.learner._features(texts("red fox", pair=["a hen"]))
    assert one.nnz > 4 and (one != other).nnz
    assert tiny.accuracy(run) > 0.5


def test_a_text_without_words_gets_an_answer(tasks, tmp_path):
    run = tiny.finish(table(tasks["two"], tmp_path))
    rows = texts("", "   ", "\u200b", "zzz")
    assert np.isfinite(run.learner.predict(rows, {}, phase="test")).all()
    assert run.learner.infer_flops(rows, {})[0] == 0


def test_a_class_without_an_example_is_never_answered(tasks, tmp_path):
    run = tiny.finish(table(tasks["five"], tmp_path, 3))
    absent = sorted(set(range(5)) - set(run.setup.train.label.tolist()))
    logits = run.learner.predict(run.setup.data.splits["test"], {}, phase="test")
    assert absent and (logits[:, absent] < NEVER / 2).all()


def test_the_size_is_a_weight_a_bucket_and_class(tasks, tmp_path):
    tf = tiny.finish(table(tasks["five"], tmp_path, weighting="tf")).record().points[0]
    tfidf = tiny.finish(table(tasks["five"], tmp_path)).record().points[0]
    assert tf.params == 5 * (2**16 + 1) and tf.bytes == 4 * tf.params
    assert tfidf.params == tf.params + 2**16
    assert tfidf.params_trained <= tfidf.params
