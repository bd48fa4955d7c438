"""recommend and confirm as a person types them: bad words, the same numbers twice, and relaxing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raysearch.analysis import Run, read_run
from raysearch.cli.shown import shown_json
from raysearch.config.option_values import number
from raysearch.recommend.answer import answer
from raysearch.recommend.collect import collect
from raysearch.recommend.points import Points
from raysearch.recommend.request import LIMITS
from raysearch.recommend.sentences import headline
from raysearch.recommend.words import WORDS, format_fixed, format_short, money, text
from tests.support import tiny
from tests.support.choices import Choice, write_choices
from tests.support.judged import write_run
from tests.support.synthetic import records
from tests.support.synthetic import write_run as write_synthetic
from tests.support.verbs import Say

SPEED = {"latency_ms": 3.0, "tokenise_ms": 0.5, "throughput": 1000.0, "peak_memory": 1e8}
A = Choice("a", 0.90, 0.85, (0.80, 0.82, 0.81), flops=10.0, measured=SPEED, seconds=36.0)
B = Choice("b", 0.80, 0.82, (0.88, 0.87, 0.89), method="embed_linear", flops=100.0, labels=320)
MEASURED = {"latency_ms": 9.0, "tokenise_ms": 1.0, "throughput": 200.0}
PRICES = ("--price-per-label", "0.5", "--price-per-cpu-hour", "2")


def refused(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert code == 2, result
    (line,) = [line for line in err.splitlines() if line.startswith("raysearch: error:")]
    assert "Traceback" not in err and not out
    for part in parts:
        assert part in line, line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two confirmed choices, both measured."""
    write_choices(tmp_path / "run", [A, replace(B, measured=MEASURED)], device="cpu")
    return Path("run")


@pytest.fixture
def whole(tmp_path: Path, tiny_ladder: None) -> Path:
    """A run with its task and its study, as `frontier` leaves it, but not confirmed."""
    write_run(tmp_path / "whole", tiny.write_task(tmp_path / "two", "two"), draws=0)
    return Path("whole")


