"""Proposals that wait for a worker, by what they have in common, and how they are shared out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence, Sized
from dataclasses import dataclass, replace

from hptune.trial import Proposal


@dataclass(frozen=True)
class Kind:
    """What a proposal has in common with others.

    Attributes:
        structure: Trials of equal structure may be trained side by side.
        trace: Trials of equal trace need only be traced once.
        capacity: How many may be trained side by side.
    """

    structure: str = ""
    trace: str = ""
    capacity: int = 1


class Queue:
    """Proposals that wait, by structure, in the order in which they came."""

    def __init__(self, kind_of: Callable[[Proposal], Kind]) -> None:
        self._kind_of = kind_of
        self._waiting: dict[str, deque[Proposal]] = {}
        self.kinds: dict[str, Kind] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, proposal: Proposal) -> None:
        """Put a proposal with its like."""
        kind = self._kind_of(proposal)
        known = self.kinds.setdefault(kind.structure, kind)
        self._waiting.setdefault(known.structure, deque()).append(proposal)

    def halve(self, structure: str, tried: int) -> None:
        """Let half as many trials of a structure be trained side by side as were tried; two may find that at once."""
        kind = self.kinds[structure]
        self.kinds[structure] = replace(kind, capacity=max(min(kind.capacity, tried // 2), 1))

    def count(self, structure: str) -> int:
        """Count those of a structure."""
        return len(self._waiting.get(structure, ()))

    def choose(self, own: Container[str], elsewhere: Container[str], taken: Container[str]) -> str | None:
        """Choose the structure for a free worker, if any waits; as `choose_structure`."""
        if not self._waiting:
            return None

        return choose_structure(self._waiting, lambda structure: self.kinds[structure].trace, own, elsewhere, taken)

    def take(self, structure: str) -> Proposal:
        """Take the first of a structure."""
        proposals = self._waiting[structure]
        proposal = proposals.popleft()
        if not proposals:
            del self._waiting[structure]
        return proposal


def choose_structure(
    waiting: Mapping[str, Sized],
    trace_of: Callable[[str], str],
    own: Container[str],
    elsewhere: Container[str],
    taken: Container[str],
) -> str:
    """Choose the structure for a free worker: nobody works on it, it suits the worker's traces, it has the most.

    Args:
        waiting: Trials by structure, at least one.
        trace_of: Tells the trace of a structure.
        own: Traces that the worker has: these suit it best, and then those that nobody has.
        elsewhere: Traces that others have.
        taken: Structures that somebody works on.
    """

    def rank(structure: str) -> tuple[bool, bool, bool, int]:
        trace = trace_of(structure)
        return structure not in taken, trace in own, trace not in elsewhere, len(waiting[structure])

    # The first of equals, so that the choice does not depend on hashes.
    return max(waiting, key=rank)


def fair_share(own: float, others: Sequence[float], waiting: int) -> int:
    """Count the waiting trials that a worker takes, so that all who could take some end together.

    Who is nearly done counts as nearly free: else the first to be done would take all that is left.

    Args:
        own: The work that it has left, in trials.
        others: The work that is left to those who could take some as well.
        waiting: How many wait.

    >>> fair_share(0.0, [0.0], 32), fair_share(0.0, [1.6], 32), fair_share(17.0, [1.6], 15), fair_share(0.0, [9.0], 1)
    (16, 17, 0, 1)
    """
    share = (own + sum(others) + waiting) / (1 + len(others))
    return min(max(math.ceil(share - own), 0), waiting)
