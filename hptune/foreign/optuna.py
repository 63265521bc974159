"""Search spaces of Optuna as it writes them in JSON: a class name and its attributes for each parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft
from hptune.foreign.source import KeyPath

_REAL = ("FloatDistribution", "UniformDistribution", "LogUniformDistribution", "DiscreteUniformDistribution")
_WHOLE = ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution")


def translate(draft: Draft) -> None:
    """Take a search space, bare or below `distributions`, and what a study may say beside it."""
    source = draft.source
    whole = source.find() or {}
    path: KeyPath = ("distributions",) if "distributions" in whole else ()
    draft.name = source.take("study_name") if path else None
    if path:
        direction = source.take_first(("direction",), ("directions", 0))
        draft.aim(("metric",), source.find("metric"), direction)
        if (sampler := source.find("sampler")) is not None:
            draft.search_by(("sampler",), sampler)
        if (trials := source.take("n_trials")) is not None:
            draft.budget["max_trials"] = trials
        if (seconds := source.take("timeout")) is not None:
            draft.budget["max_time"] = f"{round(seconds)}s"
    for name, given in (source.find(*path) or {}).items():
        draft.add((*path, name), name, translate_distribution(given))


def translate_distribution(given: Any) -> Any:
    """Return a distribution in our words; None where it is none of Optuna's."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return None
    if not isinstance(given, Mapping) or not isinstance(given.get("attributes"), Mapping):
        return None
    kind, held = given.get("name"), given["attributes"]
    if kind == "CategoricalDistribution":
        return list(held.get("choices", ()))
    if kind not in (*_REAL, *_WHOLE) or "low" not in held or "high" not in held:
        return None
    made: dict[str, Any] = {"min": held["low"], "max": held["high"]}
    if held.get("log") or "Log" in str(kind):
        return {**made, "log": True}
    step = held.get("step", held.get("q"))
    return {**made, "step": step} if step is not None and not (kind in _WHOLE and step == 1) else made
