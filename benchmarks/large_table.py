"""A table of 500,000 rows and 50 columns: what a worker needs to train on it.

Usage: python benchmarks/large_table.py [--rows 500000] [--columns 50] [--trials 16] [--workers 2]

Makes a Parquet file of noise with a class that depends on some of it, searches it, and looks five times a second at
each worker: its proportional set size (what it shares with others counts once), and the peak of its resident set,
VmHWM of Linux's /proc/PID/status, in which shared pages and the mapped arrays count whole. Prints both, and the whole
process's duration. Ends with 1 where the peak of any worker is above 4 GiB.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from processes import memory_mib, peak_mib, workers_of

EXPERIMENT = """
name: large
data: {{source: large.parquet, target: label, split: {{validation: 0.2, test: 0.1, seed: 1}}}}
objective: {{metric: accuracy, direction: max}}
strategy: {{name: random, seed: 1}}
budget: {{max_trials: {trials}}}
model: {{blocks: 2, units: [64, 128], batch_norm: before, dropout: {{min: 0.0, max: 0.3}}}}
training:
  learning_rate: {{min: 1e-3, max: 1e-2, log: true}}
  batch_size: 1024
  epochs: 2
"""
MOST_MIB = 4096
LOOK_S = 0.2


def write_table(path: Path, rows: int, columns: int) -> None:
    """Write the table."""
    generator = np.random.default_rng(1)
    numbers = generator.normal(size=(rows, columns)).astype(np.float32)
    signal = numbers[:, :5].sum(1) + numbers[:, 5] * numbers[:, 6] + generator.normal(size=rows)
    frame = pl.DataFrame({f"x{column}": numbers[:, column] for column in range(columns)})
    frame.with_columns(label=pl.Series(np.where(signal > 0, "yes", "no"))).write_parquet(path)


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    # Who ends this ends the search with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shares: dict[int, float] = {}
    peaks: dict[int, float] = {}
    parent = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_table(folder / "large.parquet", asked.rows, asked.columns)
        (folder / "large.yaml").write_text(EXPERIMENT.format(trials=asked.trials))
        command = [str(Path(sys.executable).with_name("hptune")), "search", "large.yaml", "--workers"]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        began = time.monotonic()
        with (
            (folder / "output").open("w") as output,
            subprocess.Popen(
                [*command, str(asked.workers)], cwd=folder, env=environment, stdout=output, stderr=output
            ) as process,
        ):
            try:
                while process.poll() is None:
                    for worker in workers_of(process.pid):
                        shares[worker] = max(shares.get(worker, 0.0), memory_mib(worker))
                        peaks[worker] = max(peaks.get(worker, 0.0), peak_mib(worker))
                    parent = max(parent, peak_mib(process.pid))
                    time.sleep(LOOK_S)
            finally:
                process.terminate()
        took = time.monotonic() - began
        if process.returncode != 0:
            sys.exit(f"the search ended with {process.returncode}:\n{(folder / 'output').read_text()}")
    print(f"{asked.rows} rows, {asked.columns} columns, {asked.trials} trials: {took:.0f} s")
    for worker, peak in peaks.items():
        print(
            f"process {worker}: {peak:.0f} MiB at most (VmHWM), of which {shares[worker]:.0f} are its own share (PSS)"
        )
    print(f"parent: {parent:.0f} MiB at most (VmHWM)")
    if max(peaks.values(), default=0.0) > MOST_MIB:
        sys.exit(f"a worker had more than {MOST_MIB} MiB")


if __name__ == "__main__":
    main()
