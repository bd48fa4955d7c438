"""What studies get and keep: a place of their own, their part of the cluster, their turn."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raysearch.cli.studies import frontier
from raysearch.cluster.quota import limit_share
from raysearch.cluster.resources import ResourcePlan, ResourceRequest
from raysearch.service import commands
from raysearch.service.submission import Submission
from tests.service.fakes import HOST, FakeJobs, Site, recorded, site
from tests.service.test_api import state, submit

BASE = f"http://{HOST}:8100"


def words_of(rig: Site, job: str) -> list[str]:
    """The command line that a job runs."""
    return shlex.split(rig.jobs.commands[job].partition("; ")[2].partition(" >>")[0])


def option(words: list[str], name: str) -> str:
    (found,) = [w.partition("=")[2] for w in words if w.startswith(f"--{name}=")]
    return found


@pytest.mark.parametrize("verb", ["frontier", "confirm"])
def test_two_studies_on_one_storage_lie_in_two_places(tmp_path: Path, verb: str):
    from raysearch.workflow.sync import run_at

    stored = tmp_path / "stored"
    stored.mkdir()
    rig = site(tmp_path / "root", storage=str(stored))
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        ids = [submit(ask, concurrency=1) for _ in range(2)]
        rig.services.reconciler.reconcile()
        jobs = ids
        if verb == "confirm":
            for id_ in ids:
                recorded(rig.services.studies.run(id_), 3, concurrency=1)
                rig.ends(id_, 0)
            rig.services.reconciler.reconcile()
            for id_ in ids:
                assert ask.post(f"/v1/studies/{id_}/confirm").status_code == 200
            rig.services.reconciler.reconcile()
            jobs = [f"{i}-2" for i in ids]
        places = set()
        for job in jobs:
            words = words_of(rig, job)
            assert words[3] == verb and option(words, "storage") == str(stored)
            assert rig.jobs.environments[job]["RAYSEARCH_STORAGE"] == str(stored)
            out = option(words, "out") if verb == "frontier" else words[4]
            places.add(run_at(option(words, "storage"), Path(out)))
        assert len(places) == 2


def test_a_storage_of_rays_environment_is_not_the_operators(
    rig: Site, ask: TestClient, monkeypatch: pytest.MonkeyPatch
):
    id_ = submit(ask)
    rig.services.reconciler.reconcile()
    given = rig.jobs.environments[id_]
    assert given["RAYSEARCH_STORAGE"] == ""
    monkeypatch.setenv("RAYSEARCH_STORAGE", given["RAYSEARCH_STORAGE"])
    assert frontier.make_context("frontier", []).params["storage"] is None  # empty: none
    seen = []

    def run(words, **named):
        seen.append(named["env"])
        return subprocess.CompletedProcess(words, 0, "{}", "")

    monkeypatch.setattr(commands.subprocess, "run", run)
    monkeypatch.setenv("RAYSEARCH_STORAGE", "s3://bucket/x")
    commands.check([], {})
    assert seen[0]["RAYSEARCH_STORAGE"] == ""


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"gpus": 1, "gpus_per_trial": 1, "concurrency": 8}, 1),
        ({"gpus": 2, "gpus_per_trial": 0.5, "concurrency": 3}, 3),
        ({"gpus": 1, "gpus_per_trial": 0.1}, 10),
        ({"gpus": 2}, 2),
    ],
)
def test_trials_at_once_hold_no_more_gpus_than_are_booked(tmp_path: Path, body: dict, most: int):
    rig = site(tmp_path / "root", FakeJobs((64, 8)))
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        id_ = submit(ask, **body)
        rig.services.reconciler.reconcile()
        assert rig.services.studies.state(id_).concurrency == most
        given = rig.jobs.environments[id_]
        assert given["RAYSEARCH_GPUS"] == str(body["gpus"])
        # and whatever the driver finds out about its trials
        holds = {
            ("finetune", "a"): ResourceRequest(2.0, 1.0),
            ("finetune", "b"): ResourceRequest(0.5, 0.25),
        }
        share = limit_share(ResourcePlan(64, 1.0, holds), given)
        assert share.concurrency * max(h.gpus for h in share.holds.values()) <= body["gpus"]
        assert share.concurrency * max(h.cpus for h in share.holds.values()) <= most


def test_a_run_that_cannot_be_read_stops_no_other_and_says_so(rig: Site, ask: TestClient):
    broken = submit(ask)
    rig.services.reconciler.reconcile()
    run = recorded(rig.services.studies.run(broken), 3)
    rig.ends(broken, 0)
    rig.services.reconciler.reconcile()
    assert ask.post(f"/v1/studies/{broken}/confirm").status_code == 200
    (run / "study.yaml").write_bytes(b"\xff: [")
    other = submit(ask, rig.bert)
    rig.services.reconciler.reconcile()
    assert state(ask, other) == "running"
    reply = ask.get(f"/v1/studies/{broken}").json()
    assert reply["state"] == "failed" and "study.yaml: is not UTF-8" in reply["why"]
    assert str(rig.paths.root) not in reply["why"]
    assert ask.get("/v1/studies").status_code == 200 and ask.get("/").status_code == 200


def test_a_job_that_cannot_be_looked_at_stops_no_other(
    rig: Site, ask: TestClient, monkeypatch: pytest.MonkeyPatch
):
    bad = submit(ask, concurrency=1)
    rig.services.reconciler.reconcile()
    real = rig.jobs.look

    def look(job: str):
        if job == bad:
            raise OSError("a disk is broken")
        return real(job)

    monkeypatch.setattr(rig.jobs, "look", look)
    other = submit(ask, rig.bert)
    rig.services.reconciler.reconcile()
    assert state(ask, other) == "running"


def test_a_study_deleted_while_others_are_listed_is_left_out(
    rig: Site, ask: TestClient, monkeypatch: pytest.MonkeyPatch
):
    gone, stays = submit(ask), submit(ask)
    real = rig.services.studies.all

    def late():
        found = real()
        if len(found) > 1:
            rig.services.studies.delete(gone)
        return found

    monkeypatch.setattr(rig.services.studies, "all", late)
    listed = ask.get("/v1/studies")
    assert [s["id"] for s in listed.json()["studies"]] == [stays]
    assert ask.get("/").status_code == 200
    rig.services.reconciler.reconcile()
    assert state(ask, stays) == "running"


def test_a_list_of_many_that_wait_looks_at_each_once(tmp_path: Path):
    rig = site(tmp_path / "root", FakeJobs((0, 0)), studies=1000)
    with TestClient(rig.app, base_url=BASE) as ask:
        ask.headers["Authorization"] = f"Bearer {rig.anna}"
        ids = [submit(ask) for _ in range(60)]
        rig.services.reconciler.reconcile()
        reads, real = [], rig.services.studies.state

        def counted(id_: str):
            reads.append(id_)
            return real(id_)

        rig.services.studies.state = counted  # type: ignore[method-assign]
        found = ask.get("/v1/studies").json()["studies"]
        assert [s["id"] for s in found] == ids
        assert found[-1]["why"] == "queued: needs 1 CPU, 59 studies ahead"
        assert len(reads) <= 5 * len(ids)


def test_a_job_that_vanishes_without_a_new_record_counts_however_long_it_ran(
    tmp_path: Path,
):
    clock = [1e9]
    rig = site(tmp_path / "root", now=lambda: clock[0])
    id_ = rig.services.submissions.submit("anna", Submission()).id
    records = rig.services.studies.run(id_) / "records.jsonl"
    for attempt in (1, 2, 3):
        rig.services.reconciler.reconcile()
        assert rig.services.studies.state(id_).attempt == attempt
        clock[0] += 1000.0
        if attempt == 1:  # this one got somewhere, and counts as the first
            records.parent.mkdir()
            records.write_text("{}\n")
        rig.ends(id_, 137)
        rig.services.reconciler._monitor.look(id_, rig.services.studies.state(id_))
    last = rig.services.studies.state(id_)
    assert (last.state, last.lost) == ("failed", 3) and "3 times in a row" in last.why


def test_a_job_that_does_not_end_is_sent_another_stop_after_half_a_minute(tmp_path: Path):
    clock = [1e9]
    rig = site(tmp_path / "root", now=lambda: clock[0], monotonic=lambda: clock[0])
    id_ = rig.services.submissions.submit("anna", Submission()).id
    reconciler = rig.services.reconciler
    reconciler.reconcile()
    reconciler.stop(id_)
    stops = []
    for _ in range(7):
        reconciler.reconcile()
        rig.jobs.status[id_] = "RUNNING"  # it goes on all the same
        stops.append(len(rig.jobs.stopped))
        clock[0] += 10.0
    assert stops == [1, 1, 1, 1, 2, 2, 2]
    assert rig.services.studies.state(id_).state == "stopping"


def test_the_clusters_size_is_believed_for_five_seconds(tmp_path: Path):
    clock = [0.0]
    rig = site(tmp_path / "root", FakeJobs((1, 0)), monotonic=lambda: clock[0])
    cluster = rig.services.cluster
    assert cluster.known_room() is None and cluster.size() == (1, 0)
    rig.jobs.size = (8, 2)
    clock[0] = 5.0
    assert cluster.size() == (1, 0)
    clock[0] = 5.1
    assert cluster.size() == (8, 2)
    rig.jobs.away = True
    clock[0] = 99.0
    assert cluster.size() == (8, 2)  # as it was last seen
