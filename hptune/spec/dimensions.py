"""The written forms of a value that may vary, and what each of them means.

A scalar is a constant, a list chooses, `{min, max, ...}` is a range, `{values: [...]}` chooses with extra keys. Other
tools' words are taken; what cannot be carried over is refused with the line to write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from hptune.space import identity
from hptune.spec.problems import show, suggest
from hptune.spec.settings import Setting

_SYNONYMS = {
    "lower": "min",
    "low": "min",
    "minval": "min",
    "min_value": "min",
    "upper": "max",
    "high": "max",
    "maxval": "max",
    "max_value": "max",
    "choices": "values",
    "categories": "values",
    "options": "values",
    "q": "step",
}
_RANGE_KEYS = ("min", "max", "step", "log", "default", "when", "type", "per_block")
_CHOICE_KEYS = ("values", "default", "when", "per_block")


class Unset(Enum):
    """Stands where nobody said anything; null may be a default."""

    UNSET = "unset"


UNSET = Unset.UNSET
_DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "uniform": {"type": "float"},
    "q_uniform": {},
    "int_uniform": {"type": "int"},
    "log_uniform_values": {"log": True},
    "categorical": {},
}
# In these the bounds are exponents: `min: -9` means e^-9 or 10^-9.
_EXPONENT_DISTRIBUTIONS = {"log_uniform": math.e, "q_log_uniform": math.e}
_LARGEST_INT = 2**53

# Where in the written value a fault stands, and what it says.
Found = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True)
class Written:
    """A value in canonical form.

    Attributes:
        constant: The value, where it does not vary.
        values: What to choose from, where it is a choice.
        min: Lower end of a range.
        max: Upper end of a range.
        step: Of a range.
        log: Whether a range is logarithmic.
        is_int: Whether a range holds whole numbers.
        default: What a configuration to start from takes where it does not say; UNSET where nobody said.
        when: Conditions as written, by dotted name.
        per_block: Whether each block has its own.
        blocks: A constant for each block, from the first.
    """

    constant: Any = None
    values: tuple[Any, ...] | None = None
    min: Any = None
    max: Any = None
    step: Any = None
    log: bool = False
    is_int: bool = False
    default: Any = UNSET
    when: Mapping[str, Any] = field(default_factory=dict)
    per_block: bool = False
    blocks: tuple[Any, ...] | None = None

    @property
    def is_range(self) -> bool:
        """Whether it is a range."""
        return self.min is not None

    @property
    def varies(self) -> bool:
        """Whether it is a dimension."""
        return self.is_range or self.values is not None

    def ends(self) -> tuple[Any, ...]:
        """Return all values of a choice or constant, or both ends of a range."""
        if self.is_range:
            return self.min, self.max
        if self.blocks is not None:
            return self.blocks
        return self.values if self.values is not None else (self.constant,)

    def has(self, value: Any) -> bool:
        """Tell whether a number lies in the range and on its steps."""
        if isinstance(value, bool) or not isinstance(value, int if self.is_int else int | float):
            return False
        is_on_step = self.step is None or not (Decimal(str(value)) - Decimal(str(self.min))) % Decimal(str(self.step))
        return bool(self.min <= value <= self.max and is_on_step)

    def canonical(self) -> Any:
        """Return plain data in the words of the dialect."""
        if self.blocks is not None:
            return {"per_block": list(self.blocks)}
        extra: dict[str, Any] = {} if self.default is UNSET else {"default": self.default}
        if self.when:
            extra["when"] = dict(self.when)
        if self.per_block:
            extra["per_block"] = True
        if self.values is not None:
            plain = all(not isinstance(value, dict | list) for value in self.values)
            return list(self.values) if plain and not extra else {"values": list(self.values), **extra}
        if not self.is_range:
            return self.constant
        step = {} if self.step is None else {"step": self.step}
        log = {"log": True} if self.log else {}
        return {"min": self.min, "max": self.max, **step, **log, **extra}


def parse(written: Any, setting: Setting) -> tuple[Written, list[Found]]:
    """Read a value as it was written.

    Args:
        written: Plain data.
        setting: What it is for.

    Returns:
        Its canonical form, and every fault in it.
    """
    if isinstance(written, list):
        return _parse_choice({"values": written}, setting, is_bare=True)
    if isinstance(written, dict) and not _is_structured_constant(written, setting):
        found = list(_unknown_words(written))
        made = _in_our_words(written, found)
        if found:
            return Written(constant=setting.default), found
        if setting.constant:
            return Written(constant=setting.default), [((), "expected one value, got a dimension; it cannot vary")]
        if isinstance(made.get("per_block"), list):
            return _parse_blocks(made, setting)
        if "values" in made:
            return _parse_choice(made, setting, is_bare=False)
        return _parse_range(made, setting)
    fault = setting.fault(written)
    constant = _numeric(written, setting)
    if setting.kind == "early_stopping" and isinstance(constant, dict) and fault is None:
        constant = {"patience": constant["patience"], "min_delta": float(constant.get("min_delta", 0.0))}
    if written == "none" and setting.nullable:
        return Written(), []
    if setting.kind == "class_weight" and isinstance(written, dict):
        fault = "expected none, balanced, or {values: [{LABEL: WEIGHT, ...}]}, got a map; put it into values: [...]"
    return Written(constant=constant), [((), fault)] if fault else []


def _is_structured_constant(written: dict[str, Any], setting: Setting) -> bool:
    if setting.kind == "early_stopping":
        return True
    return setting.kind == "class_weight" and not set(written) & {"values", *_SYNONYMS, "when", "min", "max"}


def _unknown_words(written: Mapping[str, Any]) -> Iterator[Found]:
    known = {*_RANGE_KEYS, *_CHOICE_KEYS, *_SYNONYMS, "distribution", "sampling"}
    for name in written:
        if name == "base":
            yield (
                (name,),
                "exponents of a base are not read; write the ends, such as {min: 1e-4, max: 1e-1, log: true}",
            )
        elif name not in known:
            yield (name,), f"unknown key; {suggest(name, tuple(dict.fromkeys((*_RANGE_KEYS, 'values'))))}"


def _in_our_words(written: Mapping[str, Any], found: list[Found]) -> dict[str, Any]:
    """Translate other tools' words; report what stands twice or cannot be carried over."""
    made: dict[str, Any] = {}
    for name, value in written.items():
        if name in ("distribution", "sampling"):
            made.update(_read_distribution(name, value, written, found))
            continue
        ours = _SYNONYMS.get(name, name)
        if ours in made and name != ours:
            found.append(((name,), f"expected {ours} once, got it again as {name}"))
        made[ours] = value
    return made


