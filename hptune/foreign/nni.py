"""Experiments of NNI: a search space of `_type` and `_value`, alone or below `searchSpace` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft
from hptune.foreign.source import KeyPath


def translate(draft: Draft) -> None:
    """Take what a configuration, or a bare search space, says."""
    source = draft.source
    whole = source.find() or {}
    path: KeyPath = (
        () if all(isinstance(given, Mapping) and "_type" in given for given in whole.values()) else ("searchSpace",)
    )
    if path:
        _take_configuration(draft)
    for name, given in (source.find(*path) or {}).items():
        draft.add((*path, name), name, translate_parameter(given))


def _take_configuration(draft: Draft) -> None:
    source = draft.source
    draft.name = source.take("experimentName")
    tuner = next((path for path in (("tuner", "name"), ("tuner", "builtinTunerName")) if source.find(*path)), None)
    if tuner is not None:
        draft.search_by(tuner, source.find(*tuner))
    direction = source.take("tuner", "classArgs", "optimize_mode")
    draft.direction = {"maximize": "max", "minimize": "min"}.get(str(direction))
    trials = source.take_first(("maxTrialNumber",), ("maxTrialNum",))
    if trials is not None:
        draft.budget["max_trials"] = trials
    duration = source.take_first(("maxExperimentDuration",), ("maxExecDuration",))
    if duration is not None:
        draft.budget["max_time"] = _hours(str(duration))
    for name in ("trialConcurrency",):
        if source.find(name) is not None:
            source.leave((name,), "say it on the command line: hptune search --workers N")


def _hours(duration: str) -> str:
    """Say days in hours, which is our largest unit."""
    return f"{24 * int(duration[:-1])}h" if duration.endswith("d") and duration[:-1].isdigit() else duration


def translate_parameter(given: Any) -> Any:
    """Return a parameter in our words; None where its type has no counterpart."""
    if not isinstance(given, Mapping):
        return given
    value = given.get("_value") or []
    match given.get("_type"), len(value):
        case "choice", _:
            return list(value)
        case "randint", 2:
            # The upper end is not included.
            return {"min": value[0], "max": value[1] - 1}
        case "uniform", 2:
            return {"min": value[0], "max": value[1]}
        case "quniform", 3:
            return {"min": value[0], "max": value[1], "step": value[2]}
        case ("loguniform", 2) | ("qloguniform", 3):
            return {"min": value[0], "max": value[1], "log": True}
        case _:
            return None
