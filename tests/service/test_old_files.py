"""A root of the releases that kept JSON files: read once, whole, and as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from raysearch.errors import InputError
from raysearch.service import old_files
from raysearch.service.database import Database
from raysearch.service.paths import Paths
from raysearch.service.study_repository import StudyRepository
from raysearch.service.tokens import Tokens, digest
from tests.service.fakes import HOST, FakeJobs, Site, audit, site
from tests.service.test_database import ended, killed, process, sound
from tests.support.verbs import Say, refused

OLD = Path(__file__).resolve().parents[1] / "fixtures" / "old_service_root"
EXPECTED = json.loads((OLD / "expected.json").read_text())
"""What the earlier release answered about this root."""
MOMENT = 1796063000.0
"""When it was made [s since 1970]."""
ANNA, BERT, LATE = (f"rs_fixture-{name}" for name in ("anna", "bert", "late"))
"""Words that stand for tokens; the root has their hashes."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A copy of the old root, with the modes that a repository does not keep."""
    root = tmp_path / "root"
    shutil.copytree(OLD / "root", root)
    for name in old_files.LISTS:
        (root / name).chmod(0o600)
    return Paths(root)


def opened(paths: Paths, now: float = MOMENT) -> Site:
    return site(paths.root, FakeJobs((0, 0)), now=lambda: now)


def old_left(paths: Paths) -> list[str]:
    return sorted(p.relative_to(paths.root).as_posix() for p in old_files.find(paths))


def test_an_old_root_opens_and_answers_as_before(paths: Paths, capsys: pytest.CaptureFixture[str]):
    rig = opened(paths)
    with TestClient(rig.app, base_url=f"http://{HOST}:8100") as ask:
        ask.headers["Authorization"] = f"Bearer {ANNA}"
        studies = ask.get("/v1/studies").json()["studies"]
        for found, known in zip(studies, EXPECTED["studies"], strict=True):
            if found["state"] == "queued":  # why it waits is this cluster's business
                assert found["why"].startswith("queued: ")
                found, known = {**found, "why": ""}, {**known, "why": ""}
            assert found == known
        states = rig.services.studies
        assert {i: [s.state for s in states.states(i)] for i in states.ids()} == EXPECTED["states"]
        assert ask.get("/v1/datasets").json()["datasets"] == EXPECTED["datasets"]
        done = next(s["id"] for s in studies if s["state"] == "done")
        assert ask.get(f"/v1/studies/{done}").json()["progress"] == EXPECTED["progress"]
        again = ask.post("/v1/studies", json={}, headers={"Idempotency-Key": "abc"})
        assert again.json()["id"] == done
        bert = {"Authorization": f"Bearer {BERT}"}
        assert ask.get("/v1/studies", headers=bert).status_code == 200
        late = {"Authorization": f"Bearer {LATE}"}
        assert ask.get("/v1/studies", headers=late).status_code == 200
    # what was broken is said once, left as it is, and holds nobody up
    left = ["studies/toy-broken-00000000/states.jsonl"]
    assert old_left(paths) == left
    assert capsys.readouterr().err == f"{left[0]}: cannot be read and is left out\n"
    assert (paths.studies / "toy-broken-00000000" / "spec.json").is_file()


def test_each_field_of_the_old_files_is_in_the_database(paths: Paths):
    tokens = json.loads((paths.root / "tokens.json").read_text())
    lines = (paths.root / "audit.jsonl").read_text().splitlines()
    specs, histories = {}, {}
    for folder in paths.studies.iterdir():
        if "broken" not in folder.name:
            specs[folder.name] = json.loads((folder / "spec.json").read_text())
            text = (folder / "states.jsonl").read_text().splitlines()
            histories[folder.name] = [json.loads(x) for x in text if x.endswith("}")]
    rig = opened(paths)
    as_dict = lambda value: {n: getattr(value, n) for n in value.__slots__}  # noqa: E731
    assert [as_dict(t) for t in rig.tokens.all()] == tokens
    assert [json.dumps(as_dict(line)) for line in audit(rig)] == lines
    studies = rig.services.studies
    assert {i: as_dict(studies.spec(i)) for i in studies.ids()} == specs
    assert {i: [as_dict(s) for s in studies.states(i)] for i in studies.ids()} == histories
    assert len(specs) == 6 and len(lines) == 16 and len(tokens) == 4


def test_links_and_browsers_are_taken_over_and_those_of_no_token_are_not(paths: Paths):
    rig = opened(paths)
    sessions = rig.services.sessions
    found = sessions.find("fixture-visit")
    assert found is not None and found.name == "bert"
    cookie = sessions.enter("fixture-link")
    assert cookie is not None and sessions.enter("fixture-link") is None
    assert sessions.enter("fixture-gone-link") is None
    with rig.services.database.snapshot() as db:
        kept = {row["sha256"] for row in db.execute("SELECT sha256 FROM browser_sessions")}
    assert kept == {digest("fixture-visit"), digest(cookie)}
    later = opened(paths, MOMENT + 86400 * 2)
    assert later.tokens.find(LATE) is None and later.services.sessions.find("fixture-visit") is None


