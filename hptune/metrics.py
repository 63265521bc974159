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
    task: Task, truth: npt.NDArray[Any], prediction: Floats, positive: int | None, scale: float = 1.0
) -> dict[str, float]:
    """Compute every metric of the task with scikit-learn.

    Args:
        task: What was predicted.
        truth: Class indices (rows,), or values (rows,) in the original unit.
        prediction: Probabilities (rows, classes), or values (rows,).
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target is divided in training; `loss` is in those units.

    Returns:
        Metrics by name, in the order of the catalogue. A metric that is not defined for these rows, such as ROC AUC
        where a class is absent, is left out.
    """
    figures = _by_sklearn(task, truth, prediction.astype(np.float64), positive, scale)
    with _trusting_numbers():
        return {name: float(figure()) for name, figure in figures.items()}


def reported_metric(
    name: str, task: Task, truth: npt.NDArray[Any], prediction: Floats, positive: int | None, scale: float = 1.0
) -> float:
    """Compute one metric with scikit-learn; the others would take many times as long."""
    with _trusting_numbers():
        return float(_by_sklearn(task, truth, prediction.astype(np.float64), positive, scale)[name]())


def _by_sklearn(
    task: Task, truth: npt.NDArray[Any], prediction: Floats, positive: int | None, scale: float
) -> dict[str, Figure]:
    if task == "regression":
        return _regression_by_sklearn(truth, prediction, scale)
    return _classification_by_sklearn(truth, _normalized(prediction), positive if task == "binary" else None)


def _regression_by_sklearn(truth: Floats, prediction: Floats, scale: float) -> dict[str, Figure]:
    figures: dict[str, Figure] = {
        "loss": lambda: float(sk.mean_squared_error(truth, prediction)) / scale**2,
        "mse": lambda: sk.mean_squared_error(truth, prediction),
        "rmse": lambda: sk.root_mean_squared_error(truth, prediction),
        "mae": lambda: sk.mean_absolute_error(truth, prediction),
    }
    if len(truth) > 1:
        figures["r2"] = lambda: sk.r2_score(truth, prediction)
    return figures


def _classification_by_sklearn(truth: Ints, prediction: Floats, positive: int | None) -> dict[str, Figure]:
    labels = np.arange(prediction.shape[1])
    chosen = prediction.argmax(axis=1)
    present = np.union1d(truth, chosen)
    one_hot = truth[:, None] == labels
    figures: dict[str, Figure] = {
        "accuracy": lambda: sk.accuracy_score(truth, chosen),
        "balanced_accuracy": lambda: sk.recall_score(truth, chosen, labels=np.unique(truth), average="macro"),
    }
    if positive is not None:
        figures["f1"] = lambda: sk.f1_score(truth == positive, chosen == positive, zero_division=0.0)
    figures["f1_macro"] = lambda: sk.f1_score(truth, chosen, labels=present, average="macro", zero_division=0.0)
    figures["f1_weighted"] = lambda: sk.f1_score(truth, chosen, labels=present, average="weighted", zero_division=0.0)
    # The positive class alone is judged where there are two, the mean over the classes otherwise.
    judged, scores = (one_hot, prediction) if positive is None else (truth == positive, prediction[:, positive])
    if one_hot.any(axis=0).all():
        figures["roc_auc"] = lambda: sk.roc_auc_score(judged, scores, average="macro")
        figures["average_precision"] = lambda: sk.average_precision_score(judged, scores, average="macro")
    figures["log_loss"] = lambda: sk.log_loss(truth, prediction, labels=labels)
    if positive is not None:
        figures["brier"] = lambda: sk.brier_score_loss(truth == positive, scores)
    else:
        figures["brier"] = lambda: sk.brier_score_loss(truth, prediction, labels=labels)
    figures["loss"] = figures["log_loss"]
    return figures


