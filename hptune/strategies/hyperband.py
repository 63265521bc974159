"""Hyperband on KerasTuner's oracle: successive halving in stages that are complete before the next begins.

A stage has the rungs of all brackets of a sweep that end at the same epoch, so that few processors are ever idle.

The oracle decides which trials are promoted; what it would do otherwise than its users think is cured here. A failed
trial is told with the worst score instead of vanishing, so that a bracket keeps its promotions. A stage is told in the
order in which it was proposed, whatever the order of ending, so that equal results give equal promotions. Nothing is
polled, and a bracket begins only if it is on the plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras_tuner

from hptune.objective import Objective
from hptune.schedule import Bracket, Rung, stages
from hptune.space import SearchSpace, Value
from hptune.strategies.draws import Draws
from hptune.strategies.oracles import QuietOracle, Translation, create_trial, end_trial, oracle_options, worst_score
from hptune.trial import Exhausted, Outcome, Proposal, Trial, Wait, derive_seed


class PlannedOracle(QuietOracle, keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's brackets, begun when the plan says so, with configurations that are given to it."""

    next_values: Mapping[str, Any]

    def begin(self, bracket: int) -> None:
        """Begin the one bracket that it has."""
        self._brackets: list[Any] = []
        self._current_bracket = bracket
        self._start_new_bracket()

    def _random_values(self) -> dict[str, Any]:
        """Return the next configuration instead of drawing one."""
        return dict(self.next_values)


@dataclass(frozen=True)
class _Open:
    """A place in the stage under way: of which bracket, the oracle's trial, ours, and the epoch at which it ends."""

    bracket: int
    theirs: Any
    number: int
    until: int


class HyperbandStrategy:
    """Goes through the brackets of a plan, stage by stage."""

    works_in_batches = True

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        seed: int,
        draws: Draws,
        plan: Sequence[Bracket],
        max_epochs: int,
        factor: int,
    ) -> None:
        self._objective = objective
        self._seed = seed
        self._draws = draws
        options = oracle_options(Translation(space), objective, seed)
        # It takes no limit of trials: the plan is the limit.
        del options["max_trials"]
        self._make_oracle = partial(PlannedOracle, max_epochs=max_epochs, factor=factor, **options)
        self._plan = plan
        self._stages = iter(stages(plan))
        # By the place of a bracket in the plan.
        self._oracles: dict[int, PlannedOracle] = {}
        self._recalled: dict[int, Proposal] = {}
        self._values: list[Mapping[str, Value]] = []
        self._results: dict[tuple[int, int], Trial] = {}
        self._numbers: dict[tuple[int, str], int] = {}
        self._open: list[_Open] = []
        self._offered: deque[Proposal] = deque()
        self._halted: list[int] = []

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose the rest of a stage, wait until all of it was told, then open the next one."""
        while not self._offered:
            if any((place.number, place.until) not in self._results for place in self._open):
                return Wait()
            ended = self._tell_stage()
            stage = next(self._stages, [])
            promoted = {number for place, rung in stage for number in self._open_rung(place, rung, ended)}
            self._halted += [place.number for place in ended if place.number not in promoted]
            if not stage:
                return Exhausted("schedule complete: every bracket was run to its end")
        return [self._offered.popleft() for _ in range(min(count, len(self._offered)))]

    def tell(self, trial: Trial) -> None:
        """Learn what a trial reached at the end of a rung."""
        assert trial.proposal.until is not None
        self._results[trial.number, trial.proposal.until] = trial

    def recall(self, proposal: Proposal) -> None:
        """Take a configuration on record when its place in the plan comes."""
        self._draws.take(proposal.values)
        self._recalled[proposal.trial] = proposal

    def halted(self) -> list[int]:
        """Name the paused trials that were not promoted, each once."""
        halted, self._halted = self._halted, []
        return halted

    def _tell_stage(self) -> list[_Open]:
        ended, self._open = self._open, []
        for place in ended:
            score = self._results[place.number, place.until].score
            worst = worst_score(self._objective)
            end_trial(self._oracles[place.bracket], place.theirs, self._objective, worst if score is None else score)
        return ended

    def _open_rung(self, bracket: int, rung: Rung, ended: Sequence[_Open]) -> list[int]:
        """Open the next rung of a bracket; return the trials that go on."""
        if bracket in self._oracles:
            return [self._open_promotion(bracket, rung, ended) for _ in range(rung.configurations)]
        # An oracle each: one would let the brackets that it has overtake each other.
        self._oracles[bracket] = self._make_oracle()
        self._oracles[bracket].begin(self._plan[bracket].number)
        for _ in range(rung.configurations):
            self._open_configuration(bracket, rung)
        return []

    def _open_configuration(self, bracket: int, rung: Rung) -> None:
        number = len(self._values)
        recalled = self._recalled.get(number)
        values = recalled.values if recalled is not None else self._draws.draw(number)
        assert values is not None, "the plan has no more configurations than the space"
        self._values.append(values)
        # The oracle needs something to hold; it never looks at it.
        oracle = self._oracles[bracket]
        oracle.next_values = {"number": number}
        theirs = create_trial(oracle, str(number))
        self._numbers[bracket, theirs.trial_id] = number
        self._open.append(_Open(bracket, theirs, number, rung.last_epoch))
        if recalled is None:
            self._offered.append(self._proposal(number, rung))

    def _open_promotion(self, bracket: int, rung: Rung, ended: Sequence[_Open]) -> int:
        theirs = create_trial(self._oracles[bracket], f"promotion-{len(self._open)}")
        number = self._numbers[bracket, theirs.hyperparameters.values["tuner/trial_id"]]
        self._numbers[bracket, theirs.trial_id] = number
        self._open.append(_Open(bracket, theirs, number, rung.last_epoch))
        before = self._results[number, next(place.until for place in ended if place.number == number)]
        if before.outcome is not Outcome.PAUSED:
            # It has stopped early, or failed: more epochs would not change it.
            self._results[number, rung.last_epoch] = before
        if (number, rung.last_epoch) not in self._results:
            self._offered.append(self._proposal(number, rung))
        return number

    def _proposal(self, number: int, rung: Rung) -> Proposal:
        seed = derive_seed(self._seed, "trial", number)
        return Proposal(number, self._values[number], seed, until=rung.last_epoch)
