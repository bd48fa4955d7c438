"""How often a study's records are read, and its draws resampled, from search to page."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.analysis import Run, RunReader, confirmation, read_run
from raysearch.record import measure_event
from raysearch.run.folder import RunFolder
from raysearch.run.records import RecordWriter, read_records
from raysearch.run.study_file import read_study_manifest
from raysearch.workflow import studies
from raysearch.workflow.confirm import Confirmed
from raysearch.workflow.measure import Bench
from raysearch.workflow.pages import write_page
from raysearch.workflow.prepare import Prepared
from tests.run.packed import unpack

TIMES = {
    "latency_ms": 1.0,
    "latency_p95_ms": 1.0,
    "throughput": 1.0,
    "tokenise_ms": 1.0,
    "peak_memory": 1.0,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A confirmed run of which nothing is timed."""
    out = unpack("search", tmp_path / "search")
    path = RunFolder(out).records
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["event"] != "measure"]
    assert 10 < len(kept) < len(lines)
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return out


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count readings of records and bootstraps of confirming draws."""
    found: Counter[str] = Counter()

    def counted(name: str, of: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            found[name] += 1
            return of(*args, **more)

        return call

    monkeypatch.setattr("raysearch.analysis.run.read_records", counted("reads", read_records))
    made = sys.modules["raysearch.analysis.confirmation"]
    monkeypatch.setattr(made, "replicates", counted("bootstraps", vars(made)["replicates"]))
    return found


def measured(run: Path, **times: float) -> None:
    """Write times of a point."""
    record = next(r for r in read_run(run).records if r.points)
    writer = RecordWriter(RunFolder(run).records)
    writer.append(measure_event(record.id, record.points[0].point_id, times))
    writer.close()


def two_pictures(run: Run) -> Path:
    """Write a page of two pictures of the confirming draws."""
    for _ in range(2):
        assert confirmation.confirmation(run).estimates
    path = RunFolder(run.folder).pages / "index.html"
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    return path


@pytest.mark.parametrize("page", [two_pictures, pytest.param(write_page, marks=pytest.mark.slow)])
def test_a_study_reads_once_a_phase_and_resamples_once(
    run: Path,
    counts: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    page: Callable[[Run], Path],
) -> None:
    """It read its records six times, and resampled four times, before a run kept what it computed.

    Once after the search, which here has run already; nothing is read for confirming draws that
    have run too; once when points have been timed, for page and terminal.
    """
    ended = SimpleNamespace(stopped_by="all trials have run", interrupted=False, by_status={})
    runner = SimpleNamespace(run_study=lambda *args, **more: ended)
    session = SimpleNamespace(ray_session=lambda *args: nullcontext())
    monkeypatch.setitem(sys.modules, "raysearch.tune.runner", runner)
    monkeypatch.setitem(sys.modules, "raysearch.tune.session", session)
    monkeypatch.setattr(studies, "confirm_run", lambda *a, **k: Confirmed(None, 2, 0, 3, 0))
    fake = Bench("", lambda: 0.0, lambda record, points: [dict(TIMES) for _ in points])
    monkeypatch.setattr(studies, "write_page", page)
    monkeypatch.setattr(studies, "bench", lambda *args: nullcontext(fake))
    world: Any = None
    lines: list[str] = []

    done = studies.run_prepared(Prepared(read_study_manifest(run), world, run, True), lines.append)

    assert counts == {"reads": 2, "bootstraps": 1}
    assert lines[0] == "all trials have run" and lines[1].startswith("measuring ")
    assert done.page is not None and done.page.is_file() and not done.interrupted
    assert any(p.measured for r in done.run.records for p in r.points)
    assert RunFolder(run).table.is_file()


# A reader


def test_a_reader_reads_again_when_the_files_change(run: Path, counts: Counter[str]) -> None:
    reader = RunReader(run)
    first = reader.read()
    assert reader.read() is first and counts["reads"] == 1
    estimates = confirmation.confirmation(first)
    measured(run, latency_ms=3.0)
    counts.clear()
    second = reader.read()
    assert second is not first and counts == {"reads": 1}
    assert confirmation.confirmation(second) is estimates, "times change no estimate"
    assert counts == {"reads": 1}


def test_another_trial_or_study_is_resampled_anew(run: Path, counts: Counter[str]) -> None:
    reader = RunReader(run)
    estimates = confirmation.confirmation(reader.read())
    path = RunFolder(run).records
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    last = json.loads(lines[-1])["event"]
    assert last in ("trial", "score")
    changed = confirmation.confirmation(reader.read())
    assert changed is not estimates and counts["bootstraps"] == 2
    study = RunFolder(run).study
    study.write_text(study.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert confirmation.confirmation(reader.read()) is changed, "the same study, written anew"


def test_a_value_is_computed_once_a_run(run: Path) -> None:
    found = read_run(run)
    calls: list[Run] = []

    def make(of: Run) -> int:
        calls.append(of)
        return len(of.records)

    assert found.cached("size", make) == found.cached("size", make) == len(found.records)
    assert calls == [found] and calls[0] is found
    other = dataclasses.replace(found, study={**found.study, "shared_by": 3})
    other.cached("size", make)
    assert calls[1] is other, "a changed run has computed nothing yet"
