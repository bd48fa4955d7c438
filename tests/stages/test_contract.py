"""What every stage promises, asked of all that are found by file name and of the page's example."""

from __future__ import annotations

import dataclasses

import pytest

from raysearch import stages
from raysearch.config.catalog import method_spaces
from raysearch.ledger import PHASES, TRAINING
from raysearch.trial.context import parse_knobs
from raysearch.trial.inputs import KINDS
from raysearch.trial.run import TrialRun
from tests.support import tiny

STAGES = sorted({*stages.names(), "toy_writer"})
RUNGS = {"encoder": "random-1", "ngram": "hash-16", "dan": "table-400"}
SHORT = {"min_steps": 4, "epochs": 3}
"""Knobs that only say how long to train, where a stage has them."""
every_stage = pytest.mark.parametrize("stage", STAGES)
pytestmark = [pytest.mark.usefixtures("plugged"), every_stage]


@pytest.fixture
def trial(plugged, tmp_path, stage):
    """Opens the stage's trial in an empty store of this name."""
    world = tiny.world(tiny.write_task(tmp_path / "two", "two"), tmp_path / "out")
    made = stages.get(stage)
    short = {
        k: v for k, v in SHORT.items() if k in {f.name for f in dataclasses.fields(made.knobs)}
    }
    config = tiny.configure(world, stage, RUNGS[made.families[0]], **short)

    def open_trial(store):
        return TrialRun(config, dataclasses.replace(world.place, store=str(tmp_path / store)))

    open_trial.price = world.predicted_cost(config)
    return open_trial


def output(run):
    """The files that a finished stage wrote, by name."""
    folder = run.setup.store.entry(KINDS[run.setup.method.gives], run.config.id)
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def bill(run):
    return [(c.phase, c.payer, c.flops, c.texts, c.tokens, c.labels) for c in run.ledger.bill()]


def test_the_description_is_whole(stage):
    made = stages.get(stage)
    assert made.name == stage and made.gives in KINDS and made.behaviour >= 1
    assert made.tldr and "\n" not in made.tldr and made.source
    assert made.families and set(made.families) <= set(RUNGS)
    assert made.knobs.__dataclass_params__.frozen
    for field in dataclasses.fields(made.knobs):
        assert field.default is not dataclasses.MISSING, f"{field.name} has no default"


def test_the_search_space_names_real_knobs(stage):
    made, space = stages.get(stage), method_spaces()[stage]
    known = {f.name for f in dataclasses.fields(made.knobs)}
    assert set(space.knobs) <= known and set(space.knobs) == set(space.default_config)
    knobs = parse_knobs(made, space.default_config)
    assert {k: getattr(knobs, k) for k in space.default_config} == dict(space.default_config)
    assert made.horizon(knobs, 32) >= 0


def test_same_config_same_output_and_same_bill(trial):
    first, second = tiny.finish(trial("a")), tiny.finish(trial("b"))
    assert first.record().status == "DONE" and not first.record().points
    assert output(first) == output(second) != {}
    assert bill(first) == bill(second) and {c[0] for c in bill(first)} <= set(PHASES)
    assert first.record().facts == second.record().facts


def test_saved_and_restored_goes_on_as_if_nothing_had_happened(trial, tmp_path):
    straight, steps = trial("whole"), 1
    while straight.step(0.0):
        steps += 1
    before = trial("half")
    for _ in range(steps // 2):
        before.step(0.0)
    before.save(tmp_path / "checkpoint")
    before.close()
    after = trial("half")
    after.load(tmp_path / "checkpoint")
    tiny.finish(after)
    assert output(after) == output(straight) and bill(after) == bill(straight)


def test_price_is_within_twice_the_bill(trial):
    run = tiny.finish(trial("a"))
    billed = run.ledger.flops(*TRAINING)
    assert billed / 2 <= trial.price.flops <= billed * 2


def test_of_several_the_best_can_be_told(trial):
    facts = tiny.finish(trial("a")).record().facts
    assert isinstance(facts["selection"], float)
