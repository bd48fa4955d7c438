"""The arithmetic of dominance and hypervolume, against a second way and against its own laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raysearch.analysis.pareto import (
    duplicates_of,
    hypervolume,
    hypervolume_contributions,
    nondominated,
    sweep,
)

coarse = st.integers(-4, 4).map(float)  # few values: duplicates and ties come up
clouds = st.integers(2, 4).flatmap(
    lambda d: st.integers(0, 30).flatmap(lambda n: arrays(np.float64, (n, d), elements=coarse))
)
flat_clouds = st.integers(0, 40).flatmap(lambda n: arrays(np.float64, (n, 2), elements=coarse))


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


@settings(deadline=None, max_examples=150)
@given(clouds)
def test_kept_are_nondominated_and_cover_the_rest(points: np.ndarray) -> None:
    before = points.copy()
    kept = nondominated(points)
    for i in range(len(points)):
        beaten = any(dominates(p, points[i]) for p in points)
        twin = any(kept[j] and (points[j] == points[i]).all() for j in range(i))
        assert kept[i] == (not beaten and not twin)
        if not kept[i]:
            assert twin or any(dominates(p, points[i]) for p in points[kept])
    np.testing.assert_array_equal(points, before)


@settings(deadline=None, max_examples=100)
@given(flat_clouds)
def test_two_columns_agree_with_the_sweep(points: np.ndarray) -> None:
    np.testing.assert_array_equal(nondominated(points), sweep(points))


@settings(deadline=None, max_examples=100)
@given(clouds)
def test_duplicates_are_listed_once_under_the_kept_row(points: np.ndarray) -> None:
    kept = nondominated(points)
    found = duplicates_of(points, kept)
    assert found == duplicates_of(points, kept, np.lexsort((-points).T[::-1]))
    for i in np.flatnonzero(kept):
        equal = tuple(
            int(j) for j in range(len(points)) if j != i and (points[j] == points[i]).all()
        )
        assert found.get(int(i), ()) == equal
    assert all(kept[i] for i in found)


@settings(deadline=None, max_examples=100)
@given(clouds, st.data())
def test_hypervolume_never_falls_with_points_and_ignores_dominated(
    points: np.ndarray, data: st.DataObject
) -> None:
    corner = np.full(points.shape[1], -3.0)
    before = points.copy()
    k = data.draw(st.integers(0, len(points)))
    assert hypervolume(points[:k], corner) <= hypervolume(points, corner) + 1e-9
    assert hypervolume(points[nondominated(points)], corner) == pytest.approx(
        hypervolume(points, corner)
    )
    np.testing.assert_array_equal(points, before)


def test_hypervolume_of_two_columns_is_the_area_under_the_stairs() -> None:
    rng = np.random.default_rng(3)
    points = rng.random((200, 2))
    stairs = points[sweep(points)]
    stairs = stairs[np.argsort(-stairs[:, 0])]
    widths = stairs[:, 0]
    heights = np.diff(np.concatenate(([0.0], stairs[:, 1])))
    assert hypervolume(points, [0.0, 0.0]) == pytest.approx(float((widths * heights).sum()))


def test_contribution_is_what_the_hypervolume_loses() -> None:
    rng = np.random.default_rng(4)
    points = rng.dirichlet((1, 1, 1), 12)
    whole = hypervolume(points, [0, 0, 0])
    for i, share in enumerate(hypervolume_contributions(points, [0, 0, 0])):
        assert share == pytest.approx(whole - hypervolume(np.delete(points, i, 0), [0, 0, 0]))


def test_points_below_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[1.0, -1.0]]), [0.0, 0.0]) == 0.0
    assert hypervolume(np.array([[1.0, 1.0], [5.0, -1.0]]), [0.0, 0.0]) == 1.0
    assert hypervolume_contributions(np.array([[5.0, -1.0], [1.0, 1.0]]), [0.0, 0.0]).tolist() == [
        0.0,
        1.0,
    ]


def test_no_points_and_one_column() -> None:
    assert nondominated(np.zeros((0, 3))).shape == (0,)
    assert hypervolume(np.zeros((0, 3)), [0, 0, 0]) == 0.0
    assert duplicates_of(np.zeros((0, 3)), np.zeros(0, dtype=bool)) == {}
    assert nondominated(np.array([[1.0], [2.0], [2.0]])).tolist() == [False, True, False]
    assert nondominated(np.array([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    points = np.array([[1.0, 2.0], [bad, 3.0]])
    for call in (nondominated, sweep, lambda x: hypervolume(x, [0, 0])):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call(points)
    with pytest.raises(ValueError, match="reference"):
        hypervolume(np.array([[1.0, 2.0]]), [0.0, bad])


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        nondominated(np.zeros(3))
    with pytest.raises(ValueError, match="2 values needed"):
        hypervolume(np.zeros((1, 2)), [0.0])
    with pytest.raises(ValueError, match="2 columns"):
        sweep(np.zeros((1, 3)))
