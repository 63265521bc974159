"""From written values to the dimensions of the search space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptune.space import Choice, Condition, Dimension, Float, Int
from hptune.spec.dimensions import UNSET, Written
from hptune.spec.settings import SETTINGS


def to_dimensions(key: str, written: Written, most_blocks: int) -> Iterator[Dimension]:
    """Yield the dimension of a setting, or one for each block where blocks have their own.

    Args:
        key: Dotted name of the setting.
        written: How it varies.
        most_blocks: The largest number of blocks in the space.
    """
    when = tuple(_to_condition(name, what) for name, what in written.when.items())
    if not written.per_block:
        yield _to_dimension(key, written, when)
        return
    for number in range(1, most_blocks + 1):
        exists = Condition("model.blocks", min=number)
        yield _to_dimension(f"{key}.{number}", written, (*when, exists))


def first_values(key: str, written: Written) -> Iterator[tuple[str, Any]]:
    """Yield what a dimension is where a configuration to start from does not name it.

    That is its default; else the first value of a choice or the lower end of a range, as in KerasTuner. A setting with
    a value for each block has the same for all of them, under the name of the setting.
    """
    if written.varies:
        yield key, written.ends()[0] if written.default is UNSET else written.default


def _to_dimension(name: str, written: Written, when: tuple[Condition, ...]) -> Dimension:
    if written.values is not None:
        return Choice(name, written.values, when)
    kind = Int if written.is_int else Float
    return kind(name, written.min, written.max, written.step, written.log, when)


def _to_condition(name: str, what: Any) -> Condition:
    """Read one entry of `when`: a value, a list of values, or {min, max}."""
    if isinstance(what, Mapping):
        return Condition(name, min=what.get("min"), max=what.get("max"))
    values = tuple(what) if isinstance(what, list) else (what,)
    setting = SETTINGS.get(name)
    if setting is not None and setting.kind == "float":
        values = tuple(float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values)
    return Condition(name, values)


def parents_first(dimensions: list[Dimension]) -> Iterator[Dimension]:
    """Order dimensions so that each stands behind those its conditions name, else as in the table."""
    names = {dimension.name for dimension in dimensions}
    waiting = list(dimensions)
    placed: set[str] = set()
    while waiting:
        ready = next(
            dimension
            for dimension in waiting
            if all(condition.name in placed or condition.name not in names for condition in dimension.when)
        )
        waiting.remove(ready)
        placed.add(ready.name)
        yield ready
