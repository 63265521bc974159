"""The same space, trials, epochs and data through hptune and through a plain KerasTuner script, in turn.

Usage: python benchmarks/against_keras_tuner.py [--trials 12] [--epochs 20] [--rounds 3]

Each round times both as whole processes (start-up included), in alternating order, and prints seconds a trial, the
largest memory of the process and its children together, and the ratio. Medians over the rounds are printed last.
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
  blocks: 3
  units: 128
  batch_norm: before
  residual: true
  dropout: {{min: 0.0, max: 0.6}}
  l1: {{min: 1e-7, max: 1e-3, log: true}}
  l2: {{min: 1e-7, max: 1e-3, log: true}}
training:
  learning_rate: {{min: 1e-4, max: 1e-1, log: true}}
  batch_size: 64
  epochs: {epochs}
  early_stopping: null
"""
PLAIN = Path(__file__).with_name("plain_keras_tuner.py")
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    ours: list[Measured] = []
    theirs: list[Measured] = []
    print(f"digits, 3 blocks of 128, batch 64, {asked.trials} trials of {asked.epochs} epochs, whole processes")
    print(f"{'round':>5} {'hptune s/trial':>15} {'KerasTuner s/trial':>19} {'ratio':>6} {'MiB':>6} {'MiB':>6}")
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "bench.yaml").write_text(EXPERIMENT.format(trials=asked.trials, epochs=asked.epochs))
            own = [str(Path(sys.executable).with_name("hptune")), "search", "bench.yaml", "--quiet"]
            plain = [sys.executable, str(PLAIN), str(asked.trials), str(asked.epochs)]
            # Alternating order, because the speed of a machine drifts.
            for side, command in ((ours, own), (theirs, plain))[:: 1 if number % 2 == 0 else -1]:
                side.append(measure(command, folder))
        left, right = ours[-1], theirs[-1]
        print(
            f"{number + 1:>5} {left.seconds / asked.trials:>15.2f} {right.seconds / asked.trials:>19.2f} "
            f"{right.seconds / left.seconds:>6.2f} {left.memory_mib:>6.0f} {right.memory_mib:>6.0f}",
            flush=True,
        )
    ratio = statistics.median(right.seconds / left.seconds for left, right in zip(ours, theirs, strict=True))
    print(f"median: hptune needs {1 / ratio:.2f} of KerasTuner's time, {ratio:.2f} times the trials a minute")


if __name__ == "__main__":
    main()
