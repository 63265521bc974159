"""The same space, trials, epochs and data through hptune and through plain scripts of its peers, in turn.

Usage: python benchmarks/against_peers.py [--trials 192] [--epochs 20] [--rounds 3] [--work narrow] [--peer Optuna]

Each round times all as whole processes (start-up included), in alternating order, and prints seconds a trial, the
largest memory of the process and its children together, and the ratio; medians over the rounds last. The peers train
fewer trials: they need the same time for each, and their start-up, spread over them, is less than a tenth of it.
Hyperband goes through the same brackets everywhere, on the table satimage, which is not part of this project; with
`--hyperband-epochs 50`, which is hptune's default, a round of KerasTuner takes half an hour.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import family_memory_mib

EXPERIMENT = """
name: bench
data: {data}
objective: {{metric: accuracy, direction: max}}
strategy: {strategy}
budget: {budget}
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
MIXED = {"blocks": "[1, 2, 3, 4]", "units": "[32, 64, 128]", "batch_size": "[32, 64]"}
WORKS = {
    "narrow": {"blocks": "3", "units": "32", "batch_size": "32"},
    "wide": {"blocks": "3", "units": "128", "batch_size": "64"},
    "mixed": MIXED,
    "hyperband": MIXED,
}
PEERS = ("KerasTuner", "Optuna")
FOLDER = Path(__file__).parent
TABLES = Path(os.environ.get("HPTUNE_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))
SATIMAGE = TABLES / "satimage"
# Of the tables that are not part of this project.
TARGETS = {"satimage": "class", "eucalyptus": "target"}
DIGITS = "digits"
# To add up the memory of a family takes a tenth of a second of processor time, and holds it up meanwhile.
_LOOK_S = 2.0


@dataclass(frozen=True)
class Measured:
    """One whole process: wall-clock seconds, the largest resident memory of its family in MiB, and what it printed."""

    seconds: float
    memory_mib: float
    output: str


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with (folder / "output").open("w+") as output, (folder / "errors").open("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        largest = 0.0
        while not _ends_within(process, _LOOK_S):
            if Path("/proc/self/smaps_rollup").exists():
                largest = max(largest, family_memory_mib(process.pid))
        seconds = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read()}")
        return Measured(seconds, largest, output.read())


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def median(values: list[float]) -> float:
    """Return the median of a list that is never empty."""
    return statistics.median(values)


def write_experiment(
    folder: Path, work: str, strategy: str, budget: str, epochs: int, table: str = DIGITS
) -> list[str]:
    """Write the space of a work over a table as an experiment; return the command that searches it."""
    data = "{source: sklearn:digits, target: target, preparation: {numeric: none}}"
    if table != DIGITS:
        files = ", ".join(
            f"{part}: {TABLES / table / name}.csv"
            for part, name in (("train", "train"), ("validation", "val"), ("test", "test"))
        )
        data = f"{{source: {{{files}}}, target: {TARGETS[table]}}}"
    given = {"data": data, "strategy": strategy, "budget": budget, "epochs": epochs, **WORKS[work]}
    (folder / "bench.yaml").write_text(EXPERIMENT.format(**given))
    return [str(Path(sys.executable).with_name("hptune")), "search", "bench.yaml", "--quiet"]


def peer(name: str, work: str, trials: int, epochs: int) -> list[str]:
    """Return the command that does the same with a peer."""
    tables = [str(SATIMAGE)] if work == "hyperband" else []
    if name == "Optuna":
        return [sys.executable, str(FOLDER / "plain_optuna.py"), work, str(trials), str(epochs), "0", *tables]
    if work in ("mixed", "hyperband"):
        strategy = "random" if work == "mixed" else work
        mixed = str(FOLDER / "mixed_keras_tuner.py")
        return [sys.executable, mixed, strategy, str(trials), str(epochs), "0", *tables]
    shape = WORKS[work]["units"], WORKS[work]["batch_size"]
    return [sys.executable, str(FOLDER / "plain_keras_tuner.py"), str(trials), str(epochs), *shape]


def count_trials(run: Path) -> int:
    """Count the trials of a run."""
    return len((run / "leaderboard.csv").read_text().splitlines()) - 1


def compare(work: str, peers: Sequence[str], asked: argparse.Namespace) -> None:
    """Measure one kind of work in turn, and print a line for each round and peer, and the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in ("hptune", *peers)}
    is_hyperband = work == "hyperband"
    epochs = asked.hyperband_epochs if is_hyperband else asked.epochs
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            strategy = "{name: hyperband, factor: 3, seed: 1}" if is_hyperband else "{name: random, seed: 1}"
            budget = "{max_time: 1h}" if is_hyperband else f"{{max_trials: {asked.trials}}}"
            table = "satimage" if is_hyperband else DIGITS
            commands = {"hptune": write_experiment(folder, work, strategy, budget, epochs, table)}
            commands |= {name: peer(name, work, asked.peer_trials, epochs) for name in peers}
            # Alternating order, because the speed of a machine drifts.
            order = list(commands)[:: 1 if number % 2 == 0 else -1]
            measured = {name: measure(commands[name], folder) for name in order}
            trained = count_trials(folder / "runs" / "bench")
        for name in commands:
            # KerasTuner's Hyperband goes through all the brackets, as ours does.
            whole = name == "hptune" or (is_hyperband and name == "KerasTuner")
            seconds[name].append(measured[name].seconds / (trained if whole else asked.peer_trials))
        for name in peers:
            ours, theirs = seconds["hptune"][-1], seconds[name][-1]
            memories = f"{measured['hptune'].memory_mib:>6.0f} {measured[name].memory_mib:>6.0f}"
            line = f"{work:>9} {name:>10} {number + 1:>6} {ours:>15.3f} {theirs:>13.2f} {theirs / ours:>6.1f}"
            print(f"{line} {memories}", flush=True)
    for name in peers:
        ours, theirs = median(seconds["hptune"]), median(seconds[name])
        ratio = median([their / our for our, their in zip(seconds["hptune"], seconds[name], strict=True)])
        print(f"{work:>9} {name:>10} median {ours:>15.3f} {theirs:>13.2f} {ratio:>6.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=192)
    parser.add_argument("--peer-trials", type=int, default=12, help="of the peers, whose time a trial is constant")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hyperband-epochs", type=int, default=9, help="50 take KerasTuner half an hour")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=tuple(WORKS), action="append")
    parser.add_argument("--peer", choices=PEERS, action="append")
    asked = parser.parse_args()
    print(f"{asked.trials} trials of {asked.epochs} epochs, whole processes with start-up")
    print("     work       peer  round  hptune s/trial  peer s/trial  ratio    MiB    MiB")
    for work in asked.work or WORKS:
        if work == "hyperband" and not SATIMAGE.is_dir():
            print(f"hyperband: skipped, no table in {SATIMAGE}; set HPTUNE_SHARED_DATA to its parent's folder")
            continue
        compare(work, asked.peer or PEERS, asked)


if __name__ == "__main__":
    main()
