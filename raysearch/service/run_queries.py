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
from raysearch.run.folder import PAGES, TABLE, Mark, RunFolder

if TYPE_CHECKING:
    from raysearch.analysis import Run, RunReader

UNREADABLE = "its records cannot be read"
"""Sentence for a study whose summary failed."""

READERS = 4
"""Runs that are kept as they were read last."""


def mark(run: Path) -> Mark:
    """Return what answers depend on: times and sizes of a run's files."""
    return RunFolder(run).mark()


def begun(run: Path) -> bool:
    """Return whether there are records to read."""
    folder = RunFolder(run)
    return folder.records.exists() and folder.study.exists()


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


@lru_cache(maxsize=READERS)
def _reader(run: str, shared_by: int | None) -> RunReader:
    from raysearch.analysis import RunReader

    return RunReader(run, shared_by=shared_by)


def _run(run: Path, shared_by: int | None = None) -> Run:
    return _reader(str(run), shared_by).read()


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _progress(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.workflow.status import study_status

    status = study_status(run)
    for key in ("task", "study", "running"):  # the service reads them from its own files
        status.pop(key)
    return _json({"wanted": status.pop("wanted"), **status})


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
        progress = json.loads(_progress(run, given))
        kept = {name: progress[name] for name in ("wanted", "trials", "draws")}
        if not progress["by_status"].get("DONE"):
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
    from raysearch.recommend import request

    points, given_answer = request.recommend(_run(run, request.share_of(given)), given)
    return _json(request.to_json(points, given_answer))


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

    return _put(_cache(run) / TABLE, lambda draft: write_parquet(_run(run).table, draft))


def _rows(run: Path, given: Mapping[str, Any]) -> bytes:
    table = _run(run).table
    return _put(
        _cache(run) / "records.json", lambda draft: table.to_json(draft, orient="records", indent=0)
    )


def _pages(run: Path, given: Mapping[str, Any]) -> bytes:
    from raysearch.panels.page import write_pages

    # No names of rows: those would open the data, and show hashes at most.
    return str(write_pages(_run(run), _cache(run) / PAGES).parent).encode()


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
