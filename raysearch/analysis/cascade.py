"""Cascades: a cheap confirmed point answers where it is sure, a larger one where it is not.

Nothing is trained: the logits of both stand in the run's Store. A pair and its threshold are
chosen on the search's own validation logits and shown on the test rows of fresh draws. A member's
temperature is fitted on the validation rows of the same trial, as `raysearch export` does, so that
a threshold means the same in exported folders.

Source: arXiv:2012.14682, with two models and no training for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from raysearch import scores
from raysearch.analysis.bootstrap import FEWEST, Judged
from raysearch.analysis.cascade_members import (
    CascadeMember,
    CascadeOutputs,
    Pair,
    members,
    pairs,
    reason,
)
from raysearch.analysis.cascade_point import Cascade
from raysearch.analysis.confirmation import confirmation
from raysearch.analysis.external import MISSING_ARTIFACT
from raysearch.analysis.run import Run
from raysearch.analysis.thresholds import Ints, Tried, cascaded, resampled, swept_pairs, thresholds
from raysearch.errors import InputError
from raysearch.record import point_id


@dataclass(frozen=True, slots=True)
class _Cascades:
    cascades: tuple[Cascade, ...] = ()
    why: str = ""


def cascades(run: Run) -> tuple[Cascade, ...]:
    """Return the cascades of two confirmed points that are worth having, cheap ones first.

    Members are the winners of their cells: of the confirmed points of one (procedure, model,
    labels) the best on validation, one a cell so that pairs stay few. The first costs less
    inference than the second, and both were judged on the same data and folds. Thresholds are
    those of an early exit by confidence.

    Kept is what nothing beats on validation score and validation_flops at once: no other cascade
    and no confirmed point alone, which wins ties. Of equal cascades the one with fewer
    train_flops_full stands, then the one with the higher threshold. Each is compared on the
    validation rows that its own members share, with all that have these rows. Test rows of what
    was not kept are not read, and no test row orders what was kept.

    Order of growth: for each size of validation cells^2 (rows + thresholds); then cascades kept x
    draws x test rows x resamples.

    Args:
        run: a run; not changed. Where logits are gone there are none, and `why` says so.
    """
    return _of(run).cascades


def why(run: Run) -> str:
    """Return why there are no cascades, or what is missing from them; empty where nothing is."""
    return _of(run).why


def _of(run: Run) -> _Cascades:
    return run.cached("cascades", _find_cascades)


def _find_cascades(run: Run) -> _Cascades:
    made = confirmation(run)
    if not made.estimates:
        few = max(made.begun.values(), default=0)
        begun = f": {few} of {FEWEST} draws have run" if few else ""
        return _Cascades(why=made.why or f"no confirmed points{begun}")
    score = run.records[0].score
    if score not in cascaded():
        return _Cascades(why=_without(score))
    read, lost = members(run, [e.point_id for e in made.estimates])
    if sum(m.winner for m in read) < 2:
        one = "a cascade needs confirmed points of two cells (procedure, model, labels)"
        return _Cascades(why=lost or one)
    return _shown(run, _chosen(read, score), score, lost)


def of_pair(run: Run, first: str, second: str) -> tuple[tuple[Cascade, ...], str]:
    """Return the cascades of two points, cheap ones first, and what is missing.

    Of thresholds between which no validation text lies the highest stands; what points alone beat
    stands too, as `beaten_by` says.

    Args:
        run: a run; not changed.
        first: id of the confirmed point that is asked first.
        second: the other's.

    Raises:
        InputError: a point is not confirmed or its answers are gone, the first is no cheaper than
            the second, or they have no rows in common.
    """
    made, score, names = confirmation(run), run.records[0].score, (first, second)
    for name in names:
        if made.at(name) is None:
            few = f"{made.begun.get(name, 0)} of {FEWEST} draws have run"
            raise InputError(f"{run.folder}: point {name} is not confirmed: {made.why or few}")
    if score not in cascaded():
        raise InputError(f"{run.folder}: {_without(score)}")
    others = [e.point_id for e in made.estimates if e.point_id not in names]
    read, lost = members(run, [*names, *others], names)
    by_point = {m.point.point_id: m for m in read}
    if not by_point.keys() >= set(names):
        raise InputError(f"{run.folder}: {lost}")  # of several the first is said, and these are
    pair = Pair(by_point[first], by_point[second])
    both = f"{run.folder}: points {first} and {second}"
    if pair.first.data != pair.second.data:
        raise InputError(f"{both} were judged on different data")
    if pair.first.flops >= pair.second.flops:
        raise InputError(
            f"{both} infer with {pair.first.flops:.3g} and {pair.second.flops:.3g} FLOPs a text: "
            "the cheaper one is asked first"
        )
    rows = np.intersect1d(pair.first.ids, pair.second.ids, assume_unique=True)
    if not len(rows):
        raise InputError(f"{both} have no validation row in common")
    comparable = [m for m in read if m.data == pair.first.data and np.isin(rows, m.ids).all()]
    shown = _shown(run, list(_swept(comparable, pair, rows, score)), score, lost)
    return shown.cascades, shown.why


def _without(score: str) -> str:
    known = scores.SCORES.get(score)
    if known is None or known.kind == scores.NUMBERS:
        return f"score '{score}' is one of numbers: a cascade needs classes"
    return f"score '{score}': a cascade needs one that sums over rows decide"


Chosen = tuple[Cascade, Pair]


def _chosen(read: Sequence[CascadeMember], score: str) -> list[Chosen]:
    """Return the cascades that nothing beats on the validation rows of their members."""
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
        comparable = [m for m in read if m.data == data and names[id(m)] in whole]
        out += _unbeaten(comparable, own, rows, score)
    return sorted(out, key=lambda of: (of[0].validation_flops, of[0].validation, of[0].point_id))


def _unbeaten(
    comparable: Sequence[CascadeMember], own: Sequence[Pair], rows: Ints, score: str
) -> Iterator[Chosen]:
    """Yield those of the own pairs' cascades that no member or pair beats on these rows."""
    # In the order that settles ties: points alone, then less training, then higher thresholds.
    ordered = sorted(pairs(comparable), key=lambda p: p.train_flops_full)
    tried, swept = thresholds(comparable[0].classes), _tried(comparable, ordered, rows, score)
    own_ids = {(id(p.first), id(p.second)) for p in own}
    for (i, t), equal in swept.unbeaten():
        if (id(ordered[i].first), id(ordered[i].second)) in own_ids:
            ties = tuple(ordered[j].words(float(tried[k])) for j, k in equal if j != i)
            yield replace(_cascade(ordered[i], swept, i, t, len(rows)), ties=ties), ordered[i]


