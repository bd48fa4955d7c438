"""Pages as files: strict YAML, whole or not at all, inert whatever a user wrote."""

import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import raysearch
from raysearch.analysis import Run, read_run
from raysearch.config.trial import TrialConfig
from raysearch.errors import InputError
from raysearch.panels import write_pages
from raysearch.panels.dashboard import read_dashboards
from raysearch.panels.embed import choices_json, pack
from raysearch.panels.template import environment
from raysearch.recommend.collect import collect
from tests.support.synthetic import records, write_run

HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(2)</script>${1}{{title}}"
ATTRIBUTE = "' x=\" onclick=alert(3) x='{{ 7 * 7 }}{% if %}"
"""What ends an attribute, and what a template would run."""


def hostile(folder: Path) -> Run:
    """A run whose task, method, model, knobs and errors all attack."""
    made = []
    for r in records(40, task=HOSTILE):
        config = dataclasses.replace(
            r.config, method=HOSTILE + r.config.method, rung=HOSTILE, hyper={"x": HOSTILE}
        )
        made.append(
            dataclasses.replace(
                r,
                config=config,
                id=config.id,
                hyper={"x": HOSTILE},
                error=HOSTILE if r.error else None,
                points=tuple(dataclasses.replace(p, knobs={HOSTILE: HOSTILE}) for p in r.points),
            )
        )
    return read_run(write_run(folder, made, left_out={HOSTILE: HOSTILE}))


