"""The wheel: whole, and nothing else in it; and the installed program says its version."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raysearch import __version__

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that pip builds here, with the build backend of the dev extra: no network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    made = subprocess.run(
        [*command, "--no-index", "--disable-pip-version-check", "-w", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as z:
        return set(z.namelist())


@pytest.mark.slow
def test_the_wheel_carries_what_the_program_reads(names):
    expected = {
        "raysearch/py.typed",
        "raysearch/recommend/sentences.json",
        "raysearch/config/tasks.yaml",
        "raysearch/config/ladder.yaml",
    }
    for folder in ("search_spaces", "dashboards"):
        found = [p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.yaml")]
        assert found
        expected |= {f"raysearch/{f}" for f in found}
    templates = ("raysearch/panels/templates", "raysearch/service/templates")
    for folder in ("raysearch/panels/assets", "raysearch/toy/rungs", *templates):
        found = [p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file()]
        assert found
        expected |= set(found)
    assert expected <= names, sorted(expected - names)


@pytest.mark.slow
def test_the_wheel_carries_every_module_and_nothing_else(names):
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "raysearch").rglob("*.py")}
    assert modules == {n for n in names if n.endswith(".py")}
    assert {n.split("/")[0].partition("-")[0] for n in names} == {"raysearch"}
    assert not [n for n in names if "test" in n or "__pycache__" in n or n.endswith(".pyc")]


@pytest.mark.slow
def test_the_metadata_names_version_licence_and_command(wheel, names):
    info = f"raysearch-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as z:
        metadata = z.read(f"{info}/METADATA").decode()
        commands = z.read(f"{info}/entry_points.txt").decode()
    assert f"Version: {__version__}" in metadata and "License-Expression: Apache-2.0" in metadata
    assert any(n.startswith(f"{info}/licenses/") for n in names)
    assert "raysearch = raysearch.program:main" in commands


@pytest.mark.slow
def test_the_wheel_finds_its_catalogs_away_from_the_checkout(wheel, tmp_path):
    """Unpacked alone, the package reads its spaces, studies, pages and toy checkpoints."""
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path)
    code = (
        "import raysearch, raysearch.toy as toy\n"
        "from raysearch.config import catalog\n"
        "from raysearch.config.places import shipped\n"
        f"assert raysearch.__file__.startswith({str(tmp_path)!r}), raysearch.__file__\n"
        f"assert str(shipped('dashboards')).startswith({str(tmp_path)!r})\n"
        "assert catalog.method_spaces() and catalog.studies() and catalog.tasks()\n"
        "assert all((toy.rung_folder(r) / 'model.safetensors').is_file() for r in toy.RUNGS)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_program_says_its_version():
    program = Path(sys.executable).with_name("raysearch")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "raysearch"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"raysearch {__version__}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(given, expected):
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    look = "import raysearch, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=plain | given,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