def _swept(
    comparable: Sequence[CascadeMember], pair: Pair, rows: Ints, score: str
) -> Iterator[Chosen]:
    """Yield the pair at each threshold that sends on other rows than the next one."""
    swept = _tried(comparable, [pair], rows, score)
    for t in swept.apart(0):
        by = swept.beaten_by(0, t)
        name = "" if by is None else comparable[by].point.point_id
        yield replace(_cascade(pair, swept, 0, t, len(rows)), beaten_by=name), pair


def _tried(
    comparable: Sequence[CascadeMember], wanted: Sequence[Pair], rows: Ints, score: str
) -> Tried:
    """Score members alone, and the pairs at every threshold, on the rows."""
    at = {id(m): i for i, m in enumerate(comparable)}
    place = [np.searchsorted(m.ids, rows) for m in comparable]
    predicted = [m.predicted[p] for m, p in zip(comparable, place, strict=True)]
    sure = [m.sure[p] if m.winner else m.sure for m, p in zip(comparable, place, strict=True)]
    both = [(at[id(p.first)], at[id(p.second)]) for p in wanted]
    flops = np.array([m.flops for m in comparable])
    label = comparable[0].label[place[0]]
    return swept_pairs(predicted, sure, label, both, flops, comparable[0].classes, score)


