"""AWS machines by instance type, with their CPUs and GPUs.

A small table, not all of AWS: the general families by their sizes, the GPU families one by one. A
name that is not in it is not wrong, only unchecked.
"""

from __future__ import annotations

import re

_FAMILIES = {
    "m5": (2, 4, 8, 12, 16, 24),
    "m6i": (2, 4, 8, 12, 16, 24, 32),
    "m6a": (2, 4, 8, 12, 16, 24, 32, 48),
    "m7i": (2, 4, 8, 12, 16, 24, 48),
    "m7a": (2, 4, 8, 12, 16, 24, 32, 48),
    "c6i": (2, 4, 8, 12, 16, 24, 32),
    "c6a": (2, 4, 8, 12, 16, 24, 32, 48),
    "c7i": (2, 4, 8, 12, 16, 24, 48),
    "r5": (2, 4, 8, 12, 16, 24),
    "r6i": (2, 4, 8, 12, 16, 24, 32),
    "r7i": (2, 4, 8, 12, 16, 24, 48),
}
"""Families without GPUs: which N there are of Nxlarge, which has 4 N CPUs."""

_WITH_GPUS = {
    "g4dn": {1: 1, 2: 1, 4: 1, 8: 1, 12: 4, 16: 1},
    "g5": {1: 1, 2: 1, 4: 1, 8: 1, 12: 4, 16: 1, 24: 4, 48: 8},
    "g6": {1: 1, 2: 1, 4: 1, 8: 1, 12: 4, 16: 1, 24: 4, 48: 8},
    "g6e": {1: 1, 2: 1, 4: 1, 8: 1, 12: 4, 16: 1, 24: 4, 48: 8},
    "p3": {2: 1, 8: 4, 16: 8},
    "p4d": {24: 8},
    "p4de": {24: 8},
    "p5": {4: 1, 48: 8},
    "p5e": {48: 8},
    "p5en": {48: 8},
}
"""Families with GPUs: how many at each N of Nxlarge, which has 4 N CPUs."""


def _table() -> dict[str, tuple[int, int]]:
    out = {"t3.medium": (2, 0)}
    for family in (*_FAMILIES, "t3"):
        out[f"{family}.large"] = (2, 0)
        out[f"{family}.xlarge"] = (4, 0)
        for n in _FAMILIES.get(family, (2,)):
            out[f"{family}.{n}xlarge"] = (4 * n, 0)
    for family, sizes in _WITH_GPUS.items():
        for n, gpus in sizes.items():
            out[f"{family}.{n}xlarge" if n > 1 else f"{family}.xlarge"] = (4 * n, gpus)
    return out


INSTANCES = _table()
"""CPUs and GPUs by instance type."""


def looks_real(name: str) -> bool:
    """Return True if a name that is not in the table has the form of one of AWS.

    >>> looks_real("x2iedn.8xlarge"), looks_real("g5.xlagre"), looks_real("g5.3xlarge")
    (True, False, False)
    """
    family, _, size = name.partition(".")
    known = family in _FAMILIES or family in _WITH_GPUS or family == "t3"
    return not known and bool(
        re.fullmatch(r"[a-z]+\d+[a-z-]*", family)
        and re.fullmatch(r"(nano|micro|small|medium|large|xlarge|\d+xlarge|metal(-\d+xl)?)", size)
    )
