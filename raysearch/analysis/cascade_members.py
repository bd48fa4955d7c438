"""Two confirmed points as members of one cascade: what they answered, and what they cost together.

A member is read from the run's Store: its answers to the validation rows of the search's own
trial, and those of its fresh draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from raysearch.analysis.bootstrap import Judged, features
from raysearch.analysis.confirmation import fresh_draws, stored_logits
from raysearch.analysis.external import MISSING_ARTIFACT
from raysearch.analysis.replicates import FreshDraws, matching_point
from raysearch.analysis.run import Run
from raysearch.analysis.thresholds import Floats, Ints, Logits, confidence, judged
from raysearch.analysis.winners import winners
from raysearch.config.trial import TrialConfig
from raysearch.ledger import ANSWERS, OWN, TRAINING
from raysearch.outputs.calibration import temperature
from raysearch.outputs.described import label_of
from raysearch.record import OperatingPoint, TrialRecord


@dataclass(frozen=True, slots=True, eq=False)
class CascadeMember:
    """A confirmed point with its own trial's answers to its validation rows, ascending."""

    record: TrialRecord
    point: OperatingPoint
    fresh: Mapping[int, TrialRecord]
    """Its finished draws by number."""
    winner: bool
    """The best of its cell, or named by the user: it may be part of a cascade."""
    ids: Ints
    label: Ints
    predicted: Ints
    sure: Floats
    """Confidence (n,), calibrated on these rows; empty where it is no winner."""
    classes: int
    flops: float
    """Expected inference [FLOP/text]."""

    @property
    def folds(self) -> int:
        """Return the number of cross-fitting folds of its draws."""
        return next(iter(self.fresh.values())).config.data.folds

    @property
    def data(self) -> tuple[str, int]:
        """Return what two members must share to be compared row by row."""
        return self.record.config.splits, self.folds


def members(
    run: Run, confirmed: Sequence[str], wanted: Sequence[str] = ()
) -> tuple[list[CascadeMember], str]:
    """Read the confirmed points, cheap inference first; return also why some could not be read.

    Winners are those in `wanted`, else those of `raysearch.analysis.winners` among the confirmed.
    """
    fresh = fresh_draws(run)
    table = run.table[run.table["point_id"].isin(list(confirmed))]
    best = set(wanted or winners(table)["point_id"])
    read_members, lost = [], []
    for name in confirmed:
        try:
            read_members.append(_member(run, fresh[name], name in best))
        except MISSING_ARTIFACT as e:
            lost.append(reason(e))
    read_members.sort(key=lambda m: (m.flops, m.point.point_id))
    if not lost:
        return read_members, ""
    return read_members, f"{len(lost)} of {len(confirmed)} confirmed points left out: {lost[0]}"


def reason(e: Exception) -> str:
    """Return an exception as one line."""
    return (str(e).splitlines() or [type(e).__name__])[0]


def _member(run: Run, fresh: FreshDraws, winner: bool) -> CascadeMember:
    record, point, own = fresh
    flops = _known(point.infer_flops)
    if flops is None:
        raise ValueError(f"point {point.point_id} has no infer_flops")
    logits, ids, label = stored_logits(run.folder, point.point_id, "validation")
    if not len(ids):
        raise ValueError(f"point {point.point_id} has no validation rows")
    order = np.argsort(ids, kind="stable")
    top = logits.argmax(axis=1)[order]
    sure = confidence(logits, temperature(logits, label))[order] if winner else np.zeros(0)
    ids, label = ids[order], label[order]
    return CascadeMember(record, point, own, winner, ids, label, top, sure, logits.shape[1], flops)


