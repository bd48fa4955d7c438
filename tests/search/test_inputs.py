"""Who teaches whom: the proposer's rules for teachers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from raysearch.config.space import Domain, Proposal, SearchSpace
from raysearch.config.study import Study
from raysearch.record import TrialRecord
from raysearch.search import distributions
from raysearch.search.leaderboard import best_score
from raysearch.search.proposals import RANDOM_TRIES
from raysearch.search.proposer import Proposer
from raysearch.search.suggestion import Suggestion, upstream_trials
from tests.tune.fakes import SIZES, FakeTrial, FakeWorld, failed, taught_space

LABELS = (32, 100)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study(**changes: object) -> Study:
    return Study.model_validate({"name": "s", "task": "fake", "labels": LABELS, **changes})


def done(suggestion: Suggestion, world: FakeWorld, score: float | None = None) -> TrialRecord:
    record = FakeTrial(suggestion.config, world.place, "search").record()
    if score is None:
        return record
    point = replace(record.points[0], scores={"validation": {"accuracy": score}})
    return replace(record, points=(point,))


def run(
    proposer: Proposer, world: FakeWorld, n: int, status: str = "DONE", had: Iterable[str] = ()
) -> tuple[list[Suggestion], list[Suggestion]]:
    """Offers and adopted teachers, told one after the other; teachers end with this status."""
    suggestions: list[Suggestion] = []
    adopted: dict[str, Suggestion] = {}
    while len(suggestions) + len(adopted) < n:
        suggestion = proposer.suggest()
        if suggestion is None:
            break
        known = {*had, *(o.config.id for o in (*suggestions, *adopted.values()))}
        for teacher in upstream_trials(suggestion.config):
            if teacher.id not in known:
                assert suggestion.proposal.inputs.get("teacher") is not None
                adopted[teacher.id] = new = proposer.adopt(
                    teacher, suggestion.proposal.inputs["teacher"], "teacher"
                )
                bad = failed(teacher, world.place, "search", status, "no", new.proposal.hyper)
                proposer.tell(done(new, world) if status == "DONE" else bad)
        suggestions.append(suggestion)
        lost = status != "DONE" and suggestion.config.upstream.values()
        bad = failed(suggestion.config, world.place, "search", "FAILED", "its teacher failed", {})
        proposer.tell(bad if lost else done(suggestion, world))
    return suggestions, list(adopted.values())


def students(suggestions: list[Suggestion]) -> list[Proposal]:
    return [o.proposal for o in suggestions if o.proposal.method == "kd"]


def teacher_of(proposal: Proposal) -> Proposal:
    return proposal.inputs["teacher"]


# The proposer's rules


def test_the_first_teacher_is_the_largest_with_first_knobs_at_the_students_labels() -> None:
    world = FakeWorld(taught_space(LABELS))
    proposer = Proposer(study(), world, 24)
    suggestions = [o for o in (proposer.suggest() for _ in range(8)) if o is not None]
    first = world.space.upstream["finetune"].default_config
    assert len(students(suggestions)) == 4
    for student in students(suggestions):
        assert student.inputs.get("teacher") == Proposal("finetune", "base", student.labels, first)


def test_a_teacher_that_is_in_the_study_is_one_of_its_cells() -> None:
    world = FakeWorld(taught_space(LABELS, outside=False))
    suggestions, adopted = run(Proposer(study(), world, 60), world, 60)
    cells = Counter(
        (o.proposal.method, o.proposal.rung, o.proposal.labels)
        for o in (*suggestions, *adopted)
        if o.source in ("first", "teacher")
        and o.proposal.hyper == world.space.methods[o.proposal.method].default_config
    )
    assert cells["finetune", "base", 32] == 1, "a cell that was a teacher is not tried again"
    assert {o.source for o in adopted} == {"teacher"}
    methods = Counter(o.proposal.method for o in (*suggestions, *adopted))
    assert max(methods.values()) - min(methods.values()) <= 2, "teachers count as trials"


def test_the_best_known_trial_teaches_with_its_own_knobs_and_rung() -> None:
    world = FakeWorld(taught_space(LABELS))
    proposer = Proposer(study(), world, 24)
    knobs = {"learning_rate": 3e-4, "wish": "fine"}
    tried = {}
    for rung, score in (("tiny", 0.7), ("small", 0.9), ("base", 0.8)):
        given = Proposal("finetune", rung, 32, knobs)
        tried[rung] = suggestion = proposer.adopt(world.configure(given), given, "teacher")
        proposer.tell(done(suggestion, world, score))
    suggestions, _ = run(proposer, world, 8)
    at = {
        labels: [teacher_of(p) for p in students(suggestions) if p.labels == labels]
        for labels in LABELS
    }
    assert at[32] and at[100]
    assert {t.rung for t in at[32]} == {"small"} and at[32][0].hyper == knobs
    assert world.configure(at[32][0]).id == tried["small"].config.id
    assert {t.rung for t in at[100]} == {"base"}, "known at another label budget is not known"
    assert proposer.needs() >= {tried["small"].config.id}


def test_of_a_failed_teacher_nobody_learns_but_of_the_next_smaller() -> None:
    world = FakeWorld(taught_space((32,)))
    proposer = Proposer(study(labels=(32,)), world, 60)
    suggestions, adopted = run(proposer, world, 12, status="FAILED")
    assert [o.proposal.rung for o in adopted][:3] == ["base", "small", "tiny"]
    rungs = [teacher_of(p).rung for p in students(suggestions)]
    assert rungs[:3] == ["base", "small", "tiny"]
    assert not proposer._coverage.hopeless("kd", "tiny"), "it is not the students' fault"


def test_teacher_methods_have_equal_shares_of_each_methods_students() -> None:
    space = taught_space(LABELS, teachers=("tapt", "finetune"))
    both = {**space.methods, "kd2": replace(space.methods["kd"], method="kd2")}
    space = replace(space, methods=both, rungs={**space.rungs, "kd2": tuple(SIZES)})
    world = FakeWorld(space)
    proposer = Proposer(study(), world, 100)
    suggestions = [o for o in (proposer.suggest() for _ in range(24)) if o is not None]
    for method in ("kd", "kd2"):
        for labels in LABELS:
            taught = [
                teacher_of(o.proposal).method
                for o in suggestions
                if (o.proposal.method, o.proposal.labels) == (method, labels)
            ]
            assert taught[:4] == ["tapt", "finetune"] * 2, (method, labels)


def test_fixed_turns_have_the_rules_teacher_and_the_free_turn_the_samplers() -> None:
    world = FakeWorld(taught_space((32,)))
    suggestions, adopted = run(Proposer(study(labels=(32,)), world, 90), world, 90)
    sampled = [o for o in suggestions if o.source == "sampler" and o.proposal.method == "kd"]
    first: dict[str, Suggestion] = {}  # of each teacher its first student
    for o in suggestions:
        if o.proposal.method == "kd":
            first.setdefault(upstream_trials(o.config)[0].id, o)
    assert len(first) == len(adopted) > 3
    new = [o for o in sampled if o in first.values()]
    assert len(sampled) > 15 and 0.2 < len(new) / len(sampled) < 0.5, "one of three"
    fixed = [o for o in sampled if o not in new]
    best: dict[str, float] = {}  # of the teachers so far, at each student
    scores = {a.config.id: best_score(done(a, world)) or 0.0 for a in adopted}
    for o in suggestions:
        teacher = [c.id for c in upstream_trials(o.config)]
        if o in fixed:
            assert best[teacher[0]] == max(best.values()), "the best that was known then"
        best |= {t: scores[t] for t in teacher}
    assert len({o.proposal.hyper["alpha"] for o in fixed}) == len(fixed), "knobs are the sampler's"


def test_nothing_stratified_is_all_the_samplers() -> None:
    world = FakeWorld(taught_space((32,)))
    suggestions, _ = run(Proposer(study(labels=(32,), stratify=()), world, 60), world, 60)
    sampled = [
        o.proposal for o in suggestions if o.source == "sampler" and o.proposal.method == "kd"
    ]
    rates = [teacher_of(p).hyper["learning_rate"] for p in sampled]
    assert len(rates) > 5 and len(set(rates)) == len(rates) and 1e-3 not in rates


def test_optuna_knows_every_teacher_and_learns_of_those_in_the_space() -> None:
    for outside in (True, False):
        world = FakeWorld(taught_space(LABELS, outside=outside))
        proposer = Proposer(study(), world, 40)
        suggestions, adopted = run(proposer, world, 40)
        params = [t.params for t in proposer._sampler.optuna.trials if t.values]
        expected = [o.proposal for o in suggestions] + [o.proposal for o in adopted if not outside]
        key = sorted(map(repr, map(dict.items, params)))
        assert len(key) == len(expected)
        assert sorted(repr(sorted(t.items())) for t in params) == sorted(
            repr(sorted(distributions.params(p).items())) for p in expected
        )
        taught = [t for t in params if t["method"] == "kd"]
        assert taught and all(t["kd.teacher"] == "finetune" for t in taught)
        assert all(t["kd.teacher.finetune.model"] in SIZES for t in taught)


def test_a_failed_teacher_is_told_as_a_violated_constraint() -> None:
    world = FakeWorld(taught_space((32,), outside=False))
    proposer = Proposer(study(labels=(32,)), world, 24)
    run(proposer, world, 3, status="INFEASIBLE")
    pruned = [t for t in proposer._sampler.optuna.trials if t.state.name == "PRUNED"]
    assert [t.params["method"] for t in pruned] == ["kd", "finetune"], "and its student"
    assert all(t.constraints for t in pruned)


def test_a_teacher_is_never_offered_twice() -> None:
    world = FakeWorld(taught_space((32,), outside=False))
    proposer = Proposer(study(labels=(32,)), world, 60)
    suggestions, adopted = run(proposer, world, 60)
    ids = [o.config.id for o in (*suggestions, *adopted)]
    assert len(ids) == len(set(ids)) and len(adopted) > 1
    waiting = Proposer(study(labels=(32,)), world, 60)
    first = next(
        o for o in iter(waiting.suggest, None) if o.proposal.inputs.get("teacher") is not None
    )
    teacher = upstream_trials(first.config)[0]
    waiting.requeue(teacher_of(first.proposal), teacher)
    assert waiting.adopt(teacher, teacher_of(first.proposal), "teacher").config == teacher
    later = [waiting.suggest() for _ in range(10)]
    assert teacher.id not in {o.config.id for o in later if o is not None}


def test_a_teacher_whose_weights_are_gone_is_not_proposed_again() -> None:
    wishes = {"wish": Domain("choice", options=("fine", "also"))}
    world = FakeWorld(teacher_with(taught_space((32,), rungs=("tiny", "base")), wishes))
    for kept in (False, True):
        proposer = Proposer(study(labels=(32,), stratify=()), world, 60)
        gone = set()
        for rung in ("tiny", "base"):
            for wish, score in (("fine", 0.9), ("also", 0.1)):
                given = Proposal("finetune", rung, 32, {"wish": wish})
                suggestion = proposer.adopt(world.configure(given), given, "teacher")
                proposer.tell(done(suggestion, world, score))
                gone |= {suggestion.config.id} if wish == "also" else set()
        ids = set(proposer._done)
        proposer.kept(ids if kept else ids - gone)
        suggestions, adopted = run(proposer, world, 40, had=ids)
        taught = {upstream_trials(o.config)[0].id for o in suggestions if o.proposal.method == "kd"}
        assert not adopted and taught
        assert bool(taught & gone) is kept


def teacher_with(
    space: SearchSpace, knobs: dict[str, Domain], first: dict[str, Any] | None = None
) -> SearchSpace:
    """The space with other knobs for its teacher."""
    first = first or {k: d.options[0] for k, d in knobs.items()}
    teacher = replace(space.upstream["finetune"], knobs=knobs, default_config=first)
    return replace(space, upstream={"finetune": teacher})


def test_a_fixed_teacher_stays_as_it_is_to_the_letter() -> None:
    """A whole number among real ones: as 1.0 it would be another configuration's id."""
    rates = {"rate": Domain("uniform", low=0, high=2)}
    world = FakeWorld(teacher_with(taught_space((32,)), rates, {"rate": 1}))
    proposer = Proposer(study(labels=(32,)), world, 60)
    suggestions = [o for o in (proposer.suggest() for _ in range(40)) if o is not None]
    sampled = [o for o in suggestions if o.source == "sampler" and o.proposal.method == "kd"]
    firsts = [o for o in suggestions if o.source == "first" and o.proposal.method == "kd"]
    usual = upstream_trials(firsts[0].config)[0].id
    assert sum(upstream_trials(o.config)[0].id == usual for o in sampled) >= len(sampled) // 2 > 3