# Bad words


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--labels", "-1"], ["--labels", "'-1'", "0 or more"]),
        (["--labels", "many"], ["--labels", "'many'", "not a number"]),
        (["--max-ms", "0"], ["--max-ms", "above 0"]),
        (["--max-ms", "-2"], ["--max-ms", "above 0"]),
        (["--max-ms", "5ms"], ["--max-ms", "not a number"]),
        (["--max-ms", "nan"], ["--max-ms", "not a number"]),
        (["--max-bytes", "inf"], ["--max-bytes", "not a number"]),
        (["--max-bytes", ""], ["--max-bytes", "not a number"]),
        (["--max-train-flops", "1e999"], ["--max-train-flops", "not a number"]),
        (["--max-train-flops", "-1e9"], ["--max-train-flops", "above 0"]),
        (["--min-score", "high"], ["--min-score", "not a number"]),
        (["--volume", "-5"], ["--volume", "0 or more"]),
        (["--volume", "5kk"], ["--volume", "not a number"]),
        (["--price-per-label", "-1"], ["--price-per-label", "0 or more"]),
        (["--price-per-label", "$1"], ["--price-per-label", "not a number"]),
        (["--price-per-cpu-hour", "free"], ["--price-per-cpu-hour", "not a number"]),
        (["--price-per-gpu-hour", "nan"], ["--price-per-gpu-hour", "not a number"]),
        (["--methods", "finetun"], ["--methods", "'finetun'", "Did you mean 'finetune'"]),
        (["--methods", ","], ["','", "a,b"]),
        (["--cost", "infer_flop"], ["--cost", "Did you mean 'infer_flops'"]),
        (["--teacher", "fre"], ["--teacher", "Did you mean 'free'"]),
        (["--share-teacher", "0"], ["--share-teacher", "above 0"]),
        (["--share-teacher", "-2"], ["--share-teacher", "above 0"]),
        (["--share-teacher", "2.5"], ["--share-teacher", "'2.5'", "whole number"]),
        (["--share-teacher", "many"], ["--share-teacher", "not a number"]),
        (["--label", "5"], ["--label"]),
        (["--labels"], ["--labels"]),
        (["more"], ["more"]),
    ],
    ids=" ".join,
)
def test_bad_words_for_recommend_are_one_line(
    say: Say, run: Path, args: list[str], parts: list[str]
) -> None:
    refused(say("recommend", run, *args), *parts)


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--draws", "0"], ["--draws", "0 given", "1 or more"]),
        (["--draws", "-3"], ["--draws", "-3 given"]),
        (["--draws", "five"], ["five"]),
        (["--draws", "2.5"], ["2.5"]),
        (["--hours", "0"], ["--hours", "above 0"]),
        (["--hours", "-1"], ["--hours", "-1 given"]),
        (["--hours", "nan"], ["--hours", "above 0"]),
        (["--hours", "long"], ["long"]),
        (["--data-dir", "nowhere"], ["--data-dir", "nowhere"]),
        (["--models-dir", "nowhere"], ["--models-dir", "nowhere"]),
    ],
    ids=" ".join,
)
def test_bad_words_for_confirm_are_one_line(
    say: Say, whole: Path, args: list[str], parts: list[str]
) -> None:
    before = (whole / "records.jsonl").read_bytes()
    refused(say("confirm", whole, *args), *parts)
    assert (whole / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize("verb", ["recommend", "confirm", "measure"])
def test_what_is_no_run_is_one_line(say: Say, whole: Path, tmp_path: Path, verb: str) -> None:
    refused(say(verb, "nowhere"), "nowhere")
    (tmp_path / "empty").mkdir()
    refused(say(verb, "empty"), "empty")
    refused(say(verb), "RUN")
    (tmp_path / "file").write_text("a")
    refused(say(verb, "file"), "file")


@pytest.mark.parametrize("verb", ["recommend", "confirm", "measure"])
def test_a_run_folder_without_records_is_one_line(say: Say, whole: Path, verb: str) -> None:
    (whole / "records.jsonl").unlink()
    refused(say(verb, whole), "whole")


def test_nothing_to_confirm_is_one_line(say: Say, whole: Path) -> None:
    lines = [json.loads(x) for x in (whole / "records.jsonl").read_text().splitlines()]
    for event in lines:
        event["status"] = "STOPPED"
    (whole / "records.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    code, _, err = say("confirm", whole)
    assert code == 2 and "no finished trial to confirm" in err


def test_status_counts_the_search_alone(say: Say, tmp_path: Path, tiny_ladder: None) -> None:
    """Four trials of 24, and nine draws: four are done, and resume would go on."""
    write_run(tmp_path / "run", tiny.write_task(tmp_path / "two", "two"), draws=3)
    code, out, _ = say("status", "run")
    assert code == 0 and "4 of 24 trials" in out


# The same numbers twice


def test_json_says_what_the_sentences_say(say: Say, run: Path) -> None:
    options = ("--volume", "1000", *PRICES, "--labels", "700")
    code, out, err = say("recommend", run, *options)
    assert (code, err) == (0, "")
    code, js, _ = say("recommend", run, *options, "--json")
    value = json.loads(js, parse_constant=pytest.fail)
    assert code == 0 and len(js.splitlines()) == 1
    for sentence in value["sentences"]:
        assert sentence in out.splitlines()
    for who, spoken in value["why"].items():
        assert f"{who}: {spoken}" in out.splitlines()
    assert value["footer"] in out.splitlines()

    choice, runner = value["choice"], value["runner_up"]
    assert choice["point_id"] == B.point and runner["point_id"] == A.point
    first = value["sentences"][0]
    low, high = choice["interval"]
    assert f"Train {choice['name']}: accuracy {format_fixed(choice['test'], 2)} " in first
    assert f"[{format_fixed(low, 2)}, {format_fixed(high, 2)}]" in first
    assert f"{format_short(choice['costs']['ms'])} ms a text" in first
    assert choice["costs"]["ms"] == 10.0 and choice["draws"] == 3
    assert choice["test"] == pytest.approx(0.88) and choice["validation"] == pytest.approx(0.88)
    (spoken,) = (s for s in value["sentences"] if s.startswith("Runner-up"))
    gap = runner["difference_interval"]
    assert runner["difference"] == pytest.approx(runner["test"] - choice["test"])
    assert (
        f"{format_fixed(abs(runner['difference']), 2)} lower [{format_fixed(gap[0], 2)}, " in spoken
    )
    assert spoken.endswith("worse.") and gap[1] < 0
    assert f"raysearch export run {choice['point_id']} --to model" in out


def test_dollars_to_own_by_hand(say: Say, run: Path) -> None:
    """320 + 320 labels at 0.5 $, 36 s of training and a year of texts at 2 $ an hour."""
    code, js, _ = say("recommend", run, "--volume", "3M", *PRICES, "--json", "--min-score", "0.85")
    value = json.loads(js)
    year = 12 * 3e6 * (1 / 200 + 1.0 / 1000) / 3600 * 2
    total = 640 * 0.5 + 36 / 3600 * 2 + year
    assert value["choice"]["point_id"] == B.point
    assert value["choice"]["costs"]["own"] == pytest.approx(total)
    (sentence,) = (s for s in value["sentences"] if s.startswith("To own"))
    parts = f"(labels $320, training {money(0.02)}, predictions {money(year)})"
    assert f"for a year at 3,000,000 texts a month: {money(total)} {parts}" in sentence


def test_no_texts_a_month_cost_labels_and_training_alone(say: Say, run: Path) -> None:
    code, js, _ = say("recommend", run, "--volume", "0", *PRICES, "--json")
    value = json.loads(js)
    own = {p["point_id"]: p["costs"]["own"] for p in (value["choice"], value["runner_up"])}
    assert own == pytest.approx({A.point: 64 * 0.5 + 0.02, B.point: 640 * 0.5 + 0.02})
    (sentence,) = (s for s in value["sentences"] if s.startswith("To own"))
    assert "at 0 texts a month" in sentence and "predictions $0)" in sentence


def test_labels_and_hours_that_cost_nothing(say: Say, run: Path) -> None:
    free = ("--price-per-label", "0", "--price-per-cpu-hour", "0")
    code, out, err = say("recommend", run, "--volume", "1000", *free)
    assert code == 0, err
    assert "To own" in out and ": $0 (labels $0, training $0, predictions $0)" in out


@pytest.mark.parametrize(
    ("prices", "missing"),
    [
        ((), ["the price of a label is not given", "the price of a CPU hour is not given"]),
        (PRICES[:2], ["the price of a CPU hour is not given"]),
        (PRICES[2:], ["the price of a label is not given"]),
        ((*PRICES[:2], "--price-per-gpu-hour", "9"), ["the price of a CPU hour is not given"]),
    ],
)
def test_prices_that_are_missing_are_named(
    say: Say, run: Path, prices: tuple[str, ...], missing: list[str]
) -> None:
    code, out, _ = say("recommend", run, "--volume", "1000", *prices)
    (line,) = (x for x in out.splitlines() if x.startswith("Dollars to own cannot be said"))
    assert code == 0 and line == f"Dollars to own cannot be said: {'; '.join(missing)}."
    js = json.loads(say("recommend", run, "--volume", "1000", *prices, "--json")[1])
    assert "own" not in js["choice"]["costs"], "absent, never 0"


def test_a_choice_that_was_not_measured_is_said(say: Say, tmp_path: Path) -> None:
    write_choices(
        tmp_path / "run", [replace(A, measured={}), replace(B, measured={})], device="cuda:0"
    )
    code, out, _ = say("recommend", "run", "--volume", "10", "--price-per-gpu-hour", "1")
    (line,) = (x for x in out.splitlines() if x.startswith("Dollars to own cannot be said"))
    assert "the price of a label is not given" in line and "CPU" not in line
    assert "the choice was not measured (raysearch measure run)" in line
    zero = say("recommend", "run", "--volume", "0", "--price-per-gpu-hour", "1", *PRICES[:2])[1]
    assert "To own" in zero, "no texts need no speed"


def test_prices_of_the_study_hold_and_options_come_first(say: Say, tmp_path: Path) -> None:
    prices = {"cpu_hour": 2.0, "label": 0.5}
    write_choices(tmp_path / "run", [A, replace(B, measured=MEASURED)], prices=prices)
    own = "own"
    plain = json.loads(say("recommend", "run", "--volume", "0", "--json")[1])
    assert plain["choice"]["costs"][own] == pytest.approx(640 * 0.5 + 0.02)
    other = ("--price-per-label", "0.1")
    mixed = json.loads(say("recommend", "run", "--volume", "0", *other, "--json")[1])
    assert mixed["choice"]["costs"][own] == pytest.approx(640 * 0.1 + 0.02)


def test_dollars_as_the_cost_without_prices_say_what_is_missing(say: Say, run: Path) -> None:
    code, out, err = say("recommend", run, "--cost", "own", "--volume", "1000")
    assert "price of a label is not given" in out + err


def test_a_teacher_may_be_shared_by_more_than_the_study_says(say: Say, tmp_path: Path) -> None:
    made = records(60, methods=("distill",))
    write_synthetic(tmp_path / "run", made, shared_by=4)

    def costs(*args: str) -> dict[str, float]:
        code, js, err = say("recommend", "run", "--cost", "train", "--json", *args)
        assert code == 0, err
        found: dict[str, float] = json.loads(js)["choice"]["costs"]
        return found

    usual = costs()
    own, taught = usual["train_flops"], usual["train_flops_full"] - usual["train_flops"]
    assert taught > 0 and usual["train_flops_shared"] == pytest.approx(own + taught / 4)
    more = costs("--share-teacher", "1k")
    assert more == {**usual, "train_flops_shared": pytest.approx(own + taught / 1000)}
    assert costs("--share-teacher", "1")["train_flops_shared"] == usual["train_flops_full"]
    assert costs() == usual, "the study is as it was"


def test_the_page_says_by_how_many_a_teacher_is_shared(say: Say, tmp_path: Path) -> None:
    run = write_synthetic(tmp_path / "run", records(60, methods=("distill",)), shared_by=4)
    assert say("page", run)[0] == 0
    table = (run / "records.parquet").read_bytes()
    assert ">shared by 4<" in (run / "dashboard" / "index.html").read_text()
    assert say("page", run, "--share-teacher", "12")[0] == 0
    assert ">shared by 12<" in (run / "dashboard" / "index.html").read_text()
    assert (run / "records.parquet").read_bytes() == table
    refused(say("page", run, "--share-teacher", "0"), "--share-teacher")


def test_numbers_may_be_short(say: Say, run: Path) -> None:
    short = say("recommend", run, "--volume", "2.5k", "--max-bytes", "1M", *PRICES, "--json")[1]
    long = say("recommend", run, "--volume", "2500", "--max-bytes", "1e6", *PRICES, "--json")[1]
    assert json.loads(short) == json.loads(long)


@pytest.mark.parametrize(
    ("args", "needs"),
    [
        (["--max-ms", "1"], ["Relax milliseconds a text to 3.50 instead of 1"]),
        (["--labels", "10"], ["Relax labels to 64 instead of 10"]),
        (["--min-score", "0.99"], ["Relax score on validation to 0.8"]),
        (["--max-bytes", "1"], ["Relax bytes to 40 instead of 1"]),
        (["--labels", "10", "--max-ms", "1"], ["No single limit is to blame", "would need labels"]),
    ],
)
def test_what_to_relax_is_said_and_stands_in_the_json(
    say: Say, run: Path, args: list[str], needs: list[str]
) -> None:
    code, out, err = say("recommend", run, *args)
    assert code == 0, err
    assert "No scored point is within these limits." in out
    assert all(part in out for part in needs), out
    value = json.loads(say("recommend", run, *args, "--json")[1], parse_constant=pytest.fail)
    assert value["choice"] is None and value["runner_up"] is None
    for entry in value["relax"]:
        assert entry["point"]["point_id"] in (A.point, B.point) and entry["needed"] > 0


def test_a_limit_on_what_was_never_measured_says_so(say: Say, tmp_path: Path) -> None:
    write_choices(tmp_path / "run", [replace(A, measured={}), B])
    code, out, err = say("recommend", "run", "--max-ms", "5")
    assert code == 0, err
    assert "milliseconds a text: not known of any point (raysearch measure run)." in out


def test_nothing_confirmed_is_said_and_how_to_go_on(say: Say, tmp_path: Path) -> None:
    write_choices(tmp_path / "run", [replace(A, draws=()), replace(B, draws=())])
    code, out, _ = say("recommend", "run")
    assert code == 0 and out.startswith("Not confirmed yet, one draw each")
    assert "raysearch confirm run" in out
    value = json.loads(say("recommend", "run", "--json")[1])
    assert value["choice"]["draws"] == 0 and value["choice"]["point_id"] == A.point


def test_the_json_of_confirm_holds_no_nan(tmp_path: Path) -> None:
    """As after an interrupted search: winners were not scored yet, draws have run."""
    run = write_choices(tmp_path / "run", [replace(A, test=None), replace(B, test=None)])
    json.dumps(shown_json(run), allow_nan=False)


def test_a_confirmed_point_needs_no_test_score_of_its_lucky_trial(tmp_path: Path) -> None:
    run = write_choices(tmp_path / "run", [replace(A, test=None), replace(B, test=None)])
    assert len(collect(run)) == 2


# Relaxing: the number that is said lets a point in


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Points]:
    """Points of a large synthetic study, confirmed in part and not at all, and of correlations."""
    home = tmp_path_factory.mktemp("many")
    methods = ("ngram_linear", "finetune", "distill", "early_exit")

    def points(name: str, **more: Any) -> Points:
        made = records(150, seed=5, methods=methods, **more)
        return collect(read_run(write_synthetic(home / name, made)))

    return {"plain": points("plain"), "confirmed": points("confirmed", confirm=3)}


WORD = {WORDS[f"limit_{k}"]: k for k in (*LIMITS, "min_score") if k != "volume"}
ONE = re.compile(r"^Relax (.+?) to (\S+) instead of (\S+): then ")
EACH = re.compile(rf"({'|'.join(map(re.escape, WORD))}) (\S+) instead of (\S+?)(?=, |\.$)")


def back(written: str) -> float:
    """A number as a sentence prints it, read as the options read one."""
    value = number(written.replace(",", "").replace("−", "-"), "--limit")
    assert value is not None
    return value


limits = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.integers(1, 2500).map(float),
        "max_ms": st.floats(0.3, 6.0),
        "max_bytes": st.floats(1e3, 3e8),
        "max_train_flops": st.floats(1e3, 1e15),
        "min_score": st.floats(0.3, 1.0),
    },
)
slow = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@slow
@given(st.sampled_from(["plain", "confirmed"]), limits, st.sampled_from(["", "train", "bytes"]))
@example("plain", {"labels": 1.0}, "")
@example("plain", {"max_ms": 0.31, "labels": 3.0}, "")
@example("confirmed", {"min_score": 0.999}, "")
def test_the_limit_that_is_said_lets_a_point_in(
    runs: dict[str, Points], which: str, wanted: dict[str, float], cost: str
) -> None:
    points = runs[which]
    found = answer(points, cost=cost, **wanted)
    sentences = [text(s) for s in headline(points, found)]
    if found.choice is not None:
        assert not any(s.startswith(("Relax", "No single")) for s in sentences)
        return
    assert sentences[0] == WORDS["no_fit"]
    ones = [m for s in sentences if (m := ONE.match(s))]
    assert len(ones) == len(found.relax)
    for match in ones:
        limit = WORD[match[1]]
        again = answer(points, cost=cost, **{**wanted, limit: back(match[2])})
        assert again.choice is not None, match[0]
    for s in sentences:
        if s.startswith("No single limit"):
            needed = {WORD[m[1]]: back(m[2]) for m in EACH.finditer(s.split("would need ")[1])}
            assert len(needed) == len(found.nearest) > 1
            assert answer(points, cost=cost, **{**wanted, **needed}).choice is not None, s
    assert ones or any(s.startswith(("No single", "milliseconds")) for s in sentences)


