"""Checks of a cluster file: login, start of Ray, and the place of runs; a sentence a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator

from raysearch.cluster.file_words import Config, guess, storages, workers

TOKEN = "~/.ray/auth_token"
OWN_DISK = ("/tmp", "/var/tmp", "/dev/shm", "/root", "/home", "~", "$HOME")
"""Where each node has a folder of its own under one name."""
SCHEMES = ("s3", "gs", "gcs", "abfs", "az", "hdfs")


def login_of(config: Config) -> Iterator[str]:
    """Yield faults of how Ray logs in on a machine, and of the token it puts there."""
    auth = config.get("auth") or {}
    if not auth.get("ssh_user"):
        yield "auth.ssh_user: is missing; the name that ssh logs in with, as ubuntu"
    if config["provider"]["type"] == "local" and not auth.get("ssh_private_key"):
        yield "auth.ssh_private_key: is missing; the key of ssh, as ~/.ssh/id_ed25519"
    if TOKEN not in (config.get("file_mounts") or {}):
        yield (
            f"file_mounts: '{TOKEN}: {TOKEN}' is missing; without the token no node joins "
            "(make it once: ray get-auth-token --generate)"
        )


def start_of(config: Config) -> Iterator[str]:
    """Yield faults of how Ray is started on head and workers."""
    for role in ("head", "worker"):
        key = f"{role}_start_ray_commands"
        given = config.get(key)
        if not given:
            yield f"{key}: is missing; Ray's default sets no authentication (RAY_AUTH_MODE=token)"
            continue
        at = [i for i, c in enumerate(given) if re.search(r"\bray start\b", c)]
        if len(at) != 1:
            yield f"{key}: 'ray start' stands there {len(at)} times, must stand there once"
            continue
        start = given[at[0]]
        earlier = " ; ".join([*given[: at[0]], start.split("ray start")[0]])
        if not re.search(r"\bray stop\b", earlier):
            yield f"{key}: 'ray stop' is missing before 'ray start': an old Ray would stay"
        mode = re.search(r"\bRAY_AUTH_MODE=(\S*?)(?=[\s;]|$)", start)
        if mode is None or mode[1].strip("'\"") != "token":
            stands = "is missing" if mode is None else f"is '{mode[1]}'"
            yield (
                f"{key}: RAY_AUTH_MODE {stands}, must be token in the command of 'ray start': "
                "an open head runs anybody's code"
            )
        if role == "worker":
            if not re.search(r"--address[= ]\S*RAY_HEAD_IP", start):
                yield f"{key}: 'ray start' must have --address=$RAY_HEAD_IP:6379"
            continue
        yield from _head_of(config, key, start)


def _head_of(config: Config, key: str, start: str) -> Iterator[str]:
    """Yield faults of options that only the head's command has."""
    if "--autoscaling-config" not in start:
        yield f"{key}: 'ray start' must have --autoscaling-config=~/ray_bootstrap_config.yaml"
    host = re.search(r"--dashboard-host[= ](\S+)", start)
    if host is not None and host[1].strip("'\"") not in ("127.0.0.1", "localhost", "::1"):
        yield (
            f"{key}: --dashboard-host={host[1]} opens the dashboard to the network, must be "
            "127.0.0.1; reach it by `ray dashboard FILE`"
        )
    if config["provider"]["type"] == "local" and "RAY_enable_autoscaler_v2=0" not in start:
        yield (
            f"{key}: RAY_enable_autoscaler_v2=0 is missing: with provider local, Ray 2.60's "
            "autoscaler v2 never starts the last worker"
        )


def storage_of(config: Config) -> Iterator[str]:
    """Yield faults of where runs are stored, where there is more than one node."""
    if not workers(config):
        return
    named = storages(config)
    if not named:
        yield (
            "setup_commands: RAYSEARCH_STORAGE is set nowhere; it names a place that every node "
            "sees, as /mnt/shared/raysearch or s3://bucket/folder"
        )
    for where, place in named:
        scheme, _, rest = place.partition("://")
        path = rest if scheme == "file" and rest else place
        if "://" in path:
            if scheme not in SCHEMES:
                yield (
                    f"{where}: RAYSEARCH_STORAGE={place}: no scheme '{scheme}'."
                    f"{guess(scheme, SCHEMES)} Known: {', '.join(SCHEMES)}"
                )
        elif any(path == own or path.startswith(own + "/") for own in OWN_DISK):
            yield (
                f"{where}: RAYSEARCH_STORAGE={place} is a folder of each node's own, must be one "
                "that every node sees, as /mnt/shared/raysearch or s3://bucket/folder"
            )
        elif not path.startswith("/"):
            yield (
                f"{where}: RAYSEARCH_STORAGE={place} must be a whole path or a URI, "
                "as s3://bucket/folder"
            )
