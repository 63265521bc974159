"""Worker processes, made in hundredths of a second.

A fork server imports TensorFlow once; every worker is a fork of it, with one thread. When the parent dies, its workers
notice the closed pipe and exit, so that none is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from hptune.errors import HptuneError, InternalError, MemoryShortError
from hptune.interruption import Interruption
from hptune.machine import count_out_of_memory_kills, memory_of
from hptune.quiet import quiet_errors
from hptune.trial import Key

# Imported once by the fork server.
_PRELOADED = ["hptune.training.preload"]
# What must stand in the environment when a worker begins. glibc gives large blocks back to the system at once and takes
# them again, page by page, for the next operation: half the time of a step. Here they stay with the process; other
# allocators do not read this. oneDNN's products of many small matrices take two thirds of the time of TensorFlow's own,
# a fifth of a step; TensorFlow uses it unasked only where a processor has instructions for neural networks. NumPy's and
# scikit-learn's threads wait for each other longer than they work: a logistic regression on 1,200 rows takes 0.09 s
# with one and 1.1 to 1.7 s with two. Of a graphics processor a process takes what it needs, and leaves others the rest.
WORKER_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
# Modules that autograph makes of functions: a file each.
_GENERATED = "__autograph_generated_file"
# How long a signal may wait for the loop to look at it.
LOOK_S = 0.2
_GRACE_S = 5.0
_SHOWN_OUTPUT_BYTES = 2000
SHORT_OF_MEMORY = (
    "there is not enough memory to go on",
    "free some, or allow more, and give the same command again: what is on record is kept",
)

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
        # They count when a process begins, and are nothing for the programs that others start from here.
        added = {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in os.environ}
        os.environ.update(added)
        # The fork server inherits what is ignored: Ctrl-C while it imports must not end it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            # What a worker says later goes to its own file.
            with quiet_errors():
                ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
            for name in added:
                del os.environ[name]
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the fork server to the next search of this process; it ends with its parent."""

    def start(self, function: Callable[..., object], arguments: tuple[Any, ...], output: Path) -> Worker:
        """Run `function(mailbox, *arguments)` in a fresh process whose output goes to a file."""
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(target=_attend, args=(theirs, function, arguments, str(output)), daemon=True)
        with _main_script_aside():
            process.start()
        theirs.close()
        return Worker(process, ours, output)

    def call(self, function: Callable[..., Result], *arguments: Any, output: Path) -> Result:
        """Run a function in a fresh process and return what it returns.

        Raises:
            HptuneError: The one the function raised.
            InternalError: If it raised something else, or died.
        """
        with closing(self._listen(_answer, (function, *arguments), output)) as messages:
            result: Result = next(messages)[1]
            return result

    def stream(self, function: Callable[..., Iterable[Result]], *arguments: Any, output: Path) -> Iterator[Result]:
        """Run a function in a fresh process and yield what it yields; it waits while nobody takes what it has.

        Raises:
            HptuneError: The one the function raised.
            InternalError: If it raised something else, or died.
        """
        with closing(self._listen(_answer_one_by_one, (function, *arguments), output)) as messages:
            for kind, content in messages:
                if kind == "returned":
                    return
                yield content

    def _listen(
        self, function: Callable[..., object], arguments: tuple[Any, ...], output: Path
    ) -> Generator[tuple[str, Any], None, None]:
        worker = self.start(function, arguments, output)
        try:
            while True:
                while not worker.connection.poll(LOOK_S):
                    self._interruption.check()
                kind, content = worker.receive()
                if kind == "refused":
                    raise content
                if kind not in ("returned", "yielded"):
                    raise InternalError(str(content))
                yield kind, content
        finally:
            worker.end()


def describe_memory(size: int) -> str:
    """Say how much memory a worker had."""
    return f"the worker had up to {size / 2**30:.1f} GiB" if size else "nobody knows how much it had"


