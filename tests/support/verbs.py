"""Running a verb in this process, and what every refusal must look like."""

from __future__ import annotations

from collections.abc import Callable

Said = tuple[int, str, str]
"""Exit code, standard output, standard error."""
Say = Callable[..., Said]


def refused(result: Said, *parts: str, code: int = 2) -> None:
    """Bad input: its exit code, one line on standard error that holds these parts, no traceback."""
    assert result[0] == code, result
    (line,) = [x for x in result[2].splitlines() if x.startswith("raysearch: error:")]
    assert "Traceback" not in result[2]
    for part in parts:
        assert part in line, line
