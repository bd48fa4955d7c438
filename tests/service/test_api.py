"""The routes over a fake Ray: data sets, studies' lives, who may do what, and restarts."""

from __future__ import annotations

import asyncio
import os
import shlex
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raysearch.errors import InputError
from raysearch.service import commands, submissions
from raysearch.service.datasets import UNDER_WAY, TooManyUploads
from raysearch.service.job_monitor import LOST
from tests.service.fakes import HOST, FakeJobs, Site, expire, ran, site

BASE = f"http://{HOST}:8100"
CSV = b"text,label\n" + b"".join(b"row %d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(80))


def submit(ask: TestClient, token: str | None = None, **body: object) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = ask.post("/v1/studies", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def state(ask: TestClient, id_: str) -> str:
    return str(ask.get(f"/v1/studies/{id_}").json()["state"])


def test_a_data_set_is_its_content(ask: TestClient, rig: Site):
    first = ask.post("/v1/datasets?name=My Tickets.csv&days=2", content=CSV).json()
    again = ask.post("/v1/datasets?name=other.csv&days=9", content=CSV).json()
    assert first["id"] == again["id"] and again["expires"] > first["expires"]
    assert again["file"] == "my-tickets.csv" and first["bytes"] == len(CSV)
    (listed,) = ask.get("/v1/datasets").json()["datasets"]
    assert listed == ask.get(f"/v1/datasets/{first['id']}").json() == again
    path = rig.paths.datasets / "anna" / first["id"] / "my-tickets.csv"
    assert path.read_bytes() == CSV
    assert ask.delete(f"/v1/datasets/{first['id']}").json() == {"deleted": first["id"]}
    assert not path.exists() and ask.get("/v1/datasets").json() == {"datasets": []}


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("name=x.exe", CSV),
        ("name=x.csv", b""),
        ("name=x.csv&days=0", CSV),
        ("name=x.csv&days=nan", CSV),
        ("name=x.csv&days=999", CSV),
        ("", CSV),
        ("name=" + "x" * 300 + ".csv", CSV),
    ],
)
def test_a_data_set_that_cannot_be(ask: TestClient, rig: Site, query: str, content: bytes):
    answer = ask.post(f"/v1/datasets?{query}", content=content)
    assert answer.status_code == 422 and set(answer.json()) == {"error"}
    assert not list(rig.paths.datasets.glob("*/*"))


@pytest.mark.parametrize(
    "name", ["../../x.csv", "/etc/cron.d/x.csv", "..csv", "a\0b.csv", "😀.csv"]
)
def test_no_name_of_a_file_leads_out_of_its_folder(ask: TestClient, rig: Site, name: str):
    made = ask.post("/v1/datasets", params={"name": name}, content=CSV).json()
    (file,) = [p for p in rig.paths.root.rglob("*.csv")]
    assert file.parent == rig.paths.datasets / "anna" / made["id"]


def test_a_data_set_is_its_owners_alone_and_expires(ask: TestClient, rig: Site):
    made = ask.post("/v1/datasets?name=a.csv", content=CSV).json()["id"]
    other = {"Authorization": f"Bearer {rig.bert}"}
    assert ask.get("/v1/datasets", headers=other).json() == {"datasets": []}
    for method in ("GET", "DELETE"):
        assert ask.request(method, f"/v1/datasets/{made}", headers=other).status_code == 404
    refused = ask.post("/v1/studies", json={"dataset": made}, headers=other)
    assert refused.status_code == 404 and "no data set" in refused.json()["error"]
    id_ = submit(ask, dataset=made)
    assert ask.delete(f"/v1/datasets/{made}").status_code == 409  # a study reads it
    file = rig.paths.datasets / "anna" / made / "a.csv"
    expire(rig, made)
    rig.services.reconciler.reconcile()
    assert file.exists()
    ask.post(f"/v1/studies/{id_}/stop")
    rig.services.reconciler.reconcile()
    rig.ends(id_, 143)
    rig.services.reconciler.reconcile()
    assert state(ask, id_) == "stopped" and not file.exists()


