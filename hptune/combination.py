"""The ensemble of a run: chosen by rows that its members did not see, one artifact, held against the best model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hptune.ambiguity import correlate_errors, decompose
from hptune.assembly import MODEL, assemble
from hptune.bootstrap import Guess
from hptune.candidates import Candidate, Jury, gather_candidates
from hptune.card import MODEL_CARD, card_of_ensemble
from hptune.comparison import Comparison
from hptune.errors import UsageError
from hptune.materials import Materials
from hptune.mix import AVERAGE
from hptune.revisit import revisit
from hptune.run.files import describe_file, write_text
from hptune.run.folder import RunFolder
from hptune.run.journal import open_journal
from hptune.run.log import LOGGER, log_to
from hptune.run.records import History, replay
from hptune.selection import Ensemble, Floats, Library, Wanted, choose
from hptune.training.workers import WarmProcesses
from hptune.trial import StoredFile, derive_seed
from hptune.winner import hyperparameters_yaml


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


@dataclass(frozen=True)
class _Best:
    """The best single model: its artifact, which trial it is, and from which probability on it says yes."""

    model: Path
    trial: int
    threshold: float | None


@dataclass(frozen=True)
class _Chosen:
    """An ensemble and what it is judged by.

    Attributes:
        ensemble: As it was chosen.
        candidates: From which.
        library: What they predicted for rows that they did not see.
        threshold: Probability from which on the ensemble says yes; None for a half.
        validation: Scores of `ensemble` and `best` on those rows.
    """

    ensemble: Ensemble
    candidates: Sequence[Candidate]
    library: Library
    threshold: float | None
    validation: dict[str, float | None]

    @property
    def members(self) -> list[tuple[Candidate, float]]:
        """Candidates that were chosen, with their shares."""
        return [(self.candidates[place], share) for place, share in self.ensemble.shares]

    @property
    def predictions(self) -> list[Floats]:
        """What the members predicted."""
        return [self.library.predictions[place] for place, _ in self.ensemble.shares]


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
        candidates = gather_candidates(folder, history)
        best = _best_model(folder, history)
        chosen = _choose(materials, candidates, best, history, wish)
        told = ", ".join(f"{member.trial.number} ({share:.3f})" for member, share in chosen.members)
        LOGGER.info("ensemble of trials %s", told)
        built = [(member.built, share) for member, share in chosen.members]
        split = materials.split
        rows = {part: materials.rows(getattr(split, part)) for part in ("train", "validation", "test")}
        groups = ground.dataset.roles.of(split.test).groups
        seed = derive_seed(ground.experiment.strategy.seed, "ensemble")
        comparing = partial(
            _compare,
            ensemble=folder.ensemble / MODEL,
            best=best.model,
            about=materials.about,
            columns=ground.dataset.columns,
            rows=rows,
            groups=groups,
            objective=ground.objective,
            seed=seed,
        )
        mix, threshold = chosen.ensemble.mix, chosen.threshold
        model, outcome = assemble(materials, built, folder.ensemble, processes, mix, threshold, then=comparing)
        if outcome.scores:
            artifact = asdict(describe_file(model, folder.relative(model)))
            journal.append("test_look", who="ensemble", trial=candidates[0].trial.number, artifact=artifact)
        content = _content(materials, wish, chosen, outcome)
        settings = {
            member.trial.number: hyperparameters_yaml(materials.job(member.trial.proposal).settings)
            for member, _ in chosen.members
        }
        write_text(folder.ensemble / MODEL_CARD, card_of_ensemble(materials, content, settings))
        write_text(folder.ensemble / "ensemble.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
        return content


def _compare(model: Any, **given: Any) -> Comparison:
    from hptune.contest import compare

    return compare(model, **given)


def _best_model(folder: RunFolder, history: History) -> _Best:
    look = history.look_at(folder.relative(folder.best / "model.keras"))
    if not (folder.best / "metrics.json").is_file():
        raise UsageError(f"{folder.path}: the search has not delivered its best model yet; let hptune search finish")
    metrics = json.loads((folder.best / "metrics.json").read_text())
    model = folder.best / "model.keras" if look is None else folder.verified(StoredFile(**look["artifact"]))
    return _Best(model, metrics["trial"], metrics.get("threshold"))


def _choose(
    materials: Materials, candidates: Sequence[Candidate], best: _Best, history: History, wish: Wish
) -> _Chosen:
    jury = Jury(materials)
    library = jury.library(candidates)
    seed = derive_seed(materials.ground.experiment.strategy.seed, "bags")
    ensemble = choose(wish.method, library, Wanted(wish.size, wish.bags, seed))
    together = ensemble.predict(library.predictions)
    threshold = jury.choose_threshold(together)
    place = next((place for place, one in enumerate(candidates) if one.trial.number == best.trial), None)
    validation = {
        "ensemble": jury.report(Guess(together, threshold=threshold)),
        "best": history.ends[best.trial].score
        if place is None
        else jury.report(Guess(library.predictions[place], threshold=best.threshold)),
    }
    return _Chosen(ensemble, candidates, library, threshold, validation)


def _content(materials: Materials, wish: Wish, chosen: _Chosen, outcome: Comparison) -> dict[str, Any]:
    """Arrange the content of `ensemble.json`."""
    evaluation, members = materials.ground.experiment.evaluation, chosen.members
    predictions, truth = chosen.predictions, chosen.library.known.truth
    shares, is_average = [share for _, share in members], chosen.ensemble.mix == AVERAGE
    return {
        "schema": 1,
        "method": wish.method,
        "size": wish.size,
        "bags": wish.bags,
        "objective": asdict(materials.ground.objective),
        "candidates": len(chosen.candidates),
        "members": [
            {
                "trial": member.trial.number,
                "share": share,
                "score": member.trial.score,
                "weights": member.weights,
                "networks": member.built.n,
                "refit": member.is_refitted,
            }
            for member, share in members
        ],
        "mix": asdict(chosen.ensemble.mix),
        "weights": sum(member.weights for member, _ in members),
        # What the choice was made by: rows that the networks which predicted them did not see.
        "chosen_by": {"rows": len(truth), "folds": evaluation.folds, "repeats": evaluation.repeats},
        "threshold": chosen.threshold,
        "validation": chosen.validation,
        # Squared error taken apart on those rows; the identity holds for averages only.
        "ambiguity": asdict(decompose(predictions, shares, truth)) if is_average else None,
        "correlation": correlate_errors(predictions, truth),
        "test": {name: dict(values) for name, values in outcome.scores.items()} or None,
        # Above 0 where the ensemble is better than the best single model, whatever the direction of the metric.
        "gain": outcome.gain,
        "gain_interval": None if outcome.interval is None else asdict(outcome.interval),
        "cost": {name: asdict(cost) for name, cost in outcome.costs.items()},
    }
