"""Shares of models that are computed rather than chosen: on the simplex, and by regularized regression.

Both minimize a proper score (squared error, or the log loss of classes) over rows that no model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.mix import SMALLEST_PROBABILITY, Mix, softmax

Floats = npt.NDArray[np.floating[Any]]
Shares = Mapping[int, float]

# A smaller share moves no prediction that anybody would notice.
_SMALLEST_SHARE = 1e-4
# Strengths of regularization to choose from, in units of one row.
_STRENGTHS = np.logspace(-4, 2, 13)
_FOLDS = 5
_SQUARES = "neg_mean_squared_error"


@dataclass(frozen=True)
class Known:
    """Rows whose truth is known.

    Attributes:
        truth: Class indices or values, (rows,).
        weights: How much each row counts, (rows,); None where all count the same.
        groups: Rows of equal number err together, (rows,); None where each stands for itself.
    """

    truth: npt.NDArray[Any]
    weights: Floats | None = None
    groups: npt.NDArray[np.integer[Any]] | None = None

    @cached_property
    def counts(self) -> Floats:
        """How much each row counts, 1 in the mean."""
        weights = np.ones(len(self.truth)) if self.weights is None else self.weights
        counts: Floats = weights / weights.mean()
        return counts

    def part(self, rows: npt.NDArray[Any]) -> Known:
        """Return some of the rows."""
        weights, groups = (None if array is None else array[rows] for array in (self.weights, self.groups))
        return Known(self.truth[rows], weights, groups)

    def folds(self, seed: int) -> npt.NDArray[np.int64]:
        """Share the rows out to folds, whole groups to one: the number of each row's fold, (rows,)."""
        units = np.arange(len(self.truth)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        shuffled = np.random.default_rng(seed).permutation(np.arange(units.max() + 1) % _FOLDS)
        folds: npt.NDArray[np.int64] = shuffled[units]
        return folds


def weigh(predictions: Sequence[Floats], known: Known, candidates: Iterable[int]) -> Shares:
    """Find the shares on the simplex that make the average best: all at least 0, together 1.

    The loss is convex in the shares, so that there is one best value; many candidates come out with nothing.

    Args:
        predictions: Of every candidate for the same rows.
        known: The rows.
        candidates: Which of them may have a share.

    Returns:
        Shares by place, without those that have next to nothing.

    Reference:
        Breiman, "Stacked Regressions", 1996: shares that are kept from becoming negative stay with the models.
    """
    from scipy.optimize import minimize

    places, truth, counts = list(candidates), known.truth, known.counts
    own = np.stack([_of_truth(predictions[place], truth) for place in places])

    def loss(shares: Floats) -> tuple[float, Floats]:
        together = shares @ own
        if truth.dtype.kind == "f":
            spread = max(float(truth.var()), np.finfo(np.float64).tiny)
            error = float(np.mean(counts * together**2)) / spread
            return error, 2 * (own @ (counts * together)) / len(truth) / spread
        together = np.maximum(together, SMALLEST_PROBABILITY)
        return float(-(counts * np.log(together)).mean()), -(own @ (counts / together)) / len(truth)

    count = len(places)
    starts = [np.full(count, 1 / count), np.eye(count)[0]]
    sum_to_one = {"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like}
    solved = minimize(
        loss,
        starts[0],
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints=[sum_to_one],
        options={"maxiter": 500, "ftol": 1e-10},
    )
    # The best candidate alone is one of the choices, whatever the solver made of rounding.
    found = min((_on_simplex(solved.x), *starts), key=lambda shares: loss(shares)[0])
    return {place: float(share) for place, share in zip(places, found, strict=True) if share > 0}


def _of_truth(prediction: Floats, truth: npt.NDArray[Any]) -> Floats:
    """Return the error of values, or the probability of the true class: both mix as the predictions do."""
    wide = prediction.astype(np.float64)
    made: Floats = wide - truth if truth.dtype.kind == "f" else wide[np.arange(len(truth)), truth]
    return made


def _on_simplex(shares: Floats) -> Floats:
    kept = np.where(np.isfinite(shares) & (shares > _SMALLEST_SHARE), shares, 0)
    if not kept.any():
        return np.full(len(shares), 1 / len(shares))
    made: Floats = kept / kept.sum()
    return made


def stack(predictions: Sequence[Floats], known: Known, seed: int) -> tuple[Shares, Mix]:
    """Regress the truth on predictions, drawn towards their plain mean as far as cross-validation says.

    Values by ridge regression. Classes by a log-linear pool: one share a model and one offset a class, because a
    coefficient for each pair of classes would be as many as some tables have rows.

    Args:
        predictions: Of each model for rows that it was not trained on.
        known: The rows.
        seed: Of the folds, which whole groups stay in.

    Reference:
        Wolpert, "Stacked Generalization", 1992; Breiman, "Stacked Regressions", 1996, for ridge.
    """
    given = np.stack(predictions).astype(np.float64)
    return _stack_values(given, known, seed) if known.truth.dtype.kind == "f" else _stack_classes(given, known, seed)


def _stack_values(given: Floats, known: Known, seed: int) -> tuple[Shares, Mix]:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import PredefinedSplit

    truth = known.truth
    # Without groups each row is left out once, which needs no folds.
    folds = None if known.groups is None else PredefinedSplit(known.folds(seed))
    mean = given.mean(axis=0)
    scale = float(truth.std()) or 1.0
    # What the mean leaves is regressed, so that the strongest regularization is the mean itself.
    left = (truth - mean) / scale
    ridge = RidgeCV(alphas=_STRENGTHS * len(truth), cv=folds, scoring=None if folds is None else _SQUARES)
    ridge.fit((given / scale).T, left, sample_weight=None if known.weights is None else known.counts)
    shares = ridge.coef_ + 1 / len(given)
    return dict(enumerate(map(float, shares))), Mix("average", (float(ridge.intercept_) * scale,))


def _stack_classes(given: Floats, known: Known, seed: int) -> tuple[Shares, Mix]:
    logs = np.log(np.maximum(given, SMALLEST_PROBABILITY))
    folds = known.folds(seed)
    losses = np.zeros(len(_STRENGTHS))
    for fold in np.unique(folds):
        held = folds == fold
        if held.all():
            continue
        fitted = None
        for place, strength in reversed(list(enumerate(_STRENGTHS))):
            fitted = _fit_pool(logs[:, ~held], known.part(~held), strength, fitted)
            losses[place] += _pool_loss(fitted, logs[:, held], known.part(held))[0] * known.counts[held].sum()
    # The stronger one where several are equally good.
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    fitted = _fit_pool(logs, known, _STRENGTHS[best], None)
    count = len(given)
    return dict(enumerate(map(float, fitted[:count]))), Mix("log_linear", tuple(map(float, fitted[count:])))


def _fit_pool(logs: Floats, known: Known, strength: float, start: Floats | None) -> Floats:
    """Minimize log loss plus strength times the squared distance from the plain mean of the logarithms."""
    from scipy.optimize import minimize

    count, _, classes = logs.shape
    plain = np.concatenate([np.full(count, 1 / count), np.zeros(classes)])

    def loss(values: Floats) -> tuple[float, Floats]:
        value, gradient = _pool_loss(values, logs, known)
        away = values - plain
        return value + strength * float(away @ away), gradient + 2 * strength * away

    solved: Floats = minimize(loss, plain if start is None else start, jac=True, method="L-BFGS-B").x
    return solved


def _pool_loss(values: Floats, logs: Floats, known: Known) -> tuple[float, Floats]:
    """Return log loss and gradient of a log-linear pool: shares of the models, then an offset for each class."""
    count, truth, counts = len(logs), known.truth, known.counts
    rows = np.arange(len(truth))
    probabilities = softmax(np.tensordot(values[:count], logs, axes=1) + values[count:])
    own = np.maximum(probabilities[rows, truth], np.finfo(np.float64).tiny)
    wrong = probabilities.copy()
    wrong[rows, truth] -= 1
    wrong *= counts[:, None]
    gradient = np.concatenate([np.tensordot(logs, wrong, axes=2), wrong.sum(axis=0)]) / len(truth)
    return float(-(counts * np.log(own)).mean()), gradient
