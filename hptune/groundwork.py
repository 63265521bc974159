"""What stands before anything is trained: experiment and data, read and held against each other.

`check` ends here and `search` begins here, so both say the same. Neither TensorFlow nor scikit-learn is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hptune.data.folds import fold_rows
from hptune.data.split import Split
from hptune.data.table import Dataset, read_dataset
from hptune.errors import DataError, ExperimentError
from hptune.objective import CLASSIFICATION, METRICS, Objective, metrics_of
from hptune.parts import WHOLE, name_parts
from hptune.schedule import Bracket, plan_brackets, smallest_bracket
from hptune.space import SearchSpace, grid_values
from hptune.spec import Experiment, LoadedExperiment, load_experiment
from hptune.spec.search import GridSpec, HyperbandSpec
from hptune.spec.starts import starting_configurations

# None changes a trial: a run may be renamed, kept elsewhere, given more trials or confirmed.
_NOT_IDENTITY = ("name", "output", "budget", "evaluation")
_NEW_COLUMNS = ("weight", "group", "time")


@dataclass(frozen=True)
class Groundwork:
    """An experiment whose data has been read and found to fit."""

    loaded: LoadedExperiment
    dataset: Dataset

    @property
    def experiment(self) -> Experiment:
        """What the user wrote."""
        return self.loaded.experiment

    @property
    def objective(self) -> Objective:
        """The aim."""
        return self.experiment.objective.aim

    @cached_property
    def space(self) -> SearchSpace:
        """What varies."""
        return self.experiment.space()

    @property
    def numeric_preparations(self) -> tuple[str, ...]:
        """Every way in which the numeric columns may be prepared in this search."""
        return self.possible_values["data.preparation.numeric"]

    @cached_property
    def possible_values(self) -> Mapping[str, tuple[Any, ...]]:
        """What each setting may be in this search: its values, or the ends of its range."""
        space = self.space
        names = dict.fromkeys((*space.defaults, *space.constants, *space.by_name))
        return {name: _possible(space, name) for name in names}

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """The part of the experiment that results depend on."""
        canonical = self.experiment.canonical()
        identity = {key: value for key, value in canonical.items() if key not in _NOT_IDENTITY}
        # Runs of older versions know no such columns.
        columns = identity["data"]["columns"]
        identity["data"]["columns"] = {key: value for key, value in columns.items() if value or key not in _NEW_COLUMNS}
        # What follows a search changes none of its trials, so that a run may be confirmed later.
        judging = {"folds": self.experiment.evaluation.folds, "repeats": self.experiment.evaluation.repeats}
        if self.part_names != (WHOLE,):
            identity["evaluation"] = judging
        if self.brackets:
            # Which brackets there are depends on how many configurations they may try.
            identity["budget"] = {"max_trials": canonical["budget"]["max_trials"]}
        return identity

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts in which every configuration is trained; one without a name where there are none."""
        return name_parts(self.experiment.evaluation.folds, self.experiment.evaluation.repeats)

    @cached_property
    def folds(self) -> tuple[Split, ...]:
        """The rows of each fold; empty where there are no folds.

        Raises:
            DataError: If the rows cannot be folded as demanded.
        """
        folds = self.experiment.evaluation.folds
        return () if folds is None else fold_rows(self.dataset, self.experiment.data.split, folds)

    @property
    def identity_sha256(self) -> str:
        """Hash of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @cached_property
    def start_from(self) -> tuple[Mapping[str, Any], ...]:
        """Configurations to try first, with a value for every active dimension."""
        return starting_configurations(self.experiment)

    @cached_property
    def count(self) -> int | None:
        """How many configurations the strategy could propose; None for infinitely many."""
        strategy = self.experiment.strategy
        if not isinstance(strategy, GridSpec):
            return self.space.count()
        count = self.space.count(strategy.points)
        return None if count is None else count + sum(not self._is_on_grid(values) for values in self.start_from)

    def _is_on_grid(self, values: Mapping[str, Any]) -> bool:
        strategy = self.experiment.strategy
        assert isinstance(strategy, GridSpec)
        return all(value in grid_values(self.space.by_name[name], strategy.points) for name, value in values.items())

    @cached_property
    def brackets(self) -> tuple[Bracket, ...]:
        """Hyperband's schedule; empty for the other strategies."""
        strategy = self.experiment.strategy
        if not isinstance(strategy, HyperbandSpec):
            return ()
        most = _least(self.experiment.budget.max_trials, self.count)
        return plan_brackets(self.experiment.max_epochs(), strategy.factor, strategy.hyperband_iterations, most)

    @property
    def strategy_options(self) -> dict[str, Any]:
        """The options of the strategy under KerasTuner's names, with every default filled in."""
        strategy = self.experiment.strategy
        options = strategy.model_dump(exclude={"name", "seed"})
        if isinstance(strategy, HyperbandSpec):
            options["max_epochs"] = self.experiment.max_epochs()
        return options

    @property
    def planned_trials(self) -> int | None:
        """How many trials the search comes to in all; None where only the strategy or the clock will know."""
        if self.brackets:
            return sum(bracket.configurations for bracket in self.brackets)
        return _least(self.experiment.budget.max_trials, self.count)

    @property
    def planned_epochs(self) -> int | None:
        """How many epochs the search comes to where no trial stops early; None where no schedule says."""
        if self.brackets:
            return sum(bracket.epochs for bracket in self.brackets) * len(self.part_names)
        return None

    @property
    def trial_epochs(self) -> int | None:
        """How many epochs a trial with all its parts comes to where it does not stop early; None where they differ."""
        epochs = self.space.constants.get("training.epochs")
        return None if self.brackets or epochs is None else int(epochs) * len(self.part_names)


