"""What befalls the forks of the nursery; without pytest, which each of them would have to import.

Functions that are called first in a fork (`prepare`), that say how a trial ends (`ending`), or that a fork runs.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import sys
import time
from pathlib import Path

from faults import Fault, FaultyDisk, Kind, die_in_earnest
from stand_in import make_bench

from hptune.errors import StorageError
from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder
from hptune.trial import Outcome, Proposal


def search_with_one_kill(folder: str, strategy: str, at: int, kind: Kind) -> None:
    """Search in a process of its own that is killed in earnest at an operation."""
    bench = make_bench(Path(folder), strategy)
    with FaultyDisk(bench.folder, Fault(at, kind), die=die_in_earnest).installed():
        bench.search()


def search(folder: str, strategy: str) -> None:
    make_bench(Path(folder), strategy).search()


def crash_the_first(proposal: Proposal, attempt: int) -> Outcome:
    return Outcome.CRASHED if proposal.trial == 0 else Outcome.COMPLETED


def slowly(proposal: Proposal, attempt: int) -> Outcome:
    time.sleep(0.3)
    return Outcome.COMPLETED


def stumble(proposal: Proposal, attempt: int) -> Outcome:
    if proposal.trial == 2:
        raise KeyError("a fault of ours")
    return Outcome.COMPLETED


def diverge(proposal: Proposal, attempt: int) -> Outcome:
    return Outcome.DIVERGED if proposal.trial % 2 else Outcome.INFEASIBLE


def three_fail_in_a_row(proposal: Proposal, attempt: int) -> Outcome:
    return Outcome.DIVERGED if proposal.trial < 3 else Outcome.COMPLETED


def other_versions() -> None:
    """Be another version of a package on another processor."""
    import hptune.session

    versions = hptune.session.describe_versions() | {"numpy": "9.9.9"}
    hptune.session.describe_versions = lambda: versions
    hptune.session.describe_processor = lambda: "another processor"


def for_ever(proposal: Proposal, attempt: int) -> Outcome:
    if proposal.trial == 1:
        time.sleep(60)
    return Outcome.COMPLETED


def nobody_reads() -> None:
    """Let standard output be a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


def closed_terminal() -> None:
    """Let everything go to a terminal that was closed."""
    ours, theirs = os.openpty()
    os.dup2(theirs, 1)
    os.dup2(theirs, 2)
    os.close(ours)


def in_kiribati() -> None:
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()


def without_zone() -> None:
    os.environ.pop("TZ", None)
    time.tzset()


def interrupt_while_weights_are_written() -> None:
    """Let SIGINT arrive between the writing of a file and its renaming."""
    real = os.replace

    def replace(source: object, target: object, **options: object) -> None:
        if str(target).endswith("trials/0001/weights.npz"):
            os.kill(os.getpid(), signal.SIGINT)
        real(source, target, **options)  # type: ignore[call-overload]

    os.replace = replace  # type: ignore[assignment]


def mounted_as(mounts: str) -> None:
    """Let the system tell of other mounts than there are."""
    import hptune.run.filesystem
    import hptune.session

    real = hptune.run.filesystem.warn_of_sharing
    hptune.session.warn_of_sharing = lambda path: real(path, Path(mounts))  # type: ignore[attr-defined]


def limit_file_size(size: int) -> None:
    """Let every file be full at a size, as a disk is."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def without_privileges() -> None:
    """Be bound by permissions also where the tests run as root."""
    if os.geteuid() == 0:
        header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
            raise OSError(ctypes.get_errno(), "capset")


def try_every_weights_file(folder: str, output: str) -> None:
    without_privileges()
    run = RunFolder(Path(folder))
    for trial in summarize(run).leaderboard.trials:
        try:
            run.verified(trial.file("weights.npz"))
        except StorageError as error:
            Path(output).write_text(str(error))


def limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


# What none of the commands that read has to do.
NEVER = ("os.exec", "os.posix_spawn", "os.system", "pickle.find_class", "socket.connect", "subprocess.Popen")
CODE = (".py", ".pyc", ".pkl", ".pickle", ".dill", ".pth", ".joblib", ".h5", ".keras")


def watch_for_code(folder: str, report: str) -> None:
    """Write down everything that could run code from a folder, and whatever nothing that reads has to do at all."""

    def see(event: str, arguments: tuple[object, ...]) -> None:
        if event in NEVER:
            note(event, arguments)
        elif event in ("exec", "compile"):
            name = getattr(arguments[0], "co_filename", "") if event == "exec" else arguments[1]
            if str(name).startswith(folder):
                note(event, arguments)
        elif event == "open" and str(arguments[0]).startswith(folder) and str(arguments[0]).endswith(CODE):
            note(event, arguments)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        with os.fdopen(os.open(report, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as stream:
            stream.write(f"{event}: {arguments!r}\n"[:300])

    sys.addaudithook(see)


def watch_and_sin(folder: str, report: str) -> None:
    """Do what the watch must see: run code of the folder, open what holds code, and start a process."""
    watch_for_code(folder, report)
    path = Path(folder) / "sitecustomize.py"
    exec(compile(path.read_text(), str(path), "exec"), {})
    pickle.loads((Path(folder) / "tuner.pkl").read_bytes())
