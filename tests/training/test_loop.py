"""The loop: lazy Adam against torch's AdamW, schedules, clipping, masters, restarts."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raysearch.encoders.models import RowEmbedding
from raysearch.storage.store import load_state, save_state
from raysearch.training import row_adam
from raysearch.training.loop import OptimiserConfig, OptimiserLoop, clip_, rate
from raysearch.training.row_adam import LazyAdam

CPU = torch.device("cpu")


class Bag(nn.Module):
    """Word vectors, dropout, a linear layer: the smallest thing the loop can move."""

    def __init__(self, words=20, width=6, dropout=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.words = RowEmbedding(torch.randn(words, width, generator=generator), padding=0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(2, width, generator=generator))
            self.head.bias.zero_()

    def forward(self, ids):
        return self.head(self.dropout(self.words(ids).mean(dim=1)))


def batch(step, words=20, rows=8, low=1):
    rng = np.random.default_rng(step)
    ids = torch.from_numpy(rng.integers(low, words, (rows, 5)))
    return ids, torch.from_numpy(rng.integers(0, 2, rows))


def loop_of(module, horizon=20, precision="fp32", **recipe):
    recipe = OptimiserConfig(**{"learning_rate": 0.05, "schedule": "constant", **recipe})
    return OptimiserLoop(module, recipe, horizon, seed=3, precision=precision, device=CPU)


def work(loop, steps):
    for _ in range(steps):
        ids, label = batch(loop.steps)
        loop.update([lambda ids=ids, label=label: F.cross_entropy(loop.module(ids), label)])


# --- lazy Adam ------------------------------------------------------------------------------------


def test_lazy_adam_is_adamw_where_every_row_is_touched():
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(7, 4, generator=generator)
    words = RowEmbedding(start.clone(), padding=None)
    lazy = LazyAdam(words, weight_decay=0.1)
    theirs = nn.Parameter(start.clone())
    adam = torch.optim.AdamW([theirs], betas=row_adam.BETAS, eps=row_adam.EPS, weight_decay=0.1)
    for step in range(30):
        grad = torch.randn(7, 4, generator=generator) * 10.0 ** (step % 5 - 3)
        lr = 0.1 / (step + 1)
        lazy.step(torch.arange(7), grad.clone(), lr)
        adam.param_groups[0]["lr"] = lr
        theirs.grad = grad.clone()
        adam.step()
    torch.testing.assert_close(words.weight.data, theirs.data, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(words.weight.data, start, atol=0.1)


def test_the_loop_is_plain_adamw_where_every_row_is_touched():
    """The whole loop against torch's unfused AdamW with dense gradients, clipping included."""
    ours, theirs = Bag(words=4), Bag(words=4)
    theirs.words.weight.requires_grad_()
    decayed = [theirs.words.weight, theirs.head.weight]
    adam = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": 0.1},
            {"params": [theirs.head.bias], "weight_decay": 0.0},
        ],
        lr=0.05,
        fused=False,
    )
    loop = loop_of(ours, weight_decay=0.1, clip=0.3)
    ids = torch.tensor([[0, 1, 2, 3], [1, 1, 2, 3], [3, 2, 1, 0]])
    label = torch.tensor([0, 1, 1])
    ours.words.padding = None
    for _ in range(15):
        loop.update([lambda: F.cross_entropy(ours(ids), label)])
        adam.zero_grad()
        x = F.embedding(ids, theirs.words.weight).mean(dim=1)
        F.cross_entropy(theirs.head(x), label).backward()
        nn.utils.clip_grad_norm_([p for g in adam.param_groups for p in g["params"]], 0.3)
        adam.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.data, b.data, rtol=1e-4, atol=1e-5)


def test_rows_not_in_the_batch_stay_bit_by_bit():
    module = Bag()
    before = module.words.weight.clone()
    loop = loop_of(module, weight_decay=0.5)
    ids = torch.tensor([[1, 2, 3], [3, 2, 7]])
    for _ in range(5):
        loop.update([lambda: F.cross_entropy(module(ids), torch.tensor([0, 1]))])
    same = (module.words.weight == before).all(dim=1)
    assert same.tolist() == [i not in (1, 2, 3, 7) for i in range(20)]
    assert module.words.weight.grad is None