def test_chance_tries_the_fixed_teacher_before_any_other() -> None:
    world = FakeWorld(taught_space((32,)))
    proposer = Proposer(study(labels=(32,)), world, 60)
    teacher = proposer._inputs.of("kd", 32)
    drawn = list(itertools.islice(proposer._sampler.chances(32, "kd", teacher), 2 * RANDOM_TRIES))
    assert {repr(p.inputs) for p in drawn[:RANDOM_TRIES]} == {repr(teacher)}
    assert len({repr(p.inputs.get("teacher")) for p in drawn[RANDOM_TRIES:]}) == RANDOM_TRIES


def test_an_infeasible_teacher_is_what_fails_not_its_student() -> None:
    world = FakeWorld(taught_space((32,), wish=("unfit",)))
    proposer = Proposer(study(labels=(32,)), world, 24)
    suggestion = next(o for o in iter(proposer.suggest, None) if o.proposal.method == "kd")
    assert suggestion.infeasible is None
    (teacher,) = suggestion.config.upstream.values()
    adopted = proposer.adopt(teacher, teacher_of(suggestion.proposal), "teacher")
    assert (adopted.infeasible, adopted.config.id) == ("does not fit", teacher.id)
    other = proposer._reader.configured(
        replace(
            suggestion.proposal,
            inputs={"teacher": replace(teacher_of(suggestion.proposal), rung="tiny")},
        )
    )[0]
    assert other.id != suggestion.config.id, "students of other teachers are other trials"


