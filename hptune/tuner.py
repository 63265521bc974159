"""The loop: ask, record, train, record, tell, show. It speaks to protocols and knows no library.

The order is the one delicate thing: **record durably, then tell, then show**. A crash after any step loses nothing,
because whatever was told or shown can be read back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from hptune.budget import Budget
from hptune.objective import Objective
from hptune.parts import Parts
from hptune.trial import Exhausted, Key, Outcome, Proposal, Trial, Tries, Wait


class Strategy(Protocol):
    """Who proposes."""

    @property
    def works_in_batches(self) -> bool:
        """Whether it waits for all results of a batch before it proposes the next one."""

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose up to `count` configurations, or that paused trials go on; of no more than one batch."""

    def tell(self, trial: Trial) -> None:
        """Learn what became of a proposal."""

    def recall(self, proposal: Proposal) -> None:
        """Take note of a proposal on record from an earlier session: it must not be offered again."""

    def halted(self) -> list[int]:
        """Name the paused trials that will not go on, each once."""


class Trainer(Protocol):
    """Who trains."""

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], bool]) -> Iterator[Trial]:
        """Train proposals, in whatever order suits, and yield trials as they end.

        Args:
            proposals: What to train.
            starting: Called with the proposal and the worker's number; it returns once the attempt is on record, and
                only then may training begin. False where the search has come to its end before that trial.
        """


class Recorder(Protocol):
    """Who remembers; each call returns when the record is durable."""

    def propose(self, proposal: Proposal) -> None:
        """Record a proposal."""

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        """Record that an attempt begins."""

    def pause(self, trial: Trial) -> None:
        """Record how far a trial came before it paused."""

    def end(self, trial: Trial) -> None:
        """Record how an attempt ended."""

    def stop(self, reason: str, through: int | None) -> None:
        """Record why the search ended, and the last trial that counts where not all do."""


@dataclass(frozen=True)
class Slots:
    """How full the workers are at a moment.

    Attributes:
        taken: Trials, or parts of trials, that are being trained.
        total: How many the workers that train have room for.
        workers: How many of them train.
    """

    taken: int = 0
    total: int = 0
    workers: int = 0


class Watcher(Protocol):
    """Who watches training; nothing depends on it."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """An epoch of a trial has ended."""

    def filled(self, slots: Slots) -> None:
        """Trials have been given to workers, or have left them."""


class Observer(Watcher, Protocol):
    """Who watches a search; nothing depends on it."""

    def started(self, proposal: Proposal, worker: int) -> None:
        """An attempt has begun."""

    def finished(self, trial: Trial) -> None:
        """An attempt has ended and is on record."""


class Silence:
    """An observer that looks away."""

    def started(self, proposal: Proposal, worker: int) -> None:
        """Say nothing."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Say nothing."""

    def filled(self, slots: Slots) -> None:
        """Say nothing."""

    def finished(self, trial: Trial) -> None:
        """Say nothing."""


class MakeObserver(Protocol):
    """Makes the observer of a search, which is entered while trials are trained."""

    def __call__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> AbstractContextManager[Observer]:
        """Make it.

        Args:
            objective: By which the best trial is chosen.
            plan: How much there is to do.
            finished: Trials of earlier sessions.
        """


@dataclass(frozen=True)
class Plan:
    """How much a search has to do in all.

    Attributes:
        words: What will run, for people.
        trials: Configurations; None where that is not known.
        epochs: Of all trials, where a schedule says how many.
        trial_epochs: Of a trial that does not stop early, where that is the same for all; all its parts together.
        seconds: Until the time is used; None without limit.
    """

    words: str = ""
    trials: int | None = None
    epochs: int | None = None
    trial_epochs: int | None = None
    seconds: float | None = None


def watch_in_silence(objective: Objective, plan: Plan, finished: Sequence[Trial]) -> AbstractContextManager[Observer]:
    """Make an observer that shows nothing."""
    del objective, plan, finished
    return nullcontext(Silence())


