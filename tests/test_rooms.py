"""The rooms of the package: imports point down, no circles, small faces, quiet imports."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "raysearch"

ROOMS = (
    "version",
    "errors",
    "score_intervals",
    "score_sums",
    "scores",
    "ledger",
    "config",
    "record",
    "objectives",
    "run",
    "toy",
    "outputs",
    "storage",
    "data",
    "costs",
    "encoders",
    "ngrams",
    "training",
    "methods",
    "stages",
    "trial",
    "planning",
    "analysis",
    "search",
    "cluster",
    "tune",
    "recommend",
    "panels",
    "export",
    "workflow",
    "cli",
    "service",
    "api",
    "program",
    "__main__",
    "",  # raysearch/__init__.py: what `import raysearch` gives
)
"""Rooms of the package from the ground up: an import points to an earlier one, or stays in its own
(docs/decisions/0012)."""

FLOORS = {room: floor for floor, room in enumerate(ROOMS)}

OUTSIDE = {"cli", "service", "api"}
"""Rooms over `workflow` that never import each other; `program` puts them together."""

HOMES = {"plotly": {"panels"}, "jinja2": {"panels"}, "ray": {"tune", "cluster", "service"}}
"""Libraries that one room alone may import, even inside a function."""

EAST = {
    *("analysis", "recommend", "panels", "record", "objectives", "config", "ledger", "errors"),
    *("run", "outputs", "scores", "score_sums", "score_intervals", "api", "version"),
}
WEST = ("torch", "transformers", "ray")
"""The east wing opens a folder of records anywhere: it loads nothing of these."""

FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports: where it is written, what, and when it is loaded."""

    line: int
    target: str
    when: str
    """`load`: with the module; `call`: inside a function; `types`: for the type checker alone."""


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(p): p.read_text(encoding="utf-8") for p in sorted(PACKAGE.rglob("*.py"))}
METHODS = sorted(p for p in (PACKAGE / "methods").glob("*.py") if p.stem != "__init__")
FACES = sorted(PACKAGE.rglob("__init__.py"))


@cache
def parsed(source: str) -> ast.Module:
    """Each text is read once."""
    return ast.parse(source)


@pytest.fixture(scope="module", autouse=True)
def every_text_is_parsed() -> None:
    for source in SOURCES.values():
        parsed(source)


def room(module: str) -> str:
    """The folder or file right under raysearch/ that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def resolved(module: str, name: str) -> str:
    """What `from module import name` loads: the submodule where there is one."""
    inner = f"{module}.{name}"
    return inner if inner in SOURCES or (module == "raysearch" and name in FLOORS) else module


def imports(module: str, source: str) -> Iterator[Import]:
    """Every import of a module's text, those inside functions and by `import_module` included."""
    folder = (ROOT / module.replace(".", "/")).is_dir()
    package = module if folder else module.rpartition(".")[0]

    def walk(node: ast.AST, when: str) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(node.lineno, alias.name, when)
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                    base = f"{above}.{base}" if base else above
                for alias in node.names:
                    yield Import(node.lineno, resolved(base, alias.name), when)
            case ast.Call(func=func, args=[ast.Constant(value=str(text)), *_]):
                called = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                if called in ("import_module", "__import__"):
                    yield Import(node.lineno, text, when)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                when = "call" if when == "load" else when
            case ast.If(test=test) if ast.unparse(test).endswith("TYPE_CHECKING"):
                for child in node.body:
                    yield from walk(child, "types")
                for child in node.orelse:
                    yield from walk(child, when)
                return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, when)

    yield from walk(parsed(source), "load")


def faults(module: str, source: str) -> list[str]:
    """What a module's text does that the house forbids, one sentence each."""
    own_room, out = room(module), []
    if own_room not in FLOORS:
        return [f"{module}: room '{own_room}' stands on no floor"]
    for found in imports(module, source):
        where = f"{module}:{found.line}"
        library, inside = found.target.split(".")[0], found.target.split(".")[0] == "raysearch"
        if inside:
            its_room = room(found.target)
            if its_room not in FLOORS:
                out.append(f"{where}: room '{its_room}' stands on no floor")
            elif FLOORS[its_room] > FLOORS[own_room]:
                out.append(f"{where}: imports {found.target} from a higher floor")
            elif own_room != its_room and {own_room, its_room} <= OUTSIDE:
                out.append(f"{where}: a face imports {found.target} of another")
            elif own_room == its_room == "methods" and module != "raysearch.methods":
                out.append(f"{where}: a method imports {found.target}")
        elif library in HOMES and own_room not in HOMES[library]:
            out.append(f"{where}: imports {library}, which only {HOMES[library]} may")
        elif library in WEST and own_room in EAST and found.when != "types":
            out.append(f"{where}: the east wing imports {library}")
    return out


