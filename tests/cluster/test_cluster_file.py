"""The cluster files pass Ray's own checks and ours, and what is wrong in one is said in a line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysearch.cluster import cluster_file
from raysearch.cluster.instances import INSTANCES
from raysearch.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
AWS, LOCAL = ROOT / "cluster.yaml", ROOT / "clusters" / "on-prem.yaml"
GPU = "available_node_types.gpu-spot"


def shipped(path: Path) -> dict[str, Any]:
    return copy.deepcopy(cluster_file.read(path))


def changed(path: Path, key: str, value: Any) -> dict[str, Any]:
    """A shipped file with one key of it set; None takes it away."""
    config = shipped(path)
    *way, last = key.split(".")
    inner: Any = config
    for part in way:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return config


def edited(path: Path, text: str, other: str) -> dict[str, Any]:
    """A shipped file in which one text, which stands there, is another."""
    whole = path.read_text()
    assert text in whole
    config: dict[str, Any] = yaml.safe_load(whole.replace(text, other))
    return config


@pytest.mark.parametrize("path", [AWS, LOCAL], ids=["aws", "on-prem"])
class TestShipped:
    def test_ray_and_we_accept_it(self, path):
        from ray.autoscaler._private.util import prepare_config, validate_config

        validate_config(prepare_config(shipped(path)))
        assert cluster_file.problems(shipped(path)) == []

    def test_what_is_left_to_write_is_said_and_marked(self, path):
        """Addresses, images, account and bucket are nobody's: a hasty `ray up` reaches no one."""
        notes = cluster_file.unchecked(shipped(path))
        assert notes and all("write yours" in n for n in notes)
        assert all(f"({i})" in path.read_text() for i in range(1, 6))

    def test_it_installs_what_the_node_lacks_pip_first(self, path):
        setup = shipped(path)["setup_commands"]
        (pip,) = [i for i, c in enumerate(setup) if "--upgrade pip" in c]
        (install,) = [i for i, c in enumerate(setup) if "-c constraints.txt" in c]
        assert pip < install and "~/raysearch" in shipped(path)["file_mounts"]

    def test_nothing_given_is_changed(self, path):
        config = shipped(path)
        cluster_file.problems(config)
        assert config == shipped(path)


