"""Very many trials of a tiny network in one run: how long it takes, and whether any process grows.

Usage: python benchmarks/endurance.py [--trials 10000] [--workers 2] [--profile FILE]

Trains for real: wine (178 rows), networks of 4 or 8 units, 5 epochs, each trial with its files and records on the disk.
Looks at the memory of the search and of each of its workers every five seconds (proportional set size, from Linux's
/proc/PID/smaps_rollup, so that what a worker shares with the process it was forked from counts once). Prints a line for
each twentieth of the trials, and the whole process's duration with start-up and the delivery of the best model.

Ends with 1 where a process grew by more than its bound after the first fifth of the trials: the parent and the
process of its strategy 10 KiB each for a further trial (they remember each: settings, scores, files), a worker 64 MiB
in all, whatever the number of trials.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from processes import memory_mib, workers_of

EXPERIMENT = """
name: endurance
data: {{source: sklearn:wine, target: target}}
objective: {{metric: accuracy, direction: max}}
strategy: {{name: random, seed: 1}}
budget: {{max_trials: {trials}}}
model:
  blocks: 1
  units: [4, 8]
  batch_norm: [none, before]
  dropout: {{min: 0.0, max: 0.5}}
  l2: {{min: 1e-6, max: 1e-2, log: true}}
training:
  learning_rate: {{min: 1e-3, max: 1e-1, log: true}}
  batch_size: 32
  epochs: 5
"""
KIB_A_TRIAL = 10
WORKER_MIB = 64
# Before a fifth of the trials, traces, arrays and the allocator's pools are still being filled.
WARM_SHARE = 0.2
# A look takes a tenth of a second of processor time.
LOOK_S = 5.0
LINES = 20


@dataclass(frozen=True)
class Look:
    """The memory of a search at a moment.

    Attributes:
        seconds: Since it began.
        trials: That have ended.
        parent_mib: Of the process that searches.
        strategy_mib: Of the process that proposes.
        workers_mib: Of each worker, by its process number.
    """

    seconds: float
    trials: int
    parent_mib: float
    strategy_mib: float
    workers_mib: dict[int, float]


class Ends:
    """Counts the trials that have ended, reading only what the journal has more than before."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._position = 0
        self.count = 0

    def look(self) -> int:
        """Return how many have ended."""
        with suppress(FileNotFoundError), self._journal.open("rb") as stream:
            stream.seek(self._position)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                self.count += b'"type":"end"' in line
        return self.count


def watch(process: subprocess.Popen[bytes], journal: Path) -> Iterator[Look]:
    """Look at a search until it ends; the fork server, a child of it, has forked the strategy first, then workers."""
    began, ends = time.monotonic(), Ends(journal)
    while process.poll() is None:
        strategy, *workers = workers_of(process.pid) or [0]
        memories = {worker: memory_mib(worker) for worker in workers}
        yield Look(time.monotonic() - began, ends.look(), memory_mib(process.pid), memory_mib(strategy), memories)
        time.sleep(LOOK_S)


def growth_mib(looks: list[Look], trials: int) -> tuple[float, float, float]:
    """Return by how much the parent, the strategy and the largest worker have grown after a fifth of the trials.

    Both times the median over a tenth of the trials counts; delivering the best model, at the end, does not.
    """
    training = [look for look in looks if look.workers_mib and look.trials < trials]
    spans = [
        [look for look in training if low * trials <= look.trials < (low + 0.1) * trials] for low in (WARM_SHARE, 0.9)
    ]
    if not all(spans):
        sys.exit("too few looks at too short a search: try more trials")
    before, after = (
        (
            statistics.median(look.parent_mib for look in span),
            statistics.median(look.strategy_mib for look in span),
            statistics.median(max(look.workers_mib.values()) for look in span),
        )
        for span in spans
    )
    parent, strategy, worker = (late - early for early, late in zip(before, after, strict=True))
    return parent, strategy, worker


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile", type=Path, help="a file for cProfile's figures of the parent")
    asked = parser.parse_args()
    # Who ends this ends the search with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    profiled = ["-m", "cProfile", "-o", str(asked.profile.absolute())] if asked.profile else []
    hptune = str(Path(sys.executable).with_name("hptune"))
    command = [sys.executable, *profiled, hptune, "search", "endurance.yaml", "--quiet"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "endurance.yaml").write_text(EXPERIMENT.format(trials=asked.trials))
        began = time.monotonic()
        looks: list[Look] = []
        with (
            (folder / "output").open("wb") as output,
            subprocess.Popen(
                [*command, "--workers", str(asked.workers)], cwd=folder, env=environment, stdout=output, stderr=output
            ) as process,
        ):
            print(f"{'trials':>7} {'seconds':>8} {'parent':>7} {'strategy':>8}  workers (MiB)")
            try:
                for look in watch(process, folder / "runs" / "endurance" / "journal.jsonl"):
                    if look.trials * LINES // asked.trials > (looks[-1].trials if looks else 0) * LINES // asked.trials:
                        workers = " ".join(f"{memory:.0f}" for memory in look.workers_mib.values())
                        own = f"{look.parent_mib:>7.1f} {look.strategy_mib:>8.1f}"
                        print(f"{look.trials:>7} {look.seconds:>8.1f} {own}  {workers}", flush=True)
                    looks.append(look)
            finally:
                process.terminate()
        took = time.monotonic() - began
        if process.returncode != 0:
            sys.exit(f"the search ended with {process.returncode}:\n{(folder / 'output').read_text()}")
        journal = (folder / "runs" / "endurance" / "journal.jsonl").stat().st_size
    parent, strategy, worker = growth_mib(looks, asked.trials)
    bound = KIB_A_TRIAL * asked.trials * (0.9 - WARM_SHARE) / 1024
    print(f"{asked.trials} trials in {took / 60:.1f} minutes, {1000 * took / asked.trials:.1f} ms a trial")
    print(f"journal {journal / 2**20:.1f} MiB")
    print(f"the parent grew by {parent:.1f} MiB and the strategy by {strategy:.1f} (bound of each {bound:.1f})")
    print(f"the largest worker grew by {worker:.1f} MiB (bound {WORKER_MIB})")
    if max(parent, strategy) > bound or worker > WORKER_MIB:
        sys.exit("memory grew beyond its bound")


if __name__ == "__main__":
    main()
