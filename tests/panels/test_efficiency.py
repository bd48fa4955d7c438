"""The page of a crossing: when it is written, where its links lead, what names cannot do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raysearch.analysis import Run
from raysearch.errors import InputError
from raysearch.panels import accountings, cost_by_labels, method_map, score_labels, write_pages
from raysearch.panels.dashboard import read_dashboards
from tests.panels.test_page import HOSTILE, tags
from tests.support.crossed import crossed

PAGE = "performance_efficiency.html"
PICTURES = (score_labels, cost_by_labels, accountings, method_map)


def test_a_crossing_gets_the_page_and_every_link_leads_somewhere(
    crossed_run: Run, tmp_path: Path
) -> None:
    index = write_pages(crossed_run, tmp_path / "out")
    pages = sorted(index.parent.glob("*.html"))
    assert [p.name for p in pages] == ["index.html", PAGE, "research.html"]
    for page in pages:
        links = {dict(a).get("href") for t, a in tags(page) if t == "a"}
        for name in ("index.html", PAGE, "research.html"):
            assert name in links
        assert all(
            link and (link[0] == "#" or (tmp_path / "out" / link).is_file()) for link in links
        )
    text = (index.parent / PAGE).read_text()
    assert len(re.findall('<section class="panel"', text)) == 5


def test_a_search_gets_no_such_page_and_no_link_to_it(search_run: Run, tmp_path: Path) -> None:
    index = write_pages(search_run, tmp_path / "out")
    assert not (index.parent / PAGE).exists()
    assert PAGE not in index.read_text() + (index.parent / "research.html").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("needs: procedure\npanels: [{panel: knobs}]", "Did you mean 'procedures'"),
        ("needs: ''\npanels: [{panel: knobs}]", "no need of a page ''"),
        ("needs: [procedures]\npanels: [{panel: knobs}]", "a text is expected"),
    ],
)
def test_a_page_that_needs_what_no_study_has_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "frontier.yaml").write_text("layout: answer\npanels: [{panel: frontier}]")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_dashboards(tmp_path)


def test_the_first_page_may_need_nothing(tmp_path: Path) -> None:
    first = "layout: answer\nneeds: procedures\npanels: [{panel: frontier}]"
    (tmp_path / "frontier.yaml").write_text(first)
    with pytest.raises(InputError, match="written for every run"):
        read_dashboards(tmp_path)


@pytest.mark.slow
def test_hostile_names_make_no_tag(tmp_path: Path) -> None:
    few = {"labels": (10, 100), "models": ("bert_tiny", "bert_mini")}
    index = write_pages(crossed(tmp_path / "r", rename=HOSTILE.__add__, **few), tmp_path / "out")
    plain = write_pages(crossed(tmp_path / "p", **few), tmp_path / "plain")
    found = tags(index.parent / PAGE)
    assert "img" not in [t for t, _ in found]
    assert not [k for _, attrs in found for k, _ in attrs if k.startswith("on")]
    assert [t for t, _ in found] == [t for t, _ in tags(plain.parent / PAGE)]


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    few = {"labels": (10, 100), "models": ("bert_tiny", "bert_mini")}
    run = crossed(tmp_path / "r", rename="<b>".__add__, **few)
    for picture in PICTURES:
        text = picture.draw(picture.info(run)).to_json()
        tagged = text.replace("\\u003c", "<").replace("\\u003e", ">")
        ours = re.sub(r"<b>[^<&]* labels</b>|<b>[a-z /1-8:']+</b>", "", tagged)
        assert "&lt;b&gt;finetune" in ours and "<b>bert" not in ours and "<b>finetune" not in ours
