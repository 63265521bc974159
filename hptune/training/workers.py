"""Worker processes: each trial trains in a process of its own, made in hundredths of a second.

A fork server imports TensorFlow once; every worker is a fork of it, with one thread. A worker that dies takes nothing
with it: its trial is `crashed`, with what it last printed. When the parent dies, however, its workers notice the closed
pipe and exit, so that none is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from hptune.errors import HptuneError, InternalError
from hptune.interruption import Interruption
from hptune.quiet import quiet_errors
from hptune.run.log import LOGGER
from hptune.training.job import Fitted, OnEpoch
from hptune.trial import Outcome, Proposal, Trial

# Imported once by the fork server.
_PRELOADED = ["hptune.training.fitting", "hptune.artifact"]
# How long a signal may wait for the loop to look at it.
_LOOK_S = 0.2
_GRACE_S = 5.0
# A worker that was asked to end its trial has twice its longest epoch, and at least this, until it is ended.
_LEAST_LAST_EPOCH_S = 10.0
_SHOWN_OUTPUT_BYTES = 2000

Result = TypeVar("Result")


class WarmProcesses:
    """A fork server that has imported what workers need; entering it begins the imports while the parent goes on.

    Args:
        interruption: Ends a call that is under way.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def __enter__(self) -> WarmProcesses:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # The fork server inherits what is ignored: Ctrl-C while it imports must not end it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            # What a worker says later goes to its own file.
            with quiet_errors():
                ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the fork server to the next search of this process; it ends with its parent."""

    def start(self, function: Callable[..., object], arguments: tuple[Any, ...], output: Path) -> _Worker:
        """Run `function(*arguments, on_epoch)` in a fresh process whose output goes to a file."""
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(target=_attend, args=(theirs, function, arguments, str(output)), daemon=True)
        with _main_script_aside():
            process.start()
        theirs.close()
        return _Worker(process, ours, output)

    def call(self, function: Callable[..., Result], *arguments: Any, output: Path) -> Result:
        """Run a function in a fresh process and return what it returns.

        Raises:
            HptuneError: The one the function raised.
            InternalError: If it raised something else, or died.
        """
        worker = self.start(_without_epochs, (function, *arguments), output)
        try:
            while True:
                while not worker.connection.poll(_LOOK_S):
                    self._interruption.check()
                kind, content = worker.receive()
                if kind == "returned":
                    result: Result = content
                    return result
                if kind == "refused":
                    raise content
                if kind != "epoch":
                    raise InternalError(str(content))
        finally:
            worker.end()


@contextmanager
def _main_script_aside() -> Iterator[None]:
    """Hide the main script: multiprocessing would run it again in each worker, where a user's script searches again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker:
    """A process, the pipe to it, and the file that takes what it prints."""

    def __init__(self, process: Any, connection: Connection, output: Path) -> None:
        self.process = process
        self.connection = connection
        self._output = output

    def receive(self) -> tuple[str, Any]:
        """Return the next message; `died` with the reason when there will be none."""
        try:
            message: tuple[str, Any] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return "died", self._describe_death()
        return message

    def finish(self, reason: str) -> None:
        """Ask for an end after the epoch under way."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(reason)

    def end(self) -> None:
        """Make sure that the process is gone, and take its output away."""
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.connection.close()
        self._output.unlink(missing_ok=True)

    def _describe_death(self) -> str:
        code = self.process.exitcode
        cause = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code} without a result"
        return f"the worker ended: {cause}{self._last_words()}"

    def _last_words(self) -> str:
        try:
            with self._output.open("rb") as stream:
                stream.seek(max(0, self._output.stat().st_size - _SHOWN_OUTPUT_BYTES))
                words = stream.read().decode(errors="replace").strip()
        except OSError:
            return ""
        return f"; it last printed: {words}" if words else ""


class _Wish:
    """What the parent has asked for meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self.reason = ""
        self._connection = connection

    def listen(self) -> None:
        """Take the parent's wish; when its end of the pipe closes, it is gone, and so is the reason to work."""
        try:
            while True:
                self.reason = self._connection.recv()
        except (EOFError, OSError):
            os._exit(1)


def _without_epochs(function: Callable[..., Result], *arguments: Any, on_epoch: OnEpoch) -> Result:
    """Run a function that has no epochs to report."""
    del on_epoch
    return function(*arguments)


def _attend(connection: Connection, function: Callable[..., object], arguments: tuple[Any, ...], output: str) -> None:
    """Run in the worker: do one piece of work and say what came of it."""
    # Ctrl-C reaches the whole process group; what happens then is the parent's decision alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    wish = _Wish(connection)
    threading.Thread(target=wish.listen, daemon=True).start()

    def on_epoch(epoch: int, score: float) -> str:
        connection.send(("epoch", (epoch, score)))
        return wish.reason

    try:
        result = function(*arguments, on_epoch=on_epoch)
    except HptuneError as error:
        connection.send(("refused", error))
    except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
        connection.send(("failed", traceback.format_exc()))
    else:
        connection.send(("returned", result))


