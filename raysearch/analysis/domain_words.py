"""A matrix of domains in sentences, the same in the terminal and on the page."""

from __future__ import annotations

from raysearch.analysis.domains import Matrix, MethodMatrix

FEW = 4
"""Pairs of domains up to which each is named."""


def choice_words(matrix: Matrix) -> list[str]:
    """Return how the points were chosen, in words."""
    if matrix.by_hand:
        return ["Points named by hand, shown on test."]
    return ["Chosen on validation of the domain of training, shown on test."]


def drop_words(matrix: Matrix) -> list[str]:
    """Return how far each method's score falls off the diagonal; empty where unknown."""
    known = [(m.method, m.drop) for m in matrix.methods if m.drop is not None]
    lost = sum(_pairs(m) - (0 if m.drop is None else m.drop.pairs) for m in matrix.methods)
    gone = [f"Pairs whose cells share no test row, left out of the drop: {lost:,}."]
    if not known:
        return gone if lost > 0 else []
    most = max(d.pairs for _, d in known)
    parts = [
        f"{name} {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        + (f" (of {d.pairs:,} alone)" if d.pairs < most else "")
        for name, d in known
    ]
    return [
        f"Mean drop off the diagonal over {most:,} pairs of domains: {', '.join(parts)}.",
        "A drop is the score of the models trained in the domain that is tested minus that of "
        "models from another, on the test rows that both have answered.",
        *(gone if lost > 0 else []),
    ]


def _pairs(method: MethodMatrix) -> int:
    """Count the cells off the diagonal whose domain of test has a model of its own."""
    tested = {(c.trained_on, c.tested_on) for c in method.cells}
    return sum(a != b and (b, b) in tested for a, b in tested)


def models_words(matrix: Matrix) -> list[str]:
    """Return which models were run: those of fresh draws, or the search's own trials."""
    sources = [(m.method, s) for m in matrix.methods for s in m.sources]
    fresh = sorted({s.draws for _, s in sources if s.draws})
    own = [s for _, s in sources if not s.draws]
    out = []
    if fresh:
        count = f"{fresh[0]:,}" if len(fresh) == 1 else f"{fresh[0]:,} to {fresh[-1]:,}"
        of = "" if not own else f"{len(sources) - len(own):,} of {len(sources):,} rows: "
        over = "draws and test rows" if fresh[0] > 2 else "test rows, of 3 draws or more over draws"
        out.append(f"{of}Means over {count} fresh draws; 95 % intervals over {over}.")
    if own:
        of = "" if not fresh else f"{len(own):,} of {len(sources):,} rows: "
        bare = sum(not s.confirmed for s in own)
        gone = "the weights of the other draws were not kept; --train trains them again"
        if bare == len(own):
            gone = "not confirmed"
        elif bare:
            gone = f"{bare:,} of {len(own):,} not confirmed, else {gone}"
        out.append(
            f"{of}One model each, the search's own trial ({gone}); 95 % intervals over test rows "
            "alone."
        )
    return out


def dropped_words(matrix: Matrix) -> list[str]:
    """Return how many test rows were left out, because a source may have learnt their text."""
    most: dict[tuple[str, str], int] = {}
    for m in matrix.methods:
        for c in m.cells:
            if c.dropped:
                pair = (c.trained_on, c.tested_on)
                most[pair] = max(c.dropped, most.get(pair, 0))
    if not most:
        return [
            "No test text stands among those that a model of another domain may have learnt from."
        ]
    why = "their text stands among those that the models may have learnt from"
    if len(most) > FEW:
        total, of = sum(most.values()), max(most.values())
        return [
            f"Test rows left out, {why}: {total:,} in {len(most):,} cells, at most {of:,} of one."
        ]
    parts = ", ".join(f"{n:,} of {target} from {source}" for (source, target), n in most.items())
    return [f"Test rows left out, {why}: {parts}."]