class Tags(HTMLParser):
    """Collects the tags of a page, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(path: Path) -> Tags:
    parser = Tags()
    parser.feed(path.read_text())
    return parser


def tags(path: Path) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return parsed(path).tags


def words(path: Path) -> str:
    """All that stands between the tags, as a browser reads it."""
    return "".join(parsed(path).words)


def test_pages_are_written_beside_their_plotly_and_ask_for_nothing_else(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", records(60)))
    index = write_pages(run, tmp_path / "out")
    assert index == tmp_path / "out" / "index.html"
    names = {f.name for f in index.parent.iterdir()}
    assert names == {"index.html", "research.html", "plotly.min.js", "plotly-basic.min.js"}
    for page in ("index.html", "research.html"):
        links = [
            v for _, attrs in tags(index.parent / page) for k, v in attrs if k in ("src", "href")
        ]
        assert all(not re.match(r"(https?:)?//", v or "") for v in links)
        assert "{{" not in (index.parent / page).read_text()


def test_a_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(60))
    pages = [write_pages(read_run(folder), tmp_path / name) for name in ("a", "b")]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    write_pages(read_run(folder), tmp_path / "a")  # over an old page


def test_hostile_text_makes_no_tag(tmp_path: Path) -> None:
    index = write_pages(hostile(tmp_path / "run"), tmp_path / "out")
    plain = write_pages(read_run(write_run(tmp_path / "r2", records(40))), tmp_path / "plain")
    for page in ("index.html", "research.html"):
        found = tags(index.parent / page)
        assert "img" not in [t for t, _ in found]
        assert not [k for _, attrs in found for k, _ in attrs if k.startswith("on")]
        scripts = [t for t, _ in found if t == "script"]
        assert len(scripts) == len([t for t, _ in tags(plain.parent / page) if t == "script"])


def test_no_title_or_note_ends_its_attribute(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", records(20, task=ATTRIBUTE)))
    kinds = {}
    for name, evil in (("plain", "Title"), ("evil", HOSTILE + ATTRIBUTE)):
        home = tmp_path / name
        home.mkdir()
        panel = json.dumps({"panel": "compute", "title": evil, "note": evil})
        title = json.dumps(evil)
        first = f"title: {title}\nlayout: answer\npanels: [{{panel: frontier}}]"
        (home / "frontier.yaml").write_text(first)
        (home / "mine.yaml").write_text(f"title: {title}\npanels: [{panel}]")
        write_pages(run, home / "out", home)
        for page in ("index.html", "mine.html"):
            found = tags(home / "out" / page)
            kinds[name, page] = [(tag, [k for k, _ in attrs]) for tag, attrs in found]
            assert evil in words(home / "out" / page)
    for page in ("index.html", "mine.html"):
        assert kinds["plain", page] == kinds["evil", page]


def test_no_template_says_that_a_value_is_safe() -> None:
    root = Path(raysearch.__file__).parent
    found = [*root.glob("*/templates/*.html")]
    assert len(found) > 7
    assert not [p.name for p in found if re.search(r"\bsafe\b|autoescape", p.read_text())]


def test_json_inside_a_page_cannot_close_its_element() -> None:
    shown = environment("raysearch.panels").from_string("{{ value|tojson }}").render
    written = shown(value={"a": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"a": "</script><!--&\u2028"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        shown(value=float("nan"))


def test_columns_pack_and_read_back() -> None:
    column = [1.5, None, 1.5, 1.5, None, 1.5, 1.5]
    packed = pack(column)
    assert [packed["of"][i] for i in packed["at"]] == column
    assert pack(["a", "b"]) == ["a", "b"]


def test_the_copied_configuration_is_the_trials_own(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, records(80, methods=("distill", "finetune", "early_exit"))))
    points = collect(run)
    choices = choices_json(run, points)

    def column(value: object) -> list[object]:
        if isinstance(value, dict):
            return [value["of"][i] for i in value["at"]]
        assert isinstance(value, list)
        return value

    for i in range(len(points)):
        whole = {k: column(v)[i] for k, v in choices["config"].items()}
        config = TrialConfig.from_json(
            {k: json.loads(str(v)) for k, v in whole.items() if v is not None}
        )
        assert config.id == run.table["id"].iloc[points.rows[i]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("panles: []", "no key 'panles'. Did you mean 'panels'"),
        ("layout: answer\npanels: [{panel: fronteir}]", "Did you mean 'frontier'"),
        ("layout: answer\npanels: [{panel: frontier, csot: x}]", "Did you mean 'cost'"),
        ("layout: answers\npanels: [{panel: frontier}]", "Did you mean 'answer'"),
        ("layout: panels\npanels: [{panel: frontier}]", "'answer' is expected"),
        ("layout: answer\npanels: []", "a list of panels is expected"),
        ("layout: answer\npanels: [{panel: knobs}]", "frontier, and label_curves"),
        ("layout: answer\ntable: maybe\npanels: [{panel: frontier}]", "true or false"),
        ("- a", "holds list, must be a mapping of keys"),
        ("a: [", "cannot be read as YAML"),
        ("title: 3\nlayout: answer\npanels: [{panel: frontier}]", "a text is expected"),
    ],
)
def test_a_page_that_is_not_whole_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "frontier.yaml").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_dashboards(tmp_path)
    assert "\n" not in str(caught.value) and "frontier.yaml" in str(caught.value)


def test_a_folder_without_a_first_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no frontier\.yaml"):
        read_dashboards(tmp_path)


def test_a_further_page_is_one_more_file(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "frontier.yaml").write_text("layout: answer\npanels: [{panel: frontier}]")
    (pages / "mine.yaml").write_text("title: Mine\npanels: [{panel: compute, by: payer}]")
    run = read_run(write_run(tmp_path / "run", records(30)))
    index = write_pages(run, tmp_path / "out", pages)
    assert "mine.html" in index.read_text()
    assert "Mine" in (tmp_path / "out" / "mine.html").read_text()


def test_the_shipped_pages_are_whole(search_run: Run) -> None:
    pages = read_dashboards()
    assert [p.file for p in pages] == [
        "index.html",
        "domains.html",
        "early_exit.html",
        "performance_efficiency.html",
        "research.html",
        "sparse_distill.html",
    ]
    assert [p.file for p in pages if p.meant_for(search_run)] == ["index.html", "research.html"]


def test_the_first_pages_bundle_is_plotlys_own(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", records(5)))
    index = write_pages(run, tmp_path / "out")
    data = (index.parent / "plotly-basic.min.js").read_bytes()
    assert data.startswith(b"/**\n* plotly.js (basic - minified) v4.1.1\n")
    digest = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
    assert hashlib.sha256(data).hexdigest() == digest
