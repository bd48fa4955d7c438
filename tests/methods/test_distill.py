"""Distillation: what a student learns, and that every cent of its teacher is on its bill."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from raysearch.config.catalog import find_rung, method_spaces
from raysearch.config.space import Proposal
from raysearch.config.trial import TrialConfig
from raysearch.costs import flops
from raysearch.data.splits import normalise
from raysearch.errors import Infeasible, InputError
from raysearch.ledger import ANSWERS, OWN, TRAINING
from raysearch.methods import get as find_method
from raysearch.methods.distill import Knobs
from raysearch.objectives import View, get
from raysearch.storage.store import Store
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")
SHORT = {"epochs": 1, "min_steps": 4}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("distill")
    return tiny.world(tiny.write_task(home / "two", "two", train=160), home / "out")


def student(w, labels=32, teacher=None, **hyper):
    """A student's configuration: one layer, from a teacher of two (fine-tuned for a few steps)."""
    first = {**method_spaces()["distill"].default_config, **SHORT, **hyper}
    if teacher is None:
        teacher = taught(labels)
    return w.configure(
        Proposal(
            "distill", "random-1", labels, first, {} if teacher is None else {"teacher": teacher}
        )
    )


def taught(labels=32, method="finetune", **hyper):
    first = {**method_spaces()[method].default_config, **SHORT, **hyper}
    return Proposal(method, "random-2", labels, first)


def run_of(w, config):
    return tiny.finish(TrialRun(config, w.place))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["finetune", "prompt"])
def test_a_student_learns_from_few_labels_what_its_teacher_knows(tmp_path, method):
    w = tiny.world(tiny.write_task(tmp_path / "two", "two", train=400), tmp_path)
    able = taught(60, method, epochs=20, learning_rate=1e-3)
    config = student(
        w, 60, able, epochs=6, transfer=300, alpha=0.9, temperature=2.0, learning_rate=1e-3
    )
    teacher = run_of(w, config.upstream["teacher"])
    assert tiny.accuracy(teacher) > 0.95
    assert tiny.accuracy(run_of(w, config)) > 0.95


@pytest.mark.slow
def test_it_learns_the_teacher_and_not_the_labels_of_the_pool(tmp_path):
    """A teacher that has the classes swapped teaches them swapped."""
    w = tiny.world(tiny.write_task(tmp_path / "two", "two", train=400), tmp_path)
    config = student(
        w,
        60,
        taught(60, epochs=20, learning_rate=1e-3),
        epochs=6,
        transfer=300,
        alpha=1.0,
        learning_rate=1e-3,
    )
    run = TrialRun(config, w.place)
    teacher_logits = run.setup.inputs["teacher"].made.logits
    turned = dataclasses.make_dataclass("Turned", ["logits", "labelling_cost", "bill", "close"])
    real = run.setup.inputs["teacher"].made
    run.setup.inputs["teacher"].made = turned(
        lambda rows: teacher_logits(rows)[:, ::-1].copy(),
        real.labelling_cost,
        real.bill,
        real.close,
    )
    object.__setattr__(run.setup.inputs["teacher"].made, "config", real.config)
    assert tiny.accuracy(tiny.finish(run)) < 0.05


def test_the_bill_is_the_students_and_the_teachers_to_the_digit(world):
    """cost(KD) - cost(student) == the teacher's training + its forward over what it answered."""
    config = student(world, 32, transfer=100)
    record = run_of(world, config).record()
    teacher = run_of(world, config.upstream["teacher"])
    alone = sum(c.flops for c in record.bill if c.payer == OWN and c.phase in TRAINING)
    full = get("train_flops_full").of(View(record, record.points[0]))
    own = get("train_flops").of(View(record, record.points[0]))
    assert own == alone
    trained = teacher.ledger.flops(*TRAINING)
    run = TrialRun(config, world.place)
    labelling = 0
    for rows in (run.setup.train, run.setup.unlabelled):
        assert len(rows) in (32, 100)
        encoded = teacher.learner._head.encode(rows)
        for index in flops_batches(encoded.lengths):
            width = int(encoded.lengths[index].max())
            body = int(flops.encoder_forward(find_rung("random-2"), width))
            labelling += len(index) * (body + flops.linear_forward(48, 2))
    assert full - own == trained + labelling
    shared = get("train_flops_shared").of(View(record, record.points[0], shared_by=8))
    assert shared == own + (trained + labelling) / 8


def flops_batches(lengths):
    from raysearch.encoders.batches import evaluation_batches

    return evaluation_batches(lengths)


