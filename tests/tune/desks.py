"""Desks over the fakes, opened as `run_study` opens them; the tests end their trials by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.run.folder import RunFolder, read_suggestions
from raysearch.search.budget import Budget
from raysearch.search.controller import StudyController
from raysearch.search.replicates import CONFIRM
from raysearch.search.suggestion import Suggestion
from tests.tune.fakes import KIT, FakePlace, FakeTrial, FakeWorld, failed, taught_space

STUDY = Study(name="fake", task="fake", labels=(32,))
KNOBS = {"learning_rate": 1e-3, "wish": "fine"}
TEACHER = Proposal("finetune", "base", 32, KNOBS)


def student(alpha: float = 0.5, teacher: Proposal = TEACHER, method: str = "kd") -> Proposal:
    return Proposal(method, "tiny", 32, {"alpha": alpha}, {"teacher": teacher})


def plain(k: int = 5) -> Proposal:
    return Proposal("lookup", "tiny", 32, {"k": k})


SPACE = taught_space(teachers=("assist", "finetune"))


def desk(
    out: Path,
    trials: int = 100,
    *,
    crossing: Sequence[Proposal] = (),
    space: SearchSpace = SPACE,
    draws: Sequence[TrialConfig] | None = None,
    **changes: Any,
) -> StudyController:
    """A desk as `run_study` opens it; with a crossing, of a grid study."""
    if crossing:
        changes |= {"searcher": "grid", "procedures": [{"method": p.method} for p in crossing]}
    study = Study.model_validate({**STUDY.model_dump(), **changes, "trials": trials})
    world = FakeWorld(space, crossed=tuple(crossing))
    out.mkdir(exist_ok=True)
    made = StudyController(
        study,
        world,
        RunFolder(out),
        dataclasses.replace(Budget.of(study), trials=trials if draws is None else len(draws)),
        KIT,
        place=world.place,
        phase="search" if draws is None else CONFIRM,
        on_event=None,
        draws=draws,
    )
    made.resume()
    return made


def id_of(proposal: Proposal) -> str:
    return FakeWorld(SPACE).configure(proposal).id


def end(
    at: StudyController, suggestion: Suggestion, status: str = "DONE", error: str | None = "no"
) -> None:
    """The trial ends so."""
    if status == "DONE":
        at.take(FakeTrial(suggestion.config, at.place, at.phase).record())
    else:
        bad = failed(suggestion.config, FakePlace(), at.phase, status, "", {})
        at.take(dataclasses.replace(bad, error=error))


def drawn(at: StudyController) -> Proposal | None:
    suggestion = at.draw()
    return None if suggestion is None else suggestion.proposal


def kept(at: StudyController) -> set[str]:
    return at.world.kept[-1]  # type: ignore[attr-defined, no-any-return]


def lines(out: Path) -> list[tuple[int, str, str]]:
    return [(s.number, s.source, s.proposal.method) for s in read_suggestions(RunFolder(out))]


def error(at: StudyController, proposal: Proposal) -> str | None:
    record = at.records[id_of(proposal)]
    assert record.status == "FAILED"
    return record.error
