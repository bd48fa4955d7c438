"""Cascades in a sentence: what chose them, and what shows them."""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.analysis.cascade_point import Cascade
from raysearch.panels.captions import span


def shown_words(made: Sequence[Cascade]) -> str:
    """Return what chose these cascades, what scores them, and on which draws."""
    words = f"chosen on validation ({span([c.validation_rows for c in made])} rows), "
    shown = [c for c in made if c.test is not None]
    if not shown:
        return words + "not shown on test"
    words += f"shown on test ({span([c.test_rows for c in shown])} rows"
    left = [c.left_out for c in shown]
    words += f"; the {span(left)} that chose left out" if any(left) else ""
    words += f"), {span([c.draws for c in shown])}"
    own = sum(c.own_draw for c in shown)
    if not own:
        return f"{words} fresh draws"
    some = "" if own == len(shown) else f" {own:,} of {len(shown):,}"
    return f"{words} draws, the first of which chose{some}"
