"""Read a study's records in a process of its own, so that requests do not wait for it.

Every answer equals that of the command line for the same folder.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError, unknown

if TYPE_CHECKING:
    from raysearch.analysis import Run

FILES = ("records.jsonl", "study.yaml")

UNREADABLE = "its records cannot be read"
"""Sentence for a study whose summary failed."""

Mark = tuple[tuple[int, int], ...]


def mark(run: Path) -> Mark:
    """Return sizes and times of the files that answers depend on."""
    out = []
    for name in FILES:
        try:
            found = (run / name).stat()
            out.append((found.st_mtime_ns, found.st_size))
        except OSError:
            out.append((0, 0))
    return tuple(out)


def begun(run: Path) -> bool:
    """Return whether there are records to read."""
    return (run / FILES[0]).exists() and (run / FILES[1]).exists()


def answer(what: str, run: str, given: Mapping[str, Any]) -> bytes:
    """Return one answer as bytes of JSON, or as the path of a file that holds it.

    Args:
        what: a key of `ANSWERS`.
        run: the run's folder.
        given: options, by the command line's names.

    Raises:
        InputError: what the command line would say.
    """
    return ANSWERS[what](Path(run), given)


def timed(what: str, run: str, given: Mapping[str, Any]) -> tuple[bytes, float]:
    """Return an answer, and how long it took to make [s]."""
    begun = time.monotonic()
    return answer(what, run, given), time.monotonic() - begun


def watch_parent(parent: int) -> None:
    """End this process when the service has ended, however it did."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(2.0)
        os._exit(0)

    threading.Thread(target=look, daemon=True).start()


@lru_cache(maxsize=4)
def _held(run: str, seen: Mark, shared_by: int | None) -> Run:
    from raysearch.analysis import read_run

    return read_run(Path(run), shared_by=shared_by)


def _run(run: Path, shared_by: int | None = None) -> Run:
    return _held(str(run), mark(run), shared_by)


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _progress(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.run.study_file import read_asrun
    from raysearch.workflow.status import status

    as_run = read_asrun(run)
    found = status(run)
    found.pop("running")  # the service reads it from its own files
    return _json({"wanted": as_run.study.trials, **found})


def _summary(run: Path, given: Mapping[str, Any]) -> bytes:
    """Return how far a run is and the first sentence of its page.

    For the list of studies.
    """
    from raysearch.errors import RaysearchError
    from raysearch.recommend.answer import answer as answered
    from raysearch.recommend.collect import collect
    from raysearch.recommend.sentences import headline
    from raysearch.recommend.words import text

    try:
        found = json.loads(_progress(run, given))
        kept = {name: found[name] for name in ("wanted", "trials", "draws")}
        if not found["by_status"].get("DONE"):
            return _json(kept)
        points = collect(_run(run))
        return _json(kept | {"says": text(headline(points, answered(points))[0])})
    except RaysearchError as e:
        return _json({"says": str(e)})
    except Exception:  # one broken run is a line of the list, not its end
        return _json({"says": UNREADABLE})


def _frontier(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.analysis import summary
    from raysearch.objectives import OBJECTIVES

    names = tuple(given.get("objectives") or ("score", "infer_flops"))
    for name in names:
        if name not in OBJECTIVES:
            raise unknown("objectives", "objective", name, OBJECTIVES)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError("objectives: must be two or more distinct names")
    return _json(summary(_run(run).table, names))


def _recommend(run: Path, given: Mapping[str, Any]) -> bytes:
    import numpy as np

    from raysearch.cli import options
    from raysearch.cli.answers import asked, to_json
    from raysearch.recommend.answer import answer as answered
    from raysearch.recommend.collect import collect
    from raysearch.recommend.label_value import unpriced
    from raysearch.recommend.points import OWN

    points = collect(_run(run, options.share_of(given)))
    setting = asked(points, dict(given))
    found = answered(points, **setting)
    if setting["cost"] == OWN and not np.isfinite(found.own).any():
        raise InputError(f"--cost own: {'; '.join(unpriced(points, found))}")
    return _json(to_json(points, found))


def _cache(run: Path) -> Path:
    folder = run.parent / "cache"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _put(path: Path, write: Callable[[Path], object]) -> bytes:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    write(draft)
    os.replace(draft, path)
    return str(path).encode()


def _parquet(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.analysis import write_parquet

    return _put(
        _cache(run) / "records.parquet", lambda draft: write_parquet(_run(run).table, draft)
    )


def _rows(run: Path, given: Mapping[str, Any]) -> bytes:
    table = _run(run).table
    return _put(
        _cache(run) / "records.json", lambda draft: table.to_json(draft, orient="records", indent=0)
    )


def _pages(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.panels.page import write_pages

    # No names of rows: those would open the data, and show hashes at most.
    return str(write_pages(_run(run), _cache(run) / "dashboard").parent).encode()


def _model(run: Path, given: Mapping[str, Any]) -> bytes:
    import zipfile

    source = run.parent / "model"
    if not source.is_dir():
        raise InputError("no model has been exported")

    def write(draft: Path) -> None:
        with zipfile.ZipFile(draft, "w") as out:
            for file in sorted(p for p in source.rglob("*") if p.is_file()):
                out.write(file, Path("model") / file.relative_to(source))

    return _put(_cache(run) / "model.zip", write)


ANSWERS: Mapping[str, Callable[[Path, Mapping[str, Any]], bytes]] = {
    "progress": _progress,
    "summary": _summary,
    "frontier": _frontier,
    "recommend": _recommend,
    "parquet": _parquet,
    "rows": _rows,
    "pages": _pages,
    "model": _model,
}