def _known(flops: float | None) -> float | None:
    """Return a cost; None where it is absent, not finite, or not above 0."""
    return None if flops is None or not math.isfinite(flops) or flops <= 0 else float(flops)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two members; the first one predicts first."""

    first: CascadeMember
    second: CascadeMember

    @property
    def train_flops(self) -> float:
        """Return the training of both; what one predicts to train the other counts, too [FLOP]."""
        return _bill(self, {m.record.id for m in (self.first, self.second)})

    @property
    def train_flops_full(self) -> float:
        """Return the training of both, with what they inherited [FLOP]."""
        return _bill(self, None)

    @property
    def labels(self) -> int:
        """Return the number of distinct labelled rows of both.

        Budgets are nested: of one seed the first n rows of a larger budget are the smaller one,
        and all trials of a search draw alike. So the larger count holds the smaller, unless the
        larger training budget has the smaller validation budget: each nests on its own.
        """
        records = (self.first.record, self.second.record)
        budgets = [c.data for r in records for c in _trials(r.config)]
        nested = max(b.train for b in budgets) + max(b.validation for b in budgets)
        return max(nested, *(r.labels_used for r in records))

    @property
    def params(self) -> int | None:
        """Return the parameters of both; None where one is not known."""
        a, b = self.first.point.params, self.second.point.params
        return None if a is None or b is None else a + b

    @property
    def bytes(self) -> int | None:
        """Return the stored size of both; None where one is not known."""
        a, b = self.first.point.bytes, self.second.point.bytes
        return None if a is None or b is None else a + b

    @property
    def draws(self) -> tuple[int, ...]:
        """Return the fresh draws that both have."""
        return tuple(sorted(set(self.first.fresh) & set(self.second.fresh)))

    def words(self, threshold: float) -> str:
        """Return the cascade in words, with the label budgets where they differ."""
        budgets = {m.record.config.data.train for m in (self.first, self.second)}
        names = [_name(m, labels=len(budgets) > 1) for m in (self.first, self.second)]
        return f"{names[0]}, then {names[1]} below {threshold:g}"


def pairs(among: Sequence[CascadeMember]) -> Iterator[Pair]:
    """Yield every two winners, cheap inference first, that may make a cascade."""
    best = [m for m in among if m.winner]
    for i, first in enumerate(best):
        for second in best[i + 1 :]:
            if first.flops < second.flops and first.data == second.data:
                yield Pair(first, second)


def _bill(pair: Pair, payers: set[str] | None) -> float:
    """Return the sum of both bills, with each payer's work counted once.

    A teacher's training stands on its own bill and on each student's: it is one. What it answered
    stands on the students' alone; one set of texts is answered once (the rule of `spend`).
    """
    once: dict[tuple[str, str, int], int] = {}
    for record in (pair.first.record, pair.second.record):
        for charge in record.bill:
            payer = record.id if charge.payer == OWN else charge.payer
            if charge.phase in TRAINING and (payers is None or payer in payers):
                answered = charge.flops if charge.phase in ANSWERS else 0
                key = payer, charge.phase, answered
                once[key] = max(once.get(key, 0), charge.flops)
    return float(sum(once.values()))


def _trials(config: TrialConfig) -> Iterator[TrialConfig]:
    yield config
    for given in config.upstream.values():
        yield from _trials(given)


def _name(member: CascadeMember, *, labels: bool) -> str:
    config = member.record.config
    words = label_of(member.point)
    more = [words] if words else []
    if labels:
        more.append(f"{config.data.train:,} labels")
    return f"{config.method_chain} {config.rung}" + (f" ({', '.join(more)})" if more else "")


Answers = tuple[Logits, Ints, Ints]
"""Logits (n, C), rows (n,) ascending and labels (n,)."""


class CascadeOutputs:
    """What members and cascades answered on the test rows of fresh draws, each read once.

    Cross-fitted, rows that chose a cascade (`chose`) are to be left out: they judge nothing.
    """

    def __init__(self, run: Run, score: str) -> None:
        self._folder, self._score = run.folder, score
        self._answers: dict[tuple[str, int], Answers] = {}
        self._sure: dict[tuple[str, int], tuple[Floats, Ints]] = {}

    def chose(self, pair: Pair) -> Ints:
        """Return rows of its members' own validation that draws have among their test rows.

        Raises:
            OSError: logits are gone, those of the first's validation rows in a draw included.
            ValueError: the members were judged on different rows, or none is left to judge.
        """
        tested, overlap = [], False
        for draw in pair.draws:
            ids = self._read(pair.first, draw)[1]
            if not np.array_equal(ids, self._read(pair.second, draw)[1]):
                raise ValueError("the members were judged on different rows")
            tested.append(ids)
            # Of one draw no row is in both, unless the splits are numbered each on its own.
            overlap |= bool(np.isin(self._sure_of(pair.first, draw)[1], ids).any())
        if overlap or not pair.first.folds:
            return pair.first.ids[:0]
        chose = np.intersect1d(np.union1d(pair.first.ids, pair.second.ids), np.hstack(tested))
        if any(np.isin(ids, chose).all() for ids in tested):
            raise ValueError("all test rows of a draw have chosen")
        return chose

    def judges(self, pair: Pair, without: Ints) -> str:
        """Return a digest of the rows that judge the pair in its draws."""
        made = blake2b(digest_size=16)
        for draw in pair.draws:
            ids = self._read(pair.first, draw)[1]
            made.update(ids[_kept(ids, without)].tobytes() + b"|")
        return made.hexdigest()

    def alone(self, member: CascadeMember, draw: int, without: Ints) -> Judged:
        """Return a member's draw as the bootstrap takes it."""
        logits, ids, label = self._read(member, draw)
        kept = _kept(ids, without)
        made = features(logits[kept].astype(np.float64), label[kept], self._score)
        return Judged(draw, ids[kept], made)

    def together(self, pair: Pair, threshold: float, draw: int, without: Ints) -> Judged:
        """Return a cascade's draw as the bootstrap takes it, at the first member's temperature."""
        first, ids, label = self._read(pair.first, draw)
        second, kept = self._read(pair.second, draw)[0], _kept(ids, without)
        sure = self._sure_of(pair.first, draw)[0][kept]
        made = judged(first[kept], second[kept], sure, threshold, label[kept], self._score)
        return Judged(draw, ids[kept], made)

    def deferred(self, pair: Pair, threshold: float, draw: int, without: Ints) -> tuple[int, int]:
        """Return how many of the draw's test rows the second model answers, and of how many."""
        kept = _kept(self._read(pair.first, draw)[1], without)
        sure = self._sure_of(pair.first, draw)[0][kept]
        return int((sure < threshold).sum()), len(sure)

    def flops(self, member: CascadeMember, draw: int) -> float:
        """Return expected inference of the draw, or of the member where absent [FLOP/text]."""
        like = matching_point(member.fresh[draw], member.point)
        own = None if like is None else _known(like.infer_flops)
        return member.flops if own is None else own

    def _read(self, member: CascadeMember, draw: int) -> Answers:
        key = member.point.point_id, draw
        if key not in self._answers:
            logits, ids, label = stored_logits(self._folder, _matching_id(member, draw), "test")
            order = np.argsort(ids, kind="stable")
            self._answers[key] = logits[order], ids[order], label[order]
        return self._answers[key]

    def _sure_of(self, member: CascadeMember, draw: int) -> tuple[Floats, Ints]:
        """Return confidences, and the draw's validation rows."""
        key = member.point.point_id, draw
        if key not in self._sure:
            seen, ids, truth = stored_logits(self._folder, _matching_id(member, draw), "validation")
            logits, _, _ = self._read(member, draw)
            self._sure[key] = confidence(logits, temperature(seen, truth)), ids
        return self._sure[key]


def _kept(ids: Ints, without: Ints) -> slice | npt.NDArray[np.bool_]:
    return ~np.isin(ids, without) if len(without) else slice(None)


def _matching_id(member: CascadeMember, draw: int) -> str:
    like = matching_point(member.fresh[draw], member.point)
    assert like is not None
    return like.point_id
