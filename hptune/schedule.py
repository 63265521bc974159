"""Hyperband's schedule: how many configurations are trained for how many epochs, known before anything runs.

The numbers are KerasTuner's own, to the last one; what differs is that a bracket begins only if the budget and the
space have room for all of it. Nothing here needs a library, so that `check` can print it at once.

Reference:
    Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", 2018, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """So many configurations, each trained from its first to its last epoch, both from 1 and included."""

    configurations: int
    first_epoch: int
    last_epoch: int

    @property
    def epochs(self) -> int:
        """Epochs of all its configurations, where none of them stops early."""
        return self.configurations * (self.last_epoch - self.first_epoch + 1)


@dataclass(frozen=True)
class Bracket:
    """Successive halving from one number of configurations: the best of each rung go on to the next."""

    number: int
    rungs: tuple[Rung, ...]

    @property
    def configurations(self) -> int:
        """How many new configurations it tries."""
        return self.rungs[0].configurations

    @property
    def epochs(self) -> int:
        """Epochs of all its rungs, where no trial stops early."""
        return sum(rung.epochs for rung in self.rungs)


def plan_brackets(max_epochs: int, factor: int, iterations: int, most: int | None) -> tuple[Bracket, ...]:
    """Plan a search: the most aggressive bracket first, as often as there are iterations.

    Args:
        max_epochs: The most that one configuration is trained for.
        factor: One in so many configurations of a rung goes on to the next, for so many times the epochs.
        iterations: How often all brackets are gone through.
        most: Configurations that may be tried at all; a bracket that needs more than are left is passed over.

    >>> [bracket.configurations for bracket in plan_brackets(9, 3, 1, None)]
    [9, 5, 3]
    >>> [bracket.configurations for bracket in plan_brackets(9, 3, 1, 10)]
    [9]
    """
    numbers = range(count_brackets(max_epochs, factor))
    all_brackets = [_make_bracket(number, max_epochs, factor) for number in reversed(numbers)]
    left = math.inf if most is None else most
    planned = []
    for bracket in all_brackets * iterations:
        if bracket.configurations <= left:
            planned.append(bracket)
            left -= bracket.configurations
    return tuple(planned)


def stages(brackets: Sequence[Bracket]) -> list[list[tuple[int, Rung]]]:
    """Group the rungs of a plan by what may be trained at one time: those of a sweep that end at the same epoch.

    Brackets know nothing of each other, and a rung alone leaves processors idle: the last one of a bracket has one or
    two configurations.

    Returns:
        Rungs, each with the place of its bracket in the plan; first rungs stand in the order of the plan.

    >>> [[(place, rung.last_epoch) for place, rung in stage] for stage in stages(plan_brackets(9, 3, 1, None))]
    [[(0, 1)], [(0, 3), (1, 3)], [(0, 9), (1, 9), (2, 9)]]
    """
    grouped: dict[tuple[int, int], list[tuple[int, Rung]]] = {}
    sweep = 0
    for place, bracket in enumerate(brackets):
        if place and bracket.number >= brackets[place - 1].number:
            sweep += 1
        for index, rung in enumerate(bracket.rungs):
            grouped.setdefault((sweep, index - bracket.number), []).append((place, rung))
    return [grouped[key] for key in sorted(grouped)]


def smallest_bracket(max_epochs: int, factor: int) -> int:
    """Return the fewest configurations that any bracket needs."""
    return min(rungs_size(number, 0, max_epochs, factor) for number in range(count_brackets(max_epochs, factor)))


def count_brackets(max_epochs: int, factor: int) -> int:
    """Count how often the epochs can be divided before less than one is left."""
    count, epochs = 0, float(max_epochs)
    while epochs >= 1:
        epochs /= factor
        count += 1
    return count


def rungs_size(bracket: int, rung: int, max_epochs: int, factor: int) -> int:
    """Count the configurations of a rung, such that each bracket takes about the same number of epochs."""
    last = math.ceil(1 + math.log(max_epochs, factor)) / (bracket + 1)
    return math.ceil(last * float(factor) ** (bracket - rung))


def rungs_epochs(bracket: int, rung: int, max_epochs: int, factor: int) -> int:
    """Return the epoch at which a rung ends."""
    return math.ceil(max_epochs / float(factor) ** (bracket - rung))


def _make_bracket(number: int, max_epochs: int, factor: int) -> Bracket:
    ends = [rungs_epochs(number, rung, max_epochs, factor) for rung in range(number + 1)]
    sizes = [rungs_size(number, rung, max_epochs, factor) for rung in range(number + 1)]
    firsts = [1, *(end + 1 for end in ends)]
    return Bracket(number, tuple(Rung(*rung) for rung in zip(sizes, firsts[:-1], ends, strict=True)))
