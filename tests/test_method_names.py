"""A method's name, and what only a method knows, stand in its own files alone.

Own files are the method, what stands below it, its kind of points, its exports, and its page with
the analysis behind it. What is left elsewhere is listed by name, so that the list can only shrink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "raysearch"
SOURCES = {
    str(p.relative_to(PACKAGE)): p.read_text(encoding="utf-8")
    for p in sorted(PACKAGE.rglob("*.py"))
}
METHODS = sorted(p.stem for p in (PACKAGE / "methods").glob("*.py") if p.stem != "__init__")

ALSO = {"dan", "prompt"}
"""Methods whose name is that of a family of models and of a kind of input: not looked for."""
NOT_OF_MODELS = {"exit", "exitcode", "exit_code", "exit_file", "__exit__", "Exit", "_exit"}
"""Names about processes and context managers."""
NOT_OF_MODELS |= {"SystemExit", "ExitStack", "atexit"}

CONCEPTS = {
    "exits": re.compile(r"(^|_)exits?(_|$)|Exit[A-Z]|^Exits?$|(^|_)(criterion|criteria)$", re.I),
    "zero_shot": re.compile(r"zero_?shots?", re.I),
    "tables": re.compile(r"^(is_table|is_rounded|has_tables|vocabulary_of)$"),
}
"""What identifiers and keys say that only one method's points have."""

OWN = {
    "exits": (
        *("methods/early_exit.py", "outputs/exit_rules.py", "outputs/point_kinds/exits.py"),
        *("encoders/exit*.py", "training/exits_head.py"),
        *("export/exits_runtime.py", "export/onnx_exits.py", "export/graph_files/exits.py"),
        *("analysis/exit_trials.py", "panels/exit_*.py"),
    ),
    "zero_shot": ("methods/zero_shot.py",),
    "tables": (
        *("outputs/point_kinds/tables.py", "analysis/tables.py", "analysis/students.py"),
        *("analysis/sweeps.py", "panels/retention*.py", "panels/table_sweep.py"),
    ),
}

LEFT = {
    "exits": {
        "analysis/cascade.py": {"criterion"},  # part of every cascade's id
        "analysis/thresholds.py": {"criterion", "exit_rules"},  # a cascade tries the same grid
        "analysis/replicates.py": {"exits"},  # a field of the records
        "cli/models.py": {"criterion"},  # an option of `predict`
        "workflow/predictors.py": {"criterion"},
        "export/cascade.py": {"exit_rules"},
        "export/manifest.py": {"criterion", "exits"},  # keys of raysearch.json
        "export/measured.py": {"waitstatus_to_exitcode"},  # of a process: a function of os
        "export/predictor.py": {"criterion"},
        "record.py": {"exits"},  # a key of records.jsonl
        "trial/run.py": {"exits"},
    },
}
"""What is still elsewhere, by file."""


def words(source: str) -> Iterator[tuple[str, bool]]:
    """Yield each identifier and each text outside docstrings, with whether it is a text."""
    tree = ast.parse(source)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name, False
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, False
            case ast.keyword(arg=str(name)):
                yield name, False
            case ast.ImportFrom(module=module, names=names):
                yield from ((part, False) for part in (module or "").split("."))
                yield from ((alias.name, False) for alias in names)
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield text, True


def named(source: str) -> set[str]:
    """Return the methods that a text names."""
    found = set()
    for text, is_text in words(source):
        for method in METHODS:
            if method in ALSO:
                continue
            inside = "_" in method and re.search(rf"\b{method}\b", text)
            if (is_text and text == method) or inside:
                found.add(method)
    return found


def knows(source: str, concept: str) -> set[str]:
    """Return the identifiers and keys of one concept that a text has."""
    pattern = CONCEPTS[concept]
    return {
        w for w, _ in words(source) if " " not in w and w not in NOT_OF_MODELS and pattern.search(w)
    }


def test_there_is_something_to_look_at() -> None:
    assert len(METHODS) >= 8 and len(SOURCES) > 200
    for concept, patterns in OWN.items():
        for pattern in patterns:
            assert any(fnmatch(path, pattern) for path in SOURCES), f"{concept}: {pattern}"


def test_a_method_is_named_in_its_own_file_alone() -> None:
    others = {
        path: found
        for path, source in SOURCES.items()
        if (found := named(source) - {Path(path).stem if path.startswith("methods/") else ""})
    }
    assert not others


@pytest.mark.parametrize("concept", CONCEPTS)
def test_what_a_method_knows_stands_in_its_own_files(concept: str) -> None:
    """Equal, not a subset: what has gone must go from the list too."""
    found = {
        path: known
        for path, source in SOURCES.items()
        if not any(fnmatch(path, own) for own in OWN[concept]) and (known := knows(source, concept))
    }
    assert found == LEFT.get(concept, {})


def test_scripts_name_no_method() -> None:
    texts = {p.name: p.read_text(encoding="utf-8") for p in PACKAGE.rglob("assets/*.js")}
    assert texts
    known = [m for m in METHODS if m not in ALSO]
    assert not {n: m for n, t in texts.items() for m in known if re.search(rf"\b{m}\b", t)}


@pytest.mark.parametrize(
    ("source", "methods", "exits"),
    [
        ("BASE = 'finetune'", {"finetune"}, set()),
        ("if x.exits: pass", set(), {"exits"}),
        ("'''About early_exit and its exits.'''", set(), set()),
        ("from a.exit_rules import f\nsys.exit(1)", set(), {"exit_rules"}),
        ("f('for early_exit models')", {"early_exit"}, set()),
        ("k['criterion']", set(), {"criterion"}),
    ],
)
def test_what_is_found(source: str, methods: set[str], exits: set[str]) -> None:
    assert named(source) == methods and knows(source, "exits") == exits
