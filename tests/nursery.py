"""Processes that are born with keras_tuner in memory: forked from one that has imported it, which takes six seconds.

Run as a script, this file is that process: for each connection to its socket it forks a keeper, which forks the case
and says how it ended. The fork server of hptune's workers is begun once and serves the searches of all forks.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Client, Connection
from pathlib import Path
from types import TracebackType
from typing import Any

START_S = 120
LONGEST_S = 60
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
        code: Exit code, or minus the number of the signal that killed it.
        peak_mib: The most memory that it had.
    """

    code: int
    peak_mib: float


class Child:
    """A process under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.pid: int = self._receive(START_S)

    def _receive(self, timeout_s: float) -> Any:
        assert self._connection.poll(timeout_s), f"no word from the nursery within {timeout_s} s"
        return self._connection.recv()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it is still there."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, timeout_s: float = LONGEST_S) -> Ending:
        """Wait for its end; one that takes longer is killed, and the test fails."""
        try:
            ending: Ending = self._receive(timeout_s)
        except AssertionError:
            self.kill()
            raise
        return ending


class Nursery:
    """The process that has imported everything, from outside."""

    def __enter__(self) -> Nursery:
        self._folder = Path(tempfile.mkdtemp(prefix="hptune-torture-"))
        self._address = str(self._folder / "socket")
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=START_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, function: Callable[..., object], *arguments: Any) -> Child:
        """Run a function of an importable module in a fork; what it raises ends the fork with code 70."""
        connection = Client(self._address, "AF_UNIX")
        connection.send((function, arguments))
        return Child(connection)

    def run_hptune(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line as it is, stand-ins for nothing, and keep its two outputs apart."""
        child, said = self.begin_hptune(words, folder, environment)
        code = child.wait(timeout_s).code
        return subprocess.CompletedProcess(["hptune", *words], code, *(path.read_text() for path in said))

    def begin_hptune(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> tuple[Child, tuple[Path, Path]]:
        """Begin a command line as it is; return the process and the files of its two outputs."""
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        said = scratch / "out", scratch / "error"
        child = self.start(run_command_line, tuple(words), str(folder), [str(path) for path in said], dict(environment))
        return child, said

    def call(self, function: Callable[..., object], *arguments: Any) -> Ending:
        """Run a function in a fork and wait for its end."""
        return self.start(function, *arguments).wait()

    def hptune(self, words: Sequence[str], folder: Path, **options: Any) -> tuple[int, str]:
        """Run a command line with the stand-ins; return exit code and everything printed."""
        child, output = self.start_hptune(words, folder, **options)
        return child.wait().code, output.read_text()

    def start_hptune(self, words: Sequence[str], folder: Path, **options: Any) -> tuple[Child, Path]:
        """Begin a command line; return the process and the file that takes what it prints."""
        from stand_in import command_line

        number, path = tempfile.mkstemp(dir=self._folder, suffix=".txt")
        os.close(number)
        return self.start(command_line, tuple(words), str(folder), path, options), Path(path)


@cache
def shared_nursery() -> Nursery:
    """The one of this test process; it ends with it."""
    nursery = Nursery().__enter__()
    atexit.register(nursery.__exit__, None, None, None)
    return nursery


def run_command_line(words: Sequence[str], folder: str, outputs: Sequence[str], environment: Mapping[str, str]) -> None:
    """Be the process of a command line; never returns.

    Args:
        words: The arguments.
        folder: The current folder.
        outputs: Files for standard output and standard error.
        environment: All of it.
    """
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # Where the workers of this process begin.
    multiprocessing.process.ORIGINAL_DIR = folder
    for number, path in enumerate(("/dev/null", *outputs)):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    sys.argv = ["hptune", *words]
    _adopt_fork_server()
    from hptune.cli import main

    main()


def _adopt_fork_server() -> None:
    """Take the fork server as alive: it is no child of this process, which may not wait for it to find that out."""
    wait, server = os.waitpid, forkserver._forkserver._forkserver_pid

    def wait_for_own(pid: int, options: int) -> tuple[int, int]:
        return (0, 0) if pid == server else wait(pid, options)

    os.waitpid = wait_for_own


def wait_for(happened: Callable[[], bool], timeout_s: float = LONGEST_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s} s"
        time.sleep(0.002)


def _serve(address: str) -> None:
    """Fork a keeper for each connection, until standard input is closed."""
    import misfortunes  # noqa: F401 - imported for the forks

    from hptune.interruption import Interruption
    from hptune.quiet import quiet_errors
    from hptune.training.workers import WarmProcesses

    with quiet_errors():
        for name in ("strategies.random", "strategies.grid", "strategies.bayesian", "strategies.hyperband", "cli"):
            import_module(f"hptune.{name}")
        for name in ("screen", "progress"):
            import_module(f"hptune.console.{name}")
    with WarmProcesses(Interruption()):
        pass
    # A fork whose files may not grow would leave half a compiled module.
    sys.dont_write_bytecode = True
    # Keepers are nobody's concern once they have ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            accepted, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _keep(Connection(accepted.detach()))
            accepted.close()


def _keep(connection: Connection) -> None:
    """Fork the case, and say which process it is and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    function, arguments = connection.recv()
    pid = os.fork()
    if pid == 0:
        connection.close()
        _be_born(function, arguments)
    connection.send(pid)
    _, status, usage = os.wait4(pid, 0)
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    connection.send(Ending(os.waitstatus_to_exitcode(status), peak))
    os._exit(0)


def _be_born(function: Callable[..., object], arguments: Sequence[Any]) -> None:
    code = 70
    try:
        function(*arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # noqa: BLE001 - whatever it is, the fork ends here
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


if __name__ == "__main__":
    sys.path[:0] = [str(_HERE), str(_HERE / "torture")]
    # What is pickled by tests is called `nursery.Ending`, not `__main__.Ending`.
    import nursery

    nursery._serve(sys.argv[1])
