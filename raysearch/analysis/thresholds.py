"""What every threshold of a two-model cascade comes to: pure functions on arrays.

A text stays with the first model where its confidence reaches the threshold, else the second
answers. Rows are sorted into levels (how many of the thresholds they reach) once, so that all
thresholds together cost one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysearch import scores
from raysearch.analysis.bootstrap import Judged, Replicates, features, replicates
from raysearch.analysis.pareto import duplicates_of, nondominated
from raysearch.outputs.calibration import softmax
from raysearch.outputs.exit_rules import grid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]

TOGETHER = 30_000_000
"""Per-row numbers that are resampled at once: 240 MB."""


def thresholds(classes: int) -> Floats:
    """Return the confidences to try, ascending: those of an early exit, and both ends.

    >>> len(thresholds(2)), thresholds(2)[[0, -1]].tolist()
    (22, [0.54167, 0.99995])
    """
    tried = (k["threshold"] for k in grid(classes, 2) if k["criterion"] == "confidence")
    return np.array(sorted(t for t in tried if isinstance(t, int | float) and t > 0))


def confidence(logits: Logits, temperature: float) -> Floats:
    """Return the largest probability (n,) of logits (n, C) over a temperature, as exports do.

    >>> confidence(np.log(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)), 1.0).round(3).tolist()
    [0.9, 0.8]
    """
    cold = np.asarray(logits, np.float32) / np.float32(temperature)
    return np.asarray(softmax(cold).max(axis=1))


def levels(sure: Floats, tried: Floats) -> Ints:
    """Count the thresholds (T,), ascending, that each confidence (n,) reaches. O(n log T).

    >>> levels(np.array([0.4, 0.5, 0.95]), np.array([0.5, 0.9])).tolist()
    [0, 1, 2]
    """
    return np.asarray(np.searchsorted(tried, sure, side="right"), np.int64)


def sums_by_level(
    level: Ints, predicted: Ints, label: Ints, *, count: int, classes: int, score: str
) -> Floats:
    """Return sums (many, f) over the rows of each level of what decides a score. O(n + many u f).

    Rows of one prediction and label are counted, then each of the u such pairs is read once. Their
    total over levels is that of raysearch.analysis.bootstrap.features over the rows.

    >>> level, label = np.array([0, 1, 1]), np.array([1, 0, 1])
    >>> sums_by_level(level, label, label, count=2, classes=2, score="accuracy").ravel().tolist()
    [1.0, 2.0]

    Raises:
        ValueError: a score that sums over rows of classes do not decide.
    """
    if score not in cascaded():
        raise ValueError(f"score '{score}': a cascade needs classes: {', '.join(cascaded())}")
    pair = predicted * classes + label
    met = np.flatnonzero(np.bincount(pair, minlength=classes * classes))
    place = np.zeros(classes * classes, np.int64)
    place[met] = np.arange(len(met))
    rows = np.bincount(level * len(met) + place[pair], minlength=count * len(met))
    predicted_class, true = np.divmod(met, classes)
    each = features(np.eye(classes)[predicted_class], true, score)
    return np.asarray(rows.reshape(count, len(met)).astype(np.float64) @ each)


def cascaded() -> list[str]:
    """Return the scores that a cascade can have: those that predicted classes decide by sums."""
    known = scores.SCORES.values()
    return [
        s.name
        for s in known
        if s.kind == scores.CLASSES and s.maximise and s.sums is not None and not s.soft
    ]


def swept(first: Floats, second: Floats, counts: Ints, score: str) -> tuple[Floats, Floats]:
    """Return scores and shares that go on, both (T,), of T thresholds, ascending. O(T f).

    Args:
        first: sums (T + 1, f) by level where the first model answers. Not changed.
        second: the same where the second answers.
        counts: rows (T + 1,) of each level.
        score: its name.

    Returns:
        At threshold t the rows of levels 0..t go on.

    >>> first, second = np.array([[0.0], [1.0]]), np.array([[2.0], [0.0]])
    >>> [out.tolist() for out in swept(first, second, np.array([2, 2]), "accuracy")]
    [[0.75], [0.5]]
    """
    rows = counts.sum()
    stay = first[::-1].cumsum(axis=0)[::-1][1:]
    gone = second.cumsum(axis=0)[:-1]
    whole = np.full(len(gone), float(rows))
    return _total(stay + gone, whole, score), counts.cumsum()[:-1] / rows


def _total(sums: Floats, rows: Floats, score: str) -> Floats:
    of = scores.get(score).sums
    assert of is not None  # as `sums_by_level` made sure of
    return of.total(sums, rows)


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """What m models alone and p pairs of them at T thresholds, ascending, score and cost."""

    alone: Floats
    """Scores (m,)."""
    flops: Floats
    """Inference (m,) [FLOP/text]."""
    value: Floats
    """Scores (p, T)."""
    share: Floats
    """Shares (p, T) of the texts that go on."""
    cost: Floats
    """Inference (p, T) [FLOP/text]."""

    def unbeaten(self) -> Iterator[tuple[tuple[int, int], list[tuple[int, int]]]]:
        """Yield pair and threshold of what nothing beats in score and cost at once, and its equals.

        Models alone win ties, then the pair that comes first, then its higher threshold.
        """
        m, count = len(self.alone), self.value.shape[1]
        scores = np.concatenate([self.alone, self.value[:, ::-1].ravel()])
        costs = np.concatenate([self.flops, self.cost[:, ::-1].ravel()])
        values = np.stack([scores, -costs], axis=1)
        kept = nondominated(values)
        ties = duplicates_of(values, kept)

        def at(row: int) -> tuple[int, int]:
            pair, back = divmod(row - m, count)
            return pair, count - 1 - back

        for row in (np.flatnonzero(kept[m:]) + m).tolist():
            yield at(row), [at(other) for other in ties.get(row, ())]

    def apart(self, pair: int) -> list[int]:
        """Return the pair's thresholds; of several that send on the same texts, the highest."""
        return [int(t) for t in np.flatnonzero(np.diff(self.share[pair], append=2.0))]

    def beaten_by(self, pair: int, threshold: int) -> int | None:
        """Return the best model that alone is no worse and no dearer; None where there is none."""
        score, cost = self.value[pair, threshold], self.cost[pair, threshold]
        better = np.flatnonzero((self.alone >= score) & (self.flops <= cost))
        return min(better.tolist(), key=lambda i: (-self.alone[i], self.flops[i]), default=None)


