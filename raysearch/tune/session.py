"""Set up a run's surroundings and take them down again: environment, signals, Ray, quiet."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import ray

from raysearch.errors import InputError


@contextmanager
def environment(concurrency: int) -> Iterator[None]:
    """Set Tune's environment variables for the run only."""
    wanted = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # half of Tune's overhead per trial
        "TUNE_GLOBAL_CHECKPOINT_S": "60",  # Tune's snapshots are never read
        "TUNE_MAX_PENDING_TRIALS_PG": str(concurrency),
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our handler stops cleanly; see `signals`
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Ray's and Optuna's banners, tables and warnings off the terminal for the run."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.air")]
    levels = [logger.level for logger in loggers]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop()` on Ctrl-C or a TERM; raise KeyboardInterrupt on a second Ctrl-C.

    Outside the main thread (a service) nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def once(number: int, frame: Any) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, once)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


@contextmanager
def cluster(address: str | None, cpus: int | None) -> Iterator[None]:
    """Connect to a Ray: the running one, the one at `address`, or a new local one.

    What was started here is shut down here, with its temporary folder; nothing else is touched.
    """
    if ray.is_initialized():
        yield
        return
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is not None:
        if address.startswith("ray://"):
            raise InputError(
                f"address '{address}': is for Ray's client; run the verb on a node of the cluster "
                "with --address auto, or hand it to the service: raysearch submit"
            )
        try:
            ray.init(address=address, **common)
        except Exception as e:  # Ray raises a dozen types for a head that does not answer
            raise InputError(f"address '{address}': no Ray cluster answers there: {e}") from e
        try:
            yield
        finally:
            ray.shutdown()
        return
    temporary = tempfile.mkdtemp(prefix="rs-")
    try:
        # NOTE: sockets lie below it and a socket's path holds at most 107 bytes.
        if len(temporary) < 40:
            common["_temp_dir"] = temporary
        ray.init(num_cpus=cpus, include_dashboard=False, **common)
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def ray_session(
    concurrency: int | None, address: str | None, cpus: int | None = None
) -> Iterator[None]:
    """Set up everything that a run needs; several phases may share one session."""
    with quiet(), environment(concurrency or 1), cluster(address, cpus):
        yield
