"""Put a service together and run it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raysearch.errors import InputError
from raysearch.service import commands, old_files, ray_head
from raysearch.service.app import make_app
from raysearch.service.audit import Audit
from raysearch.service.browser_sessions import BrowserSessions
from raysearch.service.database import Database
from raysearch.service.datasets import Datasets
from raysearch.service.job_cluster import JobCluster
from raysearch.service.jobs import Jobs, RayJobs
from raysearch.service.reconciler import StudyReconciler
from raysearch.service.security import SecurityMiddleware
from raysearch.service.services import Services
from raysearch.service.settings import Settings
from raysearch.service.study_repository import StudyRepository
from raysearch.service.submissions import Check, Submissions
from raysearch.service.tokens import Tokens

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
AUTO = "auto"


def assemble(
    settings: Settings,
    jobs: Jobs,
    *,
    check: Check = commands.check,
    revive: Callable[[], Jobs | None] = lambda: None,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[SecurityMiddleware, Services]:
    """Build every part of a service around a place where jobs run; nothing is started.

    Args:
        settings: what the operator decided.
        jobs: where jobs run.
        check: checks and prices a submission.
        revive: starts a new head where the old one is lost.
        now: the clock [s since 1970].
        monotonic: a clock for durations [s].
    """
    paths = settings.paths
    paths.create()
    database = Database(paths.database)
    for name in old_files.import_all(paths, database):
        sys.stderr.write(f"{name}: cannot be read and is left out\n")
    studies = StudyRepository(database, paths, now)
    datasets = Datasets(database, paths, settings.most_dataset, settings.datasets, now)
    studies.clear()
    datasets.clear()
    tokens = Tokens(database, now)
    cluster = JobCluster(jobs, settings.owner_trials, revive, monotonic)
    services = Services(
        settings=settings,
        database=database,
        studies=studies,
        datasets=datasets,
        submissions=Submissions(settings, studies, datasets, check, cluster.size, now),
        cluster=cluster,
        reconciler=StudyReconciler(settings, studies, datasets, cluster, now),
        tokens=tokens,
        sessions=BrowserSessions(database, tokens, now),
    )
    return make_app(services, Audit(database)), services


def serve(
    settings: Settings,
    host: str,
    port: int,
    address: str,
    say: Callable[[str], None],
    cpus: int | None = None,
) -> None:
    """Run the service until it is stopped; Ray and every study go on without it.

    Args:
        settings: what the operator decided.
        host: where to listen.
        port: likewise.
        address: of a Ray dashboard; `auto`: the head that this root has started, or a new one.
        say: called with messages for a person.
        cpus: CPUs of a new head; None: the machine's.

    Raises:
        InputError: the root, Ray or the port cannot be used.
    """
    settings.paths.create()
    with settings.paths.alone():
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

    jobs, revive, environment = _ray(settings.paths.ray, address, say, cpus)
    os.environ.update(environment)
    paths = {k: os.environ[k] for k in ("PYTHONPATH",) if k in os.environ}
    extra = {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    settings = replace(settings, environment={**environment, **paths, **extra})
    app, services = assemble(settings, jobs, revive=revive)
    _greet(settings, host, port, services, say)
    worker = threading.Thread(target=services.reconciler.work, name="reconciler", daemon=True)
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
    except SystemExit as e:  # uvicorn's exit when the port is taken
        raise InputError(f"{host}:{port}: cannot be listened on") from e
    finally:
        services.reconciler.close()
        worker.join(timeout=5)
    if not server.started:
        raise InputError(f"{host}:{port}: cannot be listened on")


def _ray(
    home: Path, address: str, say: Callable[[str], None], cpus: int | None
) -> tuple[Jobs, Callable[[], Jobs | None], dict[str, str]]:
    """Connect to Ray.

    Returns (jobs, what to try when Ray is gone, environment of everything that connects to it).
    """
    if address != AUTO:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--address: '{address}' must be a dashboard's, as http://HOST:8265")
        return RayJobs(address, grows=True), lambda: None, {"RAY_AUTH_MODE": "token"}

    def own() -> ray_head.Head:
        return ray_head.running_head(home) or ray_head.start(home, say, cpus)

    def revive() -> Jobs | None:
        return None if ray_head.running_head(home) is not None else RayJobs(own().dashboard)

    return RayJobs(own().dashboard), revive, ray_head.environment(home)


def _greet(
    settings: Settings, host: str, port: int, services: Services, say: Callable[[str], None]
) -> None:
    tokens = services.tokens
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
        ticket = services.sessions.link(alive[0])
        say(f"browser, once, within 10 minutes: http://{shown}:{port}/enter?ticket={ticket}")
