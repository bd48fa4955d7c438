"""The catalogue of sentences is whole, and its interpreter does what its docstring promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from raysearch.panels.template import asset
from raysearch.recommend import words
from raysearch.recommend.words import FORMATS, SENTENCES, listed, render, render_text, sentences

ROOTS = {"headline", "details", "why", "footer", "interval", "mark", "line", "own_noun"}
"""What the page and the terminal use by name."""
SLOT = re.compile(r"\{(?:\w+\.)?(\w+)(?::(\w+))?\}")


def templates(entry: Any) -> Iterator[str]:
    """Every template of an entry."""
    cases = entry if isinstance(entry, list) else [entry]
    for case in entry.get("all", []) if isinstance(entry, dict) else cases:
        yield case if isinstance(case, str) else case["text"]


def named(entry: Any) -> Iterator[str]:
    """Other entries that an entry names."""
    if isinstance(entry, dict):
        yield from (p if isinstance(p, str) else p["entry"] for p in entry.get("sentences", []))
        yield from [entry["entry"]] if "entry" in entry else []
    for template in templates(entry):
        yield from (name for name, form in SLOT.findall(template) if not form and name in SENTENCES)


def test_every_entry_is_used_and_every_named_entry_exists() -> None:
    seen, left = set[str](), set(ROOTS)
    while left:
        name = left.pop()
        seen.add(name)
        left |= set(named(SENTENCES[name])) - seen
    assert seen == set(SENTENCES)


def test_no_entry_has_the_name_of_a_text_that_is_a_fact() -> None:
    slots = {m for e in SENTENCES.values() for t in templates(e) for m in SLOT.findall(t)}
    texts = {"model", "method", "score", "run", "noun", "system", "broken", "error", "left_out"}
    whole = {"leaders", "cheaper", "draws", "folds", "failed", "trials"}
    assert {name for name, form in slots if not form} - set(SENTENCES) == texts | whole


@pytest.mark.parametrize("name", SENTENCES)
def test_templates_are_well_formed(name: str) -> None:
    entry = SENTENCES[name]
    for template in templates(entry):
        assert template.count("**") % 2 == 0
        rest = SLOT.sub("", template)
        assert "{" not in rest and "}" not in rest, template
        assert {form for _, form in SLOT.findall(template) if form} <= set(FORMATS)
    for case in entry if isinstance(entry, list) else []:
        if isinstance(case, dict):
            assert set(case) == {"when", "text"}
            assert re.fullmatch(r"!?\w+(\.\w+)?( !?\w+(\.\w+)?)*", case["when"]), case
    if isinstance(entry, list):  # what comes after a case without a condition is never used
        assert not any(isinstance(case, str) for case in entry[:-1])


def test_the_page_has_the_same_formats() -> None:
    made = re.search(r"const FORMATS = \{(.*?)\};", asset("words.js"), re.S)
    assert made is not None
    assert all(re.search(rf"\b{name}\b", made[1]) for name in FORMATS)


def test_the_first_case_that_holds_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "size": [
            {"when": "big !old", "text": "**big**"},
            {"when": "in.deep", "text": "deep"},
            "no",
        ],
        "bare": [{"when": "zero", "text": "{zero:count}, {name}"}],
        "all": {"all": ["a", {"when": "big", "text": "{in.name}"}, "c"], "join": "; "},
        "each": {"each": "list", "entry": "bare", "join": ", "},
        "page": {"sentences": ["size", "bare", {"each": "list", "entry": "bare"}]},
    }
    monkeypatch.setattr(words, "SENTENCES", made)
    assert render("size", {"big": True}) == (("big", True),)
    assert render_text("size", {"big": True, "old": "x"}) == "no"
    assert render_text("size", {"in": {"deep": 0}}) == "deep", "the number 0 is present"
    for absent in (None, False, "", {}, ()):
        assert (
            render_text("size", {"big": absent})
            == render_text("size", {"in": {"deep": absent}})
            == "no"
        )
    assert render("bare", {"zero": None}) == ()
    assert render("bare", {"zero": 0, "name": "**{x}**"}) == (("0, **{x}**", False),)
    with pytest.raises(KeyError, match="name"):
        render_text("bare", {"zero": 0})
    scope = {"big": True, "in": {"name": "b"}, "list": [{"zero": 1, "name": "x"}, {"zero": None}]}
    assert listed("all", scope) == ["a", "b", "c"]
    inert = {"big": True, "in": {"name": "**b** {c}"}}
    assert render("all", inert) == (("a; **b** {c}; c", False),), (
        "a joined value is not filled again"
    )
    assert render_text("all", {}) == "a; c" and render_text("each", scope) == "1, x, "
    assert sentences("page", scope) == ((("big", True),), (("1, x", False),))
