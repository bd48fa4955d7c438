"""The truth about each study: what was submitted and what became of it, as files of its folder."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from raysearch.errors import RecordError
from raysearch.service.datasets import Missing
from raysearch.service.home import NAME, Home

Kind = Literal["queued", "starting", "running", "stopping", "done", "failed", "stopped"]
ACTIVE: frozenset[Kind] = frozenset({"starting", "running", "stopping"})
"""States in which a job exists, or is about to."""
ENDED: frozenset[Kind] = frozenset({"done", "failed", "stopped"})
Verb = Literal["frontier", "confirm", "export"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a study is; written once."""

    id: str
    owner: str
    created: float
    task: str
    study: str
    arguments: Sequence[str]
    """Options of `raysearch frontier` for the first time; later the run's folder knows them."""
    datasets: Sequence[str] = ()
    """Ids of the owner's data sets that it reads."""
    concurrency: int | None = None
    """Trials at once at most; None: what the queue gives."""
    gpus: int = 0
    gpus_per_trial: float | None = None
    """None: what each trial is predicted to need."""
    quote: Mapping[str, Any] = field(default_factory=dict)
    """What it was predicted to take."""
    key: str = ""
    """What its owner's program calls the request: sent again, it makes no second study."""

    @property
    def devices(self) -> list[str]:
        """The option that keeps it to the GPUs it waits for."""
        if not self.gpus:
            return ["--gpus-per-trial=0"]
        return [] if self.gpus_per_trial is None else [f"--gpus-per-trial={self.gpus_per_trial:g}"]


@dataclass(frozen=True, slots=True)
class State:
    """One line of states.jsonl; the last is how things stand."""

    time: float
    state: Kind
    verb: Verb = "frontier"
    words: Sequence[str] = ()
    """Further options of the verb."""
    job: str = ""
    """The Ray Job at work, or the last one."""
    concurrency: int = 0
    """Trials at once that the queue has given."""
    attempt: int = 0
    """Jobs so far."""
    lost: int = 0
    """Jobs in a row that vanished without an end of their own."""
    recorded: int = 0
    """How long its records were when that job started [bytes]."""
    why: str = ""


def run_in(folder: Path) -> Path:
    """The run's folder in a study's.

    >>> run_in(Path("studies/toy-1f2e")).as_posix()
    'studies/toy-1f2e/toy-1f2e'
    """
    return folder / folder.name


class Book:
    """All studies of a root folder; reads are cached by the files' sizes and times."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._specs: dict[str, Spec] = {}
        self._states: dict[str, tuple[tuple[int, int], State]] = {}

    def all(self) -> list[tuple[Spec, State]]:
        """Every study as it stands, the oldest first; one whose files are broken is left out."""
        found = []
        for folder in self._home.studies.iterdir():
            if NAME.match(folder.name):
                try:
                    found.append((self.spec(folder.name), self.state(folder.name)))
                except (RecordError, Missing):
                    continue  # or just deleted
        return sorted(found, key=lambda s: (s[0].created, s[0].id))

    def ids(self) -> list[str]:
        """Every study's id, the oldest first."""
        return [spec.id for spec, _ in self.all()]

    def folder(self, id: str) -> Path:
        """Where a study lies; Missing when there is none."""
        if not NAME.match(id) or not (self._home.studies / id / "states.jsonl").exists():
            raise Missing(f"no study '{id[:80]}'")
        return self._home.studies / id

    def run(self, id: str) -> Path:
        """The run's folder: what the command line knows as --out.

        It is called as the study is: on a storage a run lies under its folder's name.
        """
        return run_in(self.folder(id))

    def spec(self, id: str) -> Spec:
        """What it is."""
        if id not in self._specs:
            path = self.folder(id) / "spec.json"
            try:
                found = Spec(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as e:
                raise RecordError(f"{path}: cannot be read: {e}") from e
            self._specs[id] = found
            return found  # whoever deletes it meanwhile
        return self._specs.get(id) or self.spec(id)

    def state(self, id: str) -> State:
        """How it stands."""
        path = self.folder(id) / "states.jsonl"
        try:
            found = path.stat()
        except OSError as e:
            raise Missing(f"no study '{id[:80]}'") from e  # deleted this moment
        mark = (found.st_mtime_ns, found.st_size)
        held = self._states.get(id)
        if held is None or held[0] != mark:
            held = (mark, self.states(id)[-1])
            self._states[id] = held
        return held[1]

    def states(self, id: str) -> list[State]:
        """How it stood, the oldest first; a torn line is left out."""
        out, path = [], self.folder(id) / "states.jsonl"
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as e:
            raise RecordError(f"{path}: cannot be read: {e.strerror}") from e
        for line in text.splitlines():
            try:
                out.append(State(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        if not out:
            raise RecordError(f"study '{id}': states.jsonl holds no state")
        return out

    def create(self, spec: Spec, made: Path) -> None:
        """Enter a study that waits; `made` is the folder prepared for it, which takes its name."""
        state = State(time.time(), "queued")
        try:
            (made / "spec.json").write_text(json.dumps(asdict(spec)) + "\n", "utf-8")
            (made / "states.jsonl").write_text(json.dumps(asdict(state)) + "\n", "utf-8")
            os.rename(made, self._home.studies / spec.id)
        except OSError as e:
            raise RecordError(f"study '{spec.id}' cannot be written: {e.strerror}") from e

    def move(self, id: str, state: Kind, **change: Any) -> State:
        """Append the next state; what `change` does not name stays as it was."""
        change.setdefault("why", "")
        new = replace(self.state(id), time=time.time(), state=state, **change)
        path = self.folder(id) / "states.jsonl"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                # A newline first where a crash has torn the last line.
                whole = path.read_bytes()[-1:] in (b"", b"\n")
                line = ("" if whole else "\n") + json.dumps(asdict(new)) + "\n"
                os.write(handle, line.encode())
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as e:
            raise RecordError(f"{path}: cannot be written: {e.strerror}") from e
        return new

    def delete(self, id: str) -> None:
        """Remove a study: first its name goes, then its files."""
        folder = self.folder(id)
        gone = folder.with_name(f".{id}.{uuid.uuid4().hex[:8]}")
        os.rename(folder, gone)
        self._specs.pop(id, None)
        self._states.pop(id, None)
        shutil.rmtree(gone, ignore_errors=True)
