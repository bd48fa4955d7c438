"""Pages as YAML: which panels stand on them, with which options; strict and whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import raysearch
from raysearch.analysis import Run
from raysearch.analysis.domains import FILE as DOMAINS
from raysearch.analysis.students import has_tables
from raysearch.errors import InputError, unknown
from raysearch.panels.catalog import check_options, picture

LAYOUTS = ("answer", "panels")
PAGE_KEYS = ("title", "layout", "table", "needs", "panels")
PANEL_KEYS = ("panel", "title", "note")
NEEDS: Mapping[str, Callable[[Run], bool]] = {
    "procedures": lambda run: bool(run.study.get("procedures")),
    "exits": lambda run: any(p.exits for r in run.records for p in r.points),
    "tables": has_tables,
    "domains": lambda run: (run.folder / DOMAINS).is_file(),
}
"""What of a run a page may need: `procedures`, which a crossing's study.yaml has, points of a
model with `exits` or of `tables` of n-grams, or the matrix that `raysearch domains` has written."""
FIRST = "frontier"
"""The page that is written as index.html."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture on a page."""

    name: str
    title: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page."""

    name: str
    title: str
    layout: str
    """answer: sentences, controls, one plot. panels: one picture after the other."""
    panels: tuple[Panel, ...]
    table: bool = False
    """Whether the table of all points stands at its end."""
    needs: str = ""
    """What a run must have for the page to be written; empty: every run has it."""

    def meant_for(self, run: Run) -> bool:
        """Whether the page is written for that run."""
        return not self.needs or NEEDS[self.needs](run)

    @property
    def file(self) -> str:
        """The page's file name."""
        return "index.html" if self.name == FIRST else f"{self.name}.html"


def folder() -> Path:
    """Where the shipped pages lie: inside the wheel, or beside the package in a checkout."""
    package = Path(raysearch.__file__).parent
    inside = package / "dashboards"
    return inside if inside.is_dir() else package.parent / "dashboards"


def read_dashboards(where: Path | None = None) -> tuple[Dashboard, ...]:
    """Read every page of a folder, the first page first.

    Raises:
        InputError: no such folder, no frontier.yaml in it, or a page that is not whole.
    """
    where = folder() if where is None else Path(where)
    files = sorted(where.glob("*.yaml"), key=lambda f: (f.stem != FIRST, f.stem))
    if not files or files[0].stem != FIRST:
        raise InputError(f"{where}: no {FIRST}.yaml in it; the first page is expected there")
    pages = tuple(read_dashboard(f) for f in files)
    if pages[0].layout != "answer":
        raise InputError(f"{files[0]}: layout is '{pages[0].layout}'; 'answer' is expected here")
    return pages


def read_dashboard(path: Path) -> Dashboard:
    """Read one page.

    Raises:
        InputError: an unknown key, panel or option (with the nearest name), or a wrong type.
    """
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as e:
        raise InputError(f"{path}: cannot be read as YAML: {str(e).splitlines()[0]}") from e
    page = _mapping(value, str(path))
    for key in page:
        if key not in PAGE_KEYS:
            raise unknown(str(path), "key", str(key), PAGE_KEYS)
    layout = page.get("layout", "panels")
    if layout not in LAYOUTS:
        raise unknown(f"{path}: layout", "layout", str(layout), LAYOUTS)
    entries = page.get("panels")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: panels is {entries!r}; a list of panels is expected")
    table = page.get("table", False)
    if not isinstance(table, bool):
        raise InputError(f"{path}: table is {table!r}; true or false is expected")
    needs = _text(page.get("needs", ""), f"{path}: needs")
    if "needs" in page and needs not in NEEDS:
        raise unknown(f"{path}: needs", "need of a page", needs, NEEDS)
    panels = tuple(_panel(e, f"{path}: panels[{i}]") for i, e in enumerate(entries))
    if layout == "answer":
        if needs:
            raise InputError(f"{path}: needs is '{needs}'; the first page is written for every run")
        names = [p.name for p in panels]
        if names not in (["frontier"], ["frontier", "label_curves"]):
            raise InputError(
                f"{path}: layout answer holds {', '.join(names)}; "
                "frontier, and label_curves or nothing after it, are expected"
            )
    title = _text(page.get("title", path.stem), f"{path}: title")
    return Dashboard(path.stem, title, layout, panels, table, needs)


def _panel(value: object, where: str) -> Panel:
    entry = _mapping(value, where)
    if "panel" not in entry:
        raise InputError(f"{where}: no key 'panel'; the name of a picture is expected")
    name = _text(entry["panel"], f"{where}.panel")
    picture(name, where)
    options = {str(k): v for k, v in entry.items() if k not in PANEL_KEYS}
    check_options(name, options, where)
    title = _text(entry.get("title", ""), f"{where}.title")
    return Panel(name, title, _text(entry.get("note", ""), f"{where}.note"), options)


def _mapping(value: object, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: a mapping is expected, a {type(value).__name__} stands there")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: a text is expected, a {type(value).__name__} stands there")
    return value
