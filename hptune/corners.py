"""The corners of a space: configurations whose every structural setting stands at an end of its range."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hptune.materials import Materials
from hptune.space import Choice, Dimension, SearchSpace, Value, identity
from hptune.training.capacity import count_weights, layer_widths
from hptune.training.dials import is_dial

# Corners are as many as two to the power of the dimensions: so many are drawn, and so many of those are built.
_DRAWN = 400
_MOST_BUILT = 24


def find_corners(materials: Materials) -> list[Mapping[str, Value]]:
    """Return corners of the space, the smallest network first and the largest last.

    Numbers that a network reads while it trains, such as rates, change neither its shape nor its time: they stay at
    their lower end.
    """
    space = materials.ground.space
    generator = random.Random(0)
    walks: list[Callable[[Sequence[Value]], Value]] = [lambda ends: ends[0], lambda ends: ends[-1]]
    walks += [generator.choice] * _DRAWN
    found = {identity(values): values for values in (_walk(space, walk) for walk in walks)}
    corners: list[Mapping[str, Value]] = sorted(found.values(), key=lambda values: weights_of(materials, values))
    if len(corners) <= _MOST_BUILT:
        return corners
    places = [round(index * (len(corners) - 1) / (_MOST_BUILT - 1)) for index in range(_MOST_BUILT)]
    return [corners[place] for place in places]


def weights_of(materials: Materials, values: Mapping[str, Value]) -> int:
    """Count the kernels of a configuration's network."""
    settings = materials.ground.space.resolve(values)
    return count_weights(layer_widths(settings, materials.extent(settings)))


def _walk(space: SearchSpace, choose: Callable[[Sequence[Value]], Value]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for dimension in space.dimensions:
        if space.is_active(dimension, values):
            ends = _ends(dimension)
            values[dimension.name] = ends[0] if is_dial(dimension.name) else choose(ends)
    return values


def _ends(dimension: Dimension) -> Sequence[Any]:
    if not isinstance(dimension, Choice):
        return (dimension.min, dimension.max)
    values = dimension.values
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return (min(values), max(values))
    return values
