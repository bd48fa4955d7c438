"""What trials hold: pure arithmetic first, then a real Ray that believes it has GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.cluster.autoscaler import pending_nodes
from raysearch.cluster.resources import MOST, PARTS, Node, ResourceRequest, share, slots
from raysearch.config.trial import DataBudget, TrialConfig
from raysearch.costs.memory import MemoryEstimate
from raysearch.errors import InputError

GIB = 2**30
SMALL, MEDIUM, LARGE = ("finetune", "small"), ("finetune", "medium"), ("finetune", "large")
LINEAR = ("ngram_linear", "ngram")
DEMANDS = {
    SMALL: MemoryEstimate(True, 4 * GIB, "small"),
    MEDIUM: MemoryEstimate(True, 9 * GIB, "medium"),
    LARGE: MemoryEstimate(True, 20 * GIB, "large"),
    LINEAR: MemoryEstimate(False, 2 * GIB, "linear"),
}
A10G = Node("gpu-1", 8, 1, memory=32 * GIB, kind="A10G", device_memory=24 * GIB)
H100 = Node("gpu-2", 16, 1, memory=128 * GIB, kind="H100", device_memory=80 * GIB)
HEAD = Node("head", 4, memory=16 * GIB)


def config_of(method: str, rung: str) -> TrialConfig:
    return TrialConfig("t", "s", method, rung, DataBudget(32))


def test_one_machine_is_shared_evenly() -> None:
    two = share([Node("here", 2, memory=24 * GIB)], DEMANDS)
    assert (two.concurrency, two.cpus, two.threads, two.gpus) == (2, 1.0, 1, 0.0)
    assert share([Node("here", 8, memory=24 * GIB)], DEMANDS, 2).cpus == 4.0
    assert share([Node("here", 2, memory=24 * GIB)], DEMANDS, 3).cpus == 0.66
    assert share([Node("here", 2, memory=4 * GIB)], DEMANDS).concurrency == 1


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=6), st.one_of(st.none(), st.integers(1, 40))
)
def test_so_many_really_fit(cpus: list[int], wanted: int | None) -> None:
    nodes = [Node(f"n{i}", float(c)) for i, c in enumerate(cpus)]
    found = share(nodes, DEMANDS, wanted)
    assert found.concurrency == (wanted or sum(min(c, MOST) for c in cpus))
    assert sum(int(c / found.cpus + 1e-9) for c in cpus) >= found.concurrency
    assert found.of(config_of(*SMALL)) == ResourceRequest(found.cpus)


def test_a_gpu_is_shared_by_what_fits_it() -> None:
    found = share([HEAD, A10G], DEMANDS)
    parts = {key: found.of(config_of(*key)).gpus for key in DEMANDS}
    assert parts == {SMALL: 0.25, MEDIUM: 0.5, LARGE: 1.0, LINEAR: 0.0}
    assert found.of(config_of(*SMALL)).cpus == 2.0 and found.of(
        config_of(*LINEAR)
    ) == ResourceRequest(1.0)
    assert found.concurrency == 4 + 4 + 7  # four quarters, and what needs no GPU beside
    assert all(h.gpus in PARTS for h in found.holds.values())


def test_what_is_not_known_is_not_shared() -> None:
    unknown = Node("gpu", 8, 2, kind="X")
    found = share([unknown], DEMANDS)
    assert {h.gpus for h in found.holds.values()} == {1.0} and found.concurrency == 2 + 6


def test_the_word_of_the_user_counts() -> None:
    assert share([A10G], DEMANDS, gpus_per_trial=0.5).of(config_of(*SMALL)).gpus == 0.5
    two = Node("big", 32, 4, kind="A10G", device_memory=24 * GIB)
    assert share([A10G, two], DEMANDS, gpus_per_trial=2).of(config_of(*SMALL)).gpus == 2.0
    none = share([HEAD, A10G], DEMANDS, gpus_per_trial=0)
    assert none.gpus == 0.0 and none.concurrency == slots(HEAD) + slots(A10G)


@pytest.mark.parametrize(
    ("nodes", "wanted", "gpus", "says"),
    [
        ([HEAD, A10G], None, 2.0, "--gpus-per-trial: 2 can never be held: the largest node has 1"),
        ([HEAD], None, 0.5, "--gpus-per-trial: 0.5 can never be held: no node has a GPU"),
        ([HEAD], 4000, None, "concurrency: 4000 trials at once do not fit 4 CPUs"),
    ],
)
def test_what_no_node_can_ever_hold_is_refused(nodes, wanted, gpus, says) -> None:
    with pytest.raises(InputError, match=says):
        share(nodes, DEMANDS, wanted, gpus)


def test_a_model_that_fits_no_gpu_is_refused_by_name() -> None:
    name = "method 'finetune' on model 'huge'"
    huge = {("finetune", "huge"): MemoryEstimate(True, 95 * GIB, name, 90 * GIB)}
    with pytest.raises(InputError, match="'huge': needs 90.0 GiB of a GPU or more.* 80.0"):
        share([A10G, H100], huge)
    tight = {
        ("finetune", "huge"): MemoryEstimate(True, 95 * GIB, name, 60 * GIB)
    }  # with small batches
    assert share([A10G, H100], tight).of(config_of("finetune", "huge")).gpus == 1.0
    fits = share([A10G, H100], {("finetune", "huge"): MemoryEstimate(True, 40 * GIB)})
    assert fits.of(config_of("finetune", "huge")).gpus == 1.0


def test_teachers_get_the_best_kind() -> None:
    found = share([HEAD, A10G, H100], DEMANDS)
    assert found.best == "H100"
    request = found.of(config_of(*LARGE), kind=found.best)
    assert request.resources == {"CPU": 2.0, "GPU": 1.0, "accelerator_type:H100": 0.001}
    assert found.of(config_of(*LINEAR), kind=found.best).kind == ""  # it holds no GPU
    assert share([HEAD, A10G], DEMANDS).best == ""


def test_nodes_that_the_autoscaler_would_start_count(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "ray_bootstrap_config.yaml"
    monkeypatch.setattr("raysearch.cluster.autoscaler.BOOTSTRAP", file)
    assert pending_nodes([HEAD]) == []
    kinds = {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 4},
        "none": {"resources": {"CPU": 8, "GPU": 8}, "max_workers": 0},
    }
    config = {"head_node_type": "head", "available_node_types": kinds, "max_workers": 3}
    config["provider"] = {"type": "aws"}
    file.write_text(json.dumps(config))
    assert [(n.cpus, n.gpus) for n in pending_nodes([HEAD])] == [(8.0, 1.0)] * 3  # at most, in all
    assert len(pending_nodes([HEAD, A10G, A10G])) == 1
    # a head that holds no trials, before the first worker: the study plans for what will come
    planned = share([Node("head", 0), *pending_nodes([])], DEMANDS)
    assert planned.of(config_of(*SMALL)).gpus == 1.0 and planned.concurrency == 3 + 3 * 7
    config["provider"] = {"type": "local", "worker_ips": ["10.0.0.2", "10.0.0.3"]}
    file.write_text(json.dumps(config | {"max_workers": 2}))
    assert [(n.cpus, n.gpus) for n in pending_nodes([HEAD])] == [
        (4.0, 0.0)
    ] * 2  # as the head, for now
    assert len(pending_nodes([HEAD, HEAD])) == 1
    for broken in ("[", "head_node_type: x", "available_node_types: []\nhead_node_type: y", "7"):
        file.write_text(broken)
        assert pending_nodes([HEAD]) == []