@contextmanager
def _main_script_aside() -> Iterator[None]:
    """Hide the main script: multiprocessing would run it again in each worker, where a user's script searches again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Worker:
    """A process, the pipe to it, and the file that takes what it prints."""

    def __init__(self, process: Any, connection: Connection, output: Path) -> None:
        self.process = process
        self.connection = connection
        self.most_bytes = 0
        self._output = output
        # By SIGKILL, before anybody here asked it to end.
        self.was_killed = False
        self._kills_before = count_out_of_memory_kills()

    def receive(self) -> tuple[str, Any]:
        """Return the next message; where there will be none, `died` or `starved` (of memory) with the reason."""
        try:
            message: tuple[str, Any] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            self.was_killed = self.process.exitcode == -signal.SIGKILL
            # The system kills whoever has the most, and says only that it did.
            is_starved = self.was_killed and count_out_of_memory_kills() > self._kills_before
            return "starved" if is_starved else "died", self._describe_death(is_starved)
        return message

    def note_memory(self) -> None:
        """Look at how much memory it has, so that the most is known when it is gone."""
        self.most_bytes = max(self.most_bytes, memory_of(self.process.pid))

    def send(self, kind: str, content: Any) -> None:
        """Say something; where nobody is left to hear it, `receive` will tell."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((kind, content))

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

    def _describe_death(self, is_starved: bool) -> str:
        code = self.process.exitcode
        cause = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code} without a result"
        if is_starved:
            cause = f"the system ran out of memory and killed it; {describe_memory(self.most_bytes)}"
        return f"the worker ended: {cause}{self._last_words()}"

    def _last_words(self) -> str:
        try:
            with self._output.open("rb") as stream:
                stream.seek(max(0, self._output.stat().st_size - _SHOWN_OUTPUT_BYTES))
                words = stream.read().decode(errors="replace").strip()
        except OSError:
            return ""
        return f"; it last printed: {words}" if words else ""


class Mailbox:
    """What passes between a worker and its parent, seen from the worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._letters: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._jobs: list[tuple[Key, Any]] = []
        self._reasons: dict[Key, str] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Take what the parent says; when its end of the pipe closes, it is gone, and so is the reason to work."""
        try:
            while True:
                self._letters.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(1)

    def receive(self) -> tuple[str, Any]:
        """Wait for the next thing that the parent says."""
        return self._letters.get()

    def next_jobs(self, *, wait: bool) -> list[tuple[Key, Any]]:
        """Return the trials to begin with, by number and part; where none is to be waited for, there may be none.

        All that wait: slots that become free together are filled one by one, and few trials use a processor badly.
        """
        self._sort_letters()
        while wait and not self._jobs:
            self._sort(*self.receive())
            self._sort_letters()
        jobs, self._jobs = self._jobs, []
        return jobs

    def reason_to_end(self, trial: Key) -> str:
        """Return why a trial has to end with the epoch under way; nothing where it may go on."""
        self._sort_letters()
        return self._reasons.get(trial, "")

    def _sort_letters(self) -> None:
        """Take what has come since."""
        with suppress(queue.Empty):
            while True:
                self._sort(*self._letters.get_nowait())

    def _sort(self, kind: str, content: Any) -> None:
        if kind == "jobs":
            self._jobs += content
        else:
            self._reasons.update(content)

    def send(self, kind: str, content: Any) -> None:
        """Tell the parent."""
        self._connection.send((kind, content))


def _answer(mailbox: Mailbox, function: Callable[..., object], *arguments: Any) -> None:
    """Run a function and send what it returns."""
    mailbox.send("returned", function(*arguments))


def _answer_one_by_one(mailbox: Mailbox, function: Callable[..., Iterable[object]], *arguments: Any) -> None:
    """Run a function and send each thing that it yields."""
    for item in function(*arguments):
        mailbox.send("yielded", item)
    mailbox.send("returned", None)


def _attend(connection: Connection, function: Callable[..., object], arguments: tuple[Any, ...], output: str) -> None:
    """Run in the worker: do the work, and say what went wrong."""
    # Ctrl-C reaches the whole process group; what happens then is the parent's decision alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    mailbox = Mailbox(connection)
    try:
        function(mailbox, *arguments)
    except HptuneError as error:
        mailbox.send("refused", error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        # TensorFlow's own kind is told by its name: this module does not import it.
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            mailbox.send("refused", MemoryShortError(*SHORT_OF_MEMORY))
        else:
            mailbox.send("failed", traceback.format_exc())
    finally:
        remove_generated_files()


def remove_generated_files() -> None:
    """Remove what TensorFlow has written to the temporary folder for functions of Keras.

    It does so itself when an interpreter exits; a worker is ended, or forked, and never comes to that.
    """
    for name in [name for name in sys.modules if name.startswith(_GENERATED)]:
        Path(str(sys.modules[name].__file__)).unlink(missing_ok=True)