def test_a_row_counts_its_own_updates():
    """A row seen first late gets a first step of the learning rate's size, as Adam's first is."""
    words = RowEmbedding(torch.zeros(3, 2), padding=None)
    lazy = LazyAdam(words, weight_decay=0.0)
    for _ in range(50):
        lazy.step(torch.tensor([0]), torch.ones(1, 2), 0.01)
    lazy.step(torch.tensor([2]), torch.full((1, 2), 1e-3), 0.01)
    assert words.weight[2].tolist() == pytest.approx([-0.01, -0.01], rel=1e-3)
    assert words.weight[1].tolist() == [0, 0]


def test_padding_does_not_learn_and_repeated_words_add_up():
    module, other = Bag(), Bag()
    loop = loop_of(module)
    before = module.words.weight.clone()
    ids = torch.tensor([[5, 5, 5, 0, 0]])
    loop.update([lambda: F.cross_entropy(module(ids), torch.tensor([1]))])
    assert torch.equal(module.words.weight[0], before[0])
    other.words.weight.requires_grad_()
    F.cross_entropy(other(ids), torch.tensor([1])).backward()
    rows, leaf = other.words.weight.grad.abs().sum(1).nonzero()[:, 0].tolist(), None
    assert rows == [0, 5] and leaf is None
    moved = (module.words.weight != before).any(dim=1).nonzero()[:, 0].tolist()
    assert moved == [5]


def test_losses_in_parts_add_up():
    """Two halves of a batch move the weights as the whole does."""

    def loss(module, ids, label, share=1.0):
        return F.cross_entropy(module(ids), label) * share

    whole, halves = Bag(), Bag()
    a, b = loop_of(whole), loop_of(halves)
    for step in range(4):
        ids, label = batch(step)
        first, second = zip(ids.split(4), label.split(4), strict=True)
        a.update([partial(loss, whole, ids, label)])
        b.update([partial(loss, halves, *part, share=0.5) for part in (first, second)])
    for p, q in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(p.data, q.data, rtol=1e-4, atol=1e-5)


def test_looking_up_without_training_leaves_nothing_pending():
    module = Bag()
    loop = loop_of(module)
    module.eval()
    module(batch(0)[0])
    module.train()
    with torch.no_grad():
        module(batch(0)[0])
    assert not module.words.pending
    work(loop, 1)
    assert not module.words.pending


# --- schedule and clipping ------------------------------------------------------------------------


def test_the_schedule_is_torchs_and_transformers():
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    kinds = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}
    for name, make in kinds.items():
        adam = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        schedule = make(adam, 5, 20)
        recipe = OptimiserConfig(2.0, name, warmup=0.25)
        for step in range(20):
            theirs = adam.param_groups[0]["lr"]
            adam.step()
            schedule.step()
            # ours rises from 1/5 at the first step, theirs from 0: the same line a step later
            if step >= 5:
                assert rate(recipe, step, 20) == pytest.approx(theirs)
            else:
                assert rate(recipe, step, 20) == pytest.approx(theirs + 2.0 / 5)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_the_rate_never_leaves_zero_to_peak(name):
    for horizon in (1, 2, 3, 50):
        for warmup in (0.0, 0.06, 0.1, 1.0):
            rates = [rate(OptimiserConfig(1e-3, name, warmup), s, horizon) for s in range(horizon)]
            assert all(0 < r <= 1e-3 + 1e-12 for r in rates), (horizon, warmup, rates)
    assert rate(OptimiserConfig(1.0, "constant"), 49, 50) == 1.0
    assert rate(OptimiserConfig(1.0, "linear"), 0, 50) == 1.0


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="schedule: no 'cosin'. Known: linear, cosine, constant"):
        rate(OptimiserConfig(1.0, "cosin"), 3, 5)


@pytest.mark.parametrize("limit", [0.1, 1.0, 1e3])
def test_clipping_is_torchs(limit):
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(n, generator=generator) for n in (3, 50, 7)]
    theirs = [nn.Parameter(torch.zeros_like(g)) for g in ours]
    for p, g in zip(theirs, ours, strict=True):
        p.grad = g.clone()
    nn.utils.clip_grad_norm_(theirs, limit)
    clip_(ours, limit)
    for g, p in zip(ours, theirs, strict=True):
        torch.testing.assert_close(g, p.grad, rtol=1e-6, atol=1e-7)
    clip_([], limit)


