"""Strategies on real data: killed at random instants and resumed, they end as if nothing had happened."""

from __future__ import annotations

import csv
import json
import random
import re
import time
from pathlib import Path

import pytest
from command_line import ROOT, hptune, start

from hptune.run.journal import read_journal

pytestmark = pytest.mark.tensorflow

STRATEGIES = {
    "random": "{name: random, seed: 3}",
    "grid": "{name: grid, seed: 3, points: 2}",
    "bayesian": "{name: bayesian, seed: 3, num_initial_points: 3, batch: 2}",
    "hyperband": "{name: hyperband, seed: 3, factor: 3}",
}
# Objectives that KerasTuner would take in the wrong direction, and one for each kind of table.
TABLES = {
    "digits": ("digits.yaml", "balanced_accuracy", "model={blocks: 1, units: [8, 16], dropout: {min: 0.0, max: 0.5}}"),
    "customers": ("customers.yaml", "f1", "model={blocks: 1, units: [8, 16], dropout: {min: 0.0, max: 0.5}}"),
}
TRAINING = (
    "training={learning_rate: {min: 1e-3, max: 3e-2, log: true}, batch_size: 128, epochs: 4, early_stopping: null}"
)
MOST_SECONDS = 120


def command(table: str, strategy: str) -> tuple[str | Path, ...]:
    config, metric, model = TABLES[table]
    overrides = [
        f"strategy={STRATEGIES[strategy]}",
        f"objective={{metric: {metric}, direction: max}}",
        "budget={max_trials: 8}",
        model,
        TRAINING,
    ]
    if table == "customers":
        overrides.append("data.preparation={numeric: standard, categorical: one_hot}")
    words = [word for override in overrides for word in ("--set", override)]
    return "search", ROOT / "configs" / config, *words


def boards(folder: Path, table: str) -> list[bytes]:
    return [(folder / "runs" / table / f"leaderboard.{ending}").read_bytes() for ending in ("csv", "json")]


# Random and grid are killed in tests/test_search.py and, as all four, before every record in tests/contracts.
@pytest.mark.parametrize(("table", "strategy"), [("digits", "hyperband"), ("customers", "bayesian")])
def test_a_search_that_was_killed_ends_with_the_same_bytes(table: str, strategy: str, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    words = command(table, strategy)
    drawn = random.Random(f"{table} {strategy}")
    hptune(*words, "--quiet", folder=undisturbed)
    records = len(read_journal(undisturbed / "runs" / table / "journal.jsonl").records)

    # After a record, and a little later: in the midst of training, of writing, or at the end.
    kill_after(drawn.randrange(2, records), drawn.uniform(0, 0.3), words, killed, table)
    hptune(*words, "--quiet", folder=killed)

    assert boards(killed, table) == boards(undisturbed, table)
    if strategy == "hyperband":
        hold_against_announcement(undisturbed / "runs" / table, words)


def kill_after(count: int, seconds: float, words: tuple[str | Path, ...], folder: Path, table: str) -> None:
    """Start a search and kill it with SIGKILL some time after it has so many records."""
    process = start(*words, "--quiet", folder=folder)
    journal = folder / "runs" / table / "journal.jsonl"
    deadline = time.monotonic() + MOST_SECONDS
    try:
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= count):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        process.kill()
        process.communicate(timeout=30)


def hold_against_announcement(run: Path, words: tuple[str | Path, ...]) -> None:
    """Compare the trials and epochs that Hyperband ran with those that `check` announces."""
    facts = json.loads(hptune("check", *words[1:], "--json", folder=run).stdout)
    announced = re.findall(r"^bracket \d: (\d+) to .*; (\d+) epochs$", "\n".join(facts["brackets"]), re.MULTILINE)

    trials = list(csv.DictReader((run / "leaderboard.csv").read_text().splitlines()))
    epochs = list(csv.DictReader((run / "history.csv").read_text().splitlines()))

    assert len(announced) == len(facts["brackets"]) == 2
    assert len(trials) == sum(int(count) for count, _ in announced)
    assert len(epochs) == sum(int(count) for _, count in announced)


def test_r2_is_maximized(tmp_path: Path) -> None:
    overrides = ("--set", "objective={metric: r2, direction: max}", "--set", "training.epochs=4", "--max-trials", "3")

    hptune("search", ROOT / "configs" / "diabetes.yaml", *overrides, "--quiet", folder=tmp_path)

    run = tmp_path / "runs" / "diabetes"
    scores = [float(row["score"]) for row in csv.DictReader((run / "leaderboard.csv").read_text().splitlines())]
    metrics = json.loads((run / "best" / "metrics.json").read_text())
    assert scores == sorted(scores, reverse=True)
    assert metrics["validation"]["r2"] == scores[0]
