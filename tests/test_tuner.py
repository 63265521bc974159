"""The loop, with a strategy that reads a list and a trainer that squares a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from hptune.budget import Budget
from hptune.objective import Objective
from hptune.trial import Exhausted, Outcome, Proposal, Trial, Tries, Wait
from hptune.tuner import BUDGET_USED, INTERRUPTED, TIME_USED, Past, Slots, Tuner

SQUARE = Objective("mse", "max")


def proposal(number: int) -> Proposal:
    return Proposal(number, {"x": number}, seed=number + 1)


@dataclass
class ListStrategy:
    """Proposes 0, 1, 2, ... up to a limit."""

    limit: int = 1000
    told: list[int] = field(default_factory=list)
    next: int = 0
    waits: bool = False
    works_in_batches: bool = False

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        if self.waits and self.next > len(self.told):
            return Wait()
        if self.next >= self.limit:
            return Exhausted("space exhausted: all 3 configurations were tried")
        self.next += 1
        return [proposal(self.next - 1)]

    def tell(self, trial: Trial) -> None:
        self.told.append(trial.number)

    def recall(self, proposal: Proposal) -> None:
        self.next = max(self.next, proposal.trial + 1)

    def halted(self) -> list[int]:
        return []


@dataclass
class SquaringTrainer:
    """Squares x; fails as often as told; stops after so many trials."""

    log: list[str]
    failures: dict[int, list[Outcome]] = field(default_factory=dict)
    stop_after: int | None = None
    trained: int = 0

    def is_stopping(self) -> bool:
        return self.stop_after is not None and self.trained >= self.stop_after

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], bool]) -> Iterator[Trial]:
        for given in proposals:
            starting(given, 0)
            if self.is_stopping():
                yield Trial(given, Outcome.INTERRUPTED)
                return
            self.trained += 1
            self.log.append(f"train {given.trial}")
            waiting = self.failures.get(given.trial)
            outcome = waiting.pop(0) if waiting else Outcome.COMPLETED
            score = float(given.values["x"] ** 2) if outcome is Outcome.COMPLETED else None
            yield Trial(given, outcome, score=score)


@dataclass
class LogRecorder:
    log: list[str]
    ended: list[Trial] = field(default_factory=list)
    reason: str = ""

    def propose(self, proposal: Proposal) -> None:
        self.log.append(f"propose {proposal.trial}")

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        self.log.append(f"start {proposal.trial} attempt {attempt}")

    def end(self, trial: Trial) -> None:
        self.log.append(f"end {trial.number} {trial.outcome.value}")
        self.ended.append(trial)

    def pause(self, trial: Trial) -> None:
        self.log.append(f"pause {trial.number}")

    def stop(self, reason: str, through: int | None) -> None:
        self.reason = reason


@dataclass
class LogObserver:
    log: list[str]

    def started(self, proposal: Proposal, worker: int) -> None:
        self.log.append(f"show start {proposal.trial}")

    def epoch(self, trial: int, epoch: int, score: float) -> None: ...

    def filled(self, slots: Slots) -> None: ...

    def finished(self, trial: Trial) -> None:
        self.log.append(f"show end {trial.number}")


def run(
    strategy: ListStrategy,
    budget: Budget,
    past: Past | None = None,
    failures: dict[int, list[Outcome]] | None = None,
    stop_after: int | None = None,
    is_time_used: Callable[[], bool] = lambda: False,
) -> tuple[str, LogRecorder, SquaringTrainer]:
    log: list[str] = []
    recorder = LogRecorder(log)
    trainer = SquaringTrainer(log, failures or {}, stop_after)
    tuner = Tuner(strategy, recorder, LogObserver(log), SQUARE, budget, past or Past())
    return tuner.run(trainer, trainer.is_stopping, is_time_used), recorder, trainer


def test_each_step_is_recorded_before_it_is_taken_and_told_before_it_is_shown() -> None:
    strategy = ListStrategy()

    reason, recorder, _ = run(strategy, Budget(max_trials=1))

    assert recorder.log == [
        "propose 0",
        "start 0 attempt 1",
        "show start 0",
        "train 0",
        "end 0 completed",
        "show end 0",
    ]
    assert reason == recorder.reason == BUDGET_USED
    assert strategy.told == [0]


def test_the_budget_counts_configurations() -> None:
    _, recorder, _ = run(ListStrategy(), Budget(max_trials=5))

    assert [(trial.number, trial.score) for trial in recorder.ended] == [
        (0, 0.0),
        (1, 1.0),
        (2, 4.0),
        (3, 9.0),
        (4, 16.0),
    ]


def test_an_exhausted_strategy_ends_the_search_with_its_reason() -> None:
    reason, recorder, _ = run(ListStrategy(limit=3), Budget(max_trials=None))

    assert reason == "space exhausted: all 3 configurations were tried"
    assert len(recorder.ended) == 3


def test_a_crash_is_tried_again_until_the_attempts_are_used() -> None:
    crashed = Outcome.CRASHED
    strategy = ListStrategy()

    _, recorder, _ = run(strategy, Budget(max_trials=2, max_attempts=2), failures={0: [crashed], 1: [crashed, crashed]})

    assert {(trial.number, trial.attempt, trial.outcome) for trial in recorder.ended} == {
        (0, 1, crashed),
        (0, 2, Outcome.COMPLETED),
        (1, 1, crashed),
        (1, 2, crashed),
    }
    assert sorted(strategy.told) == [0, 1]


def test_attempts_that_an_interruption_has_ended_leave_a_crash_its_second_chance() -> None:
    past = Past((proposal(0),), tries=(((0, ""), Tries(begun=7)),))

    _, recorder, _ = run(ListStrategy(), Budget(max_trials=1), past, failures={0: [Outcome.CRASHED]})

    assert [(trial.attempt, trial.failures, trial.outcome) for trial in recorder.ended] == [
        (8, 1, Outcome.CRASHED),
        (9, 1, Outcome.COMPLETED),
    ]


def test_what_lies_in_the_configuration_is_not_tried_again() -> None:
    _, recorder, _ = run(ListStrategy(), Budget(max_trials=1, max_attempts=5), failures={0: [Outcome.DIVERGED]})

    assert [trial.outcome for trial in recorder.ended] == [Outcome.DIVERGED]


def test_failures_in_a_row_do_not_end_the_search() -> None:
    failures = {number: [Outcome.INFEASIBLE] for number in range(8)}

    reason, recorder, _ = run(ListStrategy(), Budget(max_trials=10), failures=failures)

    assert reason == BUDGET_USED
    assert [trial.outcome for trial in recorder.ended[8:]] == [Outcome.COMPLETED, Outcome.COMPLETED]


def test_a_strategy_that_waits_is_asked_again_once_a_trial_has_been_told() -> None:
    strategy = ListStrategy(waits=True)

    run(strategy, Budget(max_trials=4))

    assert strategy.told == [0, 1, 2, 3]


def test_a_strategy_that_waits_for_nothing_is_a_fault_of_ours() -> None:
    strategy = ListStrategy(waits=True, next=3)

    with pytest.raises(RuntimeError, match="waits for trials, but none is under way"):
        run(strategy, Budget(max_trials=4))


def test_an_interruption_is_recorded_and_not_told() -> None:
    strategy = ListStrategy()

    reason, recorder, _ = run(strategy, Budget(max_trials=5), stop_after=2)

    assert reason == recorder.reason == INTERRUPTED
    assert recorder.log[-2:] == ["end 2 interrupted", "show end 2"]
    assert strategy.told == [0, 1]


@pytest.mark.parametrize("stop_after", range(6))
def test_a_resumed_search_ends_as_the_undisturbed_one(stop_after: int) -> None:
    _, undisturbed, _ = run(ListStrategy(), Budget(max_trials=5))
    _, first, _ = run(ListStrategy(), Budget(max_trials=5), stop_after=stop_after)
    proposed = tuple(proposal(number) for number in range(sum(line.startswith("propose") for line in first.log)))
    finished = tuple(trial for trial in first.ended if trial.outcome is Outcome.COMPLETED)
    past = Past(
        proposed,
        finished,
        frozenset(trial.number for trial in finished),
        tuple((trial.number, trial.attempt) for trial in first.ended),
    )
    strategy = ListStrategy()

    _, second, _ = run(strategy, Budget(max_trials=5), past)

    scores = sorted((trial.number, trial.score) for trial in (*finished, *second.ended))
    assert scores == [(trial.number, trial.score) for trial in undisturbed.ended]
    assert sorted(strategy.told) == [0, 1, 2, 3, 4]


def test_a_target_ends_the_search_and_names_the_trial() -> None:
    reason, recorder, _ = run(ListStrategy(), Budget(max_trials=100, target=20.0))

    assert reason == recorder.reason == "target reached: mse 25 in trial 5"
    assert len(recorder.ended) == 6


def test_failures_end_the_search_once_there_are_too_many() -> None:
    failures = {number: [Outcome.DIVERGED] for number in (1, 3, 4)}

    reason, recorder, _ = run(ListStrategy(), Budget(max_trials=100, max_failures=3), failures=failures)

    assert reason == "too many failures: 3 trials failed"
    assert len(recorder.ended) == 5


def test_used_time_ends_the_search_with_success() -> None:
    used = iter([False] * 7 + [True] * 9)

    reason, recorder, _ = run(ListStrategy(), Budget(max_trials=100), is_time_used=lambda: next(used))

    assert reason == TIME_USED
    assert 1 <= len(recorder.ended) <= 7