@dataclass(frozen=True)
class Past:
    """What an earlier session left on record.

    Attributes:
        proposals: In the order of proposing.
        results: What the strategy was told, in that order: every pause, and every end that training came to.
        finished: Trials that need no further attempt and will not go on.
        tries: The attempts at each trial or part since it last paused.
    """

    proposals: tuple[Proposal, ...] = ()
    results: tuple[Trial, ...] = ()
    finished: frozenset[int] = frozenset()
    tries: tuple[tuple[Key, Tries], ...] = ()


BUDGET_USED = "budget used"
TIME_USED = "time used"
INTERRUPTED = "interrupted"
# How many are asked for where nothing limits them.
_ANY = 2**62


class Tuner:
    """One session of a search, from what is on record to the end of the budget.

    A target or a limit of failures ends the search at a trial that does not depend on the number of workers: where
    proposals run free, at the first trial in the order of their numbers, and later ones do not count; where they come
    in batches, at the end of a batch.
    """

    def __init__(
        self,
        strategy: Strategy,
        recorder: Recorder,
        observer: Observer,
        objective: Objective,
        budget: Budget,
        past: Past,
        parts: Parts | None = None,
    ) -> None:
        self._parts = parts or Parts()
        self._strategy = strategy
        self._recorder = recorder
        self._observer = observer
        self._objective = objective
        self._budget = budget
        self._tries = dict(past.tries)
        self._proposed = len(past.proposals)
        self._exhausted: str | None = None
        # Ends and pauses of this round.
        self._recorded = 0
        self._is_time_used: Callable[[], bool] = lambda: False
        self._finished = set(past.finished)
        # The last result of every trial that has one.
        self._results = {trial.number: trial for trial in past.results}
        # Free proposals are looked at in the order of their numbers; those before this one have been.
        self._settled: list[Trial] = []
        self._end: tuple[str, int] | None = None
        self._queue = deque(proposal for proposal in past.proposals if proposal.trial not in self._results)
        # Trials whose result the strategy waits for.
        self._asked = {proposal.trial for proposal in self._queue}
        self._wholes = {proposal.trial: proposal for proposal in past.proposals}
        for proposal in past.proposals:
            strategy.recall(proposal)
        for trial in past.results:
            strategy.tell(trial)
        self._settle()

    def run(self, trainer: Trainer, is_stopping: Callable[[], bool], is_time_used: Callable[[], bool]) -> str:
        """Search until the budget is used, nothing is left to propose, or somebody wants it to stop.

        Args:
            trainer: Who trains.
            is_stopping: True once the search shall stop; the trainer watches it too.
            is_time_used: True once no more shall be begun; the trainer watches it too.

        Returns:
            Why it ended, as recorded.
        """
        self._is_time_used = is_time_used
        while True:
            self._recorded = 0
            for trial in trainer.train(self._proposals(), self._starting):
                self._ended(trial)
            if is_stopping():
                return self._stop(INTERRUPTED)
            if self._end is not None:
                through = None if self._strategy.works_in_batches else self._end[1]
                return self._stop(self._end[0], through)
            if not self._queue and not self._may_ask():
                return self._stop(self._exhausted or BUDGET_USED)
            if is_time_used():
                return self._stop(TIME_USED)
            if not self._recorded and not self._queue:
                raise RuntimeError("the strategy waits for trials, but none is under way")

    def _proposals(self) -> Iterator[Proposal]:
        """Yield what is to be tried again first, then what the strategy proposes, recording it before it is used."""
        if self._queue and self._strategy.works_in_batches:
            self._ask()  # An earlier session may have died before the whole batch was on record.
        while not self._is_time_used():
            if self._queue:
                proposal = self._queue.popleft()
                if self._end is None or proposal.trial <= self._end[1]:
                    yield from self._parts_of(proposal)
            elif not self._is_over() and self._may_ask():
                if not self._ask():
                    return
            else:
                return

    def _parts_of(self, proposal: Proposal) -> Iterator[Proposal]:
        """Yield the parts of a trial that are still to be trained; a part that is tried again stands for itself."""
        if proposal.part:
            yield proposal
            return
        missing = self._parts.missing(proposal)
        if not missing:
            # An earlier session died between the last part and the whole.
            self._conclude(self._parts.join(proposal))
        yield from missing

    def _ask(self) -> bool:
        """Take what the strategy has to offer, recording it before it is used; tell whether there was anything."""
        limit = self._budget.max_trials
        whole_batch = _ANY if limit is None else limit - self._proposed
        answer = self._strategy.ask(whole_batch if self._strategy.works_in_batches else 1)
        self._end_halted()
        if isinstance(answer, Wait):
            return False
        if isinstance(answer, Exhausted):
            self._exhausted = answer.reason
            return False
        for proposal in answer:
            self._wholes[proposal.trial] = proposal
            if proposal.trial >= self._proposed:
                self._recorder.propose(proposal)
                self._proposed += 1
            self._asked.add(proposal.trial)
            self._queue.append(proposal)
        return True

    def _is_over(self) -> bool:
        """Tell whether a target or too many failures have ended the search; between batches, where there are any."""
        if self._strategy.works_in_batches and not self._asked:
            results = (trial for _, trial in sorted(self._results.items()))
            self._end = self._budget.find_end(results, self._objective)
        return self._end is not None

    def _may_ask(self) -> bool:
        limit = self._budget.max_trials
        return self._exhausted is None and (limit is None or self._proposed < limit)

    def _starting(self, proposal: Proposal, worker: int) -> bool:
        if self._end is not None and proposal.trial > self._end[1]:
            return False
        tries = self._tries[proposal.key] = self._tries.get(proposal.key, Tries()).once_more()
        self._recorder.start(proposal, tries.begun, worker)
        self._observer.started(proposal, worker)
        return True

    def _ended(self, trial: Trial) -> None:
        """Record, tell, show; a part is told and shown with its trial, when no other is missing."""
        trial = self._tries[trial.proposal.key].number(trial)
        self._tries[trial.proposal.key] = Tries.through(trial)
        if not trial.proposal.part:
            self._conclude(trial)
            return
        self._record(trial)
        if self._is_settled(trial):
            self._parts.take(trial)
            whole = replace(self._wholes[trial.number], until=trial.proposal.until)
            if not self._parts.missing(whole):
                self._conclude(self._parts.join(whole))

    def _record(self, trial: Trial) -> None:
        self._recorded += 1
        if trial.outcome is Outcome.PAUSED:
            self._tries.pop(trial.proposal.key, None)
            self._recorder.pause(trial)
        else:
            self._recorder.end(trial)

    def _is_settled(self, trial: Trial) -> bool:
        """Tell whether a trial or part needs no further attempt; offer it again in this session if it crashed."""
        if not trial.needs_another_attempt(self._budget.max_attempts):
            return True
        # Where it was interrupted, a resumed search tries it again; the strategy still waits for it.
        if trial.outcome is not Outcome.INTERRUPTED:
            self._queue.append(trial.proposal)
        return False

    def _conclude(self, trial: Trial) -> None:
        """Record, tell, show a whole trial."""
        self._record(trial)
        if self._is_settled(trial):
            self._results[trial.number] = trial
            self._asked.discard(trial.number)
            if trial.outcome is not Outcome.PAUSED:
                self._finished.add(trial.number)
            self._strategy.tell(trial)
            self._settle()
        self._observer.finished(trial)

    def _end_halted(self) -> None:
        """Record as ended what the strategy will not go on with."""
        for number in self._strategy.halted():
            if number not in self._finished:
                ended = replace(self._results[number], outcome=Outcome.COMPLETED)
                self._recorder.end(ended)
                self._finished.add(number)
                self._observer.finished(ended)

    def _settle(self) -> None:
        """Look at the results that have no gap before them."""
        if self._strategy.works_in_batches or self._end is not None:
            return
        while len(self._settled) in self._results:
            self._settled.append(self._results[len(self._settled)])
        self._end = self._budget.find_end(self._settled, self._objective)

    def _stop(self, reason: str, through: int | None = None) -> str:
        self._recorder.stop(reason, through)
        return reason
