"""A whole search in memory: the real tuner and records, an instant trainer, and a journal that can be killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hptune.budget import Budget
from hptune.objective import Objective
from hptune.parts import WHOLE, Parts
from hptune.reporting.summary import leaderboard_of
from hptune.run.records import encode_proposal, encode_trial, replay
from hptune.strategies import AnyStrategy, Task, create_strategy
from hptune.trial import Outcome, Proposal, Trial, derive_seed
from hptune.tuner import Past, Slots, Tuner

Ending = Callable[[Proposal], Outcome]


class KilledError(Exception):
    """The process is gone."""


def score_of(proposal: Proposal) -> float:
    """A score that depends on values and epochs alone, with ties."""
    text = json.dumps(dict(proposal.values), sort_keys=True) + proposal.part
    return derive_seed("score", text) % 50 / 50 + (proposal.until or 0) / 1000


@dataclass
class Journal:
    """Records in memory; the process dies before the record with a certain number is written."""

    records: list[dict[str, Any]] = field(default_factory=list)
    dies_at: int | None = None

    def append(self, kind: str, **fields: Any) -> None:
        if len(self.records) == self.dies_at:
            raise KilledError
        self.records.append(json.loads(json.dumps({"type": kind, **fields}, allow_nan=False)))

    def propose(self, proposal: Proposal) -> None:
        self.append("propose", **encode_proposal(proposal))

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        self.append("start", trial=proposal.trial, part=proposal.part, attempt=attempt, until=proposal.until)

    def pause(self, trial: Trial) -> None:
        self.append("pause", **encode_trial(trial))

    def end(self, trial: Trial) -> None:
        self.append("end", **encode_trial(trial))

    def stop(self, reason: str, through: int | None) -> None:
        self.append("stop", reason=reason, through=through)

    def started(self, proposal: Proposal, worker: int) -> None: ...
    def epoch(self, trial: int, epoch: int, score: float) -> None: ...

    def filled(self, slots: Slots) -> None: ...
    def finished(self, trial: Trial) -> None: ...


@dataclass
class InstantTrainer:
    """Holds as many trials as there are workers and ends them in an order that only chance knows."""

    workers: int
    ceiling: int
    ending: Ending
    chance: random.Random

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], bool]) -> Iterator[Trial]:
        source, running = iter(proposals), []
        while True:
            while len(running) < self.workers and (proposal := next(source, None)) is not None:
                starting(proposal, 0)
                running.append(proposal)
            if not running:
                return
            yield self._end(running.pop(self.chance.randrange(len(running))))

    def _end(self, proposal: Proposal) -> Trial:
        outcome = self.ending(proposal)
        if outcome is Outcome.COMPLETED and proposal.until is not None and proposal.until < self.ceiling:
            outcome = Outcome.PAUSED
        has_score = outcome in (Outcome.COMPLETED, Outcome.PAUSED)
        return Trial(
            proposal, outcome, score=score_of(proposal) if has_score else None, epochs=proposal.until or self.ceiling
        )


def always(outcome: Outcome) -> Ending:
    return lambda proposal: outcome


def all_complete(proposal: Proposal) -> Outcome:
    return Outcome.COMPLETED


def some_fail(proposal: Proposal) -> Outcome:
    """Every third trial fails, whatever is tried."""
    failing = (Outcome.DIVERGED, Outcome.INFEASIBLE, Outcome.CRASHED)
    return failing[proposal.trial % 3] if derive_seed("failure", proposal.trial) % 3 == 0 else Outcome.COMPLETED


@dataclass(frozen=True)
class Search:
    """What to search, and how its trials end."""

    name: str
    task: Task
    budget: Budget
    ending: Ending = all_complete
    ceiling: int = 9
    parts: tuple[str, ...] = (WHOLE,)

    def with_budget(self, **changes: Any) -> Search:
        return replace(self, budget=replace(self.budget, **changes))

    def run(
        self, journal: Journal | None = None, workers: int = 1, chance: int = 0, strategy: AnyStrategy | None = None
    ) -> Journal:
        """Search to the end, or go on from what a journal holds, with a fresh strategy or the given one.

        Raises:
            KilledError: If the journal says so.
        """
        journal = journal or Journal()
        if not journal.records:
            dimensions = [dimension.name for dimension in self.task.space.dimensions]
            journal.append("header", objective=asdict(self.task.objective), dimensions=dimensions)
        history = replay(journal.records)
        attempts = self.budget.max_attempts
        past = Past(
            tuple(history.proposals.values()),
            history.told(attempts),
            frozenset(history.finished(attempts)),
            tuple(history.tries.items()),
        )
        strategy = strategy or create_strategy(self.name, self.task)
        parts = Parts(self.parts, history.settled(attempts))
        tuner = Tuner(strategy, journal, journal, self.task.objective, self.budget, past, parts)
        trainer = InstantTrainer(workers, self.ceiling, self.ending, random.Random(chance))
        tuner.run(trainer, lambda: False, lambda: False)
        return journal

    def run_with_kills(self, kills: Iterable[int], workers: int = 1, records: Sequence[Any] = ()) -> Journal:
        """Search, or go on from some records, dying before each of the given ones, then to the end."""
        journal = Journal(list(records))
        for chance, kill in enumerate(kills):
            journal.dies_at = kill
            try:
                self.run(journal, workers, chance)
            except KilledError:
                continue
            break
        journal.dies_at = None
        is_over = bool(journal.records) and journal.records[-1]["type"] == "stop"
        return journal if is_over else self.run(journal, workers)


def leaderboard(journal: Journal) -> str:
    return leaderboard_of(replay(journal.records)).to_csv()


def proposed(journal: Journal) -> list[Proposal]:
    return list(replay(journal.records).proposals.values())


OBJECTIVE = Objective("accuracy", "max")
