"""A deep averaging network fitted to rows by gradient steps: what its two methods share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysearch.data.rows import Logits, Rows
from raysearch.encoders.batches import steps_per_epoch
from raysearch.errors import Infeasible, InputError
from raysearch.ngrams import grams
from raysearch.ngrams.bag import BagBatch, Dan, dan_params, forward_flops, step_flops
from raysearch.ngrams.bags import FrequentVocabulary, HashedVocabulary, NgramIds
from raysearch.ngrams.graphs import BagGraph
from raysearch.ngrams.tables import DTYPES, Table, cuts
from raysearch.storage.store import State
from raysearch.training.dan_knobs import DanKnobs, Stage
from raysearch.training.loop import OptimiserConfig, OptimiserLoop
from raysearch.training.protocol import Context
from raysearch.training.row_adam import under

AT_ONCE = 2**26
"""Numbers of the table that are rounded at once where texts are predicted."""
COUNTED = 2**17
"""Texts over which collisions are counted, of each set that is trained on."""


class DanTrainer:
    """A learner: a vocabulary from the first stage's texts, then one update a step."""

    def __init__(self, ctx: Context, knobs: DanKnobs, stages: Sequence[Stage]) -> None:
        self._ctx, self._knobs = ctx, knobs
        self._stages = [s for s in stages if s.steps]
        self._pair = ctx.train.pair is not None
        self._seed = int(ctx.rng.integers(2**31))
        self._module = Dan(
            ctx.rung.buckets,
            ctx.rung.hidden,
            ctx.classes,
            pair=self._pair,
            skipped=knobs.skipped,
            dropout=knobs.dropout,
            generator=ctx.torch_rng,
        ).to(ctx.device)
        self._vocabulary: FrequentVocabulary | HashedVocabulary | None = None
        self._at = 0
        """The stage at work."""
        self._loop = self._looped()
        self._bags: list[NgramIds] = []
        """Of the stage's rows: first texts and, of pairs, second ones."""
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._seen: tuple[bytes, list[NgramIds]] = (b"", [])
        """Rows that were predicted last, read: all points need the same ones."""

    def _looped(self) -> OptimiserLoop:
        stage, knobs = self._stages[self._at], self._knobs
        recipe = OptimiserConfig(
            stage.learning_rate, knobs.schedule, knobs.warmup, knobs.weight_decay
        )
        seed = self._seed + self._at
        return OptimiserLoop(
            self._module,
            recipe,
            stage.steps,
            seed=seed,
            precision="fp32",
            device=self._ctx.device,
        )

    def step(self) -> bool:
        """Update once; the first update of a stage reads its texts."""
        if self._vocabulary is None:
            self._vocabulary = self._build_vocabulary()
        stage = self._stages[self._at]
        if not self._bags:
            self._bags = self._read(stage.parts)
        n = len(self._bags[0])
        epoch, place = divmod(self._loop.steps, steps_per_epoch(n, self._knobs.batch_size))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self._seed, self._at, epoch]).permutation(n)
        size = self._knobs.batch_size
        index = self._order[1][place * size : (place + 1) * size]
        inputs = [BagBatch.of(bags.take(index), self._ctx.device) for bags in self._bags]
        before = self._module.hit
        self._loop.update([lambda: stage.loss(self._module(*inputs), index)])
        hits = self._module.hit - before
        self._ctx.ledger.charge(
            "train",
            flops=step_flops(
                hits, len(index), self._ctx.rung.hidden, self._ctx.classes, pair=self._pair
            ),
            tokens=hits,
            texts=len(index),
        )
        if not self._loop.finished:
            return True
        if self._at + 1 == len(self._stages):
            self._loop.drop_moments()
            return False
        self._at += 1
        self._loop.drop_moments()
        before_it, self._loop = self._loop, self._looped()
        self._loop.inherit_touched(before_it)
        self._bags, self._order = [], (-1, self._order[1])
        return True

    def _build_vocabulary(self) -> FrequentVocabulary | HashedVocabulary:
        """Build the vocabulary, from training texts only, never from those that evaluate."""
        rows, ngrams = self._ctx.rung.buckets, self._knobs.ngrams
        if self._knobs.vocabulary == "hashed":
            return HashedVocabulary(rows, ngrams)
        columns = [c for p in self._stages[0].parts for c in (p.text, p.pair) if c is not None]
        try:
            return grams.frequent(columns[0], rows, ngrams, *columns[1:])
        except InputError as e:
            raise Infeasible(str(e)) from e

    def _read(self, parts: Sequence[Rows]) -> list[NgramIds]:
        """Return bags of the first texts and, of pairs, of the second ones."""
        vocabulary = self._vocabulary
        assert vocabulary is not None
        first = vocabulary.bags(*(p.text for p in parts))
        if not self._pair:
            return [first]
        # a transfer text that stands alone is a pair with nothing
        return [
            first,
            vocabulary.bags(*([""] * len(p) if p.pair is None else p.pair for p in parts)),
        ]

    def _cut(self, rows: Rows, knobs: Mapping[str, Any]) -> list[NgramIds]:
        """Return bags of rows without what a point's table has lost."""
        key = rows.split.encode() + rows.ids.tobytes()
        if self._seen[0] != key:
            self._seen = key, self._read([rows])
        return [bags.below(int(knobs["rows"])) for bags in self._seen[1]]

    def points(self, sample: Rows | None = None) -> Sequence[Mapping[str, Any]]:
        """Return the whole table first, then cut and rounded ones, which cost no training."""
        rows = self._ctx.rung.buckets
        kept = cuts(rows) if self._knobs.vocabulary == "frequent" else [rows]
        return [{"rows": r, "table": dtype} for r in kept for dtype in DTYPES]

    def facts(self) -> Mapping[str, int]:
        """Return a hashed vocabulary's occupied rows, and how many of them hold several n-grams.

        Counted over the first 2^17 rows of each kind at most.
        """
        if not isinstance(self._vocabulary, HashedVocabulary):
            return {}
        parts = [p.take(np.arange(min(len(p), COUNTED))) for p in self._stages[0].parts]
        columns = [c for p in parts for c in (p.text, p.pair) if c is not None]
        hit, shared = self._vocabulary.collisions(*columns)
        return {"rows_hit": hit, "rows_shared": shared}

    def predict(self, rows: Rows, knobs: Mapping[str, Any], *, phase: str) -> Logits:
        """Return logits (n, classes), charged to `phase`."""
        bags = self._cut(rows, knobs)
        count = sum(len(b.ids) for b in bags)
        each = float(self._flops(0.0))
        spent = int(count * self._ctx.rung.hidden + len(rows) * each)
        self._ctx.ledger.charge(phase, flops=spent, tokens=count, texts=len(rows))
        out = np.empty((len(rows), self._ctx.classes), np.float32)
        for a, b in _slices(bags, AT_ONCE // self._ctx.rung.hidden):
            some = [x.take(np.arange(a, b)) for x in bags]
            hit = np.unique(np.concatenate([x.ids for x in some]))
            known = [
                NgramIds(np.searchsorted(hit, x.ids).astype(np.int32), x.offsets) for x in some
            ]
            out[a:b] = self._graph(knobs, hit).answer(known)
        return out

    def _flops(self, count: NDArray[np.int64] | float) -> NDArray[np.float64]:
        return forward_flops(count, self._ctx.rung.hidden, self._ctx.classes, pair=self._pair)

    def infer_flops(self, rows: Rows, knobs: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return each text's FLOPs (n,): the rows it reads, and the dense layers."""
        bags = self._cut(rows, knobs)
        return self._flops(np.sum([b.sizes for b in bags], axis=0))

    def size(self, knobs: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (parameters of the cut table, those trained, stored bytes).

        All are trained; the vocabulary's bytes are included.
        """
        rows, width = int(knobs["rows"]), self._ctx.rung.hidden
        deployed = dan_params(rows, width, self._ctx.classes, pair=self._pair)
        table = Table.bytes_of(rows, width, str(knobs["table"]))
        words = 0 if self._vocabulary is None else self._vocabulary.bytes_of(rows)
        return deployed, deployed, table + 4 * (deployed - rows * width) + words

    def graph(self, knobs: Mapping[str, Any]) -> BagGraph:
        """Return the float32 weights, the table cut and rounded."""
        return self._graph(knobs, slice(int(knobs["rows"])))

    def _graph(self, knobs: Mapping[str, Any], kept: slice | NDArray[np.int32]) -> BagGraph:
        """Return the graph with these table rows only: prediction needs just those it reads."""
        module = self._module
        assert self._vocabulary is not None
        dense = {
            name: p.detach().cpu().numpy()
            for name, p in module.named_parameters()
            if not name.startswith("table.")
        }
        rows = module.table.weight.detach()[kept].cpu().numpy()
        table = Table.rounded(rows, str(knobs["table"]))
        return BagGraph(self._vocabulary.first(int(knobs["rows"])), table, dense, self._pair)

    def state(self) -> State:
        """Return vocabulary, stage, weights and, while they are needed, moments."""
        out: State = {"stage": self._at, "read": self._vocabulary is not None}
        if self._vocabulary is not None:
            out.update({f"vocabulary.{k}": v for k, v in self._vocabulary.state().items()})
        return {**out, **{f"loop.{k}": v for k, v in self._loop.state().items()}}

    def restore(self, state: State) -> None:
        """Restore `state()`, so that training continues as if uninterrupted."""
        self._at = int(state["stage"])
        self._loop = self._looped()
        self._loop.restore(under("loop.", state))
        if state["read"]:
            rows, ngrams = self._ctx.rung.buckets, self._knobs.ngrams
            if self._knobs.vocabulary == "hashed":
                self._vocabulary = HashedVocabulary(rows, ngrams)
            else:
                self._vocabulary = FrequentVocabulary.restored(under("vocabulary.", state), ngrams)
        self._bags = []


def _slices(bags: Sequence[NgramIds], most: int) -> Iterator[tuple[int, int]]:
    """Yield where texts begin and end that hold about `most` n-grams together."""
    through = np.cumsum(np.sum([b.sizes for b in bags], axis=0))
    start, texts = 0, len(bags[0])
    while start < texts:
        before = int(through[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(through, before + most, "right")))
        yield start, stop
        start = stop
