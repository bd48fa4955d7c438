"""Matrices of domains: estimates, intervals by rows and draws, the drop, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raysearch.analysis.bootstrap import Judged
from raysearch.analysis.chosen import chosen
from raysearch.analysis.domain_words import drop_words, dropped_words, models_words
from raysearch.analysis.domains import FILE, Matrix, read_domains, write_domains
from raysearch.analysis.outside import rows_interval
from raysearch.analysis.table import read_run
from raysearch.analysis.transfer import transfer
from raysearch.errors import RecordError
from tests.domains import matrix
from tests.synthetic import records, write_run

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
        said = np.where(one.features[:, 0] > 0, 0, 1)
        low, high = rows_interval(said, np.zeros(ROWS, np.int64), "accuracy", 2)
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


def test_the_interval_of_the_drop_covers_it() -> None:
    """Of two hundred small worlds; without noise of draws, so that rows alone vary."""
    held = 0
    for seed in range(200):
        cells = square(np.random.default_rng(100 + seed), 1)
        _, drop = transfer(cells, "accuracy", resamples=300)
        assert drop is not None
        # P(0.8 u + 0.2 v < x) for x in [0.2, 0.8] is (x - 0.1) / 0.8
        truth = (1 - (1 - 0.9) ** 2 / (2 * 0.8 * 0.2)) - (0.7 - 0.1) / 0.8
        held += drop.low <= truth <= drop.high
    assert 0.9 * 200 <= held <= 0.99 * 200


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


def test_a_matrix_comes_back_whole_and_replaces_the_last(tmp_path: Path) -> None:
    made = matrix(("books", "dvd"), dropped=3)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        assert read_domains(folder) is None
    write_domains(folders, matrix(("x", "y")))
    write_domains(folders, made)
    assert [read_domains(f) for f in folders] == [made, made]
    assert [p.name for p in folders[0].iterdir()] == [FILE], "no draft is left"
    assert Matrix.from_json(json.loads(json.dumps(made.to_json()))) == made
    with pytest.raises(RecordError, match="cannot be written"):
        write_domains([tmp_path / "nowhere"], made)


@pytest.mark.parametrize("wrong", ["score", "tested_on", "schema"])
def test_what_is_not_whole_is_refused(tmp_path: Path, wrong: str) -> None:
    value = matrix().to_json()
    cell = value["methods"][0]["cells"][0]
    if wrong == "schema":
        value["schema"] = 7
    else:
        cell[wrong] = {"score": float("nan"), "tested_on": "elsewhere"}[wrong]
    (tmp_path / FILE).write_text(json.dumps(value))
    with pytest.raises(RecordError, match="is not whole"):
        read_domains(tmp_path)


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
    many = matrix(("a", "b", "c"), dropped=2)
    assert dropped_words(many)[0].endswith(": 12 in 6 cells, at most 2 of one.")
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