def test_the_aws_file_pays_for_no_idle_gpu():
    config = shipped(AWS)
    kinds = config["available_node_types"]
    with_gpus = {n: k for n, k in kinds.items() if INSTANCES[k["node_config"]["InstanceType"]][1]}
    assert all(k["min_workers"] == 0 for k in with_gpus.values()) and len(with_gpus) == 2
    assert config["idle_timeout_minutes"] <= 10 and config["head_node_type"] not in with_gpus
    assert kinds["gpu-spot"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            changed(LOCAL, "setup_comands", []),
            "no key 'setup_comands'. Did you mean 'setup_commands'?",
        ),
        (changed(AWS, "provider.type", "asw"), "no provider 'asw'. Did you mean 'aws'?"),
        (changed(AWS, "provider", None), "provider: must say its type"),
        (changed(AWS, "provider.region", None), "provider.region: is missing"),
        (changed(LOCAL, "setup_commands", "pip install"), "setup_commands: 'pip install' must be"),
        (changed(LOCAL, "setup_commands", [{"echo a": "b"}]), "setup_commands[0]: {'echo a'"),
        (changed(AWS, "max_workers", "four"), "max_workers: 'four' is not of type"),
        (changed(AWS, "head_node_type", "heat"), "Ray refuses it: `head_node_type` must be one"),
        (changed(LOCAL, "provider.head_ip", None), "provider.head_ip: is missing"),
        (changed(LOCAL, "auth.ssh_user", None), "auth.ssh_user: is missing"),
        (changed(LOCAL, "auth.ssh_private_key", None), "auth.ssh_private_key: is missing"),
        (changed(AWS, "file_mounts", {}), "'~/.ray/auth_token: ~/.ray/auth_token' is missing"),
        (changed(LOCAL, "worker_start_ray_commands", None), "worker_start_ray_commands: is miss"),
        (changed(LOCAL, "head_start_ray_commands", ["ray stop"]), "'ray start' stands there 0"),
        (
            edited(LOCAL, "bin/ray stop", "bin/ray status"),
            "'ray stop' is missing before 'ray start'",
        ),
        (edited(AWS, "AUTH_MODE=token;", "AUTH_MODE=none;"), "RAY_AUTH_MODE is 'none', must be"),
        (
            edited(AWS, "export RAY_AUTH_MODE=token;", ""),
            "worker_start_ray_commands: RAY_AUTH_MODE",
        ),
        (
            edited(LOCAL, "=127.0.0.1", "=0.0.0.0"),
            "--dashboard-host=0.0.0.0 opens the dashboard",
        ),
        (edited(LOCAL, "RAY_enable_autoscaler_v2=0 ", ""), "never starts the last worker"),
        (edited(AWS, "$RAY_HEAD_IP", "10.0.0.1"), "must have --address=$RAY_HEAD_IP:6379"),
        (edited(AWS, "--autoscaling-config", "--config"), "must have --autoscaling-config="),
        (edited(LOCAL, "RAYSEARCH_STORAGE", "STORAGE"), "RAYSEARCH_STORAGE is set nowhere"),
        (
            edited(LOCAL, "/mnt/shared/", "/tmp/"),
            "STORAGE=/tmp/raysearch is a folder of each node's",
        ),
        (
            edited(LOCAL, "/mnt/shared/", "~/"),
            "STORAGE=~/raysearch is a folder of each node's own",
        ),
        (edited(LOCAL, "=/mnt/shared", "=file:///tmp"), "is a folder of each node's own"),
        (edited(LOCAL, "/mnt/shared/", "runs/"), "must be a whole path or a URI"),
        (edited(AWS, "s3://", "s4://"), "no scheme 's4'. Did you mean 's3'?"),
        (changed(LOCAL, "min_workers", 3), "min_workers: 3 must be 0 to 2"),
        (changed(LOCAL, "max_workers", 5), "max_workers: 5 must be 0 to 2"),
        (changed(LOCAL, "max_workers", 1), "min_workers: 2 is above max_workers (1)"),
        (changed(LOCAL, "provider.worker_ips", ["192.0.2.10"]), "192.0.2.10 stands there twice"),
        (changed(AWS, f"{GPU}.max_workers", 9), "max_workers: 9 is above the cluster's max_w"),
        (changed(AWS, f"{GPU}.min_workers", -1), "min_workers: -1 must be 0 to max_workers (8)"),
        (changed(AWS, "available_node_types.gpu.min_workers", 1), "min_workers: 1 must be 0 to"),
        (
            changed(AWS, f"{GPU}.node_config.InstanceType", "g5.3xlarge"),
            "no type 'g5.3xlarge'. Did",
        ),
        (changed(AWS, f"{GPU}.node_config.InstanceType", "g5.2xlagre"), "mean 'g5.2xlarge'?"),
        (changed(AWS, f"{GPU}.node_config.InstanceType", None), "InstanceType: is missing"),
        (changed(AWS, f"{GPU}.resources", {"CPU": 8, "GPU": 2}), "GPU: 2, but g5.2xlarge has 1"),
        (changed(AWS, f"{GPU}.node_config.ImageId", None), "ImageId: is missing; Ray's default"),
        (changed(AWS, f"{GPU}.node_config.IamInstanceProfile", None), "cannot write to s3://"),
        (
            edited(AWS, "MarketType: spot", "MarketType: sport"),
            "MarketType: 'sport' must be spot",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_wrong_is_said_in_one_line(config, sentence):
    found = cluster_file.problems(config)
    assert any(sentence in p for p in found), found
    assert all("\n" not in p and len(p) < 420 for p in found)


def test_what_the_table_lacks_is_said_and_let_pass():
    config = changed(AWS, f"{GPU}.node_config.InstanceType", "g9e.2xlarge")
    assert cluster_file.problems(config) == []
    assert "gpu-spot: instance type 'g9e.2xlarge' is not in the table: taken as it is" in (
        cluster_file.unchecked(config)
    )
    config = {**shipped(AWS), "provider": {"type": "gcp", "region": "r", "project_id": "p"}}
    assert any("'gcp': only what holds for all" in n for n in cluster_file.unchecked(config))


def test_one_machine_needs_no_shared_storage():
    config = changed(LOCAL, "provider.worker_ips", ["192.0.2.11"]) | {
        "min_workers": 0,
        "max_workers": 0,
        "setup_commands": [],
    }
    assert cluster_file.workers(config) == 0 and cluster_file.problems(config) == []


def test_the_table_of_instances():
    """A few that are known by heart, as (CPUs, GPUs)."""
    known = {"g5.12xlarge": (48, 4), "p4d.24xlarge": (96, 8), "m6i.large": (2, 0)}
    known |= {"g4dn.xlarge": (4, 1), "p3.8xlarge": (32, 4), "p5.4xlarge": (16, 1)}
    assert known.items() <= INSTANCES.items() and len(INSTANCES) > 100


def test_a_file_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        cluster_file.read(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    for text in ("a: [", "- a", "a: 1\na: 2"):
        bad.write_text(text)
        with pytest.raises(InputError, match="bad.yaml"):
            cluster_file.read(bad)


def test_doctor_says_it_to_a_person(say, tmp_path):
    code, out, err = say("doctor", "--cluster", LOCAL)
    assert code == 0 and out.splitlines()[-1].endswith("whole: local, a head and up to 2 workers")
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(edited(LOCAL, "/mnt/shared", "/tmp") | {"cluster_nam": "a"}))
    code, out, err = say("doctor", "--cluster", bad)
    assert code == 2 and len(out.splitlines()) == 1 and "Did you mean 'cluster_name'?" in out
    code, out, err = say("doctor", "--cluster", bad, "--json")
    assert code == 2 and len(json.loads(out)["problems"]) == 1 and err == ""
    code, out, err = say("doctor", "--cluster", tmp_path / "none.yaml")
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    for text in ("", "provider: 3", "a: [", "provider: {type: local}", "auth: 1"):
        bad.write_text(text)
        code, out, err = say("doctor", "--cluster", bad)
        assert code == 2 and "Traceback" not in out + err, text
        assert out or len(err.splitlines()) == 1


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a file, as the keys that lead to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    deeper = [(k, v) for k, v in inner if isinstance(v, dict | list)] if way or value else []
    own = [(*way, k) for k in (value if isinstance(value, dict) else range(len(value)))]
    return own + [p for k, v in deeper for p in places(v, (*way, k))]


@pytest.mark.parametrize("path", [AWS, LOCAL], ids=["aws", "on-prem"])
@pytest.mark.parametrize("stand_in", [None, 7, ["x"]], ids=repr)
def test_no_value_anywhere_ends_in_a_traceback(path, stand_in):
    whole = shipped(path)
    ways = places(whole)
    assert len(ways) > 25
    for *way, last in ways:
        config = copy.deepcopy(whole)
        inner: Any = config
        for key in way:
            inner = inner[key]
        inner[last] = stand_in
        found = cluster_file.problems(config)
        if not found:
            found = cluster_file.unchecked(config)
            assert cluster_file.workers(config) >= 0
        assert all(isinstance(f, str) and "\n" not in f for f in found), (way, last)