def test_one_huge_gradient_moves_weights_no_further_than_clipped():
    module = Bag()
    loop = loop_of(module)
    before = module.head.weight.clone()
    loop.update([lambda: 1e12 * module(batch(0)[0]).sum()])
    assert (module.head.weight - before).abs().max() <= 0.05 * 1.01


# --- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_restored_loop_goes_on_bit_by_bit(stop, precision):
    whole = loop_of(Bag(dropout=0.3), precision=precision, schedule="cosine", weight_decay=0.1)
    work(whole, 20)
    first = loop_of(Bag(dropout=0.3), precision=precision, schedule="cosine", weight_decay=0.1)
    work(first, stop)
    second = loop_of(Bag(dropout=0.3), precision=precision, schedule="cosine", weight_decay=0.1)
    second.restore(first.state())
    assert second.steps == stop
    work(second, 20 - stop)
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop", [1, 7, 19])
def test_a_large_table_is_saved_without_a_copy_and_goes_on_bit_by_bit(stop, tmp_path, monkeypatch):
    monkeypatch.setattr(row_adam, "COPIED", 0)
    whole, first, second = loop_of(Bag()), loop_of(Bag()), loop_of(Bag())
    work(whole, 20)
    work(first, stop)
    state = first.state()
    table = next(m for m in first.module.modules() if isinstance(m, RowEmbedding)).weight
    assert len(state["rows.0.m"]) == len(state["rows.0.order"])
    assert state["rows.0.m"].data_ptr() == first._rows[0]._moments.m.data_ptr()
    if len(state["rows.0.rows"]) == len(table):
        assert state["rows.0.weight"].data_ptr() == table.data_ptr()
    save_state(tmp_path, state)
    second.restore(load_state(tmp_path))
    work(second, 20 - stop)
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_moments_of_an_older_checkpoint_are_taken_in_the_order_of_its_rows():
    whole, second = loop_of(Bag()), loop_of(Bag())
    work(whole, 5)
    state = whole.state()
    place = state["rows.0.order"].argsort()  # once they stood in the order of the rows
    for name in ("m", "v", "count"):
        state[f"rows.0.{name}"] = state[f"rows.0.{name}"][place]
    del state["rows.0.order"]
    second.restore(state)
    for each in (whole, second):
        work(each, 5)
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_is_a_copy():
    loop = loop_of(Bag())
    work(loop, 3)
    state = loop.state()
    kept = {k: v.clone() for k, v in state.items() if isinstance(v, torch.Tensor)}
    work(loop, 3)
    assert all(torch.equal(state[k], v) for k, v in kept.items()) and len(kept) > 5


def test_a_finished_state_leaves_the_moments_out():
    loop = loop_of(Bag(), horizon=4)
    work(loop, 3)
    assert any(k.startswith("adam.") for k in loop.state())
    work(loop, 1)
    assert loop.finished
    state = loop.state()
    assert not any(k.startswith("adam.") or k.endswith((".m", ".v")) for k in state)
    again = loop_of(Bag(), horizon=4)
    again.restore(state)
    third = loop_of(Bag(), horizon=4)
    third.restore(again.state())
    for a, b in zip(loop.module.parameters(), third.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_dropout_follows_seed_and_step_alone():
    module = Bag(dropout=0.5)
    seen = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        loop = loop_of(module)
        masks = []
        for _ in range(2):

            def look(masks=masks):
                masks.append(module.dropout(torch.ones(64)))
                return module(batch(0)[0]).sum() * 0.0

            loop.update([look])
        seen.append(masks)
    assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[0][0], seen[0][1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_raises_before_weights_move(bad):
    module = Bag()
    loop = loop_of(module)
    work(loop, 2)
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(FloatingPointError, match="at step 2"):
        loop.update([lambda: module(batch(0)[0]).sum() * bad])
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_frozen_parameters_are_left_alone():
    module = Bag()
    module.head.weight.requires_grad_(False)
    before = module.head.weight.clone()
    loop = loop_of(module, weight_decay=0.5)
    work(loop, 3)
    assert torch.equal(module.head.weight, before)
