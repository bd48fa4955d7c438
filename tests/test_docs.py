"""Documentation runs: commands, links, doctests, examples, the tree; and what must not be there."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
HOSTS = {
    "www.apache.org",  # the licence
    "keepachangelog.com",
    "semver.org",
    "huggingface.co",  # the hub that tasks and models are read from
    "arxiv.org",
    "doi.org",
    "github.com",  # NOTEs with a link to an issue
    "127.0.0.1",
    "localhost",
    "www.w3.org",  # namespaces of SVG and HTML
}
"""Hosts that a tracked file may name; none of a package registry."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@cache
def repository() -> tuple[str, ...]:
    """Files of the repository: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(sorted(f for f in set(listed.stdout.split("\0")) if f and (ROOT / f).is_file()))


def blocks(page: Path, *kinds: str) -> list[str]:
    """The fenced blocks of these languages."""
    return [code for kind, code in FENCE.findall(page.read_text()) if kind in kinds]


def commands(page: Path) -> list[list[str]]:
    """The words of each line of the page's shell blocks, comments left out."""
    lines = [line for code in blocks(page, "sh", "console") for line in code.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_loops_are_not_empty():
    assert len(PAGES) > 10 and len(repository()) > 50
    assert any(c[0] == "make" for c in commands(ROOT / "README.md"))
    assert sum(c[0] == "raysearch" for c in commands(ROOT / "README.md")) > 5


def test_the_readme_begins_with_the_two_commands():
    first = blocks(ROOT / "README.md", "sh")[0].splitlines()
    assert [line.split()[:2] for line in first] == [["make", "frontier"], ["make", "test"]]
    assert (ROOT / "README.md").read_text().splitlines()[2] == "```sh"


@every_page
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    named = [c[1] for c in commands(page) if c[0] == "make"]
    named += re.findall(r"`make ([a-z]\w*)", page.read_text())
    assert set(named) <= targets


@every_page
def test_commands_name_real_verbs_and_options(page):
    pytest.importorskip("raysearch.program")
    from raysearch.config import catalog
    from raysearch.program import app

    for words in commands(page):
        if Path(words[0]).name != "raysearch":
            continue
        verb, *rest = words[1:]
        if verb.startswith("-"):
            known = {o for p in app.get_params(_context(app)) for o in p.opts}
            assert verb in known, f"raysearch has no option {verb}"
            continue
        assert verb in app.commands, f"raysearch has no verb {verb}"
        params = app.commands[verb].params
        known = {o for p in params for o in (*p.opts, *p.secondary_opts)}
        options = [w.partition("=")[0] for w in rest if w.startswith("--")]
        assert set(options) <= known, f"{' '.join(words)}: {sorted(set(options) - known)}"
        for option, value in zip(rest, rest[1:], strict=False):
            if option == "--task" and not re.search(r"[./:]", value):
                catalog.find_task(value)
            if option == "--study" and not value.endswith(".yaml"):
                catalog.find_study(value)


def _context(app):
    import click

    return click.Context(app)


@every_page
def test_relative_links_resolve(page):
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", place.read_text(), re.M)
            slugs = {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in heads}
            assert anchor in slugs, f"{page.name}: {target}"


@every_page
def test_doctests_of_the_pages(page):
    names: dict[str, object] = {}
    for number, code in enumerate(blocks(page, "python", "pycon")):
        if ">>>" not in code:
            continue
        # One block at a time: a closing fence would be read as expected output.
        test = doctest.DocTestParser().get_doctest(code, names, f"{page.name}[{number}]", None, 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        out: list[str] = []
        runner.run(test, out=out.append, clear_globs=False)
        names = test.globs
        assert runner.summarize(verbose=False).failed == 0, "".join(out)


@every_page
def test_files_named_in_backticks_exist(page):
    """`raysearch/x.py` and the like; x, y and the worked example's files are placeholders."""
    pattern = r"`((?:raysearch|search_spaces|dashboards|benchmarks|scripts|tests|docs)/[\w./-]+)`"
    for path in re.findall(pattern, page.read_text()):
        if re.search(r"(^|[/_])(x|prototype|student|toy_writer)\.(py|yaml)$", path):
            continue
        assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_printed_tree_is_the_tree():
    (tree,) = blocks(ROOT / "docs" / "rooms.md", "text")
    printed = [(line[0] in "├└", line.lstrip("├└─ ").split()[0]) for line in tree.splitlines()]
    top = {name for inner, name in printed if not inner}
    present = {f.split("/")[0] + ("/" if "/" in f else "") for f in repository()}
    assert top == {f for f in present if not f.startswith(".")}
    inside = {name for inner, name in printed if inner}
    package = [f.removeprefix("raysearch/") for f in repository() if f.startswith("raysearch/")]
    rooms = {f.split("/")[0] + ("/" if "/" in f else "") for f in package}
    assert inside == {r for r in rooms if not r.startswith("__") and r != "py.typed"}


def test_the_printed_rooms_are_in_the_order_of_imports():
    from tests.test_rooms import ROOMS

    (tree,) = blocks(ROOT / "docs" / "rooms.md", "text")
    printed = re.findall(r"^[├└]── (\w+)", tree, re.M)
    assert printed == [room for room in reversed(ROOMS) if room.strip("_") not in ("", "main")]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_every_page_is_linked_from_the_index():
    linked = re.findall(r"\]\(([^)\s#]+)", (ROOT / "docs" / "index.md").read_text())
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert pages - {"index.md"} <= set(linked)


class AnyOutput(doctest.OutputChecker):
    """Accept any output; an exception still fails."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return True


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_python_on_a_run_works(page, tmp_path, monkeypatch):
    """Run the lines that the doctests skip for want of a run, on a run of version 0.1.0."""
    from raysearch.analysis import read_run, write_parquet

    run = tmp_path / "runs" / "toy-quick"
    run.mkdir(parents=True)
    for name in ("records.jsonl", "study.yaml"):
        shutil.copyfile(ROOT / "tests" / "fixtures" / "old_runs" / "search" / name, run / name)
    write_parquet(read_run(run).table, run / "records.parquet")
    monkeypatch.chdir(tmp_path)
    (code,) = [c for c in blocks(ROOT / page, "python") if "runs/toy-quick" in c]
    code = code.replace("# doctest: +SKIP", "")
    test = doctest.DocTestParser().get_doctest(code, {}, page, None, 0)
    runner = doctest.DocTestRunner(checker=AnyOutput(), verbose=False)
    out: list[str] = []
    result = runner.run(test, out=out.append)
    assert result.attempted > 2 and not result.failed, "".join(out)


def test_the_results_page_names_real_columns():
    from raysearch.analysis.table import columns

    section = (
        (ROOT / "docs" / "results.md").read_text().partition("Columns of `records.parquet`")[2]
    )
    rows = [line for line in section.partition("```")[0].splitlines() if line.startswith("| `")]
    named = [c for line in rows for c in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert len(named) > 15 and set(named) <= set(columns())


def test_the_example_task_is_a_task(tmp_path):
    from raysearch.config.catalog import task_from_json
    from raysearch.data.task_data import load_task

    (entry,) = blocks(ROOT / "docs" / "adding-a-task.md", "yaml")
    ((name, fields),) = yaml.safe_load(entry).items()
    task = task_from_json({"name": name, **fields})
    folder = tmp_path / name
    folder.mkdir()
    labels = [task.label_names[i % len(task.label_names)] for i in range(120)]
    rows = {task.text: [f"ticket {i}" for i in range(120)], task.label: labels}
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    data = load_task(task, data_dir=tmp_path)
    assert not data.official_test and len(data.splits["test"])


def test_the_task_fields_are_all_explained():
    from dataclasses import fields

    from raysearch.config.task import Task

    text = (ROOT / "docs" / "adding-a-task.md").read_text()
    explained = {
        name
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert explained == {f.name for f in fields(Task)} - {"name"}


def files_of(page: str, level: str) -> list[tuple[str, str]]:
    """The files that a page shows below headings of this level that name them."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(
        rf"^{level} `([^`]+)`\n(?:\n[^`#].*\n)?\n```\w+\n(.*?)^```", text, re.S | re.M
    )


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """The package and its tests copied, with both pages' files beside the others; those files."""
    home = tmp_path_factory.mktemp("house")
    for name in repository():
        if name.split("/")[0] in ("raysearch", "search_spaces", "tests", "pyproject.toml"):
            copy = home / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    made = {
        "method": files_of("adding-a-method.md", "##"),
        "stage": files_of("adding-a-stage.md", "##"),
        "student": files_of("adding-a-method.md", "###"),
    }
    for path, code in (file for files in made.values() for file in files):
        assert not (home / path).exists()
        (home / path).write_text(code)
    return home, {kind: [path for path, _ in files] for kind, files in made.items()}


def run_tests(home: Path, words: tuple[str, ...], *paths: str, only: str = "") -> int:
    """How many tests of these paths, named by any of the words, passed; none may fail."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
        + ["-k", " or ".join(words), "-m", only],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    return int(re.findall(r"(\d+) passed", ran.stdout)[-1])


@pytest.mark.slow
def test_the_example_method_passes_the_contract(examples):
    """Three files beside the others, nothing else changed, and every question is answered."""
    home, made = examples
    assert [p.split("/")[0] for p in made["method"]] == ["raysearch", "search_spaces", "tests"]
    name = Path(made["method"][0]).stem
    # Parameters may be joined into an id by letters, so both spellings are asked for. The
    # planner's tests say which methods take part: one more must not break them.
    words = (name, "-".join(name), "every_method_and", "no_number", "too_slow")
    assert run_tests(home, words, "tests/methods", "tests/planning/test_planner.py") > 20


@pytest.mark.slow
def test_the_example_stage_and_its_student_pass_the_contracts(examples):
    home, made = examples
    assert [p.split("/")[0] for p in made["stage"]] == ["raysearch", "search_spaces", "tests"]
    assert [p.split("/")[0] for p in made["student"]] == ["raysearch", "search_spaces"]
    paths = ("tests/stages/test_contract.py", made["stage"][2], "tests/cli/test_cli.py")
    assert run_tests(home, ("toy_writer", "check_joins"), *paths) > 7
    # the student is a fit of the package's own: a few of its cases show what all would
    words, paths = ("student", "-".join("student")), ("tests/methods/test_contract.py",)
    assert run_tests(home, words, *paths, only="not slow") > 12


@pytest.mark.slow
def test_the_example_files_pass_the_checks(examples):
    """What `make check` says of them, types but for the tests; one run: mypy reads all imports."""
    home, made = examples
    files = [p for paths in made.values() for p in paths if p.endswith(".py")]
    package = [p for p in files if p.startswith("raysearch/")]
    for tool, paths in (("ruff format --check", files), ("ruff check", files), ("mypy", package)):
        done = subprocess.run(
            [sys.executable, "-m", *tool.split(), *paths], cwd=home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def text_files() -> list[tuple[str, str]]:
    """Names and texts of the repository's text files."""
    out = []
    for name in repository():
        raw = (ROOT / name).read_bytes()
        if b"\0" in raw[:8192] or name.endswith(".gz"):
            continue
        out.append((name, raw.decode("utf-8", "replace")))
    return out


def test_no_paths_of_one_machine():
    wrong = re.compile(r"(?<![\w.~}])/(?:" + "|".join(("work", "root", "home", "Users")) + r")/\w")
    found = {n: m[0] for n, text in text_files() if (m := wrong.search(text))}
    assert not found


def test_no_hosts_but_the_known_ones():
    url = re.compile(r"https?://([\w.-]+)")
    found = {
        (name, host)
        for name, text in text_files()
        for host in url.findall(text)
        if host not in HOSTS
        and "." in host
        and not host.endswith((".test", ".invalid", ".example"))
    }
    assert not found


def test_constraints_pin_what_is_declared():
    """Every dependency is pinned to one plain version: no local build, no path."""
    import tomllib

    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    pins = {}
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==[\w.!]+", line), line
        name, _, version = line.partition("==")
        pins[re.sub(r"[-_.]+", "-", name).lower()] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", d)[0]).lower() for d in declared}
    assert names <= set(pins), f"not pinned: {sorted(names - set(pins))}"
    assert "raysearch" not in pins


def test_the_licence_and_the_changelog_belong_to_this_version():
    from raysearch import __version__

    assert "Copyright the raysearch authors" in (ROOT / "LICENSE").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changes or f"## [{__version__}]" in changes
