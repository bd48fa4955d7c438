"""Records of trials: where and when they were made, and those of trials that failed."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch

from raysearch import scores
from raysearch.config.trial import TrialConfig
from raysearch.record import TrialRecord
from raysearch.trial.context import ExecutionContext
from raysearch.version import __version__


def made_by(
    config: TrialConfig, place: ExecutionContext, started: str | None = None
) -> dict[str, Any]:
    """Return versions, device, host, precision, concurrency at the time, and when."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        "raysearch": __version__,
        "python": platform.python_version(),
        "device": place.device,
        "device_name": _device_name(place),
        "gpus": place.gpus,
        "host": platform.node(),
        "precision": config.precision,
        "threads": place.threads,
        "concurrency": place.concurrency,
        "started": started or now,
        "ended": now,
    }


def _device_name(place: ExecutionContext) -> str:
    if not place.device.startswith("cuda"):
        return platform.machine()
    # the driver, which records crashed trials, may have no GPU itself
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def failed_record(
    config: TrialConfig,
    place: ExecutionContext,
    phase: str,
    status: str,
    error: str,
    hyper: Mapping[str, Any],
) -> TrialRecord:
    """Return the record of a trial that failed: FAILED or INFEASIBLE, with its reason."""
    return TrialRecord(
        id=config.id,
        config=config,
        status=status,
        hyper=dict(hyper),
        phase=phase,
        score=str(place.task.get("score", scores.DEFAULT)),
        error=error,
        made_by=made_by(config, place),
    )
