"""How sure a score is: the bootstrap over rows or groups, for single scores and for differences on the same rows.

A draw with replacement is a vector of counts, one a row. Each metric is written for counts, so that all draws are
scored by a few matrix products; tests hold every one against `compute_metrics` on rows that are really repeated. What
a row weighs multiplies its count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.objective import Objective, Task

LEVEL = 0.95
DRAWS = 2000
# Metrics of decisions, which a threshold changes.
DECIDED = ("accuracy", "balanced_accuracy", "f1", "f1_macro", "f1_weighted")
# Counts that are held at a time.
_HELD = 1 << 22
# Fewer draws on which a metric is defined say nothing about its tails.
_FEWEST = 200

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
# From counts (draws, rows) to scores (draws,); NaN where a metric is not defined for the rows drawn.
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Interval:
    """Where a figure lies.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: Share of the draws between them.
        draws: How many draws there were.
    """

    low: float
    high: float
    level: float
    draws: int


@dataclass(frozen=True)
class Figure:
    """A figure of some rows, to be computed of others of their kind.

    Attributes:
        statistic: One of `metric_statistics`, or a difference of two as `better_by` makes it.
        rows: How many rows it is over.
        groups: Rows of equal number are drawn together, (rows,); None where rows are drawn one by one.
    """

    statistic: Statistic
    rows: int
    groups: Ints | None = None

    def draw(self, seed: int, draws: int) -> Floats:
        """Compute it of rows drawn with replacement, (draws,); equal seeds draw equal rows."""
        if not self.rows:
            return np.empty(0)
        return np.concatenate([self.statistic(counts) for counts in draw_counts(self.rows, seed, draws, self.groups)])


def interval(figure: Figure, seed: int, draws: int = DRAWS) -> Interval | None:
    """Return the percentile interval of a figure over rows drawn with replacement.

    Args:
        figure: What is computed.
        seed: Of the draws.
        draws: How often to draw.

    Returns:
        None where the figure is hardly ever defined, as ROC AUC where a class has one row.

    Reference:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    return _between(figure.draw(seed, draws), draws)


def _between(values: Floats, draws: int) -> Interval | None:
    defined = values[np.isfinite(values)]
    if len(defined) < min(_FEWEST, draws):
        return None
    return Interval(*percentiles(defined), LEVEL, len(defined))


def percentiles(values: Floats) -> tuple[float, float]:
    """Return the ends of the percentile interval of draws that are all defined."""
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def apart(first: Figure, second: Figure, objective: Objective, seed: int, draws: int = DRAWS) -> Interval | None:
    """Return the interval of how much first is better than second, each over rows of its own, drawn independently."""
    own, other = (figure.draw(seed + place, draws) for place, figure in enumerate((first, second)))
    return _between(objective.gain(own, over=other), draws)


def better_by(first: Statistic, second: Statistic, objective: Objective) -> Statistic:
    """Return by how much first is better than second, above 0 where it is, whatever the direction of the metric.

    Both are of the same rows, so that what makes rows hard for both cancels (paired bootstrap).
    """

    def gain(counts: Floats) -> Floats:
        found: Floats = objective.gain(first(counts), over=second(counts))
        return found

    return gain


def is_lost(gain: Interval | None) -> bool:
    """Tell whether a gain is a loss beyond noise: the whole interval lies below 0."""
    return gain is not None and gain.high < 0


