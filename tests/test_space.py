"""Laws of the search space."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptune.objective import METRICS, Objective, metrics_of
from hptune.space import Choice, Condition, Dimension, Float, Int, SearchSpace, grid_values, identity
from hptune.trial import LARGEST_SEED, derive_seed

bounds = st.tuples(st.integers(1, 50), st.integers(51, 99))


@st.composite
def dimensions(draw: st.DrawFn, name: str, when: tuple[Condition, ...] = ()) -> Dimension:
    low, high = draw(bounds)
    return draw(
        st.sampled_from(
            [
                Float(name, low / 10, high / 10, when=when),
                Float(name, low / 10, high / 10, log=True, when=when),
                Float(name, 0.0, 0.5, step=0.1, when=when),
                Int(name, low, high, when=when),
                Int(name, low, high, log=True, when=when),
                Int(name, 0, 12, step=3, when=when),
                Choice(name, (None, True, 1, 1.0, "1", [1], {"a": 1}), when=when),
            ]
        )
    )


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Draw a parent, children that depend on it, a grandchild, and something independent."""
    parent = draw(st.sampled_from([Int("a", 1, 3), Choice("a", (1, "x", None)), Float("a", 0.0, 1.0)]))
    held = draw(st.sampled_from([Condition("a", (1, None)), Condition("a", min=2), Condition("a", max=0.5)]))
    child = draw(dimensions("b", (held,)))
    grandchild = draw(dimensions("c", (Condition("b", min=1),)))
    return SearchSpace(
        (parent, child, grandchild, draw(dimensions("d")), Choice("e", (1, 2), (Condition("k", (7,)),))),
        {"k": draw(st.sampled_from([7, 8]))},
    )


@given(dimensions("x"), st.floats(0, 1))
def test_every_position_is_a_value_and_back(dimension: Dimension, position: float) -> None:
    value = dimension.from_unit(position)

    assert dimension.contains(value)
    again = dimension.from_unit(dimension.to_unit(value))
    assert identity(again) == identity(value) or again == pytest.approx(value)


@given(dimensions("x"))
def test_both_ends_can_be_reached(dimension: Dimension) -> None:
    first, last = dimension.from_unit(0), dimension.from_unit(1)

    if isinstance(dimension, Choice):
        assert (identity(first), identity(last)) == (identity(dimension.values[0]), identity(dimension.values[-1]))
    else:
        assert (first, last) == (pytest.approx(dimension.min), pytest.approx(dimension.max))


@given(spaces(), st.randoms())
def test_samples_lie_in_the_space_and_inactive_dimensions_have_no_value(
    space: SearchSpace, generator: random.Random
) -> None:
    values = space.sample(generator)

    assert space.contains(values)
    assert space.project({**values, "unknown": 1}) == values
    assert ("e" in values) == (space.constants["k"] == 7)


@given(spaces(), st.integers(1, 4))
def test_the_grid_holds_each_configuration_once_and_as_many_as_counted(space: SearchSpace, points: int) -> None:
    listed = [identity(values) for values in space.enumerate(points)]

    assert len(set(listed)) == len(listed) == space.count(points)
    assert all(space.contains(values) for values in space.enumerate(points))


@given(dimensions("x"), st.integers(2, 12))
def test_grid_values_ascend_inside_the_range_and_hold_both_ends(dimension: Dimension, points: int) -> None:
    values = grid_values(dimension, points)

    assert all(dimension.contains(value) for value in values)
    if not isinstance(dimension, Choice):
        assert list(values) == sorted(set(values))
        assert (values[0], values[-1]) == (dimension.min, dimension.max)


def test_a_stepped_range_reads_as_in_the_file_and_reaches_its_maximum() -> None:
    assert Float("x", 0.0, 0.5, step=0.1).finite_values() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def test_one_is_neither_true_nor_one_point_zero() -> None:
    choice = Choice("x", (1, "1"))

    assert choice.contains(1)
    assert not choice.contains(True)
    assert not choice.contains(1.0)
    assert not Int("x", 0, 3).contains(True)


def test_what_is_inactive_takes_its_default() -> None:
    space = SearchSpace((Choice("a", (1, 2)),), {"b": 3}, {"a": 9, "b": 9, "c": 9})

    assert space.resolve({"a": 1}) == {"a": 1, "b": 3, "c": 9}
    assert space.resolve({}) == {"a": 9, "b": 3, "c": 9}


def test_an_endless_space_is_not_counted() -> None:
    assert SearchSpace((Float("x", 0, 1),)).count() is None
    assert SearchSpace((Float("x", 0, 1),)).count(points=5) == 5


@given(st.lists(st.integers(0, 2**64) | st.text(), min_size=1))
def test_seeds_are_never_zero_and_fit_everywhere(parts: list[int | str]) -> None:
    assert 1 <= derive_seed(*parts) <= LARGEST_SEED


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_better_and_sorting_agree(left: float, right: float) -> None:
    for direction in ("max", "min"):
        objective = Objective("loss", direction)
        assert objective.is_better(left, right) == (objective.sort_key(left) < objective.sort_key(right))


def test_every_task_has_metrics_and_every_metric_a_task() -> None:
    assert {name for task in ("binary", "multiclass", "regression") for name in metrics_of(task)} == set(METRICS)
    assert "f1" not in metrics_of("multiclass")
