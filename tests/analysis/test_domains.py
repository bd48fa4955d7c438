"""Matrices of domains: estimates, intervals by rows and draws, the drop, and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis import read_run
from raysearch.analysis.bootstrap import Judged
from raysearch.analysis.domain_words import choice_words, drop_words, dropped_words, models_words
from raysearch.analysis.domains import Matrix, read_domains, write_domains
from raysearch.analysis.external import rows_interval
from raysearch.analysis.selected_point import chosen
from raysearch.analysis.transfer import transfer
from raysearch.errors import InputError, RecordError
from raysearch.run.folder import DOMAINS
from tests.support.domains import matrix
from tests.support.synthetic import records, write_run

pytestmark = pytest.mark.statistics

ROWS = 300


def judged(right: float, rng: np.random.Generator, *, draw: int = 0, luck: object = None) -> Judged:
    """One draw that is right so often; `luck` (n,) is how hard each row is."""
    ease = rng.random(ROWS) if luck is None else luck
    return Judged(draw, np.arange(ROWS), (ease < right).astype(np.float64)[:, None])


def square(rng: np.random.Generator, draws: int, spread: float = 0.0) -> dict:
    """Cells of domains a and b, 0.9 at home and 0.7 abroad; rows of a test are as hard for all."""
    luck = {t: rng.random(ROWS) for t in "ab"}
    out = {}
    for s in "ab":
        off = rng.normal(0, spread, draws)
        for t in "ab":
            right = 0.9 if s == t else 0.7
            noisy = [0.8 * luck[t] + 0.2 * rng.random(ROWS) for _ in range(draws)]
            out[s, t] = [
                Judged(d, np.arange(ROWS), (noisy[d] < right + off[d]).astype(float)[:, None])
                for d in range(draws)
            ]
    return out


def test_one_draw_has_the_interval_of_its_rows() -> None:
    rng = np.random.default_rng(0)
    cells = {("a", "a"): [judged(0.8, rng)], ("a", "b"): [judged(0.6, rng)]}
    made, drop = transfer(cells, "accuracy")
    assert drop is None, "b has no model of its own"
    for pair, (one,) in cells.items():
        e = made[pair]
        assert e.score == one.features.mean() and e.per_draw == (e.score,)
        predicted = np.where(one.features[:, 0] > 0, 0, 1)
        low, high = rows_interval(predicted, np.zeros(ROWS, np.int64), "accuracy", 2)
        assert (e.low, e.high) == pytest.approx((low, high), abs=0.006)


def test_the_drop_is_the_mean_diagonal_minus_the_mean_of_the_rest() -> None:
    made, drop = transfer(square(np.random.default_rng(1), 3), "accuracy")
    home = np.mean([made[t, t].score for t in "ab"])
    away = np.mean([made["a", "b"].score, made["b", "a"].score])
    assert drop is not None and drop.pairs == 2
    assert drop.mean == pytest.approx(home - away, abs=1e-12)
    assert drop.low < drop.mean < drop.high and drop.low > 0
    again, same = transfer(square(np.random.default_rng(1), 3), "accuracy")
    assert again == made and same == drop


def test_rows_are_paired_within_a_column() -> None:
    cells = square(np.random.default_rng(2), 1)
    made, drop = transfer(cells, "accuracy")
    assert drop is not None
    widths = [made[p].high - made[p].low for p in made]
    unpaired = np.sqrt(np.sum(np.square(widths))) / 2  # of a mean of two differences
    assert drop.high - drop.low < 0.9 * unpaired


def test_draws_widen_an_interval_from_three_on() -> None:
    rng = np.random.default_rng(3)
    cells = square(rng, 3, spread=0.1)
    wide, _ = transfer(cells, "accuracy")
    rows_alone, _ = transfer({p: draws[:2] for p, draws in cells.items()}, "accuracy")
    for p in cells:
        assert len(rows_alone[p].per_draw) == 2 and len(wide[p].per_draw) == 3
    assert np.mean([e.high - e.low for e in wide.values()]) > 1.5 * np.mean(
        [e.high - e.low for e in rows_alone.values()]
    )


@pytest.mark.slow
def test_the_interval_of_the_drop_covers_it() -> None:
    """Of two hundred small worlds; without noise of draws, so that rows alone vary."""
    covered = 0
    for seed in range(200):
        cells = square(np.random.default_rng(100 + seed), 1)
        _, drop = transfer(cells, "accuracy", resamples=300)
        assert drop is not None
        # P(0.8 u + 0.2 v < x) for x in [0.2, 0.8] is (x - 0.1) / 0.8
        truth = (1 - (1 - 0.9) ** 2 / (2 * 0.8 * 0.2)) - (0.7 - 0.1) / 0.8
        covered += drop.low <= truth <= drop.high
    assert 0.9 * 200 <= covered <= 0.99 * 200


def test_cells_may_lack_rows_and_folds_are_pooled() -> None:
    rng = np.random.default_rng(4)
    cells = square(rng, 4)
    few = [Judged(j.draw, j.ids[10:], j.features[10:]) for j in cells["a", "b"]]
    folds = [Judged(j.draw, j.ids[d::4], j.features[d::4]) for d, j in enumerate(cells["b", "b"])]
    mixed = {**cells, ("a", "b"): few, ("b", "b"): folds}
    made, drop = transfer(mixed, "accuracy", pooled={("b", "b")})
    assert made["a", "b"].score == pytest.approx(np.mean([j.features.mean() for j in few]))
    pooled = np.concatenate([j.features for j in folds])
    assert made["b", "b"].score == pytest.approx(pooled.mean()) and drop is not None
    with pytest.raises(ValueError, match="not all asked"):
        transfer({**cells, ("a", "b"): few[:2]}, "accuracy")


def answers_right(right: np.ndarray, ids: np.ndarray, draw: int = 0) -> Judged:
    return Judged(draw, ids, right[ids].astype(np.float64)[:, None])


@pytest.mark.parametrize("draws", [1, 3])
def test_a_drop_is_of_the_rows_that_both_have_answered(draws: int) -> None:
    """Half of b's rows are hard and are left out for a, whose models say what b's own say."""
    right = np.arange(200) < 100
    all_rows, few = np.arange(200), np.arange(100)
    cells = {
        ("b", "b"): [answers_right(right, all_rows, d) for d in range(draws)],
        ("a", "b"): [answers_right(right, few, d) for d in range(draws)],
    }
    made, drop = transfer(cells, "accuracy")
    assert (made["b", "b"].score, made["a", "b"].score) == (0.5, 1.0), "cells keep their rows"
    assert drop is not None and (drop.mean, drop.low, drop.high, drop.pairs) == (0, 0, 0, 1)
    cells["a", "b"] = [answers_right(~right, few, d) for d in range(draws)]
    drop = transfer(cells, "accuracy")[1]
    assert drop is not None and (drop.mean, drop.low, drop.high) == (1, 1, 1)


def test_a_drop_of_folds_is_of_the_carved_rows() -> None:
    """Folds judge all 300 rows, the models from elsewhere the 60 that were carved."""
    rng = np.random.default_rng(6)
    right = np.arange(ROWS) < 60
    folds = [answers_right(right, np.arange(ROWS)[d::3], d) for d in range(3)]
    carved = rng.permutation(60)
    carved.sort()
    cells = {("b", "b"): folds, ("a", "b"): [answers_right(right, carved, d) for d in range(3)]}
    made, drop = transfer(cells, "accuracy", pooled={("b", "b")})
    assert made["b", "b"].score == 0.2 and made["a", "b"].score == 1
    assert drop is not None and (drop.mean, drop.low, drop.high, drop.pairs) == (0, 0, 0, 1)
    cells["b", "b"] = [answers_right(right, np.array([5, 7, 9]), 0), *folds[1:]]
    cells["a", "b"] = [answers_right(right, np.array([5, 9]), d) for d in range(3)]
    drop = transfer(cells, "accuracy", pooled={("b", "b")})[1]
    assert drop is not None and np.isfinite([drop.mean, drop.low, drop.high]).all()


def test_pairs_without_a_row_in_common_have_no_drop() -> None:
    right = np.ones(200, bool)
    cells = {
        ("b", "b"): [answers_right(right, np.arange(100))],
        ("a", "b"): [answers_right(right, np.arange(9, 20))],
    }
    cells["c", "b"] = [answers_right(right, np.arange(100, 200))]
    made, drop = transfer(cells, "accuracy")
    assert len(made) == 3 and drop is not None and drop.pairs == 1
    del cells["a", "b"]
    assert transfer(cells, "accuracy")[1] is None
    few = matrix()
    one = replace(few.methods[0], drop=None)
    assert "Pairs whose cells share no test row, left out of the drop: 2." in drop_words(
        replace(few, methods=(one, few.methods[1]))
    )
    assert drop_words(replace(few, methods=(one,))) == [
        "Pairs whose cells share no test row, left out of the drop: 2."
    ]
    assert not any("share no" in s for s in drop_words(few))


def test_a_matrix_comes_back_whole_and_replaces_the_last(tmp_path: Path) -> None:
    made = matrix(("books", "dvd"), dropped=3)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        assert read_domains(folder) is None
    write_domains(folders, matrix(("x", "y")))
    write_domains(folders, made)
    assert [read_domains(f) for f in folders] == [made, made]
    assert [p.name for p in folders[0].iterdir()] == [DOMAINS], "no draft is left"
    assert Matrix.from_json(json.loads(json.dumps(made.to_json()))) == made
    with pytest.raises(RecordError, match="cannot be written"):
        write_domains([tmp_path / "nowhere"], made)


CELL, DROP = ("methods", 0, "cells", 0), ("methods", 0, "drop")
WRONG = {
    "schema": (("schema",), 7),
    "score": ((*CELL, "score"), float("nan")),
    "elsewhere": ((*CELL, "tested_on"), "elsewhere"),
    "rows": ((*CELL, "rows"), "400"),
    "rows below 0": ((*CELL, "rows"), -1),
    "rows and a half": ((*CELL, "rows"), 400.5),
    "rows true": ((*CELL, "rows"), True),
    "dropped": ((*CELL, "dropped"), "4"),
    "draws": (("methods", 0, "sources", 0, "draws"), "3"),
    "stranger": (("methods", 0, "sources", 0, "trained_on"), "elsewhere"),
    "drop": ((*DROP, "mean"), "0.1"),
    "drop nan": ((*DROP, "mean"), float("nan")),
    "drop null": ((*DROP, "low"), None),
    "pairs": ((*DROP, "pairs"), 10**30),
    "overflow": ((*CELL, "low"), 10**400),
    "per_draw": ((*CELL, "per_draw"), 3),
    "no draw": ((*CELL, "per_draw"), []),
    "key": ((*CELL, "nonsense\n\ud800"), 1),
    "text": (("methods", 0, "method"), "\ud800"),
    "method": (("methods", 0), "dan"),
    "methods": (("methods",), {}),
    "domains": (("domains", 1), {"task": "dvd"}),
    "twice": (("domains", 1, "task"), "books"),
    "by hand": (("by_hand",), "no"),
}


@pytest.mark.parametrize("wrong", [*WRONG, "deep", "digits", "list", "torn", "bytes"])
def test_what_is_not_whole_is_refused_in_one_line(tmp_path: Path, wrong: str) -> None:
    value = matrix().to_json()
    text = {"deep": "[" * 100_000, "digits": "9" * 5000, "list": "[]", "torn": '{"schema"'}
    if wrong in WRONG:
        (*path, last), bad = WRONG[wrong]
        value = json.loads(json.dumps(value))
        at = value
        for key in path:
            at = at[key]
        at[last] = bad
    (tmp_path / DOMAINS).write_text(text.get(wrong) or json.dumps(value))
    if wrong == "bytes":
        (tmp_path / DOMAINS).write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="is not whole") as e:
        read_domains(tmp_path)
    line = str(e.value)
    assert "\n" not in line and len(line.encode()) < len(str(tmp_path)) + 300


def test_older_files_were_chosen_on_validation(tmp_path: Path) -> None:
    value = matrix().to_json()
    assert value.pop("by_hand") is False
    (tmp_path / DOMAINS).write_text(json.dumps(value))
    assert read_domains(tmp_path) == matrix()
    write_domains([tmp_path], replace(matrix(), by_hand=True))
    found = read_domains(tmp_path)
    assert found is not None and found.by_hand
    assert choice_words(found) == ["Points named by hand, shown on test."]
    assert choice_words(matrix())[0].startswith("Chosen on validation")


def test_sentences_say_whose_models_and_what_was_left_out() -> None:
    fresh, own = matrix(dropped=3), matrix(draws=0)
    assert drop_words(fresh)[0] == (
        "Mean drop off the diagonal over 2 pairs of domains: dan +0.100 [+0.050, +0.150], "
        "finetune +0.100 [+0.050, +0.150]."
    )
    assert models_words(fresh) == [
        "Means over 3 fresh draws; 95 % intervals over draws and test rows."
    ]
    assert "were not kept; --train trains them again" in models_words(own)[0]
    assert dropped_words(fresh)[0].endswith(
        " learnt from: 3 of dvd from books, 3 of books from dvd."
    )
    several = matrix(("a", "b", "c"), dropped=2)
    assert dropped_words(several)[0].endswith(": 12 in 6 cells, at most 2 of one.")
    assert dropped_words(own)[0].startswith("No test text stands among")


def test_validation_chooses_one_point_a_procedure(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, records(60, confirm=3)))
    found = chosen(run)
    rows = run.table.drop_duplicates("point_id").set_index("point_id")
    assert list(found) == sorted(found) and len(found) > 1
    for procedure, point in found.items():
        assert rows.loc[point, "procedure"] == procedure
        assert np.isfinite(rows.loc[point, "score_validation"])
    blind = read_run(tmp_path)
    blind.table["score_test"] = np.nan
    assert chosen(blind) == found, "test scores are not looked at"
