"""Grid search on KerasTuner's oracle: every configuration once, in an order that is a function of the space alone."""

from __future__ import annotations

from collections.abc import Sequence

import keras_tuner

from hptune.objective import Objective
from hptune.space import Configuration, SearchSpace, Value, identity
from hptune.strategies.oracles import QuietOracle, Translation, create_trial, end_trial, oracle_options
from hptune.trial import Exhausted, Proposal, Trial, derive_seed


class GridOracle(QuietOracle, keras_tuner.oracles.GridSearchOracle):
    """KerasTuner's enumeration of combinations, without files."""


class GridStrategy:
    """Walks the grid.

    The oracle lets the order of ending decide what comes next, and forgets its queue when it is stopped. A grid learns
    nothing from results, so each of its trials is ended inside the oracle as soon as it is made: the order is always
    the same, any number can be asked for at once, and a resumed walk skips what is on record.
    """

    works_in_batches = False

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        seed: int,
        start_from: Sequence[Configuration],
        points: int | None,
    ) -> None:
        self._objective = objective
        self._seed = seed
        self._start_from = start_from
        self._translation = Translation(space, is_grid=True, points=points)
        self._oracle = GridOracle(**oracle_options(self._translation, objective, seed))
        self._taken: set[str] = set()
        self._count = 0

    def ask(self, count: int) -> list[Proposal] | Exhausted:
        """Propose the next `count` configurations, or fewer at the end."""
        proposals: list[Proposal] = []
        while len(proposals) < count and (values := self._next()) is not None:
            proposals.append(Proposal(self._count, values, derive_seed(self._seed, "trial", self._count)))
            self._count += 1
        return proposals or Exhausted(f"space exhausted: all {self._count} configurations were tried")

    def tell(self, trial: Trial) -> None:
        """Learn nothing: a grid does not depend on results."""

    def recall(self, proposal: Proposal) -> None:
        """Skip a configuration when the walk comes to it."""
        self._taken.add(identity(dict(proposal.values)))
        self._count += 1

    def halted(self) -> list[int]:
        """Name no trial: none is ever paused."""
        return []

    def _next(self) -> dict[str, Value] | None:
        for start in self._start_from:
            if (key := identity(dict(start))) not in self._taken:
                self._taken.add(key)
                return dict(start)
        while True:
            theirs = create_trial(self._oracle, "walk")
            if theirs.status != "RUNNING":
                return None
            end_trial(self._oracle, theirs, self._objective, 0.0)
            values = self._translation.to_ours(theirs.hyperparameters.values)
            key = identity(values)
            # Two of keras_tuner's combinations may be one of ours, where an inactive value was projected out.
            if key not in self._taken:
                self._taken.add(key)
                return values
