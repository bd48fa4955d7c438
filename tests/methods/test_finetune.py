"""Fine-tuning's own promises."""

import dataclasses

import numpy as np
import pytest
import torch

from raysearch.encoders.batches import epoch_batches
from raysearch.methods.finetune import Knobs, horizon
from raysearch.training import fit
from raysearch.trial.run import TrialRun
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tiny.write_task(tmp_path_factory.mktemp("two"), "two", train=120)


@pytest.fixture
def world(task, tmp_path):
    return tiny.world(task, tmp_path)


def fine(world, labels=32, *, rung="random-2", **hyper):
    return tiny.trial(world, "finetune", rung, labels, **{"learning_rate": 3e-3, **hyper})


def test_learns_what_is_easy(world):
    assert tiny.accuracy(tiny.finish(fine(world, 100, epochs=8))) > 0.95


def test_learns_a_number(tmp_path):
    world = tiny.world(tiny.write_task(tmp_path / "n", "number", train=120), tmp_path)
    run = tiny.finish(fine(world, 100, epochs=12))
    assert run.record().points[0].scores["validation"]["pearson"] > 0.9


def test_pairs_are_told_apart_by_their_segment(tmp_path):
    world = tiny.world(tiny.write_task(tmp_path / "p", "pair"), tmp_path)
    run = tiny.finish(fine(world))
    rows = run.setup.data.splits["test"]
    encoded = run.learner._head.encode(rows)
    assert encoded.types is not None
    batch = encoded.batch(np.arange(len(rows)), torch.device("cpu"))
    assert batch.types.shape == batch.ids.shape and set(batch.types.unique().tolist()) == {0, 1}
    turned = dataclasses.replace(rows, split="turned", text=rows.pair, pair=rows.text)
    logits = run.learner.predict(rows, {}, phase="test")
    back = run.learner.predict(turned, {}, phase="test")
    assert not np.allclose(logits, back)


@pytest.mark.parametrize(
    ("epochs", "rows", "steps"), [(3, 32, 50), (10, 160, 100), (1, 33, 50), (30, 33, 90)]
)
def test_steps_are_whole_epochs_and_at_least_min_steps(epochs, rows, steps):
    assert horizon(Knobs(epochs=epochs), rows) == steps


def test_runs_to_its_horizon_and_no_further(world):
    run = fine(world, 20, epochs=1, min_steps=7)
    steps = 1
    while run.step(0.0):
        steps += 1
    assert steps == run.record().step == run.config.horizon == 7
    texts = next(c.texts for c in run.record().bill if c.phase == "train")
    assert texts in (3 * 20 + 16, 3 * 20 + 4)
    assert not run.step(0.0)
    assert run.record().step == 7


def watched(run, monkeypatch):
    """The validation losses of a trial as it looks at them, and the steps at which it did."""
    seen = []
    look = fit.FineTuner._look

    def spy(self):
        before = self._best_loss, self._waited
        calls = []
        loss = fit.task_loss
        with monkeypatch.context() as patch:
            patch.setattr(fit, "task_loss", lambda x, y: calls.append(loss(x, y)) or calls[-1])
            look(self)
        seen.append((self._loop.steps, float(calls[0]), before))

    monkeypatch.setattr(fit.FineTuner, "_look", spy)
    tiny.finish(run)
    return seen


def nll(run):
    return run.record().points[0].scores["validation"]["nll"]


def test_patience_stops_and_restores_the_best_weights(world, monkeypatch):
    run = fine(
        world, 32, epochs=40, min_steps=1, patience=2, learning_rate=3e-2, schedule="constant"
    )
    seen = watched(run, monkeypatch)
    losses = [loss for _, loss, _ in seen]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 40, "stops after two looks that did not improve"
    assert losses[-1] > losses[best]
    assert nll(run) == pytest.approx(losses[best], rel=1e-5)


def test_patience_restores_the_best_weights_where_the_end_lies_within_an_epoch(world, monkeypatch):
    # 2 steps an epoch, 5 steps in all: the last look comes in the middle of the third epoch
    hyper = {"epochs": 1, "min_steps": 5, "patience": 9, "learning_rate": 0.06}
    config = tiny.configure(
        world, "finetune", "random-2", init_seed=2, schedule="constant", **hyper
    )
    run = TrialRun(config, world.place)
    seen = watched(run, monkeypatch)
    assert [step for step, _, _ in seen] == [2, 4, 5]
    losses = [loss for _, loss, _ in seen]
    assert np.argmin(losses) < 2, "the test needs a last look that is not the best"
    assert nll(run) == pytest.approx(min(losses), rel=1e-5)


def test_looking_is_charged_to_validation(world):
    plain = tiny.finish(fine(world, epochs=2, min_steps=1))
    looked = tiny.finish(fine(world, epochs=2, min_steps=1, patience=5))
    assert looked.ledger.flops("train") == plain.ledger.flops("train")
    assert looked.ledger.flops("validate") == 3 * plain.ledger.flops("validate")


