"""Shares of models that are computed rather than chosen: on the simplex, and by regularized regression.

Both minimize a proper score (squared error, or the log loss of classes) over rows that no model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def weigh(predictions: Sequence[Floats], truth: npt.NDArray[Any], candidates: Iterable[int]) -> Shares:
    """Find the shares on the simplex that make the average best: all at least 0, together 1.

    The loss is convex in the shares, so that there is one best value; many candidates come out with nothing.

    Args:
        predictions: Of every candidate for the same rows.
        truth: Class indices or values, (rows,).
        candidates: Which of them may have a share.

    Returns:
        Shares by place, without those that have next to nothing.

    Reference:
        Breiman, "Stacked Regressions", 1996: shares that are kept from becoming negative stay with the models.
    """
    from scipy.optimize import minimize

    places = list(candidates)
    own = np.stack([_of_truth(predictions[place], truth) for place in places])

    def loss(shares: Floats) -> tuple[float, Floats]:
        together = shares @ own
        if truth.dtype.kind == "f":
            spread = max(float(truth.var()), np.finfo(np.float64).tiny)
            return float(np.mean(together**2)) / spread, 2 * (own @ together) / len(truth) / spread
        together = np.maximum(together, SMALLEST_PROBABILITY)
        return float(-np.log(together).mean()), -(own @ (1 / together)) / len(truth)

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


def stack(predictions: Sequence[Floats], truth: npt.NDArray[Any], seed: int) -> tuple[Shares, Mix]:
    """Regress the truth on predictions, drawn towards their plain mean as far as cross-validation says.

    Values by ridge regression. Classes by a log-linear pool: one share a model and one offset a class, because a
    coefficient for each pair of classes would be as many as some tables have rows.

    Args:
        predictions: Of each model for rows that it was not trained on.
        truth: Class indices or values, (rows,).
        seed: Of the folds.

    Reference:
        Wolpert, "Stacked Generalization", 1992; Breiman, "Stacked Regressions", 1996, for ridge.
    """
    if truth.dtype.kind == "f":
        return _stack_values(np.stack(predictions).astype(np.float64), truth)
    return _stack_classes(np.stack(predictions).astype(np.float64), truth, seed)


def _stack_values(given: Floats, truth: Floats) -> tuple[Shares, Mix]:
    from sklearn.linear_model import RidgeCV

    mean = given.mean(axis=0)
    scale = float(truth.std()) or 1.0
    # What the mean leaves is regressed, so that the strongest regularization is the mean itself.
    left = (truth - mean) / scale
    ridge = RidgeCV(alphas=_STRENGTHS * len(truth)).fit((given / scale).T, left)
    shares = ridge.coef_ + 1 / len(given)
    return dict(enumerate(map(float, shares))), Mix("average", (float(ridge.intercept_) * scale,))


def _stack_classes(given: Floats, truth: npt.NDArray[Any], seed: int) -> tuple[Shares, Mix]:
    logs = np.log(np.maximum(given, SMALLEST_PROBABILITY))
    folds = np.random.default_rng(seed).permutation(np.arange(len(truth)) % _FOLDS)
    losses = np.zeros(len(_STRENGTHS))
    for fold in range(min(_FOLDS, len(truth))):
        held = folds == fold
        if held.all():
            continue
        fitted = None
        for place, strength in reversed(list(enumerate(_STRENGTHS))):
            fitted = _fit_pool(logs[:, ~held], truth[~held], strength, fitted)
            losses[place] += _pool_loss(fitted, logs[:, held], truth[held])[0] * held.sum()
    # The stronger one where several are equally good.
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    fitted = _fit_pool(logs, truth, _STRENGTHS[best], None)
    count = len(given)
    return dict(enumerate(map(float, fitted[:count]))), Mix("log_linear", tuple(map(float, fitted[count:])))


def _fit_pool(logs: Floats, truth: npt.NDArray[Any], strength: float, start: Floats | None) -> Floats:
    """Minimize log loss plus strength times the squared distance from the plain mean of the logarithms."""
    from scipy.optimize import minimize

    count, _, classes = logs.shape
    plain = np.concatenate([np.full(count, 1 / count), np.zeros(classes)])

    def loss(values: Floats) -> tuple[float, Floats]:
        value, gradient = _pool_loss(values, logs, truth)
        away = values - plain
        return value + strength * float(away @ away), gradient + 2 * strength * away

    solved: Floats = minimize(loss, plain if start is None else start, jac=True, method="L-BFGS-B").x
    return solved


def _pool_loss(values: Floats, logs: Floats, truth: npt.NDArray[Any]) -> tuple[float, Floats]:
    """Return log loss and gradient of a log-linear pool: shares of the models, then an offset for each class."""
    count = len(logs)
    rows = np.arange(len(truth))
    probabilities = softmax(np.tensordot(values[:count], logs, axes=1) + values[count:])
    own = np.maximum(probabilities[rows, truth], np.finfo(np.float64).tiny)
    wrong = probabilities.copy()
    wrong[rows, truth] -= 1
    gradient = np.concatenate([np.tensordot(logs, wrong, axes=2), wrong.sum(axis=0)]) / len(truth)
    return float(-np.log(own).mean()), gradient
