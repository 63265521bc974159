"""The search space: all that may vary, and under which conditions.

A configuration maps the names of its *active* dimensions to values. A dimension whose conditions do not hold has no
value: it is not shown, not hashed, not modelled. Both ends of a range can be reached.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

# A scalar of YAML, or a list or map of them (written with `values:`).
Value = Any
Configuration = Mapping[str, Value]

# Counting walks all combinations of the dimensions that others depend on; beyond this a number helps nobody.
COUNT_LIMIT = 1_000_000


def identity(value: object) -> str:
    """Return text that is equal exactly for equal values; unlike `==` it tells 1 from True and from 1.0.

    >>> identity({"b": 1, "a": True}) == identity({"a": True, "b": 1})
    True
    >>> identity(1) == identity(True)
    False
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Condition:
    """Holds where a named dimension or constant has one of `values`, or lies within `min` and `max`."""

    name: str
    values: tuple[Value, ...] | None = None
    min: float | None = None
    max: float | None = None

    def holds_for(self, value: Value) -> bool:
        """Tell whether a value of the named dimension satisfies the condition."""
        if self.values is not None:
            return identity(value) in {identity(allowed) for allowed in self.values}
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


@dataclass(frozen=True)
class Float:
    """Real numbers from `min` to `max`, both included; `log` spreads them evenly over orders of magnitude."""

    name: str
    min: float
    max: float
    step: float | None = None
    log: bool = False
    when: tuple[Condition, ...] = ()

    def finite_values(self) -> tuple[float, ...] | None:
        """List the values of a stepped range; None where there are infinitely many."""
        if self.step is None:
            return (self.min,) if self.min == self.max else None
        # Decimals, so that 0.1 + 2 * 0.1 reads 0.3 as in the file.
        low, high, step = (Decimal(str(number)) for number in (self.min, self.max, self.step))
        return tuple(float(low + index * step) for index in range(int((high - low) / step) + 1))

    def contains(self, value: Value) -> bool:
        """Tell whether a value belongs to the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        finite = self.finite_values()
        return value in finite if finite is not None else self.min <= value <= self.max

    def from_unit(self, position: float) -> float:
        """Map [0, 1] to the range."""
        finite = self.finite_values()
        if finite is not None:
            return finite[_index(position, len(finite))]
        if not self.log:
            return min(max(self.min + position * (self.max - self.min), self.min), self.max)
        low, high = math.log(self.min), math.log(self.max)
        return min(max(math.exp(low + position * (high - low)), self.min), self.max)

    def to_unit(self, value: Value) -> float:
        """Map a value of the range to [0, 1]; the inverse of `from_unit` up to rounding."""
        finite = self.finite_values()
        if finite is not None:
            return _position(finite.index(value), len(finite))
        if not self.log:
            return float((value - self.min) / (self.max - self.min))
        return (math.log(value) - math.log(self.min)) / (math.log(self.max) - math.log(self.min))


@dataclass(frozen=True)
class Int:
    """Whole numbers from `min` to `max`, both included."""

    name: str
    min: int
    max: int
    step: int | None = None
    log: bool = False
    when: tuple[Condition, ...] = ()

    def finite_values(self) -> Sequence[int]:
        """List the values; a range object, so that large ranges cost nothing."""
        return range(self.min, self.max + 1, self.step or 1)

    def contains(self, value: Value) -> bool:
        """Tell whether a value belongs to the range."""
        return isinstance(value, int) and not isinstance(value, bool) and value in self.finite_values()

    def from_unit(self, position: float) -> int:
        """Map [0, 1] to the range."""
        if not self.log:
            values = self.finite_values()
            return values[_index(position, len(values))]
        # Half a unit beyond each end, so that the ends are as likely as their neighbours.
        low, high = math.log(self.min - 0.5), math.log(self.max + 0.5)
        return min(max(round(math.exp(low + position * (high - low))), self.min), self.max)

    def to_unit(self, value: Value) -> float:
        """Map a value of the range to [0, 1]."""
        if not self.log:
            values = self.finite_values()
            return _position(values.index(value), len(values))
        low, high = math.log(self.min - 0.5), math.log(self.max + 0.5)
        return (math.log(value) - low) / (high - low)


@dataclass(frozen=True)
class Choice:
    """One of a list; numbers, text, booleans, null, lists and maps may mix."""

    name: str
    values: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    def finite_values(self) -> tuple[Value, ...]:
        """List the values in the order of the file."""
        return self.values

    def contains(self, value: Value) -> bool:
        """Tell whether a value is on the list."""
        return identity(value) in {identity(allowed) for allowed in self.values}

    def from_unit(self, position: float) -> Value:
        """Map [0, 1] to the list."""
        return self.values[_index(position, len(self.values))]

    def to_unit(self, value: Value) -> float:
        """Map a value of the list to the middle of its share of [0, 1]."""
        return _position([identity(allowed) for allowed in self.values].index(identity(value)), len(self.values))


Dimension = Float | Int | Choice


def _index(position: float, count: int) -> int:
    return min(int(position * count), count - 1)


def _position(index: int, count: int) -> float:
    return (index + 0.5) / count


def grid_values(dimension: Dimension, points: int | None) -> tuple[Value, ...]:
    """List the values of a dimension that a grid visits, ascending, both ends included.

    Args:
        dimension: What to spread over.
        points: How many values a range without step gets; whole numbers may give fewer, never more.
    """
    if isinstance(dimension, Choice) or dimension.step is not None:
        return tuple(dimension.finite_values() or ())
    if dimension.min == dimension.max:
        return (dimension.min,)
    if isinstance(dimension, Int) and (points is None or points > dimension.max - dimension.min):
        return tuple(dimension.finite_values())
    if points is None:
        raise ValueError(f"{dimension.name} is a range without step: a grid needs points")
    if points == 1:
        return (dimension.min,)
    shares = [index / (points - 1) for index in range(points)]
    low, high = float(dimension.min), float(dimension.max)
    if dimension.log:
        numbers = [math.exp(math.log(low) + share * (math.log(high) - math.log(low))) for share in shares]
    else:
        numbers = [low + share * (high - low) for share in shares]
    # Rounding must not move the ends out of the range.
    numbers[0], numbers[-1] = low, high
    if isinstance(dimension, Int):
        return tuple(dict.fromkeys(round(number) for number in numbers))
    return tuple(numbers)


@dataclass(frozen=True)
class SearchSpace:
    """Dimensions, the constants beside them, and what holds where a dimension is inactive.

    Attributes:
        dimensions: What varies; a dimension stands after those that its conditions name.
        constants: Every other setting by dotted name.
        defaults: What the model takes for a dimension that is inactive.
        first_values: What a configuration to start from takes for a dimension that it does not name; those of a
            setting with a value for each block stand under the name of the setting.
    """

    dimensions: tuple[Dimension, ...]
    constants: Configuration = field(default_factory=dict)
    defaults: Configuration = field(default_factory=dict)
    first_values: Configuration = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Dimension]:
        """The dimensions by name."""
        return {dimension.name: dimension for dimension in self.dimensions}

    def is_active(self, dimension: Dimension, values: Configuration) -> bool:
        """Tell whether the conditions of a dimension hold, given the active values so far."""
        for condition in dimension.when:
            if condition.name in values:
                known = values[condition.name]
            elif condition.name in self.constants:
                known = self.constants[condition.name]
            else:
                return False  # the dimension it depends on is itself inactive
            if not condition.holds_for(known):
                return False
        return True

    def project(self, values: Configuration) -> dict[str, Value]:
        """Keep the values of active dimensions only, in the order of the space."""
        active: dict[str, Value] = {}
        for dimension in self.dimensions:
            if dimension.name in values and self.is_active(dimension, active):
                active[dimension.name] = values[dimension.name]
        return active

    def contains(self, values: Configuration) -> bool:
        """Tell whether a configuration gives every active dimension, and nothing else, a value of its range."""
        expected: dict[str, Value] = {}
        for dimension in self.dimensions:
            if not self.is_active(dimension, expected):
                continue
            if dimension.name not in values or not dimension.contains(values[dimension.name]):
                return False
            expected[dimension.name] = values[dimension.name]
        return set(expected) == set(values)

    def complete(self, values: Configuration) -> dict[str, Value]:
        """Give every active dimension that is not named its first value."""
        made: dict[str, Value] = {}
        for dimension in self.dimensions:
            if self.is_active(dimension, made):
                name = dimension.name
                first = self.first_values.get(name, self.first_values.get(name.rpartition(".")[0]))
                made[name] = values.get(name, first)
        return made

    def sample(self, generator: random.Random) -> dict[str, Value]:
        """Draw a configuration, each active dimension evenly over its (possibly logarithmic) range."""
        values: dict[str, Value] = {}
        for dimension in self.dimensions:
            # Drawn before asking whether it counts, so that a condition does not shift the later dimensions.
            drawn = dimension.from_unit(generator.random())
            if self.is_active(dimension, values):
                values[dimension.name] = drawn
        return values

    def resolve(self, values: Configuration) -> dict[str, Value]:
        """Give every setting its value: the active dimensions, the constants, and defaults for the rest."""
        return {**self.defaults, **self.constants, **values}

    def enumerate(self, points: int | None = None) -> Iterator[dict[str, Value]]:
        """Yield every configuration of a grid once, the last dimension fastest.

        Args:
            points: How many values a range without step gets.
        """
        yield from self._extend({}, 0, points)

    def _extend(self, values: dict[str, Value], first: int, points: int | None) -> Iterator[dict[str, Value]]:
        if first == len(self.dimensions):
            yield dict(values)
            return
        dimension = self.dimensions[first]
        if not self.is_active(dimension, values):
            yield from self._extend(values, first + 1, points)
            return
        for value in grid_values(dimension, points):
            yield from self._extend({**values, dimension.name: value}, first + 1, points)

    def count(self, points: int | None = None) -> int | None:
        """Count the configurations; None where they are infinitely many, or too many conditions to count.

        Args:
            points: As a grid would visit them; without it a range without step is infinite.
        """
        sizes: dict[str, int] = {}
        for dimension in self.dimensions:
            finite = dimension.finite_values() if points is None else grid_values(dimension, points)
            if finite is None:
                return None
            sizes[dimension.name] = len(finite)
        parents = {condition.name for dimension in self.dimensions for condition in dimension.when} & set(sizes)
        if math.prod(sizes[name] for name in parents) > COUNT_LIMIT:
            return None
        return self._count({}, 0, sizes, parents, points)

    def _count(
        self, values: dict[str, Value], first: int, sizes: Mapping[str, int], parents: set[str], points: int | None
    ) -> int:
        product = 1
        for index in range(first, len(self.dimensions)):
            dimension = self.dimensions[index]
            if not self.is_active(dimension, values):
                continue
            if dimension.name not in parents:
                product *= sizes[dimension.name]
                continue
            finite = dimension.finite_values() if points is None else grid_values(dimension, points)
            assert finite is not None
            return product * sum(
                self._count({**values, dimension.name: value}, index + 1, sizes, parents, points) for value in finite
            )
        return product
