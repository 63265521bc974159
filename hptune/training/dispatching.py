"""Who trains what: proposals are sorted by structure and given to workers, which train them side by side.

A worker's trials share its fate. Where one of several dies or hangs with it, nobody knows which of them it was: each is
tried again in a process of its own, and only the one that does it again is to blame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hptune.errors import InternalError
from hptune.run.log import LOGGER
from hptune.training.job import Fitted
from hptune.training.queueing import Kind, Queue, fair_share
from hptune.training.workers import LOOK_S, Mailbox, WarmProcesses, Worker, describe_memory
from hptune.trial import Key, Outcome, Proposal, Trial
from hptune.tuner import Slots, Watcher

# A worker that was asked to end a trial has twice its longest epoch, and at least this, until it is ended.
_LEAST_LAST_EPOCH_S = 10.0
# Traces and Keras's own state pile up in a worker; beyond this it is replaced by a fresh one.
_MOST_MEMORY_BYTES = 4 << 30

# Returns once the attempt is on record, and whether it is still wanted.
Starting = Callable[[Proposal, int], bool]


@dataclass(frozen=True)
class Workplace:
    """How proposals become jobs, and who does them.

    Attributes:
        kind_of: What a proposal has in common with others.
        job_of: What to send to a worker; called once the attempt is on record.
        serve: What a worker runs.
        output: Folder for what workers print.
        lookahead: How many proposals are sorted at a time.
    """

    kind_of: Callable[[Proposal], Kind]
    job_of: Callable[[Proposal], Any]
    serve: Callable[[Mailbox, int], None]
    output: Path
    lookahead: int = 1


@dataclass(frozen=True)
class Orders:
    """What may end trials from outside.

    Attributes:
        is_stopping: True once no more shall be trained and what is under way is to be dropped.
        is_time_used: True once no more shall be begun and what is under way ends with its epoch.
        trial_timeout: Seconds after which a trial ends with its epoch; None for no limit.
    """

    is_stopping: Callable[[], bool]
    is_time_used: Callable[[], bool] = lambda: False
    trial_timeout: float | None = None


class _Attempt:
    """A trial under way."""

    def __init__(self, proposal: Proposal, worker: int) -> None:
        self.proposal = proposal
        self.reason = ""
        self.epochs = 0
        self._worker = worker
        self._began = self._last_epoch = time.monotonic()
        self._longest_epoch = 0.0
        self._asked: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def note_epoch(self) -> None:
        now = time.monotonic()
        self.epochs += 1
        self._longest_epoch = max(self._longest_epoch, now - self._last_epoch)
        self._last_epoch = now

    def ask_to_end(self, reason: str) -> bool:
        """Tell whether this is the first time that it is asked."""
        is_first = self._asked is None
        if is_first:
            self._asked, self.reason = time.monotonic(), reason
        return is_first

    def is_overdue(self) -> bool:
        """Tell whether it was asked to end and has had time enough to do so."""
        # Before its first epoch a trial may still be tracing; it gets as long again as it has had.
        longest = self._longest_epoch or (self._asked or self._began) - self._began
        return self._asked is not None and time.monotonic() - self._asked > max(_LEAST_LAST_EPOCH_S, 2 * longest)

    def ended(self, fitted: Fitted) -> Trial:
        return Trial(self.proposal, **vars(fitted), seconds=self.seconds, worker=self._worker)


class _Place:
    """A worker, the trials that it has under way, and what it has traced."""

    def __init__(self, number: int, worker: Worker, *, is_solitary: bool = False) -> None:
        self.number = number
        self.worker = worker
        self.is_solitary = is_solitary
        self.structure = ""
        self.attempts: dict[Key, _Attempt] = {}
        self.traces: set[str] = set()
        self.is_worn_out = False

    def load(self, epochs: int) -> float:
        """Estimate the work that is left, in whole trials, where the longest trial so far took so many epochs."""
        return sum(max(1.0 - attempt.epochs / epochs, 0.0) for attempt in self.attempts.values())


class WorkerTrainer:
    """Trains proposals in worker processes that last as long as it does; a `Trainer` of the tuner."""

    def __init__(
        self,
        processes: WarmProcesses,
        count: int,
        workplace: Workplace,
        watcher: Watcher,
        orders: Orders,
    ) -> None:
        """Set up.

        Args:
            processes: Where workers come from.
            count: How many at a time.
            workplace: How proposals become jobs, and who does them.
            watcher: Told of epochs, and of how full the workers are.
            orders: What may end trials from outside.
        """
        self._processes = processes
        self._count = count
        self._workplace = workplace
        self._watcher = watcher
        self._slots = Slots()
        self._orders = orders
        self._places: dict[Connection, _Place] = {}
        self._queue = Queue(workplace.kind_of)
        # Trials whose worker died or hung with others on board: they are tried again alone.
        self._suspects: deque[Proposal] = deque()
        # By structure, of the longest trial that has ended.
        self._epochs: dict[str, int] = {}

    def __enter__(self) -> WorkerTrainer:
        """Begin; workers are made when there is work."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End all workers."""
        for connection in list(self._places):
            self._dismiss(connection)

    def train(self, proposals: Iterable[Proposal], starting: Starting) -> Iterator[Trial]:
        """Train proposals and yield trials as they end; after an exception it is to be left.

        Raises:
            InternalError: If our own code failed in a worker.
        """
        source = iter(proposals)
        while not self._orders.is_stopping():
            while len(self._queue) < self._workplace.lookahead and (proposal := next(source, None)) is not None:
                self._queue.add(proposal)
            if not self._orders.is_time_used():
                self._give_work(starting)
            self._tell_slots()
            busy = [connection for connection, place in self._places.items() if place.attempts]
            if not busy:
                return
            for ready in wait(busy, timeout=LOOK_S):
                assert isinstance(ready, Connection)
                yield from self._listen(ready)
            yield from self._watch_time()
        for connection in list(self._places):
            for attempt in self._dismiss(connection):
                yield attempt.ended(Fitted(Outcome.INTERRUPTED, message="stopped by a signal"))

    def _give_work(self, starting: Starting) -> None:
        """Fill the slots that are free, and let workers begin that have nothing to do."""
        for connection, place in list(self._places.items()):
            if place.attempts and not place.is_solitary and not place.is_worn_out:
                self._fill(place, starting)
            elif not place.attempts and (place.is_worn_out or place.is_solitary):
                self._dismiss(connection)
        while self._suspects and len(self._busy) < self._count:
            self._begin(self._open_place(is_solitary=True), [self._suspects.popleft()], starting)
        while len(self._queue) and len(self._busy) < self._count:
            idle = [place for place in self._places.values() if not place.attempts]
            place = idle[0] if idle else self._open_place()
            taken = {other.structure for other in self._busy}
            elsewhere = {trace for other in self._places.values() if other is not place for trace in other.traces}
            structure = self._queue.choose(place.traces, elsewhere, taken)
            assert structure is not None
            place.structure = structure
            self._fill(place, starting)

    @property
    def _busy(self) -> list[_Place]:
        return [place for place in self._places.values() if place.attempts]

    def _tell_slots(self) -> None:
        """Say how full the workers are, where that has changed."""
        total = sum(self._room_of(place) for place in self._busy)
        slots = Slots(sum(len(place.attempts) for place in self._busy), total, len(self._busy))
        if slots != self._slots:
            self._slots = slots
            self._watcher.filled(slots)

    def _room_of(self, place: _Place) -> int:
        """Count the slots of a worker; it may have more than there shall be from now on."""
        capacity = 1 if place.is_solitary else self._queue.kinds[place.structure].capacity
        return max(capacity, len(place.attempts))

    def _open_place(self, *, is_solitary: bool = False) -> _Place:
        """Make a worker, in place of an idle one where there are as many as there may be."""
        if len(self._places) >= self._count:
            self._dismiss(next(connection for connection, place in self._places.items() if not place.attempts))
        taken = {place.number for place in self._places.values()}
        number = next(number for number in range(self._count) if number not in taken)
        output = self._workplace.output / f"worker-{number}.part"
        worker = self._processes.start(self._workplace.serve, (number,), output)
        place = self._places[worker.connection] = _Place(number, worker, is_solitary=is_solitary)
        return place

    def _fill(self, place: _Place, starting: Starting) -> None:
        """Give a worker as many trials of its structure as it has room for, and leave the others their share."""
        kind = self._queue.kinds[place.structure]
        room = min(kind.capacity - len(place.attempts), self._share_of(place))
        self._begin(place, [self._queue.take(place.structure) for _ in range(room)], starting)
        place.traces.add(kind.trace)

    def _share_of(self, place: _Place) -> int:
        """Count the waiting trials of its structure that a worker takes."""
        epochs = max(self._epochs.get(place.structure, 0), 1)
        others = [other for other in self._busy if other is not place and not other.is_solitary]
        loads = [other.load(epochs) for other in others if other.structure == place.structure]
        idle = self._count - len(self._busy) - (0 if place.attempts else 1)
        return fair_share(place.load(epochs), [*loads, *[0.0] * idle], self._queue.count(place.structure))

    def _begin(self, place: _Place, proposals: Iterable[Proposal], starting: Starting) -> None:
        jobs = []
        for proposal in proposals:
            if starting(proposal, place.number):
                place.attempts[proposal.key] = _Attempt(proposal, place.number)
                jobs.append((proposal.key, self._workplace.job_of(proposal)))
        if jobs:
            place.worker.send("jobs", jobs)

    def _dismiss(self, connection: Connection) -> list[_Attempt]:
        """End a worker; return what it had under way."""
        place = self._places.pop(connection)
        place.worker.end()
        return list(place.attempts.values())

    def _listen(self, connection: Connection) -> Iterator[Trial]:
        place = self._places[connection]
        kind, content = place.worker.receive()
        match kind:
            case "epochs":
                for key, epoch, score in content:
                    place.attempts[key].note_epoch()
                    self._watcher.epoch(key[0], epoch, score)
            case "ended":
                key, fitted, memory_bytes = content
                # Keras keeps something of every model that it has built.
                place.is_worn_out = memory_bytes > _MOST_MEMORY_BYTES or fitted.engine == "keras"
                if fitted.outcome is Outcome.OUT_OF_MEMORY:
                    fitted = replace(fitted, message=f"{fitted.message}; {describe_memory(memory_bytes)}")
                attempt = place.attempts.pop(key)
                self._epochs[place.structure] = max(self._epochs.get(place.structure, 0), attempt.epochs)
                yield attempt.ended(fitted)
            case "crowded":
                self._queue.halve(place.structure, len(content))
                for key in content:
                    self._queue.add(place.attempts.pop(key).proposal)
            case "died" | "starved":
                LOGGER.warning("worker %d: %s", place.number, content)
                outcome = Outcome.OUT_OF_MEMORY if kind == "starved" else Outcome.CRASHED
                yield from self._give_up(connection, outcome, content)
            case "refused":
                raise content
            case _:
                raise InternalError(f"trials {', '.join(str(number) for number, _ in place.attempts)}: {content}")

    def _give_up(self, connection: Connection, outcome: Outcome, message: str) -> Iterator[Trial]:
        """End a worker that does not work any more: one trial is to blame, several are suspects."""
        place = self._places[connection]
        attempts = self._dismiss(connection)
        if len(attempts) == 1 or self._orders.is_time_used():
            for attempt in attempts:
                yield attempt.ended(Fitted(outcome, message=message))
        else:
            LOGGER.info("trials %s are tried again one by one", [attempt.proposal.key for attempt in attempts])
            if place.worker.was_killed:
                # Most likely by a system that is short of memory: their like shall not go the same way.
                self._queue.halve(place.structure, len(attempts))
            self._suspects.extend(attempt.proposal for attempt in attempts)

    def _watch_time(self) -> Iterator[Trial]:
        """Ask trials whose time is up to end with their epoch, and end those that do not."""
        limit = self._orders.trial_timeout
        is_time_used = self._orders.is_time_used()
        for connection, place in list(self._places.items()):
            place.worker.note_memory()
            asked: dict[Key, str] = {}
            for key, attempt in place.attempts.items():
                reason = "budget.max_time is used" if is_time_used else ""
                if limit is not None and attempt.seconds > limit:
                    reason = f"budget.trial_timeout of {limit:g} s is over"
                if reason and attempt.ask_to_end(reason):
                    asked[key] = reason
            if asked:
                place.worker.send("end", asked)
            overdue = [attempt for attempt in place.attempts.values() if attempt.is_overdue()]
            if overdue:
                message = f"ended without a result: {overdue[0].reason}"
                yield from self._give_up(connection, Outcome.TIMEOUT, message)
