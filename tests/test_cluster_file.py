"""cluster.yaml passes the checks of Ray's own launcher; nothing is started or reached."""

import copy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def prepared():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    return config


def test_every_machine_is_asked_for(prepared):
    (kind,) = prepared["available_node_types"].values()
    workers = len(prepared["provider"]["worker_ips"])
    assert kind["min_workers"] == kind["max_workers"] == prepared["max_workers"] == workers


def test_authentication_is_explicit_and_the_autoscaler_the_one_that_works(prepared):
    for role in ("head", "worker"):
        (start,) = [c for c in prepared[f"{role}_start_ray_commands"] if "ray start" in c]
        assert "RAY_AUTH_MODE=token" in start
        assert ("RAY_enable_autoscaler_v2=0" in start) == (role == "head")
    assert "~/.ray/auth_token" in prepared["file_mounts"]


def test_a_misspelt_key_would_be_refused(prepared):
    import jsonschema
    from ray.autoscaler._private.util import validate_config

    wrong = copy.deepcopy(prepared) | {"setup_comands": []}
    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config(wrong)


def test_the_addresses_are_examples(prepared):
    """RFC 5737: nobody's machines, so that a hasty `ray up` reaches no one."""
    addresses = [prepared["provider"]["head_ip"], *prepared["provider"]["worker_ips"]]
    assert all(a.startswith("192.0.2.") for a in addresses)
