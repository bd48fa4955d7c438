"""Build a study's command lines: the service runs what a person would type, nothing else."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysearch.errors import InputError, RaysearchError
from raysearch.run.folder import RunFolder
from raysearch.service.settings import Settings
from raysearch.service.study_state import Spec, State, run_in

LOG = "log.txt"
MODEL = "model"
CHECK_SECONDS = 300.0
"""Checking a study opens its data and prices it; longer than this is an error [s]."""
MARK = "raysearch: error: "
STORAGE = "RAYSEARCH_STORAGE"
"""Where the command line finds a storage; empty: none."""


def program(spec: Spec, state: State, folder: Path, settings: Settings) -> list[str]:
    """Return the words of a study's next job.

    A run that has begun is continued from its folder.

    Args:
        spec: what the study is.
        state: which verb is due, and how many trials at once it is given.
        folder: of the study.
        settings: where data, models and storage are.
    """
    run = run_in(folder)
    words = [sys.executable, "-m", "raysearch", state.verb]
    if state.verb == "frontier":
        if not RunFolder(run).study.exists():
            words += spec.arguments
        words += [f"--out={run}", "--yes", "--address=auto", f"--concurrency={state.concurrency}"]
        return [*words, *spec.devices, *settings.stored(), *settings.folders()]
    if state.verb == "confirm":
        words += [str(run), "--address=auto", *state.words, *spec.devices]
        return [*words, *settings.stored(), *settings.folders()]
    to = [f"--to={folder / MODEL}", "--force"]
    return [*words, str(run), *state.words, *to, *settings.folders()]


def shell(words: Sequence[str], folder: Path, job: str) -> str:
    """Return the job's entry point: its output and exit code outlive the head, as files.

    The shell itself takes no TERM, so that it still writes the code of a program that was stopped.
    """
    log, code = shlex.quote(str(folder / LOG)), shlex.quote(str(exit_file(folder, job)))
    return (
        f"trap : TERM INT; {shlex.join(words)} >>{log} 2>&1; code=$?; "
        f"echo $code >{code}.tmp && mv {code}.tmp {code}; exit $code"
    )


def exit_file(folder: Path, job: str) -> Path:
    """Return where a job's exit code is written."""
    return folder / f"exit-{job}"


def exit_code(folder: Path, job: str) -> int | None:
    """Return a job's exit code; None while it has none."""
    try:
        return int(exit_file(folder, job).read_text())
    except (OSError, ValueError):
        return None


def last_error(folder: Path) -> str:
    """Return the error with which a study's program ended; a plain sentence where it has none."""
    try:
        with (folder / LOG).open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - 65536))
            lines = f.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    errors = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    return errors[-1] if errors else "its program broke down; see its log"


def check(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run the command line's own check of a study: return its plan, or raise why it cannot run.

    In a process of its own: a file that exhausts the memory ends that process alone.

    Args:
        words: the options of `raysearch frontier`.
        environment: of jobs.

    Raises:
        InputError: the very sentence that a person would read.
        RaysearchError: the check itself broke down.
    """
    with tempfile.TemporaryDirectory(prefix="rs-check-") as scratch:
        out = f"--out={scratch}/run"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "raysearch", "frontier", *words]
                + [out, "--yes", "--dry-run", "--json"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CHECK_SECONDS,
                env={**os.environ, **environment, STORAGE: ""},  # it writes nothing there
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"checking takes longer than {CHECK_SECONDS:.0f} s") from None
        except (OSError, ValueError) as e:
            raise InputError(f"cannot be checked: {e}") from e
    errors = [x.removeprefix(MARK) for x in done.stderr.splitlines() if x.startswith(MARK)]
    if done.returncode == 2 and errors:
        raise InputError(errors[-1])
    try:
        quote = json.loads(done.stdout)
    except ValueError:
        quote = None
    if done.returncode or not isinstance(quote, dict):
        raise RaysearchError(errors[-1] if errors else f"the check broke down ({done.returncode})")
    return quote