# Going on


def test_resume_learns_the_same_with_and_without_suggestions() -> None:
    for outside in (True, False):
        world = FakeWorld(taught_space(LABELS, outside=outside, teachers=("tapt", "finetune")))
        lived = Proposer(study(), world, 60)
        suggestions, adopted = run(lived, world, 40)
        ran = sorted((*suggestions, *adopted), key=lambda o: o.source != "teacher")
        records = [done(o, world) for o in ran]
        lines = [(o.config.id, o.proposal) for o in ran]
        learned = []
        for suggested in (lines, []):
            again = Proposer(study(), world, 60)
            again.resume(records, suggested)
            learned.append(again)
            assert again.needs() == lived.needs() and len(again.needs()) > 1
            assert again._inputs._taken == lived._inputs._taken
            assert again._coverage._labels == lived._coverage._labels
            values = {
                repr(sorted(t.params.items())): t.values for t in again._sampler.optuna.trials
            }
            theirs = {
                repr(sorted(t.params.items())): t.values
                for t in lived._sampler.optuna.trials
                if t.values
            }
            assert values == theirs
        followed = [run(p, world, 10)[0] for p in learned]
        assert [o.config.id for o in followed[0]] == [o.config.id for o in followed[1]]


def test_a_student_whose_teachers_record_is_lost_cannot_be_read_back() -> None:
    world = FakeWorld(taught_space((32,)))
    proposer = Proposer(study(labels=(32,)), world, 24)
    suggestions, _ = run(proposer, world, 6)
    taught = [done(o, world) for o in suggestions if o.proposal.method == "kd"]
    again = Proposer(study(labels=(32,)), world, 24)
    again.resume(taught, [])
    assert again._sampler.optuna.trials == []
    assert [again._reader.read_back(r, {}) for r in taught] == [None] * len(taught)
    later = [again.suggest() for _ in range(12)]
    assert not {r.id for r in taught} & {o.config.id for o in later if o is not None}