def test_everything_inherited_stands_under_the_teachers_name(world):
    config = student(world, 32, transfer=100)
    record = run_of(world, config).record()
    payers = {c.payer for c in record.bill}
    assert payers == {OWN, config.upstream["teacher"].id}
    phases = {c.phase for c in record.bill if c.payer != OWN}
    assert phases == {"train", "validate", "teacher", "label"}
    answered = {c.phase: c.texts for c in record.bill if c.phase in ANSWERS}
    assert answered == {"teacher": 32, "label": 100}, "labelled rows, and the pool, apart"


def test_labels_are_the_union_of_both(world):
    """The teacher's rows of the same draw hold the student's: none is counted twice."""
    same = run_of(world, student(world, 32)).record()
    more = run_of(world, student(world, 32, taught(64))).record()
    assert same.labels_used == 32 + 30
    assert more.labels_used == 64 + 30, "validation is the split, 30 rows, for both"
    assert same.unlabelled_used == 128 == len(world.data.splits["train"]) - 32


def test_answers_and_bill_come_out_of_the_store_without_the_weights(world, tmp_path, monkeypatch):
    config = student(world, 32, transfer=50, learning_rate=2e-4)
    first = run_of(world, config)
    store = Store(first.setup.store.root)
    store.drop("weights", config.upstream["teacher"].id)
    monkeypatch.setattr(TrialRun, "train", lambda self: pytest.fail("the teacher was opened"))
    again = TrialRun(config, world.place)
    again.begin()
    inherited = [c for c in again.ledger.bill() if c.payer != OWN]
    assert inherited == [c for c in first.record().bill if c.payer != OWN]


def test_where_the_store_lost_a_teacher_it_is_trained_again_to_the_same_bill(world, tmp_path):
    config = student(world, 32, transfer=50)
    known = run_of(world, config).record()
    place = dataclasses.replace(world.place, store=str(tmp_path / "empty"))
    fresh = tiny.finish(TrialRun(config, place)).record()

    def timeless(record):
        return [(c.phase, c.payer, c.flops, c.texts, c.labels) for c in record.bill]

    assert timeless(fresh) == timeless(known)
    assert fresh.points == known.points


def test_the_teacher_is_not_changed_by_its_student(world):
    config = student(world, 32, transfer=50)
    teacher = run_of(world, config.upstream["teacher"])
    module = teacher.learner._module
    before = {k: v.clone() for k, v in module.state_dict().items()}
    run = TrialRun(config, world.place)
    run.setup.inputs["teacher"].made._run = teacher
    run.setup.store.keep_only("answers", ())
    run.begin()
    run.step(0.0)
    assert not module.training, "it answered with dropout"
    for name, value in module.state_dict().items():
        assert torch.equal(before[name], value)
    assert all(p.grad is None for p in module.parameters())


def test_without_transfer_and_alpha_it_is_fine_tuning_to_the_bit(world):
    knobs = {"learning_rate": 1e-3, "epochs": 2, "min_steps": 4, "batch_size": 16}
    plain = tiny.finish(tiny.trial(world, "finetune", "random-1", 32, **knobs, warmup=0.06))
    taught_ = run_of(world, student(world, 32, transfer=0, alpha=0.0, **knobs))
    rows = world.data.splits["test"]
    logits = [r.learner.predict(rows, {}, phase="test") for r in (plain, taught_)]
    assert np.array_equal(*logits)
    assert plain.ledger.flops("train", payer=OWN) == taught_.ledger.flops("train", payer=OWN)


@pytest.mark.parametrize(
    "change", [{"targets": "hard"}, {"head": "cloze"}, {"start": "scratch"}, {"temperature": 8.0}]
)
def test_every_choice_is_a_computation_of_its_own(world, change):
    rows = world.data.splits["test"]
    plain = run_of(world, student(world, 32))
    other = run_of(world, student(world, 32, **change))
    assert other.config.id != plain.config.id
    usual, changed = (r.learner.predict(rows, {}, phase="test") for r in (plain, other))
    assert not np.allclose(usual, changed)


def test_a_student_from_scratch_exports_the_weights_it_was_drawn_with(world):
    """Words that training never touched are as they were drawn, not as the checkpoint has them."""
    run = run_of(world, student(world, 32, start="scratch", transfer=0))
    graph = TrainedModel(run).graph(run.record().points[0])
    weights = run.learner._module.encoder.words.weight
    assert torch.equal(graph.encoder.words.weight, weights)
    checkpoint = TrialRun(student(world, 32, transfer=0), world.place)
    checkpoint.begin()
    assert not torch.equal(checkpoint.learner._module.encoder.words.weight, weights)
    assert weights.std() == pytest.approx(0.02, rel=0.2) and weights[0].abs().max() == 0


