"""The map as a picture: who wins, who does not, what is left out, where nothing fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raysearch.analysis import Run
from raysearch.panels import method_map
from raysearch.panels.contenders import contest
from raysearch.panels.crossing import crossing
from tests.support.crossed import LABELS, crossed, part
from tests.support.exiting import exiting


def test_the_procedure_that_is_best_everywhere_wins_everywhere(tmp_path: Path) -> None:
    def of(procedure: str, model: str, labels: int) -> float:
        return {"finetune": 0.6, "prompt": 0.8}[procedure]

    run = crossed(tmp_path / "run", procedures=("finetune", "prompt"), of=of)
    info = method_map.info(run)
    states = {s.state for s in info.squares}
    assert states == {method_map.WINS}
    assert {s.rivals[0].procedure for s in info.squares} == {"prompt"}
    assert len(info.squares) == len(info.labels) * len(info.budgets) and not info.empty
    drawn = symbols_of_map(info)
    assert drawn == {"square"}  # the second of two by name, filled


def symbols_of_map(info: method_map.Info) -> set[str]:
    figure = method_map.draw(info)
    marks = [t for t in figure.data if t.type == "scatter"]
    return {t.marker.symbol for t in marks if t.mode == "markers+text"}


def test_equal_procedures_are_not_called_winners(tmp_path: Path) -> None:
    def of(procedure: str, model: str, labels: int) -> float:
        return 0.8

    run = crossed(tmp_path / "run", procedures=("finetune", "prompt"), of=of, spread=0.02)
    info = method_map.info(run)
    both = [s for s in info.squares if len(s.rivals) == 2]
    called = [s for s in both if s.decided]
    assert len(both) >= 30 and len(called) <= 0.1 * len(both)
    figure = method_map.draw(info)
    fields = [t for t in figure.data if t.type == "bar" and t.showlegend is False]
    hatched = [len(t.x) for t in fields if t.marker.pattern.shape == "/"]
    assert sum(hatched) == len(both) - len(called)
    assert {s for s in symbols_of_map(info) if s.endswith("-open")}


def test_who_stands_for_a_procedure_was_chosen_on_validation(crossed_run: Run) -> None:
    grid = crossing(crossed_run)
    found, left = contest(crossed_run, grid, "train_flops_full")
    assert left == "" and len(found) == 53
    by_words = {(c.procedure, c.words): c for c in found}
    info = method_map.info(crossed_run)
    for square in info.squares:
        for rival in square.rivals:
            stands = by_words[rival.procedure, rival.words]
            column, row = square.column, square.row
            fits = [
                c
                for c in found
                if c.procedure == rival.procedure
                and c.labels <= info.labels[column]
                and c.cost <= info.budgets[row]
            ]
            assert stands in fits and stands.prefer == max(c.prefer for c in fits)
        shares = [r.share for r in square.rivals]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)


def test_what_needs_no_labels_stands_by_its_largest_model(crossed_run: Run) -> None:
    info = method_map.info(crossed_run)
    (lowest, *_) = [s for s in info.squares if (s.column, s.row) == (0, 0)]
    assert info.labels[0] == 0.0 and lowest.state == method_map.ALONE
    assert lowest.rivals[0].procedure == "zero_shot"
    assert lowest.rivals[0].words.startswith("bert_small, no labels: ")
    assert "chosen by no score" in info.caption


def test_points_of_one_trial_are_told_apart_by_their_knobs(tmp_path: Path) -> None:
    run = exiting(tmp_path / "run", labels=(100,), depths=(6,), tries=1)
    found, _ = contest(run, crossing(run), "infer_flops")
    assert {c.procedure for c in found} == {"early_exit", "finetune"}
    words = [c.words for c in found if c.procedure == "early_exit"]
    assert len(set(words)) == len(words) > 3
    for line in words:
        assert re.match(r"minilm-6, 1\d\d labels|minilm-6, 200 labels", line)
        assert re.search(r" labels, (leaves (at|after) .+|never leaves early): 0\.\d{3} \[", line)
    (plain,) = [c.words for c in found if c.procedure == "finetune"]
    assert re.fullmatch(r"minilm-6, 200 labels: 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", plain)
    texts = method_map.draw(method_map.info(run, cost="infer_flops")).to_json()
    assert "leaves at confidence" in texts or "never leaves early" in texts


def test_a_cell_where_nothing_fits_says_so(crossed_run: Run) -> None:
    dear = "distill from prompt"
    few = part(
        crossed_run,
        lambda r: (
            r.config.method_chain == dear
            or (r.config.method == "finetune" and r.config.data.train == 1000)
        ),
    )
    info = method_map.info(few)
    assert info.empty and info.squares
    assert (0, 0) in info.empty
    last = (len(info.labels) - 1, len(info.budgets) - 1)
    assert last not in info.empty
    marks = [t for t in method_map.draw(info).data if t.type == "scatter"]
    texts = [t for t in marks if t.mode == "text"]
    assert [set(t.text) for t in texts] == [{"nothing fits"}]
    assert len(texts[0].x) == len(info.empty)


def test_a_map_counts_what_it_leaves_out(crossed_run: Run, search_run: Run) -> None:
    lost = part(crossed_run, lambda r: r.phase != "confirm" or r.config.method != "finetune")
    info = method_map.info(lost)
    assert "finetune" not in {r.procedure for s in info.squares for r in s.rivals}
    assert f"Points left out: {3 * len(LABELS)} without fresh draws." in info.caption
    bare = method_map.info(crossed_run, cost="latency_ms")
    assert bare.squares == () and not method_map.draw(bare).data
    assert "53 without latency_ms" in bare.caption
    nobody = method_map.info(search_run)
    assert nobody.squares == () and nobody.caption.startswith("Nobody can be called a winner")


def test_the_bound_is_an_option_and_a_number_of_the_caption(crossed_run: Run) -> None:
    strict = method_map.info(crossed_run, sure=1.01)
    assert not [s for s in strict.squares if s.state == method_map.WINS]
    assert [s for s in method_map.info(crossed_run).squares if s.state == method_map.WINS]
    assert "nobody wins 90 % of them" in method_map.info(crossed_run, sure=0.9).caption


def test_the_numbers_of_the_map_are_its_squares(crossed_run: Run) -> None:
    info = method_map.info(crossed_run)
    rows = method_map.numbers(info)
    assert len(rows) == sum(len(s.rivals) for s in info.squares)
    assert sum(bool(r["leads"]) for r in rows) == len(info.squares)
