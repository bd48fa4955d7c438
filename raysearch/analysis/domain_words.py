"""A matrix of domains in sentences, the same in the terminal and on the page."""

from __future__ import annotations

from raysearch.analysis.domains import Matrix

FEW = 4
"""Pairs of domains up to which each is named."""


def drop_words(matrix: Matrix) -> list[str]:
    """How far each method's score falls off the diagonal; nothing where none has a drop."""
    known = [(m.method, m.drop) for m in matrix.methods if m.drop is not None]
    if not known:
        return []
    most = max(d.pairs for _, d in known)
    said = [
        f"{name} {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        + (f" (of {d.pairs:,} alone)" if d.pairs < most else "")
        for name, d in known
    ]
    return [
        f"Mean drop off the diagonal over {most:,} pairs of domains: {', '.join(said)}.",
        "A drop is the score of the models trained in the domain that is tested minus that of "
        "models from another, paired over test rows.",
    ]


def models_words(matrix: Matrix) -> list[str]:
    """Whose models were asked: of fresh draws, or the search's own trials."""
    sources = [(m.method, s) for m in matrix.methods for s in m.sources]
    fresh = sorted({s.draws for _, s in sources if s.draws})
    own = [s for _, s in sources if not s.draws]
    out = []
    if fresh:
        many = f"{fresh[0]:,}" if len(fresh) == 1 else f"{fresh[0]:,} to {fresh[-1]:,}"
        of = "" if not own else f"{len(sources) - len(own):,} of {len(sources):,} rows: "
        over = "draws and test rows" if fresh[0] > 2 else "test rows, of 3 draws or more over draws"
        out.append(f"{of}Means over {many} fresh draws; 95 % intervals over {over}.")
    if own:
        of = "" if not fresh else f"{len(own):,} of {len(sources):,} rows: "
        bare = sum(not s.confirmed for s in own)
        gone = "the weights of its fresh draws were not kept; --train trains them again"
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
    """How many test rows were left out, because a source may have learnt their text."""
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
        many, of = sum(most.values()), max(most.values())
        return [
            f"Test rows left out, {why}: {many:,} in {len(most):,} cells, at most {of:,} of one."
        ]
    said = ", ".join(f"{n:,} of {target} from {source}" for (source, target), n in most.items())
    return [f"Test rows left out, {why}: {said}."]