def swept_pairs(
    predicted: Sequence[Ints],
    sure: Sequence[Floats],
    label: Ints,
    wanted: Sequence[tuple[int, int]],
    flops: Floats,
    classes: int,
    score: str,
) -> Tried:
    """Score models alone, and pairs of them at every threshold. O(m n + p (n + T f)).

    Args:
        predicted: class ids (n,) of each of m models on the same rows. Not changed.
        sure: confidences (n,) of each; of those alone that are asked first they are read.
        label: class ids (n,).
        wanted: which model is asked first and which second, of each of p pairs.
        flops: inference (m,) [FLOP/text].
        classes: C.
        score: its name.

    >>> said, label = [np.array([1, 0]), np.array([1, 1])], np.array([1, 1])
    >>> sure, flops = [np.array([1.0, 0.6])], np.array([1.0, 10.0])
    >>> found = swept_pairs(said, sure, label, [(0, 1)], flops, 2, "accuracy")
    >>> [a[0, [0, -1]].tolist() for a in (found.value, found.share, found.cost)]
    [[0.5, 1.0], [0.0, 0.5], [1.0, 6.0]]
    >>> [at for at, _ in found.unbeaten()], found.beaten_by(0, 0)
    ([(0, 21)], 0)
    """
    tried, rows = thresholds(classes), len(label)
    count = len(tried) + 1

    def sums(guesses: Ints, level: Ints) -> Floats:
        return sums_by_level(level, guesses, label, count=count, classes=classes, score=score)

    nowhere = np.zeros(rows, np.int64)
    whole = np.array([sums(guesses, nowhere)[0] for guesses in predicted])
    alone = _total(whole, np.full(len(predicted), float(rows)), score)
    level = {i: levels(sure[i], tried) for i, _ in wanted}
    stays = {i: sums(predicted[i], of) for i, of in level.items()}
    counts = {i: np.bincount(of, minlength=count) for i, of in level.items()}
    value, share, cost = (np.empty((len(wanted), len(tried))) for _ in range(3))
    for p, (i, j) in enumerate(wanted):
        value[p], share[p] = swept(stays[i], sums(predicted[j], level[i]), counts[i], score)
        cost[p] = flops[i] + share[p] * flops[j]
    return Tried(alone, np.asarray(flops, np.float64), value, share, cost)


def judged(
    first: Logits,
    second: Logits,
    sure: Floats,
    threshold: float,
    label: Ints,
    score: str,
) -> Floats:
    """Return per-row numbers (n, f) of a cascade, as the bootstrap takes them.

    Args:
        first: logits (n, C) of the model that is asked first. Not changed.
        second: logits (n, C) of the other.
        sure: confidences (n,) of the first.
        threshold: below which the second answers.
        label: class ids (n,).
        score: its name.

    >>> yes, no = np.array([[0.0, 1.0]] * 2, np.float32), np.array([[1.0, 0.0]] * 2, np.float32)
    >>> judged(yes, no, np.array([0.9, 0.6]), 0.8, np.array([1, 1]), "accuracy").ravel().tolist()
    [1.0, 0.0]
    """
    answers = np.where((sure >= threshold)[:, None], first, second)
    return features(answers.astype(np.float64), label, score)


def resampled(
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
        scores.bounds(score),
    )