def test_a_teacher_of_another_order_of_labels_fails_loudly(world, tmp_path):
    task = world.data.task
    turned = dataclasses.replace(task, label_names=tuple(reversed(task.label_names)))
    other = tiny.world(turned, tmp_path)
    assert other.data.digest != world.data.digest
    teacher = other.configure(taught())
    config = dataclasses.replace(student(world), inputs={"teacher": teacher})
    with pytest.raises(InputError, match="other data or another order of labels") as e:
        TrialRun(config, world.place)
    assert "\n" not in str(e.value)


def test_a_teacher_that_has_seen_the_held_out_fold_fails_loudly(tmp_path):
    task = tiny.write_task(tmp_path / "two", "two", train=200)
    for name in ("test", "validation"):
        (tmp_path / "two" / f"{name}.jsonl").unlink()
    w = tiny.world(task, tmp_path)
    config = student(w).with_seed(1, 4)
    assert TrialRun(config, w.place).setup.inputs["teacher"].made, (
        "drawn alike, they share the fold"
    )
    mixed = dataclasses.replace(config, inputs=student(w).with_seed(2, 4).inputs)
    with pytest.raises(InputError, match="trained on rows that its student is tested on"):
        TrialRun(mixed, w.place)


def test_the_pool_is_apart_from_all_labelled_rows(world):
    run = TrialRun(student(world, 32), world.place)
    pool = {normalise(t) for t in run.setup.unlabelled.text}
    assert len(pool) == 128 and run.setup.unlabelled.label is None
    for rows in (run.setup.train, run.setup.validation, world.data.splits["test"]):
        assert not pool & {normalise(t) for t in rows.text}


def test_smaller_transfer_sets_are_inside_larger_ones(world):
    few, more = (TrialRun(student(world, 32, transfer=n), world.place) for n in (20, 90))
    assert len(few.setup.unlabelled) == 20
    assert set(few.setup.unlabelled.ids.tolist()) < set(more.setup.unlabelled.ids.tolist())


def test_more_texts_than_there_are_is_all_there_are(world):
    assert student(world, 32, transfer=10**6).id == student(world, 32, transfer=128).id


def test_no_text_left_is_infeasible_in_a_line(world):
    with pytest.raises(Infeasible, match="with 160 labels no text without a label is left") as e:
        student(world, 160)
    assert "\n" not in str(e.value)


def test_a_corpus_is_a_pool_by_its_digest(tmp_path):
    task = tiny.write_task(tmp_path / "two", "two", train=160)
    own = [t for t in tiny.load(task).splits["test"].text[:5]]
    corpus = tmp_path / "texts.csv"
    corpus.write_text("text\n" + "\n".join([*(f"red the {i}" for i in range(40)), *own]) + "\n")
    w = tiny.world(task, tmp_path / "out", pool=str(corpus))
    config = student(w, 160, transfer=30)  # every training row is labelled: the corpus is there
    assert config.inputs["pool"].digest == w.corpus.digest and w.corpus.dropped == 5
    assert TrialConfig.from_json(config.to_json()) == config
    record = run_of(w, config).record()
    assert record.status == "DONE" and record.unlabelled_used == 30
    corpus.write_text("text\nblue the 1\nblue the 2\n")
    with pytest.raises(InputError, match="has changed since the trial was planned"):
        TrialRun(config, w.place)


def test_options_that_are_none_are_refused(world):
    for knob in ("targets", "start", "head"):
        run = TrialRun(student(world, 32, **{knob: "purple"}), world.place)
        with pytest.raises(ValueError, match=f"{knob}: no 'purple'. Known: "):
            run.setup.learner(run.ledger)


def test_a_config_with_its_teacher_has_one_id_and_reads_back(world):
    config = student(world)
    assert TrialConfig.from_json(config.to_json()) == config
    assert config.method_chain == "distill from finetune"
    other = student(world, 32, taught(learning_rate=3e-4))
    assert other.id != config.id and other.inputs["teacher"].id != config.inputs["teacher"].id
    drawn = config.with_seed(3)
    assert drawn.upstream["teacher"].data.seed == drawn.data.seed == 3
    assert drawn.seedless_id == config.seedless_id


def test_without_a_named_teacher_the_largest_model_teaches(world):
    config = world.configure(
        Proposal("distill", "random-1", 32, dict(method_spaces()["distill"].default_config))
    )
    (teacher,) = config.upstream.values()
    assert (teacher.method, teacher.rung) == ("finetune", "random-2")
    assert teacher.data.train == config.data.train
    assert find_method("distill").inputs_of(Knobs(), "logits") == ("teacher",)
