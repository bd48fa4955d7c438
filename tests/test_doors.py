"""What opens records loads no torch, transformers, Ray or datasets: every door in one process.

The doors are opened one after the other: what one of them loads is said of the first that does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.choices import Choice, write_choices
from tests.support.judged import write_run as write_judged
from tests.support.passing import Part, write
from tests.support.synthetic import records, write_run

ROOT = Path(__file__).resolve().parent.parent
WEST = ("torch", "transformers", "ray", "datasets")


@dataclass(frozen=True, slots=True)
class Door:
    """Statements that open it, with `home` the folder of the runs, and what they may not load."""

    code: str
    shut: tuple[str, ...] = WEST


VERB = """
from raysearch.cli import main
try:
    main([{verb!r}, home + "/{run}"])
except SystemExit as e:
    assert not e.code, e.code
"""
DOORS = {  # what may load least comes first
    "grammar": Door("import raysearch.toy", (*WEST, "plotly", "pandas")),
    "catalog": Door(
        "from raysearch.config import catalog\n"
        "catalog.tasks(); catalog.ladder(); catalog.method_spaces()",
        (*WEST, "plotly", "pandas"),
    ),
    "package": Door("import raysearch\nassert raysearch.__version__", (*WEST, "plotly", "pandas")),
    "analysis": Door(
        "import logging, os\n"
        "before = dict(os.environ), list(logging.getLogger().handlers)\n"
        "import raysearch.analysis\n"
        "assert before == (dict(os.environ), list(logging.getLogger().handlers))",
        (*WEST, "plotly"),
    ),
    "analysis of cascades": Door(
        "from raysearch.analysis import read_run\n"
        "from raysearch.analysis.cascade import cascades\n"
        "assert cascades(read_run(home + '/passing'))",
        (*WEST, "plotly"),
    ),
    "notebook": Door(
        "import raysearch\nrun = raysearch.open_run(home + '/choices')\n"
        "run.frontier(); repr(run.recommend(labels=800)); run._repr_html_()",
        (*WEST, "plotly"),
    ),
    "panels": Door(
        "from raysearch.panels.catalog import pictures\nimport raysearch.panels\nassert pictures()"
    ),
    "report": Door(
        "from raysearch.analysis import read_run\n"
        "from raysearch.recommend.recommended import look\n"
        "from raysearch.panels.report_page import write_report\n"
        "from pathlib import Path\n"
        "made = look(read_run(home + '/judged'))\n"
        "write_report(made, Path(home) / 'judged' / 'r.html', {})"
    ),
    "page": Door(
        VERB.format(verb="page", run="search") + "from pathlib import Path\n"
        "assert (Path(home) / 'search' / 'dashboard' / 'index.html').is_file()\n"
        "assert (Path(home) / 'search' / 'records.parquet').is_file()"
    ),
    "cascades": Door(VERB.format(verb="cascades", run="passing")),
    "figure": Door("import raysearch\nraysearch.open_run(home + '/choices').figure()"),
    "recommend": Door(VERB.format(verb="recommend", run="choices")),
    "status": Door("from raysearch.workflow.status import status\nimport raysearch.cli.progress"),
}
PROGRAM = """
import json, sys, traceback
home, found, known = sys.argv[1], {}, set()
for name, code in json.load(sys.stdin).items():
    try:
        exec(code, {"home": home})
        wrong = ""
    except BaseException:
        wrong = traceback.format_exc()
    loaded = {m.split(".")[0] for m in sys.modules}
    found[name] = [wrong, sorted(loaded - known)]
    known |= loaded
print("\\n" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[str]]]:
    """By door: the error if there was one, and the libraries that it is the first to load."""
    home = tmp_path_factory.mktemp("doors")
    write_run(home / "search", records(12, seed=3))
    write(home / "passing", (Part("mini-2", 100.0, 0.75, heat=2.0), Part("mini-6", 1000.0, 0.9)))
    write_choices(
        home / "choices", [Choice("small", 0.8, 0.8), Choice("large", 0.9, 0.9, flops=1000.0)]
    )
    write_judged(home / "judged", tiny.write_task(home / "two", "two", test=100))
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home)],
        input=json.dumps({name: door.code for name, door in DOORS.items()}),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    value: dict[str, tuple[str, list[str]]] = json.loads(ran.stdout.splitlines()[-1])
    return value


@pytest.mark.parametrize("name", DOORS)
def test_a_door_opens_and_loads_nothing_heavy(
    opened: dict[str, tuple[str, list[str]]], name: str
) -> None:
    wrong, loaded = opened[name]
    assert not wrong
    assert not set(loaded) & set(DOORS[name].shut)
