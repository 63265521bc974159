"""From which probability on a row is taken for the positive class: chosen on validation rows, where the metric asks.

Half is right for accuracy; f1 and balanced accuracy are mostly better elsewhere, the more so the rarer a class is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hptune.bootstrap import Floats, Guess, Yardstick

# Metrics of two classes that ask for a threshold.
_METRICS = ("f1", "f1_macro", "balanced_accuracy")


def choose_threshold(yardstick: Yardstick, guess: Guess, metric: str) -> float | None:
    """Choose the threshold with the best metric; of equal ones the one nearest to a half.

    Args:
        yardstick: The rows; of two classes.
        guess: Probabilities for all of them.
        metric: Of the objective.

    Returns:
        A probability strictly between two that were predicted; None where the metric does not ask for it, or a half
        is as good.
    """
    positive = yardstick.positive
    if positive is None or yardstick.task != "binary" or metric not in _METRICS:
        return None
    scores = guess.values[:, positive].astype(np.float64)
    weights = np.ones(len(scores)) if yardstick.weights is None else yardstick.weights
    is_positive = yardstick.truth == positive
    values, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place, weights * is_positive, len(values))
    misses = np.bincount(place, weights * ~is_positive, len(values))
    if len(values) < 2 or not hits.sum() or not misses.sum():
        return None
    # Rows from the threshold on are taken for positive; a threshold stands between two neighbours.
    taken: list[Floats] = [np.cumsum(counts[::-1])[::-1][1:].astype(np.float64) for counts in (hits, misses)]
    found = _score(metric, taken[0], taken[1], hits.sum(), misses.sum())
    thresholds = (values[1:] + values[:-1]) / 2
    best = np.flatnonzero(found >= found.max() - 1e-12)
    chosen = float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])
    half = yardstick.report(guess)[metric]
    return chosen if yardstick.report(replace(guess, threshold=chosen))[metric] > half else None


def _score(metric: str, hits: Floats, alarms: Floats, positives: float, negatives: float) -> Floats:
    """Return the metric by true and false positives, (thresholds,)."""
    if metric == "balanced_accuracy":
        balanced: Floats = (hits / positives + (negatives - alarms) / negatives) / 2
        return balanced
    f1: Floats = 2 * hits / (hits + alarms + positives)
    if metric == "f1":
        return f1
    rest, correct = positives + negatives - hits - alarms, negatives - alarms
    of_others = 2 * correct / (rest + negatives)
    both: Floats = (f1 + of_others) / 2
    return both
