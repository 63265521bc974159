"""Random search on KerasTuner's oracle: a proposal depends on space, seed, number and the proposals before it."""

from __future__ import annotations

import random
from typing import Any

import keras_tuner

from hptune.objective import Objective
from hptune.space import COUNT_LIMIT, SearchSpace, Value, identity
from hptune.strategies.oracles import QuietOracle, Translation, create_trial, end_trial, oracle_options
from hptune.trial import Exhausted, Proposal, Trial, derive_seed

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


class RandomStrategy:
    """Draws configurations, none twice, until the space is exhausted."""

    def __init__(self, space: SearchSpace, objective: Objective, seed: int) -> None:
        self._space = space
        self._objective = objective
        self._seed = seed
        self._translation = Translation(space)
        self._oracle = SeededOracle(**oracle_options(self._translation, objective, seed))
        self._size = space.count()
        self._tried: set[str] = set()
        self._asked: dict[int, Any] = {}
        self._remaining: list[dict[str, Value]] | None = None

    def ask(self, count: int) -> list[Proposal] | Exhausted:
        """Propose `count` configurations, or fewer at the end of a finite space."""
        proposals: list[Proposal] = []
        while len(proposals) < count:
            values = self._draw(len(self._tried))
            if values is None:
                break
            number = len(self._tried)
            self._tried.add(identity(values))
            proposals.append(Proposal(number, values, derive_seed(self._seed, "trial", number)))
        if proposals:
            return proposals
        return Exhausted(f"space exhausted: all {self._size} configurations were tried")

    def tell(self, trial: Trial) -> None:
        """Pass the result on to the oracle; random draws do not depend on it."""
        theirs = self._asked.pop(trial.number, None)
        if theirs is not None:
            end_trial(self._oracle, theirs, self._objective, trial.score)

    def recall(self, proposal: Proposal) -> None:
        """Count a configuration as tried."""
        self._tried.add(identity(dict(proposal.values)))

    def _draw(self, number: int) -> dict[str, Value] | None:
        if self._size is not None and number >= self._size:
            return None
        for attempt in range(_MOST_COLLISIONS):
            self._oracle.next_seed = derive_seed(self._seed, "proposal", number, attempt)
            theirs = create_trial(self._oracle, f"{number}-{attempt}")
            values = self._translation.to_ours(theirs.hyperparameters.values)
            if identity(values) not in self._tried:
                self._asked[number] = theirs
                return values
            end_trial(self._oracle, theirs, self._objective, None)
        return self._draw_from_rest(number)

    def _draw_from_rest(self, number: int) -> dict[str, Value] | None:
        """Choose among the configurations that are left, where nearly all have been tried."""
        if self._size is None or self._size > COUNT_LIMIT:
            raise RuntimeError(f"{_MOST_COLLISIONS} draws in a row repeated a configuration of a space without end")
        rest = [values for values in self._space.enumerate() if identity(values) not in self._tried]
        return random.Random(derive_seed(self._seed, "rest", number)).choice(rest)
