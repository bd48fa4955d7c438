"""A head of the service's own: in a session of its own, remembered, its remains taken away."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.service import ray_head

FAKE = """#!{python}
import http.server, sys
port = next(a for a in sys.argv if a.startswith("--dashboard-port=")).partition("=")[2]
handler = http.server.SimpleHTTPRequestHandler
http.server.HTTPServer(("127.0.0.1", int(port)), handler).serve_forever()
"""


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have `ray` be this script."""
    fake = tmp_path / "ray"
    fake.write_text(text.format(python=sys.executable))
    fake.chmod(0o755)
    monkeypatch.setattr(ray_head.shutil, "which", lambda *args, **named: str(fake))


def test_a_head_outlives_its_service_and_is_found_again(tmp_path: Path, monkeypatch):
    program(tmp_path, monkeypatch, FAKE)
    home = tmp_path / "ray-home"
    home.mkdir()
    lines: list[str] = []
    first = ray_head.start(home, lines.append)
    try:
        assert lines == [
            f"Ray runs on its own and outlives this service; end it with: kill {first.pid}"
        ]
        assert os.getsid(first.pid) == first.pid != os.getsid(0)
        assert ray_head.running_head(home) == first and ray_head.answers(
            int(first.dashboard.rpartition(":")[2])
        )
        assert stat.S_IMODE((home / "auth_token").stat().st_mode) == 0o600
        assert ray_head.environment(home)["RAY_AUTH_MODE"] == "token"
        kept = json.loads((home / "ray.json").read_text())
        (home / "ray.json").write_text(json.dumps({**kept, "begun": "1"}))
        assert ray_head.running_head(home) is None  # the same pid, another process
        (home / "ray.json").write_text(json.dumps(kept))
    finally:
        os.kill(first.pid, 9)
    while ray_head.running_head(home) is not None:
        time.sleep(0.05)
    token = (home / "auth_token").read_text()
    second = ray_head.start(home, lines.append)
    os.kill(second.pid, 9)
    assert not Path(first.temporary).exists() and Path(second.temporary).exists()
    assert (home / "auth_token").read_text() == token  # jobs of before still know it
    ray_head.shutil.rmtree(second.temporary)


def test_a_head_that_ends_as_it_starts_is_one_line(tmp_path: Path, monkeypatch):
    program(tmp_path, monkeypatch, "#!{python}\nraise SystemExit(3)\n")
    with pytest.raises(InputError, match=r"Ray ended as it started \(code 3\)"):
        ray_head.start(tmp_path, print)
    monkeypatch.setattr(ray_head.shutil, "which", lambda *args, **named: None)
    with pytest.raises(InputError, match="no such program"):
        ray_head.start(tmp_path, print)