def noises(module: str, source: str) -> list[str]:
    """Statements run on import that change warning filters, logging or the environment."""
    loud = ("warnings.", "logging.basicConfig", "logging.disable", "os.environ", "os.putenv")
    out = []

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        text = ""
        if isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            if text in ("os.environ.get", "os.environ.copy"):
                text = ""
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            text = next((t for t in map(ast.unparse, targets) if t.startswith("os.environ")), "")
        if text.startswith(loud) or text.endswith((".addHandler", ".setLevel")):
            out.append(f"{module}:{getattr(node, 'lineno', 0)}: {text} on import")
        for child in ast.iter_child_nodes(node):
            look(child)

    look(parsed(source))
    return out


def face(source: str) -> list[str]:
    """What is wrong with the text of an `__init__.py`."""
    out = []
    if len(source.splitlines()) >= 40:
        out.append("40 lines or more")
    body = [s for s in parsed(source).body if not isinstance(s, ast.Expr)]
    named = [t for s in body if isinstance(s, ast.Assign) for t in s.targets]
    named += [s.target for s in body if isinstance(s, ast.AnnAssign)]
    if body and "__all__" not in {ast.unparse(t) for t in named}:
        out.append("no __all__")
    return out


def test_the_house_is_read():
    """The loops below run over something, and over all of it."""
    assert len(SOURCES) > 60 and len(METHODS) >= 3 and len(FACES) >= 9
    rooms = {room(m) for m in SOURCES}
    assert rooms <= set(FLOORS), "a room without a floor"
    assert set(FLOORS) == rooms, "a floor for a room that is not there"
    found = list(imports("raysearch.trial.setup", SOURCES["raysearch.trial.setup"]))
    assert {"torch", "raysearch.storage.checkpoints", "raysearch.stages"} <= {
        i.target for i in found
    }
    hidden = imports("raysearch.workflow.studies", SOURCES["raysearch.workflow.studies"])
    assert ("raysearch.tune.runner", "call") in {(i.target, i.when) for i in hidden}


def test_imports_point_down_and_rooms_keep_to_themselves():
    assert not [f for name, source in SOURCES.items() for f in faults(name, source)]


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("config.new", "import raysearch.storage.store", "higher floor"),
        (
            "config.new",
            "def f():\n    from raysearch import tune",
            ":2: imports raysearch.tune from",
        ),
        ("ledger", "from raysearch.record import SCHEMA", "higher floor"),
        ("objectives", "import raysearch.methods", "higher floor"),
        ("search.new", "import raysearch.tune.runner", "higher floor"),
        ("trial.run", "from raysearch.planning.planner import Planner", "higher floor"),
        ("analysis.new", "from raysearch.recommend.answer import answer", "higher floor"),
        ("errors", "from raysearch.ledger import OWN", "higher floor"),
        ("ledger", "from raysearch import planning as p", "higher floor"),
        ("config.new", "from ..storage import store", "higher floor"),
        (
            "config.new",
            "import importlib\nimportlib.import_module('raysearch.cli')",
            "higher floor",
        ),
        ("config.new", "if TYPE_CHECKING:\n    import raysearch.trial", "higher floor"),
        ("cli.new", "def f():\n    from raysearch.service import paths", "higher floor"),
        ("cli.new", "from raysearch import __version__", "higher floor"),
        ("api", "from raysearch.service import paths", "a face imports"),
        ("service.new", "def f():\n    from raysearch.cli import options", "a face imports"),
        ("methods.new", "from raysearch.methods.finetune import Knobs", "a method imports"),
        ("methods.new", "def f():\n    from . import finetune", ":2: a method imports"),
        ("methods.new", "from raysearch.methods import get", "a method imports"),
        ("analysis.new", "import plotly.express as px", "imports plotly, which only"),
        ("cli.new", "def f():\n    import ray", "imports ray, which only"),
        ("trial.new", "from ray import tune", "imports ray, which only"),
        ("record", "import torch", "the east wing imports torch"),
        ("panels.new", "class A:\n    from transformers import AutoModel", "imports transformers"),
        ("attic.new", "import os", "room 'attic' stands on no floor"),
        ("cli.new", "import raysearch.attic", "room 'attic' stands on no floor"),
    ],
)
def test_a_fault_is_seen(module, source, sentence):
    (fault,) = faults(f"raysearch.{module}", source)
    assert sentence in fault and fault.startswith(f"raysearch.{module}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("planning.new", "from raysearch.trial.context import ExecutionContext"),
        ("methods.new", "import torch\nfrom raysearch.storage.store import Store"),
        ("tune.new", "import ray\nfrom raysearch.search import controller"),
        ("panels.new", "import plotly\nfrom raysearch import analysis, version"),
        ("analysis.new", "if TYPE_CHECKING:\n    import torch"),
        ("cli.new", "from raysearch import methods\nimport rayon, plotlyx"),
    ],
)
def test_what_is_allowed_is_no_fault(module, source):
    assert not faults(f"raysearch.{module}", source)


