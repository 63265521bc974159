"""What every part of an experiment is made of: strict models, and findings that carry places and words of our own."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hptune.spec.dimensions import Found
from hptune.spec.problems import show

# Pydantic wraps what a validator finds; this type says that `found` holds places and messages of our own.
FOUND = "hptune"
_DURATION = re.compile(r"(?=\d)(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")


def refuse(*found: Found) -> PydanticCustomError:
    """Make an error that carries places, relative to the value, and messages."""
    return PydanticCustomError(FOUND, "{found}", {"found": list(found)})


class Section(BaseModel):
    """A part of an experiment: nothing is converted, nothing unknown is taken, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration as the dialect writes it.

    >>> seconds_of("90s"), seconds_of("2h30m")
    (90.0, 9000.0)
    """
    match = _DURATION.fullmatch(duration)
    assert match is not None, "durations are checked where they are read"
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _read_duration(value: Any) -> Any:
    if isinstance(value, str) and _DURATION.fullmatch(value) and seconds_of(value) > 0:
        return value
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    cure = f"; write {value}s for seconds" if is_number else ""
    raise refuse(((), f"expected a duration such as 90s, 20m or 2h30m, got {show(value)}{cure}"))


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Duration = Annotated[
    str,
    BeforeValidator(_read_duration),
    WithJsonSchema({"type": "string", "pattern": "^(?=[0-9])([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"}),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Seed = Annotated[int, Field(ge=0, le=2**64 - 1, description="seed; equal seeds give equal searches")]