def _read_distribution(name: str, value: Any, written: Mapping[str, Any], found: list[Found]) -> dict[str, Any]:
    if name == "sampling":
        if value in ("log", "linear"):
            return {"log": True} if value == "log" else {}
        found.append(((name,), f"expected log or linear, got {show(value)}"))
        return {}
    if value in _EXPONENT_DISTRIBUTIONS:
        low, high = written.get("min"), written.get("max")
        if isinstance(low, int | float) and isinstance(high, int | float):
            base = _EXPONENT_DISTRIBUTIONS[value]
            line = f"{{min: {base**low:.4g}, max: {base**high:.4g}, log: true}}"
        else:
            line = "{min: 1e-4, max: 1e-1, log: true}"
        found.append(((name,), f"{value} takes exponents, which are not read; write {line}"))
        return {}
    if value not in _DISTRIBUTIONS:
        found.append(((name,), f"unknown distribution {show(value)}; {suggest(value, tuple(_DISTRIBUTIONS))}"))
        return {}
    return _DISTRIBUTIONS[value]


def _parse_choice(made: Mapping[str, Any], setting: Setting, *, is_bare: bool) -> tuple[Written, list[Found]]:
    found: list[Found] = [
        ((name,), f"expected only {', '.join(_CHOICE_KEYS)} beside values") for name in made if name not in _CHOICE_KEYS
    ]
    given = made["values"]
    prefix: tuple[str | int, ...] = () if is_bare else ("values",)
    if not isinstance(given, list) or not given:
        return Written(), [*found, (prefix, f"expected a list of values to choose from, got {_emptiness(given)}")]
    if setting.constant:
        return Written(), [(prefix, "expected one value, got a list; it cannot vary")]
    values = tuple(_numeric(None if value == "none" and setting.nullable else value, setting) for value in given)
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if fault := setting.fault(value):
            found.append(((*prefix, index), fault))
        elif identity(value) in seen:
            found.append(((*prefix, index), f"{show(value)} stands twice in the list"))
        seen[identity(value)] = index
    when, per_block = _read_extras(made, setting, found)
    default = _read_default(made, setting)
    if default is not UNSET and identity(default) not in seen:
        found.append((("default",), f"expected one of the values, got {show(default)}"))
    return Written(values=values, default=default, when=when, per_block=per_block), found


