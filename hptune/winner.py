"""The winner: its artifact built, compared in another process with what the search predicted, and scored on test rows.

`best/` appears only when all of that has succeeded. The parent never imports TensorFlow: the work is done by workers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from hptune.data.preparation import Preparation
from hptune.data.split import Split
from hptune.description import Description
from hptune.groundwork import Groundwork
from hptune.run.files import describe_file, storage_errors, write_text
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.recorder import RunRecorder
from hptune.space import Value
from hptune.training.job import Job
from hptune.training.workers import WarmProcesses
from hptune.trial import Trial

MODEL = "model.keras"


@dataclass(frozen=True)
class Delivery:
    """What the winner is made from.

    Attributes:
        ground: Experiment and data.
        split: Which rows are which.
        preparation: What the winner was trained on.
        job: How it was trained.
        trial: The winner.
    """

    ground: Groundwork
    split: Split
    preparation: Preparation
    job: Job
    trial: Trial


def deliver(delivery: Delivery, folder: RunFolder, processes: WarmProcesses, recorder: RunRecorder) -> None:
    """Write `best/`: model, metrics, hyperparameters.

    Raises:
        ArtifactError: If the artifact does not predict what the search predicted.
        RunDamagedError: If the winner's weights or predictions are not what was recorded.
    """
    files = {Path(file.name).name: folder.verified(file) for file in delivery.trial.files}
    with storage_errors(folder.best):
        folder.best.mkdir(exist_ok=True)
    model = folder.best / MODEL
    about = _describe(delivery)
    output = folder.best / "output.part"
    frame = delivery.ground.dataset.frame
    validation = frame[delivery.split.validation]
    processes.call(_build, delivery.job, files[WEIGHTS], delivery.preparation.to_dict(), model, about, output=output)
    # Another process, so that nothing but the file can carry the network over.
    processes.call(_check, model, validation, about.columns, files[PREDICTIONS], output=output)
    scores: dict[str, dict[str, float]] = {}
    if len(delivery.split.test):
        columns = delivery.ground.dataset.columns
        train, test = frame[delivery.split.train], frame[delivery.split.test]
        scale = delivery.job.target_scale[1] if delivery.job.target_scale else 1.0
        scores = processes.call(_score, model, about, columns, train, test, scale, output=output)
        recorder.look_at_test("search", delivery.trial.number, describe_file(model, f"best/{MODEL}"))
    write_text(folder.best / "hyperparameters.yaml", hyperparameters_yaml(delivery.job.settings))
    write_text(folder.best / "metrics.json", json.dumps(_metrics(delivery, scores), indent=1) + "\n")


def _describe(delivery: Delivery) -> Description:
    dataset = delivery.ground.dataset
    return Description(
        task=dataset.task,
        target=dataset.target,
        labels=dataset.labels,
        positive=dataset.positive,
        columns=tuple((column.name, column.kind) for column in dataset.columns),
        vocabularies=delivery.preparation.vocabularies,
        missing=tuple(delivery.ground.experiment.data.missing),
        id=dataset.id,
    )


def _metrics(delivery: Delivery, scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Arrange the content of `best/metrics.json`."""
    metrics, split = delivery.trial.metrics, delivery.split
    prefix = "train_"
    return {
        "schema": 1,
        "trial": delivery.trial.number,
        "objective": asdict(delivery.ground.objective),
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        "train": {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)},
        "validation": {name: value for name, value in metrics.items() if not name.startswith(prefix)},
        "test": scores.get("test"),
        "baselines": {name: values for name, values in scores.items() if name != "test"},
    }


def hyperparameters_yaml(settings: Mapping[str, Value]) -> str:
    """Write settings as the sections of an experiment, so that they can be pasted into one."""
    by_block: dict[str, list[Value]] = {}
    for name in sorted(settings, key=lambda name: (len(name), name)):
        key, _, number = name.rpartition(".")
        if number.isdigit() and int(number) <= settings["model.blocks"]:
            by_block.setdefault(key, []).append(settings[name])
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, key = name.split(".")
        if key.isdigit():
            continue
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = {"per_block": by_block[name]} if name in by_block else value
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def _build(job: Job, weights: Path, preparation: Mapping[str, Any], path: Path, about: Description) -> None:
    from hptune.artifact import build_artifact

    build_artifact(job, weights, preparation, path, about)


def _check(path: Path, rows: pl.DataFrame, columns: tuple[tuple[str, str], ...], expected: Path) -> None:
    from hptune.artifact import check_parity

    check_parity(path, rows, columns, expected)


def _score(path: Path, about: Description, *given: Any) -> dict[str, dict[str, float]]:
    from hptune.verdict import score_test_rows

    return score_test_rows(path, about, *given)
