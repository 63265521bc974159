"""The ensemble of a run: chosen on validation rows, written as one artifact, scored beside the best single model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hptune.assembly import OUTPUT, assemble, blend, stored_predictions
from hptune.data.table import encode_target, weights_of
from hptune.errors import NoTrialCompletedError, UsageError
from hptune.materials import Materials
from hptune.metrics import RANKED, compute_metrics, reported_metric
from hptune.reporting.summary import leaderboard_of
from hptune.revisit import revisit
from hptune.run.files import describe_file, write_text
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.journal import open_journal
from hptune.run.log import LOGGER, log_to
from hptune.run.records import History, replay
from hptune.selection import Ensemble, choose
from hptune.training.workers import WarmProcesses
from hptune.trial import StoredFile, Trial
from hptune.winner import score_in_worker


@dataclass(frozen=True)
class Wish:
    """What ensemble is wanted.

    Attributes:
        method: `greedy` or `top`.
        size: The most members.
        data_folder: Where the data lies now; None where it did not move.
    """

    method: str = "greedy"
    size: int = 10
    data_folder: Path | None = None


def combine(folder: RunFolder, wish: Wish, processes: WarmProcesses) -> dict[str, Any]:
    """Write `ensemble/model.keras` and `ensemble/ensemble.json`.

    Returns:
        The content of `ensemble.json`.

    Raises:
        RunInUseError: If a search works on the run.
        NoTrialCompletedError: If no trial has both weights and predictions.
        UsageError: If the search has not delivered its best model yet, or the data is gone.
        ChangedError: If the data is not what the search began with.
    """
    folder.refuse_links()
    with log_to(folder.log), open_journal(folder.journal) as (journal, contents):
        history = replay(contents.records, folder.journal)
        ground = revisit(folder, history, wish.data_folder)
        materials = Materials(ground, folder)
        candidates = _candidates(folder, history)
        best = _best_model(folder, history)
        ensemble = _choose(materials, candidates, wish)
        members = [(candidates[index], share) for index, share in ensemble.shares]
        LOGGER.info("ensemble of trials %s", ", ".join(f"{trial.number} ({share:.3f})" for trial, share in members))
        model = assemble(materials, members, folder.ensemble, processes)
        scores: Mapping[str, Mapping[str, float]] = {}
        if len(materials.split.test):
            train, test = materials.rows(materials.split.train), materials.rows(materials.split.test)
            artifacts = {"ensemble": model, "best": best}
            given = (artifacts, materials.about, ground.dataset.columns, train, test)
            scores = processes.call(score_in_worker, *given, output=folder.ensemble / OUTPUT)
            artifact = asdict(describe_file(model, folder.relative(model)))
            journal.append("test_look", who="ensemble", trial=candidates[0].number, artifact=artifact)
        content = _content(materials, wish, ensemble, members, candidates, scores)
        write_text(folder.ensemble / "ensemble.json", json.dumps(content, indent=1) + "\n")
        return content


def _candidates(folder: RunFolder, history: History) -> list[Trial]:
    """Return the trials that can be put together again, best first."""
    scored = leaderboard_of(history).scored
    kept = [
        trial
        for trial in scored
        if all((folder.path / trial.file(name).name).is_file() for name in (WEIGHTS, PREDICTIONS))
    ]
    if not kept:
        raise NoTrialCompletedError("no trial has a score, so there is nothing to put together; see hptune report")
    if len(kept) < len(scored):
        LOGGER.info("%d trials are left out: their weights were not kept", len(scored) - len(kept))
    return kept


def _best_model(folder: RunFolder, history: History) -> Path:
    look = history.look_at(folder.relative(folder.best / "model.keras"))
    if not (folder.best / "metrics.json").is_file():
        raise UsageError(f"{folder.path}: the search has not delivered its best model yet; let hptune search finish")
    return folder.best / "model.keras" if look is None else folder.verified(StoredFile(**look["artifact"]))


def _choose(materials: Materials, candidates: list[Trial], wish: Wish) -> Ensemble:
    predictions = [stored_predictions(materials.folder, trial) for trial in candidates]
    about, objective = materials.about, materials.ground.objective
    rows = materials.rows(materials.split.validation)
    truth, weights = encode_target(rows, about.target, about.labels), weights_of(rows, about.weight)

    def score(predicted: Any) -> float:
        with_ranks = objective.metric in RANKED
        given = (about.task, truth, predicted, about.positive, about.scale, weights)
        return compute_metrics(*given, with_ranks=with_ranks)[objective.metric]

    ensemble = choose(wish.method, predictions, score, objective, wish.size)
    # As the scores that it stands beside: scikit-learn's own figure.
    together = blend([predictions[index] for index, _ in ensemble.shares], [share for _, share in ensemble.shares])
    reported = reported_metric(objective.metric, about.task, truth, together, about.positive, about.scale, weights)
    return replace(ensemble, score=reported)


def _content(
    materials: Materials,
    wish: Wish,
    ensemble: Ensemble,
    members: list[tuple[Trial, float]],
    candidates: list[Trial],
    scores: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Arrange the content of `ensemble.json`."""
    objective = materials.ground.objective
    metric = objective.metric
    gain = None
    if scores and metric in scores["ensemble"] and metric in scores["best"]:
        sign = 1 if objective.direction == "max" else -1
        gain = sign * (scores["ensemble"][metric] - scores["best"][metric])
    return {
        "schema": 1,
        "method": wish.method,
        "size": wish.size,
        "objective": asdict(objective),
        "candidates": len(candidates),
        "members": [
            {"trial": trial.number, "share": share, "score": trial.score, "weights": trial.weights}
            for trial, share in members
        ],
        "weights": sum(trial.weights or 0 for trial, _ in members),
        "validation": {"ensemble": ensemble.score, "best": candidates[0].score},
        "test": {name: dict(values) for name, values in scores.items()} or None,
        # Above 0 where the ensemble is better than the best single model, whatever the direction of the metric.
        "gain": gain,
    }
