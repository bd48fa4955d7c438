"""A grid study's proposals: what is crossed, in which order, and what is said of the rest."""

from __future__ import annotations

import dataclasses

import pytest

from raysearch.errors import InputError
from tests.support import tiny

pytestmark = pytest.mark.usefixtures("tiny_ladder")
FINE, ASKED = {"method": "finetune"}, {"method": "prompt"}
BOTH = ("random-1", "random-2")


@pytest.fixture
def crossed(tmp_path):
    """A world over the task `two` whose study crosses these procedures."""

    def build(*procedures, change=None, **study):
        task = tiny.write_task(tmp_path / "two", "two")
        task = dataclasses.replace(task, **(change or {}))
        study = {"labels": (8, 16), "models": BOTH, **study}
        return tiny.world(task, tmp_path, searcher="grid", procedures=procedures, **study)

    return build


def procedures_of(proposals):
    """Proposals in short, a teacher in brackets."""
    return [
        f"{p.method} {p.rung} {p.labels}"
        + (" ({0.method} {0.rung} {0.labels})".format(p.inputs["teacher"]) if p.inputs else "")
        for p in proposals
    ]


def test_teachers_come_first_once_and_students_are_smaller(crossed):
    w = crossed({"method": "distill", "teacher": FINE}, FINE, {"method": "zero_shot"})
    assert procedures_of(w.crossing()) == [
        "finetune random-2 8",
        "distill random-1 8 (finetune random-2 8)",
        "finetune random-1 8",
        "zero_shot random-1 8",  # once: no label budget is its own
        "zero_shot random-2 8",
        "finetune random-2 16",
        "distill random-1 16 (finetune random-2 16)",
        "finetune random-1 16",
    ]
    ids = [w.configure(p).id for p in w.crossing()]
    assert len(set(ids)) == len(ids)


def test_a_teacher_s_method_needs_no_line_of_its_own(crossed):
    w = crossed(FINE, {"method": "distill", "teacher": ASKED}, labels=(8,))
    assert "distill random-1 8 (prompt random-2 8)" in procedures_of(w.crossing())
    assert "prompt random-1 8" not in procedures_of(w.crossing()) and not w.excluded
    named = crossed(
        FINE, ASKED, {"method": "distill", "teacher": ASKED}, methods=("finetune", "distill")
    )
    assert {p.split()[0] for p in procedures_of(named.crossing())} == {
        "finetune",
        "distill",
        "prompt",
    }


def test_where_no_teacher_is_named_the_usual_one_is_taken_and_listed(crossed):
    w = crossed({"method": "distill"}, labels=(8,))
    assert procedures_of(w.crossing()) == [
        "finetune random-2 8",
        "distill random-1 8 (finetune random-2 8)",
    ]


def test_of_one_model_alone_it_teaches_itself(crossed):
    w = crossed({"method": "distill", "teacher": FINE}, labels=(8,), models=("random-1",))
    assert procedures_of(w.crossing())[-1] == "distill random-1 8 (finetune random-1 8)"


def test_a_named_model_and_knobs_are_the_teacher_s(crossed):
    above = {**FINE, "model": "random-1", "hyper": {"epochs": 7}}
    w = crossed({"method": "distill", "teacher": above, "hyper": {"alpha": 0.25}}, labels=(8,))
    *_, student = w.crossing()
    assert (student.hyper["alpha"], student.inputs["teacher"].hyper["epochs"]) == (0.25, 7)
    assert student.inputs["teacher"].rung == "random-1"


def test_a_procedure_that_cannot_run_is_said(crossed):
    w = crossed(
        FINE,
        {"method": "distill", "teacher": FINE},
        {"method": "distill", "teacher": ASKED},
        labels=(8,),
        change={"templates": (), "words": {}},
    )
    assert not [p for p in procedures_of(w.crossing()) if "prompt" in p]
    assert "distill random-1 8 (finetune random-2 8)" in procedures_of(w.crossing())
    assert w.excluded["distill from prompt"] == "its teacher's method takes no part here"


@pytest.mark.parametrize(
    "line", [{"method": "finetun"}, {"method": "distill", "teacher": {"method": "finetun"}}]
)
def test_a_method_that_is_none_is_an_error_with_the_nearest_name(crossed, line):
    w = crossed(FINE, line)
    with pytest.raises(
        InputError, match="procedures: no method 'finetun'. Did you mean 'finetune'"
    ):
        w.crossing()


EXITS = {"method": "early_exit"}


def test_a_procedure_may_ask_for_one_model_or_the_largest(crossed):
    w = crossed(FINE, {**EXITS, "model": "largest"}, {**FINE, "model": "random-1"}, labels=(8,))
    assert procedures_of(w.crossing()) == [
        "finetune random-1 8",
        "finetune random-2 8",
        "early_exit random-2 8",
    ]
    with pytest.raises(InputError, match="no model 'random-3'. Did you mean"):
        crossed({**FINE, "model": "random-3"}).crossing()