@slow
@given(limits)
def test_less_than_is_said_lets_nobody_in(
    runs: dict[str, Points], wanted: dict[str, float]
) -> None:
    """What is needed is the least that is enough."""
    points = runs["plain"]
    for limit, need, _ in answer(points, **wanted).relax:
        less = need + 1e-6 if limit == "min_score" else need * (1 - 1e-9)
        if limit != "labels":
            assert answer(points, **{**wanted, limit: less}).choice is None


def correlated(folder: Path, *validation: float) -> Run:
    """Unconfirmed choices scored by a correlation."""
    choices = [Choice(f"m{k}", v, 0.1 + 0.01 * k, flops=10.0 + k) for k, v in enumerate(validation)]
    return write_choices(folder, choices, score="pearson")


@pytest.mark.parametrize("validation", [-0.3, -0.05])
def test_a_negative_score_to_relax_to_is_a_number(tmp_path: Path, validation: float) -> None:
    points = collect(correlated(tmp_path, validation))
    sentences = [text(s) for s in headline(points, answer(points, min_score=0.5))]
    (match,) = [m for s in sentences if (m := ONE.match(s))]
    assert answer(points, min_score=back(match[2])).choice is not None


def test_a_score_of_zero_to_relax_to(tmp_path: Path) -> None:
    """mcc and pearson of a constant prediction are 0.0."""
    points = collect(correlated(tmp_path, 0.0))
    assert answer(points, min_score=0.5).relax


def test_a_number_can_be_copied_from_the_sentence(say: Say, run: Path) -> None:
    _, out, _ = say("recommend", run, "--max-train-flops", "1", "--labels", "1")
    assert "would need" in out
    assert say("recommend", run, "--labels", "1,000")[0] == 0
