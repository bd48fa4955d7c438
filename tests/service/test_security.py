"""Tokens, hosts, origins, lengths, the audit: what every route stands behind."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from raysearch.errors import InputError, RecordError
from raysearch.service import tokens as tokens_module
from raysearch.service.audit import Audit
from raysearch.service.browser_sessions import COOKIE, BrowserSessions
from raysearch.service.database import Database
from raysearch.service.tokens import Tokens, digest
from tests.service.fakes import HOST, Site, audit, site

BASE = f"http://{HOST}:8100"


def routes(rig: Site) -> list[tuple[str, str]]:
    """Every method and path that the application knows."""
    found = []

    def walk(those):
        for route in those:
            if isinstance(route, APIRoute):
                found.extend((m, route.path) for m in route.methods)
            walk(getattr(getattr(route, "original_router", None), "routes", ()))

    walk(rig.app._app.routes)  # type: ignore[attr-defined]
    found.append(("GET", "/openapi.json"))
    return found


def test_no_route_opens_without_a_token(rig: Site):
    known = routes(rig)
    assert len(known) > 20
    with TestClient(rig.app, base_url=BASE) as bare:
        for method, path in [*known, ("GET", "/nowhere"), ("PUT", "/v1/studies")]:
            if path == "/enter":
                continue
            answer = bare.request(method, path.replace("{id}", "x").replace("{name:path}", "x"))
            assert answer.status_code == 401, (method, path)
            assert set(answer.json()) == {"error"}
            assert answer.headers["www-authenticate"] == "Bearer"
        assert bare.get("/enter").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer rs_wrong", "Bearer ", "Bearer", "Basic x", "", "Bearer é", "rs_x"]
)
def test_a_wrong_token_is_refused(rig: Site, header: str):
    with TestClient(rig.app, base_url=BASE) as bare:
        answer = bare.get("/v1/studies", headers={"Authorization": header.encode()})
        assert answer.status_code == 401


def test_an_expired_and_a_revoked_token_are_refused(ask: TestClient, rig: Site, monkeypatch):
    assert ask.get("/v1/studies").status_code == 200
    rig.tokens.revoke("anna")  # another process: the command line
    assert ask.get("/v1/studies").status_code == 401
    text = rig.tokens.add("late", "anna", "submitter", days=1)
    headers = {"Authorization": f"Bearer {text}"}
    assert ask.get("/v1/studies", headers=headers).status_code == 200
    clock = Tokens(rig.services.database, now=lambda: time.time() + 86401)
    assert clock.find(text) is None and clock.named("late") is None
    assert rig.tokens.find(text) is not None


def test_tokens_are_kept_as_hashes_in_a_file_of_the_owner_alone(rig: Site):
    files = sorted(rig.paths.root.glob("service.db*"))
    whole = b"".join(p.read_bytes() for p in files)
    assert rig.anna.encode() not in whole and digest(rig.anna).encode() in whole
    assert len(files) == 3 and {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    assert stat.S_IMODE(rig.paths.root.stat().st_mode) == 0o700
    rig.paths.database.chmod(0o644)
    with pytest.raises(InputError, match="mode is 0644, must be 0600"):
        Tokens(Database(rig.paths.database)).all()


def test_every_token_is_compared_and_none_early(rig: Site, monkeypatch):
    seen = []
    real = tokens_module.hmac.compare_digest
    monkeypatch.setattr(
        tokens_module.hmac, "compare_digest", lambda a, b: seen.append(a) or real(a, b)
    )
    assert rig.tokens.find(rig.anna) is not None
    assert len(seen) == len(rig.tokens.all()) == 3


@pytest.mark.parametrize(
    ("name", "owner", "role", "days", "sentence"),
    [
        ("../x", "a", "reader", 1, "is no token's name"),
        ("x", "A B", "reader", 1, "is no owner's name"),
        ("x", "a", "root", 1, "no role 'root'"),
        ("x", "a", "reader", 0, "must be above 0"),
        ("anna", "a", "reader", 1, "already"),
    ],
)
def test_a_token_that_cannot_be(rig: Site, name, owner, role, days, sentence):
    with pytest.raises(InputError, match=sentence):
        rig.tokens.add(name, owner, role, days)


def test_a_reader_changes_nothing(rig: Site, ask: TestClient):
    made = ask.post("/v1/studies", json={}).json()
    headers = {"Authorization": f"Bearer {rig.reader}"}
    assert ask.get(f"/v1/studies/{made['id']}", headers=headers).status_code == 200
    for method, path in routes(rig):
        if method in ("GET", "HEAD"):
            continue
        answer = ask.request(method, path.replace("{id}", made["id"]), headers=headers)
        assert answer.status_code == 403 and "reader" in answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:8100",
        "",
        "[::2]",
        "[::1]x",
        "[::1]:8100:x",
        "127.0.0.1:8100:x",
        "127.0.0.1:x",
        "127.0.0.1:",
        "127.0.0.1:123456",
        "[::1",
        "::1",
    ],
)
def test_a_name_that_was_bound_to_this_address_is_refused(ask: TestClient, host: str):
    answer = ask.get("/v1/studies", headers={"Host": host})
    assert answer.status_code == 400 and "is no name of this service" in answer.json()["error"]


def test_a_refused_name_is_answered_and_counted_as_every_refusal(ask: TestClient, rig: Site):
    for method, size in (("POST", True), ("HEAD", False)):
        answer = ask.request(method, "/v1/studies", headers={"Host": "evil.example"})
        assert answer.status_code == 400 and bool(answer.content) == size
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert rig.services.studies.ids() == []
    assert [(x.owner, x.what, x.status) for x in audit(rig)] == [("", "1 requests", "turned away")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("studies.example:8100", 200),
        ("STUDIES.example", 200),
        ("www.studies.example", 400),
        ("x.studies.example", 400),
        ("x.star.example", 400),
        ("evil.example", 400),
        ("studies.example, evil.example", 400),
        ("user@studies.example", 400),
    ],
)
def test_a_name_that_the_operator_adds_is_that_name_alone(tmp_path: Path, host: str, status: int):
    names = frozenset({"studies.example", "*", "*.star.example", "x*y"})
    rig = site(tmp_path / "root", hosts=names)
    with TestClient(rig.app, base_url=BASE, headers=rig.headers()) as client:
        assert client.get("/v1/studies", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1:8100", "localhost", "LOCALHOST:1", "[::1]:8100"])
def test_the_names_of_loopback_are_known(ask: TestClient, host: str):
    assert ask.get("/v1/studies", headers={"Host": host}).status_code == 200


def entered(rig: Site, client: TestClient) -> str:
    """Let the client in as a browser."""
    del client.headers["Authorization"]
    answer = client.get("/enter", params={"ticket": rig.services.sessions.link("anna")})
    assert answer.status_code == 200
    return str(answer.headers["set-cookie"])


def test_a_link_lets_one_browser_in_once(rig: Site, ask: TestClient):
    ticket = rig.services.sessions.link("anna")
    files = [p.read_bytes() for p in rig.paths.root.glob("service.db*")]
    assert not any(ticket.encode() in whole for whole in files)
    assert any(digest(ticket).encode() in whole for whole in files)
    del ask.headers["Authorization"]
    first = ask.get("/enter", params={"ticket": ticket})
    cookie = first.headers["set-cookie"]
    line = audit(rig)[-1]
    assert (line.owner, line.what, line.status) == ("anna", "/enter", 200)
    assert not any(ticket in line.what for line in audit(rig))
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Path=/" in cookie
    assert ask.get("/v1/studies").status_code == 200
    again = site(rig.paths.root)  # a restarted service knows the browser still
    with TestClient(again.app, base_url=BASE, cookies=ask.cookies) as client:
        assert client.get("/v1/studies").status_code == 200
    with TestClient(rig.app, base_url=BASE) as other:
        assert other.get("/enter", params={"ticket": ticket}).status_code == 401
        assert other.get("/v1/studies").status_code == 401
    rig.tokens.revoke("anna")  # the visit ends with its token
    assert ask.get("/v1/studies").status_code == 401


def test_a_link_and_a_visit_end_in_time(rig: Site):
    late = BrowserSessions(rig.services.database, rig.tokens, now=lambda: time.time() + 601)
    assert late.enter(rig.services.sessions.link("anna")) is None
    cookie = rig.services.sessions.enter(rig.services.sessions.link("anna"))
    assert cookie is not None and rig.services.sessions.find(cookie) is not None
    assert (
        rig.services.sessions.find(rig.services.sessions.link("anna")) is None
    )  # a link is no visit
    later = BrowserSessions(rig.services.database, rig.tokens, now=lambda: time.time() + 13 * 3600)
    assert later.find(cookie) is None


def test_a_browser_changes_something_only_from_a_page_of_this_service(rig: Site, ask: TestClient):
    entered(rig, ask)
    for origin in (
        None,
        "http://evil.example",
        "null",
        f"http://{HOST}:9999",
        f"ftp://{HOST}:8100",
    ):
        headers = {} if origin is None else {"Origin": origin}
        answer = ask.post("/v1/studies", json={}, headers=headers)
        assert answer.status_code == 403 and "Origin" in answer.json()["error"]
    assert ask.post("/v1/studies", json={}, headers={"Origin": BASE}).status_code == 200
    assert COOKIE in ask.cookies


def test_a_body_that_is_too_long_is_refused_announced_or_not(tmp_path: Path):
    rig = site(tmp_path / "root", most_body=1000, most_dataset=5000)
    with TestClient(rig.app, base_url=BASE) as client:
        client.headers["Authorization"] = f"Bearer {rig.anna}"

        def pieces(n: int):
            for _ in range(n):
                yield b"x" * 500

        for path, good, bad in (("/v1/studies", 1, 3), ("/v1/datasets?name=a.csv", 8, 11)):
            assert client.post(path, content=b"x" * 500 * bad).status_code == 413
            answer = client.post(path, content=pieces(bad))
            assert answer.status_code == 413 and "longer" in answer.json()["error"]
            assert client.post(path, content=pieces(good)).status_code != 413
        made = client.post("/v1/studies", json={}).json()["id"]
        answer = client.post(f"/v1/studies/{made}/confirm", content=pieces(3))
        assert answer.status_code == 413
        bad = client.post("/v1/studies", content=b"x", headers={"Content-Length": "-1"})
        assert bad.status_code == 413
    assert not [p for p in rig.paths.datasets.rglob(".*")]  # no half of a file is left


def test_every_answer_says_how_a_browser_is_to_take_it(ask: TestClient):
    for path in ("/v1/studies", "/v1/studies/none", "/", "/nowhere", "/openapi.json"):
        headers = ask.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_what_breaks_is_one_line_for_a_reader_and_a_traceback_for_the_log(
    ask: TestClient, rig: Site, monkeypatch, capsys
):
    def broken():
        raise RuntimeError("secret thing")

    monkeypatch.setattr(rig.services.studies, "all", broken)
    with TestClient(rig.app, base_url=BASE, raise_server_exceptions=False) as client:
        answer = client.get("/v1/studies", headers={"Authorization": f"Bearer {rig.anna}"})
    assert answer.status_code == 500 and set(answer.json()) == {"error"}
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "secret thing" in capsys.readouterr().err


def test_a_line_is_written_for_each_write_and_for_none_that_reads(ask: TestClient, rig: Site):
    ask.get("/v1/studies")
    made = ask.post("/v1/studies", json={"trials": 3}).json()["id"]
    ask.post("/v1/studies", json={"trials": -3})
    ask.delete(f"/v1/studies/{made}", headers={"Authorization": f"Bearer {rig.bert}"})
    ask.post("/v1/studies", json={}, headers={"Authorization": "Bearer no"})
    lines = audit(rig)
    assert [(x.owner, x.verb, x.what, x.status) for x in lines] == [
        ("anna", "POST", "/v1/studies", "begins"),
        ("anna", "POST", f"/v1/studies/{made}", 200),
        ("anna", "POST", "/v1/studies", "begins"),
        ("anna", "POST", "/v1/studies", 422),
        ("bert", "DELETE", f"/v1/studies/{made}", "begins"),
        ("bert", "DELETE", f"/v1/studies/{made}", 403),
        ("", "", "1 requests", "turned away"),
    ]
    assert [x.token for x in lines] == [*["anna"] * 4, "bert", "bert", ""]
    assert all(x.time.endswith("Z") and len(x.time) == 20 for x in lines)
    Audit(rig.services.database).write("a", "b", "GET", "/\n{}", 1)
    assert audit(rig)[:-1] == lines and audit(rig)[-1].what == "/\n{}"
    for change in ("DELETE FROM audit", "UPDATE audit SET owner = 'x'"):
        with pytest.raises(RecordError, match="only appended to"):
            with rig.services.database.transaction() as db:
                db.execute(change)
    assert len(audit(rig)) == 8


def test_nobody_fills_the_audit_from_outside(rig: Site, tmp_path: Path):
    with TestClient(rig.app, base_url=BASE) as bare:
        for _ in range(50):
            assert bare.post("/v1/studies").status_code == 401
            assert bare.get("/enter?ticket=x").status_code == 401
    assert len(audit(rig)) == 1
    clock = [0.0]
    own = Audit(Database(tmp_path / "own.db"), now=lambda: clock[0])
    for clock[0] in range(0, 130):
        own.turned_away()
    assert [x.what for x in own.lines()] == ["1 requests", "60 requests", "60 requests"]


def test_what_cannot_be_written_down_does_not_begin(
    ask: TestClient, rig: Site, monkeypatch, capsys
):
    def full(*line):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # a disk that is slow holds up nobody else
        raise RecordError("service.db: database or disk is full")

    monkeypatch.setattr(rig.app._audit, "write", full)
    answer = ask.post("/v1/studies", json={})
    assert answer.status_code == 503 and "nothing was changed" in answer.json()["error"]
    assert rig.services.studies.ids() == [] and ask.get("/v1/studies").status_code == 200
    assert "disk is full" in capsys.readouterr().err


def test_a_revoked_tokens_browsers_and_links_do_not_live_again_by_its_name(
    rig: Site, ask: TestClient
):
    cookie = rig.services.sessions.enter(rig.services.sessions.link("anna"))
    ticket = rig.services.sessions.link("anna")
    assert cookie is not None and rig.services.sessions.find(cookie) is not None
    rig.tokens.revoke("anna")
    rig.tokens.add("anna", "carl", "submitter")
    assert rig.services.sessions.find(cookie) is None
    assert rig.services.sessions.enter(ticket) is None
    kept = rig.services.sessions.link("anna")
    with rig.services.database.snapshot() as db:
        assert db.execute("SELECT count(*) FROM browser_sessions").fetchone()[0] == 1
    assert rig.services.sessions.enter(kept) is not None
