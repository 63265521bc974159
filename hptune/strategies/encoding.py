"""Configurations as rows of numbers, many at a time: what a Gaussian process can compare.

A *position* is a row in [0, 1]^D, one coordinate a dimension, as `from_unit` takes it. Its *features* are what the
process sees: a range or a list of rising or falling numbers gives one number, any other choice one number a value (of
which one is not zero), and an inactive dimension the same constants whatever its coordinate is, so that configurations
that are equal are equal here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.space import Choice, Condition, Configuration, Dimension, SearchSpace, Value

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# A coordinate of this dimension lies in the middle while it is inactive.
_INACTIVE = 0.5
# Longer choices are compared by their place on the list, as is everything with an order.
_MOST_FLAGS = 16
# Two different values of a choice are as far apart as the ends of a range.
_FLAG = math.sqrt(0.5)


class Encoding:
    """Translates a space."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._dimensions = space.dimensions
        self._columns = {dimension.name: column for column, dimension in enumerate(self._dimensions)}
        self._counts = [_count_values(dimension) for dimension in self._dimensions]

    @property
    def width(self) -> int:
        """D, the number of coordinates of a position."""
        return len(self._dimensions)

    def positions(self, configurations: Sequence[Configuration]) -> Floats:
        """Return the positions of configurations, shape (n, D)."""
        made = np.full((len(configurations), self.width), _INACTIVE)
        for row, values in enumerate(configurations):
            for column, dimension in enumerate(self._dimensions):
                if dimension.name in values:
                    made[row, column] = dimension.to_unit(values[dimension.name])
        return made

    def configuration(self, position: npt.NDArray[Any]) -> dict[str, Value]:
        """Return the configuration at a position."""
        values = {
            dimension.name: dimension.from_unit(float(coordinate))
            for dimension, coordinate in zip(self._dimensions, position, strict=True)
        }
        return self._space.project(values)

    def features(self, positions: Floats) -> Floats:
        """Return what a Gaussian process sees of positions: (n, D) to (n, features)."""
        columns: list[Floats] = []
        active: list[Flags] = []
        for column, dimension in enumerate(self._dimensions):
            active.append(self._is_active(dimension, positions, active))
            columns += self._columns_of(column, positions[:, column], active[column])
        return np.column_stack(columns)

    def _columns_of(self, column: int, coordinates: Floats, is_active: Flags) -> list[Floats]:
        dimension, count = self._dimensions[column], self._counts[column]
        if count is None:
            return [np.where(is_active, coordinates, _INACTIVE)]
        indices = _indices(coordinates, count)
        if isinstance(dimension, Choice) and 2 < count <= _MOST_FLAGS and not _has_order(dimension):
            return [np.where(is_active & (indices == index), _FLAG, 0.0) for index in range(count)]
        return [np.where(is_active, (indices + 0.5) / count, _INACTIVE)]

    def _is_active(self, dimension: Dimension, positions: Floats, active: Sequence[Flags]) -> Flags:
        holds = np.ones(len(positions), np.bool_)
        for condition in dimension.when:
            column = self._columns.get(condition.name)
            if column is None:
                holds &= condition.holds_for(self._space.constants.get(condition.name))
            else:
                holds &= active[column] & self._holds(condition, column, positions[:, column])
        return holds

    def _holds(self, condition: Condition, column: int, coordinates: Floats) -> Flags:
        parent, count = self._dimensions[column], self._counts[column]
        if count is None:
            values = (parent.from_unit(float(coordinate)) for coordinate in coordinates)
            return np.fromiter((condition.holds_for(value) for value in values), np.bool_, len(coordinates))
        table = np.array([condition.holds_for(value) for value in parent.finite_values() or ()], np.bool_)
        return table[_indices(coordinates, count)]


def _has_order(choice: Choice) -> bool:
    """Tell whether the values are numbers that rise or fall along the list, as `[16, 32, 64]` do."""
    values = choice.values
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return False
    return list(values) in (sorted(values), sorted(values, reverse=True))


def _count_values(dimension: Dimension) -> int | None:
    """Count the values that are evenly spread over [0, 1]; None where a coordinate is a number of its own."""
    finite = dimension.finite_values()
    if finite is None or (not isinstance(dimension, Choice) and dimension.log):
        return None
    return len(finite)


def _indices(coordinates: Floats, count: int) -> npt.NDArray[np.int64]:
    return np.minimum((coordinates * count).astype(np.int64), count - 1)
