"""Worker processes: each trial trains in a process of its own, made in hundredths of a second.

A fork server imports TensorFlow once; every worker is a fork of it, with one thread. A worker that dies takes nothing
with it: its trial is `crashed`, with what it last printed. When the parent dies, however, its workers notice the closed
pipe and exit, so that none is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any, TypeVar

from hptune.errors import HptuneError, InternalError
from hptune.interruption import Interruption
from hptune.quiet import quiet_errors
from hptune.run.log import LOGGER
from hptune.training.job import Fitted
from hptune.trial import Outcome, Proposal, Trial

# Imported once by the fork server. `hptune.cli` is there because a child runs the main script's imports again.
_PRELOADED = ["hptune.training.fitting", "hptune.artifact", "hptune.cli"]
# How long a signal may wait for the loop to look at it.
_LOOK_S = 0.2
_GRACE_S = 5.0
_SHOWN_OUTPUT_BYTES = 2000

Result = TypeVar("Result")
OnEpoch = Callable[[int, float], None]


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
    threading.Thread(target=_exit_with_parent, args=(connection,), daemon=True).start()

    def on_epoch(epoch: int, score: float) -> None:
        connection.send(("epoch", (epoch, score)))

    try:
        result = function(*arguments, on_epoch=on_epoch)
    except HptuneError as error:
        connection.send(("refused", error))
    except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
        connection.send(("failed", traceback.format_exc()))
    else:
        connection.send(("returned", result))


def _exit_with_parent(connection: Connection) -> None:
    """Wait for the parent's end of the pipe to close: nothing else ever arrives."""
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(1)


@dataclass(frozen=True)
class _Attempt:
    """A trial under way."""

    proposal: Proposal
    number: int
    worker: _Worker
    began: float

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
            seconds=time.monotonic() - self.began,
            worker=self.number,
        )

    def without_result(self, outcome: Outcome, message: str) -> Trial:
        return self.ended(Fitted(outcome, message=message))


class WorkerTrainer:
    """Trains proposals in workers, as many at a time as there are workers; a `Trainer` of the tuner."""

    def __init__(
        self,
        processes: WarmProcesses,
        count: int,
        work: Callable[[Proposal], tuple[Callable[..., Fitted], tuple[Any, ...], Path]],
        on_epoch: Callable[[int, int, float], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        """Set up.

        Args:
            processes: Where workers come from.
            count: How many at a time.
            work: For a proposal: the function a worker runs, its arguments, and a file for what it prints.
            on_epoch: Called with trial, epoch and score.
            is_stopping: True once no more shall be trained and what is under way is to be dropped.
        """
        self._processes = processes
        self._count = count
        self._work = work
        self._on_epoch = on_epoch
        self._is_stopping = is_stopping

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], None]) -> Iterator[Trial]:
        """Train proposals and yield trials as they end.

        Raises:
            InternalError: If our own code failed in a worker.
        """
        source = iter(proposals)
        running: dict[Connection, _Attempt] = {}
        is_drained = False
        try:
            while not self._is_stopping():
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
            for connection in list(running):
                attempt = running.pop(connection)
                attempt.worker.end()
                yield attempt.without_result(Outcome.INTERRUPTED, "stopped by a signal")
        finally:
            for attempt in running.values():
                attempt.worker.end()

    def _begin(
        self, proposal: Proposal, starting: Callable[[Proposal, int], None], running: dict[Connection, _Attempt]
    ) -> _Attempt:
        taken = {attempt.number for attempt in running.values()}
        number = next(number for number in range(self._count) if number not in taken)
        starting(proposal, number)
        function, arguments, output = self._work(proposal)
        began = time.monotonic()
        return _Attempt(proposal, number, self._processes.start(function, arguments, output), began)

    def _listen(self, attempt: _Attempt) -> Trial | None:
        kind, content = attempt.worker.receive()
        match kind:
            case "epoch":
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
