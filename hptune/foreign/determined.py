"""Experiments of Determined: `hyperparameters` with types, and a `searcher`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptune.foreign.draft import Draft
from hptune.foreign.source import KeyPath


def translate(draft: Draft) -> None:
    """Take what an experiment says."""
    source = draft.source
    draft.name = source.take("name")
    searcher = "searcher"
    if source.find(searcher, "name") is not None:
        draft.search_by((searcher, "name"), source.find(searcher, "name"))
    smaller = source.take(searcher, "smaller_is_better")
    draft.aim((searcher, "metric"), source.find(searcher, "metric"), "max" if smaller is False else "min")
    if (trials := source.take(searcher, "max_trials")) is not None:
        draft.budget["max_trials"] = trials
    epochs = source.take_first(
        (searcher, "max_length", "epochs"), (searcher, "max_epochs"), (searcher, "max_time_epochs")
    )
    _take_parameters(draft, ("hyperparameters",))
    if epochs is not None:
        draft.settings.setdefault("training.epochs", epochs)


def _take_parameters(draft: Draft, path: KeyPath) -> None:
    for name, given in (draft.source.find(*path) or {}).items():
        if isinstance(given, Mapping) and "type" not in given:
            _take_parameters(draft, (*path, name))
        else:
            draft.add((*path, name), name, translate_parameter(given))


def translate_parameter(given: Any) -> Any:
    """Return a parameter in our words; None where its type has no counterpart."""
    if not isinstance(given, Mapping):
        return given
    match given.get("type"):
        case "const":
            return given.get("val")
        case "categorical":
            return list(given.get("vals", ()))
        case "int" | "double" if "minval" in given and "maxval" in given:
            return {"min": given["minval"], "max": given["maxval"]}
        case "log" if "minval" in given and "maxval" in given:
            # The bounds are exponents of the base.
            base = float(given.get("base", 10))
            low, high = (float(f"{base ** given[end]:.6g}") for end in ("minval", "maxval"))
            return {"min": low, "max": high, "log": True}
        case _:
            return None
