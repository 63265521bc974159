"""Whether the parts of an experiment agree: conditions, strategy, budget, optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptune.objective import METRICS
from hptune.schedule import smallest_bracket
from hptune.spec.dimensions import UNSET, Written
from hptune.spec.experiment import Experiment, SourceFiles, SplitSpec, is_finite_number
from hptune.spec.problems import show, suggest
from hptune.spec.search import GridSpec, HyperbandSpec
from hptune.spec.settings import SETTINGS

Disagreement = tuple[tuple[str | int, ...], str]


def find_disagreements(experiment: Experiment) -> Iterator[Disagreement]:
    """Yield where the parts contradict each other: a path of keys, and a message."""
    written = experiment.written()
    yield from _objective(experiment)
    yield from _rows(experiment)
    yield from _budget(experiment)
    yield from _grid(experiment, written)
    yield from _hyperband(experiment, written)
    for key, value in written.items():
        yield from _conditions(key, value, written)
    yield from _cycles(written)
    yield from _blocks(experiment, written)
    yield from _unread(written)


def find_notes(experiment: Experiment, bare_pairs: list[str]) -> tuple[str, ...]:
    """Say what reads otherwise than somebody might have meant: a list of two numbers is a choice of two."""
    written = experiment.written()
    notes = []
    defaults = [key for key, value in written.items() if value.default is not UNSET]
    if defaults and not experiment.start_from:
        named = ", ".join(defaults)
        notes.append(
            f"{named}: a default is used by start_from only; write start_from: [{{}}] to try the defaults first"
        )
    for key in bare_pairs:
        low, high = written[key].values or (None, None)
        if is_finite_number(low) and is_finite_number(high) and low < high:
            notes.append(
                f"{key}: [{show(low)}, {show(high)}] chooses one of the two; a range is written "
                f"{{min: {show(low)}, max: {show(high)}}}"
            )
    return tuple(notes)


def _objective(experiment: Experiment) -> Iterator[Disagreement]:
    metric, direction = experiment.objective.metric, experiment.objective.direction
    sensible = METRICS[metric].direction
    if direction != sensible:
        better = "larger" if sensible == "max" else "smaller"
        yield ("objective", "direction"), f"expected {sensible}, got {direction}: {metric} is better when {better}"


def _rows(experiment: Experiment) -> Iterator[Disagreement]:
    columns = experiment.data.columns
    if columns.time is not None and columns.group is not None:
        yield (
            ("data", "columns", "group"),
            "expected a group or a time column, got both: whole groups cannot be cut at a point in time; remove one",
        )
    if columns.time is not None and experiment.data.split.stratify is True:
        yield ("data", "split", "stratify"), "read only without data.columns.time, which decides alone; remove it"
    if experiment.evaluation.folds is not None:
        if experiment.data.split.validation != SplitSpec().validation:
            yield ("data", "split", "validation"), "read only without evaluation.folds, which replace it; remove it"
        if isinstance(experiment.data.source, SourceFiles) and experiment.data.source.validation is not None:
            yield (
                ("data", "source", "validation"),
                "read only without evaluation.folds, which make validation rows of their own; remove it",
            )


def _budget(experiment: Experiment) -> Iterator[Disagreement]:
    strategy, budget = experiment.strategy.name, experiment.budget
    if strategy in ("random", "bayesian") and budget.max_trials is None and budget.max_time is None:
        yield (
            ("budget",),
            f"{strategy} search has no end of its own; write budget: {{max_trials: 50}}, or {{max_time: 20m}}",
        )
    metric, target = experiment.objective.metric, budget.target
    if target is not None and metric in METRICS:
        is_max = METRICS[metric].direction == "max"
        if target > 1 if is_max else target < 0:
            end = "at most 1" if is_max else "at least 0"
            yield ("budget", "target"), f"never reached: {metric} is {end}, got {show(target)}"


def _grid(experiment: Experiment, written: Mapping[str, Written]) -> Iterator[Disagreement]:
    strategy = experiment.strategy
    if isinstance(strategy, GridSpec) and strategy.points is None:
        for key, value in written.items():
            is_open = value.is_range and value.step is None and (value.log or not value.is_int)
            if is_open:
                yield (
                    tuple(key.split(".")),
                    "a grid over a range without step needs strategy: {name: grid, points: 10}, or step here",
                )


def _hyperband(experiment: Experiment, written: Mapping[str, Written]) -> Iterator[Disagreement]:
    strategy = experiment.strategy
    if not isinstance(strategy, HyperbandSpec):
        return
    epochs = written["training.epochs"]
    if epochs.varies:
        yield ("training", "epochs"), "hyperband decides how long a trial trains; write one number, the most it may"
        return
    if strategy.max_epochs not in (None, epochs.constant) and epochs.constant != SETTINGS["training.epochs"].default:
        yield (
            ("strategy", "max_epochs"),
            f"expected training.epochs, which is {epochs.constant}, got {strategy.max_epochs}; state it once",
        )
    least = smallest_bracket(experiment.max_epochs(), strategy.factor)
    most = experiment.budget.max_trials
    if most is not None and most < least:
        yield (
            ("budget", "max_trials"),
            f"expected at least {least}, the configurations of hyperband's smallest bracket, got {most}",
        )


def _blocks(experiment: Experiment, written: Mapping[str, Written]) -> Iterator[Disagreement]:
    for key, value in written.items():
        if value.blocks is not None and len(value.blocks) != experiment.most_blocks():
            most = experiment.most_blocks()
            yield (*key.split("."), "per_block"), f"expected a value for each of {most} blocks, got {len(value.blocks)}"


def _conditions(key: str, value: Written, written: Mapping[str, Written]) -> Iterator[Disagreement]:
    for name, what in value.when.items():
        path = (*key.split("."), "when", name)
        parent = written.get(name)
        if parent is None:
            yield (
                path,
                f"expected the name of a setting, got {show(name)}; {suggest(name, tuple(SETTINGS), 'see --help')}",
            )
        elif parent.per_block:
            yield path, f"{name} has a value for each block; a condition needs a single one"
        else:
            yield from ((path, message) for message in _condition_faults(name, what, parent))


def _condition_faults(name: str, what: Any, parent: Written) -> Iterator[str]:
    if isinstance(what, Mapping):
        unknown = [bound for bound in what if bound not in ("min", "max")]
        if unknown or not what or not all(is_finite_number(bound) for bound in what.values()):
            yield "expected a value, a list of values, or {min: NUMBER, max: NUMBER}"
        elif not all(is_finite_number(end) for end in parent.ends()):
            yield f"{name} has no numbers to compare; list its values instead"
        elif what.get("min", parent.ends()[0]) > max(parent.ends()) or what.get("max", max(parent.ends())) < min(
            parent.ends()
        ):
            yield f"never holds: {name} goes from {show(min(parent.ends()))} to {show(max(parent.ends()))}"
        return
    for value in what if isinstance(what, list) else [what]:
        if fault := SETTINGS[name].fault(value):
            yield fault
        elif not parent.is_range and not _is_among(value, parent.ends()):
            yield f"never holds for {show(value)}: {name} is {' or '.join(map(show, parent.ends()))}"
        elif parent.is_range and not parent.min <= value <= parent.max:
            yield f"never holds for {show(value)}: {name} goes from {show(parent.min)} to {show(parent.max)}"


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)


def _cycles(written: Mapping[str, Written]) -> Iterator[Disagreement]:
    """Find settings whose conditions lead back to themselves; a per-block setting depends on the number of blocks."""
    parents = {key: [*value.when, *(["model.blocks"] if value.per_block else [])] for key, value in written.items()}
    for key in written:
        if not written[key].when:
            continue
        trail, pending = set(), list(parents[key])
        while pending:
            name = pending.pop()
            if name == key:
                yield (*key.split("."), "when"), f"{key} depends on itself; a condition may not lead back"
                break
            if name not in trail:
                trail.add(name)
                pending.extend(parents.get(name, ()))


def _unread(written: Mapping[str, Written]) -> Iterator[Disagreement]:
    """Find settings that no chosen optimizer reads: a key that does nothing is a mistake."""
    chosen = set(written["training.optimizer"].ends())
    for key, value in written.items():
        needs = SETTINGS[key].needs
        is_default = not value.varies and value.constant == SETTINGS[key].default
        if needs and not chosen & set(needs) and not is_default:
            yield (
                tuple(key.split(".")),
                f"read only by {' and '.join(needs)}, but the optimizer is {' or '.join(sorted(chosen))}; remove it",
            )
    if (
        written["model.embedding"] != Written(constant="auto")
        and "embedding" not in written["data.preparation.categorical"].ends()
    ):
        yield ("model", "embedding"), "read only with data.preparation: {categorical: embedding}"
