"""The same space, trials, epochs and data through hptune and through a plain KerasTuner script, in turn.

Usage: python benchmarks/against_keras_tuner.py [--trials 192] [--epochs 20] [--rounds 3] [--work narrow]

Each round times both as whole processes (start-up included), in alternating order, and prints seconds a trial, the
largest memory of the process and its children together, and the ratio; medians over the rounds last. KerasTuner trains
fewer trials: it needs the same time for each, and its start-up, spread over them, is a tenth of it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

EXPERIMENT = """
name: bench
data: {{source: sklearn:digits, target: target, preparation: {{numeric: none}}}}
objective: {{metric: accuracy, direction: max}}
strategy: {{name: random, seed: 1}}
budget: {{max_trials: {trials}}}
model:
  input_batch_norm: true
  blocks: {blocks}
  units: {units}
  batch_norm: before
  residual: true
  dropout: {{min: 0.0, max: 0.6}}
  l1: {{min: 1e-7, max: 1e-3, log: true}}
  l2: {{min: 1e-7, max: 1e-3, log: true}}
training:
  learning_rate: {{min: 1e-4, max: 1e-1, log: true}}
  batch_size: {batch_size}
  epochs: {epochs}
  early_stopping: null
"""
WORKS = {
    "narrow": {"blocks": "3", "units": "32", "batch_size": "32"},
    "wide": {"blocks": "3", "units": "128", "batch_size": "64"},
    "mixed": {"blocks": "{min: 1, max: 4}", "units": "[32, 64, 128]", "batch_size": "[32, 64]"},
}
FOLDER = Path(__file__).parent
_LOOK_S = 0.1


@dataclass(frozen=True)
class Measured:
    """One whole process: wall-clock seconds and the largest resident memory of its family in MiB."""

    seconds: float
    memory_mib: float


def family_memory_mib(root: int) -> float:
    """Sum the proportional memory of a process and its descendants, so that shared pages count once."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    total, pending = 0.0, [root]
    while pending:
        process = pending.pop()
        pending.extend(children.get(process, ()))
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    largest = 0.0
    words: list[str] = []
    reader = threading.Thread(target=lambda: words.extend(process.stderr or ()))
    reader.start()
    while process.poll() is None:
        if Path("/proc/self/smaps_rollup").exists():
            largest = max(largest, family_memory_mib(process.pid))
        time.sleep(_LOOK_S)
    seconds = time.monotonic() - began
    reader.join()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(words)}")
    return Measured(seconds, largest)


def median(values: list[float]) -> float:
    """Return the median of a list that is never empty."""
    return statistics.median(values)


def peer(work: str, trials: int, epochs: int) -> list[str]:
    """Return the command that does the same with plain KerasTuner."""
    if work == "mixed":
        return [sys.executable, str(FOLDER / "mixed_keras_tuner.py"), str(trials), str(epochs)]
    shape = WORKS[work]["units"], WORKS[work]["batch_size"]
    return [sys.executable, str(FOLDER / "plain_keras_tuner.py"), str(trials), str(epochs), *shape]


def compare(work: str, asked: argparse.Namespace) -> None:
    """Measure one kind of work in turn, and print a line a round and the medians."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            written = EXPERIMENT.format(trials=asked.trials, epochs=asked.epochs, **WORKS[work])
            (folder / "bench.yaml").write_text(written)
            own = [str(Path(sys.executable).with_name("hptune")), "search", "bench.yaml", "--quiet"]
            plain = peer(work, asked.peer_trials, asked.epochs)
            measured: dict[str, Measured] = {}
            # Alternating order, because the speed of a machine drifts.
            for side, command in (("hptune", own), ("KerasTuner", plain))[:: 1 if number % 2 == 0 else -1]:
                measured[side] = measure(command, folder)
        left, right = measured["hptune"], measured["KerasTuner"]
        ours.append(left.seconds / asked.trials)
        theirs.append(right.seconds / asked.peer_trials)
        print(
            f"{work:>7} {number + 1:>5} {ours[-1]:>15.3f} {theirs[-1]:>19.2f} "
            f"{theirs[-1] / ours[-1]:>6.1f} {left.memory_mib:>6.0f} {right.memory_mib:>6.0f}",
            flush=True,
        )
    ratio = median([their / our for our, their in zip(ours, theirs, strict=True)])
    print(f"{work:>7} median {median(ours):>14.3f} {median(theirs):>19.2f} {ratio:>6.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=192)
    parser.add_argument("--peer-trials", type=int, default=16, help="of KerasTuner, whose time a trial is constant")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=tuple(WORKS), action="append")
    asked = parser.parse_args()
    print(f"digits, {asked.trials} trials of {asked.epochs} epochs, whole processes with start-up")
    print("   work round  hptune s/trial  KerasTuner s/trial  ratio    MiB    MiB")
    for work in asked.work or WORKS:
        compare(work, asked)


if __name__ == "__main__":
    main()