def test_patience_goes_on_after_a_restart(world, tmp_path):
    def open_run(name):
        run = fine(world, epochs=6, min_steps=1, patience=2, learning_rate=3e-2)
        return TrialRun(run.config, dataclasses.replace(world.place, store=str(tmp_path / name)))

    whole = tiny.finish(open_run("a"))
    for stop in (3, 5):
        before, after = open_run("b"), open_run("c")
        for _ in range(stop):
            before.step(0.0)
        before.save(tmp_path / f"checkpoint-{stop}")
        after.load(tmp_path / f"checkpoint-{stop}")
        assert tiny.finish(after).record().points == whole.record().points


def test_every_weight_moves_and_words_not_seen_stay(world):
    run = fine(world, epochs=2, min_steps=1)
    run.step(0.0)
    learner = run.learner
    fresh = run.setup.learner(run.ledger)
    tiny.finish(run)
    after, before = dict(learner._module.named_parameters()), dict(fresh._module.named_parameters())
    words = "encoder.body.embeddings.word_embeddings.weight"
    # rows of positions beyond the longest text stay, and a key's bias moves no softmax
    for name in after:
        if name not in (words,) and not name.endswith("key.bias"):
            assert not torch.equal(after[name], before[name]), name
    seen = set(np.unique(learner._train.flat).tolist()) - {0}
    unused = [i for i in range(len(tiny.VOCABULARY)) if i not in seen]
    assert unused and torch.equal(after[words][unused], before[words][unused])
    changed = (after[words] != before[words]).any(dim=1).nonzero()[:, 0].tolist()
    trained = {int(t) for t in np.unique(learner._train.flat[_positions(learner._train)])}
    assert set(changed) <= trained and len(changed) > 5


def _positions(encoded):
    return np.concatenate(
        [np.arange(encoded.offsets[r], encoded.offsets[r + 1]) for r in encoded.rows]
    )


def test_the_init_seed_draws_head_order_and_masks(world):
    runs = []
    for seed in (0, 1):
        config = tiny.configure(world, "finetune", "random-1", init_seed=seed, min_steps=3)
        run = TrialRun(config, world.place)
        run.step(0.0)
        runs.append(run.learner)
    assert not torch.equal(runs[0]._module.head.weight, runs[1]._module.head.weight)
    assert runs[0]._seed != runs[1]._seed
    lengths = np.arange(40)
    a, b = (np.concatenate(epoch_batches(lengths, 8, r._seed, 0)) for r in runs)
    assert not np.array_equal(a, b)


def test_the_global_generators_neither_matter_nor_move(world):
    out = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        run = fine(world, min_steps=4, epochs=1)
        run.step(0.0)
        before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
        tiny.finish(run)
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
        out.append(run.learner.predict(run.setup.data.splits["test"], {}, phase="test"))
    assert np.array_equal(*out)


@pytest.mark.slow
def test_bf16_on_a_cpu_keeps_float32_masters_and_learns(task, tmp_path):
    world = tiny.world(task, tmp_path, precision="bf16")
    run = fine(world, 100, epochs=8)
    assert run.config.precision == "bf16"
    run.step(0.0)
    learner = run.learner
    layers = [p for n, p in learner._module.named_parameters() if ".layer." in n]
    assert layers and all(p.dtype == torch.bfloat16 for p in layers)
    assert learner._module.encoder.words.weight.dtype == torch.float32
    assert learner._module.head.weight.dtype == torch.float32
    tiny.finish(run)
    state = learner.state()
    masters = [v for k, v in state.items() if k.startswith("loop.master.")]
    assert masters and all(m.dtype == torch.float32 for m in masters)
    # masters hold what bfloat16 cannot
    assert any(not torch.equal(m, m.bfloat16().float()) for m in masters)
    for live, master in zip(learner._loop._live, learner._loop._masters, strict=True):
        assert torch.equal(live.float(), master.to(live.dtype).float())
    assert tiny.accuracy(run) > 0.9
    logits = learner.predict(run.setup.data.splits["test"], {}, phase="test")
    again = TrialRun(run.config, world.place)
    assert again.restore_weights()
    assert np.array_equal(
        again.learner.predict(run.setup.data.splits["test"], {}, phase="test"), logits
    )


def test_a_loss_that_is_no_number_stops_the_trial(world):
    run = fine(world, learning_rate=1e30, schedule="constant")
    with pytest.raises(FloatingPointError, match="the loss is (nan|inf) at step"):
        tiny.finish(run)


@pytest.mark.parametrize(("knob", "value"), [("schedule", "linaer"), ("pooling", "max")])
def test_an_unknown_option_is_refused(world, knob, value):
    with pytest.raises(ValueError, match=f"{knob}: no '{value}'. Known: "):
        tiny.finish(fine(world, min_steps=2, **{knob: value}))
