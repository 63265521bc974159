"""Where trials are trained: workers with arrays, jobs and orders; for the search and for what follows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hptune.clock import Clock
from hptune.interruption import Interruption
from hptune.materials import Materials
from hptune.run.log import LOGGER
from hptune.run.recorder import RunRecorder
from hptune.run.records import History
from hptune.training.crew import Crew
from hptune.training.dispatching import Orders, WorkerTrainer, Workplace
from hptune.training.workers import Mailbox, WarmProcesses
from hptune.trial import Outcome, Proposal, Tries
from hptune.tuner import Silence, Watcher

# Proposals that are sorted by structure at a time.
_LOOKAHEAD = 1024
_SHORT_LOOKAHEAD = 64


def serve_in_worker(mailbox: Mailbox, worker: int) -> None:
    """Train what is asked for; what a worker runs."""
    from hptune.training.serving import serve  # TensorFlow is imported in the worker only

    serve(mailbox, worker)


@dataclass(frozen=True)
class Workshop:
    """What training in this session needs.

    Attributes:
        materials: Of the search.
        recorder: Of the run.
        processes: Where workers come from.
        crew: Who trains.
        interruption: Ends training.
    """

    materials: Materials
    recorder: RunRecorder
    processes: WarmProcesses
    crew: Crew
    interruption: Interruption

    @contextmanager
    def open(self, parts: Iterable[str], watcher: Watcher, clock: Clock | None = None) -> Iterator[WorkerTrainer]:
        """Give who trains.

        Args:
            parts: Which are going to be trained; their rows are prepared.
            watcher: Who watches training.
            clock: Ends the search; None where its time does not count.
        """
        materials, pauses = self.materials, self.recorder.pauses
        materials.write_arrays(parts)
        budget = materials.ground.experiment.budget
        # Where the clock, a target or failures may end the search, the order of training must not favour a structure.
        is_counted = budget.max_seconds is None and budget.target is None and budget.max_failures is None
        workplace = Workplace(
            kind_of=lambda proposal: materials.kind(proposal, self.crew.memory_bytes),
            job_of=lambda proposal: materials.job(proposal, pauses.get(proposal.key)),
            serve=serve_in_worker,
            output=materials.folder.path,
            lookahead=_LOOKAHEAD if is_counted else _SHORT_LOOKAHEAD,
        )
        is_time_used = (lambda: False) if clock is None else clock.is_used_up
        orders = Orders(self.interruption.is_requested, is_time_used, budget.trial_seconds)
        with WorkerTrainer(self.processes, self.crew.workers, workplace, watcher, orders) as trainer:
            yield trainer

    def missing(self, proposals: Sequence[Proposal], history: History) -> list[Proposal]:
        """Leave out parts that are on record and need no further attempt."""
        done = {part.proposal.key for part in history.settled(self.materials.ground.experiment.budget.max_attempts)}
        return [proposal for proposal in proposals if proposal.key not in done]

    def train_beside(self, proposals: Sequence[Proposal], history: History) -> None:
        """Train parts that belong to no search, and put them on record.

        Args:
            proposals: The parts, of which none is on record with an end, as `missing` finds them.
            history: What is on record.

        Raises:
            InterruptedSearchError: If a signal asked to stop; everything finished is on record.
        """
        most = self.materials.ground.experiment.budget.max_attempts
        queue = list(proposals)
        tries = {proposal.key: history.tries.get(proposal.key, Tries()) for proposal in queue}
        if not queue:
            return
        LOGGER.info("training %d more, such as %s of trial %d", len(queue), queue[0].part, queue[0].trial)

        def starting(proposal: Proposal, worker: int) -> bool:
            tries[proposal.key] = tries[proposal.key].once_more()
            self.recorder.start(proposal, tries[proposal.key].begun, worker)
            return True

        with self.open([proposal.part for proposal in queue], Silence()) as trainer:
            while queue:
                given, queue = queue, []
                for trial in trainer.train(given, starting):
                    # Where a rung ended, nobody will go on.
                    outcome = Outcome.COMPLETED if trial.outcome is Outcome.PAUSED else trial.outcome
                    ended = tries[trial.proposal.key].number(replace(trial, outcome=outcome))
                    tries[trial.proposal.key] = Tries.through(ended)
                    self.recorder.end(ended)
                    if ended.needs_another_attempt(most):
                        queue.append(ended.proposal)
                self.interruption.check()
