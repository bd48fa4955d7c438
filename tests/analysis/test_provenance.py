"""The commands that make a run again: shares, pools and own data's questions are among them."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysearch.analysis import read_run
from raysearch.analysis.provenance import commands
from raysearch.config.catalog import task_to_json
from raysearch.data.own import own_task
from tests.support.judged import own_csv
from tests.support.synthetic import records, write_run


def frontier(folder: Path, methods: tuple[str, ...], **more: Any) -> list[str]:
    """The words of the command that makes the run."""
    share = more.pop("share", None)
    run = read_run(write_run(folder, records(20, methods=methods), **more), shared_by=share)
    (line,) = [s for s in commands(run, "p", "paper") if s.startswith("raysearch frontier")]
    return shlex.split(line)


def option_values(words: list[str], option: str) -> list[str]:
    return [b for a, b in zip(words, words[1:], strict=False) if a == option]


def test_a_share_is_told_where_there_are_teachers(tmp_path: Path) -> None:
    taught = frontier(tmp_path / "a", ("distill",), shared_by=6, pool="/elsewhere/more.csv")
    assert option_values(taught, "--share-teacher") == ["6"] and option_values(
        taught, "--pool"
    ) == ["more.csv"]
    other = frontier(tmp_path / "b", ("distill",), shared_by=6, share=2)
    assert option_values(other, "--share-teacher") == ["2"] and option_values(other, "--pool") == []
    assert (
        option_values(frontier(tmp_path / "c", ("finetune",), shared_by=6), "--share-teacher") == []
    )


def test_an_own_question_is_told_so_that_it_reads_back(tmp_path: Path) -> None:
    path = str(own_csv(tmp_path / "own.csv"))
    own = own_task(path, templates=("{text} is {mask}.", "{mask}: {text}"), words="n=bad,odd;p=ok")
    words = frontier(tmp_path / "run", ("prompt",), task_as_run=task_to_json(own))
    (option,) = option_values(words, "--words")
    assert asdict(
        own_task(path, templates=option_values(words, "--template"), words=option)
    ) == asdict(own)
    bare = frontier(tmp_path / "bare", ("finetune",), task_as_run=task_to_json(own_task(path)))
    assert option_values(bare, "--words") == option_values(bare, "--template") == []