def test_an_owner_keeps_so_many_and_no_more(tmp_path: Path):
    rig = site(tmp_path / "root", datasets=1, studies=2)
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        assert ask.post("/v1/datasets?name=a.csv", content=CSV).status_code == 200
        assert ask.post("/v1/datasets?name=a.csv", content=CSV + b"x,a\n").status_code == 422
        submit(ask), submit(ask)
        full = ask.post("/v1/studies", json={})
        assert full.status_code == 409 and "anna has 2 studies already" in full.json()["error"]
        submit(ask, rig.bert)


def test_a_submission_that_the_command_line_refuses_is_refused_in_its_words(
    ask: TestClient, rig: Site
):
    answer = ask.post("/v1/studies", json={"methods": ["nope"]})
    assert answer.status_code == 422
    assert answer.json() == {"error": "options: methods: no method 'nope'"}
    assert list(rig.paths.studies.iterdir()) == []


def test_a_study_from_its_submission_to_its_end(ask: TestClient, rig: Site):
    id_ = submit(ask, trials=2, labels=[32], concurrency=3)
    reply = ask.get(f"/v1/studies/{id_}").json()
    assert reply["state"] == "queued" and reply["why"].startswith("queued: ")
    assert reply["quote"] == {"trials": 2, "flops": 1e9, "labels": 64, "hours": 0.1}
    rig.services.reconciler.reconcile()
    assert state(ask, id_) == "running" and list(rig.jobs.commands) == [id_]
    command = rig.jobs.commands[id_].partition("; ")[2].partition(" >>")[0]
    words = shlex.split(command)
    run = rig.paths.studies / id_ / id_
    assert words[1:4] == ["-m", "raysearch", "frontier"]
    assert {f"--out={run}", "--yes", "--address=auto", "--concurrency=3"} <= set(words)
    assert "--gpus-per-trial=0" in words and rig.jobs.environments[id_]["RAYSEARCH_CPUS"] == "3"
    assert {"--task=toy", "--trials=2", "--labels=32"} <= set(words)
    assert ask.delete(f"/v1/studies/{id_}").status_code == 409
    assert ask.post(f"/v1/studies/{id_}/resume").status_code == 409
    (rig.paths.studies / id_ / "log.txt").write_text(f"at work in {run}\n")
    log = ask.get(f"/v1/studies/{id_}/logs")
    assert log.text == f"at work in studies/{id_}/{id_}\n" and log.headers["x-next"] != "0"
    rig.ends(id_, 0)
    rig.services.reconciler.reconcile()
    assert state(ask, id_) == "done"
    assert ask.post(f"/v1/studies/{id_}/stop").status_code == 409
    for path in ("frontier", "recommend", "records"):
        assert ask.get(f"/v1/studies/{id_}/{path}").status_code == 404  # no records yet
    assert ask.get(f"/v1/studies/{id_}/model").status_code == 404
    assert ask.post(f"/v1/studies/{id_}/confirm").status_code == 409
    assert ask.delete(f"/v1/studies/{id_}").json() == {"deleted": id_}
    assert ask.get(f"/v1/studies/{id_}").status_code == 404
    assert list(rig.paths.studies.iterdir()) == []


def test_a_study_that_fails_says_why_and_goes_on_when_asked(ask: TestClient, rig: Site):
    id_ = submit(ask)
    rig.services.reconciler.reconcile()
    root = rig.paths.root
    rig.ends(id_, 2, f"x\nraysearch: error: {root}/studies/x: a disk is full\nbye\n")
    rig.services.reconciler.reconcile()
    reply = ask.get(f"/v1/studies/{id_}").json()
    assert (reply["state"], reply["why"]) == ("failed", "studies/x: a disk is full")
    run = rig.services.studies.run(id_)
    run.mkdir()
    (run / "study.yaml").write_text("name: x\n")
    assert ask.post(f"/v1/studies/{id_}/resume").json()["state"] == "queued"
    rig.services.reconciler.reconcile()
    words = rig.jobs.commands[f"{id_}-2"]
    assert "--task" not in words and f"--out={run}" in words


