"""Read a cluster file of Ray's launcher and list what is wrong with it; no machine is contacted.

Ray's own checks come first; what they let pass and what a study needs besides is in `file_start`
and `file_nodes`. Each `..._of` yields a sentence for each thing that is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raysearch.cluster.file_nodes import addresses_of, aws_of, types_of
from raysearch.cluster.file_start import login_of, start_of, storage_of
from raysearch.cluster.file_words import Config, guess, instance, kinds, short, texts, workers
from raysearch.cluster.instances import INSTANCES, looks_real
from raysearch.config.strict import load_yaml

__all__ = ["problems", "read", "unchecked", "workers"]

COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
PROVIDERS = ("aws", "local", "gcp", "azure", "vsphere", "aliyun")
"""Providers of Ray's launcher that a person names; only the first two are checked further."""
LOCAL_KEYS = ("min_workers", "max_workers")
"""Keys at the top that Ray takes for provider local, on top of its schema."""
EXAMPLES = {
    r"\b(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+\b": "an example's address (RFC 5737)",
    r"\bami-0123456789abcdef0\b": "an example's image",
    r"\b123456789012\b": "an example's account",
    r"\bmy-bucket\b": "an example's bucket",
}
"""Values of the shipped files until a user replaces them."""


def read(path: Path) -> dict[str, Any]:
    """Read a cluster file; InputError where it is missing, no YAML or no mapping."""
    return load_yaml(path)


def problems(config: Config) -> list[str]:
    """Return what keeps a cluster from coming up or a study from running on it, as sentences.

    Errors in the form come alone: the other checks need a file of the right form.
    """
    wrong = list(_form_of(config)) or list(addresses_of(config)) or list(_ray_of(config))
    if wrong:
        return wrong
    faults = [*login_of(config), *start_of(config), *storage_of(config)]
    kind = config["provider"]["type"]
    if config.get("available_node_types"):
        faults += types_of(config)
    return faults + (list(aws_of(config)) if kind == "aws" else [])


def unchecked(config: Config) -> list[str]:
    """Return what could not be checked here, or still is the example's, as sentences.

    None of it is an error.
    """
    out = []
    for kind, node in kinds(config).items():
        name = instance(node)
        if name and name not in INSTANCES and looks_real(name):
            out.append(f"{kind}: instance type '{name}' is not in the table: taken as it is")
    if (kind := config["provider"]["type"]) not in ("aws", "local"):
        out.append(f"provider.type: '{kind}': only what holds for all providers was checked")
    for where, text in texts(config):
        for pattern, what in EXAMPLES.items():
            if match := re.search(pattern, text):
                out.append(f"{where}: {match[0]} is {what}; write yours")
    return out


def _form_of(config: Config) -> Iterator[str]:
    """Yield faults of keys, the provider, and lists of commands."""
    known = _keys()
    for key in config:
        if key not in known:
            yield f"no key '{key}'.{guess(str(key), known) or ' Known: ' + ', '.join(known)}"
    provider = config.get("provider")
    if not isinstance(provider, Mapping) or not provider.get("type"):
        yield f"provider: must say its type: {', '.join(PROVIDERS)}"
    elif provider["type"] not in PROVIDERS:
        yield (
            f"provider.type: no provider '{provider['type']}'."
            f"{guess(str(provider['type']), PROVIDERS)} Known: {', '.join(PROVIDERS)}"
        )
    for key in COMMANDS:
        value = config.get(key, [])
        if not isinstance(value, list):
            yield f"{key}: {short(value)} must be a list of commands, each on a line after '- '"
            continue
        for i, command in enumerate(value):
            if not isinstance(command, str):
                yield f"{key}[{i}]: {short(command)} must be a text; a colon wants quotes"
    for key in ("auth", "file_mounts", "available_node_types"):
        if not isinstance(config.get(key) or {}, Mapping):
            yield f"{key}: {short(config[key])} must be a mapping of keys"
    kinds = config.get("available_node_types")
    for kind, node in kinds.items() if isinstance(kinds, Mapping) else ():
        settings = node.get("node_config") if isinstance(node, Mapping) else None
        market = settings.get("InstanceMarketOptions") if isinstance(settings, Mapping) else None
        if not isinstance(market or {}, Mapping):
            where = f"available_node_types.{kind}.node_config.InstanceMarketOptions"
            yield f"{where}: {short(market)} must be a mapping of keys, as {{MarketType: spot}}"


def _ray_of(config: Config) -> Iterator[str]:
    """Yield what Ray's own checks find: `prepare_config` and `validate_config`."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    output, logger = io.StringIO(), logging.getLogger("ray.autoscaler")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            validate_config(prepare_config(json.loads(json.dumps(config))))
    except Exception as e:  # Ray raises what comes: its own, jsonschema's, KeyError, TypeError
        path = ".".join(str(p) for p in getattr(e, "absolute_path", ()))
        text = str(getattr(e, "message", "") or e) or output.getvalue()
        last = [line for line in text.splitlines() if line.strip()][:1] or [type(e).__name__]
        yield f"{path or 'Ray refuses it'}: {last[0].strip()[:300]}"
    finally:
        logger.setLevel(level)


def _keys() -> Sequence[str]:
    """Return the keys that Ray's schema has at the top, and those it takes besides."""
    import ray.autoscaler

    schema = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    return tuple(dict.fromkeys((*json.loads(schema.read_text())["properties"], *LOCAL_KEYS)))
