"""The promises of frozen embeddings with a linear model."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from raysearch.training.linear import NEVER
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    home = tmp_path_factory.mktemp("tasks")
    return {
        name: tiny.write_task(home / name, name, train=150) for name in ("two", "five", "number")
    }


def embed(task, out, labels=100, *, rung="random-2", study=(), **hyper):
    world = tiny.world(task, out, **dict(study))
    return tiny.trial(world, "embed_linear", rung, labels, **hyper)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalise", [True, False])
def test_learns_what_is_easy(tasks, tmp_path, pooling, normalise):
    run = tiny.finish(embed(tasks["two"], tmp_path, c=100.0, pooling=pooling, normalise=normalise))
    assert tiny.accuracy(run) > (0.95 if pooling == "mean" else 0.8)


def test_learns_a_number(tasks, tmp_path):
    run = tiny.finish(embed(tasks["number"], tmp_path, c=100.0))
    assert run.record().points[0].scores["validation"]["pearson"] > 0.7


def test_the_encoder_stays_as_it_was_bit_by_bit(tasks, tmp_path):
    run = embed(tasks["two"], tmp_path)
    fresh = dict(run.setup.learner(run.ledger)._encoder.named_parameters())
    tiny.finish(run)
    after = dict(run.learner._encoder.named_parameters())
    assert set(after) == set(fresh) and len(after) > 20
    for name, p in after.items():
        assert torch.equal(p, fresh[name]) and p.grad is None, name
    point = run.record().points[0]
    assert point.params_trained == 2 * (48 + 1)
    assert point.params == point.params_trained + sum(p.numel() for p in fresh.values())


def test_the_fit_is_scikit_learns_on_the_embeddings(tasks, tmp_path):
    run = tiny.finish(embed(tasks["five"], tmp_path, c=2.0))
    learner = run.learner
    x = learner._embed(run.setup.train, "train")
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.sqrt(48), rtol=1e-5)
    y = learner._embed(run.setup.data.splits["test"], "test")
    theirs = LogisticRegression(C=2.0, max_iter=200).fit(x, run.setup.train.label)
    logits = learner.predict(run.setup.data.splits["test"], {}, phase="test")
    np.testing.assert_allclose(logits, theirs.decision_function(y), rtol=1e-3, atol=1e-3)


def test_embeddings_are_the_means_over_real_tokens(tasks, tmp_path):
    run = tiny.finish(embed(tasks["two"], tmp_path, normalise=False))
    learner = run.learner
    rows = run.setup.data.splits["test"]
    together = learner._embed(rows, "test")
    encoded = learner._tokens.encode(rows)
    for i in (0, 7):
        ids = encoded.flat[encoded.offsets[i] : encoded.offsets[i + 1]].astype(np.int64)
        with torch.no_grad():
            hidden = learner._encoder.body(torch.from_numpy(ids)[None]).last_hidden_state
        np.testing.assert_allclose(together[i], hidden[0].mean(0), rtol=1e-3, atol=1e-5)


def test_a_class_without_an_example_is_never_answered(tasks, tmp_path):
    run = tiny.finish(embed(tasks["five"], tmp_path, 3))
    present = set(run.setup.train.label.tolist())
    absent = sorted(set(range(5)) - present)
    assert absent
    logits = run.learner.predict(run.setup.data.splits["test"], {}, phase="test")
    assert set(logits.argmax(axis=1).tolist()) <= present
    assert (logits[:, absent] < NEVER / 2).all() and np.isfinite(logits).all()


def test_one_class_alone_is_always_answered(tasks, tmp_path):
    run = tiny.finish(embed(tasks["five"], tmp_path, 1))
    logits = run.learner.predict(run.setup.data.splits["test"], {}, phase="test")
    assert set(logits.argmax(axis=1).tolist()) == set(run.setup.train.label.tolist())


def test_two_of_five_classes_fit_like_two_classes(tasks, tmp_path):
    """scikit-learn keeps one row of weights for two classes; ours are one a class."""
    run = tiny.finish(embed(tasks["five"], tmp_path, 2, c=100.0))
    rows = run.setup.train
    logits = run.learner.predict(rows, {}, phase="test")
    assert (logits.argmax(axis=1) == rows.label).all() and len(set(rows.label.tolist())) == 2


def test_bf16_on_a_cpu_embeds_in_bfloat16(tasks, tmp_path):
    run = embed(tasks["two"], tmp_path, study={"precision": "bf16"}, c=100.0)
    tiny.finish(run)
    layer = next(p for n, p in run.learner._encoder.named_parameters() if ".layer." in n)
    assert layer.dtype == torch.bfloat16
    assert run.learner._linear.weight.dtype == np.float32
    assert tiny.accuracy(run) > 0.9


def test_a_checkpoint_with_nan_weights_stops_the_trial(tasks, tmp_path, monkeypatch):
    run = embed(tasks["two"], tmp_path)
    run.learner = run.setup.learner(run.ledger)
    with torch.no_grad():
        next(iter(run.learner._encoder.body.encoder.layer[0].parameters())).fill_(float("nan"))
    with pytest.raises((FloatingPointError, ValueError), match="NaN|not a finite"):
        tiny.finish(run)


def test_an_unknown_pooling_is_refused(tasks, tmp_path):
    with pytest.raises(ValueError, match="pooling: no 'max'. Known: cls, mean"):
        tiny.finish(embed(tasks["two"], tmp_path, pooling="max"))