class _Attempt:
    """A trial under way."""

    def __init__(self, proposal: Proposal, number: int, worker: _Worker) -> None:
        self.proposal = proposal
        self.number = number
        self.worker = worker
        self._began = self._last_epoch = time.monotonic()
        self._longest_epoch = 0.0
        self._asked: float | None = None
        self._reason = ""

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.monotonic() - self._began

    def note_epoch(self) -> None:
        """Measure how long epochs take."""
        now = time.monotonic()
        self._longest_epoch = max(self._longest_epoch, now - self._last_epoch)
        self._last_epoch = now

    def finish(self, reason: str) -> None:
        """Ask once for an end after the epoch under way."""
        if self._asked is None:
            self._asked, self._reason = time.monotonic(), reason
            self.worker.finish(reason)

    def is_overdue(self) -> bool:
        """Tell whether it was asked to end and has had time enough to do so."""
        # Before its first epoch a trial may still be tracing; it gets as long again as it has had.
        longest = self._longest_epoch or (self._asked or self._began) - self._began
        return self._asked is not None and time.monotonic() - self._asked > max(_LEAST_LAST_EPOCH_S, 2 * longest)

    def ended(self, fitted: Fitted) -> Trial:
        return Trial(
            proposal=self.proposal,
            outcome=fitted.outcome,
            score=fitted.score,
            metrics=fitted.metrics,
            best_epoch=fitted.best_epoch,
            epochs=fitted.epochs,
            weights=fitted.weights,
            engine=fitted.engine,
            files=fitted.files,
            message=fitted.message,
            seconds=self.seconds,
            worker=self.number,
        )

    def without_result(self, outcome: Outcome, message: str) -> Trial:
        return self.ended(Fitted(outcome, message=message))

    def overdue(self) -> Trial:
        return self.without_result(Outcome.TIMEOUT, f"ended without a result: {self._reason}")


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


class WorkerTrainer:
    """Trains proposals in workers, as many at a time as there are workers; a `Trainer` of the tuner."""

    def __init__(
        self,
        processes: WarmProcesses,
        count: int,
        work: Callable[[Proposal], tuple[Callable[..., Fitted], tuple[Any, ...], Path]],
        on_epoch: Callable[[int, int, float], None],
        orders: Orders,
    ) -> None:
        """Set up.

        Args:
            processes: Where workers come from.
            count: How many at a time.
            work: For a proposal: the function a worker runs, its arguments, and a file for what it prints.
            on_epoch: Called with trial, epoch and score.
            orders: What may end trials from outside.
        """
        self._processes = processes
        self._count = count
        self._work = work
        self._on_epoch = on_epoch
        self._orders = orders

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], None]) -> Iterator[Trial]:
        """Train proposals and yield trials as they end.

        Raises:
            InternalError: If our own code failed in a worker.
        """
        source = iter(proposals)
        running: dict[Connection, _Attempt] = {}
        is_drained = False
        try:
            while not self._orders.is_stopping():
                while not is_drained and len(running) < self._count:
                    proposal = next(source, None)
                    if proposal is None:
                        is_drained = True
                        break
                    attempt = self._begin(proposal, starting, running)
                    running[attempt.worker.connection] = attempt
                if not running:
                    return
                for ready in wait(list(running), timeout=_LOOK_S):
                    assert isinstance(ready, Connection)
                    trial = self._listen(running[ready])
                    if trial is not None:
                        running.pop(ready).worker.end()
                        yield trial
                yield from self._watch_time(running)
            for connection in list(running):
                attempt = running.pop(connection)
                attempt.worker.end()
                yield attempt.without_result(Outcome.INTERRUPTED, "stopped by a signal")
        finally:
            for attempt in running.values():
                attempt.worker.end()

    def _watch_time(self, running: dict[Connection, _Attempt]) -> Iterator[Trial]:
        """Ask trials whose time is up to end with their epoch, and end those that do not."""
        limit = self._orders.trial_timeout
        is_time_used = self._orders.is_time_used()
        for connection, attempt in list(running.items()):
            if is_time_used:
                attempt.finish("budget.max_time is used")
            if limit is not None and attempt.seconds > limit:
                attempt.finish(f"budget.trial_timeout of {limit:g} s is over")
            if attempt.is_overdue():
                running.pop(connection).worker.end()
                yield attempt.overdue()

    def _begin(
        self, proposal: Proposal, starting: Callable[[Proposal, int], None], running: dict[Connection, _Attempt]
    ) -> _Attempt:
        taken = {attempt.number for attempt in running.values()}
        number = next(number for number in range(self._count) if number not in taken)
        starting(proposal, number)
        function, arguments, output = self._work(proposal)
        return _Attempt(proposal, number, self._processes.start(function, arguments, output))

    def _listen(self, attempt: _Attempt) -> Trial | None:
        kind, content = attempt.worker.receive()
        match kind:
            case "epoch":
                attempt.note_epoch()
                self._on_epoch(attempt.proposal.trial, *content)
                return None
            case "returned":
                return attempt.ended(content)
            case "died":
                LOGGER.warning("trial %d: %s", attempt.proposal.trial, content)
                return attempt.without_result(Outcome.CRASHED, content)
            case "refused":
                raise content
            case _:
                raise InternalError(f"trial {attempt.proposal.trial}: {content}")
