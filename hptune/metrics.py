"""Metrics of predictions, by their scikit-learn meaning.

`compute_metrics` is plain NumPy, because it runs after every epoch and scikit-learn's checks would take longer than the
training of a small net; tests hold it against scikit-learn to 1e-12. `reported_metrics` are scikit-learn's own figures:
what is ranked and delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn import config_context
from sklearn import metrics as sk

from hptune.objective import Task

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Figure = Callable[[], float]

# Metrics that need the rows in order take longer than all the others together.
RANKED = ("roc_auc", "average_precision")
# What is given has been found finite, and scikit-learn's checks take longer than its figures.
_trusting_numbers = partial(config_context, assume_finite=True, skip_parameter_validation=True)


def reported_metrics(
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float = 1.0,
    weights: Floats | None = None,
) -> dict[str, float]:
    """Compute every metric of the task with scikit-learn.

    Args:
        task: What was predicted.
        truth: Class indices (rows,), or values (rows,) in the original unit.
        prediction: Probabilities (rows, classes), or values (rows,).
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target is divided in training; `loss` is in those units.
        weights: How much each row counts, (rows,); None where all count the same.

    Returns:
        Metrics by name, in the order of the catalogue. A metric that is not defined for these rows, such as ROC AUC
        where a class is absent, is left out.
    """
    truth, prediction, weights = _counted(truth, prediction, weights)
    figures = _by_sklearn(task, truth, prediction, positive, scale, weights)
    with _trusting_numbers():
        return {name: float(figure()) for name, figure in figures.items()}


def reported_metric(
    name: str,
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float = 1.0,
    weights: Floats | None = None,
) -> float:
    """Compute one metric with scikit-learn; the others would take many times as long."""
    truth, prediction, weights = _counted(truth, prediction, weights)
    with _trusting_numbers():
        return float(_by_sklearn(task, truth, prediction, positive, scale, weights)[name]())


def _counted(
    truth: npt.NDArray[Any], prediction: Floats, weights: Floats | None
) -> tuple[npt.NDArray[Any], Floats, Floats | None]:
    """Leave out rows without weight, which would make a class present that counts nothing; in double precision."""
    prediction = prediction.astype(np.float64)
    if weights is None or (weights > 0).all():
        return truth, prediction, weights
    counted = weights > 0
    return truth[counted], prediction[counted], weights[counted]


def _by_sklearn(
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float,
    weights: Floats | None,
) -> dict[str, Figure]:
    if task == "regression":
        return _regression_by_sklearn(truth, prediction, scale, weights)
    return _classification_by_sklearn(truth, _normalized(prediction), positive if task == "binary" else None, weights)


def _regression_by_sklearn(
    truth: Floats, prediction: Floats, scale: float, weights: Floats | None
) -> dict[str, Figure]:
    given = {"y_true": truth, "y_pred": prediction, "sample_weight": weights}
    figures: dict[str, Figure] = {
        "loss": lambda: float(sk.mean_squared_error(**given)) / scale**2,
        "mse": lambda: sk.mean_squared_error(**given),
        "rmse": lambda: sk.root_mean_squared_error(**given),
        "mae": lambda: sk.mean_absolute_error(**given),
    }
    if len(truth) > 1:
        figures["r2"] = lambda: sk.r2_score(**given)
    return figures


def _classification_by_sklearn(
    truth: Ints, prediction: Floats, positive: int | None, weights: Floats | None
) -> dict[str, Figure]:
    labels = np.arange(prediction.shape[1])
    chosen = prediction.argmax(axis=1)
    present = np.union1d(truth, chosen)
    one_hot = truth[:, None] == labels
    weighted = {"sample_weight": weights}
    shared = {**weighted, "zero_division": 0.0}
    figures: dict[str, Figure] = {
        "accuracy": lambda: sk.accuracy_score(truth, chosen, **weighted),
        "balanced_accuracy": lambda: sk.recall_score(
            truth, chosen, labels=np.unique(truth), average="macro", **weighted
        ),
    }
    if positive is not None:
        figures["f1"] = lambda: sk.f1_score(truth == positive, chosen == positive, **shared)
    figures["f1_macro"] = lambda: sk.f1_score(truth, chosen, labels=present, average="macro", **shared)
    figures["f1_weighted"] = lambda: sk.f1_score(truth, chosen, labels=present, average="weighted", **shared)
    # The positive class alone is judged where there are two, the mean over the classes otherwise.
    judged, scores = (one_hot, prediction) if positive is None else (truth == positive, prediction[:, positive])
    if one_hot.any(axis=0).all():
        figures["roc_auc"] = lambda: sk.roc_auc_score(judged, scores, average="macro", **weighted)
        figures["average_precision"] = lambda: sk.average_precision_score(judged, scores, average="macro", **weighted)
    figures["log_loss"] = lambda: sk.log_loss(truth, prediction, labels=labels, **weighted)
    if positive is not None:
        figures["brier"] = lambda: sk.brier_score_loss(truth == positive, scores, **weighted)
    else:
        figures["brier"] = lambda: sk.brier_score_loss(truth, prediction, labels=labels, **weighted)
    figures["loss"] = figures["log_loss"]
    return figures


def compute_metrics(
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float = 1.0,
    weights: Floats | None = None,
    *,
    with_ranks: bool = True,
) -> dict[str, float]:
    """Compute every metric of the task, fast; arguments and result as `reported_metrics`.

    Without ranks it leaves out those that need the rows in order, which takes longer than all the others together.
    """
    truth, prediction, weights = _counted(truth, prediction, weights)
    if task == "regression":
        return _regression(truth, prediction, scale, weights)
    return _classification(truth, _normalized(prediction), positive if task == "binary" else None, weights, with_ranks)


def _normalized(prediction: Floats) -> Floats:
    """Make rows sum to 1 in double precision; the network's sums are 1 in single precision only."""
    normalized: Floats = prediction / prediction.sum(axis=1, keepdims=True)
    return normalized


