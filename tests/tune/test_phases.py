"""The confirming phase as the verbs run it: its limits, its words, and going on; without Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.data import crossfit
from raysearch.errors import InputError
from raysearch.run.folder import RunFolder
from raysearch.search.budget import Budget, spent_by
from raysearch.search.controller import StudyController
from raysearch.search.replicates import CONFIRM
from raysearch.tune import runner
from raysearch.tune.runner import Outcome
from raysearch.workflow.confirm import SEARCH_SHARE, Confirmed, confirm_run, search_budget
from raysearch.workflow.prepare import Prepared
from tests.tune.fakes import KIT, FakeTrial, FakeWorld, space


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class InTurn:
    """`run_study` without Ray: what the desk hands out, one after the other."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.most = 10**6
        """Stops as if interrupted after so many trials."""

    def __call__(
        self,
        study: Study,
        world: FakeWorld,
        out: Path,
        *,
        draws: Sequence[TrialConfig] | None = None,
        budget: Budget | None = None,
        **more: Any,
    ) -> Outcome:
        self.calls.append({"draws": draws, "budget": budget, **more})
        limit = study.trials if draws is None else len(draws)
        desk = StudyController(
            study,
            world,
            RunFolder(out),
            dataclasses.replace(budget or Budget.of(study), trials=limit),
            KIT,
            place=world.place,
            phase="search" if draws is None else CONFIRM,
            on_event=None,
            draws=draws,
        )
        desk.resume()
        ran = 0
        while ran < self.most and (suggestion := desk.draw()) is not None:
            desk.take(FakeTrial(suggestion.config, desk.place, desk.phase).record())
            ran += 1
        desk.close()
        stop = ran >= self.most
        counts = {"DONE": len(desk.phase_records)}
        return Outcome(counts, ran, 0, desk.spent.flops, 0.0, 0, desk.stopped_by, stop)


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> InTurn:
    made = InTurn()
    monkeypatch.setattr(runner, "run_study", made)
    monkeypatch.setattr(crossfit, "folds_of", lambda data: data)  # the world's data are its folds
    return made


Make = Callable[..., Any]


@pytest.fixture
def prepared(tmp_path: Path) -> Make:
    """A prepared study over the fakes, whose search of 12 trials has run."""

    def make(folds: int = 0, **changes: Any) -> Any:
        study = Study.model_validate(
            {"name": "fake", "task": "fake", "labels": (32, 100), "trials": 12, **changes}
        )
        world = FakeWorld(space())
        world.data = folds  # type: ignore[attr-defined]
        out = tmp_path / "run"
        out.mkdir()
        InTurn()(study.model_copy(update={"flops": None, "dollars": None}), world, out)
        return Prepared(SimpleNamespace(study=study), world, out, False)

    return make


def spent(out: Path, phase: str) -> float:
    return spent_by(r for r in RunFolder(out).read().trials if r.phase == phase).flops


def confirm(at: Any, draws: int = 3, **more: Any) -> tuple[Confirmed, list[str]]:
    lines: list[str] = []
    return confirm_run(at, draws, lines.append, **more), lines


def test_candidates_are_confirmed_and_it_is_said_what_that_costs(
    turn: InTurn, prepared: Make
) -> None:
    at = prepared()
    done, lines = confirm(at)
    assert done.outcome is not None and done.left_out == 0 and done.rounds == 3
    assert done.outcome.by_status == {"DONE": 3 * done.chosen}
    assert lines[0].startswith(f"confirming {done.chosen} of {done.chosen} candidates on 3 fresh ")
    assert f"{3 * done.chosen} trials, " in lines[0] and "cross-fitting" not in lines[0]
    assert done.to_json() == {
        "candidates": done.chosen,
        "left_out": 0,
        "draws": 3,
        "folds": 0,
        "trials": {"DONE": 3 * done.chosen},
    }
    again, lines = confirm(at)
    assert again.outcome is None and len(turn.calls) == 1, "nothing is due: nothing is started"
    assert "0 trials, " in lines[0] and again.to_json()["trials"] == {}


