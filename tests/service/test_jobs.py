"""Ray's Jobs without Ray: what its client says, and how large a cluster may become."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.cluster import autoscaler
from raysearch.service.jobs import RayJobs, Unreachable

CLUSTER = """
head_node_type: head
max_workers: 3
available_node_types:
  head: {resources: {CPU: 0}}
  worker: {resources: {CPU: 8, GPU: 1}, min_workers: 0, max_workers: 3}
"""


def client(says: Exception) -> Any:
    def ask(*args: Any) -> None:
        raise says

    return SimpleNamespace(get_job_info=ask)


def test_only_the_status_404_says_that_there_is_no_job():
    jobs = RayJobs("http://127.0.0.1:9")
    jobs._client = client(RuntimeError("Request failed with status code 404: Job x does not exist"))
    assert jobs.look("x") is None
    for other in (
        RuntimeError("Request failed with status code 500: no worker at port 40421."),
        ConnectionError("Failed to connect to Ray at http://127.0.0.1:40404"),
        RuntimeError("Request failed with status code 401: token 404"),
    ):
        jobs._client = client(other)
        with pytest.raises(Unreachable):
            jobs.look("x")


@pytest.mark.parametrize("alive", [0, 1])
def test_machines_that_are_still_to_come_are_room(monkeypatch, tmp_path, alive: int):
    import ray.util.state

    nodes = [SimpleNamespace(state="ALIVE", resources_total={"CPU": 0.0})]
    nodes += [SimpleNamespace(state="ALIVE", resources_total={"CPU": 8.0, "GPU": 1.0})] * alive
    nodes += [SimpleNamespace(state="DEAD", resources_total={"CPU": 8.0, "GPU": 1.0})]
    monkeypatch.setattr(ray.util.state, "list_nodes", lambda **named: nodes)
    file = tmp_path / "bootstrap.yaml"
    file.write_text(CLUSTER)
    monkeypatch.setattr(autoscaler, "BOOTSTRAP", file)
    assert RayJobs("http://x", grows=True).room() == (24, 3)
    assert RayJobs("http://x").room() == (8 * alive, alive)  # a head of our own grows no machines
    file.unlink()
    assert RayJobs("http://x", grows=True).room() == (8 * alive, alive)
