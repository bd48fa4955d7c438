"""A service in this process, asked over ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.fakes import HOST, Site, site


@pytest.fixture
def rig(tmp_path: Path) -> Site:
    return site(tmp_path / "root")


@pytest.fixture
def ask(rig: Site) -> Iterator[TestClient]:
    """A client with anna's token."""
    with TestClient(rig.app, base_url=f"http://{HOST}:8100") as client:
        client.headers["Authorization"] = f"Bearer {rig.anna}"
        yield client
