"""The search without Ray: balance, order, dedupe, resume, and that TPE is worth its name."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import replace

import optuna
import pytest

from raysearch.config.space import Domain, Proposal
from raysearch.config.study import SEARCHERS, Study
from raysearch.config.trial import TrialConfig
from raysearch.errors import InputError
from raysearch.ledger import Charge
from raysearch.record import OperatingPoint, TrialRecord
from raysearch.search import distributions
from raysearch.search.leaderboard import values
from raysearch.search.proposer import Proposer, Suggestion
from tests.tune.fakes import SIZES, FakeTrial, FakeWorld, cost, failed, space

LABELS = (32, 100, 320, 1000)
KNOBS = {
    "lookup": {
        "k": Domain("lograndint", low=1, high=5000),
        "t": Domain("uniform", low=0, high=1),
    },
    "finetune": {
        "learning_rate": Domain("loguniform", low=1e-6, high=1e-1),
        "dropout": Domain("uniform", low=0, high=0.5),
    },
}
CONTINUOUS = space(LABELS, **KNOBS)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study(**changes: object) -> Study:
    return Study.model_validate({"name": "s", "task": "fake", "labels": LABELS, **changes})


def done(config: TrialConfig, world: FakeWorld) -> TrialRecord:
    return FakeTrial(config, world.place, "search").record()


def run(proposer: Proposer, world: FakeWorld, n: int) -> list[Suggestion]:
    suggestions = []
    for _ in range(n):
        suggestion = proposer.suggest()
        if suggestion is None:
            break
        suggestions.append(suggestion)
        proposer.tell(done(suggestion.config, world))
    return suggestions


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_labels_are_balanced_after_every_single_trial(searcher: str) -> None:
    world = FakeWorld(CONTINUOUS)
    counts: Counter[int] = Counter(dict.fromkeys(LABELS, 0))
    for suggestion in run(Proposer(study(searcher=searcher), world, 24), world, 24):
        counts[suggestion.proposal.labels] += 1
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_same_seed_same_offers_and_no_id_twice(searcher: str) -> None:
    world = FakeWorld(CONTINUOUS)
    first = run(Proposer(study(searcher=searcher), world, 40), world, 40)
    again = run(Proposer(study(searcher=searcher), world, 40), world, 40)
    assert [o.config.id for o in first] == [o.config.id for o in again]
    assert len({o.config.id for o in first}) == len(first)
    if searcher != "grid":
        other = run(Proposer(study(searcher=searcher, seed=1), world, 40), world, 40)
        assert [o.config.id for o in other] != [o.config.id for o in first]


def test_first_trials_take_first_knobs_every_method_and_the_cheapest_model() -> None:
    world = FakeWorld(CONTINUOUS)
    suggestions = run(Proposer(study(), world, 24), world, 24)
    assert [o.source for o in suggestions[:8]] == ["first"] * 8
    assert min(Counter(o.source for o in suggestions[8:]).values()) >= 4, "both take turns"
    firsts = [o.proposal for o in suggestions if o.source == "first"]
    assert all(p.hyper == CONTINUOUS.methods[p.method].default_config for p in firsts)
    opening = suggestions[:8]
    assert [o.proposal.method for o in opening[:2]] == ["lookup", "finetune"]
    assert all(o.proposal.rung == "tiny" for o in opening[:2])
    assert opening[0].proposal.labels == 32
    assert max(Counter(o.proposal.method for o in opening).values()) == 4
    cells = [(o.proposal.method, o.proposal.rung, o.proposal.labels) for o in opening]
    assert len(set(cells)) == len(cells)
    assert len({(m, r) for m, r, _ in cells}) == 6, "every (method, model) before a second time"


@pytest.mark.parametrize("searcher", ["tpe", "random", "nsga2"])
def test_methods_and_models_get_equal_shares(searcher: str) -> None:
    world = FakeWorld(CONTINUOUS)
    suggestions = run(Proposer(study(searcher=searcher), world, 96), world, 96)
    methods = Counter(o.proposal.method for o in suggestions)
    assert set(methods.values()) == {48}
    cells = Counter((o.proposal.method, o.proposal.rung, o.proposal.labels) for o in suggestions)
    assert len(cells) == 2 * 3 * 4, "every cell is tried"


def test_a_method_of_one_model_takes_no_more_than_its_share() -> None:
    lopsided = replace(CONTINUOUS, rungs={**CONTINUOUS.rungs, "lookup": ("tiny",)})
    world = FakeWorld(lopsided)
    suggestions = run(Proposer(study(), world, 42), world, 42)
    methods = Counter(o.proposal.method for o in suggestions)
    assert abs(methods["lookup"] - methods["finetune"]) <= 1
    covered = {(o.proposal.rung, o.proposal.labels) for o in suggestions if o.source == "first"}
    assert len(covered) == 3 * 4, "the other method's cells are all covered"


@pytest.mark.parametrize("searcher", ["tpe", "random", "nsga2"])
def test_an_exhausted_method_leaves_the_others_to_the_sampler(searcher: str) -> None:
    both = space((32, 100), few={"a": Domain("choice", options=(1, 2))}, **KNOBS)
    world = FakeWorld(both)
    suggestions = run(Proposer(study(searcher=searcher, labels=(32, 100)), world, 120), world, 120)
    few = [o for o in suggestions if o.proposal.method == "few"]
    assert len(few) == 2 * 3 * 2, "all it has"
    others = Counter(o.proposal.method for o in suggestions if o not in few)
    assert max(others.values()) - min(others.values()) <= 1
    chance = [o for o in suggestions if o.source == "chance" and o not in few]
    assert len(chance) <= 6, "the sampler goes on with the others"


def test_a_model_that_always_fails_gets_no_more_turns() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(), world, 96)
    lost: Counter[str] = Counter()
    for _ in range(96):
        suggestion = proposer.suggest()
        assert suggestion is not None
        lost[suggestion.proposal.rung] += 1
        bad = suggestion.proposal.rung == "base"
        record = failed(suggestion.config, world.place, "search", "FAILED", "out of memory", {})
        proposer.tell(record if bad else done(suggestion.config, world))
    assert lost["base"] < 16, "an equal share would be 32"


def test_one_label_budget_is_balanced_from_the_start() -> None:
    world = FakeWorld(space((32,), **KNOBS))
    proposer = Proposer(study(labels=(32,)), world, 120)
    methods: Counter[str] = Counter()
    for suggestion in run(proposer, world, 60):
        methods[suggestion.proposal.method] += 1
    assert max(methods.values()) - min(methods.values()) <= 1


def test_the_searcher_is_free_when_nothing_is_stratified() -> None:
    world = FakeWorld(CONTINUOUS)
    suggestions = run(Proposer(study(stratify=()), world, 24), world, 24)
    assert [o.source for o in suggestions] == ["first"] * 8 + ["sampler"] * 16


def test_grid_is_the_crossing_with_first_knobs_and_then_ends() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(searcher="grid"), world, 1000)
    suggestions = run(proposer, world, 1000)
    assert len(suggestions) == 2 * 3 * 4
    assert len({(o.proposal.method, o.proposal.rung, o.proposal.labels) for o in suggestions}) == 24
    costs = [cost(o.config) for o in suggestions if o.proposal.labels == 32]
    assert costs[0] == min(costs)
    assert proposer.suggest() is None


@pytest.mark.parametrize("searcher", ["tpe", "random", "nsga2"])
def test_a_small_space_is_used_up_to_the_last_cell(searcher: str) -> None:
    small = space((32, 100), lookup={"k": Domain("randint", low=1, high=5)})
    world = FakeWorld(small)
    proposer = Proposer(study(searcher=searcher, labels=(32, 100)), world, 100)
    suggestions = run(proposer, world, 100)
    assert len(suggestions) == 4 * 3 * 2
    assert proposer.suggest() is None


def test_resume_runs_no_id_twice_and_queues_the_unfinished_first() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(), world, 24)
    suggestions = [o for o in (proposer.suggest() for _ in range(12)) if o is not None]
    records = [done(o.config, world) for o in suggestions[:9]]
    again = Proposer(study(), world, 24)
    again.resume(records, [(o.config.id, o.proposal) for o in suggestions])
    resumed = run(again, world, 15)
    assert [o.config.id for o in resumed[:3]] == [o.config.id for o in suggestions[9:]]
    assert [o.source for o in resumed[:3]] == ["queue"] * 3
    assert not {o.config.id for o in resumed} & {r.id for r in records}
    labels = Counter(o.proposal.labels for o in (*suggestions[:9], *resumed))
    assert set(labels.values()) == {6}


def test_resume_needs_no_suggestions_and_rebuilds_the_same_optuna_trials() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(), world, 24)
    suggestions = run(proposer, world, 12)
    again = Proposer(study(), world, 24)
    again.resume([done(o.config, world) for o in suggestions], [])
    lived, rebuilt = proposer._sampler.optuna.trials, again._sampler.optuna.trials  # type: ignore[union-attr]
    lived = [t for t in lived if t.values]
    assert [t.params for t in lived] == [t.params for t in rebuilt]
    assert [t.values for t in lived] == [t.values for t in rebuilt]
    assert [t.distributions for t in lived] == [t.distributions for t in rebuilt]


def test_failed_and_infeasible_trials_violate_a_constraint() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(), world, 24)
    for status in ("FAILED", "INFEASIBLE", "STOPPED"):
        suggestion = proposer.suggest()
        assert suggestion is not None
        proposer.tell(failed(suggestion.config, world.place, "search", status, "no", {}))
    trials = proposer._sampler.optuna.trials  # type: ignore[union-attr]
    assert [t.state.name for t in trials] == ["PRUNED"] * 3
    assert [bool(t.constraints) for t in trials] == [True, True, False]


def test_the_sampler_learns_to_avoid_what_cannot_run() -> None:
    wishes = space(
        (32,),
        finetune={
            "wish": Domain("choice", options=("fine", "unfit")),
            "learning_rate": Domain("loguniform", low=1e-6, high=1e-1),
        },
    )
    world = FakeWorld(wishes)
    proposer = Proposer(study(labels=(32,)), world, 80)
    bad = []
    for _ in range(80):
        suggestion = proposer.suggest()
        assert suggestion is not None
        bad.append(suggestion.infeasible is not None)
        record = (
            failed(
                suggestion.config,
                world.place,
                "search",
                "INFEASIBLE",
                "no",
                suggestion.proposal.hyper,
            )
            if suggestion.infeasible
            else done(suggestion.config, world)
        )
        proposer.tell(record)
    assert any(bad)
    assert sum(bad[40:]) <= 10


def test_an_absent_objective_is_never_told_as_a_number() -> None:
    world = FakeWorld(CONTINUOUS)
    proposer = Proposer(study(), world, 24)
    suggestion = proposer.suggest()
    assert suggestion is not None
    record = done(suggestion.config, world)
    unscored = replace(record, points=(OperatingPoint("p", 1, infer_flops=3.0),))
    assert values(record, study()) is not None
    assert values(unscored, study()) is None
    proposer.tell(unscored)
    assert proposer._sampler.optuna.trials[0].state.name == "FAIL"  # type: ignore[union-attr]


def test_of_several_points_the_best_in_the_first_objective_speaks() -> None:
    config = FakeWorld(CONTINUOUS).configure(Proposal("lookup", "tiny", 32, {"k": 5, "t": 0.5}))
    points = [
        OperatingPoint(str(i), 1, scores={"validation": {"accuracy": a}}, infer_flops=f)
        for i, (a, f) in enumerate([(0.7, 10.0), (0.8, 40.0), (0.8, 20.0)])
    ]
    record = TrialRecord("x", config, "DONE", points=tuple(points), score="accuracy")
    observed = values(record, study())
    assert observed == [0.8, 0.0, math.log1p(20.0)]


def test_unknown_searchers_and_objectives_are_named() -> None:
    with pytest.raises(InputError, match="Did you mean 'train_flops'"):
        Proposer(study(objectives=("score", "train_flop")), FakeWorld(CONTINUOUS), 4)


@pytest.mark.slow
def test_tpe_beats_random_on_two_objectives_on_average_over_seeds() -> None:
    def record(config: TrialConfig) -> TrialRecord:
        rate = math.log10(float(config.hyper.get("learning_rate", 1.0)))
        drop = float(config.hyper.get("dropout", 0.0))
        size = math.log10(SIZES[config.rung])
        off = 0.1 * abs(rate + 4.4) + abs(drop - 0.3)  # the first knobs are not the best ones
        score = 0.5 if config.method == "lookup" else 0.9 - off + 0.05 * size
        point = OperatingPoint("p" + config.id, 1, scores={"validation": {"accuracy": score}})
        charge = Charge("train", "own", flops=int(cost(config)))
        return TrialRecord(
            config.id, config, "DONE", points=(point,), bill=(charge,), score="accuracy"
        )

    def area(searcher: str, seed: int) -> float:
        chosen = study(
            searcher=searcher, seed=seed, labels=(32,), objectives=("score", "train_flops")
        )
        one = space((32,), **{m: s.knobs for m, s in CONTINUOUS.methods.items()})
        world = FakeWorld(one)
        proposer = Proposer(chosen, world, 60)
        found = []
        for _ in range(60):
            suggestion = proposer.suggest()
            assert suggestion is not None
            recorded = record(suggestion.config)
            proposer.tell(recorded)
            found.append(
                (cost(suggestion.config), recorded.points[0].scores["validation"]["accuracy"])
            )
        total, best, dearest = 0.0, 0.3, 12.0
        for flops, score in sorted(found):
            if score > best:
                total += (dearest - math.log10(flops)) * (score - best)
                best = score
        return total

    seeds = range(8)
    tpe = [area("tpe", s) for s in seeds]
    chance = [area("random", s) for s in seeds]
    assert sum(tpe) > sum(chance)
    assert sum(a > b for a, b in zip(tpe, chance, strict=True)) >= 5


@pytest.mark.parametrize("kind", ["uniform", "loguniform", "randint", "lograndint", "choice"])
def test_domains_and_distributions_hold_the_same_values(kind: str) -> None:
    domain = Domain(kind, options=("a", True, 3)) if kind == "choice" else Domain(kind, (), 2, 9)
    one = space((32,), lookup={"k": domain})
    import numpy as np

    rng = np.random.default_rng(0)
    drawn = [distributions.sample(rng, one, 32) for _ in range(200)]
    assert all(distributions.holds(one, p) for p in drawn)
    distribution = distributions.distributions(one, drawn[0])["lookup.k"]
    assert all(distribution._contains(distribution.to_internal_repr(p.hyper["k"])) for p in drawn)
    if kind in ("randint", "lograndint", "choice"):
        assert {p.hyper["k"] for p in drawn} == set(distributions.values(domain) or ())


def test_no_warning_is_raised_by_optuna() -> None:
    world = FakeWorld(CONTINUOUS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Proposer(study(), world, 30), world, 30)
