"""Strategies in real training: killed at random instants and resumed, they end as if nothing had happened."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, hptune
from killing import Killed, Victim, count_records, differences, kill_at_random, workers_of

from hptune.run.folder import RunFolder

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system to find workers by"),
]

STRATEGIES = {
    "random": "{name: random, seed: 3}",
    "grid": "{name: grid, seed: 3, points: 2}",
    "bayesian": "{name: bayesian, seed: 3, num_initial_points: 3, batch: 2}",
    "hyperband": "{name: hyperband, seed: 3, factor: 3}",
}
# Objectives that KerasTuner would take in the wrong direction, and one for each kind of table.
TABLES = {
    "digits": ("digits.yaml", "balanced_accuracy", ""),
    "customers": ("customers.yaml", "f1", "data.preparation={numeric: standard, categorical: one_hot}"),
}


def command(table: str, strategy: str, engine: str, trials: int = 8) -> tuple[str | Path, ...]:
    config, metric, more = TABLES[table]
    overrides = [
        f"strategy={STRATEGIES[strategy]}",
        f"objective={{metric: {metric}, direction: max}}",
        # Whoever is struck again and again is given up by design; here that must not happen.
        f"budget={{max_trials: {trials}, max_attempts: 9}}",
        "model={blocks: 1, units: [8, 16], dropout: {min: 0.0, max: 0.5}}",
        f"training={{engine: {engine}, learning_rate: {{min: 1e-3, max: 3e-2, log: true}}, batch_size: 128, "
        "epochs: 4, early_stopping: null}",
        *filter(None, [more]),
    ]
    words = [word for override in overrides for word in ("--set", override)]
    return "search", ROOT / "configs" / config, *words


def run_undisturbed(folder: Path, table: str, words: Sequence[str | Path]) -> RunFolder:
    folder.mkdir()
    hptune(*words, "--quiet", "--workers", "2", folder=folder)
    return RunFolder(folder / "runs" / table)


def make_killed(folder: Path, table: str, words: Sequence[str | Path]) -> Killed:
    folder.mkdir()
    return Killed(folder, RunFolder(folder / "runs" / table), words)


# Random and population: tests/test_search.py. All four before every record: tests/contracts. More: make torture.
@pytest.mark.parametrize(
    ("table", "strategy", "engine", "trials", "victims"),
    [
        ("digits", "hyperband", "population", 8, [Victim.SEARCH]),
        ("customers", "bayesian", "population", 8, [Victim.ALL]),
        ("customers", "random", "keras", 3, [Victim.WORKERS, Victim.SEARCH]),
    ],
)
@pytest.mark.long
def test_a_search_that_was_killed_ends_with_the_same_bytes(
    table: str, strategy: str, engine: str, trials: int, victims: list[Victim], ram: Path
) -> None:
    words = command(table, strategy, engine, trials)
    whole = run_undisturbed(ram / "undisturbed", table, words)
    killed = make_killed(ram / "killed", table, words)

    kill_at_random(killed, victims, count_records(whole), random.Random(f"{table} {strategy}"))

    assert differences(whole, killed.run) == []
    assert workers_of(killed.run) == []
    if strategy == "hyperband":
        hold_against_announcement(whole.path, words)


@pytest.mark.torture
@pytest.mark.parametrize("engine", ["population", "keras"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a01_a02_a03_a04_a05_kills_of_real_training_change_no_byte(
    strategy: str, engine: str, ram: Path, record_property: Any
) -> None:
    words = command("customers", strategy, engine, 8 if engine == "population" else 5)
    whole = run_undisturbed(ram / "undisturbed", "customers", words)
    chance = random.Random(f"{strategy} {engine}")
    strikes = kept = 0

    fates = [[Victim.SEARCH] * 3, [Victim.WORKERS, Victim.SEARCH], [Victim.ALL, Victim.WORKERS], [Victim.ALL] * 2]
    for number, victims in enumerate(fates):
        killed = make_killed(ram / f"{number}", "customers", words)
        kill_at_random(killed, victims, count_records(whole), chance)
        assert differences(whole, killed.run) == [], f"{victims}"
        assert workers_of(killed.run) == []
        strikes += killed.strikes
        kept += len(killed.announced)

    record_property("faults tried", strikes)
    record_property("results equal", len(fates))
    record_property("announced trials kept", kept)
    record_property("announced trials lost", 0)
    record_property("files damaged outside", 0)


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