def test_only_the_owner_stops_deletes_reads_logs_and_takes_the_model(ask: TestClient, rig: Site):
    id_ = submit(ask)
    other = {"Authorization": f"Bearer {rig.bert}"}
    for method, path in [
        *(("POST", p) for p in ("/stop", "/resume", "/confirm", "/export")),
        ("DELETE", ""),
        ("GET", "/logs"),
        ("GET", "/model"),
    ]:
        answer = ask.request(method, f"/v1/studies/{id_}{path}", headers=other)
        assert answer.status_code == 403 and "is anna's" in answer.json()["error"], path
    assert ask.get(f"/v1/studies/{id_}", headers=other).status_code == 200
    assert len(ask.get("/v1/studies?owner=bert").json()["studies"]) == 0


def test_a_waiting_study_stops_at_once_and_a_running_one_by_its_driver(ask: TestClient, rig: Site):
    rig.jobs.size = (1, 0)
    first, second = submit(ask), submit(ask)
    rig.services.reconciler.reconcile()
    why = ask.get(f"/v1/studies/{second}").json()["why"]
    assert why == "queued: needs 1 CPU, next"
    assert ask.post(f"/v1/studies/{second}/stop").json()["state"] == "stopped"
    assert ask.post(f"/v1/studies/{first}/stop").json()["state"] == "stopping"
    rig.services.reconciler.reconcile()
    assert rig.jobs.stopped == [first]
    rig.services.reconciler.reconcile()
    assert state(ask, first) == "stopped"


def test_a_restarted_service_knows_every_study(ask: TestClient, rig: Site):
    ids = [submit(ask), submit(ask, rig.bert)]
    rig.services.reconciler.reconcile()
    again = site(rig.paths.root, rig.jobs)
    again.services.reconciler.reconcile()
    assert [again.services.studies.state(i).state for i in ids] == ["running", "running"]
    again.ends(ids[0], 0)
    again.services.reconciler.reconcile()
    assert again.services.studies.state(ids[0]).state == "done"
    assert len(again.jobs.commands) == 2  # nothing was started twice


def test_a_crash_between_the_file_and_ray_submits_once(rig: Site, ask: TestClient):
    id_ = submit(ask)
    rig.jobs.away = True
    rig.jobs.size = (4, 0)
    cluster = rig.services.cluster
    cluster._size = (time.monotonic(), (4, 0))  # Ray goes away right after its size was read
    assert rig.services.reconciler.reconcile() and cluster.trouble == "Ray does not answer"
    assert rig.services.studies.state(id_).state == "starting" and not rig.jobs.commands
    again = site(rig.paths.root, rig.jobs)
    rig.jobs.away = False
    again.services.reconciler.reconcile()
    again.services.reconciler.reconcile()
    assert list(rig.jobs.commands) == [id_]
    assert again.services.studies.state(id_).state == "running"


def test_jobs_that_vanish_with_their_head_are_taken_up_again(rig: Site, ask: TestClient):
    id_ = submit(ask)
    reconciler = rig.services.reconciler
    for attempt in range(1, LOST + 1):
        reconciler.reconcile()
        assert rig.services.studies.state(id_).attempt == attempt
        rig.jobs.status.clear()  # a new head knows no job
    reconciler.reconcile()
    last = rig.services.studies.state(id_)
    assert last.state == "failed" and "vanished" in last.why
    assert list(rig.jobs.commands) == [id_, f"{id_}-2", f"{id_}-3"] and LOST == 3


