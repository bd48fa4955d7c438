"""A stage and a method of two inputs, in files of their own: nothing else has to know them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raysearch.config.space import Proposal
from raysearch.errors import InputError
from tests.support import tiny
from tests.support.verbs import Say

PLUGINS = Path(__file__).resolve().parent / "plugins"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(plugged, tmp_path):
    task = tiny.write_task(tmp_path / "two", "two", train=120, test=40)
    return tiny.world(
        task, tmp_path / "run", methods=("toy_student", "finetune"), labels=(32,), trials=8
    )


def search(world, out: Path, trials: int = 8):
    """Run a study with the real controller and real trials, without Ray."""
    from raysearch.run.folder import RunFolder
    from raysearch.run.study_file import StudyManifest, write_study_manifest
    from raysearch.search.backend import trial_backend
    from raysearch.search.budget import Budget
    from raysearch.search.controller import StudyController
    from raysearch.trial.run import TrialRun

    write_study_manifest(out, StudyManifest(world.study, world.data.task, world.data.digest))
    desk = StudyController(
        world.study,
        world,
        RunFolder(out),
        Budget(trials),
        trial_backend(),
        place=world.place,
        phase="search",
        on_event=None,
    )
    desk.resume()
    order = []
    while (offer := desk.draw()) is not None:
        run = tiny.finish(TrialRun(offer.config, world.place))
        order.append(offer)
        desk.take(run.record())
        run.close()
    desk.close()
    return order


def test_the_space_names_candidates_by_role(world):
    space = world.space
    assert dict(space.methods["toy_student"].inputs) == {
        "generator": ("toy_writer",),
        "teacher": ("finetune",),
    }
    assert set(space.upstream) == {"toy_writer", "finetune"}
    assert "toy_writer" not in space.methods, "a stage is no method of a study"


def test_a_configuration_holds_both_inputs_whole_and_has_one_id(world):
    from raysearch.config.trial import TrialConfig

    config = world.configure(Proposal("toy_student", "hash-16", 32))
    assert {role: c.method for role, c in config.upstream.items()} == {
        "generator": "toy_writer",
        "teacher": "finetune",
    }
    assert config.method_chain == "toy_student from toy_writer (generator) and finetune (teacher)"
    assert TrialConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    drawn = config.with_seed(3)
    assert {c.data.seed for c in drawn.upstream.values()} == {3}
    price = world.predicted_cost(config)
    alone = [world.predicted_cost(c).flops for c in config.upstream.values()]
    assert price.flops > sum(alone) > 0


def test_what_a_stage_writes_takes_no_text_of_the_task(world):
    """Of 120 rows 20 are left; the usual generator is asked for 30, named or not."""
    knobs = {"transfer": 30, "c": 10.0}
    usual = world.configure(Proposal("toy_student", "hash-16", 100, knobs))
    given = {"generator": Proposal("toy_writer", "hash-16", 100, {"texts": 40})}
    named = world.configure(Proposal("toy_student", "hash-16", 100, knobs, given))
    assert usual.data.unlabelled == named.data.unlabelled == 30
    assert usual.id == named.id


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{generator: [toy_writer], teacher: [finetune]}", ""),
        ("{genrator: [toy_writer]}", "no input 'genrator'. Did you mean 'generator'?"),
        ("{generator: [toy_writr]}", "no method or stage 'toy_writr'. Did you mean 'toy_writer'?"),
        ("{generator: [finetune]}", "'finetune' gives logits, not texts"),
        ("{teacher: [finetune, none]}", "inputs.teacher: none, but it is not optional"),
    ],
)
def test_check_joins_the_roles_with_what_may_fill_them(plugged, tmp_path, say: Say, line, told):
    path = tmp_path / "search_spaces" / "toy_student.yaml"
    text = path.read_text()
    path.write_text(re.sub("^inputs: .*$", f"inputs: {line}", text, flags=re.M))
    code, out, err = say("check")
    assert (code, "whole" in out) == ((2, False) if told else (0, True))
    assert told in err


@pytest.mark.slow
def test_stage_and_teacher_run_once_for_all_and_pay_in_their_names(world, tmp_path):
    order = search(world, tmp_path / "run")
    from raysearch.analysis import read_run
    from raysearch.ledger import OWN
    from raysearch.objectives import View, get
    from raysearch.recommend.collect import collect
    from raysearch.search.messages import ended

    run = read_run(tmp_path / "run")
    by_id = {r.id: r for r in run.records}
    assert {r.status for r in run.records} == {"DONE"} and len(by_id) == len(order)
    assert "toy_writer" not in collect(run).outcomes, "a stage is nothing to choose"
    students = [r for r in run.records if r.config.method == "toy_student"]
    writers = [r for r in run.records if r.config.method == "toy_writer"]
    assert len(students) >= 2 and writers and all(not r.points for r in writers)
    assert all(r.facts["texts"] in (40, 50) for r in writers)
    assert all("labels: selection -" in ended(r) for r in writers)
    assert all("labels: accuracy 0." in ended(r) for r in students)
    ids = [o.config.id for o in order]
    sources = {o.config.id: o.source for o in order}
    for record in students:
        above = record.config.upstream
        assert all(ids.index(c.id) < ids.index(record.id) for c in above.values())
        assert {c.payer for c in record.bill} == {OWN, *(c.id for c in above.values())}
        paid = {c.phase for c in record.bill if c.payer == above["generator"].id}
        assert paid == {"train", "generate", "validate"} & paid and "generate" in paid
        assert record.answered_by == (above["teacher"],), "the generator answers nothing"
        full = get("train_flops_full").of(View(record, record.points[0], 8, {}))
        own = get("train_flops").of(View(record, record.points[0], 8, {}))
        assert full > own
        assert record.unlabelled_used == record.hyper["transfer"]
    assert {sources[r.id] for r in writers} == {"generator"}


@pytest.mark.slow
def test_readers_name_the_teacher_and_not_what_comes_first(world, tmp_path):
    """Roles are sorted: `generator` stands before `teacher`."""
    search(world, tmp_path / "run")
    from raysearch.analysis import read_run
    from raysearch.analysis.students import students
    from raysearch.panels.crossing import crossing

    run = read_run(tmp_path / "run")
    rows = run.table[run.table["method"] == "toy_student"]
    assert len(rows) and set(rows["teacher"]) <= {"random-1", "random-2"}
    found = [s for s in students(run) if s.record.config.method == "toy_student"]
    assert found and all(s.teacher.record.config.method == "finetune" for s in found)
    for cell in crossing(run).cells:
        if cell.procedure.startswith("toy_student"):
            assert "(generator hash-16, teacher random-" in cell.words


@pytest.mark.slow
def test_a_study_resumes_with_both_inputs(world, tmp_path):
    first = search(world, tmp_path / "run", trials=4)
    again = search(world, tmp_path / "run", trials=8)
    ids = [o.config.id for o in (*first, *again)]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_a_lost_artifact_is_made_again(world):
    from raysearch.trial.run import TrialRun

    config = world.configure(Proposal("toy_student", "hash-16", 32))
    record = tiny.finish(TrialRun(config, world.place)).record()
    store = world.place.open_store()
    made = config.upstream["generator"].id
    before = (store.entry("texts", made) / "texts.arrow").read_bytes()
    store.keep_only("texts", ())
    again = tiny.finish(TrialRun(config, world.place)).record()
    assert (store.entry("texts", made) / "texts.arrow").read_bytes() == before
    assert again.points == record.points


@pytest.mark.slow
def test_the_page_is_written_with_both(world, tmp_path, say: Say):
    search(world, tmp_path / "run")
    code, _, err = say("page", tmp_path / "run")
    assert code == 0, err


def test_a_grid_names_inputs_by_role(plugged, tmp_path):
    from raysearch.config.study import Study

    lines = [
        {"method": "finetune", "hyper": {"epochs": 1, "min_steps": 4}},
        {
            "method": "toy_student",
            "teacher": {"method": "finetune", "hyper": {"epochs": 1, "min_steps": 4}},
            "generator": {"method": "toy_writer", "hyper": {"texts": 50}},
        },
    ]
    study = Study(name="g", searcher="grid", procedures=lines, labels=(32,))
    dumped = study.model_dump(mode="json", exclude_none=True)["procedures"][1]
    assert set(dumped) == {"method", "hyper", "teacher", "generator"}
    assert Study(name="g", searcher="grid", procedures=[dumped]).procedures[0].inputs
    task = tiny.write_task(tmp_path / "two", "two", train=120)
    w = tiny.world(task, tmp_path / "run", searcher="grid", procedures=lines, labels=(32,))
    made = [p for p in w.crossing() if p.method == "toy_student"]
    assert made and all(p.inputs["generator"].hyper["texts"] == 50 for p in made)
    lines[1]["techer"] = lines[1].pop("teacher")
    wrong = tiny.world(task, tmp_path / "no", searcher="grid", procedures=lines, labels=(32,))
    with pytest.raises(InputError, match="no input 'techer'.*teacher"):
        wrong.crossing()


def test_the_page_on_stages_shows_the_stage_of_this_test():
    page = (ROOT / "docs" / "adding-a-stage.md").read_text(encoding="utf-8")
    for name in ("stages/toy_writer.py", "search_spaces/toy_writer.yaml"):
        assert (PLUGINS / name).read_text(encoding="utf-8").rstrip() in page
