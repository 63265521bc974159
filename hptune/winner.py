"""The winner: its artifact, checked against the search, scored on test rows, and its settings to paste.

`best/metrics.json` is written last: without it there is no best model yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from hptune.assembly import OUTPUT, assemble
from hptune.card import MODEL_CARD, card_of_best
from hptune.materials import Materials
from hptune.run.files import describe_file, write_text
from hptune.run.recorder import RunRecorder
from hptune.space import Value
from hptune.testrows import TEST_ROWS
from hptune.training.workers import WarmProcesses
from hptune.trial import Trial


def deliver(materials: Materials, winner: Trial, processes: WarmProcesses, recorder: RunRecorder) -> None:
    """Write `best/`: model, model card, metrics, hyperparameters, test rows.

    Raises:
        ArtifactError: If the artifact does not predict what the search predicted.
        RunDamagedError: If the winner's weights or predictions are not what was recorded.
    """
    folder = materials.folder
    model = assemble(materials, [(winner, 1.0)], folder.best, processes)
    scores: dict[str, dict[str, float]] = {}
    if len(materials.split.test):
        train, test = materials.rows(materials.split.train), materials.rows(materials.split.test)
        kept = folder.best / TEST_ROWS
        given = ({"test": model}, materials.about, materials.ground.dataset.columns, train, test, kept)
        scores = processes.call(score_in_worker, *given, output=folder.best / OUTPUT)
        recorder.look_at_test("search", winner.number, describe_file(model, folder.relative(model)))
    settings = materials.job(winner.proposal).settings
    write_text(folder.best / "hyperparameters.yaml", hyperparameters_yaml(settings))
    metrics = _metrics(materials, winner, scores)
    write_text(folder.best / MODEL_CARD, card_of_best(materials, metrics, hyperparameters_yaml(settings)))
    write_text(folder.best / "metrics.json", json.dumps(metrics, indent=1) + "\n")


def _metrics(materials: Materials, winner: Trial, scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Arrange the content of `best/metrics.json`."""
    metrics, split = winner.metrics, materials.split
    prefix = "train_"
    return {
        "schema": 1,
        "trial": winner.number,
        "objective": asdict(materials.ground.objective),
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


def score_in_worker(*given: Any) -> dict[str, dict[str, float]]:
    """Score artifacts and simple predictors on test rows; what a worker runs."""
    from hptune.verdict import score_test_rows

    return score_test_rows(*given)
