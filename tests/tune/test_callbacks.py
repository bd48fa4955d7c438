"""What Tune reports of processes and nodes that died."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.tune.callbacks import NODES, RayCallback

PROCESS = "The actor died unexpectedly before finishing this task.\nWorker exit type: SYSTEM_ERROR"
NODE = "The actor died unexpectedly.\n\tip: 10.0.0.1\nThe actor died because its node has died."


SILENT = (
    "The actor 0b is unavailable: The actor is temporarily unavailable: RpcError: Socket closed"
)


class StudyController:
    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []

    def emit(self, kind: str, text: str, id_: str) -> None:
        self.notes.append((kind, text, id_))


class Trial:
    """A trial as Tune keeps it: its failures are counted and written down before it is told."""

    def __init__(self, folder: Path) -> None:
        self.config = {"id": "a"}
        self.run_metadata = SimpleNamespace(num_failures=0)
        self.error_file: Any = folder / "error.txt"

    def fail(self, news: RayCallback, text: str) -> int:
        self.run_metadata.num_failures += 1
        with self.error_file.open("a", encoding="utf-8") as f:
            f.write(f"Failure # {self.run_metadata.num_failures} (occurred at noon)\n{text}\n")
        news.on_trial_recover(0, [], self)
        return int(self.run_metadata.num_failures)


@pytest.fixture
def desk() -> StudyController:
    return StudyController()


def test_a_node_that_was_lost_is_not_counted_a_process_is(
    desk: StudyController, tmp_path: Path
) -> None:
    news, trial = RayCallback(desk), Trial(tmp_path)  # type: ignore[arg-type]
    assert trial.fail(news, NODE) == 0
    assert trial.fail(news, PROCESS) == 1, "the last failure counts, not the first of the file"
    assert trial.fail(news, SILENT) == 1
    reasons = [text.removesuffix("; its trial goes on") for _, text, _ in desk.notes]
    assert reasons == ["its node was lost", "a worker died", "its node was lost"]


def test_a_trial_that_loses_node_after_node_is_counted_at_last(
    desk: StudyController, tmp_path: Path
) -> None:
    news, trial = RayCallback(desk), Trial(tmp_path)  # type: ignore[arg-type]
    counts = [trial.fail(news, NODE) for _ in range(NODES + 2)]
    assert counts == [0] * NODES + [1, 2]


def test_an_error_file_that_is_not_there_counts(desk: StudyController, tmp_path: Path) -> None:
    news, trial = RayCallback(desk), Trial(tmp_path)  # type: ignore[arg-type]
    trial.run_metadata.num_failures = 1
    for missing in (tmp_path / "none.txt", None):
        trial.error_file = missing
        news.on_trial_recover(0, [], trial)
    assert trial.run_metadata.num_failures == 1 and len(desk.notes) == 2