# Grid studies


def test_a_grid_study_offers_its_crossing_in_its_order_and_ends() -> None:
    space = taught_space(LABELS)
    teacher = [Proposal("finetune", "base", n, {"learning_rate": 0.5, "wish": "x"}) for n in LABELS]
    taught = [
        Proposal("kd", r, t.labels, {"alpha": 2.0}, {"teacher": t}) for t in teacher for r in SIZES
    ]
    plain = [Proposal("lookup", "tiny", n, {"k": 5}) for n in LABELS]
    crossing = (*teacher, *taught, plain[0], *plain)
    world = FakeWorld(space, crossed=crossing)
    given = study(searcher="grid", procedures=({"method": "kd"},))
    proposer = Proposer(given, world, 1000)
    assert proposer.needs() == {world.configure(t).id for t in teacher}
    suggestions = [proposer.suggest() for _ in range(10)]
    ids = list(dict.fromkeys(world.configure(p).id for p in crossing))
    assert [o.config.id for o in suggestions if o is not None] == ids and len(ids) == 10
    assert {o.source for o in suggestions if o is not None} == {"first"}
    assert proposer.suggest() is None and "exhausted" in proposer.exhausted
    again = Proposer(given, world, 1000)
    ran = [done(o, world) for o in suggestions[:3] if o is not None]
    again.resume(ran, [(o.config.id, o.proposal) for o in suggestions[:5] if o is not None])
    rest = [o for o in iter(again.suggest, None)]
    assert [o.config.id for o in rest] == ids[3:]
    assert [o.source for o in rest] == ["queue"] * 2 + ["first"] * 5


def test_a_grid_of_cells_gives_every_student_the_usual_teacher() -> None:
    world = FakeWorld(taught_space(LABELS))
    suggestions = list(iter(Proposer(study(searcher="grid"), world, 99).suggest, None))
    assert len(suggestions) == 2 * 3 * 2
    assert {teacher_of(p).rung for p in students(suggestions)} == {"base"}
