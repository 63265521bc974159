"""Candidates of an ensemble: trials that can be put together, judged by what they predicted for rows they did not see.

With folds these are all rows that train or validate: each was predicted by the networks of the folds that held it out,
while the ensemble will average the networks of all folds. Where a trial was trained again on all rows, that network
stands in for its folds in the ensemble, but never in the choice: it has seen every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.assembly import stored_predictions
from hptune.bootstrap import Guess, Yardstick
from hptune.errors import NoTrialCompletedError
from hptune.materials import Materials
from hptune.metrics import RANKED, compute_metrics
from hptune.parts import REFIT, is_beside, mean, name_parts
from hptune.reporting.summary import leaderboard_of
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.log import LOGGER
from hptune.run.records import History
from hptune.selection import Library
from hptune.threshold import choose_threshold
from hptune.trial import Trial
from hptune.weighing import Known

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Candidate:
    """A trial that an ensemble may take in.

    Attributes:
        trial: As the search trained it, with predictions for rows that it did not see.
        built: What its networks are taken from: the trial, or its last training on all rows.
        weights: How many numbers these networks store together.
    """

    trial: Trial
    built: Trial
    weights: int

    @property
    def is_refitted(self) -> bool:
        """Whether its network is that of the last training on all rows."""
        return self.built is not self.trial


def gather_candidates(folder: RunFolder, history: History) -> list[Candidate]:
    """Return the trials of which predictions and weights were kept, best first.

    Raises:
        NoTrialCompletedError: If there is none.
    """
    scored = leaderboard_of(history).scored
    kept = [trial for trial in scored if folder.holds(trial, WEIGHTS, PREDICTIONS)]
    if not kept:
        raise NoTrialCompletedError("no trial has a score, so there is nothing to put together; see hptune report")
    if len(kept) < len(scored):
        LOGGER.info("%d trials are left out: their weights were not kept", len(scored) - len(kept))
    return [_candidate(folder, history, trial) for trial in kept]


def _candidate(folder: RunFolder, history: History, trial: Trial) -> Candidate:
    refit = history.parts.get((trial.number, REFIT))
    if refit is not None and refit.score is not None and folder.holds(refit, WEIGHTS, PREDICTIONS):
        return Candidate(trial, refit, refit.weights or 0)
    parts = [part for (number, name), part in history.parts.items() if number == trial.number and not is_beside(name)]
    # Networks of folds may differ in size: each knows the categories of its own training rows.
    sizes = [part.weights or 0 for part in parts] if len(parts) == trial.n else [trial.weights or 0] * trial.n
    return Candidate(trial, trial, sum(sizes))


class Jury:
    """Scores predictions for all rows that validate as the search scored trials: the mean over the folds."""

    def __init__(self, materials: Materials) -> None:
        """Set up for the rows of a search."""
        rows = materials.split.validation
        self._materials = materials
        self._metric = materials.ground.objective.metric
        self._whole = materials.yardstick(rows)
        places = map(materials.held_out, name_parts(materials.ground.experiment.evaluation.folds, repeats=1))
        self._folds = [(place, materials.yardstick(rows[place])) for place in places]

    def library(self, candidates: Sequence[Candidate]) -> Library:
        """Return what an ensemble is chosen by: predictions for the rows, by networks that were not trained on them.

        Raises:
            RunDamagedError: If predictions are not what was recorded.
        """
        folder, objective = self._materials.folder, self._materials.ground.objective
        predictions = [stored_predictions(folder, candidate.trial) for candidate in candidates]
        known = Known(self._whole.truth, self._whole.weights, self._whole.groups)
        return Library(predictions, known, self.score, objective)

    def score(self, predicted: Floats) -> float:
        """Score predictions quickly, decisions at a half."""

        def measure(yardstick: Yardstick, guess: Guess) -> float:
            scores = compute_metrics(
                yardstick.task,
                yardstick.truth,
                guess.values,
                yardstick.positive,
                yardstick.scale,
                yardstick.weights,
                with_ranks=self._metric in RANKED,
            )
            return scores[self._metric]

        return self._over_folds(measure, Guess(predicted))

    def report(self, guess: Guess) -> float:
        """Score predictions by scikit-learn, decisions at their threshold, as reports do."""
        return self._over_folds(lambda yardstick, part: yardstick.report(part)[self._metric], guess)

    def choose_threshold(self, predicted: Floats) -> float | None:
        """Choose the threshold of decisions, as `hptune.threshold` does."""
        return choose_threshold(self._whole, Guess(predicted), self._metric)

    def _over_folds(self, measure: Callable[[Yardstick, Guess], float], guess: Guess) -> float:
        parts = ((yardstick, replace(guess, values=guess.values[place])) for place, yardstick in self._folds)
        return mean([measure(yardstick, part) for yardstick, part in parts])
