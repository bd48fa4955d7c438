"""Every node is asked before the first trial; two disks under one path are found out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.errors import InputError
from raysearch.tune import preflight as door
from raysearch.tune.preflight import Answer, preflight, probe


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Nodes w1 and w2, answered for in this process; `see` says where a node's path really lies."""
    see: dict[str, str] = {}
    say: dict[str, Answer] = {}

    def ask(node: str, act: Any, where: str, token: str, name: str) -> Answer:
        assert act is probe and name == node
        return say.get(node) or probe(see.get(node, where), token, node)

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
    cluster.say["w1"] = Answer("w1", door.__version__)  # as if it had written
    with pytest.raises(InputError, match="node 'w1': what it writes .* is not seen here"):
        preflight(str(cluster.share), Path("/nowhere"))


def test_a_node_with_another_version_is_named(cluster: Any) -> None:
    cluster.say["w1"] = Answer("w1", "0.0.1")
    with pytest.raises(InputError, match="node 'w1': has raysearch 0.0.1, the driver"):
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
    preflight(None, Path("/nowhere/at/all"))
    cluster.ray.away = True
    with pytest.raises(InputError, match="starts later do not see it; give --storage"):
        preflight(None, Path("/nowhere/at/all"))
