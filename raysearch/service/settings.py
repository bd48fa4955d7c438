"""What an operator decides when the service starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raysearch.service.paths import Paths

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """One service."""

    paths: Paths
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})
    """Names by which it may be addressed, without a port."""
    data_dir: Path | None = None
    models_dir: Path | None = None
    storage: str | None = None
    """Passed on to studies."""
    hub: bool = False
    """Whether a submission may name a data set of the hub."""
    most_body: int = MIB
    """Longest body of a request that uploads nothing [bytes]."""
    most_dataset: int = 256 * MIB
    """Longest uploaded file [bytes]."""
    datasets: int = 50
    """Data sets that an owner may keep."""
    studies: int = 50
    """Studies that an owner may keep."""
    owner_trials: int | None = None
    """Trials at once of one owner; None: as many as the cluster has room for."""
    streams: int = 200
    """Live streams of events at once."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of each job."""

    def folders(self) -> list[str]:
        """Return the options for the folders of data and models."""
        given = (("data-dir", self.data_dir), ("models-dir", self.models_dir))
        return [f"--{name}={folder.resolve()}" for name, folder in given if folder is not None]

    def stored(self) -> list[str]:
        """Return the option for the storage of records."""
        return [] if self.storage is None else [f"--storage={self.storage}"]
