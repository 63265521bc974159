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

from hptune.data.table import Dataset, read_dataset
from hptune.errors import ExperimentError
from hptune.objective import CLASSIFICATION, METRICS, Objective, metrics_of
from hptune.space import SearchSpace, grid_values
from hptune.spec import Experiment, LoadedExperiment, load_experiment

# Neither changes a trial: a run may be renamed, kept elsewhere or given more trials.
_NOT_IDENTITY = ("name", "output", "budget")


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
        return _possible(self.space, "data.preparation.numeric")

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """The part of the experiment that results depend on."""
        return {key: value for key, value in self.experiment.canonical().items() if key not in _NOT_IDENTITY}

    @property
    def identity_sha256(self) -> str:
        """Hash of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @cached_property
    def count(self) -> int | None:
        """How many configurations the strategy could propose; None for infinitely many."""
        strategy = self.experiment.strategy
        return self.space.count(strategy.points if strategy.name == "grid" else None)

    @property
    def planned_trials(self) -> int | None:
        """How many trials the search comes to in all; None where only the strategy will know."""
        return min((n for n in (self.experiment.budget.max_trials, self.count) if n is not None), default=None)


def lay_groundwork(config: Path, overrides: Sequence[str] = ()) -> Groundwork:
    """Read an experiment and its data.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
    """
    loaded = load_experiment(config, overrides)
    dataset = read_dataset(loaded.experiment.data, config.parent)
    ground = Groundwork(loaded, dataset)
    faults = [fault for key, message in _contradictions(ground) for fault in loaded.fault(key, message).faults]
    if faults:
        raise ExperimentError(faults)
    return ground


def _possible(space: SearchSpace, name: str) -> tuple[Any, ...]:
    dimension = space.by_name.get(name)
    if dimension is None:
        return (space.constants[name],)
    # Both ends of a range tell whether it can be anything but off.
    values = grid_values(dimension, points=2)
    # An inactive dimension leaves its setting at the default.
    return values if not dimension.when else tuple(dict.fromkeys((*values, space.defaults[name])))


def _contradictions(ground: Groundwork) -> list[tuple[str, str]]:
    """Find what the experiment demands that the data cannot give."""
    task = ground.dataset.task
    found = []
    metric = ground.objective.metric
    if task not in METRICS[metric].tasks:
        known = ", ".join(metrics_of(task))
        found.append(("objective.metric", f"expected a metric of a {task} task, got {metric}; choose one of {known}"))
    for key, off in (("training.label_smoothing", 0), ("training.class_weight", "none")):
        if task not in CLASSIFICATION and any(value != off for value in _possible(ground.space, key)):
            found.append((key, "expected only with classification, got a regression target; remove it"))
    if task in CLASSIFICATION:
        found.extend(_unknown_labels(ground))
    return found


def _unknown_labels(ground: Groundwork) -> list[tuple[str, str]]:
    labels = ground.dataset.labels
    found = []
    for weights in _possible(ground.space, "training.class_weight"):
        if isinstance(weights, Mapping):
            unknown = [label for label in weights if label not in labels]
            missing = [label for label in labels if label not in weights]
            if unknown or missing:
                got = ", ".join(f'"{label}"' for label in unknown or missing)
                what = "unknown" if unknown else "no weight for"
                known = ", ".join(f'"{label}"' for label in labels)
                found.append(("training.class_weight", f"expected a weight for each of {known}, got {what} {got}"))
    return found
