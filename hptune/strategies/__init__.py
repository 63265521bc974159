"""Strategies: the only room that knows keras_tuner. One file a strategy, one register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hptune.objective import Objective
from hptune.quiet import quiet_errors
from hptune.schedule import Bracket
from hptune.space import Configuration, SearchSpace, Value
from hptune.trial import Exhausted, Proposal, Trial, Wait


class AnyStrategy(Protocol):
    """What every strategy of the register can do."""

    @property
    def works_in_batches(self) -> bool:
        """Whether it waits for all results of a batch before it proposes the next one."""

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose up to `count` configurations, or say that results are missing, or that nothing is left."""

    def tell(self, trial: Trial) -> None:
        """Learn what became of a proposal."""

    def recall(self, proposal: Proposal) -> None:
        """Take note of a proposal on record from an earlier session: it is not offered again."""

    def halted(self) -> list[int]:
        """Name the paused trials that will not be continued, each once."""


@dataclass(frozen=True)
class Task:
    """What a strategy is made for.

    Attributes:
        space: What varies.
        objective: The aim.
        seed: Any whole number from 0; equal seeds give equal proposals.
        start_from: Configurations to try first.
        options: The strategy's own, as the experiment names them.
        plan: Hyperband's brackets.
    """

    space: SearchSpace
    objective: Objective
    seed: int
    start_from: Sequence[Configuration] = ()
    options: Mapping[str, Value] = field(default_factory=dict)
    plan: Sequence[Bracket] = ()


# keras_tuner, which imports TensorFlow, is imported when a strategy is made and not before.
def _random(task: Task) -> AnyStrategy:
    from hptune.strategies.draws import Draws
    from hptune.strategies.random import RandomStrategy

    return RandomStrategy(Draws(task.space, task.objective, task.seed, task.start_from), task.seed)


def _grid(task: Task) -> AnyStrategy:
    from hptune.strategies.grid import GridStrategy

    return GridStrategy(task.space, task.objective, task.seed, task.start_from, task.options["points"])


def _bayesian(task: Task) -> AnyStrategy:
    from hptune.strategies.bayesian import BayesianStrategy
    from hptune.strategies.draws import Draws

    draws = Draws(task.space, task.objective, task.seed, task.start_from)
    return BayesianStrategy(task.space, task.objective, task.seed, draws, task.options)


def _hyperband(task: Task) -> AnyStrategy:
    from hptune.strategies.draws import Draws
    from hptune.strategies.hyperband import HyperbandStrategy

    draws = Draws(task.space, task.objective, task.seed, task.start_from)
    max_epochs, factor = task.options["max_epochs"], task.options["factor"]
    return HyperbandStrategy(task.space, task.objective, task.seed, draws, task.plan, max_epochs, factor)


STRATEGIES: dict[str, Callable[[Task], AnyStrategy]] = {
    "random": _random,
    "grid": _grid,
    "bayesian": _bayesian,
    "hyperband": _hyperband,
}


def create_strategy(name: str, task: Task) -> AnyStrategy:
    """Make a strategy of the register."""
    with quiet_errors():
        return STRATEGIES[name](task)
