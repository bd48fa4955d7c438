"""Pages as YAML: which panels stand on them, with which options; strict and whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, StrictBool, field_validator

from raysearch.analysis import Run
from raysearch.config.places import shipped
from raysearch.config.strict import Strict, load_yaml, parse
from raysearch.errors import InputError, no_name
from raysearch.panels.catalog import check_options, needs, picture

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
        """Return whether the page is written for that run."""
        return not self.needs or needs()[self.needs](run)

    @property
    def file(self) -> str:
        """Return the page's file name."""
        return "index.html" if self.name == FIRST else f"{self.name}.html"


def read_dashboards(where: Path | None = None) -> tuple[Dashboard, ...]:
    """Read every page of a folder, the first page first.

    Raises:
        InputError: no such folder, no frontier.yaml in it, or a page that is not whole.
    """
    where = shipped("dashboards") if where is None else Path(where)
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
    where = str(path)
    page = parse(_Page, load_yaml(path, where=where), where)
    panels = []
    for i, entry in enumerate(page.panels):
        options = dict(entry.model_extra or {})
        picture(entry.panel, f"{where}: panels[{i}]")
        check_options(entry.panel, options, f"{where}: panels[{i}]")
        panels.append(Panel(entry.panel, entry.title, entry.note, options))
    _check_answer(page, where)
    title = path.stem if page.title is None else page.title
    return Dashboard(path.stem, title, page.layout, tuple(panels), page.table, page.needs or "")


class _Entry(Strict):
    """One panel of a page; further keys are options of the picture."""

    model_config = ConfigDict(extra="allow", str_strip_whitespace=False)

    panel: str
    title: str = ""
    note: str = ""


class _Page(Strict):
    """One `dashboards/<page>.yaml`."""

    model_config = ConfigDict(str_strip_whitespace=False)

    title: str | None = None
    layout: Literal["answer", "panels"] = "panels"
    table: StrictBool = False
    needs: str | None = None
    panels: tuple[_Entry, ...]

    @field_validator("panels", mode="before")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not isinstance(value, list) or not value:
            raise ValueError("a list of panels is expected")
        return value

    @field_validator("needs")
    @classmethod
    def _needs(cls, value: str | None) -> str | None:
        if value is not None and value not in (known := needs()):
            raise ValueError(no_name("need of a page", value, known))
        return value


def _check_answer(page: _Page, where: str) -> None:
    """Raise InputError for a page of layout answer that holds something else than an answer."""
    if page.layout != "answer":
        return
    if page.needs:
        raise InputError(
            f"{where}: needs is '{page.needs}'; the first page is written for every run"
        )
    names = [p.panel for p in page.panels]
    if names not in (["frontier"], ["frontier", "label_curves"]):
        raise InputError(
            f"{where}: layout answer holds {', '.join(names)}; "
            "frontier, and label_curves or nothing after it, are expected"
        )