def draw_counts(rows: int, seed: int, draws: int, groups: Ints | None = None) -> Iterator[Floats]:
    """Yield how often each row is drawn, (some draws, rows), until there are `draws` in all.

    Args:
        rows: How many there are.
        seed: Of the draws.
        draws: How many are wanted.
        groups: Rows of equal number are drawn together, (rows,); None where rows are drawn one by one.
    """
    generator = np.random.default_rng(seed)
    member = None if groups is None else np.unique(groups, return_inverse=True)[1]
    units = rows if member is None else int(member.max()) + 1
    together = max(_HELD // rows, 1)
    for first in range(0, draws, together):
        count = min(together, draws - first)
        places = generator.integers(0, units, (count, units)) + np.arange(count)[:, None] * units
        drawn = np.bincount(places.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        yield drawn if member is None else drawn[:, member]


def decide(prediction: Floats, positive: int, threshold: float) -> Floats:
    """Turn probabilities of two classes into decisions, 0 and 1: positive from the threshold on, (rows, 2)."""
    is_positive = prediction[:, positive] >= threshold
    decided: Floats = np.where(is_positive[:, None] == (np.arange(2) == positive), 1.0, 0.0)
    return decided


def metric_statistics(
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float = 1.0,
    weights: Floats | None = None,
    threshold: float | None = None,
) -> Mapping[str, Statistic]:
    """Return every metric of the task as a function of counts.

    Args:
        task: What is predicted.
        truth: As for `compute_metrics`, and so are `prediction`, `positive` and `scale`.
        prediction: Probabilities (rows, classes), or values (rows,).
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target is divided in training.
        weights: How much each row counts, (rows,).
        threshold: Probability from which on a row is taken for the positive class; None for a half.
    """
    prediction = prediction.astype(np.float64)
    if task == "regression":
        return _weighted(_regression(truth.astype(np.float64), prediction, scale), weights)
    positive = positive if task == "binary" else None
    statistics = _classification(truth, prediction / prediction.sum(axis=1, keepdims=True), positive)
    if threshold is not None and positive is not None:
        decided = _classification(truth, decide(prediction, positive, threshold), positive)
        statistics |= {name: decided[name] for name in DECIDED if name in decided}
    return _weighted(statistics, weights)


def _weighted(statistics: Mapping[str, Statistic], weights: Floats | None) -> Mapping[str, Statistic]:
    if weights is None:
        return statistics

    def weigh(statistic: Statistic) -> Statistic:
        return lambda counts: statistic(counts * weights)

    return {name: weigh(statistic) for name, statistic in statistics.items()}


def _mean(values: Floats) -> Statistic:
    return lambda counts: (counts @ values) / counts.sum(axis=1)


def _regression(truth: Floats, prediction: Floats, scale: float) -> dict[str, Statistic]:
    error = prediction - truth
    mse = _mean(error**2)

    def r2(counts: Floats) -> Floats:
        total = counts.sum(axis=1)
        # Around the mean of all rows, because squares of values far from 0 cancel.
        centred = truth - truth.mean()
        spread = counts @ centred**2 - (counts @ centred) ** 2 / total
        squares = counts @ error**2
        with np.errstate(divide="ignore", invalid="ignore"):
            made: Floats = np.where(
                _is_positive(spread, centred, total), 1 - squares / spread, (squares == 0).astype(float)
            )
        return made if len(truth) > 1 else np.full(len(counts), np.nan)

    return {
        "loss": lambda counts: mse(counts) / scale**2,
        "mse": mse,
        "rmse": lambda counts: np.sqrt(mse(counts)),
        "mae": _mean(np.abs(error)),
        "r2": r2,
    }


def _is_positive(spread: Floats, centred: Floats, total: Floats) -> npt.NDArray[np.bool_]:
    """Tell a spread from what rounding leaves of none."""
    largest = float(np.max(np.abs(centred), initial=0.0)) ** 2
    positive: npt.NDArray[np.bool_] = spread > 8 * np.finfo(np.float64).eps * total * largest
    return positive


def _classification(truth: Ints, prediction: Floats, positive: int | None) -> dict[str, Statistic]:
    classes = prediction.shape[1]
    chosen = prediction.argmax(axis=1)
    is_true = (truth[:, None] == np.arange(classes)).astype(np.float64)
    is_chosen = (chosen[:, None] == np.arange(classes)).astype(np.float64)
    is_hit = is_true * is_chosen

    def f1(counts: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Return F1 and support of each class (draws, classes), and which classes are there at all."""
        support, either = counts @ is_true, counts @ (is_true + is_chosen)
        return 2 * (counts @ is_hit) / np.where(either > 0, either, 1), support, either > 0

    def balanced_accuracy(counts: Floats) -> Floats:
        support = counts @ is_true
        recall = (counts @ is_hit) / np.where(support > 0, support, 1)
        made: Floats = recall.sum(axis=1) / (support > 0).sum(axis=1)
        return made

    def f1_macro(counts: Floats) -> Floats:
        each, _, is_there = f1(counts)
        made: Floats = (each * is_there).sum(axis=1) / is_there.sum(axis=1)
        return made

    def f1_weighted(counts: Floats) -> Floats:
        each, support, _ = f1(counts)
        made: Floats = (each * support).sum(axis=1) / support.sum(axis=1)
        return made

    own = prediction[np.arange(len(truth)), truth]
    smallest = np.finfo(np.float64).eps
    log_loss = _mean(-np.log(np.clip(own, smallest, 1 - smallest)))
    squares = ((prediction - is_true) ** 2).sum(axis=1)
    judged = range(classes) if positive is None else (positive,)
    made: dict[str, Statistic] = {"accuracy": _mean(is_hit.sum(axis=1)), "balanced_accuracy": balanced_accuracy}
    if positive is not None:
        made["f1"] = lambda counts: f1(counts)[0][:, positive]
    made |= {
        "f1_macro": f1_macro,
        "f1_weighted": f1_weighted,
        "roc_auc": _over_classes([_roc_auc(truth == c, prediction[:, c]) for c in judged], is_true),
        "average_precision": _over_classes([_average_precision(truth == c, prediction[:, c]) for c in judged], is_true),
        "log_loss": log_loss,
        "brier": _mean(squares if positive is None else squares / 2),
        "loss": log_loss,
    }
    return made


def _over_classes(statistics: list[Statistic], is_true: Floats) -> Statistic:
    """Average what is judged for each class; not defined where a class is absent, as in `compute_metrics`."""

    def mean(counts: Floats) -> Floats:
        whole = (counts @ is_true > 0).all(axis=1)
        scores = np.full(len(counts), np.nan)
        if whole.any():
            scores[whole] = np.mean([statistic(counts[whole]) for statistic in statistics], axis=0)
        return scores

    return mean


def _tied(score: Floats, order: Ints) -> Ints:
    """Return where each group of equal scores begins, in an order."""
    return np.flatnonzero(np.append(True, np.diff(score[order]) != 0))


@dataclass(frozen=True)
class _Ranks:
    """How often rows are drawn, along an order of scores; (draws, true rows) each.

    Attributes:
        hits: Each true row itself.
        before, through: All rows with a score before its own, and those with its own among them.
        true_before, true_through: The true ones of them.
    """

    hits: Floats
    before: Floats
    through: Floats
    true_before: Floats
    true_through: Floats


def _rank(truth: npt.NDArray[np.bool_], score: Floats) -> Callable[[Floats], _Ranks]:
    """Sort once by ascending score; what is drawn then costs two sums along the order and looks at true rows only."""
    order = np.argsort(score, kind="stable")
    begins = _tied(score, order)
    places = np.flatnonzero(truth[order])
    true_rows = order[places]
    group = np.searchsorted(begins, places, side="right") - 1
    before, through = begins[group], np.append(begins[1:], len(score))[group]
    true_before, true_through = np.searchsorted(places, before), np.searchsorted(places, through)

    def rank(counts: Floats) -> _Ranks:
        hits = counts[:, true_rows]
        drawn, found = _sums_along(counts[:, order]), _sums_along(hits)
        return _Ranks(hits, drawn[:, before], drawn[:, through], found[:, true_before], found[:, true_through])

    return rank


def _sums_along(counts: Floats) -> Floats:
    """Return how much there is in the first 0, 1, 2, ... columns."""
    sums = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _roc_auc(truth: npt.NDArray[np.bool_], score: Floats) -> Statistic:
    """Area under the ROC curve: pairs in the right order, ties counting half (Hanley and McNeil, 1982)."""
    rank = _rank(truth, score)

    def area(counts: Floats) -> Floats:
        ranks = rank(counts)
        below, through = ranks.before - ranks.true_before, ranks.through - ranks.true_through
        total = ranks.hits.sum(axis=1)
        made: Floats = (ranks.hits * (below + through)).sum(axis=1) / (2 * total * (counts.sum(axis=1) - total))
        return made

    return area


def _average_precision(truth: npt.NDArray[np.bool_], score: Floats) -> Statistic:
    """Sum of precision times gained recall over the distinct thresholds."""
    rank = _rank(truth, -score)

    def precision(counts: Floats) -> Floats:
        ranks = rank(counts)
        named = np.where(ranks.through > 0, ranks.through, 1)
        made: Floats = (ranks.true_through / named * ranks.hits).sum(axis=1) / ranks.hits.sum(axis=1)
        return made

    return precision
