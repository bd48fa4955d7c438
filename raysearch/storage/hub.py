"""Read a data set from the hub: one attempt, no retries, no remote code run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from raysearch.config.task import Task
from raysearch.errors import InputError

HUB_SECONDS = 5.0
"""A hub that has not answered by then is called out of reach."""


def hub_id(source: str) -> tuple[str, str | None, str | None]:
    """Split `hf:owner/name[:config][@revision]` into its three parts.

    >>> hub_id("hf:nyu-mll/glue:cola@bcdc")
    ('nyu-mll/glue', 'cola', 'bcdc')
    """
    rest, _, revision = source.removeprefix("hf:").partition("@")
    name, _, config = rest.partition(":")
    return name, config or None, revision or None


@cache
def answers() -> bool:
    """Return True if the hub is reachable; checked once a process, since its client retries."""
    from huggingface_hub import constants as hub
    from huggingface_hub import get_session

    if hub.HF_HUB_OFFLINE:
        return False
    try:
        # the client's own session has the proxies and certificates of later downloads
        get_session().head(f"{hub.ENDPOINT}/api/models?limit=1", timeout=HUB_SECONDS)
    except Exception:  # all errors of the HTTP library: the hub is unreachable
        return False
    return True


def fetch(task: Task) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Load a `hf:` source; return its splits as `datasets` names them, and remarks on them.

    Raises:
        InputError: the hub is out of reach and nothing is cached, or has no such data set; one
            line, within seconds.
    """
    name, config, revision = hub_id(task.source)
    _remote(name)
    commit, online = _commit(name, revision, task)
    loaded = _load(name, config, revision, task, online=online)
    if revision is not None:
        return loaded, ()
    at = f"commit {commit}" if commit else "the copy in the local cache"
    return loaded, (f"hf:{name}: not pinned to a revision; read at {at}",)


def _remote(name: str) -> None:
    """Raise InputError for a name that the library would read as files of this machine."""
    from datasets import packaged_modules

    if Path(name).exists():
        raise InputError(f"hf:{name}: is a folder here, must be a data set of the hub")
    if name in packaged_modules._PACKAGED_DATASETS_MODULES:  # whatever lies in this folder
        raise InputError(f"hf:{name}: is a kind of file, must be a data set of the hub")


def _commit(name: str, revision: str | None, task: Task) -> tuple[str | None, bool]:
    """Request the revision's commit from the hub once; return it and whether the hub answered.

    NOTE: load_dataset itself retries for minutes when the hub is out of reach.
    """
    from huggingface_hub import HfApi
    from huggingface_hub import constants as hub
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if hub.HF_HUB_OFFLINE:
        return None, False
    try:
        return HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS).sha, True
    except RepositoryNotFoundError as e:
        raise InputError(f"task '{task.name}': the hub has no public data set '{name}'") from e
    except HfHubHTTPError as e:
        status = getattr(getattr(e, "response", None), "status_code", None)
        if status is not None and status < 500:
            raise InputError(f"hf:{name}: the hub answers {status} for revision {revision}") from e
        return None, False
    except Exception:  # all errors of the HTTP library: the hub is unreachable
        return None, False


def _load(name: str, config: str | None, revision: str | None, task: Task, *, online: bool) -> Any:
    import datasets

    try:
        if online:
            return datasets.load_dataset(name, config, revision=revision)
        with offline():
            return datasets.load_dataset(name, config, revision=revision)
    except Exception as e:  # datasets raises nearly anything; one line is all a person needs
        if online:
            reason = " ".join(str(e).split())[:200]
            raise InputError(f"hf:{name}: cannot be loaded: {reason}") from e
        folder = task.folder or task.name
        raise InputError(
            f"hf:{name}: the hub is out of reach and nothing is cached; put the files into a folder"
            f" '{folder}' (train.parquet with text and label, ...) and give --data-dir"
        ) from e


@contextmanager
def offline() -> Iterator[None]:
    """Read from the local cache only, for the length of the block."""
    import datasets
    from huggingface_hub import constants as hub

    before = datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before
