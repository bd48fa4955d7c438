"""Old runs that go on, with Ray: what they add."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.run.outputs import Output, output
from tests.support.verbs import Say


def one_more_draw(say: Say, run: Path) -> Any:
    """Confirm on four draws what was confirmed on three."""
    before = (run / "records.jsonl").read_bytes()
    output(say, "confirm", run, "--draws", "4")
    return added(run, before)


def resumed(say: Say, run: Path) -> Any:
    """Go on with an interrupted study to its end."""
    before = (run / "records.jsonl").read_bytes()
    output(say, "resume", run, "--yes")
    return added(run, before)


OUTPUTS: dict[str, dict[str, Output]] = {
    "search": {"one_more_draw": one_more_draw},
    "grid": {"resumed": resumed},
}
"""What is kept of each run that goes on, by the name of its file."""


def added(run: Path, before: bytes) -> list[dict[str, Any]]:
    """The trials that were added, by id; what stood there stands there, and no id twice."""
    now = (run / "records.jsonl").read_bytes()
    assert now.startswith(before)
    trials = [e for e in map(json.loads, now.decode().splitlines()) if e["event"] == "trial"]
    assert set(Counter(e["id"] for e in trials).values()) == {1}
    known = before.decode().count('"event": "trial"')
    return sorted((trial(e) for e in trials[known:]), key=lambda t: str(t["id"]))


def trial(event: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a trial: all but times."""
    first = event["points"][0]["scores"] if event["points"] else {}
    return {
        "id": event["id"],
        "method": event["config"]["method"],
        "rung": event["config"]["rung"],
        "data": event["config"]["data"],
        "phase": event["phase"],
        "status": event["status"],
        "step": event["step"],
        "points": len(event["points"]),
        "labels_used": event["labels_used"],
        "flops": sum(c.get("flops", 0) for c in event["bill"]),
        "scores": {split: of[event["score"]] for split, of in first.items()},
    }
