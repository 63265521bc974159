"""Strategies: the only room that knows keras_tuner. One file a strategy, one register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from hptune.objective import Objective
from hptune.quiet import quiet_errors
from hptune.space import SearchSpace, Value
from hptune.trial import Exhausted, Proposal, Trial


class AnyStrategy(Protocol):
    """What every strategy of the register can do."""

    def ask(self, count: int) -> list[Proposal] | Exhausted:
        """Propose up to `count` configurations, or say that nothing is left."""

    def tell(self, trial: Trial) -> None:
        """Learn what became of a proposal."""

    def recall(self, proposal: Proposal) -> None:
        """Take note of a proposal on record from an earlier session: it is not offered again."""


def _random(space: SearchSpace, objective: Objective, seed: int, options: Mapping[str, Value]) -> AnyStrategy:
    from hptune.strategies.random import RandomStrategy

    del options
    return RandomStrategy(space, objective, seed)


def _grid(space: SearchSpace, objective: Objective, seed: int, options: Mapping[str, Value]) -> AnyStrategy:
    from hptune.strategies.grid import GridStrategy

    return GridStrategy(space, objective, seed, options.get("points"))


# keras_tuner, which imports TensorFlow, is imported when a strategy is made and not before.
STRATEGIES: dict[str, Callable[[SearchSpace, Objective, int, Mapping[str, Value]], AnyStrategy]] = {
    "random": _random,
    "grid": _grid,
}


def create_strategy(
    name: str, options: Mapping[str, Value], space: SearchSpace, objective: Objective, seed: int
) -> AnyStrategy:
    """Make a strategy of the register.

    Args:
        name: In the register.
        options: Its own options.
        space: What varies.
        objective: The aim.
        seed: Any whole number from 0; equal seeds give equal proposals.
    """
    with quiet_errors():
        return STRATEGIES[name](space, objective, seed, options)
