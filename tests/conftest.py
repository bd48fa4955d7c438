"""What several rooms' tests share: one thread a process, and a ladder of tiny random encoders.

And what keeps the fast tests fast: an unmarked test that works for over a second fails.
"""

from __future__ import annotations

import gc
import io
import os
import resource
import sys
import time
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.verbs import Said, Say

# Two processes with two OpenMP threads each on two cores are ten times slower than one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers are of the lowest priority otherwise, and starve beside the other tests.
os.environ.setdefault("RAY_worker_niceness", "0")

TINY = ("random-1", "random-2")
HERE = Path(__file__).resolve().parent
MARKS = ("slow", "ray", "browser", "real")
"""Tests without one of these are the fast ones."""
LIMIT = 1.0
"""Processor seconds of one fast test, its fixtures apart, on a machine as fast as `WORK` says."""
WORK = 0.035
"""Processor seconds of a million squares in Python, as `slowness` adds them up."""
CROWDED = 100
"""Interruptions a processor second above which others work on this machine: the limit is twice."""
LIBRARY = 50
"""A test that loads so many modules is the first of its process to use a library."""
RESAMPLES = 200


def spent() -> float:
    """Processor seconds of this process and of the children that it has waited for.

    Not seconds on the wall: these are the machine's, not the test's. Processor seconds too become
    more where many processes share the caches, but by half or so and not by ten.
    """
    return sum(os.times()[:4])


@cache
def slowness() -> float:
    """How much slower than `WORK` says this machine's processor is now; at least 1."""
    times = []
    for _ in range(3):
        started = time.process_time()
        sum(i * i for i in range(1_000_000))
        times.append(time.process_time() - started)
    return max(1.0, min(times) / WORK)


def interrupted() -> int:
    """How often this process had to make room for another."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a fast test that takes longer than `LIMIT`: make it faster, or mark it `slow`.

    Only where FAST_TESTS is set, as `make check` does: Ray at work beside it slows any test.
    """
    if not os.environ.get("FAST_TESTS"):
        return (yield)
    started, loaded, others = spent(), len(sys.modules), interrupted()
    result = yield
    took = spent() - started
    longer = item.get_closest_marker("processor_seconds")
    most = LIMIT if longer is None else float(longer.args[0])
    limit = most * slowness() * (2 if interrupted() - others > CROWDED * took else 1)
    first = len(sys.modules) - loaded >= LIBRARY  # which test pays for the import is chance
    if took > limit and not first and not any(item.get_closest_marker(m) for m in MARKS):
        pytest.fail(f"took {took:.1f} s of processor time, over {limit:.1f} s: mark it slow", False)
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """One worker runs what starts Ray, one after the other, beside the rest: `--dist loadgroup`.

    Groups are files, read here: pytest-xdist 3.8 loses its own groups under pytest 9.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class RayTogether(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if starts_ray(nodeid.split("::")[0]) else nodeid

    return RayTogether(config, log)


@cache
def starts_ray(path: str) -> bool:
    """Whether a file of tests, from the root, marks any of them `ray`."""
    return "mark.ray" in (HERE.parent / path).read_text(encoding="utf-8")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through every library again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def few_resamples(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of few resamples where only the fast tests run, but for those of the intervals.

    Elsewhere runs are shared with tests that compare intervals to the digit.
    """
    if not os.environ.get("FAST_TESTS") or request.node.get_closest_marker("statistics"):
        return
    from raysearch.analysis import bootstrap, transfer

    for of in (bootstrap.replicates, transfer.transfer):
        monkeypatch.setitem(of.__kwdefaults__, "resamples", RESAMPLES)


@pytest.fixture(scope="session")
def tiny_rungs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Rungs by name: two random-init encoders of one and two layers, written once a session."""
    from tests.support import tiny

    home = tmp_path_factory.mktemp("encoders")
    shapes = {"random-1": (1, 32, 64), "random-2": (2, 48, 80)}
    return {
        name: tiny.rung(
            name,
            tiny.write_encoder(home / name, layers=layers, hidden=hidden, intermediate=width),
        )
        for name, (layers, hidden, width) in shapes.items()
    }


@pytest.fixture
def tiny_ladder(tiny_rungs: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalog's ladder with the tiny rungs in it, under the ladder's name `tiny`."""
    from dataclasses import replace

    from raysearch.config import catalog

    known = catalog.ladder()
    small = replace(known["hash-16"], ladders=("tiny",))
    table = replace(known["dan-10k"], name="table-400", buckets=400, hidden=8, params=400 * 8 + 72)
    more = {"hash-16": small, "table-400": replace(table, ladders=("tables",)), **tiny_rungs}
    monkeypatch.setattr(catalog, "_ladder", lambda path: {**known, **more})
    yield


@pytest.fixture(scope="session")
def workers_path() -> Iterator[str]:
    """PYTHONPATH under which Ray's workers and other processes find the tests' modules."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE / "tune")])
    yield os.environ["PYTHONPATH"]
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def ray_here(workers_path: str) -> Iterator[None]:
    """One Ray for all tests: a verb that is run in this process takes it, and starts none."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    yield
    ray.shutdown()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Run a verb in this process, in an empty folder: (exit code, standard output, error)."""
    from raysearch.program import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAYSEARCH_DATA_DIR", raising=False)
    monkeypatch.delenv("RAYSEARCH_MODELS_DIR", raising=False)

    def run(*args: str | Path, stdin: bytes | None = None) -> Said:
        capsys.readouterr()
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run
