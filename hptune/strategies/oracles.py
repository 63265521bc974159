"""The border to keras_tuner: our space in its words, its oracles without files, noise and surprises.

Each value travels as an index or a plain number, so that null, mixed types, lists and maps survive, and a stepped range
reaches its maximum. What keras_tuner 1.4.8 does otherwise than one would think is cured here; the tests in
`tests/test_kerastuner_defects.py` name each defect.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras_tuner

from hptune.objective import Objective
from hptune.space import Choice, Condition, Dimension, Float, Int, SearchSpace, Value, grid_values
from hptune.trial import derive_seed

# Beyond this many values a parent's condition is not spelled out for keras_tuner; what is inactive is projected out.
_MOST_PARENT_VALUES = 256
# keras_tuner raises, with its lock held, after so many failures in a row; failures are our tuner's matter.
_NEVER = 2**62


def oracle_options(space: Translation, objective: Objective, seed: int) -> dict[str, Any]:
    """Return the arguments that every oracle takes.

    The direction is explicit, because keras_tuner infers `min` for F1 and R²; the seed is never 0, because that means
    "no seed" there; trials are limited by our budget.
    """
    return {
        "objective": keras_tuner.Objective(objective.metric, objective.direction),
        "max_trials": None,
        "hyperparameters": space.hyperparameters,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": derive_seed(seed, "oracle"),
        "max_consecutive_failed_trials": _NEVER,
    }


class QuietOracle:
    """Mixed into an oracle: it writes no files and prints nothing. The journal is the only record."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.verbose = 0

    def save(self) -> None:
        """Write nothing: its files are rewritten in place and would never be read back."""

    def _save_trial(self, trial: Any) -> None:
        """Write nothing."""


@dataclass(frozen=True)
class Translation:
    """A search space in keras_tuner's words.

    Attributes:
        space: Ours.
        points: Where given, every range is a list of values, as a grid needs it.
        is_grid: Whether every dimension is translated to indices.
    """

    space: SearchSpace
    is_grid: bool = False
    points: int | None = None

    @cached_property
    def hyperparameters(self) -> Any:
        """The dimensions, each inside the scopes of its conditions; built anew for each oracle that asks."""
        made = keras_tuner.HyperParameters()
        for dimension in self.space.dimensions:
            with ExitStack() as scopes:
                is_possible = True
                for parent, indices in self._scopes(dimension):
                    is_possible = is_possible and bool(indices)
                    scopes.enter_context(made.conditional_scope(parent, indices))
                if is_possible:
                    self._declare(made, dimension)
        return made

    def _values(self, dimension: Dimension) -> Sequence[Value] | None:
        """List the values of a dimension that travels by index; None where plain numbers travel."""
        if self.is_grid:
            return grid_values(dimension, self.points)
        if isinstance(dimension, Choice) or dimension.step is not None or dimension.min == dimension.max:
            return dimension.finite_values()
        return None

    def _declare(self, made: Any, dimension: Dimension) -> None:
        values = self._values(dimension)
        if values is not None:
            made.Choice(dimension.name, list(range(len(values))), ordered=not isinstance(dimension, Choice))
            return
        assert isinstance(dimension, Float | Int)
        declare = made.Float if isinstance(dimension, Float) else made.Int
        declare(dimension.name, dimension.min, dimension.max, sampling="log" if dimension.log else "linear")

    def _scopes(self, dimension: Dimension) -> Iterator[tuple[str, list[Any]]]:
        """Yield each condition that keras_tuner can express: a parent's name and its allowed values."""
        for condition in dimension.when:
            parent = self.space.by_name.get(condition.name)
            if parent is None:
                continue  # A constant: it holds always or never, which projection sees to.
            values = self._values(parent)
            if values is None and isinstance(parent, Int) and parent.max - parent.min < _MOST_PARENT_VALUES:
                yield condition.name, [value for value in parent.finite_values() if condition.holds_for(value)]
            elif values is not None and len(values) <= _MOST_PARENT_VALUES:
                yield condition.name, _holding(condition, values)

    def to_ours(self, theirs: Mapping[str, Any]) -> dict[str, Value]:
        """Translate values back, active dimensions only."""
        values: dict[str, Value] = {}
        for dimension in self.space.dimensions:
            if dimension.name in theirs:
                listed = self._values(dimension)
                value = theirs[dimension.name]
                values[dimension.name] = _typed(dimension, value) if listed is None else listed[int(value)]
        return self.space.project(values)


def _holding(condition: Condition, values: Sequence[Value]) -> list[int]:
    return [index for index, value in enumerate(values) if condition.holds_for(value)]


def _typed(dimension: Dimension, value: Any) -> Value:
    if isinstance(dimension, Int):
        return int(value)
    # Logarithms and back may leave the range by a rounding error.
    return min(max(float(value), float(dimension.min)), float(dimension.max))  # type: ignore[union-attr]


def worst_score(objective: Objective) -> float:
    """What an oracle is told of a failed trial where it must be able to compare."""
    return -math.inf if objective.direction == "max" else math.inf


def create_trial(oracle: Any, tuner_id: str) -> Any:
    """Ask an oracle, with what keras_tuner warns of under NumPy 2 and new Pythons kept from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return oracle.create_trial(tuner_id)


def end_trial(oracle: Any, trial: Any, objective: Objective, score: float) -> None:
    """Tell an oracle how a trial ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle.update_trial(trial.trial_id, {objective.metric: score})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
