"""One database for several processes: changes are whole, wherever somebody ends a process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysearch.errors import InputError, RecordError
from raysearch.service.database import Database
from raysearch.service.errors import NotFound
from raysearch.service.paths import Paths
from raysearch.service.schema import MIGRATIONS
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import Spec
from raysearch.service.tokens import Tokens

ROOT = Path(__file__).resolve().parents[2]
ID = "toy-1"
HEAD = """
import os, sys
from pathlib import Path
from raysearch.service.browser_sessions import BrowserSessions
from raysearch.service.database import Database
from raysearch.service.paths import Paths
from raysearch.service.study_repository import StudyRepository
from raysearch.service.study_state import Spec
from raysearch.service.tokens import Tokens

paths = Paths(Path(sys.argv[1]))
database = Database(paths.database)
studies = StudyRepository(database, paths)

def die():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "root")
    found.create()
    return found


@pytest.fixture
def database(paths: Paths) -> Iterator[Database]:
    made = Database(paths.database)
    yield made
    made.close()


@pytest.fixture
def studies(database: Database, paths: Paths) -> StudyRepository:
    return StudyRepository(database, paths)


def spec(id_: str = ID, owner: str = "anna", key: str = "") -> Spec:
    return Spec(id_, owner, 1.0, "toy", "quick", ["--task=toy"], key=key)


def enter(studies: StudyRepository, paths: Paths, id_: str = ID, **more: str) -> Spec:
    draft = paths.studies / f".{id_}"
    draft.mkdir()
    (draft / "study.yaml").write_text("name: x\n")
    return studies.create(spec(id_, **more), draft)


def process(paths: Paths, code: str) -> subprocess.Popen[str]:
    """Another process over the root."""
    known = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(code), str(paths.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))},
    )


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """What the processes printed."""
    out = [p.communicate(timeout=120)[0] for p in processes]
    assert [p.returncode for p in processes] == [0] * len(processes)
    return out


def killed(paths: Paths, code: str) -> None:
    """A process that ends itself by kill -9."""
    assert process(paths, code).wait(timeout=120) == -signal.SIGKILL


def sound(database: Database) -> bool:
    with database.snapshot() as db:
        whole = db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return whole and db.execute("PRAGMA foreign_key_check").fetchone() is None


def test_it_is_set_up_as_the_decision_says(database: Database):
    with database.snapshot() as db:
        found = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
        version = db.execute("SELECT version FROM schema_version").fetchone()[0]
    assert found == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 2,
        "busy_timeout": 30000,
    }
    assert version == len(MIGRATIONS)


def test_a_database_of_a_later_release_is_refused_and_left_as_it_is(paths: Paths):
    Database(paths.database).close()
    with sqlite3.connect(paths.database) as db:
        db.execute("UPDATE schema_version SET version = 99")
    db.close()
    with pytest.raises(InputError, match="has schema 99, this release knows up to"):
        Database(paths.database)
    with pytest.raises(InputError, match="has schema 99"):
        Database(paths.database)


def test_what_is_no_database_is_one_line(paths: Paths):
    paths.database.write_bytes(b"nonsense " * 100)
    paths.database.chmod(0o600)
    with pytest.raises(InputError, match=r"service\.db: file is not a database"):
        Database(paths.database)


def test_an_error_rolls_back_the_whole_and_an_inner_transaction_is_the_outer_ones(
    database: Database, studies: StudyRepository, paths: Paths
):
    enter(studies, paths)
    with pytest.raises(ZeroDivisionError):
        with studies.atomically():
            studies.transition(ID, "starting", expected=["queued"], job=ID)
            assert studies.state(ID).state == "starting"  # this thread sees what it has written
            raise ZeroDivisionError
    assert [s.state for s in studies.states(ID)] == ["queued"]
    with pytest.raises(RuntimeError, match="cannot become a transaction"):
        with database.snapshot():
            studies.transition(ID, "starting")
    with pytest.raises(RecordError, match="CHECK constraint"):
        studies.transition(ID, "nonsense")  # type: ignore[arg-type]
    assert studies.transition(ID, "running", expected=["starting"]) is None
    with pytest.raises(NotFound):
        studies.transition("none", "running")


def test_a_key_makes_one_study_whoever_enters_it(studies: StudyRepository, paths: Paths):
    first = enter(studies, paths, "toy-1", key="abc")
    assert enter(studies, paths, "toy-2", key="abc").id == first.id == "toy-1"
    assert enter(studies, paths, "toy-3", key="abc", owner="bert").id == "toy-3"
    assert enter(studies, paths, "toy-4").id == "toy-4"
    assert studies.ids() == ["toy-1", "toy-3", "toy-4"]


@pytest.mark.slow
def test_processes_that_write_at_once_each_win_or_lose_a_transition(
    database: Database, studies: StudyRepository, paths: Paths
):
    enter(studies, paths)
    code = """
    won = 0
    for _ in range(150):
        if studies.transition("toy-1", "starting", expected=["queued"], job=str(os.getpid())):
            won += 1
            state = studies.transition("toy-1", "queued", expected=["starting"])
            assert state is not None and state.job == str(os.getpid())
    print(won)
    """
    wins = [int(text) for text in ended(*(process(paths, code) for _ in range(3)))]
    states = studies.states(ID)
    assert len(states) == 1 + 2 * sum(wins) and sum(wins) >= 150
    assert [s.state for s in states] == ["queued", *["starting", "queued"] * sum(wins)]
    jobs = Counter(s.job for s in states if s.state == "starting")
    assert sorted(jobs.values()) == sorted(w for w in wins if w)
    assert sound(database)