def test_modules_do_not_import_each_other_in_a_circle():
    """Imports of any kind count: at load, inside functions, for types alone.

    A package's `__init__` may name its own modules lazily; that is no circle.
    """
    graph = {
        name: {i.target for i in imports(name, source) if i.target in SOURCES} - {name}
        for name, source in SOURCES.items()
    }
    assert sum(map(len, graph.values())) > 200
    faces = {n for n in graph if (PACKAGE / Path(*n.split(".")[1:]) / "__init__.py").exists()}
    graph = {name: targets - faces for name, targets in graph.items() if name not in faces}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        pytest.fail(" -> ".join(e.args[1]))


def test_no_room_for_odds_and_ends():
    names = {part for name in SOURCES for part in name.split(".")}
    assert not names & FORBIDDEN


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.stem)
def test_a_method_is_one_file_of_a_size_to_read(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert 50 <= lines <= 250, f"{path.name} has {lines} lines"


@pytest.mark.parametrize("path", FACES, ids=lambda p: p.parent.name)
def test_a_face_is_small_and_says_what_it_holds(path):
    assert not face(path.read_text(encoding="utf-8"))


def test_a_wrong_face_is_seen():
    assert face("import os\n") == ["no __all__"]
    assert face('"""Only a sentence."""\n') == [] == face("__all__: list[str] = []\n")
    assert face("__all__ = ['os']\n" + "\n" * 39) == ["40 lines or more"]


def test_no_statement_makes_noise_on_import():
    found = [n for name, source in SOURCES.items() for n in noises(name, source)]
    (spins,) = found  # libgomp reads it when torch is loaded, in whatever process that is
    assert re.fullmatch(r"raysearch:\d+: os\.environ\.setdefault on import", spins)


@pytest.mark.parametrize(
    "line",
    [
        "warnings.filterwarnings('ignore')",
        "logging.basicConfig()",
        "logging.getLogger('ray').setLevel(40)",
        "logging.getLogger().addHandler(h)",
        "os.environ['A'] = '1'",
        "os.environ.setdefault('A', '1')",
        "del os.environ['A']",
        "if True:\n    os.putenv('A', '1')",
    ],
)
def test_noise_is_seen(line):
    assert len(noises("raysearch.new", line)) == 1
    inside = "\n    ".join(["def f():", *line.splitlines()])
    assert not noises("raysearch.new", inside)


DOORS = {
    "package": ["raysearch"],
    "panels": ["raysearch.panels"],
    "every-room-of-the-east": [m for m in SOURCES if room(m) in EAST],
    "quiet": [name for name in SOURCES if room(name) in {"", *EAST, "toy", "cli"}],
}


@pytest.fixture(scope="module")
def opened():
    """What a fresh interpreter says that opens door by door, and then all of them again.

    Twice: the first time libraries come along and may do as they like, the second time not. The
    rooms that load torch or Ray take seconds; their statements are read above.
    """
    code = (
        "import importlib, json, logging, os, sys, warnings\n"
        f"doors, west, found = {DOORS!r}, {WEST!r}, {{}}\n"
        "def state():\n"
        "    log = logging.getLogger()\n"
        "    ours = [n for n in logging.root.manager.loggerDict if n.startswith('raysearch')]\n"
        "    return dict(os.environ), list(warnings.filters), list(log.handlers), log.level, ours\n"
        "bare = dict(os.environ)\n"
        "for door, names in doors.items():\n"
        "    for name in names: importlib.import_module(name)\n"
        "    found[door] = sorted({m.split('.')[0] for m in sys.modules} & set(west))\n"
        "before = state()\n"
        "spins = {'GOMP_SPINCOUNT': ''}\n"
        "found['environment'] = {**before[0], **spins} == {**bare, **spins}\n"
        "found['loggers'] = before[2] == before[4] == []\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'raysearch']:\n"
        "    del sys.modules[name]\n"
        "for name in doors['quiet']: importlib.import_module(name)\n"
        "kinds = ('environment', 'filters', 'handlers', 'level', 'loggers')\n"
        "both = zip(kinds, before, state(), strict=True)\n"
        "found['changed'] = [kind for kind, a, b in both if a != b]\n"
        "print(json.dumps(found))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("door", [d for d in DOORS if d != "quiet"])
def test_the_east_wing_loads_nothing_of_the_west(opened, door):
    assert DOORS[door] and opened[door] == []


def test_importing_changes_no_filter_no_handler_and_no_variable(opened):
    assert len(DOORS["quiet"]) > 40
    assert opened["environment"] and opened["loggers"] and opened["changed"] == []
