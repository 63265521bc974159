"""A foreign file becomes an experiment of ours, with every line that could not be carried."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptune.errors import ExperimentError, UsageError
from hptune.foreign import determined, katib, ludwig, nni, optuna, wandb
from hptune.foreign.draft import Draft
from hptune.foreign.source import Note, Source, read_source
from hptune.objective import METRICS
from hptune.reporting.words import printable
from hptune.spec.experiment import write_flow
from hptune.spec.loading import load_experiment

TOOLS: Mapping[str, Callable[[Draft], None]] = {
    "determined": determined.translate,
    "katib": katib.translate,
    "ludwig": ludwig.translate,
    "nni": nni.translate,
    "optuna": optuna.translate,
    "wandb": wandb.translate,
}
_TRIALS = 50
_POINTS = 5
_SETTINGS_OF_SGD = ("training.momentum", "training.nesterov")


@dataclass(frozen=True)
class Translation:
    """An experiment in our words.

    Attributes:
        name: Of the run.
        text: The YAML.
        notes: What could not be carried, in the order of the foreign file.
    """

    name: str
    text: str
    notes: tuple[Note, ...]


def translate(path: Path, tool: str, data: str | None = None, target: str | None = None) -> Translation:
    """Read a foreign file and write it as an experiment.

    Args:
        path: The file, YAML or JSON.
        tool: Whose it is.
        data: The table; other tools' files do not name it.
        target: The column to predict.

    Raises:
        UsageError: If the tool is unknown, or nothing in the file can be carried.
        ExperimentError: If the file cannot be read.
    """
    if tool not in TOOLS:
        raise UsageError(f"--from: expected {', '.join(TOOLS)}, got {tool!a}")
    source = read_source(path)
    draft = Draft(source)
    try:
        TOOLS[tool](draft)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{path}: expected a file in the form of {tool}; {error}") from None
    if not draft.settings:
        raise UsageError(f"{path}: found no parameter of {tool} that hptune has a setting for:\n" + _listed(source))
    name = _make_name(draft.name, path)
    notes = source.notes()
    text = "\n".join(_lines(draft, name, tool, path, notes, data, target)) + "\n"
    return Translation(name, _checked(text, name), notes)


def _listed(source: Source) -> str:
    return "\n".join(f"  {printable(str(note))}" for note in source.notes())


def _make_name(name: str | None, path: Path) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", str(name or path.stem)).strip("-._")
    return words[:64] or "experiment"


def _lines(
    draft: Draft, name: str, tool: str, path: Path, notes: tuple[Note, ...], data: str | None, target: str | None
) -> Iterator[str]:
    yield f"# From {printable(path.name)} of {tool} by hptune convert."
    if notes:
        yield "# Not carried:"
        yield from (f"#   {printable(str(note))}" for note in notes)
    yield f"name: {write_flow(name)}"
    yield "data:"
    yield f"  source: {write_flow(data or 'data.csv')}" + ("" if data else f"  # {tool} does not say; name your table")
    found = target or draft.target
    yield f"  target: {write_flow(found or 'target')}" + ("" if found else "  # and the column to predict")
    yield _objective(draft, tool)
    yield from _search(draft)
    yield from _sections(_made_sound(draft.settings, draft.strategy.get("name", "")))


def _objective(draft: Draft, tool: str) -> str:
    if draft.metric is not None:
        return f"objective: {{metric: {draft.metric}, direction: {draft.direction}}}"
    metric = "accuracy" if draft.direction == "max" else "loss"
    direction = METRICS[metric].direction
    return f"objective: {{metric: {metric}, direction: {direction}}}  # {tool} names no metric of hptune; choose one"


def _search(draft: Draft) -> Iterator[str]:
    """Write strategy and budget, which must have an end."""
    strategy, budget = draft.strategy or {"name": "random"}, dict(draft.budget)
    ranges = [value for value in draft.settings.values() if isinstance(value, dict) and "min" in value]
    said = ""
    if strategy["name"] == "grid" and any("step" not in value for value in ranges):
        strategy = {**strategy, "points": _POINTS}
        said = "  # points of each range without step"
    yield f"strategy: {write_flow(strategy)}{said}"
    if not budget.keys() & {"max_trials", "max_time"} and strategy["name"] not in ("grid", "hyperband"):
        budget = {"max_trials": _TRIALS, **budget}
    if budget:
        yield f"budget: {write_flow(budget)}"


def _made_sound(settings: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    """Add what settings need of each other: momentum exists with sgd only, epochs are constant under Hyperband."""
    made = dict(settings)
    optimizers = made.get("training.optimizer", "adam")
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    for key in (*_SETTINGS_OF_SGD, "training.weight_decay"):
        if key not in made:
            continue
        fitting = [one for one in optimizers if one == "sgd" or (one == "adamw" and key not in _SETTINGS_OF_SGD)]
        if not fitting:
            made["training.optimizer"] = "adamw" if key not in _SETTINGS_OF_SGD else "sgd"
            optimizers = [made["training.optimizer"]]
        elif len(fitting) < len(optimizers):
            made[key] = _only_with(made[key], fitting)
    epochs = made.get("training.epochs")
    if strategy == "hyperband" and isinstance(epochs, list | dict):
        made["training.epochs"] = epochs["max"] if isinstance(epochs, dict) else max(epochs)
    return made


def _only_with(value: Any, optimizers: list[str]) -> Any:
    when = {"when": {"training.optimizer": optimizers}}
    if isinstance(value, dict):
        return {**value, **when}
    return {"values": value if isinstance(value, list) else [value], **when}


def _sections(settings: Mapping[str, Any]) -> Iterator[str]:
    for section in ("model", "training"):
        inside = {key: value for key, value in settings.items() if key.startswith(f"{section}.")}
        if inside:
            yield f"{section}:"
        yield from (f"  {key.partition('.')[2]}: {write_flow(value)}" for key, value in inside.items())


def _checked(text: str, name: str) -> str:
    """Return the text, of which our own reader has found nothing to say.

    Raises:
        UsageError: If values of the foreign file contradict each other in our words.
    """
    try:
        load_experiment(Path(f"{name}.yaml"), content=text.encode())
    except ExperimentError as error:
        raise UsageError(f"what the file says cannot be said here:\n{error}") from error
    return text
