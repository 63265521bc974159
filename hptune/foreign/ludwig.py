"""Configurations of Ludwig with a `hyperopt` section: parameters as Ray Tune's spaces, goal, metric, executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft

_TRAINER = {"learning_rate", "batch_size", "epochs"}
_FEATURE_TASKS = {"number", "binary", "category"}


def translate(draft: Draft) -> None:
    """Take what a configuration says of search, trainer and output."""
    source = draft.source
    hyperopt = "hyperopt"
    for name, given in (source.find(hyperopt, "parameters") or {}).items():
        draft.add((hyperopt, "parameters", name), name, translate_parameter(given))
    for name in source.find("trainer") or {}:
        if name in _TRAINER:
            draft.add(("trainer", name), name, source.find("trainer", name))
    patience = source.take("trainer", "early_stop")
    if isinstance(patience, int) and patience > 0:
        draft.settings["training.early_stopping"] = {"patience": patience}
    draft.aim((hyperopt, "metric"), source.find(hyperopt, "metric"), source.take(hyperopt, "goal"))
    method = (hyperopt, "search_alg", "type")
    if source.find(*method) is not None:
        draft.search_by(method, source.find(*method))
    scheduler = (hyperopt, "executor", "scheduler", "type")
    if "hyperband" in str(source.find(*scheduler)):
        draft.search_by(scheduler, "asha" if "async" in str(source.find(*scheduler)) else "hyperband")
    if (samples := source.take(hyperopt, "executor", "num_samples")) is not None:
        draft.budget["max_trials"] = samples
    if (seconds := source.take(hyperopt, "executor", "time_budget_s")) is not None:
        draft.budget["max_time"] = f"{round(seconds)}s"
    if source.find("output_features", 0, "type") in _FEATURE_TASKS:
        draft.target = source.take("output_features", 0, "name")
        source.take("output_features", 0, "type")


def translate_parameter(given: Any) -> Any:
    """Return a parameter in our words; None where its space has no counterpart."""
    if not isinstance(given, Mapping):
        return given
    space, low, high = given.get("space"), given.get("lower"), given.get("upper")
    if space in ("choice", "grid_search"):
        return list(given.get("categories", given.get("values", ())))
    if low is None or high is None:
        return None
    match space:
        case "uniform" | "quniform" | "float":
            step = given.get("q")
            return {"min": low, "max": high, **({"step": step} if step is not None else {})}
        case "randint" | "qrandint" | "int":
            # Ray Tune leaves the upper end out of randint, and takes it in in qrandint.
            return {"min": low, "max": high - (space == "randint")}
        case "loguniform" | "qloguniform" | "lograndint" | "qlograndint":
            return {"min": low, "max": high, "log": True}
        case _:
            return None
