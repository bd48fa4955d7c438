"""Which draws a confirming phase runs, in which order, and what it leaves alone; without Ray."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.analysis.table import to_table
from raysearch.analysis.winners import selected, winners
from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.ledger import OWN, Charge
from raysearch.record import TrialRecord
from raysearch.run.folder import RunFolder, read_suggestions
from raysearch.search.budget import Budget
from raysearch.search.controller import StudyController
from raysearch.search.replicates import (
    CONFIRM,
    START_SECONDS,
    Limits,
    Plan,
    ReplicateQueue,
    plan_replicates,
)
from tests.support import synthetic
from tests.tune.fakes import KIT, FakeTrial, FakeWorld, failed, space

STUDY = Study(name="s", task="sst2")
METHODS = ("ngram_linear", "embed_linear", "finetune", "early_exit")


def records(n: int, seed: int = 0, **more: Any) -> list[TrialRecord]:
    """Synthetic records of a search that uses seed 0 alone, as true ones do."""
    made = synthetic.records(n, seed=seed, **more)
    out = []
    for r in made:
        config = r.config.with_seed(r.config.data.seed - 100 if r.phase == CONFIRM else 0)
        out.append(dataclasses.replace(r, id=config.id, config=config))
    return out


MADE = records(120, seed=3, methods=METHODS)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def plan(made: Sequence[TrialRecord] = MADE, draws: int = 3, **more: Any) -> Plan:
    return plan_replicates(made, STUDY, draws, **more)


def confirmed(config: TrialConfig, like: TrialRecord) -> TrialRecord:
    return dataclasses.replace(like, id=config.id, config=config, phase=CONFIRM)


def with_tests(made: Sequence[TrialRecord], seed: int | None) -> list[TrialRecord]:
    """The same records with other test scores, or with none."""
    rng = random.Random(seed)
    out = []
    for r in made:
        points = []
        for p in r.points:
            scores = {k: v for k, v in p.scores.items() if k != "test"}
            if seed is not None:
                scores["test"] = {r.score: rng.random()}
            points.append(dataclasses.replace(p, scores=scores))
        out.append(dataclasses.replace(r, points=tuple(points)))
    return out


def brute(made: Sequence[TrialRecord]) -> set[str]:
    """Trials of the frontier (score, inference) and each method's best per budget, by comparing."""
    points = [
        (r, p)
        for r in made
        if r.status == "DONE" and r.phase != CONFIRM
        for p in r.points
        if r.score in p.scores.get("validation", {})
    ]

    def value(r: TrialRecord, p: Any) -> float:
        return float(p.scores["validation"][r.score])

    def flops(r: TrialRecord) -> float:
        return sum(c.flops for c in r.bill if c.phase in ("train", "validate"))

    out = set()
    for r, p in points:
        v = value(r, p)
        beaten = [
            1
            for s, q in points
            if (value(s, q) >= v and q.infer_flops <= p.infer_flops)
            and (value(s, q) > v or q.infer_flops < p.infer_flops)
        ]
        equal = [
            (flops(s), q.point_id)
            for s, q in points
            if value(s, q) == v and q.infer_flops == p.infer_flops
        ]
        if not beaten and min(equal) == (flops(r), p.point_id):
            out.add(r.id)
        mates = [
            (-value(s, q), q.infer_flops, flops(s), s.id, q.point_id)
            for s, q in points
            if (s.config.method, s.config.data.train) == (r.config.method, r.config.data.train)
        ]
        if min(mates)[-1] == p.point_id:
            out.add(r.id)
    return out


@pytest.mark.parametrize("seed", range(6))
def test_the_candidates_are_the_frontier_and_each_methods_best_per_budget(seed: int) -> None:
    made = records(90, seed=seed, methods=METHODS)
    study = STUDY.model_copy(update={"objectives": ("score", "infer_flops")})
    assert set(plan_replicates(made, study, 3).chosen) == brute(made)
    more = set(plan(made).chosen)
    assert more == brute(made) | set(selected(to_table(made), STUDY.objectives)["id"])


def test_the_most_telling_come_first() -> None:
    table = to_table(MADE)
    chosen = list(plan().chosen)
    won = winners(table).sort_values("score_validation", ascending=False, kind="stable")
    heads = won.drop_duplicates("method")
    assert {r.config.method for r in MADE if r.id in chosen[: len(METHODS)]} == set(METHODS)
    assert set(chosen[: len(METHODS)]) == set(heads["id"])
    assert chosen[0] == heads["id"].iloc[0], "the best of all before any other"
    front = set(selected(table, ("score", "infer_flops"))["id"])
    n = len(front | set(heads["id"]))
    assert set(chosen[:n]) == front | set(heads["id"])
    assert len(chosen) == len(set(chosen)), "a candidate by two rules runs once"


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_test_scores_never_change_the_plan(seed: int | None) -> None:
    assert plan(with_tests(MADE, seed)) == plan(MADE)


