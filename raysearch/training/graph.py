"""What a trained point computes, apart from how it was trained: all that an export needs.

Each kind of graph stands beside its family: `raysearch.encoders.graphs`,
`raysearch.encoders.exit_graph`, `raysearch.ngrams.graphs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from raysearch.data.rows import Logits, Rows
from raysearch.encoders.tokens import Tokeniser


class Graph(Protocol):
    """A trained point in float32 and eval mode."""

    kind: ClassVar[str]
    """Formats list the kinds that they hold."""

    @property
    def classes(self) -> int:
        """Return the width of the logits."""

    def logits(self, rows: Rows, tokeniser: Tokeniser | None) -> Logits:
        """Return logits (n, C) of rows; TypeError where a tokeniser is needed and not given."""

    def with_temperature(self, temperature: float) -> Self:
        """Return the same with its logits divided by a temperature."""

    def summary(self) -> Mapping[str, Any]:
        """Return the fields of an exported folder's manifest that describe the computation."""

    def with_knobs(self, knobs: Mapping[str, Any]) -> Self | None:
        """Return another point that shares these weights; None where none does."""
