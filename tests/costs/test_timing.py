"""Timing: enough repeats, medians, both steps apart, and the memory a process really held."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from raysearch.costs import timing
from raysearch.costs.timing import BATCH, FEWEST, MOST, Model, busy_cores, peak_memory, timed


class Clock:
    """A clock that only a model moves; stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


class Slow:
    """A model that takes so long for each text, and notes what it was asked."""

    def __init__(self, clock: Clock, infer: float, prepare: float = 0.0) -> None:
        self.clock, self.infer_seconds, self.prepare_seconds = clock, infer, prepare
        self.prepared: list[list[str]] = []
        self.pairs: list[Any] = []

    def prepare(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
        self.clock.now += self.prepare_seconds * len(texts)
        self.prepared.append(list(texts))
        self.pairs.append(None if pairs is None else list(pairs))
        return list(texts)

    def infer(self, texts: list[str]) -> None:
        self.clock.now += self.infer_seconds * len(texts)

    @property
    def model(self) -> Model:
        return Model(self.prepare, self.infer)


TEXTS = [f"text {i}" for i in range(100)]


def test_both_steps_are_timed_apart(clock: Clock) -> None:
    slow = Slow(clock, 0.004, 0.001)
    found = timed(slow.model, TEXTS)
    assert found["latency_ms"] == pytest.approx(4.0)
    assert found["latency_p95_ms"] == pytest.approx(4.0)
    assert found["tokenise_ms"] == pytest.approx(1.0)
    assert found["throughput"] == pytest.approx(250.0), "32 texts at 4 ms each, tokenising apart"
    assert set(found) == {"latency_ms", "latency_p95_ms", "tokenise_ms", "throughput", "repeats"}


@pytest.mark.parametrize(
    ("seconds", "repeats"),
    [(1e-6, MOST), (0.001, 32), (0.05, FEWEST), (0.3, FEWEST)],
)
def test_at_least_thirty_and_at_most_three_hundred_repeats(
    clock: Clock, seconds: float, repeats: int
) -> None:
    """Two seconds are enough where thirty repeats take less."""
    slow = Slow(clock, seconds)
    assert timed(slow.model, TEXTS)["repeats"] == pytest.approx(repeats, abs=1)


def test_five_repeats_are_enough_of_a_model_that_takes_ten_seconds(clock: Clock) -> None:
    slow = Slow(clock, 11.0)
    found = timed(slow.model, TEXTS)
    assert found["repeats"] == 5 and found["latency_ms"] == pytest.approx(11_000)
    singles = [texts for texts in slow.prepared if len(texts) == 1]
    assert len(singles) == 5 + 1, "one call warms it up"
    assert timed(Slow(clock, 9.0).model, TEXTS[:1])["repeats"] == FEWEST


def test_only_the_batch_may_be_that_slow(clock: Clock) -> None:
    slow = Slow(clock, 1.0)
    timed(slow.model, TEXTS)
    sizes = [len(texts) for texts in slow.prepared]
    assert sizes.count(1) == FEWEST + 3 and sizes.count(BATCH) == 5 + 1


def test_warm_up_is_not_in_the_numbers(clock: Clock) -> None:
    calls = 0

    def infer(texts: list[str]) -> None:
        nonlocal calls
        calls += 1
        clock.now += 5.0 if calls <= 2 else 0.01 * len(texts)

    model = Model(lambda texts, pairs: list(texts), infer)
    assert timed(model, TEXTS)["latency_p95_ms"] == pytest.approx(10.0)


def test_the_median_and_the_ninety_fifth_percentile(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    seen: list[float] = []

    def infer(texts: list[str]) -> None:
        took = float(rng.lognormal(-5, 1))
        if len(texts) == 1:
            seen.append(took)
        clock.now += took

    found = timed(Model(lambda texts, pairs: list(texts), infer), TEXTS)
    assert found["latency_p95_ms"] > 2 * found["latency_ms"] > 0
    kept = np.array(seen[-int(found["repeats"]) :]) if len(seen) >= found["repeats"] else seen
    assert found["latency_ms"] == pytest.approx(1000 * np.median(kept), rel=0.2)


def test_batches_walk_through_all_texts_with_their_pairs(clock: Clock) -> None:
    slow = Slow(clock, 0.01)
    pairs = [t.upper() for t in TEXTS]
    timed(slow.model, TEXTS, pairs)
    for texts, seconds in zip(slow.prepared, slow.pairs, strict=True):
        assert seconds == [t.upper() for t in texts]
    assert {t for texts in slow.prepared if len(texts) == BATCH for t in texts} == set(TEXTS)
    assert {len(texts) for texts in slow.prepared} == {1, BATCH}


def test_fewer_texts_than_a_batch(clock: Clock) -> None:
    slow = Slow(clock, 0.01)
    found = timed(slow.model, TEXTS[:5])
    assert found["throughput"] == pytest.approx(100.0)
    assert {len(texts) for texts in slow.prepared} == {1, 5}


def test_a_true_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "ENOUGH_SECONDS", 0.05)
    monkeypatch.setattr(timing, "WARM_SECONDS", 0.01)
    found = timed(Model(lambda texts, pairs: list(texts), lambda x: sorted(x * 50)), TEXTS)
    assert FEWEST <= found["repeats"] <= MOST
    assert 0 < found["latency_ms"] <= found["latency_p95_ms"]
    assert found["tokenise_ms"] >= 0 and found["throughput"] > 0


ALLOCATE = (
    "import sys\nfrom raysearch.costs.timing import peak_memory\n"
    "before = peak_memory()\nx = bytearray(int(sys.argv[1]))\nx[::4096] = b'x' * len(x[::4096])\n"
    "del x\nprint(before, peak_memory())\n"
)


@pytest.mark.parametrize("size", [0, 200 * 2**20])
def test_memory_that_was_held_is_seen_after_it_was_let_go(size: int) -> None:
    """In a child of a process that holds as much itself: what the parent had does not count."""
    ballast = bytearray(300 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    made = subprocess.run(
        [sys.executable, "-c", ALLOCATE, str(size)], capture_output=True, text=True, check=True
    )
    before, after = map(float, made.stdout.split())
    assert after - before == pytest.approx(size, abs=5 * 2**20)
    assert 0 < before < 150 * 2**20, "numpy and little else"
    assert peak_memory() >= len(ballast)


def test_busy_cores_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read twice: 100 ticks of all four cores, of which 25 were idle or waiting."""
    lines = iter(["cpu  10 0 10 100 20 0 0 0 0 0\n", "cpu  60 5 30 120 25 0 0 0 7 7\n"])

    class Stat:
        def __init__(self, path: str) -> None:
            assert path == "/proc/stat"

        def read_text(self) -> str:
            return next(lines)

    monkeypatch.setattr(timing, "Path", Stat)
    monkeypatch.setattr(timing.os, "cpu_count", lambda: 4)
    assert busy_cores(0.0) == pytest.approx(4 * (1 - 25 / 100))


def test_a_clock_that_stood_still_is_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stat:
        def __init__(self, path: str) -> None:
            pass

        def read_text(self) -> str:
            return "cpu  10 0 10 100 20 0 0 0 0 0\n"

    monkeypatch.setattr(timing, "Path", Stat)
    assert busy_cores(0.0) == 0.0
