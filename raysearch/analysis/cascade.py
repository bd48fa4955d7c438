"""Cascades: a cheap confirmed point answers where it is sure, a larger one where it is not.

Nothing is trained: the logits of both stand in the run's Store. A pair and its threshold are
chosen on the search's own validation logits and shown on the test rows of fresh draws. A member's
temperature is fitted on the validation rows of the same trial, as `raysearch export` does, so that
a threshold means the same in exported folders.

Source: arXiv:2012.14682, with two models and no training for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np

from raysearch.analysis.bootstrap import BOUNDS, FEWEST, Judged, Replicates, from_sums, replicates
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.pairs import Drawn, Member, Pair, members, pairs, reason
from raysearch.analysis.pareto import duplicates_of, nondominated
from raysearch.analysis.table import Run
from raysearch.analysis.thresholds import Floats, Ints, levels, sums_by_level, swept, thresholds
from raysearch.record import point_id

SCORES = ("accuracy", "macro_f1", "mcc")
"""The main scores that a cascade can have: those of classes."""
TOGETHER = 30_000_000
"""Per-row numbers that are resampled at once: 240 MB."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Two confirmed points, and the confidence below which the second answers."""

    point_id: str
    first: str
    """Point id of the member that is asked first."""
    second: str
    words: str
    threshold: float
    on: float
    """Share of the validation rows that goes on to the second."""
    validation: float
    """Score on the rows that both have; it chose the pair and the threshold."""
    validation_rows: int
    infer_flops: float
    """The first's and that share of the second's mean [FLOP/text]; it is more where the texts that
    go on are longer than others, or a second member with exits keeps them longer."""
    labels: int
    """Distinct labelled examples of both."""
    train_flops: float
    """Own training of both [FLOP]."""
    train_flops_full: float
    """And what they inherited, each bill once [FLOP]."""
    params: int | None
    bytes: int | None
    test: float | None = None
    """Mean over the fresh draws, or, cross-fitted, over all rows; None below three draws."""
    low: float | None = None
    """The 95 % interval, over draws and test rows."""
    high: float | None = None
    draws: int = 0
    """That both members have."""
    test_rows: int = 0
    """Judged in all, each row once (cross-fitted) or once a draw."""
    against: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """By member's point id: its test score taken from the cascade's, and the paired interval."""
    ties: tuple[str, ...] = ()
    """Words of other pairs' cascades with exactly its validation score and infer_flops."""


@dataclass(frozen=True, slots=True)
class _Found:
    cascades: tuple[Cascade, ...] = ()
    why: str = ""


_latest: list[tuple[Run, _Found]] = []
"""The run asked about last, as `confirmation` has it."""


def cascades(run: Run) -> tuple[Cascade, ...]:
    """List the cascades of two confirmed points that are worth having, cheap inference first.

    Members are the winners of their cells: of the confirmed points of one (procedure, model,
    labels) the best on validation, one a cell so that pairs stay few. The first costs less
    inference than the second, and both were judged on the same data and folds. Thresholds are
    those of an early exit by confidence.

    Kept is what nothing beats on validation score and infer_flops at once: no other cascade and no
    confirmed point alone, which wins ties. Of equal cascades the one with fewer train_flops_full
    stands, then the one with the higher threshold. Each is compared on the validation rows that
    its own members share, with all that have these rows. Test rows of what was not kept are not
    read.

    Order of growth: for each size of validation cells^2 (rows + thresholds); then cascades kept x
    draws x test rows x resamples.

    Args:
        run: a run; not changed. Where logits are gone there are none, and `why` says so.
    """
    return _of(run).cascades


def why(run: Run) -> str:
    """Say why there are no cascades, or what is missing from them; empty where nothing is."""
    return _of(run).why


def _of(run: Run) -> _Found:
    for known, made in _latest:
        if known is run:
            return made
    made = _found(run)
    _latest[:] = [(run, made)]
    return made