def test_a_study_at_work_and_one_that_waits_go_on(paths: Paths):
    rig = opened(paths)
    at_work = next(s["id"] for s in EXPECTED["studies"] if s["state"] == "running")
    waiting = [s["id"] for s in EXPECTED["studies"] if s["state"] == "queued"]
    rig.jobs.size = (8, 0)
    rig.jobs.status[at_work] = "RUNNING"
    rig.services.reconciler.reconcile()
    state = rig.services.studies.state
    # both are bert's, and the first takes what is free
    assert [state(i).state for i in (at_work, *waiting)] == ["running", "running", "queued"]
    assert set(rig.jobs.commands) == set(waiting[:1])
    rig.ends(at_work, 0)
    rig.services.reconciler.reconcile()
    assert state(at_work).state == "done"


def test_it_is_read_once(paths: Paths):
    first = opened(paths)
    first.tokens.revoke("bert")
    running = next(s["id"] for s in EXPECTED["studies"] if s["state"] == "running")
    first.services.reconciler.stop(running)
    count = len(audit(first))
    names = {p.name for p in paths.root.iterdir()}
    assert {"tokens.json.imported", "visits.json.imported", "audit.jsonl.imported"} <= names
    # a crash before the files had their suffix: what is noted is not read again
    for path in [*paths.root.rglob("*.imported")]:
        shutil.copy2(path, path.with_name(path.name.removesuffix(".imported")))
    again = opened(paths)
    assert [t.name for t in again.tokens.all()] == ["anna", "looker", "late"]
    assert again.services.studies.state(running).state == "stopping"
    assert len(audit(again)) == count
    assert old_left(paths) == ["studies/toy-broken-00000000/states.jsonl"]


def test_a_folder_that_was_mended_is_read_at_the_next_start(paths: Paths):
    opened(paths)
    name = "toy-broken-00000000"
    whole = json.loads((OLD / "root" / "studies" / "toy-torn-00000000" / "spec.json").read_text())
    (paths.studies / name / "spec.json").write_text(json.dumps({**whole, "id": name}))
    assert name in opened(paths).services.studies.ids()
    assert old_left(paths) == []


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("[]", 0o644, "mode is 0644, must be 0600"),
        ("[", 0o600, "cannot be read"),
        ('[{"name": "x"}]', 0o600, "cannot be read"),
        ('[{"name":"x","owner":"x","role":"root","sha256":"","created":1,"expires":1}]', 0o600,
         "wrong or a doubled value"),
    ],
)  # fmt: skip
def test_tokens_that_cannot_be_read_stop_the_start(
    paths: Paths, text: str, mode: int, sentence: str
):
    (paths.root / "tokens.json").write_text(text)
    (paths.root / "tokens.json").chmod(mode)
    with pytest.raises(InputError, match=sentence) as e:
        opened(paths)
    assert "\n" not in str(e.value) and (paths.root / "tokens.json").exists()
    assert StudyRepository(Database(paths.database), paths).ids() == []  # all of it or nothing


def test_the_token_verb_reads_an_old_root_unless_an_old_service_runs(paths: Paths, say: Say):
    with paths.alone():
        refused(say("token", "ls", "--root", paths.root), "a service of an earlier release runs")
    assert (paths.root / "tokens.json").exists()
    listed = say("token", "ls", "--root", paths.root)[1].splitlines()
    assert [x.partition(":")[0] for x in listed] == ["anna", "bert", "looker", "late"]
    assert not (paths.root / "tokens.json").exists()
    with paths.alone():  # nothing is left to be read: it works beside a service
        assert say("token", "revoke", "bert", "--root", paths.root)[0] == 0


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_reads_an_old_root_loses_nothing(paths: Paths):
    before = old_left(paths)
    killed(
        paths,
        """
        from raysearch.service import old_files, study_repository
        real = study_repository.insert
        study_repository.insert = lambda *a: (real(*a), die())
        old_files.import_all(paths, database)
        """,
    )
    assert old_left(paths) == before and Tokens(Database(paths.database)).all() == ()
    killed(
        paths,
        """
        from raysearch.service import old_files
        real = os.replace
        os.replace = lambda a, b: (real(a, b), die())
        old_files.import_all(paths, database)
        """,
    )
    assert len(old_left(paths)) == len(before) - 1  # committed, and one file has its suffix
    rig = opened(paths)
    assert len(rig.tokens.all()) == 4 and len(audit(rig)) == 16
    assert len(rig.services.studies.ids()) == 6 and sound(rig.services.database)
    assert len(old_left(paths)) == 1


@pytest.mark.slow
def test_processes_that_read_an_old_root_at_once_read_it_once(paths: Paths):
    code = """
    from raysearch.service import old_files
    old_files.import_all(paths, database)
    print(len(Tokens(database).all()), len(studies.ids()))
    """
    assert ended(*(process(paths, code) for _ in range(3))) == ["4 6\n"] * 3
    assert len(audit(opened(paths))) == 16
