"""The loop: ask, record, train, record, tell, show. It speaks to protocols and knows no library.

The order is the one delicate thing: **record durably, then tell, then show**. A crash after any step loses nothing,
because whatever was told or shown can be read back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from hptune.objective import Objective
from hptune.trial import Exhausted, Outcome, Proposal, Trial, Wait


class Strategy(Protocol):
    """Who proposes."""

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose up to `count` configurations."""

    def tell(self, trial: Trial) -> None:
        """Learn what became of a proposal."""

    def recall(self, proposal: Proposal) -> None:
        """Take note of a proposal on record from an earlier session: it must not be offered again."""


class Trainer(Protocol):
    """Who trains."""

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], None]) -> Iterator[Trial]:
        """Train proposals, pulling the next when a worker is free, and yield trials as they end.

        Args:
            proposals: What to train.
            starting: Called with the proposal and the worker's number; it returns once the attempt is on record, and
                only then may training begin.
        """


class Recorder(Protocol):
    """Who remembers; each call returns when the record is durable."""

    def propose(self, proposal: Proposal) -> None:
        """Record a proposal."""

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        """Record that an attempt begins."""

    def end(self, trial: Trial) -> None:
        """Record how an attempt ended."""

    def stop(self, reason: str) -> None:
        """Record why the search ended."""


class Observer(Protocol):
    """Who watches; nothing depends on it."""

    def started(self, proposal: Proposal, worker: int) -> None:
        """An attempt has begun."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """An epoch of a trial has ended."""

    def finished(self, trial: Trial) -> None:
        """An attempt has ended and is on record."""


class MakeObserver(Protocol):
    """Makes the observer of a search, which is entered while trials are trained."""

    def __call__(
        self, objective: Objective, total: int | None, finished: Sequence[Trial]
    ) -> AbstractContextManager[Observer]:
        """Make it.

        Args:
            objective: By which the best trial is chosen.
            total: Trials to come to in all; None where that is not known.
            finished: Trials of earlier sessions.
        """


@dataclass(frozen=True)
class Budget:
    """The limits of a search: at most so many configurations (None: as many as the strategy has) and attempts."""

    max_trials: int | None
    max_attempts: int = 2


@dataclass(frozen=True)
class Past:
    """What an earlier session left on record.

    Attributes:
        proposals: In the order of proposing.
        finished: Trials that need no further attempt, in the order of ending.
        attempts: How often each trial was begun.
    """

    proposals: tuple[Proposal, ...] = ()
    finished: tuple[Trial, ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()


BUDGET_USED = "budget used"
INTERRUPTED = "interrupted"


class Tuner:
    """One session of a search, from what is on record to the end of the budget."""

    def __init__(self, strategy: Strategy, recorder: Recorder, observer: Observer, budget: Budget, past: Past) -> None:
        self._strategy = strategy
        self._recorder = recorder
        self._observer = observer
        self._budget = budget
        self._attempts = dict(past.attempts)
        self._proposed = len(past.proposals)
        self._exhausted: str | None = None
        done = {trial.number for trial in past.finished}
        self._queue = deque(proposal for proposal in past.proposals if proposal.trial not in done)
        for proposal in past.proposals:
            strategy.recall(proposal)
        for trial in past.finished:
            strategy.tell(trial)

    def run(self, trainer: Trainer, is_stopping: Callable[[], bool]) -> str:
        """Search until the budget is used, nothing is left to propose, or somebody wants it to stop.

        Args:
            trainer: Who trains.
            is_stopping: True once the search shall stop; the trainer watches it too.

        Returns:
            Why it ended, as recorded.
        """
        while True:
            trained = 0
            for trial in trainer.train(self._proposals(), self._starting):
                trained += 1
                self._ended(trial)
            if is_stopping():
                return self._stop(INTERRUPTED)
            if not self._queue and not self._has_more():
                return self._stop(self._exhausted or BUDGET_USED)
            if not trained and not self._queue:
                raise RuntimeError("the strategy waits for trials, but none is under way")

    def _proposals(self) -> Iterator[Proposal]:
        """Yield what is to be tried again first, then what the strategy proposes, recording it before it is used."""
        while True:
            if self._queue:
                yield self._queue.popleft()
                continue
            if not self._has_more():
                return
            answer = self._strategy.ask(1)
            if isinstance(answer, Wait):
                return
            if isinstance(answer, Exhausted):
                self._exhausted = answer.reason
                return
            for proposal in answer:
                self._recorder.propose(proposal)
                self._proposed += 1
                self._queue.append(proposal)

    def _has_more(self) -> bool:
        limit = self._budget.max_trials
        return self._exhausted is None and (limit is None or self._proposed < limit)

    def _starting(self, proposal: Proposal, worker: int) -> None:
        attempt = self._attempts.get(proposal.trial, 0) + 1
        self._attempts[proposal.trial] = attempt
        self._recorder.start(proposal, attempt, worker)
        self._observer.started(proposal, worker)

    def _ended(self, trial: Trial) -> None:
        """Record, tell, show."""
        trial = replace(trial, attempt=self._attempts[trial.number])
        self._recorder.end(trial)
        if trial.outcome is Outcome.INTERRUPTED:
            pass  # A resumed search tries it again; the strategy still waits for it.
        elif trial.outcome.may_be_tried_again and trial.attempt < self._budget.max_attempts:
            self._queue.append(trial.proposal)
        else:
            self._strategy.tell(trial)
        self._observer.finished(trial)

    def _stop(self, reason: str) -> str:
        self._recorder.stop(reason)
        return reason