def test_a_study_whose_driver_still_lives_is_not_started_a_second_time(rig: Site, ask: TestClient):
    import fcntl

    id_ = submit(ask)
    rig.services.reconciler.reconcile()
    run = rig.paths.studies / id_ / id_
    run.mkdir()
    handle = os.open(run / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    rig.jobs.status.clear()
    rig.services.reconciler.reconcile()
    assert rig.services.studies.state(id_).state == "running" and len(rig.jobs.commands) == 1
    os.close(handle)
    rig.services.reconciler.reconcile()
    assert rig.services.studies.state(id_).job == f"{id_}-2"


def test_two_owners_run_side_by_side_within_their_cap(tmp_path: Path):
    rig = site(tmp_path / "root", FakeJobs((4, 0)), owner_trials=2)
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        ids = [submit(ask) for _ in range(3)]
        other = submit(ask, rig.bert)
        rig.services.reconciler.reconcile()
        assert [state(ask, i) for i in (*ids, other)] == ["running", "queued", "queued", "running"]
        why = ask.get(f"/v1/studies/{ids[2]}").json()["why"]
        assert why == "queued: anna has 2 of 2 trials at work, 1 study ahead"
        rig.ends(ids[0], 0)
        rig.services.reconciler.reconcile()
        rig.services.reconciler.reconcile()
        assert state(ask, ids[1]) == "running"


def test_events_follow_a_study_to_its_end(rig: Site, ask: TestClient):
    id_ = submit(ask)
    rig.services.reconciler.stop(id_)
    text = ask.get(f"/v1/studies/{id_}/events")
    assert text.headers["content-type"].startswith("text/event-stream")
    kinds = [x for x in text.text.splitlines() if x.startswith("event: ")]
    assert kinds == ["event: study", "event: end"] and '"stopped"' in text.text
    assert rig.services.streams == 0
    rig.services.streams = rig.services.settings.streams
    assert ask.get(f"/v1/studies/{id_}/events").status_code == 409


@pytest.mark.parametrize(
    "id_", ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", "A", "x" * 200, ".hidden"]
)
def test_no_id_leads_out_of_the_studies(ask: TestClient, id_: str):
    for path in ("", "/frontier", "/logs", "/events", "/records"):
        assert ask.get(f"/v1/studies/{id_}{path}").status_code in (404, 405, 307), path
    assert ask.get(f"/studies/{id_}/dashboard/").status_code == 404


def test_the_shell_keeps_output_and_code_of_a_program_that_is_stopped(tmp_path: Path):
    import signal
    import subprocess
    import sys

    code = "import signal,sys,time\nprint('up', flush=True)\n"
    code += "signal.signal(signal.SIGTERM, lambda *a: sys.exit(130))\ntime.sleep(60)"
    folder = tmp_path / "a 'b"
    folder.mkdir()
    text = commands.shell([sys.executable, "-c", code], folder, "job-1")
    child = subprocess.Popen(text, shell=True, start_new_session=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (folder / "log.txt").exists():
        time.sleep(0.05)
    while time.monotonic() < deadline and "up" not in (folder / "log.txt").read_text():
        time.sleep(0.05)
    time.sleep(0.2)
    os.killpg(child.pid, signal.SIGTERM)
    assert child.wait(timeout=30) == 130
    assert commands.exit_code(folder, "job-1") == 130
    assert commands.exit_code(folder, "job-2") is None


def test_a_study_keeps_to_the_gpus_that_it_waits_for(tmp_path: Path):
    rig = site(tmp_path / "root", FakeJobs((8, 2)))
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        first = submit(ask, gpus=2, gpus_per_trial=0.5)
        second = submit(ask, rig.bert, gpus=1)
        third = submit(ask, rig.bert)
        rig.services.reconciler.reconcile()
        assert state(ask, first) == "running"
        assert "--gpus-per-trial=0.5" in rig.jobs.commands[first]
        assert rig.services.studies.state(first).concurrency == 4  # as many as they hold
        why = ask.get(f"/v1/studies/{second}").json()["why"]
        assert why == "queued: needs 1 GPU, next"
        assert state(ask, third) == "running"
        assert "--gpus-per-trial=0" in rig.jobs.commands[third]
        rig.ends(first, 0)
        rig.services.reconciler.reconcile()
        rig.services.reconciler.reconcile()
        assert state(ask, second) == "running"
        assert "--gpus-per-trial" not in rig.jobs.commands[second]
        wrong = ask.post("/v1/studies", json={"gpus": 1, "gpus_per_trial": 2})
        assert wrong.status_code == 422 and "cannot be above gpus" in wrong.json()["error"]


def test_half_a_character_is_a_sentence_too(ask: TestClient, rig: Site):
    id_ = submit(ask)
    rig.services.reconciler.stop(id_)
    raw = {"Content-Type": "application/json"}
    path = f"/v1/studies/{id_}/export"
    answer = ask.post(path, content=b'{"format": "\\ud800"}', headers=raw)
    assert answer.status_code == 422 and "no format '?'" in answer.json()["error"], answer.text


def slow_checks(rig: Site, monkeypatch) -> tuple[threading.Event, threading.Semaphore]:
    """Checks last until the event is set; the semaphore counts those that have begun."""
    gate, entered = threading.Event(), threading.Semaphore(0)

    def slow(words, environment):
        entered.release()
        gate.wait(30)
        return {"task": "toy"}

    monkeypatch.setattr(rig.services.submissions, "_check", slow)
    return gate, entered


def test_too_many_submissions_at_once_are_sent_away_and_readers_are_heard(
    rig: Site, ask: TestClient, monkeypatch
):
    gate, entered = slow_checks(rig, monkeypatch)
    with ThreadPoolExecutor(12) as pool:
        owners = [{"Authorization": f"Bearer {t}"} for t in (rig.anna, rig.bert)]
        sent = [
            pool.submit(ask.post, "/v1/studies", json={}, headers=owners[i < 5]) for i in range(12)
        ]
        assert entered.acquire(timeout=30) and entered.acquire(timeout=30)
        assert ask.get("/v1/studies").status_code == 200
        while sum(s.done() for s in sent) < 4:
            time.sleep(0.02)
        gate.set()
        codes = [Counter(s.result().status_code for s in part) for part in (sent[:5], sent[5:])]
    # 5 of one owner's and 7 of the other's: each has half of the line, however many come first
    assert codes == [{200: 4, 409: 1}, {200: 4, 409: 3}]


def test_checks_that_take_long_hold_up_nobody_for_ever(rig: Site, ask: TestClient, monkeypatch):
    monkeypatch.setattr(submissions, "TURN_SECONDS", 0.05)
    for _ in range(submissions.AT_ONCE):
        rig.services.submissions._turns.acquire()
    answer = ask.post("/v1/studies", json={})
    assert answer.status_code == 409 and "send it again" in answer.json()["error"]
    assert list(rig.paths.studies.iterdir()) == []
    rig.services.submissions._turns.release()
    submit(ask)


def test_a_submission_that_is_sent_again_makes_no_second_study(
    rig: Site, ask: TestClient, monkeypatch
):
    key = {"Idempotency-Key": "abc"}
    first = ask.post("/v1/studies", json={}, headers=key).json()["id"]
    assert ask.post("/v1/studies", json={}, headers=key).json()["id"] == first
    again = site(rig.paths.root, rig.jobs)  # a restarted service knows it too
    with TestClient(again.app, base_url=BASE, headers=ask.headers) as client:
        assert client.post("/v1/studies", json={}, headers=key).json()["id"] == first
    other = {**key, "Authorization": f"Bearer {rig.bert}"}
    assert ask.post("/v1/studies", json={}, headers=other).json()["id"] != first
    assert ask.post("/v1/studies", json={}).json()["id"] != first
    for bad in ("x" * 101, "a\tb"):
        answer = ask.post("/v1/studies", json={}, headers={"Idempotency-Key": bad})
        assert answer.status_code == 422 and "Idempotency-Key" in answer.json()["error"]
    gate, entered = slow_checks(rig, monkeypatch)
    key = {"Idempotency-Key": "slow"}
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(ask.post, "/v1/studies", json={}, headers=key)
        assert entered.acquire(timeout=30)
        assert ask.post("/v1/studies", json={}, headers=key).status_code == 409
        gate.set()
        assert sent.result().status_code == 200
    assert len(rig.services.studies.ids()) == 4


def test_more_gpus_than_the_cluster_can_ever_have_are_refused(tmp_path: Path):
    rig = site(tmp_path / "root", FakeJobs((8, 2)))
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        answer = ask.post("/v1/studies", json={"gpus": 3})
        assert answer.status_code == 422 and "at most 2 fit" in answer.json()["error"]
        submit(ask, gpus=2)
        rig.jobs.away = True  # nobody knows: it waits
        rig.services.cluster.forget_size()
        submit(ask, gpus=3)


def test_an_expired_data_set_that_a_study_reads_is_renewed(ask: TestClient, rig: Site):
    made = ask.post("/v1/datasets?name=a.csv", content=CSV).json()["id"]
    id_ = submit(ask, dataset=made)
    expire(rig, made)
    again = ask.post("/v1/datasets?name=b.csv", content=CSV)
    assert again.status_code == 200 and again.json()["file"] == "a.csv"
    assert ask.get(f"/v1/datasets/{made}").status_code == 200
    assert rig.services.studies.spec(id_).datasets == [made]


def test_uploads_at_once_do_not_pass_the_count(tmp_path: Path):
    rig = site(tmp_path / "root", datasets=2)
    datasets = rig.services.datasets

    async def go() -> tuple[list[object], object]:
        gate = asyncio.Event()

        async def body(text: bytes):
            yield text
            await gate.wait()

        sent = [
            asyncio.create_task(datasets.add("anna", "a.csv", 1.0, body(b"%d" % i)))
            for i in range(UNDER_WAY)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(TooManyUploads, match="uploads 4 files already"):
            await datasets.add("anna", "a.csv", 1.0, body(b"x"))
        gate.set()
        other = await datasets.add("bert", "a.csv", 1.0, body(b"x"))
        return await asyncio.gather(*sent, return_exceptions=True), other

    ended, _ = ran(go())
    assert sum(isinstance(e, InputError) for e in ended) == UNDER_WAY - 2
    assert len(datasets.all("anna")) == 2 and len(datasets.all("bert")) == 1
    assert not list(rig.paths.datasets.glob("*/.*"))


def test_half_an_upload_is_gone_after_a_restart(rig: Site):
    half = rig.paths.datasets / "anna" / ".0123"
    half.mkdir(parents=True)
    (half / "a.csv").write_text("x")
    site(rig.paths.root, rig.jobs)
    assert not half.exists()


@pytest.mark.parametrize("how", ["deleted", "expired"])
def test_a_data_set_that_goes_while_a_submission_is_checked(
    rig: Site, ask: TestClient, monkeypatch, how: str
):
    made = ask.post("/v1/datasets?name=a.csv", content=CSV).json()["id"]
    file = rig.paths.datasets / "anna" / made / "a.csv"

    def check(words, environment):
        if how == "deleted":
            assert ask.delete(f"/v1/datasets/{made}").status_code == 200
        else:
            expire(rig, made)
            rig.services.reconciler.reconcile()
        return {"task": "a"}

    monkeypatch.setattr(rig.services.submissions, "_check", check)
    answer = ask.post("/v1/studies", json={"dataset": made})
    assert answer.status_code == 404 and "no data set" in answer.json()["error"]
    assert rig.services.studies.ids() == [] and not file.exists()