def _cascade(pair: Pair, swept: Tried, i: int, t: int, rows: int) -> Cascade:
    first, second = pair.first.point.point_id, pair.second.point.point_id
    threshold = float(thresholds(pair.first.classes)[t])
    knobs = {"criterion": "confidence", "threshold": threshold, "first": first, "second": second}
    on, flops = float(swept.share[i, t]), float(swept.cost[i, t])
    return Cascade(
        point_id([pair.first.record.id, pair.second.record.id], 0, knobs),
        first,
        second,
        pair.words(threshold),
        threshold,
        on,
        float(swept.value[i, t]),
        rows,
        on,
        flops,
        flops,
        pair.labels,
        pair.train_flops,
        pair.train_flops_full,
        pair.params,
        pair.bytes,
        {first: pair.first.flops, second: pair.second.flops},
    )


def _shown(run: Run, kept: Sequence[Chosen], score: str, lost: str) -> _Cascades:
    """Return the cascades with their estimates, each over the draws that both its members have.

    What cannot be read leaves that one cascade without a test score, and is counted.
    """
    outputs = CascadeOutputs(run, score)
    out = {c.point_id: replace(c, draws=len(pair.draws)) for c, pair in kept}
    groups: dict[tuple[object, ...], tuple[Ints, list[Chosen]]] = {}
    gone: list[str] = []
    for chosen in kept:
        pair = chosen[1]
        if len(pair.draws) < FEWEST:
            continue
        try:
            without = outputs.chose(pair)
        except MISSING_ARTIFACT as e:
            gone.append(reason(e))
            continue
        key = pair.first.data, pair.draws, outputs.judges(pair, without)
        groups.setdefault(key, (without, []))[1].append(chosen)
    for without, group in groups.values():
        out |= {c.point_id: c for c in _estimated(outputs, group, without, score)}
    if gone:
        lacking = f"{len(gone)} of {len(kept)} cascades are not"
        lacking = "no cascade is" if len(gone) == len(kept) else lacking
        lost = "; ".join(s for s in (lost, f"{lacking} shown on test: {gone[0]}") if s)
    return _Cascades(tuple(out[c.point_id] for c, _ in kept), lost)


def _estimated(
    outputs: CascadeOutputs, group: Sequence[Chosen], without: Ints, score: str
) -> Iterator[Cascade]:
    """Yield estimates of cascades of the same draws and test rows."""
    draws, folds = group[0][1].draws, group[0][1].first.folds
    both = {m.point.point_id: m for _, pair in group for m in (pair.first, pair.second)}
    ask: list[Callable[[int], Judged]] = [
        partial(outputs.alone, m, without=without) for m in both.values()
    ]
    ask += [partial(outputs.together, p, c.threshold, without=without) for c, p in group]
    made = resampled(ask, draws, score, pooled=folds > 0)
    for i, (cascade, pair) in enumerate(group, start=len(both)):
        counts = np.array([outputs.deferred(pair, cascade.threshold, d, without) for d in draws])
        rows, on = counts[:, 1], counts[:, 0] / counts[:, 1]
        first, second = (
            np.array([outputs.flops(m, d) for d in draws]) for m in (pair.first, pair.second)
        )
        low, high = made.interval(i)
        against = {}
        for name in (cascade.first, cascade.second):
            j = list(both).index(name)
            gap = float(made.estimate[i] - made.estimate[j])
            against[name] = (gap, *made.difference(i, j))
        weight = rows / rows.sum()  # the same for every draw, unless draws are folds
        yield replace(
            cascade,
            on=float(weight @ on),
            infer_flops=float(weight @ (first + on * second)),
            alone={cascade.first: float(weight @ first), cascade.second: float(weight @ second)},
            test=float(made.estimate[i]),
            low=low,
            high=high,
            draws=len(draws),
            own_draw=pair.first.record.id in [pair.first.fresh[d].id for d in draws],
            test_rows=int(rows.sum() if folds else rows.max()),
            left_out=len(without),
            against=against,
        )