@pytest.mark.slow
def test_a_token_verb_and_a_service_write_at_once(
    database: Database, studies: StudyRepository, paths: Paths
):
    enter(studies, paths)
    code = """
    from raysearch.errors import InputError
    tokens, taken = Tokens(database), 0
    for i in range(40):
        try:
            tokens.add(f"t{i}", "anna", "reader")
        except InputError as e:
            assert "already" in str(e)
            taken += 1
    print(taken)
    """
    writers = [process(paths, code) for _ in range(2)]
    count = 0
    while any(w.poll() is None for w in writers):
        studies.transition(ID, ("starting", "queued")[count % 2])
        count += 1
        time.sleep(0.002)  # a service writes now and then
    assert sum(map(int, ended(*writers))) == 40
    assert len(Tokens(database).all()) == 40 and len(studies.states(ID)) == count + 1
    assert sound(database)


@pytest.mark.slow
def test_a_ticket_lets_one_of_several_processes_in(database: Database, paths: Paths):
    from raysearch.service.browser_sessions import BrowserSessions

    tokens = Tokens(database)
    tokens.add("anna", "anna", "reader")
    tickets = [BrowserSessions(database, tokens).link("anna") for _ in range(20)]
    code = f"""
    sessions = BrowserSessions(database, Tokens(database))
    print(sum(sessions.enter(t) is not None for t in {tickets!r}))
    """
    entered = ended(process(paths, code), process(paths, code))
    assert sum(map(int, entered)) == len(tickets)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_transactions(
    database: Database, studies: StudyRepository, paths: Paths
):
    enter(studies, paths)
    code = """
    while True:
        with studies.atomically():
            studies.transition("toy-1", "starting", expected=["queued"])
            studies.transition("toy-1", "queued", expected=["starting"])
        print("x", flush=True)
    """
    for lines in (1, 5, 12):
        worker = process(paths, code)
        assert worker.stdout is not None
        for _ in range(lines):
            assert worker.stdout.readline() == "x\n"
        worker.kill()
        worker.communicate()
        states = [s.state for s in studies.states(ID)]
        assert len(states) % 2 == 1 and states[-1] == "queued" and sound(database)
    killed(
        paths,
        """
        with studies.atomically():
            studies.transition("toy-1", "starting", expected=["queued"])
            die()
        """,
    )
    assert len(studies.states(ID)) == len(states)
    assert studies.transition(ID, "starting", expected=["queued"]) is not None  # nobody holds it


@pytest.mark.slow
def test_a_crash_while_a_study_is_entered_or_deleted_is_cleared_at_the_next_start(
    database: Database, studies: StudyRepository, paths: Paths
):
    killed(
        paths,
        """
        (paths.studies / ".toy-1").mkdir()
        (paths.studies / ".toy-1" / "study.yaml").write_text("x")
        real = os.rename
        os.rename = lambda a, b: (real(a, b), die())
        studies.create(Spec("toy-1", "anna", 1.0, "toy", "quick", []), paths.studies / ".toy-1")
        """,
    )
    assert studies.ids() == [] and (paths.studies / ID).is_dir()
    enter(studies, paths, "toy-2")
    (paths.studies / "toy-2" / "log.txt").write_text("x")
    killed(
        paths,
        """
        real = os.rename
        os.rename = lambda a, b: (real(a, b), die())
        studies.delete("toy-2")
        """,
    )
    assert studies.ids() == ["toy-2"] and not (paths.studies / "toy-2").exists()
    enter(studies, paths, "toy-3")
    lost = paths.studies / "toy-9"  # records without a row: a database that somebody took away
    lost.mkdir()
    (lost / "log.txt").write_text("x")
    studies.clear()
    assert studies.ids() == ["toy-3"]
    assert sorted(p.name for p in paths.studies.iterdir()) == ["toy-3", "toy-9"]


def test_a_commit_that_fails_puts_the_folder_back(
    database: Database, studies: StudyRepository, paths: Paths, monkeypatch: pytest.MonkeyPatch
):
    enter(studies, paths)
    with database.transaction() as db:
        db.execute(
            "CREATE TRIGGER full BEFORE DELETE ON states BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(RecordError, match="full"):
        studies.delete(ID)
    assert studies.ids() == [ID] and (paths.studies / ID / "study.yaml").is_file()

    def broken(spec: object, *rest: object) -> None:
        raise RecordError("service.db: disk I/O error")

    monkeypatch.setattr("raysearch.service.study_repository._append", broken)
    with pytest.raises(RecordError, match="disk I/O"):
        enter(studies, paths, "toy-2")
    assert studies.ids() == [ID] and not (paths.studies / "toy-2").exists()


@pytest.mark.slow
def test_a_new_database_is_made_once_by_those_that_open_it_at_once(paths: Paths):
    makers = [process(paths, "print(len(studies.ids()))") for _ in range(4)]
    assert ended(*makers) == ["0\n"] * 4
    made = Database(paths.database)
    assert sound(made) and Tokens(made).all() == ()
    made.close()