def test_cross_fitting_is_said(turn: InTurn, prepared: Make) -> None:
    done, lines = confirm(prepared(folds=4), 5)
    assert (done.rounds, done.folds) == (8, 4)
    assert "; 4-fold cross-fitting judges every row 2x" in lines[0]
    assert {d.data.folds for d in turn.calls[0]["draws"]} == {4}


def test_nothing_to_confirm_is_an_error(turn: InTurn, prepared: Make) -> None:
    at = prepared()
    (at.out / "records.jsonl").unlink()
    with pytest.raises(InputError, match="no finished trial to confirm$"):
        confirm(at)


def test_hours_bind_and_candidates_left_out_are_said(turn: InTurn, prepared: Make) -> None:
    at = prepared()
    none, lines = confirm(at, hours=0.0)
    assert (none.chosen, none.outcome) == (0, None) and turn.calls == []
    assert f"{none.left_out} candidates do not fit the limits" in lines[0]
    some, lines = confirm(at, hours=3 * 2 * 3.5 / 3600)
    assert 0 < some.chosen < some.chosen + some.left_out == none.left_out
    assert turn.calls[-1]["budget"].hours == 3 * 2 * 3.5 / 3600


def test_flops_are_what_the_search_has_left(turn: InTurn, prepared: Make) -> None:
    at = prepared()
    used = spent(at.out, "search")
    at.run.study = at.run.study.model_copy(update={"flops": used + 3e9})
    done, _ = confirm(at)
    assert turn.calls[-1]["budget"].flops == pytest.approx(3e9)
    assert done.left_out > 0 and spent(at.out, CONFIRM) <= 3e9
    at.run.study = at.run.study.model_copy(update={"flops": used / 2})
    assert confirm(at)[0].outcome is None, "a limit that the search has passed starts nothing"


@pytest.mark.parametrize("limit", ["flops", "dollars"])
def test_a_limit_does_not_stop_what_was_interrupted(
    turn: InTurn, prepared: Make, limit: str
) -> None:
    """The limit has room for all draws; they are interrupted after two rounds of three."""
    at = prepared(prices={"cpu_hour": 3600.0})  # a dollar a second, half a second a trial
    whole, _ = confirm(prepared_copy(at))
    assert whole.outcome is not None
    records = RunFolder(at.out).read().trials
    used = {"flops": spent(at.out, "search"), "dollars": 0.5 * len(records)}[limit]
    need = {"flops": whole.outcome.flops, "dollars": 0.5 * 3 * whole.chosen}[limit]
    at.run.study = at.run.study.model_copy(update={limit: used + 1.01 * need})
    turn.most = 2 * whole.chosen
    first, _ = confirm(at)
    assert first.left_out == 0 and first.outcome is not None and first.outcome.interrupted
    turn.most = 10**6
    confirm(at)
    ran = [r for r in RunFolder(at.out).read().trials if r.phase == CONFIRM]
    assert len(ran) == 3 * whole.chosen


def prepared_copy(at: Any) -> Any:
    """The same run in a folder of its own."""
    out = at.out.with_name("copy")
    out.mkdir()
    (out / "records.jsonl").write_bytes((at.out / "records.jsonl").read_bytes())
    return Prepared(at.run, at.world, out, False)


@pytest.mark.parametrize("limit", ["dollars", "gpu_hours"])
def test_every_limit_of_the_study_binds_its_draws_too(
    turn: InTurn, prepared: Make, limit: str
) -> None:
    at = prepared(**{limit: 1.0}, prices={"cpu_hour": 1.0})
    confirm(at)
    assert getattr(turn.calls[-1]["budget"], limit) is not None


def test_the_search_leaves_a_part_of_every_limit_to_its_draws() -> None:
    limits = {"hours": 1.0, "gpu_hours": 2.0, "flops": 3e9, "dollars": 4.0}
    study = Study.model_validate({"name": "s", "prices": {"cpu_hour": 1.0}, **limits})
    part = search_budget(study)
    for name, value in limits.items():
        assert getattr(part, name) == SEARCH_SHARE * value
    assert part.trials == study.trials and part.prices == study.prices
    assert search_budget(study.model_copy(update={"draws": 0})) == Budget.of(study)
    free = search_budget(Study(name="s"))
    assert (free.hours, free.flops, free.dollars, free.gpu_hours) == (None, None, None, None)
