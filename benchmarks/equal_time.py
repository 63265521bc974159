"""The best validation score that each tool has found by the same wall-clock times, start-up included.

Usage: python benchmarks/equal_time.py [--seconds 60 300] [--seeds 5] [--table digits] [--batch growing 8] [--no-peers]

hptune's Bayesian search (with each width of batches asked for) against KerasTuner's and Optuna's TPE with Keras, in the
space `mixed` of against_peers.py. Each process runs for the longest time; what it had found earlier is read from when
its trials ended, so one run answers for every time. The peers keep no more than one core busy, so they run side by
side, each on a core of its own, where they were measured to be as fast as alone; hptune has all cores. Prints a line a
run, and the mean over the seeds last. What is found goes to `build/equal_time.jsonl`, and a later call goes on from
there: remove the file after a change of hptune. The peers' scripts take numbers only, so that hptune is alone on the
table eucalyptus.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from against_peers import DIGITS, FOLDER, PEERS, SATIMAGE, TABLES, TARGETS, measure, write_experiment

EPOCHS = 20
# The default: batches that grow with the results.
GROWING = "growing"
_CORES = os.cpu_count() or 1
RESULTS = FOLDER.parent / "build" / "equal_time.jsonl"
Found = list[tuple[float, float]]


def found_by_hptune(folder: Path, table: str, seed: int, batch: str, seconds: int) -> Found:
    """Search, and return seconds since the process began and score of each trial that ended."""
    width = "null" if batch == GROWING else batch
    strategy = f"{{name: bayesian, seed: {seed}, batch: {width}}}"
    command = write_experiment(folder, "mixed", strategy, f"{{max_time: {seconds}s}}", EPOCHS, table)
    began = datetime.now().astimezone()
    measure(command, folder)
    run = folder / "runs" / "bench"
    scores = {
        row["trial"]: float(row["score"])
        for row in csv.DictReader((run / "leaderboard.csv").open())
        if row["status"] == "completed"
    }
    ended = {}
    for line in (run / "journal.jsonl").open():
        record = json.loads(line)
        if record["type"] == "end" and str(record["trial"]) in scores:
            ended[str(record["trial"])] = (datetime.fromisoformat(record["utc"]) - began).total_seconds()
    return [(ended[trial], score) for trial, score in scores.items()]


def found_by_peer(folder: Path, tool: str, table: str, seed: int, seconds: int) -> Found:
    """Let a peer search, and return when its best validation score rose, and to what."""
    tables = [str(SATIMAGE)] if table == "satimage" else []
    pinned = ["taskset", "--cpu-list", str(PEERS.index(tool) % _CORES)] if shutil.which("taskset") else []
    script, strategy = {
        "KerasTuner": ("mixed_keras_tuner.py", f"bayesian:{seed}"),
        "Optuna": ("plain_optuna.py", f"mixed:{seed}"),
    }[tool]
    command = [*pinned, sys.executable, str(FOLDER / script), strategy, "100000", str(EPOCHS), str(seconds), *tables]
    began = time.time()
    lines = [line.split() for line in measure(command, folder).output.splitlines() if line.startswith("best ")]
    return [(float(when) - began, float(score)) for _, when, score in lines]


def best_by(found: Found, seconds: int) -> float:
    """Return the best score that was known by a time; 0 where there was none."""
    return max((score for when, score in found if when <= seconds), default=0.0)


def on_record() -> dict[tuple[str, str, int, int], Found]:
    """Read what earlier calls have found, by table, tool, seed and seconds."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    rows = [json.loads(line) for line in lines]
    return {
        (row["table"], row["tool"], row["seed"], row["seconds"]): [(when, score) for when, score in row["found"]]
        for row in rows
    }


def search(table: str, tool: str, seed: int, seconds: int) -> Found:
    """Let a tool search for so long, and put on record what it found."""
    with tempfile.TemporaryDirectory() as scratch:
        if tool in PEERS:
            found = found_by_peer(Path(scratch), tool, table, seed, seconds)
        else:
            found = found_by_hptune(Path(scratch), table, seed, tool.rpartition(" ")[2], seconds)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as lines:
        row = {"table": table, "tool": tool, "seed": seed, "seconds": seconds, "found": found}
        lines.write(json.dumps(row) + "\n")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 300])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", choices=(DIGITS, *TARGETS), action="append")
    parser.add_argument("--batch", nargs="+", default=[GROWING])
    parser.add_argument("--no-peers", action="store_true")
    asked = parser.parse_args()
    longest, known = max(asked.seconds), on_record()
    for table in asked.table or (DIGITS, "satimage"):
        if table != DIGITS and not (TABLES / table).is_dir():
            print(f"{table}: skipped, no such folder in {TABLES}")
            continue
        peers = () if asked.no_peers or table == "eucalyptus" else PEERS
        tools = [*(f"hptune, {batch}" for batch in asked.batch), *peers]
        scores: dict[tuple[str, int], list[float]] = {(tool, limit): [] for tool in tools for limit in asked.seconds}
        # Seed by seed, so that what drifts with the machine falls on all tools.
        for seed in range(1, asked.seeds + 1):
            for together in [*((ours,) for ours in tools[: len(asked.batch)]), peers]:
                missing = [tool for tool in together if (table, tool, seed, longest) not in known]
                with ThreadPoolExecutor(max_workers=_CORES) as threads:
                    runs = {tool: threads.submit(search, table, tool, seed, longest) for tool in missing}
                known |= {(table, tool, seed, longest): run.result() for tool, run in runs.items()}
            for tool in tools:
                rises = known[table, tool, seed, longest]
                for limit in asked.seconds:
                    scores[tool, limit].append(best_by(rises, limit))
                told = "  ".join(f"{limit} s {scores[tool, limit][-1]:.4f}" for limit in asked.seconds)
                print(f"{table:>9} seed {seed} {tool:>12}  {told}  {len(rises)} times", flush=True)
        for tool in tools:
            means = "  ".join(f"{limit} s {statistics.mean(scores[tool, limit]):.4f}" for limit in asked.seconds)
            print(f"{table:>9} mean   {tool:>12}  {means}", flush=True)


if __name__ == "__main__":
    main()
