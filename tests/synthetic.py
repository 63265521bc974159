"""Runs of any size without training: made trials, written through the journal's own doors."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptune.environment import describe_versions
from hptune.objective import Objective
from hptune.run.folder import RunFolder
from hptune.run.journal import FORMAT, open_journal
from hptune.run.recorder import RunRecorder
from hptune.run.records import replay
from hptune.spec import Experiment
from hptune.trial import Outcome, Proposal, StoredFile, Trial, derive_seed

PLAIN: Mapping[str, Any] = {
    "name": "made",
    "data": {"source": "made.csv", "target": "y"},
    "objective": {"metric": "accuracy", "direction": "max"},
    "strategy": {"name": "random"},
    "budget": {"max_trials": 10_000},
    "model": {
        "blocks": {"min": 1, "max": 3},
        "units": [32, 64, 128],
        "batch_norm": ["none", "before", "after"],
        "residual": {"values": [True, False], "when": {"model.blocks": {"min": 2}}},
        "dropout": {"min": 0.0, "max": 0.5},
        "l1": {"min": 1e-7, "max": 1e-3, "log": True},
    },
    "training": {
        "learning_rate": {"min": 1e-4, "max": 1e-1, "log": True},
        "clip_norm": [None, 1.0],
        "epochs": 20,
    },
}


def score_of(values: Mapping[str, Any], generator: random.Random) -> float:
    """A score in which the learning rate matters most, units a little, and l1 not at all."""
    rate = math.log10(values["training.learning_rate"])
    good = 0.9 - 0.12 * (rate + 2.3) ** 2 / 4 - 0.05 * (values.get("model.dropout", 0.2) - 0.2) ** 2
    good += 0.02 * (values["model.units"] == 128) - 0.02 * (values["model.batch_norm"] == "none")
    return min(max(good + generator.gauss(0, 0.006), 0.05), 0.999)


def make_run(
    path: Path,
    trials: int,
    *,
    plain: Mapping[str, Any] = PLAIN,
    curves: bool = True,
    failure: str = "OOM when allocating tensor",
    is_finished: bool = True,
    score: Callable[[Mapping[str, Any], random.Random], float] = score_of,
) -> RunFolder:
    """Write a run of so many trials, of which each twenty-fifth failed."""
    experiment = Experiment.model_validate(plain)
    space, generator = experiment.space(), random.Random(7)
    canonical = experiment.canonical()
    folder = RunFolder(path)
    folder.create()
    (path / "experiment.yaml").write_text(experiment.to_yaml())
    clock = [0.0]
    with open_journal(folder.journal) as (journal, contents):
        keep = {"keep": trials, "weights_mb": 1, "predictions_mb": 1}
        recorder = RunRecorder(
            folder,
            journal,
            replay(contents.records),
            Objective("accuracy", "max"),
            keep,
            lambda _: 20,
            lambda: clock[0],
        )
        header = {
            "format": FORMAT,
            "run": "0" * 32,
            "experiment_sha256": "0" * 64,
            "experiment": {key: canonical[key] for key in canonical if key not in ("name", "output", "budget")},
            "data": [asdict(StoredFile(canonical["data"]["source"], 1234, "f" * 64))],
            "folder": ".",
            "versions": describe_versions(),
            "seed": 0,
            "engine": "keras",
            "task": "binary",
            "objective": canonical["objective"],
            "dimensions": [dimension.name for dimension in space.dimensions],
        }
        journal.append("header", **header)
        for number in range(trials):
            proposal = Proposal(number, space.sample(generator), derive_seed(0, number))
            recorder.propose(proposal)
            recorder.start(proposal, 1, number % 2)
            clock[0] += 0.4 + generator.random()
            recorder.end(_end(folder, proposal, generator, failure if number % 25 == 24 else "", curves, score))
        if is_finished:
            recorder.stop("budget used", None)
    return folder


def _end(
    folder: RunFolder,
    proposal: Proposal,
    generator: random.Random,
    failure: str,
    curves: bool,
    judge: Callable[[Mapping[str, Any], random.Random], float],
) -> Trial:
    worker = proposal.trial % 2
    if failure:
        return Trial(proposal, Outcome.OUT_OF_MEMORY, 2, message=failure, seconds=0.5, worker=worker)
    score = judge(proposal.values, generator)
    files: tuple[StoredFile, ...] = ()
    if curves:
        epochs = [_epoch(epoch, score * (1 - math.exp(-epoch / 4))) for epoch in range(1, 21)]
        text = json.dumps({"schema": 1, "epochs": epochs}).encode()
        name = f"{folder.relative(folder.trial(proposal.trial))}/curve.json"
        (folder.path / name).write_bytes(text)
        files = (StoredFile(name, len(text), hashlib.sha256(text).hexdigest()),)
    gap = 0.2 - 0.3 * proposal.values.get("model.dropout", 0.0) + generator.gauss(0, 0.02)
    metrics = {
        "accuracy": score,
        "train_accuracy": min(score + 0.03, 1.0),
        "loss": 1 - score,
        "train_loss": 1 - score - gap,
    }
    return Trial(proposal, Outcome.COMPLETED, 1, score, metrics, 16, 20, 4321, "keras", files, "", 1.2, worker)


def _epoch(epoch: int, score: float) -> dict[str, float]:
    return {"epoch": epoch, "validation_accuracy": score, "train_accuracy": min(score + 0.02, 1.0)}