def _parse_blocks(made: Mapping[str, Any], setting: Setting) -> tuple[Written, list[Found]]:
    """Read a constant for each block: `{per_block: [64, 32]}`."""
    found: list[Found] = [((name,), "expected nothing beside a list of blocks") for name in made if name != "per_block"]
    if not setting.per_block:
        found.append((("per_block",), "expected only with model.units and model.dropout"))
    blocks = tuple(_numeric(value, setting) for value in made["per_block"])
    for index, value in enumerate(blocks):
        if fault := setting.fault(value):
            found.append((("per_block", index), fault))
    return Written(constant=setting.default, blocks=blocks), found


def _emptiness(given: Any) -> str:
    return "an empty list" if given == [] else show(given)


def _parse_range(made: Mapping[str, Any], setting: Setting) -> tuple[Written, list[Found]]:
    found: list[Found] = []
    if setting.kind not in ("int", "float", "embedding"):
        return Written(constant=setting.default), [
            ((), f"expected {setting.expected()}, or a list of them, got a range")
        ]
    for name in ("min", "max"):
        if name not in made:
            found.append(((), f"expected {{min: ..., max: ...}}, got no {name}"))
        elif fault := setting.fault(made[name]):
            found.append(((name,), fault))
        elif not isinstance(made[name], int | float):
            found.append(((name,), f"expected a number as an end of a range, got {show(made[name])}"))
    when, per_block = _read_extras(made, setting, found)
    if found:
        return Written(constant=setting.default), found
    low, high, step, log = made["min"], made["max"], made.get("step"), made.get("log", False)
    is_int = setting.kind != "float"
    found += _range_faults(low, high, step, log, made.get("type"), is_int)
    if not is_int:
        low, high, step = float(low), float(high), None if step is None or found else float(step)
    default = _read_default(made, setting)
    written = Written(None, None, low, high, step, log is True, is_int, default, when, per_block)
    if default is not UNSET and not found and not written.has(default):
        steps = f" in steps of {show(step)}" if step is not None else ""
        found.append((("default",), f"expected a number from {show(low)} to {show(high)}{steps}, got {show(default)}"))
    return written, found


def _range_faults(low: Any, high: Any, step: Any, log: Any, kind: Any, is_int: bool) -> Iterator[Found]:
    if low > high:
        yield (), f"min must be below max, got min={show(low)} and max={show(high)}; swap them"
        return
    if low == high:
        yield (), f"min must be below max, got {show(low)} for both; write the number alone for a constant"
        return
    if kind is not None and kind not in (("int",) if is_int else ("float", "int")):
        yield ("type",), f"expected {'int' if is_int else 'float'}, got {show(kind)}"
    if not isinstance(log, bool):
        yield ("log",), f"expected true or false, got {show(log)}"
    elif log and low <= 0:
        yield ("min",), f"a logarithmic range needs min above 0, got {show(low)}"
    if step is None:
        return
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < math.inf:
        yield ("step",), f"expected a number above 0, got {show(step)}"
    elif log is True:
        yield ("step",), "a logarithmic range has no steps; leave step out or write the values as a list"
    elif is_int and not isinstance(step, int):
        yield ("step",), f"expected a whole number, got {show(step)}"
    elif (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        reached = Decimal(str(low)) + (Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)) * Decimal(
            str(step)
        )
        yield (
            ("step",),
            f"steps of {show(step)} from {show(low)} end at {reached} and never reach {show(high)}; "
            f"change step, or max to {reached}",
        )


def _read_extras(made: Mapping[str, Any], setting: Setting, found: list[Found]) -> tuple[Mapping[str, Any], bool]:
    when = made.get("when", {})
    if not isinstance(when, dict) or ("when" in made and not when):
        found.append((("when",), f"expected {{model.blocks: {{min: 2}}}} or the like, got {_emptiness(when)}"))
        when = {}
    per_block = made.get("per_block", False)
    if not isinstance(per_block, bool):
        found.append((("per_block",), f"expected true, false, or a list of constants, got {show(per_block)}"))
    elif per_block and not setting.per_block:
        found.append((("per_block",), "expected only with model.units and model.dropout"))
    return when, per_block is True


def _read_default(made: Mapping[str, Any], setting: Setting) -> Any:
    if "default" not in made:
        return UNSET
    default = made["default"]
    return _numeric(None if default == "none" and setting.nullable else default, setting)


def _numeric(value: Any, setting: Setting) -> Any:
    """Make whole numbers real where the setting is: 1 and 1.0 are one value of a learning rate."""
    if setting.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
