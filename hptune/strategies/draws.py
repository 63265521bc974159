"""Configurations by number, none twice: the user's own first, then KerasTuner's random draws, then what is left.

Random search is nothing but these; the other strategies begin with them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import keras_tuner

from hptune.objective import Objective
from hptune.space import COUNT_LIMIT, Configuration, SearchSpace, Value, identity
from hptune.strategies.oracles import QuietOracle, Translation, oracle_options
from hptune.trial import Exhausted, derive_seed

# Draws that may repeat a configuration before the rest of a finite space is listed instead.
_MOST_COLLISIONS = 50


class SeededOracle(QuietOracle, keras_tuner.oracles.RandomSearchOracle):
    """Draws from a seed that is set before each draw, so that an interrupted search goes on as if it had not been.

    KerasTuner's own oracle counts a state up, which a restart would have to know.
    """

    next_seed = 1

    def populate_space(self, trial_id: str) -> Any:
        """Draw one configuration."""
        self._seed_state = self.next_seed
        # Repeats are our matter: an inactive dimension makes two of its configurations one of ours.
        self._tried_so_far.clear()
        return super().populate_space(trial_id)


class Draws:
    """What is tried without learning from results; a function of space, seed, number and what was taken before."""

    def __init__(
        self, space: SearchSpace, objective: Objective, seed: int, start_from: Sequence[Configuration]
    ) -> None:
        self._space = space
        self._seed = seed
        self._start_from = start_from
        self._translation = Translation(space)
        self._oracle = SeededOracle(**oracle_options(self._translation, objective, seed))
        self._size = space.count()
        self._taken: set[str] = set()

    def is_new(self, values: Configuration) -> bool:
        """Tell whether a configuration has not been taken yet."""
        return identity(dict(values)) not in self._taken

    def take(self, values: Configuration) -> None:
        """Count a configuration as tried."""
        self._taken.add(identity(dict(values)))

    def draw(self, number: int) -> dict[str, Value] | None:
        """Choose the configuration of a trial and take it; None where the space is exhausted."""
        values = self._choose(number)
        if values is not None:
            self.take(values)
        return values

    def exhausted(self) -> Exhausted:
        """Say that nothing is left."""
        return Exhausted(f"space exhausted: all {len(self._taken)} configurations were tried")

    def _choose(self, number: int) -> dict[str, Value] | None:
        for values in self._start_from:
            if self.is_new(values):
                return dict(values)
        if self._size is not None and len(self._taken) >= self._size:
            return None
        for attempt in range(_MOST_COLLISIONS):
            self._oracle.next_seed = derive_seed(self._seed, "proposal", number, attempt)
            values = self._translation.to_ours(self._oracle.populate_space(str(number))["values"])
            if self.is_new(values):
                return values
        return self._choose_from_rest(number)

    def _choose_from_rest(self, number: int) -> dict[str, Value] | None:
        """Choose among the configurations that are left, where nearly all have been tried."""
        if self._size is None or self._size > COUNT_LIMIT:
            raise RuntimeError(f"{_MOST_COLLISIONS} draws in a row repeated a configuration of a space without end")
        rest = [values for values in self._space.enumerate() if self.is_new(values)]
        return random.Random(derive_seed(self._seed, "rest", number)).choice(rest)
