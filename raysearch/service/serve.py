"""Putting a service together and running it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raysearch.errors import InputError
from raysearch.service import commands, head
from raysearch.service.app import make_app
from raysearch.service.audit import Audit
from raysearch.service.book import Book
from raysearch.service.datasets import Datasets
from raysearch.service.doors import Doors
from raysearch.service.intake import Check, Intake
from raysearch.service.jobs import Jobs, RayJobs
from raysearch.service.keeper import Keeper
from raysearch.service.parts import Parts
from raysearch.service.settings import Settings
from raysearch.service.tokens import Tokens
from raysearch.service.visits import Visits

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
AUTO = "auto"


def assemble(
    settings: Settings,
    jobs: Jobs,
    *,
    check: Check = commands.check,
    revive: Callable[[], Jobs | None] = lambda: None,
) -> tuple[Doors, Parts]:
    """Every part of a service around a place where jobs run; nothing is started."""
    home = settings.home
    home.create()
    # half a submission, half an upload or half a deletion
    for draft in [*home.studies.glob(".*"), *home.datasets.glob("*/.*")]:
        shutil.rmtree(draft, ignore_errors=True)
    tokens = Tokens(home.tokens)
    tokens.all()  # says at once when others may read the file
    book = Book(home)
    datasets = Datasets(home, settings.most_dataset, settings.datasets)
    keeper = Keeper(settings, book, datasets, jobs, revive)
    visits = Visits(home.visits, tokens)
    intake = Intake(settings, book, datasets, check, keeper.room)
    parts = Parts(settings, book, datasets, intake, keeper, visits)
    return make_app(parts, tokens, Audit(home.audit)), parts


def serve(
    settings: Settings,
    host: str,
    port: int,
    address: str,
    say: Callable[[str], None],
    cpus: int | None = None,
) -> None:
    """Run the service until it is told to end; Ray and every study go on without it.

    Args:
        settings: what the operator decided.
        host: where to listen.
        port: likewise.
        address: of a Ray dashboard; `auto`: the head that this root has started, or a new one.
        say: hears what a person needs to know.
        cpus: CPUs of a new head; None: the machine's.

    Raises:
        InputError: the root, Ray or the port cannot be used.
    """
    settings.home.create()
    with settings.home.alone():
        _serve(settings, host, port, address, say, cpus)


def _serve(
    settings: Settings,
    host: str,
    port: int,
    address: str,
    say: Callable[[str], None],
    cpus: int | None,
) -> None:
    import uvicorn

    jobs, revive, environment = _ray(settings.home.head, address, say, cpus)
    os.environ.update(environment)
    paths = {k: os.environ[k] for k in ("PYTHONPATH",) if k in os.environ}
    extra = {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    settings = replace(settings, environment={**environment, **paths, **extra})
    app, parts = assemble(settings, jobs, revive=revive)
    _greet(settings, host, port, parts, say)
    worker = threading.Thread(target=parts.keeper.work, name="keeper", daemon=True)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,  # open streams of events do not hold it up
        ws="none",
        h11_max_incomplete_event_size=65536,
    )
    server = uvicorn.Server(config)
    worker.start()
    try:
        server.run()
    except SystemExit as e:  # how uvicorn says that the port is taken
        raise InputError(f"{host}:{port}: cannot be listened on") from e
    finally:
        parts.keeper.close()
        worker.join(timeout=5)
    if not server.started:
        raise InputError(f"{host}:{port}: cannot be listened on")


def _ray(
    home: Path, address: str, say: Callable[[str], None], cpus: int | None
) -> tuple[Jobs, Callable[[], Jobs | None], dict[str, str]]:
    """(jobs, what to try when Ray is gone, environment of everything that speaks to it)."""
    if address != AUTO:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--address: '{address}' must be a dashboard's, as http://HOST:8265")
        return RayJobs(address, grows=True), lambda: None, {"RAY_AUTH_MODE": "token"}

    def own() -> head.Head:
        return head.found(home) or head.start(home, say, cpus)

    def revive() -> Jobs | None:
        return None if head.found(home) is not None else RayJobs(own().dashboard)

    return RayJobs(own().dashboard), revive, head.environment(home)


def _greet(
    settings: Settings, host: str, port: int, parts: Parts, say: Callable[[str], None]
) -> None:
    tokens = Tokens(settings.home.tokens)
    if not tokens.all():
        text = tokens.add("first", "owner", "submitter")
        say(f"first token, shown this once: {text}")
    if host not in LOOPBACK:
        say(
            f"warning: listens on {host} without TLS: whoever hears the network reads the tokens; "
            "keep it on loopback behind a proxy or a tunnel"
        )
    shown = f"[{host}]" if ":" in host else host
    say(f"service: http://{shown}:{port}")
    alive = [t.name for t in tokens.all() if tokens.named(t.name) is not None]
    if alive:
        ticket = parts.visits.link(alive[0])
        say(f"browser, once, within 10 minutes: http://{shown}:{port}/enter?ticket={ticket}")