def test_the_order_of_the_records_changes_nothing() -> None:
    shuffled = list(MADE)
    random.Random(0).shuffle(shuffled)
    made = plan(shuffled)
    # sums of seconds round by their order: not compared
    assert (made.draws, made.chosen) == (plan().draws, plan().chosen)


def test_what_has_no_validation_score_or_did_not_end_is_no_candidate() -> None:
    bare = [
        dataclasses.replace(r, points=tuple(dataclasses.replace(p, scores={}) for p in r.points))
        for r in MADE
    ]
    assert plan(bare).chosen == () and plan(bare).draws == ()
    lost = [dataclasses.replace(r, status="STOPPED") for r in MADE]
    assert plan(lost) == plan([])
    assert plan([]).draws == () and plan([]).due == 0


def test_draws_go_candidate_by_candidate_in_their_order() -> None:
    made = plan(draws=3)
    n = len(made.chosen)
    configs = {r.id: r.config for r in MADE}
    assert (made.rounds, made.folds, len(made.draws), made.due) == (3, 0, 3 * n, 3 * n)
    for k, config in enumerate(made.draws):
        assert config == configs[made.chosen[k // 3]].with_seed(k % 3 + 1)


@pytest.mark.parametrize(
    ("draws", "folds", "rounds"), [(5, 7, 7), (7, 7, 7), (8, 7, 14), (1, 2, 2), (3, 0, 3)]
)
def test_cross_fitting_fills_up_whole_rounds_of_folds(draws: int, folds: int, rounds: int) -> None:
    made = plan(draws=draws, folds=folds)
    assert (made.rounds, made.folds) == (rounds, folds)
    for id_ in made.chosen:
        config = next(r.config for r in MADE if r.id == id_)
        own = [d for d in made.draws if d.seedless_id == config.seedless_id]
        assert [d.data.seed for d in own] == list(range(1, rounds + 1))
        assert {d.data.folds for d in own} == {folds}


def test_what_has_run_is_not_due_however_it_ended() -> None:
    first = plan(draws=3)
    by_id = {r.id: r for r in MADE}
    like = by_id[first.chosen[0]]
    ran = [confirmed(c, like) for c in first.draws[:5]]
    ran[0] = dataclasses.replace(ran[0], status="FAILED", points=())
    again = plan([*MADE, *ran], draws=3)
    assert (again.draws, again.chosen) == (first.draws, first.chosen)
    assert again.due == first.due - 5
    assert again.seconds < first.seconds and again.flops < first.flops
    whole = plan([*MADE, *(confirmed(c, like) for c in first.draws)], draws=3)
    assert (whole.due, whole.seconds, whole.flops) == (0, 0.0, 0.0)


def test_more_draws_later_only_add() -> None:
    three, five = plan(draws=3), plan(draws=5)
    known = {d.id for d in three.draws}
    assert known < {d.id for d in five.draws} and five.chosen == three.chosen
    like = next(r for r in MADE if r.id == three.chosen[0])
    ran = [confirmed(c, like) for c in three.draws]
    later = plan([*MADE, *ran], draws=5)
    assert later.draws == five.draws and later.due == 2 * len(three.chosen)
    queue = ReplicateQueue(later.draws)
    queue.resume(ran, [])
    offered = []
    while (suggestion := queue.suggest()) is not None:
        offered.append(suggestion.config)
    assert offered == [d for d in five.draws if d.id not in known]
    fewer = plan([*MADE, *ran, *(confirmed(c, like) for c in offered)], draws=3)
    assert fewer.due == 0 and fewer.draws == three.draws


def test_confirming_draws_are_no_candidates() -> None:
    drawn = records(60, seed=1, confirm=3)
    search = [r for r in drawn if r.phase == "search"]
    assert plan(drawn).chosen == plan(search).chosen
    best = max(r.points[0].scores["validation"]["accuracy"] for r in search if r.points)
    lucky = next(r for r in drawn if r.phase == CONFIRM)
    points = [
        dataclasses.replace(p, scores={"validation": {"accuracy": 1.0}}) for p in lucky.points
    ]
    lucky = dataclasses.replace(lucky, points=tuple(points))
    assert best < 1.0 and plan([*search, lucky]).chosen == plan(search).chosen


def price(id_: str, draws: int = 3, concurrency: int = 1) -> tuple[float, float]:
    """(seconds, FLOPs) of a candidate's draws."""
    bill = [c for r in MADE if r.id == id_ for c in r.bill if c.payer == OWN]
    seconds = draws * (sum(c.seconds for c in bill) + START_SECONDS) / concurrency
    return seconds, float(draws * sum(c.flops for c in bill))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_price_is_that_of_the_searchs_own_bills(concurrency: int) -> None:
    made = plan(concurrency=concurrency)
    prices = [price(i, concurrency=concurrency) for i in made.chosen]
    assert made.seconds == pytest.approx(sum(s for s, _ in prices))
    assert made.flops == pytest.approx(sum(f for _, f in prices))


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 1.2), st.floats(0, 1.2))
def test_limits_leave_out_whole_candidates_that_do_not_fit(hours: float, flops: float) -> None:
    free = plan()
    limits = Limits(hours * free.seconds / 3600, flops * free.flops)
    made = plan(limits=limits)
    assert [i for i in free.chosen if i in made.chosen] == list(made.chosen)
    assert [i for i in free.chosen if i in made.left_out] == list(made.left_out)
    assert set(made.chosen) | set(made.left_out) == set(free.chosen)
    assert made.seconds <= 3600 * limits.hours and made.flops <= limits.flops
    assert Counter(d.seedless_id for d in made.draws) == Counter(
        {r.config.seedless_id: 3 for r in MADE if r.id in made.chosen}
    ), "three draws or none"
    seconds = spent = 0.0
    for id_ in free.chosen:  # the rule itself: in their order, whoever still fits
        s, f = price(id_)
        fits = seconds + s <= 3600 * limits.hours and spent + f <= limits.flops
        assert fits == (id_ in made.chosen)
        if fits:
            seconds, spent = seconds + s, spent + f


