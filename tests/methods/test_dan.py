"""The promises of networks over n-grams, from labels alone and taught; arXiv:2110.08536."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raysearch.data.rows import Rows
from raysearch.errors import Infeasible
from raysearch.ngrams import dan_numpy
from raysearch.ngrams.bag import BagBatch, Dan, dan_params, forward_flops
from raysearch.ngrams.bags import NgramIds
from raysearch.ngrams.tables import Table
from raysearch.record import TrialRecord
from raysearch.training.dan_fit import DanTrainer
from raysearch.training.losses import distillation
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")
CPU = torch.device("cpu")
LEARNS = {"learning_rate": 2e-2, "epochs": 40, "dropout": 0.0, "skipped": 0.0}
WHOLE = {"rows": 400, "table": "float32"}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    home = tmp_path_factory.mktemp("tasks")
    return {
        name: tiny.write_task(home / name, name, train=150)
        for name in ("two", "five", "number", "pair")
    }


def dan(task, out, labels=100, method="dan", **hyper):
    return tiny.trial(tiny.world(task, out), method, "table-400", labels, **hyper)


def rows(*texts, pair=None):
    return Rows("elsewhere", np.arange(len(texts)), list(texts), pair)


def network(rows=30, width=4, classes=3, *, pair=False, skipped=0.0, dropout=0.0):
    generator = torch.Generator().manual_seed(1)
    return Dan(
        rows, width, classes, pair=pair, skipped=skipped, dropout=dropout, generator=generator
    )


def batch(*bags):
    sizes = np.cumsum([0, *map(len, bags)])
    return BagBatch.of(NgramIds(np.array([i for b in bags for i in b], np.int32), sizes), CPU)


# --- what is learnt -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two", "five"])
@pytest.mark.parametrize(("vocabulary", "ngrams"), [("hashed", 1), ("frequent", 3)])
def test_learns_what_is_easy(tasks, tmp_path, name, vocabulary, ngrams):
    more = {"learning_rate": 1e-2, "epochs": 40}
    run = dan(tasks[name], tmp_path, 150, vocabulary=vocabulary, ngrams=ngrams, **more)
    assert tiny.accuracy(tiny.finish(run)) > 0.8  # of the majority 0.2 to 0.5


def test_learns_a_number(tasks, tmp_path):
    run = tiny.finish(dan(tasks["number"], tmp_path, 150, ngrams=1, learning_rate=1e-2, epochs=60))
    assert run.record().points[0].scores["validation"]["pearson"] > 0.9


def test_a_student_learns_its_teachers_answers(tasks, tmp_path):
    """Of texts without a label, too, which nothing else has told it."""
    run = dan(tasks["two"], tmp_path, method="sparse_distill", transfer=40, **LEARNS)
    tiny.finish(run)
    pool = run.setup.unlabelled
    logits = run.setup.inputs["teacher"].made.logits(pool)
    own = run.learner.predict(pool, WHOLE, phase="test")
    assert np.corrcoef(logits[:, 0] - logits[:, 1], own[:, 0] - own[:, 1])[0, 1] > 0.9
    assert run.record().unlabelled_used == len(pool) == 40


def test_tuning_comes_after_and_moves_the_student(tasks, tmp_path):
    plain, tuned = (
        tiny.finish(dan(tasks["two"], tmp_path / str(k), method="sparse_distill", tuning=k))
        for k in (0, 3)
    )
    steps = tuned._steps - plain._steps
    assert steps == 3 * -(-100 // 64)
    a, b = (r.learner.predict(r.setup.validation, WHOLE, phase="test") for r in (plain, tuned))
    assert not np.array_equal(a, b)


def test_a_teacher_that_says_the_same_teaches_nothing():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for temperature in (1.0, 2.0):
        assert distillation(z, z, temperature).abs().max() < 1e-6


# --- what is computed -----------------------------------------------------------------------------


def test_the_order_of_a_bag_does_not_matter_and_its_counts_do():
    net = network().eval()
    bag = [3, 7, 7, 12, 29]
    a = net(batch(bag))
    torch.testing.assert_close(net(batch(bag[::-1])), a)
    torch.testing.assert_close(net(batch(bag + bag)), a)
    assert not torch.allclose(net(batch([*bag, 3])), a)


def test_words_matter_by_their_order_where_longer_n_grams_are_read(tasks, tmp_path):
    texts = rows("red the of", "of the red", "the red of")
    single = tiny.finish(dan(tasks["two"], tmp_path / "1", ngrams=1))
    longer = tiny.finish(dan(tasks["two"], tmp_path / "2", ngrams=2))
    one, two = (r.learner.predict(texts, WHOLE, phase="test") for r in (single, longer))
    np.testing.assert_allclose(one, one[:1].repeat(3, 0), rtol=1e-5)
    assert not np.allclose(two[0], two[1])


def test_no_n_gram_is_the_bias_alone_and_teaches_no_row(tasks, tmp_path):
    run = tiny.finish(dan(tasks["two"], tmp_path, vocabulary="frequent", ngrams=3))
    z = run.learner.predict(rows("", "   ", "zzzz qqqq", "red"), WHOLE, phase="test")
    assert np.isfinite(z).all()
    assert np.array_equal(z[0], z[1]) and np.array_equal(z[0], z[2])
    net = network()
    net.table.train_rows = True
    net.train()
    net(batch([], [])).sum().backward()
    ((touched, leaf),) = net.table.pending
    assert len(touched) == 0 and leaf.grad is None or leaf.grad.abs().sum() == 0


@pytest.mark.parametrize("pair", [False, True])
def test_numpy_computes_what_torch_does(pair):
    net = network(pair=pair).eval()
    first, second = ([3, 7], [], [1, 1, 2], [29] * 40), ([0], [4, 5], [], [2, 3])
    given = [batch(*first), batch(*second)] if pair else [batch(*first)]
    theirs = net(*given).detach().numpy()
    whole = net.table.weight.numpy()
    bags = [(b.ids.numpy().astype(np.int32), b.offsets.numpy()) for b in given]
    dense = {k: p.detach().numpy() for k, p in net.named_parameters() if not k.startswith("table")}
    ours = dan_numpy.dense(dense, [dan_numpy.means(whole, None, *b) for b in bags])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for dtype, apart in (("float16", 1e-3), ("int8", 2e-2)):
        table = Table.rounded(whole, dtype)
        low = [dan_numpy.means(table.values, table.scale, *b) for b in bags]
        assert 0 < np.abs(dan_numpy.dense(dense, low) - theirs).max() < apart


def test_means_are_the_same_however_many_are_summed_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 3)).astype(np.float32)
    sizes = rng.integers(0, 9, 40)
    sizes[[0, 5, 39]] = 0
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ids = rng.integers(0, 50, offsets[-1])
    whole = dan_numpy.means(table, None, ids, offsets)
    slow = [
        table[ids[a:b]].mean(0) if b > a else np.zeros(3)
        for a, b in zip(offsets, offsets[1:], strict=False)
    ]
    np.testing.assert_allclose(whole, slow, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(dan_numpy, "MOST", 1)
    monkeypatch.setattr(dan_numpy, "ENTRIES", 24)
    assert np.array_equal(dan_numpy.means(table, None, ids, offsets), whole)


def test_a_pairs_product_and_distance_do_not_know_who_came_first():
    from raysearch.ngrams.bag import pair_features

    a, b = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(2))
    one, other = pair_features(a, b), pair_features(b, a)
    assert one.shape == (5, 16)
    assert torch.equal(one[:, 8:], other[:, 8:]) and not torch.equal(one[:, :8], other[:, :8])


def test_pairs_are_learnt_and_saved(tasks, tmp_path):
    run = tiny.finish(dan(tasks["pair"], tmp_path, learning_rate=1e-2, epochs=60))
    assert tiny.accuracy(run) > 0.7


# --- what moves -----------------------------------------------------------------------------------


def test_rows_that_no_text_hits_stay_bit_by_bit(tasks, tmp_path):
    run = dan(tasks["two"], tmp_path, weight_decay=0.5)
    run.begin()
    table = run.learner._module.table.weight
    before = table.clone()
    hit = set()
    for _ in range(5):
        run.step(0.0)
    for bags in run.learner._bags:
        hit |= set(bags.ids.tolist())
    moved = (table != before).any(dim=1).nonzero()[:, 0].tolist()
    assert moved and set(moved) <= hit
    assert len(hit) < 400


def test_the_gradient_has_the_distinct_rows_alone():
    net = network()
    net.table.train_rows = True
    net.train()
    net(batch([3, 7, 7], [7])).sum().backward()
    ((touched, leaf),) = net.table.pending
    assert touched.tolist() == [3, 7] and leaf.grad.shape == (2, 4)
    assert net.table.weight.grad is None


def test_n_grams_are_skipped_in_training_alone():
    net = network(skipped=0.5)
    bag = batch(list(range(30)), list(range(30)))
    torch.manual_seed(0)
    net.train()
    a = net(bag)
    assert net.hit < 50 and not torch.allclose(a[0], a[1])
    net.eval()
    torch.testing.assert_close(*net(bag))


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [False, True])
def test_parameters_are_counted_in_closed_form(pair):
    net = network(30, 4, 3, pair=pair)
    assert sum(p.numel() for p in net.parameters()) == dan_params(30, 4, 3, pair=pair)


def test_flops_do_not_know_how_many_rows_there_are():
    assert float(forward_flops(500, 1000, 2, pair=False)) == 500 * 1000 + 2 * 1000**2 + 4000
    assert float(forward_flops(7, 10, 3, pair=True)) == 70 + 2 * 200 + 2 * 40 * 3


def test_points_are_cut_and_rounded_at_no_training_cost(tasks, tmp_path):
    run = tiny.finish(dan(tasks["two"], tmp_path, vocabulary="frequent", ngrams=3))
    points = run.record().points
    assert [dict(p.knobs) for p in points] == [
        {"rows": n, "table": t} for n in (400, 120) for t in ("float32", "float16", "int8")
    ]
    assert points[0].params == dan_params(400, 8, 2, pair=False)
    assert points[3].params == dan_params(120, 8, 2, pair=False)
    assert [p.bytes for p in points] == sorted((p.bytes for p in points), reverse=True)
    assert points[0].infer_flops == points[2].infer_flops >= points[3].infer_flops
    hashed = tiny.finish(dan(tasks["two"], tmp_path / "h"))
    assert [p.knobs["rows"] for p in hashed.record().points] == [400] * 3
    facts = hashed.record().facts
    assert 0 < facts["rows_shared"] < facts["rows_hit"] <= 400
    assert TrialRecord.from_json(hashed.record().to_json()).facts == facts


# --- where it comes from --------------------------------------------------------------------------


def test_the_vocabulary_is_that_of_training_texts_alone(tasks, tmp_path):
    """With other validation and test texts it is the same to the row."""
    plain, other = (dan(tasks["two"], tmp_path / n, vocabulary="frequent", ngrams=3) for n in "ab")
    judged = other.setup.validation
    other.setup.validation = Rows(
        judged.split, judged.ids, ["zebra crossing"] * 30, None, judged.label
    )
    for run in (plain, other):
        tiny.finish(run)
    a, b = (r.learner.state() for r in (plain, other))
    for name, value in a.items():
        assert torch.equal(value, b[name]) if torch.is_tensor(value) else value == b[name], name
    words = bytes(a["vocabulary.words"].tolist()).decode().split("\n")
    trained = set(" ".join(plain.setup.train.text).lower().split())
    assert set(words) <= trained


@pytest.mark.parametrize(("labels", "message"), [(4, "at most "), (90, "")])
def test_more_rows_than_n_grams_are_infeasible(tasks, tmp_path, labels, message):
    run = dan(tasks["two"], tmp_path, labels=labels, vocabulary="frequent", ngrams=1)
    with pytest.raises(Infeasible, match=f"400 n-grams asked, the texts hold {message}[0-9]") as e:
        while run.step():
            pass
    assert "\n" not in str(e.value)


def test_no_teacher_answers_texts_that_are_too_few(tasks, tmp_path, monkeypatch):
    more = {"transfer": 5, "vocabulary": "frequent", "ngrams": 1}
    run = dan(tasks["two"], tmp_path, 4, method="sparse_distill", **more)
    monkeypatch.setattr(run.setup.inputs["teacher"].made, "bill", lambda: pytest.fail("was asked"))
    with pytest.raises(Infeasible, match="the texts hold at most"):
        run.begin()


def test_unknown_vocabularies_and_no_n_grams_are_one_line(tasks, tmp_path):
    with pytest.raises(Infeasible, match="vocabulary: no 'frequnt'"):
        dan(tasks["two"], tmp_path, vocabulary="frequnt")
    with pytest.raises(Infeasible, match="ngrams: 0 is not 1 to 4"):
        dan(tasks["two"], tmp_path, ngrams=0)


@pytest.mark.parametrize("stop", [1, 5, 9, 11])
def test_a_student_in_its_second_stage_is_saved_whole(tasks, tmp_path, stop):
    """Rows that only the teacher's texts have moved are kept beside those that tuning moves."""

    def student(name):
        more = {"transfer": 60, "epochs": 3, "min_steps": 4, "tuning": 2}
        return dan(tasks["two"], tmp_path / name, 40, method="sparse_distill", **more)

    whole = tiny.finish(student("a"))
    assert whole._steps == 8  # six on the teacher's answers, two on labels
    expected = whole.learner.predict(whole.setup.data.splits["test"], WHOLE, phase="test")
    kept = student("a")
    assert kept.restore_weights()
    first = student("b")
    for _ in range(min(stop, 8)):
        first.step(0.0)
    first.save(tmp_path / "checkpoint")
    second = student("b")
    second.load(tmp_path / "checkpoint")
    for run in (kept, tiny.finish(second)):
        found = run.learner.predict(run.setup.data.splits["test"], WHOLE, phase="test")
        assert np.array_equal(found, expected)


def test_a_trained_student_needs_no_teacher(tasks, tmp_path, monkeypatch):
    run = tiny.finish(dan(tasks["two"], tmp_path, method="sparse_distill", transfer=20))
    expected = run.learner.predict(run.setup.validation, WHOLE, phase="test")
    again = dan(tasks["two"], tmp_path, method="sparse_distill", transfer=20)
    monkeypatch.setattr(type(again.setup.inputs["teacher"].made), "logits", None)
    assert again.restore_weights() and isinstance(again.learner, DanTrainer)
    assert np.array_equal(
        again.learner.predict(run.setup.validation, WHOLE, phase="test"), expected
    )
