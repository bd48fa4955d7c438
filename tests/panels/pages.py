"""Random pages: points as `collect` may make them of any run, and settings as a reader may give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from raysearch.recommend.collect import _axes, _formula, _has_majority
from raysearch.recommend.points import (
    FINE,
    TEACHERS,
    Baseline,
    Codes,
    Floats,
    MethodOutcome,
    Points,
)
from raysearch.recommend.setting import Setting

NAN = float("nan")
METHODS = ("finetune", "ngram_linear", "distill from a**b", "{name} $& <b>")
MODELS = ("tiny", "x/y", "größer 2e16")
KNOBS = ("", "", ", threshold 0.8", ", **int8**")
ROWS = (872, 50, 200, 4, 3, 1, 2500)
LABELS = (0, 10, 20, 64, 200, 1600, 12345)
FLOPS = (0.0, NAN, 1.0, 2e6, 2.04e6, 3.3e9, 9.96e9, 4.25e15)
TIMES = (NAN, 0.001, 0.25, 7.231, 59.99, 240.0, 9000.0, 0.0)
SCORES = (
    ("accuracy", 0.0, 1.0),
    ("macro_f1", 0.0, 1.0),
    ("pearson", -1.0, 1.0),
    ("f1", 0.0, 1.0),
    ("mcc", -1.0, 1.0),
    ("spearman", -1.0, 1.0),
    ("gain", -1.0, 1.0),
    ("utility", -3.0, 30.0),
)
PRICES = st.dictionaries(
    st.sampled_from(("cpu_hour", "gpu_hour", "label")),
    st.sampled_from((0.05, 0.125, 2.0, 1234.5, 0.0)),
    max_size=3,
)
FATES = st.builds(
    MethodOutcome,
    trials=st.integers(1, 2000),
    points=st.integers(0, 3),
    failed=st.integers(0, 2),
    error=st.sampled_from(("", "oom", "**{who}**")),
    left_out=st.sampled_from(("", "", "", "no label words for 'x'")),
    zero=st.integers(0, 1),
)


@st.composite
def pages(draw: st.DrawFn) -> Points:
    """Any page: none, some or all points confirmed, scores of any kind, costs absent or 0."""
    name, worst, top = draw(st.sampled_from(SCORES))
    n = draw(st.sampled_from((6, 2, 3, 4, 5, 7, 1, 0)))

    def codes(of: int) -> Codes:
        """One draw is a whole column, its values the digits of a number: ten times as fast."""
        number = draw(st.integers(0, of**n - 1))
        return np.array([number // of**i % of for i in range(n)], dtype=np.int64)

    def column(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float64)[codes(len(values))]

    def scores() -> Floats:
        steps, wide = draw(st.sampled_from(((8, 8), (40, 3), (1000, 400))))
        found = draw(st.lists(st.integers(0, wide), min_size=n, max_size=n))
        least = draw(st.integers(0, steps - wide))
        return worst + (top - worst) * (least + np.array(found, dtype=np.float64)) / steps

    test, validation = scores(), scores()
    method, model = codes(len(METHODS)), codes(len(MODELS))
    labels = column(LABELS)
    flops = column(FLOPS[2:])
    inherited = draw(st.sampled_from((0.0, 1.0, 0.5)))
    costs = {
        "train_flops_full": flops * (1 + inherited),
        "train_flops_shared": flops * (1 + inherited / 3),
        "train_flops": flops,
    }
    choices = {"infer_flops": FLOPS, "ms": TIMES, "train_seconds": TIMES, "bytes": LABELS}
    for cost in draw(st.lists(st.sampled_from(tuple(choices)), unique=True)):
        costs[cost] = column(choices[cost])
    rows = column(draw(st.sampled_from(((872,), (50,), (2500,), ROWS))))
    formula = _formula(name, test, rows)
    place, spare = np.full(n, -1, dtype=np.int64), draw(st.integers(0, 1))
    share = draw(st.sampled_from((0, 1, 2)))
    some = codes(2)
    sure = [i for i in range(n) if share == 2 or (share == 1 and some[i])]
    for k, i in enumerate(draw(st.permutations(sure))):
        place[i] = k + spare
    m = len(sure) + spare
    half = draw(st.sampled_from((0.0, 0.004, 0.0371, 0.5))) * (1 + codes(4))
    low, high = (np.where(place >= 0, test + sign * half, NAN) for sign in (-1, 1))
    prices = draw(PRICES)
    budgets = sorted({int(v) for v in labels})
    outcomes = {
        who: draw(FATES)
        for who in (*METHODS, *MODELS[:1])
        if who in [METHODS[k] for k in method] or draw(st.booleans())
    }
    return Points(
        task="task",
        score=name,
        formula=formula,
        digits=3 if n and rows.min() >= 2000 else 2,
        methods=METHODS,
        models=MODELS,
        method=method,
        model=model,
        budget=labels,
        labels=labels + column((0.0, 0.0, 6.0)),
        knobs=tuple(KNOBS[k] for k in codes(len(KNOBS))),
        validation=validation,
        test=test,
        validation_rows=column(ROWS),
        test_rows=rows,
        low=low,
        high=high,
        draws=np.where(place >= 0, draw(st.integers(3, 12)), 0),
        place=place,
        pairwise_differences=draw(_pairwise_differences(m, 7.3 if formula is None else 10.0**FINE)),
        p_on_frontier=np.where(place >= 0, 0.5, NAN),
        seconds_text=column((NAN, 0.0, 0.0021, 0.4)),
        gpu=np.array([k % 2 == 1 for k in model], dtype=np.bool_),
        prices=prices,
        costs=costs,
        axes=_axes(costs, n, bool(prices)),
        teachers=tuple(TEACHERS) if inherited else (),
        shared_by=3,
        budgets=tuple(budgets),
        outcomes=outcomes,
        majority=draw(st.sampled_from((None, 0.5, 0.8125)))
        if _has_majority(name, formula)
        else None,
        unscored=draw(st.sampled_from((0, 1, 1200))),
        begun=draw(st.integers(0, 2)),
        lost=draw(st.integers(0, 2)),
        broken=draw(st.sampled_from(("", "", "their rows differ"))),
        folds=draw(st.sampled_from((0, 5))),
        run="'a **run** {name}'",
        trials=draw(st.sampled_from((0, 7, 12345))) + n,
        unbilled=draw(st.integers(0, 1)),
        search_flops=draw(st.sampled_from((0.0, 1.05e7, 3e18))),
        rows=tuple(range(n)),
        ids=tuple(f"p{i}" for i in range(n)),
        baselines=tuple(draw(st.lists(_baselines(m), max_size=3))),
    )


@st.composite
def _pairwise_differences(draw: st.DrawFn, m: int, unit: float) -> Floats:
    """Paired differences of m points: that of j and i is that of i and j turned round."""
    out = np.zeros((m, m, 3))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    for i in range(m):
        for j in range(i):
            middle, half = rng.integers(-40000, 40000), rng.choice((0, 1, 700, 30000))
            value = np.array([middle, middle - half, middle + half]) / unit
            out[i, j], out[j, i] = value, 0.0 - value[[0, 2, 1]]
    return out + 0.0


@st.composite
def _baselines(draw: st.DrawFn, m: int) -> Baseline:
    test = draw(st.integers(0, 80)) / 80
    half = draw(st.sampled_from((NAN, 0.02)))
    middle = draw(st.sampled_from((NAN, -0.3, 0.0, 0.0125)))
    known = {
        "labels": (0.0, 10.0, 500.0),
        "ms": (0.0, 2.5, 700.0),
        "infer_flops": (0.0, 6e9),
        "dollars_text": (0.0, 0.00004, 0.001),
        "seconds_text": (0.004,),
        "bytes": (1e6,),
    }
    some = draw(st.lists(st.sampled_from(tuple(known)), unique=True))
    return Baseline(
        name=draw(st.sampled_from(("gpt", "zero_shot **tiny**"))),
        test=test,
        low=test - half,
        high=test + half,
        costs={name: draw(st.sampled_from(known[name])) for name in some},
        differences=np.tile([middle - 0.1, middle + 0.1], (m, 1)),
        zero=draw(st.booleans()),
        gpu=draw(st.booleans()),
    )


def settings(points: Points) -> st.SearchStrategy[Setting]:
    """Any setting for these points: limits that bind, that nothing meets, that none has."""

    def limit(*values: float, often: int = 4) -> st.SearchStrategy[float | None]:
        """Most limits do not bind, so that something fits."""
        return st.sampled_from((*(None,) * often * len(values), *values))

    few = st.lists(st.sampled_from((*METHODS, "prompt")), unique=True).map(tuple)
    return st.builds(
        Setting,
        labels=limit(0.0, 9.5, 20.0, 200.0, 5000.0),
        max_ms=limit(0.0005, 0.25, 60.0),
        max_bytes=limit(0.0, 20.0, 1000.5),
        max_train_flops=limit(0.5, 3e6, 1e13),
        min_score=limit(-0.2, 0.0, 0.5, 0.99),
        cost=st.sampled_from(("", *(a.name for a in points.axes))),
        methods=st.one_of(st.none(), st.none(), st.none(), few),
        teacher=st.sampled_from(tuple(TEACHERS)),
        volume=limit(0.0, 1.0, 30000.0, 123456.7, 1e9, often=1),
        prices=st.one_of(st.none(), PRICES),
    )
