"""Sweeps of Weights & Biases: `method`, `metric`, `parameters` with distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft
from hptune.foreign.source import KeyPath


def translate(draft: Draft) -> None:
    """Take what a sweep says."""
    source = draft.source
    draft.name = source.take("name")
    if source.find("method") is not None:
        draft.search_by(("method",), source.find("method"))
    goal = source.take("metric", "goal") or "minimize"
    draft.aim(("metric", "name"), source.find("metric", "name"), goal)
    if (target := source.take("metric", "target")) is not None:
        draft.budget["target"] = target
    if (runs := source.take("run_cap")) is not None:
        draft.budget["max_trials"] = runs
    _take_parameters(draft, ("parameters",))


def _take_parameters(draft: Draft, path: KeyPath) -> None:
    for name, given in (draft.source.find(*path) or {}).items():
        place = (*path, name)
        if isinstance(given, Mapping) and isinstance(given.get("parameters"), Mapping):
            _take_parameters(draft, (*place, "parameters"))
        else:
            draft.add(place, name, translate_parameter(given))


def translate_parameter(given: Any) -> Any:
    """Return a parameter in our words; None where its distribution has no counterpart."""
    if not isinstance(given, Mapping):
        return given
    if "value" in given:
        return given["value"]
    if "values" in given:
        return list(given["values"])
    low, high, step = given.get("min"), given.get("max"), given.get("q")
    kind = str(
        given.get("distribution", "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform")
    )
    if low is None or high is None:
        return None
    if kind in ("log_uniform", "q_log_uniform"):
        # The bounds are exponents of e.
        return {"min": _digits(math.exp(low)), "max": _digits(math.exp(high)), "log": True}
    if kind in ("log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values"):
        return {"min": low, "max": high, "log": True}
    if kind in ("uniform", "int_uniform", "q_uniform"):
        return {"min": low, "max": high, **({"step": step} if step is not None else {})}
    return None


def _digits(number: float) -> float:
    return float(f"{number:.6g}")