def test_a_model_that_takes_no_part_is_said(crossed):
    w = crossed({**FINE, "model": "random-2"}, {**FINE, "model": "random-1"}, models=BOTH[:1])
    assert {p.rung for p in w.crossing()} == {"random-1"} and not w.excluded, "the method runs"
    more = crossed({**FINE, "model": "random-2"}, {"method": "prompt"}, models=BOTH[:1])
    assert {p.method for p in more.crossing()} == {"prompt"}
    assert "random-2" in more.excluded["finetune"]


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"exits": "2,9"}, "layer 9 is not one of the model's 2"),
        ({"exits": "2"}, "one exit, two are the fewest"),
        ({"exits": "most"}, "must be all, half, or layers"),
        ({"exit": "all"}, "exit"),
    ],
)
def test_knobs_that_no_model_can_have_are_one_line(crossed, hyper, message):
    with pytest.raises(InputError, match=message) as e:
        crossed({**EXITS, "hyper": hyper}).crossing()
    assert "\n" not in str(e.value) and "early_exit" in str(e.value)


def test_models_too_small_for_exits_are_left_out(crossed):
    w = crossed(FINE, EXITS, labels=(8,))
    assert [p.rung for p in w.crossing() if p.method == "early_exit"] == ["random-2"]
    alone = crossed(FINE, EXITS, labels=(8,), models=BOTH[:1])
    assert "one exit" in alone.excluded.get("early_exit", "") or alone.crossing()
    assert "one exit" in alone.excluded["early_exit"]


def test_a_model_without_layers_is_refused_by_name(crossed):
    w = crossed({"method": "early_exit", "model": "hash-16"})
    with pytest.raises(
        InputError,
        match="'early_exit': cannot train 'hash-16', a model of family ngram; it trains encoder",
    ):
        w.crossing()


def test_a_method_is_left_out_only_where_none_of_its_lines_runs(crossed):
    table = {"method": "sparse_distill", "hyper": {"vocabulary": "hashed"}, "teacher": FINE}
    lines = [{**table, "model": m} for m in ("dan-1m-4k", ["dan-10k", "dan-100k"], "dan-1m-62k")]
    w = crossed(FINE, *lines, labels=(8,), models=("random-2", "dan-10k", "dan-100k"))
    assert [p.rung for p in w.crossing() if p.method == "sparse_distill"] == ["dan-10k", "dan-100k"]
    assert not w.excluded
    alone = crossed(FINE, lines[0], lines[2], labels=(8,), models=("random-2", "table-400"))
    assert [p.method for p in alone.crossing()] == ["finetune"]
    assert "no model 'dan-1m-4k'" in alone.excluded["sparse_distill"]


def test_a_method_that_runs_as_a_teacher_is_not_left_out(crossed):
    students = {"method": "distill", "teacher": FINE}
    w = crossed({**FINE, "model": "random-2"}, students, labels=(8,), models=BOTH[:1])
    assert procedures_of(w.crossing())[0] == "finetune random-1 8" and not w.excluded


def test_a_crossing_of_nothing_says_why(crossed):
    w = crossed({"method": "finetune", "model": "random-2"}, models=("random-1",))
    with pytest.raises(InputError, match=r"nothing is left to run \(finetune: no model 'random-2'"):
        w.crossing()


TABLES = {"method": "dan", "hyper": {"vocabulary": "hashed"}}


def test_a_procedure_may_name_several_models_of_any_ladder(crossed):
    students = {"method": "sparse_distill", "model": ["dan-100k", "dan-10k"], "teacher": FINE}
    w = crossed(FINE, {**TABLES, "model": "table-400"}, students, labels=(8,), models=None)
    assert procedures_of(w.crossing()) == [
        "finetune random-1 8",
        "finetune random-2 8",
        "dan table-400 8",
        "sparse_distill dan-10k 8 (finetune random-2 8)",
        "sparse_distill dan-100k 8 (finetune random-2 8)",
    ]
    assert w.space.rungs["finetune"] == BOTH and "dan-1m" not in w.space.rungs["dan"]
    assert not {"dan", "sparse_distill"} & set(w.excluded)


def test_models_of_the_command_line_narrow_a_list(crossed):
    line = {**TABLES, "model": ["dan-10k", "dan-100k"]}
    w = crossed(FINE, line, labels=(8,), models=("random-1", "dan-100k"))
    assert procedures_of(w.crossing()) == ["finetune random-1 8", "dan dan-100k 8"]
    assert not w.excluded
    alone = crossed(FINE, line, labels=(8,), models=("random-1", "table-400"))
    assert procedures_of(alone.crossing()) == ["finetune random-1 8"]
    reason = "no model 'dan-10k' or 'dan-100k' that it can train takes part"
    assert alone.excluded["dan"] == reason


def test_a_named_teacher_of_another_ladder_takes_part(crossed):
    above = {**FINE, "model": "toy-tiny"}
    w = crossed({**TABLES, "method": "sparse_distill", "model": "dan-10k", "teacher": above},
                labels=(8,), models=None)  # fmt: skip
    assert procedures_of(w.crossing())[-1] == "sparse_distill dan-10k 8 (finetune toy-tiny 8)"


def test_a_model_in_a_list_is_held_against_the_method(crossed):
    with pytest.raises(InputError, match="no model 'dan-10m-4k'. Did you mean 'dan-1"):
        crossed(FINE, {**TABLES, "model": ["dan-10k", "dan-10m-4k"]}, models=None).crossing()
    with pytest.raises(InputError, match="'dan': cannot train 'random-1', a model of family enc"):
        crossed(FINE, {**TABLES, "model": ["dan-10k", "random-1"]}, models=None).crossing()


def test_a_vocabulary_that_no_table_has_is_one_line(crossed):
    with pytest.raises(InputError, match="vocabulary: no 'rare'. Known: frequent, hashed"):
        line = {**TABLES, "model": "dan-10k", "hyper": {"vocabulary": "rare"}}
        crossed(FINE, line, models=None).crossing()
