"""The options of a study as values are those of the verbs that run one."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.cli.studies import frontier
from raysearch.errors import InputError
from raysearch.workflow.options import DEFAULT_OPTIONS, gpus_of
from raysearch.workflow.prepare import prepare

FACE_ALONE = {"yes", "dry_run", "as_json", "down_when_done"}
"""Options of the command line that `prepare` does not read."""


def test_defaults_are_the_options_of_the_verb() -> None:
    assert set(DEFAULT_OPTIONS) == {str(p.name) for p in frontier.params} - FACE_ALONE
    assert set(DEFAULT_OPTIONS.values()) == {None}


def test_a_study_is_prepared_from_defaults_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = prepare({**DEFAULT_OPTIONS, "models": "toy-tiny", "labels": "8", "trials": "2"})
    assert made.run.task.name == "toy" and made.run.study.trials == 2
    assert str(made.out) == "runs/toy-quick" and not made.extends and not made.out.exists()


def test_gpus_of_a_trial() -> None:
    assert gpus_of({}) is None and gpus_of({"gpus_per_trial": "0.5"}) == 0.5
    with pytest.raises(InputError, match="'1.5' must be a part of one GPU, or whole ones"):
        gpus_of({"gpus_per_trial": "1.5"})