def _found(run: Run) -> _Found:
    made = confirmation(run)
    if not made.estimates:
        few = max(made.begun.values(), default=0)
        begun = f": {few} of {FEWEST} draws have run" if few else ""
        return _Found(why=made.why or f"no confirmed points{begun}")
    score = run.records[0].score
    if score not in SCORES:
        return _Found(why=f"score '{score}' is one of numbers: a cascade needs classes")
    read, lost = members(run, [e.point_id for e in made.estimates])
    if sum(m.winner for m in read) < 2:
        one = "a cascade needs confirmed points of two cells (procedure, model, labels)"
        return _Found(why=lost or one)
    kept = _chosen(read, score)
    try:
        return _Found(_shown(run, kept, score), lost)
    except (OSError, ValueError, EOFError) as e:
        gone = f"no cascade is shown on test: {reason(e)}"
        return _Found(tuple(c for c, _ in kept), "; ".join(s for s in (lost, gone) if s))


Chosen = tuple[Cascade, Pair]


def _chosen(read: Sequence[Member], score: str) -> list[Chosen]:
    """The cascades that nothing beats on the validation rows of their members."""
    names = {id(m): m.ids.tobytes() for m in read}
    ids = {names[id(m)]: m.ids for m in read}
    shared: dict[tuple[bytes, bytes], Ints] = {}
    groups: dict[tuple[tuple[str, int], bytes], tuple[Ints, list[Pair]]] = {}
    for pair in pairs(read):
        both = names[id(pair.first)], names[id(pair.second)]
        if both not in shared:
            shared[both] = np.intersect1d(ids[both[0]], ids[both[1]], assume_unique=True)
        rows = shared[both]
        if len(rows):  # budgets nest: the groups are as few as the sizes of validation
            groups.setdefault((pair.first.data, rows.tobytes()), (rows, []))[1].append(pair)
    out: list[Chosen] = []
    for (data, _), (rows, own) in groups.items():
        whole = {name for name, of in ids.items() if np.isin(rows, of).all()}
        there = [m for m in read if m.data == data and names[id(m)] in whole]
        out += _unbeaten(there, own, rows, score)
    return sorted(out, key=lambda of: (of[0].infer_flops, of[0].validation, of[0].point_id))


def _unbeaten(
    there: Sequence[Member], own: Sequence[Pair], rows: Ints, score: str
) -> Iterator[Chosen]:
    """Of their own pairs the cascades that nothing there beats on these rows."""
    classes = there[0].classes
    tried = thresholds(classes)
    many = len(tried)
    place = {id(m): np.searchsorted(m.ids, rows) for m in there}
    label = there[0].label[place[id(there[0])]]

    def sums(member: Member, level: Ints) -> Floats:
        said = member.predicted[place[id(member)]]
        return sums_by_level(level, said, label, many=many + 1, classes=classes, score=score)

    alone = np.array([sums(m, np.zeros(len(rows), np.int64))[0] for m in there])
    scores = [from_sums(alone, np.full(len(there), float(len(rows))), score)]
    costs = [np.array([m.flops for m in there])]
    level = {id(m): levels(m.sure[place[id(m)]], tried) for m in there if m.winner}
    counts = {key: np.bincount(of, minlength=many + 1) for key, of in level.items()}
    stays = {id(m): sums(m, level[id(m)]) for m in there if m.winner}
    # In the order that settles ties: points alone, then less training, then higher thresholds.
    every = sorted(pairs(there), key=lambda p: p.train_flops_full)
    shares: list[Floats] = []
    for pair in every:
        a = id(pair.first)
        value, share = swept(stays[a], sums(pair.second, level[a]), counts[a], score)
        shares.append(share)
        scores.append(value[::-1])
        costs.append(pair.first.flops + share[::-1] * pair.second.flops)
    values = np.stack([np.concatenate(scores), -np.concatenate(costs)], axis=1)
    kept = nondominated(values)
    ties = duplicates_of(values, kept)
    mine = {(id(p.first), id(p.second)) for p in own}

    def at(row: int) -> tuple[int, int]:
        """Which pair, and which threshold."""
        i, back = divmod(row - len(there), many)
        return i, many - 1 - back

    for row in (np.flatnonzero(kept[len(there) :]) + len(there)).tolist():
        i, t = at(row)
        pair, on = every[i], float(shares[i][t])
        if (id(pair.first), id(pair.second)) not in mine:
            continue
        equal = (at(other) for other in ties.get(row, ()))
        others = [every[j].words(float(tried[k])) for j, k in equal if j != i]
        made = _cascade(pair, float(tried[t]), on, float(values[row, 0]), len(rows), others)
        yield made, pair


