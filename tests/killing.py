"""Real searches that are killed: which processes they have, when they are struck, and what must be equal afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from command_line import begin, hptune
from nursery import Child

from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder
from hptune.run.journal import read_journal
from hptune.trial import Outcome

MOST_SECONDS = 120
_LOOK_S = 0.005
# Their bytes tell clocks, process numbers, or names that Keras counts up; everything else in a run must be equal.
_VARYING = ("journal.jsonl", "hptune.log", "timings.csv", "report.html", "environment.json", "best/model.keras")


class Victim(StrEnum):
    """Who gets SIGKILL."""

    SEARCH = "the search"
    WORKERS = "its workers"
    ALL = "both at once"


@dataclass
class Killed:
    """A search that is killed again and again, and what it has announced so far.

    Attributes:
        folder: The current folder of its command.
        run: Of the search.
        words: The command.
        announced: Number, outcome and score of every trial of which the command said that it has finished.
        strikes: How many times somebody was killed.
    """

    folder: Path
    run: RunFolder
    words: Sequence[str | Path]
    announced: dict[int, tuple[str, float]] = field(default_factory=dict)
    strikes: int = 0

    def strike(self, victim: Victim, records: int, seconds: float, workers: int) -> None:
        """Begin the search, or go on with it, and kill somebody a little after it has so many records."""
        child, said = begin(*self.words, "--json", "--workers", str(workers), folder=self.folder)
        is_over = ending_of(child)
        deadline = time.monotonic() + MOST_SECONDS
        while not is_over() and _count_lines(self.run.journal) < records:
            assert time.monotonic() < deadline
            time.sleep(_LOOK_S)
        time.sleep(seconds)
        if victim is not Victim.SEARCH:
            for worker in workers_of(self.run):
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    self.strikes += 1
        if victim is not Victim.WORKERS:
            child.kill()
            self.strikes += 1
        # Where the workers alone have died, it goes on with others.
        child.wait(MOST_SECONDS)
        self._listen(said)
        self.check_announced()

    def finish(self, workers: int) -> None:
        """Let the search end."""
        hptune(*self.words, "--quiet", "--workers", str(workers), folder=self.folder)
        self.check_announced()

    def _listen(self, said: Path) -> None:
        for line in said.read_text().splitlines(keepends=True):
            # The last one may be torn.
            entry = json.loads(line) if line.endswith("\n") else {}
            if entry.get("type") == "trial" and entry["score"] is not None:
                self.announced[entry["trial"]] = entry["status"], entry["score"]

    def check_announced(self) -> None:
        """P0: a report shows every announced trial as it was announced."""
        if not self.announced:
            return
        known = {(trial.number, trial.outcome.value, trial.score) for trial in summarize(self.run).leaderboard.trials}
        # What was halted may have gone on since; then it is on record still.
        known |= {
            (record["trial"], Outcome.PAUSED.value, record["score"])
            for record in read_journal(self.run.journal).records
            if record["type"] == "pause"
        }
        assert {(number, *told) for number, told in self.announced.items()} <= known


def ending_of(child: Child) -> Callable[[], bool]:
    """Tell whether a process has ended, without waiting for it."""
    stat = Path(f"/proc/{child.pid}/stat")

    def is_over() -> bool:
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    return is_over


def _count_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def workers_of(run: RunFolder) -> list[int]:
    """Find the processes whose output goes into a run: those that train for it, and that build its best model."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if Path(os.readlink(process / "fd" / "1")).is_relative_to(run.path):
                    found.append(int(process.name))
    return found


def kill_at_random(search: Killed, victims: Sequence[Victim], records: int, chance: random.Random) -> None:
    """Strike one after the other at random instants: in the midst of training, of writing, or at the very end.

    Args:
        search: That is killed.
        victims: Who, each time.
        records: That the undisturbed search has.
        chance: Draws the instants, and with how many workers it goes on.
    """
    least = 1
    for victim in victims:
        # Each later than the one before, so that a search that goes on is struck before it is done.
        least = chance.randint(least, records)
        search.strike(victim, least, chance.uniform(0, 0.4), chance.randint(1, 3))
    search.finish(chance.randint(1, 3))


def count_records(run: RunFolder) -> int:
    """Count the records of a run."""
    return len(read_journal(run.journal).records)


def results_of(run: RunFolder) -> dict[str, bytes]:
    """Return every byte that a search has achieved, with the weights inside the best model."""
    found = {run.relative(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for name in _VARYING:
        found.pop(name, None)
    with zipfile.ZipFile(run.best / "model.keras") as archive:
        found["weights of the best model"] = archive.read("model.weights.h5")
    return found


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """Name the files in which two runs differ."""
    first, second = results_of(one), results_of(other)
    assert {"leaderboard.csv", "leaderboard.json", "history.csv", "best/metrics.json"} <= first.keys()
    return [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
