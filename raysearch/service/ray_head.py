"""Start a Ray head for a service that was given none, in a session that outlives the service.

The root folder remembers it for a restarted service. Nothing in this module stops a Ray.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from raysearch.errors import InputError

PREFIX = "rs-head-"
WAIT_SECONDS = 120.0
"""How long a head may take to answer [s]; 17 measured on two busy cores."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head that was started here."""

    pid: int
    begun: str
    """When the process started, as the kernel counts: a pid alone may be another's by now."""
    dashboard: str
    """Its address for Jobs."""
    temporary: str


def environment(home: Path) -> dict[str, str]:
    """Return what every process that uses our own head needs: Ray's token mode, explicitly."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home / "auth_token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def running_head(home: Path) -> Head | None:
    """Return the head that this root remembers, if it is alive."""
    head = _remembered(home)
    return head if head is not None and _begun(head.pid) == head.begun != "" else None


def _remembered(home: Path) -> Head | None:
    try:
        return Head(**json.loads((home / "ray.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def start(home: Path, say: Callable[[str], None], cpus: int | None = None) -> Head:
    """Start a head and wait until its dashboard answers.

    Args:
        home: the root's folder for it.
        say: called with how to end it.
        cpus: CPUs it is to have; None: the machine's.

    Raises:
        InputError: Ray is not there, or does not come up; the error names its log.
    """
    program = shutil.which("ray", path=str(Path(sys.executable).parent)) or shutil.which("ray")
    if program is None:
        raise InputError("ray: no such program beside this Python; pip install 'ray[default]'")
    token = home / "auth_token"
    if not token.exists():
        handle = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as f:
            f.write(secrets.token_hex(32))
    # NOTE: sockets lie below it and a socket's path holds at most 107 bytes.
    temporary = tempfile.mkdtemp(prefix=PREFIX)
    before = _remembered(home)
    if before is not None and Path(before.temporary).name.startswith(PREFIX):
        shutil.rmtree(before.temporary, ignore_errors=True)  # of a head that has ended
    port, dashboard, agent, client = _free_ports(4)
    words = [program, "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    words += [f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    words += [f"--temp-dir={temporary}", "--disable-usage-stats"]
    # Ports that have a default would meet those of another head on this machine.
    words += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    if cpus is not None:
        words += [f"--num-cpus={cpus}"]
    with (home / "head.log").open("ab") as log:
        child = subprocess.Popen(
            words,
            env={**os.environ, **environment(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a signal to the service's terminal does not reach Ray
        )
    head = Head(child.pid, _begun(child.pid), f"http://127.0.0.1:{dashboard}", temporary)
    (home / "ray.json").write_text(json.dumps(asdict(head)) + "\n", "utf-8")

    def up() -> bool:
        if child.poll() is not None:
            raise InputError(f"Ray ended as it started (code {child.returncode}); see head.log")
        return answers(dashboard)

    looks = Retrying(
        retry=retry_if_result(lambda answered: not answered),
        stop=stop_after_delay(WAIT_SECONDS),
        wait=wait_fixed(0.5),
    )
    try:
        looks(up)
    except RetryError as e:
        raise InputError(f"Ray did not answer within {WAIT_SECONDS:.0f} s; see head.log") from e
    say(f"Ray runs on its own and outlives this service; end it with: kill {child.pid}")
    return head


def answers(port: int) -> bool:
    """Return whether a dashboard answers on the port, whatever the status."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version", timeout=5)
    except urllib.error.HTTPError:
        return True  # it requires a token
    except OSError:
        return False
    return True


def _begun(pid: int) -> str:
    """Return when a process started, empty when there is none (or it waits to be reaped)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _free_ports(n: int) -> list[int]:
    sockets = []
    for _ in range(n):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        sockets.append(s)
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports
