"""The laws of a frontier, and one published set of four points."""

import numpy as np
import pandas as pd
import pytest

from raysearch.analysis import frontier, frontiers, selected, to_table, winners
from raysearch.analysis.table import columns
from raysearch.errors import InputError
from raysearch.objectives import OBJECTIVES
from tests.support.synthetic import records

THREE = ("score", "train_flops_full", "infer_flops")
METHODS = ("ngram_linear", "embed_linear", "finetune", "distill", "early_exit")
TABLE = to_table(records(150, methods=METHODS))


def points(**cells: list[object]) -> pd.DataFrame:
    """A small table: the cells named, the rest plausible."""
    n = len(next(iter(cells.values())))
    base: dict[str, object] = {
        "id": [f"t{i}" for i in range(n)],
        "point_id": [f"p{i}" for i in range(n)],
        "method": "finetune",
        "model": "bert_tiny",
        "labels_train": 100,
        "phase": "search",
        "status": "DONE",
        "train_flops_full": 1.0,
    }
    frame = pd.DataFrame(base | cells, index=range(n)).reindex(columns=columns())
    if "score" in cells:
        frame["score_validation"] = frame["score"]
    return frame.astype(to_table([]).dtypes.to_dict())


def ids(frame: pd.DataFrame) -> list[str]:
    return [str(x) for x in frame["point_id"]]


def test_published_miniatures_medium_is_dominated() -> None:
    """SST-2 test accuracy of google-research/bert's README against exact parameters."""
    table = points(
        point_id=["tiny", "mini", "small", "medium"],
        score=[83.2, 85.9, 89.7, 89.6],
        params=[4_386_178.0, 11_171_074.0, 28_764_674.0, 41_374_210.0],
    )
    front = frontier(table, ("score", "params"))
    assert ids(front.members) == ["tiny", "mini", "small"]
    assert ids(front.dominated) == ["medium"]


@pytest.mark.parametrize("names", [("score", "infer_flops"), THREE, (*THREE, "labels")])
def test_nondominated_covering_and_counted(names: tuple[str, ...]) -> None:
    before = TABLE.copy(deep=True)
    front = frontier(TABLE, names)
    sign = np.array([1 if OBJECTIVES[n].maximise else -1 for n in names])
    inside = front.members[list(names)].to_numpy(float) * sign
    outside = front.dominated[list(names)].to_numpy(float) * sign
    assert len(inside) > 1 and len(outside) > 1
    for p in outside:
        assert ((inside >= p).all(1) & (inside > p).any(1)).any()
    for p in inside:
        assert not ((inside >= p).all(1) & (inside > p).any(1)).any()
    done = TABLE[(TABLE["status"] == "DONE") & TABLE["point_id"].notna()]
    tied = sum(len(t) for t in front.ties.values())
    assert len(inside) + len(outside) + tied + front.left_out == len(done)
    assert front.members[names[1]].is_monotonic_increasing
    pd.testing.assert_frame_equal(TABLE, before)


@pytest.mark.parametrize("names", [("score", "infer_flops"), THREE])
def test_row_order_does_not_matter(names: tuple[str, ...]) -> None:
    front = frontier(TABLE, names)
    for seed in range(3):
        mixed = frontier(TABLE.sample(frac=1, random_state=seed), names)
        pd.testing.assert_frame_equal(mixed.members, front.members)
        pd.testing.assert_frame_equal(mixed.dominated, front.dominated)
        assert (mixed.ties, mixed.caption) == (front.ties, front.caption)


def test_monotone_transforms_do_not_matter() -> None:
    bent = TABLE.assign(
        infer_flops=np.log10(TABLE["infer_flops"]), score=np.exp(5 * TABLE["score"])
    )
    assert ids(frontier(bent).members) == ids(frontier(TABLE).members)


def test_idempotent_and_blind_to_dominated_points() -> None:
    front = frontier(TABLE, THREE)
    again = frontier(front.members, THREE)
    pd.testing.assert_frame_equal(again.members, front.members)
    assert len(again.dominated) == 0
    worse = front.members.iloc[[0]].assign(score=0.0, id="zz", point_id="zz")
    more = frontier(pd.concat([TABLE, worse]), THREE)
    assert ids(more.members) == ids(front.members)
    assert "zz" in ids(more.dominated)


def test_only_done_points_of_the_search_count() -> None:
    table = points(
        score=[0.9, 0.95, 0.99, 0.8],
        infer_flops=[1.0, 1.0, 1.0, 1.0],
        status=["DONE", "STOPPED", "DONE", "FAILED"],
        phase=["search", "search", "confirm", "search"],
    )
    front = frontier(table)
    assert ids(front.members) == ["p0"] and len(front.dominated) == 0 and front.left_out == 0


def test_an_absent_cost_leaves_the_point_out_and_counts_it() -> None:
    nan = float("nan")
    table = points(
        score=[0.9, 0.8, nan, nan],
        infer_flops=[nan, 2.0, 1.0, nan],
        latency_ms=[1.0, 1.0, nan, 1.0],
    )
    front = frontier(table, ("score", "infer_flops", "latency_ms"))
    assert ids(front.members) == ["p1"]
    assert front.left_out == 3
    assert front.left_out_why == {"score": 2, "infer_flops": 2, "latency_ms": 1}
    assert "3 points without an objective left out (score 2, infer_flops 2" in front.caption
    assert "1 point without infer_flops left out" in frontier(table.iloc[[0, 1]]).caption


def test_ties_keep_one_and_list_the_ids() -> None:
    table = points(
        point_id=["c", "b", "a", "worse"],
        score=[0.9, 0.9, 0.9, 0.8],
        infer_flops=[5.0, 5.0, 5.0, 6.0],
        train_flops_full=[2.0, 1.0, 2.0, 0.5],
    )
    front = frontier(table)
    assert ids(front.members) == ["b"]  # fewer train_flops_full first
    assert front.ties == {"b": ("a", "c")}
    assert ids(front.dominated) == ["worse"]
    assert ids(frontier(table.iloc[::-1]).members) == ["b"]
    even = table.assign(train_flops_full=1.0)
    assert ids(frontier(even).members) == ["a"]  # then the smaller id


@pytest.mark.parametrize("rows", ["none", "all failed", "no such budget"])
def test_nothing_to_choose_from(rows: str) -> None:
    table = {
        "none": to_table([]),
        "all failed": TABLE[TABLE["status"] != "DONE"],
        "no such budget": TABLE,
    }[rows]
    front = frontier(table, THREE, labels=7 if rows == "no such budget" else None)
    assert len(front.members) == len(front.dominated) == front.left_out == 0
    assert front.ties == {} and "No point" in front.caption
    assert list(front.members.columns) == list(TABLE.columns)
    assert len(winners(table.iloc[:0])) == 0


def test_one_point_is_its_frontier() -> None:
    table = points(score=[-0.2], infer_flops=[0.0])
    assert ids(frontier(table).members) == ["p0"]


def test_correlations_may_be_negative() -> None:
    table = to_table(records(60, score="pearson"))
    assert (table["score"] < 0).any()
    front = frontier(table)
    assert front.members["score"].is_monotonic_increasing


def test_objectives_are_checked_by_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'infer_flops'"):
        frontier(TABLE, ("score", "infer_flop"))
    for names in (("score",), ("score", "score"), ()):
        with pytest.raises(InputError, match="two or more different"):
            frontier(TABLE, names)


def test_two_gains_and_no_cost() -> None:
    table = points(score=[0.9, 0.8, 0.7], throughput=[1.0, 2.0, 1.5])
    front = frontier(table, ("score", "throughput"))
    assert ids(front.members) == ["p0", "p1"] and ids(front.dominated) == ["p2"]


def test_one_frontier_a_budget_and_one_over_all() -> None:
    each = frontiers(TABLE)
    assert list(each) == [32, 100, 320, 1000, None]
    for n, front in each.items():
        if n is not None:
            assert set(front.members["labels_train"]) == {n}
    pooled = set(ids(each[None].members))
    assert pooled <= {p for n, f in each.items() if n for p in ids(f.members)}
    with pytest.raises(InputError, match="may be 'labels_train'"):
        frontiers(TABLE, by="model")


def test_caption_says_who_chose_and_who_showed() -> None:
    caption = frontier(TABLE, labels=1000).caption
    assert caption.startswith("Chosen on validation (256), shown on test (872")
    assert "not confirmed" in caption and "pretraining of public checkpoints" in caption
    hidden = frontier(TABLE.assign(score_test=float("nan"))).caption
    assert "not shown on test yet" in hidden


def test_winners_one_a_cell_and_the_best_on_validation() -> None:
    won = winners(TABLE)
    cells = list(zip(won["method"], won["model"], won["labels_train"], strict=True))
    assert len(set(cells)) == len(cells) and cells == sorted(cells)
    done = TABLE[(TABLE["status"] == "DONE") & TABLE["score_validation"].notna()]
    assert set(cells) == set(zip(done["method"], done["model"], done["labels_train"], strict=True))
    for row in won.itertuples():
        cell = done[
            (done["method"] == row.method)
            & (done["model"] == row.model)
            & (done["labels_train"] == row.labels_train)
        ]
        assert row.score_validation == cell["score_validation"].max()
    pd.testing.assert_frame_equal(winners(TABLE.sample(frac=1, random_state=1)), won)
    assert won["score_test"].notna().all()  # the generator scores the same winners


def test_winners_break_ties_by_cost_then_id() -> None:
    nan = float("nan")
    table = points(
        score=[0.9] * 5,
        infer_flops=[nan, 3.0, 2.0, 2.0, 2.0],
        train_flops_full=[0.0, 0.0, 9.0, 8.0, 8.0],
    )
    assert ids(winners(table)) == ["p3"]
    assert ids(winners(table.iloc[::-1])) == ["p3"]
    zero_shot = points(score=[nan], infer_flops=[1.0], labels_train=[0])
    assert len(winners(zero_shot)) == 0


def test_selected_are_the_frontier_with_test_where_scored() -> None:
    chosen = selected(TABLE)
    pd.testing.assert_frame_equal(chosen, frontier(TABLE, THREE).members)
    assert chosen["score_test"].notna().any()
