"""What predictions are held against, and how much chance there is in that: the bootstrap over rows or groups.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (paired, percentile).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.metrics import DECIDED, RANKED, compute_metrics, reported_metrics
from hptune.objective import METRICS, Task
from hptune.parts import mean

Floats = npt.NDArray[np.floating[Any]]

LEVEL = 0.95
# Rows that may be scored in all: many rows take fewer draws, so that the end of a search stays a matter of seconds.
SCORED_ROWS = 2_000_000
FEWEST_DRAWS = 50
_MOST_DRAWS, _MOST_RANKED_DRAWS = 400, 200
# Putting the rows in order for one class takes as long as this many times counting hits.
_RANKING_COST = 10


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

    def report(self, guess: Guess) -> dict[str, float]:
        """Compute every metric of predictions for all rows with scikit-learn."""

        def measure(values: Floats) -> dict[str, float]:
            given = (self.task, self.truth, values, self.positive, self.scale, self.weights)
            return reported_metrics(*given)

        return self._with_decisions(guess.values, guess.threshold, measure)

    def _with_decisions(
        self, values: Floats, threshold: float | None, measure: Callable[[Floats], dict[str, float]]
    ) -> dict[str, float]:
        """Take metrics of probabilities as they are, and those of decisions by the threshold."""
        found = measure(values)
        if threshold is None or self.positive is None:
            return found
        is_positive = values[:, self.positive] >= threshold
        decided = np.where(is_positive[:, None] == (np.arange(2) == self.positive), 1.0, 0.0)
        by_threshold = measure(decided)
        return {name: by_threshold[name] if name in DECIDED else value for name, value in found.items()}

    def compute(self, guess: Guess, rows: npt.NDArray[np.int64], *, with_ranks: bool) -> dict[str, float]:
        """Compute the metrics of those of the rows that a guess is of, fast."""
        places = rows
        if guess.rows is not None:
            place_of_row = np.full(len(self.truth), -1)
            place_of_row[guess.rows] = np.arange(len(guess.rows))
            rows = rows[place_of_row[rows] >= 0]
            places = place_of_row[rows]
        if not len(rows):
            return {}
        weights = None if self.weights is None else self.weights[rows]
        truth = self.truth[rows]

        def measure(values: Floats) -> dict[str, float]:
            given = (self.task, truth, values, self.positive, self.scale, weights)
            return compute_metrics(*given, with_ranks=with_ranks)

        return self._with_decisions(guess.values[places], guess.threshold, measure)

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
    yardstick: Yardstick, models: Sequence[Sequence[Guess]], metrics: Sequence[str], count: int, seed: int
) -> Floats:
    """Score models on rows drawn with replacement, the same rows for all of them.

    Args:
        yardstick: The rows.
        models: What each has predicted, in one or several trainings; its score is the mean over them.
        metrics: What to compute.
        count: How many draws.
        seed: Of the draws.

    Returns:
        (metrics, models, draws); a draw in which a metric is not defined, such as ROC AUC without a class, is left out.
    """
    generator = np.random.default_rng(seed)
    with_ranks = any(metric in RANKED for metric in metrics)
    draws: list[list[list[float]]] = []
    for _ in range(count):
        rows = yardstick.draw(generator)
        scores = [[yardstick.compute(guess, rows, with_ranks=with_ranks) for guess in model] for model in models]
        if all(metric in found for model in scores for found in model for metric in metrics):
            draws.append([[mean([found[metric] for found in model]) for model in scores] for metric in metrics])
    made: Floats = np.array(draws).reshape(-1, len(metrics), len(models)).transpose(1, 2, 0)
    return made


def interval(draws: Floats) -> tuple[float, float]:
    """Return the percentile interval of draws."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(low), float(high)


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
    names = list(models)
    every = np.arange(len(yardstick.truth))
    defined = [
        name
        for name in METRICS
        if all(name in yardstick.compute(models[model], every, with_ranks=True) for model in names)
    ]
    found: dict[str, Any] = {"level": LEVEL, "scores": {name: {} for name in names}, "gains": {}}
    found["gains"] = {name: {} for name in names if name != against}
    for ranked, most in ((False, _MOST_DRAWS), (True, _MOST_RANKED_DRAWS)):
        metrics = [metric for metric in defined if (metric in RANKED) == ranked]
        if not metrics:
            continue
        cost = yardstick.cost(with_ranks=ranked) * len(models)
        count = min(max(2 * SCORED_ROWS // max(cost, 1), FEWEST_DRAWS), most)
        made = draw_scores(yardstick, [[guess] for guess in models.values()], metrics, count, seed)
        if not made.shape[2]:
            continue
        for metric, draws in zip(metrics, made, strict=True):
            sign = 1 if METRICS[metric].direction == "max" else -1
            own = draws[names.index(against)]
            for name, scores in zip(names, draws, strict=True):
                found["scores"][name][metric] = interval(scores)
                if name != against:
                    found["gains"][name][metric] = interval(sign * (own - scores))
    return found