def test_a_dear_candidate_makes_room_for_cheaper_ones_behind_it() -> None:
    free = plan()
    dear = max(free.chosen, key=lambda i: price(i)[1])
    rest = free.flops - price(dear)[1]
    at = free.chosen.index(dear)
    assert at < len(free.chosen) - 1, "others stand behind it"
    made = plan(limits=Limits(flops=rest))
    assert free.chosen[0] in made.chosen
    assert len(made.left_out) >= 1
    assert plan(limits=Limits(hours=free.seconds / 3600, flops=free.flops)).left_out == ()


def test_limits_never_take_back_what_has_run() -> None:
    first = plan()
    like = next(r for r in MADE if r.id == first.chosen[0])
    ran = [confirmed(d, like) for d in first.draws if d.seedless_id == like.config.seedless_id]
    none = plan([*MADE, *ran], limits=Limits(hours=0.0, flops=0.0))
    assert none.chosen == (like.id,) and none.due == 0
    assert len(none.left_out) == len(first.chosen) - 1


# The queue and the desk


def test_the_queue_offers_each_draw_once_and_unfinished_ones_first() -> None:
    made = plan()
    queue = ReplicateQueue(made.draws)
    first = queue.suggest()
    assert first is not None and first.source == CONFIRM and first.config == made.draws[0]
    assert first.proposal.labels == first.config.data.train
    assert first.proposal.hyper == first.config.hyper
    queue.requeue(first.proposal, first.config)
    again = queue.suggest()
    assert again is not None and again.config == first.config
    rest = []
    while (suggestion := queue.suggest()) is not None:
        rest.append(suggestion.config)
    assert rest == list(made.draws[1:]) and queue.suggest() is None
    twice = ReplicateQueue([*made.draws[:2], *made.draws[:2]])
    assert [o.config for o in iter(twice.suggest, None)] == list(made.draws[:2])


FAKE = {"name": "fake", "task": "fake", "labels": (32, 100)}


def desk(out: Path, trials: int, draws: Sequence[TrialConfig] | None = None) -> StudyController:
    """A desk as `run_study` opens it."""
    study = Study.model_validate({**FAKE, "trials": trials})
    out.mkdir(exist_ok=True)
    made = StudyController(
        study,
        FakeWorld(space()),
        RunFolder(out),
        dataclasses.replace(Budget.of(study), trials=trials if draws is None else len(draws)),
        KIT,
        place=FakeWorld(space()).place,
        phase="search" if draws is None else CONFIRM,
        on_event=None,
        draws=draws,
    )
    made.resume()
    return made


def work(at: StudyController, most: int = 10**6) -> list[str]:
    """Run what the desk hands out, one after the other; returns the ids."""
    ran = []
    while len(ran) < most and (suggestion := at.draw()) is not None:
        at.take(FakeTrial(suggestion.config, at.place, at.phase).record())
        ran.append(suggestion.config.id)
    at.close()
    return ran


