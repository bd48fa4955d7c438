"""Node-hours: what each machine was there for, and what it did."""

from __future__ import annotations

import json
from pathlib import Path

from raysearch.cluster.node_hours import NodeHours, NodeSample, after, read_hours, sentences
from raysearch.config.study import Prices
from raysearch.run.folder import NODES

GPU, CPU = NodeSample("a", "gpu-1", 2.0, 0.0), NodeSample("b", "head", 0.0, 0.25)


def test_hours_add_up_by_what_each_look_shows() -> None:
    hours = after({}, [GPU, CPU], 600.0)
    hours = after(hours, [NodeSample("a", "gpu-1", 2.0, 0.5), CPU], 1800.0)
    hours = after(hours, [CPU], 60.0)  # the autoscaler has taken the other away
    assert hours["a"] == NodeHours("gpu-1", 2.0, alive=2400.0, busy=1800.0, used=900.0)
    assert hours["b"] == NodeHours("head", 0.0, alive=2460.0, busy=2460.0, used=615.0)
    assert hours["a"].idle == 600.0


def test_idle_gpus_are_said_with_what_they_cost() -> None:
    three = {str(i): NodeHours(f"gpu-{i}", 1.0, 1800.0, 960.0, 960.0) for i in range(3)}
    lines = sentences(three, Prices(gpu_hour=8.714))
    assert lines[1] == "3 GPU nodes idle 42 min, $6.10"
    assert lines[0] == "nodes: 3, 1.50 node-hours alive, 0.80 used (53%), $13.07"
    assert sentences(three, Prices())[1] == "3 GPU nodes idle 42 min"
    assert sentences({}, Prices()) == []
    # a price that one of the nodes lacks leaves the sum out
    mixed = {**three, "h": NodeHours("head", 0.0, 1800.0, 0.0, 0.0)}
    assert "$" not in sentences(mixed, Prices(gpu_hour=1.0))[0]
    assert sentences(mixed, Prices(gpu_hour=1.0))[-1] == "1 CPU node idle 30 min"


def test_a_file_that_is_none_costs_nothing(tmp_path: Path) -> None:
    assert read_hours(tmp_path) == {}
    for text in ("", "[]", '{"a": {"host": "x", "typo": 1}}', '{"a": 3}'):
        (tmp_path / NODES).write_text(text)
        assert read_hours(tmp_path) == {}
    (tmp_path / NODES).write_text(json.dumps({"a": {"host": "x", "alive": 3.0}}))
    assert read_hours(tmp_path) == {"a": NodeHours("x", alive=3.0)}
