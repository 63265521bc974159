"""Random search on KerasTuner's oracle: a proposal depends on space, seed, number and the proposals before it."""

from __future__ import annotations

from hptune.strategies.draws import Draws
from hptune.trial import Exhausted, Proposal, Trial, derive_seed


class RandomStrategy:
    """Draws configurations, none twice, until the space is exhausted."""

    works_in_batches = False

    def __init__(self, draws: Draws, seed: int) -> None:
        self._draws = draws
        self._seed = seed
        self._count = 0

    def ask(self, count: int) -> list[Proposal] | Exhausted:
        """Propose `count` configurations, or fewer at the end of a finite space."""
        proposals: list[Proposal] = []
        while len(proposals) < count and (values := self._draws.draw(self._count)) is not None:
            proposals.append(Proposal(self._count, values, derive_seed(self._seed, "trial", self._count)))
            self._count += 1
        return proposals or self._draws.exhausted()

    def tell(self, trial: Trial) -> None:
        """Learn nothing: random draws do not depend on results."""

    def recall(self, proposal: Proposal) -> None:
        """Count a configuration as tried."""
        self._draws.take(proposal.values)
        self._count += 1

    def halted(self) -> list[int]:
        """Name no trial: none is ever paused."""
        return []