def compute_metrics(
    task: Task,
    truth: npt.NDArray[Any],
    prediction: Floats,
    positive: int | None,
    scale: float = 1.0,
    *,
    with_ranks: bool = True,
) -> dict[str, float]:
    """Compute every metric of the task, fast; arguments and result as `reported_metrics`.

    Without ranks it leaves out those that need the rows in order, which takes longer than all the others together.
    """
    prediction = prediction.astype(np.float64)
    if task == "regression":
        return _regression(truth, prediction, scale)
    return _classification(truth, _normalized(prediction), positive if task == "binary" else None, with_ranks)


def _normalized(prediction: Floats) -> Floats:
    """Make rows sum to 1 in double precision; the network's sums are 1 in single precision only."""
    normalized: Floats = prediction / prediction.sum(axis=1, keepdims=True)
    return normalized


def _regression(truth: Floats, prediction: Floats, scale: float) -> dict[str, float]:
    error = prediction - truth
    mse = float(np.mean(error**2))
    scores = {"loss": mse / scale**2, "mse": mse, "rmse": mse**0.5, "mae": float(np.abs(error).mean())}
    if len(truth) > 1:
        spread = float(np.sum((truth - truth.mean()) ** 2))
        squares = float(np.sum(error**2))
        # As scikit-learn has it: a constant truth is 1 where it is met, else 0.
        scores["r2"] = 1 - squares / spread if spread else float(squares == 0)
    return scores


def _classification(truth: Ints, prediction: Floats, positive: int | None, with_ranks: bool) -> dict[str, float]:
    classes = prediction.shape[1]
    chosen = prediction.argmax(axis=1)
    confusion = np.bincount(truth * classes + chosen, minlength=classes * classes).reshape(classes, classes)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = (support + predicted) > 0
    f1 = 2 * hits / np.where(present, support + predicted, 1)
    scores = {
        "accuracy": float(hits.sum() / len(truth)),
        "balanced_accuracy": float(np.mean(hits[support > 0] / support[support > 0])),
    }
    if positive is not None:
        scores["f1"] = float(f1[positive])
    scores["f1_macro"] = float(f1[present].mean())
    scores["f1_weighted"] = float(np.average(f1, weights=support))
    if with_ranks and (support > 0).all():
        judged = range(classes) if positive is None else (positive,)
        scores["roc_auc"] = float(np.mean([_roc_auc(truth == c, prediction[:, c]) for c in judged]))
        scores["average_precision"] = float(np.mean([_average_precision(truth == c, prediction[:, c]) for c in judged]))
    own = prediction[np.arange(len(truth)), truth]
    smallest = np.finfo(np.float64).eps
    log_loss = float(-np.log(np.clip(own, smallest, 1 - smallest)).mean())
    scores["log_loss"] = log_loss
    one_hot = truth[:, None] == np.arange(classes)
    # Half of it for two classes, so that it is the squared error of the positive probability, as Brier (1950) has it.
    brier = float(((prediction - one_hot) ** 2).sum(axis=1).mean())
    scores["brier"] = brier / 2 if positive is not None else brier
    scores["loss"] = log_loss
    return scores


def _roc_auc(truth: npt.NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve as a rank sum, ties counting half (Hanley and McNeil, 1982)."""
    count = int(truth.sum())
    ranks = rankdata(score)[truth].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(truth) - count)))


def _average_precision(truth: npt.NDArray[np.bool_], score: Floats) -> float:
    """Sum of precision times gained recall over the distinct thresholds."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    positions = np.flatnonzero(last_of_ties)
    precision = hits[positions] / (positions + 1)
    gained = np.diff(hits[positions], prepend=0)
    return float((precision * gained).sum() / hits[-1])


def missing_metric(scores: Mapping[str, float], metric: str) -> str:
    """Say why a metric is not among the scores, and what can be done."""
    return (
        f"objective.metric: {metric} is not defined for these validation rows, in which a class is absent; "
        f"give them rows of every class, or choose one of {', '.join(scores)}"
    )