def fake_plan(out: Path, draws: int = 3, **more: Any) -> Plan:
    study = Study.model_validate(FAKE)
    return plan_replicates(RunFolder(out).read().trials, study, draws, **more)


def test_a_search_goes_on_as_if_nothing_had_been_confirmed(tmp_path: Path) -> None:
    for name in ("plain", "confirmed"):
        assert len(work(desk(tmp_path / name, 12))) == 12
    laid = fake_plan(tmp_path / "confirmed")
    assert work(desk(tmp_path / "confirmed", 12, laid.draws)) == [d.id for d in laid.draws]
    more = {name: work(desk(tmp_path / name, 24)) for name in ("plain", "confirmed")}
    assert more["plain"] == more["confirmed"] and len(more["plain"]) == 12
    best = {name: desk(tmp_path / name, 24).snapshot() for name in ("plain", "confirmed")}
    assert best["plain"].best == best["confirmed"].best
    assert best["plain"].frontier == best["confirmed"].frontier
    assert best["plain"].flops == best["confirmed"].flops, "the phases are billed apart"


def test_an_interrupted_search_is_not_taken_up_by_the_draws(tmp_path: Path) -> None:
    work(desk(tmp_path / "run", 12), 9)
    begun = desk(tmp_path / "run", 12)
    left = begun.draw()  # suggested, never ended
    assert left is not None
    begun.close()
    laid = fake_plan(tmp_path / "run")
    assert left.config.id not in work(desk(tmp_path / "run", 12, laid.draws))
    assert left.config.id in work(desk(tmp_path / "run", 12))


def test_interrupted_draws_go_on_and_each_runs_once(tmp_path: Path) -> None:
    work(desk(tmp_path / "run", 12))
    laid = fake_plan(tmp_path / "run")
    first = work(desk(tmp_path / "run", 12, laid.draws), 4)
    then = work(desk(tmp_path / "run", 12, fake_plan(tmp_path / "run").draws))
    assert first + then == [d.id for d in laid.draws]
    sources = Counter(s.source for s in read_suggestions(RunFolder(tmp_path / "run")))
    assert sources[CONFIRM] == len(laid.draws)
    last = desk(tmp_path / "run", 12, laid.draws)
    assert last.draw() is None and last.stopped_by.startswith("all ")


def test_weights_of_the_search_are_kept_while_draws_run(tmp_path: Path) -> None:
    search = work(desk(tmp_path / "run", 12))
    at = desk(tmp_path / "run", 12, fake_plan(tmp_path / "run").draws)
    work(at)
    kept = at.world.kept[-1]
    assert kept and kept <= set(search), "a draw's weights are nobody's"


def test_a_draw_that_fails_is_recorded_and_not_run_again(tmp_path: Path) -> None:
    work(desk(tmp_path / "run", 12))
    at = desk(tmp_path / "run", 12, fake_plan(tmp_path / "run").draws)
    suggestion = at.draw()
    assert suggestion is not None
    at.take(failed(suggestion.config, at.place, CONFIRM, "FAILED", "loss is NaN", {}))
    work(at)
    again = fake_plan(tmp_path / "run")
    assert again.due == 0
    by_id = {r.id: r for r in RunFolder(tmp_path / "run").read().trials}
    assert (
        by_id[suggestion.config.id].status == "FAILED"
        and by_id[suggestion.config.id].phase == CONFIRM
    )


def test_new_candidates_get_their_draws_though_old_ones_have_theirs(tmp_path: Path) -> None:
    """Search, confirm, search on, confirm: the second frontier is another one."""
    out = tmp_path / "run"
    work(desk(out, 6))
    work(desk(out, 6, fake_plan(out).draws))
    work(desk(out, 40))
    laid = fake_plan(out)
    assert laid.due > 0
    assert len(work(desk(out, 40, laid.draws))) == laid.due


def test_a_bill_inherited_from_a_teacher_is_not_paid_by_the_draws_price() -> None:
    made = records(60, seed=2, methods=("distill", "finetune"))
    laid = plan_replicates(made, STUDY, 3)
    bills = [c for r in made if r.id in laid.chosen for c in r.bill]
    assert any(c.payer != OWN for c in bills)
    assert laid.flops == pytest.approx(3 * sum(c.flops for c in bills if c.payer == OWN))
    assert isinstance(bills[0], Charge)
    teachers = {d.inputs["teacher"].data.seed for d in laid.draws if d.inputs}
    assert teachers == {1, 2, 3}, "a draw is fresh throughout"
