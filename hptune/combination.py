"""The ensemble of a run: chosen on validation rows, written as one artifact, scored beside the best single model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptune.ambiguity import correlate_errors, decompose
from hptune.assembly import OUTPUT, assemble, stored_predictions
from hptune.card import MODEL_CARD, card_of_ensemble
from hptune.data.table import encode_target
from hptune.errors import NoTrialCompletedError, UsageError
from hptune.materials import Materials
from hptune.metrics import RANKED, compute_metrics, reported_metric
from hptune.mix import AVERAGE
from hptune.reporting.summary import leaderboard_of
from hptune.revisit import revisit
from hptune.run.files import describe_file, write_text
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.journal import open_journal
from hptune.run.log import LOGGER, log_to
from hptune.run.records import History, replay
from hptune.selection import Ensemble, Library, Wanted, choose
from hptune.training.workers import WarmProcesses
from hptune.trial import StoredFile, Trial, derive_seed
from hptune.winner import hyperparameters_yaml

if TYPE_CHECKING:
    from hptune.contest import Comparison


@dataclass(frozen=True)
class Wish:
    """What ensemble is wanted.

    Attributes:
        method: One of the methods of `hptune.selection`.
        size: The most members.
        bags: How often greedy chooses from a half of the candidates.
        data_folder: Where the data lies now; None where it did not move.
    """

    method: str = "greedy"
    size: int = 10
    bags: int = 1
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
        model = assemble(materials, members, folder.ensemble, processes, ensemble.mix)
        rows = {part: materials.rows(getattr(materials.split, part)) for part in ("train", "validation", "test")}
        seed = derive_seed(ground.experiment.strategy.seed, "ensemble")
        given = (model, best, materials.about, ground.dataset.columns, rows, ground.objective, seed)
        outcome = processes.call(_compare, *given, output=folder.ensemble / OUTPUT)
        if outcome.scores:
            artifact = asdict(describe_file(model, folder.relative(model)))
            journal.append("test_look", who="ensemble", trial=candidates[0].number, artifact=artifact)
        content = _content(materials, wish, ensemble, candidates, outcome)
        settings = {trial.number: hyperparameters_yaml(materials.job(trial.proposal).settings) for trial, _ in members}
        write_text(folder.ensemble / MODEL_CARD, card_of_ensemble(materials, content, settings))
        write_text(folder.ensemble / "ensemble.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
        return content


def _compare(*given: Any) -> Comparison:
    from hptune.contest import compare

    return compare(*given)


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
    about, objective = materials.about, materials.ground.objective
    truth, weights = _truth(materials), materials.yardstick(materials.split.validation).weights

    def score(predicted: Any) -> float:
        with_ranks = objective.metric in RANKED
        given = (about.task, truth, predicted, about.positive, about.scale, weights)
        return compute_metrics(*given, with_ranks=with_ranks)[objective.metric]

    predictions = [stored_predictions(materials.folder, trial) for trial in candidates]
    seed = derive_seed(materials.ground.experiment.strategy.seed, "bags")
    ensemble = choose(wish.method, Library(predictions, truth, score, objective), Wanted(wish.size, wish.bags, seed))
    # As the scores that it stands beside: scikit-learn's own figure.
    together = ensemble.predict(predictions)
    reported = reported_metric(objective.metric, about.task, truth, together, about.positive, about.scale, weights)
    return replace(ensemble, score=reported)


def _truth(materials: Materials) -> Any:
    about = materials.about
    return encode_target(materials.rows(materials.split.validation), about.target, about.labels)


def _content(
    materials: Materials, wish: Wish, ensemble: Ensemble, candidates: list[Trial], outcome: Comparison
) -> dict[str, Any]:
    """Arrange the content of `ensemble.json`."""
    members = [(candidates[index], share) for index, share in ensemble.shares]
    truth = _truth(materials)
    predictions = [stored_predictions(materials.folder, trial) for trial, _ in members]
    shares = [share for _, share in members]
    is_average = ensemble.mix == AVERAGE
    return {
        "schema": 1,
        "method": wish.method,
        "size": wish.size,
        "bags": wish.bags,
        "objective": asdict(materials.ground.objective),
        "candidates": len(candidates),
        "members": [
            {"trial": trial.number, "share": share, "score": trial.score, "weights": trial.weights}
            for trial, share in members
        ],
        "mix": asdict(ensemble.mix),
        "weights": sum(trial.weights or 0 for trial, _ in members),
        "validation": {"ensemble": ensemble.score, "best": candidates[0].score},
        # Squared error taken apart on validation rows; the identity holds for averages only.
        "ambiguity": asdict(decompose(predictions, shares, truth)) if is_average else None,
        "correlation": correlate_errors(predictions, truth),
        "test": {name: dict(values) for name, values in outcome.scores.items()} or None,
        # Above 0 where the ensemble is better than the best single model, whatever the direction of the metric.
        "gain": outcome.gain,
        "gain_interval": None if outcome.interval is None else asdict(outcome.interval),
        "cost": {name: asdict(cost) for name, cost in outcome.costs.items()},
    }
