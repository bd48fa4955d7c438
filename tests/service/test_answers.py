"""Answers from records over HTTP: what the command line says, kept while nothing changes."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest
from starlette.testclient import TestClient

from raysearch.analysis import read_run
from raysearch.errors import InputError, RaysearchError
from raysearch.service.query_cache import QueryCache, QueryResult
from raysearch.service.run_queries import UNREADABLE, mark
from tests.service.fakes import HOST, Site, ran, recorded, site
from tests.support.verbs import Say

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    """One service with a study that has 60 synthetic trials and a hostile name."""
    rig = site(tmp_path_factory.mktemp("answers") / "root")
    with TestClient(rig.app, base_url=f"http://{HOST}:8100") as client:
        client.headers["Authorization"] = f"Bearer {rig.anna}"
        id_ = client.post("/v1/studies", json={}).json()["id"]
        recorded(rig.services.studies.run(id_), 60, tldr=HOSTILE)
        rig.services.reconciler.reconcile()
        rig.ends(id_, 0)
        rig.services.reconciler.reconcile()
        yield client, id_, rig


def test_the_frontier_is_the_command_lines(client: tuple[TestClient, str, Site]):
    from raysearch.analysis import summary

    ask, id_, rig = client
    answer = ask.get(f"/v1/studies/{id_}/frontier")
    run = rig.services.studies.run(id_)
    assert answer.json() == summary(read_run(run).table)
    assert len(answer.json()["frontier"]) > 1
    tag = answer.headers["etag"]
    same = ask.get(f"/v1/studies/{id_}/frontier", headers={"If-None-Match": tag})
    assert same.status_code == 304 and same.content == b""
    other = ask.get(f"/v1/studies/{id_}/frontier?objectives=score,train_flops,bytes")
    assert other.json() == summary(read_run(run).table, ("score", "train_flops", "bytes"))
    wrong = ask.get(f"/v1/studies/{id_}/frontier?objectives=score,bites")
    assert wrong.status_code == 422 and "Did you mean 'bytes'?" in wrong.json()["error"]
    for few in ("score", "score,score", ",", ""):
        assert ask.get(f"/v1/studies/{id_}/frontier?objectives={few}").status_code in (200, 422)


def test_the_recommendation_is_the_command_lines(client: tuple[TestClient, str, Site], say: Say):
    ask, id_, rig = client
    run = str(rig.services.studies.run(id_))
    for query, options in (
        ("", []),
        ("labels=800&max_bytes=2M", ["--labels", "800", "--max-bytes", "2M"]),
        ("volume=1e6&price_per_cpu_hour=0.05", ["--volume", "1e6", "--price-per-cpu-hour", "0.05"]),
        ("methods=finetune&teacher=free", ["--methods", "finetune", "--teacher", "free"]),
    ):
        code, out, err = say("recommend", run, "--json", *options)
        assert code == 0, err
        assert ask.get(f"/v1/studies/{id_}/recommend?{query}").json() == json.loads(out)
    for query, options in (
        ("labels=many", ["--labels", "many"]),
        ("methods=nope", ["--methods", "nope"]),
        ("teacher=x", ["--teacher", "x"]),
        ("max_ms=0", ["--max-ms", "0"]),
        ("share_teacher=0.5", ["--share-teacher", "0.5"]),
    ):
        code, _, err = say("recommend", run, *options)
        answer = ask.get(f"/v1/studies/{id_}/recommend?{query}")
        assert code == 2 and answer.status_code == 422
        assert answer.json()["error"] == err.strip().removeprefix("raysearch: error: ")


def test_records_as_a_table_and_as_json(client: tuple[TestClient, str, Site]):
    ask, id_, rig = client
    table = read_run(rig.services.studies.run(id_)).table
    answer = ask.get(f"/v1/studies/{id_}/records?format=parquet")
    found = pd.read_parquet(io.BytesIO(answer.content))
    assert found["point_id"].equals(table["point_id"])
    assert f'filename="{id_}.parquet"' in answer.headers["content-disposition"]
    rows = ask.get(f"/v1/studies/{id_}/records").json()
    known = [None if pd.isna(p) else p for p in table["point_id"]]
    assert [r["point_id"] for r in rows] == known
    assert ask.get(f"/v1/studies/{id_}/records?format=pickle").status_code == 422


def test_the_dashboards_are_the_pages_of_the_command_line(
    client: tuple[TestClient, str, Site], say: Say, tmp_path: Path
):
    ask, id_, rig = client
    page = ask.get(f"/studies/{id_}/dashboard/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "refresh" not in page.headers  # it has ended
    run = rig.services.studies.run(id_)
    assert say("page", run, "--out", tmp_path / "own", "--data-dir", tmp_path)[0] == 0
    assert page.text == (tmp_path / "own" / "index.html").read_text()
    linked = ask.get(f"/studies/{id_}/dashboard/plotly-basic.min.js")
    assert linked.status_code == 200 and "javascript" in linked.headers["content-type"]
    tag = {"If-None-Match": linked.headers["etag"]}
    path = f"/studies/{id_}/dashboard/plotly-basic.min.js"
    assert ask.get(path, headers=tag).status_code == 304
    for name in ("../records.json", "..%2frecords.json", "x.html", ".x.html", "index.html.part"):
        assert ask.get(f"/studies/{id_}/dashboard/{name}").status_code == 404, name


def test_hostile_text_is_text(client: tuple[TestClient, str, Site]):
    ask, id_, rig = client
    run = rig.services.studies.run(id_)
    lines = (run / "records.jsonl").read_text().splitlines()
    first = json.loads(next(x for x in lines if '"trial"' in x))
    first["config"]["rung"] = HOSTILE
    first["error"] = HOSTILE
    first["id"] = "feed" * 4
    (run / "records.jsonl").write_text("\n".join([*lines, json.dumps(first)]) + "\n")
    names = [p.name for p in (run.parent / "cache" / "dashboard").glob("*.html")]
    assert "index.html" in names
    time.sleep(0.01)
    assert ask.get(f"/v1/studies/{id_}/records").text.count("alert(1)") >= 1  # it is there
    for name in names:
        assert HOSTILE not in ask.get(f"/studies/{id_}/dashboard/{name}").text, name
    rig.services.studies.transition(id_, "failed", why=HOSTILE)
    home = ask.get("/")
    assert HOSTILE not in home.text and "&lt;script&gt;" in home.text
    rig.services.studies.transition(id_, "done")


def test_the_list_of_studies_says_what_each_came_to(client: tuple[TestClient, str, Site], say: Say):
    """At once, from what is at hand; what is not read yet is there at the next look."""
    ask, id_, rig = client
    rig.services.queries.close()
    rig.services.queries._summaries.clear()
    first = ask.get("/")
    assert "being read" in first.text
    assert 'http-equiv="refresh" content="3"' in first.text
    deadline = time.monotonic() + 60
    while "being read" in (text := ask.get("/").text):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert 'content="30"' in text and "1 study, 1 done" in text
    run = rig.services.studies.run(id_)
    code, out, _ = say("recommend", run, "--json")
    sentence = json.loads(out)["sentences"][0]
    assert code == 0 and escape(sentence) in text
    trials = ask.get(f"/v1/studies/{id_}").json()["progress"]["trials"]
    assert f"{trials} of 60" in text
    (run / "study.yaml").rename(run / "kept.yaml")
    (run / "study.yaml").write_text("nonsense: [")
    try:
        while "study.yaml" not in (text := ask.get("/").text):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        (run / "kept.yaml").rename(run / "study.yaml")


def test_the_list_has_two_studies_read_at_once_and_what_breaks_down_rests(tmp_path: Path):
    runs = [recorded(tmp_path / f"study-{i}" / "run", 3) for i in range(4)]

    async def go() -> None:
        results, reads = QueryCache(), []
        gate = asyncio.Event()

        async def read(key: tuple[str, str, str], now: object) -> QueryResult:
            reads.append(Path(key[1]))
            await gate.wait()
            if reads.count(runs[1]) and key[1] == str(runs[1]):
                raise RaysearchError("reading the records has ended early; ask again")
            return QueryResult(b'{"trials": 3, "wanted": 3}', "", now, time.monotonic(), 0.0)

        results._read = read  # type: ignore[method-assign]
        marks = {run: mark(run) for run in runs}
        for _ in range(3):
            assert results.listed(marks) == {}
            await asyncio.sleep(0.01)
        assert reads == runs[:2], "in order, and each once"
        gate.set()
        for _ in range(3):
            await asyncio.sleep(0.01)
            found = results.listed(marks)
        assert reads == runs and set(found) == set(runs), "what broke down is not asked for again"
        assert json.loads(found[runs[1]].body)["says"] == UNREADABLE
        assert not results._kept and set(results.listed({runs[0]: marks[runs[0]]})) == {runs[0]}
        assert len(results._summaries) == 1, "of what is listed"

    ran(go())


def test_progress_and_a_page_that_reloads_while_a_study_runs(tmp_path: Path):
    rig = site(tmp_path / "root")
    with TestClient(rig.app, base_url=f"http://{HOST}:8100") as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        id_ = ask.post("/v1/studies", json={}).json()["id"]
        rig.services.reconciler.reconcile()
        run = recorded(rig.services.studies.run(id_), 12)
        progress = ask.get(f"/v1/studies/{id_}").json()["progress"]
        assert (progress["trials"], progress["wanted"]) == (12, 12)
        first = ask.get(f"/studies/{id_}/dashboard/")
        assert first.headers["refresh"] == "30"
        recorded(run, 30, seed=5)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if ask.get(f"/studies/{id_}/dashboard/").text != first.text:
                break
            time.sleep(0.2)
        assert ask.get(f"/studies/{id_}/dashboard/").text != first.text
        while time.monotonic() < deadline:
            if ask.get(f"/v1/studies/{id_}").json()["progress"]["trials"] == 30:
                break
            time.sleep(0.2)
        assert ask.get(f"/v1/studies/{id_}").json()["progress"]["trials"] == 30


def test_many_who_ask_at_once_have_the_records_read_once(tmp_path: Path, monkeypatch):
    run = recorded(tmp_path / "study" / "run", 20)

    async def go() -> None:
        results, reads = QueryCache(), []
        real = results._read

        async def counted(*args):
            reads.append(args)
            return await real(*args)

        results._read = counted  # type: ignore[method-assign]
        found = await asyncio.gather(*(results.get("frontier", run) for _ in range(50)))
        assert len(reads) == 1 and len({f.body for f in found}) == 1
        recorded(run, 40, seed=3)
        stale = await results.get("frontier", run)
        fresh = await results.get("frontier", run, exact=True)
        again = await results.get("frontier", run)
        assert again == fresh  # the records are as they were
        assert fresh.body != found[0].body and stale.body in (fresh.body, found[0].body)
        assert len(reads) == 2
        with pytest.raises(InputError, match="objectives"):
            await results.get("frontier", run, {"objectives": ["score"]})
        # what took long to read is given out as it is, and read anew after a pause
        (key,) = results._kept
        results._kept[key] = replace(fresh, mark=None, seconds=60.0)
        assert (await results.get("frontier", run)).mark is None
        results._kept[key] = replace(fresh, mark=None, seconds=60.0, begun=fresh.begun - 999)
        assert (await results.get("frontier", run)).mark is not None  # too old to give out
        results.close()

    ran(go())


def test_an_exact_answer_is_never_of_older_records(tmp_path: Path):
    run = recorded(tmp_path / "study" / "run", 4)

    async def go() -> None:
        results, begun = QueryCache(), []
        gate = asyncio.Event()

        async def read(key, now):
            begun.append(now)
            reads = len(begun)
            if reads == 1:
                await gate.wait()
            if key[0] == "model" and reads == 1:
                raise InputError("no model has been exported")
            made = QueryResult(b"%d" % reads, "", now, 0.0, 0.0)
            results._kept[key] = made
            return made

        results._read = read  # type: ignore[method-assign]
        for what in ("frontier", "model"):
            begun.clear(), gate.clear()
            first = asyncio.create_task(results.get(what, run))
            await asyncio.sleep(0.01)
            with (run / "records.jsonl").open("a") as f:
                f.write("\n")
            if what == "model":
                (run.parent / "model").mkdir()
            tasks = [asyncio.create_task(results.get(what, run, exact=True)) for _ in range(5)]
            await asyncio.sleep(0.01)
            gate.set()
            assert {a.body for a in await asyncio.gather(*tasks)} == {b"2"}
            assert len(begun) == 2 and begun[0] != begun[1]
            await asyncio.gather(first, return_exceptions=True)
            assert not results._under_way

    ran(go())
