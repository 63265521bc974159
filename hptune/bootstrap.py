"""What predictions are held against, and how much chance there is in that: the bootstrap over rows or groups.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (paired, percentile).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.metrics import reported_metrics
from hptune.objective import METRICS, Task
from hptune.resampling import DECIDED, DRAWS, LEVEL, Statistic, decide, draw_counts, metric_statistics, percentiles

Floats = npt.NDArray[np.floating[Any]]

# Rows that may be scored in all: many rows take fewer draws, so that the end of a search stays a matter of seconds.
DRAWN_ROWS = 10_000_000
FEWEST_DRAWS = 50


@dataclass(frozen=True)
class Guess:
    """What one training predicted.

    Attributes:
        values: Probabilities (rows, classes), or values (rows,).
        rows: Which rows of the yardstick they are of; None for all of them.
        threshold: Probability from which on a row is taken for the positive class; None for a half.
    """

    values: Floats
    rows: npt.NDArray[np.int64] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Yardstick:
    """Rows whose truth is known.

    Attributes:
        task: What is predicted.
        truth: Class indices (rows,), or values (rows,) in the original unit.
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target is divided in training.
        weights: How much each row counts; None where all count the same.
        groups: Rows of equal number are drawn together, (rows,); None where rows are drawn one by one.
    """

    task: Task
    truth: npt.NDArray[Any]
    positive: int | None
    scale: float
    weights: npt.NDArray[np.float64] | None = None
    groups: npt.NDArray[np.int64] | None = None

    def report(self, guess: Guess) -> dict[str, float]:
        """Compute every metric of predictions for all rows with scikit-learn, decisions by the threshold."""

        def measure(values: Floats) -> dict[str, float]:
            return reported_metrics(self.task, self.truth, values, self.positive, self.scale, self.weights)

        found = measure(guess.values)
        if guess.threshold is None or self.positive is None:
            return found
        by_threshold = measure(decide(guess.values, self.positive, guess.threshold))
        return {name: by_threshold[name] if name in DECIDED else value for name, value in found.items()}

    def statistics(self, guess: Guess) -> Mapping[str, Statistic]:
        """Return every metric of a guess as a function of how often each row of all of them is drawn."""
        rows = np.arange(len(self.truth)) if guess.rows is None else guess.rows
        weights = None if self.weights is None else self.weights[rows]
        found = metric_statistics(
            self.task, self.truth[rows], guess.values, self.positive, self.scale, weights, guess.threshold
        )

        def of_its_rows(statistic: Statistic) -> Statistic:
            return lambda counts: statistic(counts[:, rows])

        return {name: of_its_rows(statistic) for name, statistic in found.items()}


def draw_scores(yardstick: Yardstick, models: Sequence[Sequence[Guess]], metric: str, seed: int) -> Floats:
    """Score models on rows drawn with replacement, the same rows for all of them.

    Args:
        yardstick: The rows.
        models: What each has predicted, in one or several trainings; its score is the mean over them.
        metric: What to compute.
        seed: Of the draws.

    Returns:
        (models, draws); a draw in which it is not defined, such as ROC AUC without a class, is left out.
    """
    figures = [[yardstick.statistics(guess)[metric] for guess in model] for model in models]
    made = _draw(yardstick, figures, sum(map(len, models)), seed)
    return made[:, np.isfinite(made).all(axis=0)]


def _draw(yardstick: Yardstick, figures: Sequence[Sequence[Statistic]], trainings: int, seed: int) -> Floats:
    """Compute figures on the same draws, each the mean of several; NaN where one is not defined, (figures, draws)."""
    rows = len(yardstick.truth)
    draws = min(max(DRAWN_ROWS // max(rows * trainings, 1), FEWEST_DRAWS), DRAWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        blocks = [
            [np.mean([statistic(counts) for statistic in figure], axis=0) for figure in figures]
            for counts in draw_counts(rows, seed, draws, yardstick.groups)
        ]
    made: Floats = np.concatenate(blocks, axis=1)
    return made


def intervals(yardstick: Yardstick, models: Mapping[str, Guess], against: str, seed: int) -> dict[str, Any]:
    """Say between which values metrics would lie on other rows of the kind, and differences between models.

    Args:
        yardstick: The rows.
        models: What each predicted for them.
        against: The model that the others are compared with.
        seed: Of the draws.

    Returns:
        `level`; `scores`, [low, high] by model and metric; and `gains`, by other model and metric, [low, high] of how
        much better `against` is, whatever the direction of the metric: above 0 it is better beyond chance. Metrics
        that no draw defines are left out.
    """
    found: dict[str, Any] = {"level": LEVEL, "scores": {name: {} for name in models}, "gains": {}}
    found["gains"] = {name: {} for name in models if name != against}
    statistics = {name: yardstick.statistics(guess) for name, guess in models.items()}
    metrics = list(statistics[against])
    figures = [[statistics[name][metric]] for metric in metrics for name in models]
    made = _draw(yardstick, figures, len(models), seed).reshape(len(metrics), len(models), -1)
    for metric, drawn in zip(metrics, made, strict=True):
        defined = drawn[:, np.isfinite(drawn).all(axis=0)]
        if not defined.size:
            continue
        scores = dict(zip(models, defined, strict=True))
        for name, own in scores.items():
            found["scores"][name][metric] = percentiles(own)
            if name != against:
                found["gains"][name][metric] = percentiles(METRICS[metric].aim.gain(scores[against], over=own))
    return found
