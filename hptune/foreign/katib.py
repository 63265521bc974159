"""Experiments of Katib: a Kubernetes resource whose `spec` has an objective, an algorithm and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft


def translate(draft: Draft) -> None:
    """Take what an experiment says."""
    source = draft.source
    for path in (("apiVersion",), ("kind",)):
        source.take(*path)
    draft.name = source.take("metadata", "name") or source.take("metadata", "generateName")
    objective = ("spec", "objective")
    draft.aim(
        (*objective, "objectiveMetricName"),
        source.find(*objective, "objectiveMetricName"),
        source.take(*objective, "type"),
    )
    if (goal := source.take(*objective, "goal")) is not None:
        draft.budget["target"] = goal
    algorithm = ("spec", "algorithm", "algorithmName")
    if source.find(*algorithm) is not None:
        draft.search_by(algorithm, source.find(*algorithm))
    if (trials := source.take("spec", "maxTrialCount")) is not None:
        draft.budget["max_trials"] = trials
    if failures := source.take("spec", "maxFailedTrialCount"):
        draft.budget["max_failures"] = failures
    if source.find("spec", "parallelTrialCount") is not None:
        source.leave(("spec", "parallelTrialCount"), "say it on the command line: hptune search --workers N")
    for index, given in enumerate(source.find("spec", "parameters") or ()):
        if isinstance(given, Mapping):
            draft.add(("spec", "parameters", index), str(given.get("name", "")), translate_parameter(given))


def translate_parameter(given: Mapping[str, Any]) -> Any:
    """Return a parameter in our words; None where its type has no counterpart."""
    feasible = given.get("feasibleSpace") or {}
    match given.get("parameterType"):
        case "categorical":
            return [_number(word, word) for word in feasible.get("list", ())]
        case "discrete":
            return [_number(word, word) for word in feasible.get("list", ())]
        case "int" | "double" as kind:
            low, high, step = (_number(feasible.get(name), None) for name in ("min", "max", "step"))
            if low is None or high is None:
                return None
            if feasible.get("distribution") == "logUniform":
                return {"min": low, "max": high, "log": True}
            if feasible.get("distribution") in ("normal", "logNormal"):
                return None
            is_step = step is not None and not (kind == "int" and step == 1)
            return {"min": low, "max": high, **({"step": step} if is_step else {})}
        case _:
            return None


def _number(word: Any, otherwise: Any) -> Any:
    """Read a number that Katib writes as text."""
    try:
        number = float(word)
    except (TypeError, ValueError):
        return otherwise
    return int(number) if number.is_integer() and "." not in str(word) and "e" not in str(word).lower() else number