def _least(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def lay_groundwork(
    config: Path, overrides: Sequence[str] = (), base: Path | None = None, content: bytes | None = None
) -> Groundwork:
    """Read an experiment and its data.

    Args:
        config: The experiment.
        overrides: `key=value` pairs that replace parts of it.
        base: What data paths are relative to; by default the folder of the experiment.
        content: The experiment, where it does not stand in a file; `config` then only names it.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
    """
    loaded = load_experiment(config, overrides, content)
    dataset = read_dataset(loaded.experiment.data, base or config.parent)
    ground = Groundwork(loaded, dataset)
    faults = [fault for key, message in _contradictions(ground) for fault in loaded.fault(key, message).faults]
    if faults:
        raise ExperimentError(faults)
    return ground


def _possible(space: SearchSpace, name: str) -> tuple[Any, ...]:
    dimension = space.by_name.get(name)
    if dimension is None:
        return (space.constants[name] if name in space.constants else space.defaults[name],)
    # Both ends of a range tell whether it can be anything but off.
    values = grid_values(dimension, points=2)
    # An inactive dimension leaves its setting at the default.
    return values if not dimension.when else (*values, space.defaults.get(name, values[0]))


def _contradictions(ground: Groundwork) -> list[tuple[str, str]]:
    """Find what the experiment demands that the data cannot give."""
    task = ground.dataset.task
    found = []
    metric = ground.objective.metric
    if task not in METRICS[metric].tasks:
        known = ", ".join(metrics_of(task))
        found.append(("objective.metric", f"expected a metric of a {task} task, got {metric}; choose one of {known}"))
    for key, off in (("training.label_smoothing", 0), ("training.class_weight", "none")):
        if task not in CLASSIFICATION and any(value != off for value in ground.possible_values[key]):
            found.append((key, "expected only with classification, got a regression target; remove it"))
    if isinstance(ground.experiment.strategy, HyperbandSpec) and not ground.brackets:
        strategy = ground.experiment.strategy
        least = smallest_bracket(ground.experiment.max_epochs(), strategy.factor)
        found.append(
            (
                "strategy.name",
                f"hyperband's smallest bracket has {least} configurations, the space only {ground.count}; use grid",
            )
        )
    if task in CLASSIFICATION:
        found.extend(_unknown_labels(ground))
    try:
        # Made, not only counted: what stratified groups come to is known only then.
        _ = ground.folds
    except DataError as error:
        key, _, words = error.message.partition(": ")
        found.append((key, words))
    return found


def _unknown_labels(ground: Groundwork) -> list[tuple[str, str]]:
    labels = ground.dataset.labels
    found = []
    for weights in ground.possible_values["training.class_weight"]:
        if isinstance(weights, Mapping):
            unknown = [label for label in weights if label not in labels]
            missing = [label for label in labels if label not in weights]
            if unknown or missing:
                got = ", ".join(f'"{label}"' for label in unknown or missing)
                what = "unknown" if unknown else "no weight for"
                known = ", ".join(f'"{label}"' for label in labels)
                found.append(("training.class_weight", f"expected a weight for each of {known}, got {what} {got}"))
    return found