def _regression(truth: Floats, prediction: Floats, scale: float, weights: Floats | None) -> dict[str, float]:
    error = prediction - truth
    mse = float(_mean(error**2, weights))
    scores = {"loss": mse / scale**2, "mse": mse, "rmse": mse**0.5, "mae": float(_mean(np.abs(error), weights))}
    if len(truth) > 1:
        spread = float(_sum((truth - _mean(truth, weights)) ** 2, weights))
        squares = float(_sum(error**2, weights))
        # As scikit-learn has it: a constant truth is 1 where it is met, else 0.
        scores["r2"] = 1 - squares / spread if spread else float(squares == 0)
    return scores


def _mean(values: Floats, weights: Floats | None) -> Any:
    return values.mean() if weights is None else np.average(values, weights=weights)


def _sum(values: Floats, weights: Floats | None) -> Any:
    return np.sum(values if weights is None else values * weights)


def _classification(
    truth: Ints, prediction: Floats, positive: int | None, weights: Floats | None, with_ranks: bool
) -> dict[str, float]:
    classes = prediction.shape[1]
    chosen = prediction.argmax(axis=1)
    confusion = np.bincount(truth * classes + chosen, weights, classes * classes).reshape(classes, classes)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = (support + predicted) > 0
    f1 = 2 * hits / np.where(present, support + predicted, 1)
    scores = {
        "accuracy": float(hits.sum() / (len(truth) if weights is None else support.sum())),
        "balanced_accuracy": float(np.mean(hits[support > 0] / support[support > 0])),
    }
    if positive is not None:
        scores["f1"] = float(f1[positive])
    scores["f1_macro"] = float(f1[present].mean())
    scores["f1_weighted"] = float(np.average(f1, weights=support))
    if with_ranks and (support > 0).all():
        judged = range(classes) if positive is None else (positive,)
        pairs = [(truth == c, prediction[:, c]) for c in judged]
        scores["roc_auc"] = float(np.mean([_roc_auc(*pair, weights) for pair in pairs]))
        scores["average_precision"] = float(np.mean([_average_precision(*pair, weights) for pair in pairs]))
    own = prediction[np.arange(len(truth)), truth]
    smallest = np.finfo(np.float64).eps
    log_loss = float(-_mean(np.log(np.clip(own, smallest, 1 - smallest)), weights))
    scores["log_loss"] = log_loss
    one_hot = truth[:, None] == np.arange(classes)
    # Half of it for two classes, so that it is the squared error of the positive probability, as Brier (1950) has it.
    brier = float(_mean(((prediction - one_hot) ** 2).sum(axis=1), weights))
    scores["brier"] = brier / 2 if positive is not None else brier
    scores["loss"] = log_loss
    return scores


def _roc_auc(truth: npt.NDArray[np.bool_], score: Floats, weights: Floats | None) -> float:
    """Area under the ROC curve as a rank sum, ties counting half (Hanley and McNeil, 1982)."""
    if weights is None:
        count = int(truth.sum())
        ranks = rankdata(score)[truth].sum()
        return float((ranks - count * (count + 1) / 2) / (count * (len(truth) - count)))
    # With weights a rank is the weight of the negative rows below, and half of those of the same score.
    values, place = np.unique(score, return_inverse=True)
    negative = np.bincount(place[~truth], weights[~truth], len(values))
    positive = np.bincount(place[truth], weights[truth], len(values))
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def _average_precision(truth: npt.NDArray[np.bool_], score: Floats, weights: Floats | None) -> float:
    """Sum of precision times gained recall over the distinct thresholds."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order]) if weights is None else np.cumsum(truth[order] * weights[order])
    taken = np.arange(1, len(truth) + 1) if weights is None else np.cumsum(weights[order])
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    positions = np.flatnonzero(last_of_ties)
    precision = hits[positions] / taken[positions]
    gained = np.diff(hits[positions], prepend=0)
    return float((precision * gained).sum() / hits[-1])


def missing_metric(scores: Mapping[str, float], metric: str) -> str:
    """Say why a metric is not among the scores, and what can be done."""
    return (
        f"objective.metric: {metric} is not defined for these validation rows, in which a class is absent; "
        f"give them rows of every class, or choose one of {', '.join(scores)}"
    )
