"""Every node is asked before the first trial; two disks under one path are found out."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.cluster import preflight as door
from raysearch.cluster.preflight import Answer, NodeMismatch, StorageProbe, probe
from raysearch.config.space import Proposal
from raysearch.errors import InputError
from raysearch.search.backend import TrialBackend
from raysearch.storage import remote
from raysearch.storage.remote import StorageLost
from raysearch.storage.trial_checkpoints import TrialCheckpoints
from raysearch.tune.trainable import bind_trainable
from tests.tune.fakes import FakePlace, FakeTrial, FakeWorld, failed, score, space


def preflight(storage: str | None, out: Path) -> None:
    with door.preflight(storage, out):
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Nodes w1 and w2, answered for in this process; `see` says where a node's path really lies."""
    see: dict[str, str] = {}
    say: dict[str, Answer] = {}

    def ask(node: str, act: Any, mark: StorageProbe, name: str) -> Answer:
        assert act is probe and name == node
        return say.get(node) or probe(replace(mark, where=see.get(node, mark.where)), node)

    nodes = [{"NodeID": n, "NodeManagerHostname": n, "Alive": True} for n in ("w1", "w2")]
    fake = SimpleNamespace(
        nodes=lambda: nodes, wait=lambda asked, **_: (asked, []), get=lambda answer: answer
    )
    monkeypatch.setattr(door, "ray", fake)
    monkeypatch.setattr(door, "on_node", ask)
    monkeypatch.setattr(door, "away", lambda: fake.away)
    fake.away = False
    return SimpleNamespace(see=see, say=say, ray=fake, share=tmp_path / "share", nodes=nodes)


def test_nodes_that_share_a_folder_pass_and_nothing_stays_behind(cluster: Any) -> None:
    preflight(str(cluster.share), Path("/nowhere"))
    preflight(None, cluster.share)
    assert list(cluster.share.iterdir()) == []


def test_a_path_with_two_disks_names_the_node(cluster: Any, tmp_path: Path) -> None:
    cluster.see["w2"] = str(tmp_path / "its own disk")
    with pytest.raises(InputError, match=r"node 'w2': does not see what is written to '"):
        preflight(str(cluster.share), Path("/nowhere"))
    with pytest.raises(InputError, match=r"node 'w2': .*; give --storage, a URI or a folder"):
        preflight(None, cluster.share)


def test_a_node_whose_files_stay_with_it_is_named(cluster: Any) -> None:
    cluster.say["w1"] = Answer("w1")  # as if it had written
    with pytest.raises(InputError, match="node 'w1': what it writes .* is not seen here"):
        preflight(str(cluster.share), Path("/nowhere"))


def test_a_node_with_another_version_is_named(cluster: Any, monkeypatch: Any) -> None:
    own = StorageProbe(str(cluster.share), "token", "0.0.1")
    assert own.fault().startswith("has raysearch ") and own.fault().endswith("driver 0.0.1")
    cluster.say["w1"] = probe(own, "w1")
    with pytest.raises(InputError, match=r"node 'w1': has raysearch .*, the driver 0\.0\.1"):
        preflight(str(cluster.share), Path("/nowhere"))


def test_a_node_that_may_not_write_is_named(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cluster.see["w2"] = str(tmp_path / "file")
    with pytest.raises(InputError, match="node 'w2': ") as e:
        preflight(str(cluster.share), Path("/nowhere"))
    assert "\n" not in str(e.value)


def test_a_node_that_does_not_answer_is_named(cluster: Any) -> None:
    cluster.ray.wait = lambda asked, **_: (asked[:1], asked[1:])
    with pytest.raises(InputError, match="node 'w2': has not answered within"):
        preflight(str(cluster.share), Path("/nowhere"))


def test_one_machine_is_asked_nothing_but_a_head_alone_whose_workers_come(cluster: Any) -> None:
    del cluster.nodes[1]
    cluster.ray.wait = None  # would break
    preflight(None, cluster.share)
    cluster.ray.away = True
    with pytest.raises(InputError, match="starts later do not see it; give --storage"):
        preflight(None, cluster.share)


def test_a_node_that_joins_late_finds_the_mark_or_stops_the_study(
    cluster: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Its trials are not FAILED: such a node would eat the search."""
    monkeypatch.setattr(door, "_CHECKED", set())
    monkeypatch.setattr(door, "LATE", 0.0)
    proposal = Proposal("lookup", "tiny", 32, {"k": 5})
    value = {"config": FakeWorld(space()).configure(proposal).to_json(), "hyper": {"k": 5}}
    config = {"trial": json.dumps(value), "holds": json.dumps({"cpus": 1.0})}

    def first_slice(mark: StorageProbe) -> dict[str, Any]:
        kit, saves = (
            TrialBackend(FakeTrial, failed, score),
            TrialCheckpoints(tmp_path / "checkpoints"),
        )
        made = bind_trainable(kit, FakePlace(), "search", saves, mark, 60.0)
        trial = made.__new__(made)
        trial.setup(config)
        return trial.step()

    with door.preflight(None, cluster.share) as mark:
        other = replace(mark, where=str(tmp_path / "its own disk"))
        reason = first_slice(other)
        assert reason["done"] and "record" not in reason
        named = f"node '{platform.node()}': does not see what is written to '{other.where}'"
        assert reason["fault"] == named + door.HINT
        assert "fault" not in first_slice(mark)
    with pytest.raises(NodeMismatch):
        replace(mark, token="another").check()
    mark.check()  # asked once in a process


def test_a_node_whose_mount_comes_late_is_waited_for(cluster: Any, tmp_path: Path) -> None:
    late = tmp_path / "late"
    with door.preflight(None, cluster.share) as mark:
        clock = [0.0]

        def sleep(seconds: float) -> None:
            clock[0] += seconds
            if clock[0] >= 30.0 and not late.exists():
                late.symlink_to(cluster.share)

        replace(mark, where=str(late)).check(sleep, lambda: clock[0])
        assert clock[0] == 30.0
        with pytest.raises(NodeMismatch):
            replace(mark, where=str(tmp_path / "never"), token="other").check(
                sleep, lambda: clock[0]
            )
        assert clock[0] == 30.0 + door.LATE


def test_a_storage_that_is_away_is_waited_for_as_ever(cluster: Any, monkeypatch: Any) -> None:
    reads = []

    def away(self: StorageProbe, patience: float) -> str:
        reads.append(patience)
        raise StorageLost("is away")

    with door.preflight(str(cluster.share), Path("/nowhere")) as mark:
        monkeypatch.setattr(StorageProbe, "fault", away)
        with pytest.raises(StorageLost):
            mark.check()
    assert reads == [remote.PATIENCE]


def test_a_driver_that_ends_leaves_anothers_mark_alone(cluster: Any) -> None:
    """One that takes a run over, and one that is refused, stop nobody's trials."""
    with door.preflight(str(cluster.share), Path("/nowhere")) as first:
        with door.preflight(str(cluster.share), Path("/nowhere")) as second:
            assert first.fault() == second.fault() == ""
        assert first.fault() == "" and second.fault()
    assert list(cluster.share.iterdir()) == []


def test_what_a_killed_driver_left_goes_with_the_next(cluster: Any) -> None:
    (cluster.share / "probes-old").mkdir(parents=True)
    preflight(None, cluster.share)
    assert list(cluster.share.iterdir()) == []
