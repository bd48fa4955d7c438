"""The verbs that speak to a service, over a real socket; and the operator's verbs."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from raysearch.service.database import Database
from raysearch.service.paths import Paths
from raysearch.service.serve import _greet, _ray
from raysearch.service.tokens import Tokens
from tests.service.fakes import Site, recorded, site
from tests.support.verbs import Say, refused


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A service on a port of its own, and the environment that names it."""
    rig = site(tmp_path / "root")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(rig.app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    monkeypatch.setenv("RAYSEARCH_SERVER", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("RAYSEARCH_TOKEN", rig.anna)
    yield rig
    server.should_exit = True
    thread.join(timeout=10)


def test_a_study_from_the_command_line(served: Site, say: Say, tmp_path: Path):
    table = tmp_path / "Own Texts.csv"
    table.write_text("text,label\na,b\n")
    code, out, err = say("submit", "--task", table, "--labels", "32,1k", "--draws", "0")
    assert code == 0, err
    id_ = out.partition(":")[0]
    (data,) = served.services.datasets.all("anna")
    spec = served.services.studies.spec(id_)
    assert data.file == "own-texts.csv" and list(spec.datasets) == [data.id]
    assert {"--labels=32,1000", "--draws=0"} <= set(spec.arguments)
    assert say("status")[1] == f"{out.strip()} (anna)\n".replace(": ", ": queued; ", 1)
    served.services.reconciler.reconcile()
    recorded(served.services.studies.run(id_), 12)
    code, out, _ = say("status", id_, "--json")
    assert json.loads(out)["progress"]["trials"] == 12
    (served.services.studies.folder(id_) / "log.txt").write_text("line 1\nline 2\n")
    assert say("logs", id_)[1] == "line 1\nline 2\n"
    assert say("fetch", id_, "--to", tmp_path / "got")[0] == 0
    assert {p.name for p in (tmp_path / "got").iterdir()} == {
        "records.parquet",
        "frontier.json",
        "recommend.json",
    }
    refused(say("fetch", id_, "--to", tmp_path / "got"), "is not empty")
    assert say("stop", id_)[1].startswith(f"{id_}: stopping")


def test_a_study_of_ones_own_as_a_file(served: Site, say: Say, tmp_path: Path):
    study = tmp_path / "mine.yaml"
    study.write_text("name: mine\ntrials: 3\n")
    code, out, err = say("submit", "--study", study, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made["study"] == "mine" and made["id"].startswith("toy-mine-")
    (file,) = [w for w in served.services.studies.spec(made["id"]).arguments if "study" in w]
    assert Path(file.partition("=")[2]).read_text().count("name: mine") == 1


def test_what_a_service_refuses_is_one_line(served: Site, say: Say, monkeypatch, tmp_path: Path):
    refused(say("submit", "--methods", "nope"), "options: methods: no method 'nope'")
    refused(say("submit", "--out", tmp_path), "--out: has no meaning for a service")
    refused(say("submit", "--dry-run"), "--dry-run")
    refused(say("submit", "--task", "missing.csv"), "missing.csv: cannot be read")
    refused(say("submit", "--task", "sst3"), "Did you mean 'sst2'?")
    refused(say("status", "none-1"), "no study 'none-1'")
    refused(say("stop", "../x"), "is no study's name")
    monkeypatch.setenv("RAYSEARCH_TOKEN", "rs_wrong")
    refused(say("status"), "no token, or one that is unknown")
    monkeypatch.delenv("RAYSEARCH_TOKEN")
    refused(say("status"), "no token: set RAYSEARCH_TOKEN")
    refused(say("status", "--token-file", tmp_path / "none"), "cannot be read")
    (tmp_path / "token").write_text(served.anna + "\n")
    assert say("status", "--token-file", tmp_path / "token")[1] == "no studies\n"
    monkeypatch.setenv("RAYSEARCH_TOKEN", "x")
    refused(say("status", "--server", "http://127.0.0.1:9"), "no service answers")
    refused(say("status", "--server", "127.0.0.1:9"), "must begin with http")


def test_status_of_a_folder_is_what_it_was(say: Say, tmp_path: Path):
    run = recorded(tmp_path / "run", 12)
    assert "12 of 12 trials" in say("status", run)[1]
    refused(say("status"), "name a run's folder")


def test_the_operators_verbs(say: Say, tmp_path: Path):
    root = tmp_path / "root"
    code, out, _ = say("token", "add", "anna", "--root", root, "--role", "reader", "--days", "2")
    assert code == 0 and out.startswith("rs_")
    assert Tokens(Database(Paths(root).database)).find(out.strip()) is not None
    assert say("token", "ls", "--root", root)[1].startswith("anna: reader of anna, until 20")
    link = say("token", "link", "anna", "--root", root)[1]
    assert link.startswith("http://127.0.0.1:8100/enter?ticket=")
    refused(say("token", "link", "bert", "--root", root), "no token 'bert'")
    refused(say("token", "add", "anna", "--root", root), "already")
    assert say("token", "revoke", "anna", "--root", root)[1] == "revoked anna\n"
    refused(say("token", "revoke", "anna", "--root", root), "no token 'anna'")
    refused(say("serve", "--root", root, "--max-mb", "0"), "--max-mb")
    refused(say("serve", "--root", root, "--address", "auto:1"), "must be a dashboard's")
    refused(say("serve", "--root", root, "--data-dir", tmp_path / "no"), "no folder")
    with Paths(root).alone():
        refused(say("serve", "--root", root), "another service runs over this root")
    (tmp_path / "file").write_text("")
    refused(say("serve", "--root", tmp_path / "file"), "cannot be used as a root")


def test_the_first_start_shows_a_token_once_and_warns_off_loopback(tmp_path: Path):
    rig = site(tmp_path / "root")
    lines: list[str] = []
    _greet(rig.services.settings, "127.0.0.1", 8100, rig.services, lines.append)
    assert "first token" not in "\n".join(lines) and lines[0] == "service: http://127.0.0.1:8100"
    assert "enter?ticket=" in lines[1]
    for known in rig.tokens.all():
        rig.tokens.revoke(known.name)
    lines.clear()
    _greet(rig.services.settings, "0.0.0.0", 8100, rig.services, lines.append)
    token = lines[0].rpartition(" ")[2]
    found = rig.tokens.find(token)
    assert found is not None and (found.owner, found.role) == ("owner", "submitter")
    assert lines[1].startswith("warning: listens on 0.0.0.0 without TLS")
    lines.clear()
    _greet(rig.services.settings, "127.0.0.1", 8100, rig.services, lines.append)
    assert token not in "\n".join(lines)


def test_an_address_of_ones_own_starts_no_ray(tmp_path: Path):
    jobs, revive, environment = _ray(tmp_path, "http://127.0.0.1:9", print, None)
    assert environment == {"RAY_AUTH_MODE": "token"} and revive() is None
    assert not (tmp_path / "ray.json").exists()
    with pytest.raises(Exception, match="127.0.0.1:9"):
        jobs.look("x")


class Broken:
    """A server of bare sockets: each connection gets the next of these bytes, then its end."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, args=(answers,), daemon=True).start()

    def _serve(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            link, _ = self._socket.accept()
            with link:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += link.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                if b"content-length: " in head.lower():
                    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                    while len(body) < length:
                        body += link.recv(65536)
                self.requests.append(head)
                link.sendall(answer)
        self._socket.close()


def whole(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def events(*studies: object, end: bool = False) -> bytes:
    """A stream that breaks off, or ends as it should."""
    out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [f"event: study\ndata: {json.dumps(s)}\n\n".encode() for s in studies]
    pieces += [b'event: end\ndata: "done"\n\n'] * end
    out += b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return out + (b"0\r\n\r\n" if end else b"ff\r\nhalf a pie")


STUDY = {"id": "toy-1", "state": "queued", "verb": "frontier", "why": ""}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysearch.cli.server.PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("RAYSEARCH_TOKEN", "rs_x")


def keys(rig: Broken) -> list[bytes]:
    """The key of each submission."""
    return [
        line.partition(b": ")[2]
        for head in rig.requests
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"idempotency-key: ")
    ]


def test_a_submission_whose_answer_is_lost_is_sent_again_as_the_same(quick: None, say: Say):
    busy = whole({"error": "is being checked"}, "409 Conflict")
    rig = Broken(b"", busy, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", whole(STUDY))
    code, out, err = say("submit", "--server", rig.url)
    assert (code, out) == (0, "toy-1: queued\n"), err
    sent = keys(rig)
    assert len(sent) == 4 and len(set(sent)) == 1 and len(sent[0]) >= 16
    rig = Broken(busy)  # of others: it is not sent again by itself
    refused(say("submit", "--server", rig.url), "is being checked")
    assert len(keys(rig)) == 1 and keys(rig)[0] != sent[0]
    rig = Broken(b"", b"", b"")
    refused(say("submit", "--server", rig.url), "no service answers")


def test_following_outlives_a_service_that_is_started_again(quick: None, say: Say):
    done = {**STUDY, "state": "done"}
    running = {**STUDY, "state": "running"}
    rig = Broken(whole(STUDY), events(STUDY, running), b"", events(running), events(done, end=True))
    code, out, err = say("submit", "--server", rig.url, "--follow")
    assert code == 0, err
    assert out.splitlines() == [
        "toy-1: queued",
        "toy-1: queued",
        "toy-1: running",
        "toy-1: done",
    ]


def test_logs_are_followed_over_a_restart(quick: None, say: Say, monkeypatch: pytest.MonkeyPatch):
    text = b"HTTP/1.1 200 OK\r\nX-Next: 5\r\nContent-Length: %d\r\n\r\n%s"
    done = whole({**STUDY, "state": "done"})
    rig = Broken(b"", done, text % (5, b"a bc\n"), b"", text % (0, b""))
    code, out, err = say("logs", "toy-1", "--follow", "--server", rig.url)
    assert (code, out) == (0, "a bc\n"), err


def test_half_a_file_is_one_line_and_no_file(quick: None, say: Say, tmp_path: Path):
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nPAR1"
    rig = Broken(whole(STUDY), half)
    refused(say("fetch", "toy-1", "--to", tmp_path / "x", "--server", rig.url), "broke off")
    assert list((tmp_path / "x").iterdir()) == []


def test_revoking_a_token_forgets_its_links(say: Say, tmp_path: Path):
    root = tmp_path / "root"
    assert say("token", "add", "anna", "--root", root)[0] == 0
    assert say("token", "link", "anna", "--root", root)[0] == 0
    database = Database(Paths(root).database)

    def count() -> int:
        with database.snapshot() as db:
            return int(db.execute("SELECT count(*) FROM browser_sessions").fetchone()[0])

    assert count() == 1
    assert say("token", "revoke", "anna", "--root", root)[0] == 0
    assert count() == 0


def test_a_storage_of_the_environment_is_the_services(say: Say, tmp_path: Path, monkeypatch):
    seen = []
    monkeypatch.setattr("raysearch.service.serve.serve", lambda s, *rest: seen.append(s))
    monkeypatch.setenv("RAYSEARCH_STORAGE", "s3://bucket/x")
    assert say("serve", "--root", tmp_path / "root")[0] == 0
    assert seen[0].stored() == ["--storage=s3://bucket/x"]