def _cascade(
    pair: Pair, threshold: float, on: float, value: float, rows: int, ties: Iterable[str]
) -> Cascade:
    first, second = pair.first.point.point_id, pair.second.point.point_id
    knobs = {"criterion": "confidence", "threshold": threshold, "first": first, "second": second}
    return Cascade(
        point_id([pair.first.record.id, pair.second.record.id], 0, knobs),
        first,
        second,
        pair.words(threshold),
        threshold,
        on,
        value,
        rows,
        pair.first.flops + on * pair.second.flops,
        pair.labels,
        pair.train_flops,
        pair.train_flops_full,
        pair.params,
        pair.bytes,
        ties=tuple(ties),
    )


def _shown(run: Run, kept: Sequence[Chosen], score: str) -> tuple[Cascade, ...]:
    """The cascades with their estimates, each over the draws that both its members have."""
    drawn = Drawn(run, score)
    out: dict[str, Cascade] = {}

    def judges(chosen: Chosen) -> tuple[tuple[str, int], tuple[int, ...]]:
        return chosen[1].first.data, chosen[1].draws

    for (_, draws), group in groupby(sorted(kept, key=judges), judges):
        if len(draws) < FEWEST:
            out |= {c.point_id: replace(c, draws=len(draws)) for c, _ in group}
        else:
            out |= {c.point_id: c for c in _estimated(drawn, list(group), draws, score)}
    return tuple(out[c.point_id] for c, _ in kept)


def _estimated(
    drawn: Drawn, group: Sequence[Chosen], draws: Sequence[int], score: str
) -> Iterator[Cascade]:
    both = {m.point.point_id: m for _, pair in group for m in (pair.first, pair.second)}
    ask: list[Callable[[int], Judged]] = [partial(drawn.alone, m) for m in both.values()]
    ask += [partial(drawn.together, pair, c.threshold) for c, pair in group]
    folds = group[0][1].first.folds
    made = _resampled(ask, draws, score, pooled=folds > 0)
    for i, (cascade, pair) in enumerate(group, start=len(both)):
        rows = [drawn.rows(pair.first, d) for d in draws]
        low, high = made.interval(i)
        against = {}
        for name in (cascade.first, cascade.second):
            j = list(both).index(name)
            gap = float(made.estimate[i] - made.estimate[j])
            against[name] = (gap, *made.difference(i, j))
        yield replace(
            cascade,
            test=float(made.estimate[i]),
            low=low,
            high=high,
            draws=len(draws),
            test_rows=sum(rows) if folds else max(rows),
            against=against,
        )


def _resampled(
    ask: Sequence[Callable[[int], Judged]], draws: Sequence[int], score: str, *, pooled: bool
) -> Replicates:
    """Resample many choices by parts: resamples follow from the draws and the rows alone."""
    parts: list[Replicates] = []
    done = 0
    while done < len(ask):
        part = [[ask[done](d) for d in draws]]
        size = sum(j.features.size for j in part[0])
        upto = min(len(ask), done + max(1, TOGETHER // size))
        part += [[one(d) for d in draws] for one in ask[done + 1 : upto]]
        parts.append(replicates(part, score, pooled=pooled))
        done = upto
    return Replicates(
        np.concatenate([p.estimate for p in parts]),
        np.vstack([p.per_draw for p in parts]),
        np.hstack([p.resampled for p in parts]),
        BOUNDS[score],
    )
