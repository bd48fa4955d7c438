"""Adam for the rows of a word table: only rows that a step touches change."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from raysearch.encoders.models import RowEmbedding
from raysearch.storage.store import State

BETAS = (0.9, 0.999)


EPS = 1e-8


def under(prefix: str, state: State) -> State:
    """Return the part of a state whose names begin with a prefix, by the rest of the names."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


BLOCK = 2**20
"""Numbers of a table's rows that are updated at once on a CPU."""


COPIED = 2**28
"""Bytes of a table up to which a state is a copy; a larger one would not fit a second time."""


class LazyAdam:
    """AdamW over the touched rows of a word table, each row with its own step count.

    Rows not in the batch get neither decay nor a momentum step; a row's bias correction counts
    the updates of that row. (torch's SparseAdam counts all steps, so that a rare row's first
    update is about 3 times too large late in training.)
    """

    def __init__(self, words: RowEmbedding, weight_decay: float) -> None:
        self._words = words
        self._decay = weight_decay
        self._moments: Moments | None = None
        self._moved = torch.empty(0, dtype=torch.int64)
        """Rows that weights from elsewhere have moved (n,)."""

    def gather(self) -> tuple[Tensor, ...]:
        """Return (rows, gradient) of all forwards since the last update, or (empty,)."""
        pending = [(r, leaf.grad) for r, leaf in self._words.pending if leaf.grad is not None]
        self._words.pending = []
        if not pending:
            return (torch.empty(0, dtype=torch.int64),)
        if len(pending) == 1:
            rows, grad = pending[0][0], pending[0][1].float()
        else:
            touched = torch.cat([r for r, _ in pending])
            rows, place = touched.unique(return_inverse=True)
            grad = torch.zeros(len(rows), self._words.weight.shape[1], device=touched.device)
            grad.index_add_(0, place, torch.cat([g.float() for _, g in pending]))
        if self._words.padding is not None:
            grad[rows == self._words.padding] = 0
        return rows, grad

    def step(self, rows: Tensor, grad: Tensor, lr: float) -> None:
        """Update these rows in place."""
        weight = self._words.weight
        if self._moments is None:
            self._moments = Moments(weight)
        at, some = self._moments.of(rows), max(1, len(rows))
        if weight.device.type == "cpu":  # what a block makes on the way stays in the cache
            some = max(1, BLOCK // weight.shape[1])
        for part in range(0, len(rows), some):
            end = part + some
            self._update(rows[part:end], at[part:end], grad[part:end], lr)

    def _update(self, rows: Tensor, at: Tensor, grad: Tensor, lr: float) -> None:
        weight, moments = self._words.weight, self._moments
        assert moments is not None
        count = moments.count.index_select(0, at) + 1
        m = moments.m.index_select(0, at).lerp_(grad, 1 - BETAS[0])
        v = moments.v.index_select(0, at).mul_(BETAS[1])
        v.addcmul_(grad, grad, value=1 - BETAS[1])
        for stored, now in ((moments.count, count), (moments.m, m), (moments.v, v)):
            stored.index_copy_(0, at, now)
        size = m / (1 - BETAS[0] ** count)
        size /= (v / (1 - BETAS[1] ** count)).sqrt_().add_(EPS)
        old = weight.index_select(0, rows)
        weight.index_copy_(0, rows, old * (1 - lr * self._decay) - lr * size)

    def _touched(self) -> Tensor:
        if self._moments is None:
            return self._moved
        rows = self._moments.rows()
        return rows if not len(self._moved) else torch.cat([rows, self._moved]).unique()

    def load_weights(self, state: State) -> None:
        """Restore `weights()`; the rows count as touched from now on."""
        rows = state["rows"].to(self._words.weight.device)
        self._words.weight[rows] = state["weight"].to(self._words.weight.device)
        self._moved = torch.cat([rows, self._moved.to(rows.device)]).unique()

    def weights(self) -> State:
        """Return the touched rows and their current values, copied."""
        rows = self._touched()
        return {"rows": rows, "weight": self._words.weight.detach()[rows]}

    def snapshot(self) -> State:
        """Return `weights()`, but a large table itself where most of its rows are touched."""
        rows, weight = self._touched(), self._words.weight.detach()
        if weight.nbytes <= COPIED or 2 * len(rows) < len(weight):
            return {"rows": rows, "weight": weight[rows]}
        return {"rows": torch.arange(len(weight), device=weight.device), "weight": weight}

    def moments(self) -> State:
        """Return first and second moment and step count, and the rows they belong to.

        Copied where small.
        """
        if self._moments is None:
            return {}
        made, order = self._moments, self._moments.order()
        moments = {
            k: t[: len(order)] for k, t in (("m", made.m), ("v", made.v), ("count", made.count))
        }
        if self._words.weight.nbytes <= COPIED:
            moments = {k: t.clone() for k, t in moments.items()}
        return {"order": order, **moments}

    def restore(self, state: State) -> None:
        """Restore `moments()`."""
        weight = self._words.weight
        # older states have no order: theirs is that of the rows
        order = state["order"] if "order" in state else state["rows"]
        self._moments = Moments(weight)
        at, made = self._moments.of(order.to(weight.device)), self._moments
        made.m[at] = state["m"].to(weight.device)
        made.v[at] = state["v"].to(weight.device)
        made.count[at] = state["count"].to(weight.device)

    def inherit_touched(self, before: LazyAdam) -> None:
        """Count as touched what another table has touched."""
        self._moved = before._touched()

    def drop_moments(self) -> None:
        """Drop the moments, but keep which rows are touched."""
        self._moved, self._moments = self._touched(), None


class Moments:
    """Adam's state of the touched rows of a table, packed one after another.

    On a CPU the arrays are as large as the table. The system allocates their pages on first write,
    so that untouched rows take no memory, wherever the touched ones are in the table.
    """

    def __init__(self, table: Tensor) -> None:
        rows, width = table.shape

        def zeros(*shape: int, dtype: type = np.float32) -> Tensor:
            return torch.from_numpy(np.zeros(shape, dtype)).to(table.device)

        self._place = zeros(rows, dtype=np.int32)
        """1 + where a row's state stands; 0: nowhere yet (rows,)."""
        self._used = 0
        self.m, self.v = zeros(rows, width), zeros(rows, width)
        self.count = zeros(rows, 1)

    def of(self, rows: Tensor) -> Tensor:
        """Return the positions (n,) of these distinct rows' states; new rows are appended."""
        at = self._place[rows]
        new = at == 0
        count = int(new.sum())
        if count:
            at[new] = torch.arange(1, count + 1, dtype=torch.int32, device=at.device) + self._used
            self._place[rows[new]] = at[new]
            self._used += count
        return at.long() - 1

    def rows(self) -> Tensor:
        """Return the rows that have a state, ascending (n,)."""
        return self._place.nonzero()[:, 0]

    def order(self) -> Tensor:
        """Return the rows that have a state, in the order of their states (n,)."""
        rows = self.rows()
        return rows[self._place[rows].argsort()]
