"""Files that hold what the program printed of old runs when they were made, and how it compares.

python -m tests.run.golden                    where the program differs now; changes nothing
python -m tests.run.golden --write            writes the files anew, for a change that was meant
python -m tests.run.golden --write --with-ray  those of runs that go on too: minutes
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.run import exported, going, outputs
from tests.run.packed import FIXTURES, unpack
from tests.support.verbs import Said

Difference = tuple[str, Any, Any]
"""Where, what the file holds, what the program prints now."""

CLOSE = 1e-12
"""How far two numbers may lie apart, relative to the larger: sums of other machines' BLAS differ in
their last digit, a formula that has changed differs by more."""
NOTHING = "(absent)"

# Comparing


def differences(old: Any, new: Any, at: str = "", close: float = CLOSE) -> Iterator[Difference]:
    """Where two JSON values differ: numbers by more than `close`, all else at all."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            a, b = old.get(key, NOTHING), new.get(key, NOTHING)
            yield from differences(a, b, f"{at}/{key}", close)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{at}: length", len(old), len(new)
        for k, (a, b) in enumerate(zip(old, new, strict=False)):
            yield from differences(a, b, f"{at}/{k}", close)
    elif _number(old) and _number(new):
        if not math.isclose(old, new, rel_tol=close, abs_tol=0.0):
            yield at, old, new
    elif old != new or type(old) is not type(new):
        yield at, old, new


def numbers_alone(found: list[Difference]) -> list[Difference]:
    """Those that are no change of a sentence alone."""
    return [d for d in found if not (isinstance(d[1], str) and isinstance(d[2], str))]


def shown(found: list[Difference]) -> str:
    """The first few differences, a line each."""
    lines = [f"{at}: {str(a)[:120]} -> {str(b)[:120]}" for at, a, b in found[:12]]
    return "\n".join([f"{len(found)} differences", *lines])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Files


def read(run: str, name: str) -> Any:
    """What a golden file holds."""
    return json.loads((FIXTURES / run / "golden" / f"{name}.json").read_text(encoding="utf-8"))


def write(run: str, name: str, value: Any) -> None:
    """Write a golden file: one line for each branch down to the third, so that a diff is short."""
    path = FIXTURES / run / "golden" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_laid_out(value, 3) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """What a value is once it has been written and read."""
    return json.loads(json.dumps(value, allow_nan=False))


def runs() -> list[str]:
    """The fixtures' names."""
    return sorted(p.parent.name for p in FIXTURES.glob("*/study.yaml"))


def _laid_out(value: Any, depth: int, pad: str = "") -> str:
    if depth == 0 or not value or not isinstance(value, dict | list):
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    more = pad + " "
    if isinstance(value, dict):
        rows = [f"{json.dumps(k)}: {_laid_out(v, depth - 1, more)}" for k, v in value.items()]
        return "{\n" + ",\n".join(more + r for r in rows) + f"\n{pad}}}"
    rows = [_laid_out(v, depth - 1, more) for v in value]
    return "[\n" + ",\n".join(more + r for r in rows) + f"\n{pad}]"


# By hand


def verb(*args: str | Path, stdin: bytes | None = None) -> Said:
    """Run a verb in this process."""
    from raysearch.program import main

    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in args])
        except SystemExit as stop:
            code = stop.code
    return int(code or 0), out.getvalue(), err.getvalue()


def made(run: str, with_ray: bool) -> Iterator[tuple[str, Any]]:
    """All that is kept of a run, by the names of the files; in an empty folder each."""
    outputs_of = {**outputs.OUTPUTS, **exported.OUTPUTS.get(run, {})}
    if with_ray:
        outputs_of |= going.OUTPUTS.get(run, {})
    for name, of in outputs_of.items():
        with tempfile.TemporaryDirectory() as home, contextlib.chdir(home):
            yield name, plain(of(verb, unpack(run, Path(run))))


def main(args: list[str]) -> int:
    """Compare the files with what the program prints now, or write them."""
    found: list[Difference] = []
    for name in ("RAYSEARCH_DATA_DIR", "RAYSEARCH_MODELS_DIR"):
        os.environ.pop(name, None)
    for run in runs():
        for name, value in made(run, "--with-ray" in args):
            if "--write" in args:
                write(run, name, value)
            else:
                found += differences(read(run, name), value, f"{run}/{name}", CLOSE)
    if "--write" not in args:
        print(shown(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
