"""Configurations to start from, completed with first values, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptune.space import Choice, Dimension, SearchSpace, identity
from hptune.spec.experiment import Experiment
from hptune.spec.problems import show, suggest
from hptune.spec.settings import SETTINGS

Fault = tuple[tuple[str | int, ...], str]


def starting_configurations(experiment: Experiment) -> tuple[dict[str, Any], ...]:
    """Return the configurations to try first, each with a value for every active dimension."""
    space = experiment.space()
    return tuple(space.complete(_of_dimensions(space, entry)) for entry in experiment.start_from)


def find_start_faults(experiment: Experiment) -> Iterator[Fault]:
    """Yield what is wrong with `start_from`: a path of keys, and a message."""
    space = experiment.space()
    seen: dict[str, int] = {}
    for index, entry in enumerate(experiment.start_from):
        path = ("start_from", index)
        faults = [((*path, name), fault) for name, value in entry.items() if (fault := _fault(space, name, value))]
        yield from faults
        if faults:
            continue
        values = space.complete(_of_dimensions(space, entry))
        for name in entry:
            if name in space.by_name and name not in values:
                yield (*path, name), f"{name} is inactive in this configuration; remove it"
        key = identity(values)
        if key in seen:
            yield path, f"the same configuration as number {seen[key] + 1} of the list; remove one"
        seen.setdefault(key, index)


def _fault(space: SearchSpace, name: str, value: Any) -> str | None:
    dimension = space.by_name.get(name)
    if dimension is not None:
        known = _typed(name, value)
        return None if dimension.contains(known) else f"expected {_expected(dimension)}, got {show(value)}"
    blocks = [known for known in space.by_name if known.rpartition(".")[0] == name]
    if blocks:
        return f"each block has its own; name them, such as {blocks[0]}"
    constant = space.constants.get(name)
    if name in space.constants:
        same = identity(_typed(name, value)) == identity(constant)
        return None if same else f"expected {show(constant)}, which is its constant value, got {show(value)}"
    return f"unknown key; {suggest(name, (*space.by_name, *SETTINGS), 'see hptune check')}"


def _expected(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        return " or ".join(map(show, dimension.values))
    steps = f" in steps of {show(dimension.step)}" if dimension.step is not None else ""
    return f"a number from {show(dimension.min)} to {show(dimension.max)}{steps}"


def _of_dimensions(space: SearchSpace, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _typed(name, value) for name, value in entry.items() if name in space.by_name}


def _typed(name: str, value: Any) -> Any:
    """Make whole numbers real where the setting is."""
    setting = SETTINGS.get(name) or SETTINGS.get(name.rpartition(".")[0])
    is_float = setting is not None and setting.kind == "float"
    return float(value) if is_float and isinstance(value, int) and not isinstance(value, bool) else value
