"""What comes back: the shapes of the answers, as the OpenAPI document lists them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from raysearch.service.datasets import Dataset
from raysearch.service.study_state import Spec, State


class Error(BaseModel):
    """One line about what was wrong."""

    error: str


class DatasetReply(BaseModel):
    """An uploaded data set."""

    id: str
    owner: str
    file: str
    bytes: int
    created: str
    expires: str

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetReply:
        """Return the reply, with times as a person reads them."""
        return cls(
            id=dataset.id,
            owner=dataset.owner,
            file=dataset.file,
            bytes=dataset.bytes,
            created=when(dataset.created),
            expires=when(dataset.expires),
        )


class Datasets(BaseModel):
    """An owner's data sets, the newest first."""

    datasets: list[DatasetReply]


class StudyReply(BaseModel):
    """A study and how it stands."""

    id: str
    owner: str
    task: str
    study: str
    created: str
    state: str
    """queued, starting, running, stopping, done, failed or stopped."""
    since: str
    verb: str
    """frontier, confirm or export: what it does, or did last."""
    why: str
    """Why it waits, failed or goes on; empty where there is nothing to say."""
    concurrency: int
    """Trials at once that the queue has given; 0 before the first start."""
    quote: dict[str, Any]
    """What it was predicted to take."""
    progress: dict[str, Any] | None = None
    """How far it is, by its records; absent in lists and before the first record."""
    dashboard: str
    model: bool
    """Whether an exported model can be fetched."""


class Studies(BaseModel):
    """Studies, the oldest first."""

    studies: list[StudyReply]


class Deleted(BaseModel):
    """What is gone."""

    deleted: str


class Confirm(BaseModel):
    """What to confirm; all may be left out."""

    model_config = {"extra": "forbid"}
    draws: int | None = None
    hours: float | None = None


class Export(BaseModel):
    """Which point to export, and how; all may be left out."""

    model_config = {"extra": "forbid"}
    point: str | None = None
    format: str | None = None
    int8: bool = False


def when(seconds: float) -> str:
    """Return a time as ISO 8601, in UTC.

    >>> when(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def study(
    spec: Spec, state: State, why: str, model: bool, progress: dict[str, Any] | None = None
) -> StudyReply:
    """Return a study as it stands."""
    return StudyReply(
        id=spec.id,
        owner=spec.owner,
        task=spec.task,
        study=spec.study,
        created=when(spec.created),
        state=state.state,
        since=when(state.time),
        verb=state.verb,
        why=why,
        concurrency=state.concurrency,
        quote=dict(spec.quote),
        progress=progress,
        dashboard=f"/studies/{spec.id}/dashboard/",
        model=model,
    )
