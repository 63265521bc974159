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

from hptune.metrics import RANKED, compute_metrics, reported_metrics
from hptune.objective import METRICS, Task

Floats = npt.NDArray[np.floating[Any]]

LEVEL = 0.95
# Rows that may be scored in all: many rows take fewer draws, so that the end of a search stays a matter of seconds.
SCORED_ROWS = 2_000_000
FEWEST_DRAWS = 50
# Putting the rows in order for one class takes as long as this many times counting hits.
_RANKING_COST = 10


@dataclass(frozen=True)
class Yardstick:
    """Rows whose truth is known.

    Attributes:
        task: What is predicted.
        truth: Class indices (rows,), or values (rows,) in the original unit.
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target is divided in training.
        classes: How many there are; 0 for regression.
        weights: How much each row counts; None where all count the same.
        groups: Rows of equal number are drawn together, (rows,); None where rows are drawn one by one.
    """

    task: Task
    truth: npt.NDArray[Any]
    positive: int | None
    scale: float
    classes: int
    weights: npt.NDArray[np.float64] | None = None
    groups: npt.NDArray[np.int64] | None = None

    def report(self, predictions: Floats) -> dict[str, float]:
        """Compute every metric with scikit-learn."""
        given = (self.task, self.truth, predictions, self.positive, self.scale, self.weights)
        return reported_metrics(*given)

    def compute(self, predictions: Floats, rows: npt.NDArray[np.int64], *, with_ranks: bool) -> dict[str, float]:
        """Compute the metrics of chosen rows, fast."""
        weights = None if self.weights is None else self.weights[rows]
        given = (self.task, self.truth[rows], predictions[rows], self.positive, self.scale, weights)
        return compute_metrics(*given, with_ranks=with_ranks)

    def cost(self, *, with_ranks: bool) -> int:
        """How long all rows take to be scored, in rows whose hits are counted."""
        return len(self.truth) * (_RANKING_COST * max(self.classes, 1) if with_ranks else 1)

    def draw(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw as many rows as there are, with replacement; whole groups where there are groups."""
        count = len(self.truth)
        if self.groups is None:
            return generator.integers(0, count, count)
        names, place = np.unique(self.groups, return_inverse=True)
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place))
        drawn = generator.integers(0, len(names), len(names))
        return np.concatenate([order[ends[group - 1] if group else 0 : ends[group]] for group in drawn.tolist()])


def draw_scores(
    yardstick: Yardstick, predictions: Sequence[Floats], metrics: Sequence[str], count: int, seed: int
) -> Floats:
    """Score predictions on rows drawn with replacement, the same rows for all of them.

    Args:
        yardstick: The rows.
        predictions: Of each model, for all rows.
        metrics: What to compute.
        count: How many draws.
        seed: Of the draws.

    Returns:
        (metrics, predictions, draws); a draw in which a metric is not defined, such as ROC AUC without a class, is
        left out.
    """
    generator = np.random.default_rng(seed)
    with_ranks = any(metric in RANKED for metric in metrics)
    draws: list[list[list[float]]] = []
    for _ in range(count):
        rows = yardstick.draw(generator)
        scores = [yardstick.compute(predicted, rows, with_ranks=with_ranks) for predicted in predictions]
        if all(metric in found for found in scores for metric in metrics):
            draws.append([[found[metric] for found in scores] for metric in metrics])
    made: Floats = np.array(draws).reshape(-1, len(metrics), len(predictions)).transpose(1, 2, 0)
    return made


def interval(draws: Floats) -> tuple[float, float]:
    """Return the percentile interval of draws."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def intervals(
    yardstick: Yardstick, predictions: Mapping[str, Floats], metrics: Sequence[str], against: str, seed: int, most: int
) -> dict[str, Any]:
    """Say between which values metrics would lie on other rows of the kind, and differences between models.

    Args:
        yardstick: The rows.
        predictions: By name of the model.
        metrics: What to compute.
        against: The model that the others are compared with.
        seed: Of the draws.
        most: How many draws at most; fewer where there are many rows.

    Returns:
        `level`, `draws`; by model and metric `scores`, [low, high]; and `gains`, by other model and metric, [low, high]
        of how much better `against` is, whatever the direction of the metric: above 0 it is better beyond chance. Empty
        where no draw has all metrics.
    """
    with_ranks = any(metric in RANKED for metric in metrics)
    cost = yardstick.cost(with_ranks=with_ranks) * len(predictions)
    count = min(max(SCORED_ROWS // max(cost, 1), FEWEST_DRAWS), most)
    made = draw_scores(yardstick, list(predictions.values()), metrics, count, seed)
    found: dict[str, Any] = {"level": LEVEL, "draws": made.shape[2], "scores": {}, "gains": {}}
    if not made.shape[2]:
        return found
    own = made[:, list(predictions).index(against)]
    for place, name in enumerate(predictions):
        scores = made[:, place]
        found["scores"][name] = {metric: interval(draws) for metric, draws in zip(metrics, scores, strict=True)}
        if name != against:
            signs = [1 if METRICS[metric].direction == "max" else -1 for metric in metrics]
            found["gains"][name] = {
                metric: interval(sign * (mine - theirs))
                for metric, sign, mine, theirs in zip(metrics, signs, own, scores, strict=True)
            }
    return found
