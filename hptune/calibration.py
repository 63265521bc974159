"""Whether probabilities mean what they say: the reliability curve and the error that it shows.

Reference:
    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015: the
    expected calibration error, here over bins of equal width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hptune.bootstrap import Floats, Yardstick

_BINS = 10


def measure_calibration(yardstick: Yardstick, values: Floats) -> dict[str, Any] | None:
    """Compare predicted probabilities with how often they come true.

    Args:
        yardstick: The rows.
        values: Probabilities (rows, classes).

    Returns:
        `of` says of what: of the positive class where there are two, else of the class that is predicted; `error` is
        the mean difference, weighted by rows; `bins` have the mean `predicted` probability, the share `observed`, and
        how many `rows`; bins without rows are left out. None for regression.
    """
    if yardstick.task == "regression":
        return None
    if yardstick.positive is not None:
        claimed, is_true = values[:, yardstick.positive], yardstick.truth == yardstick.positive
    else:
        claimed, is_true = values.max(axis=1), yardstick.truth == values.argmax(axis=1)
    weights = np.ones(len(claimed)) if yardstick.weights is None else yardstick.weights
    place = np.minimum((claimed * _BINS).astype(int), _BINS - 1)
    bins, error = [], 0.0
    for number in range(_BINS):
        chosen = place == number
        weight = float(weights[chosen].sum())
        if not weight:
            continue
        predicted = float(np.average(claimed[chosen].astype(np.float64), weights=weights[chosen]))
        observed = float(np.average(is_true[chosen], weights=weights[chosen]))
        error += weight * abs(predicted - observed)
        bins.append({"predicted": predicted, "observed": observed, "rows": int(chosen.sum())})
    what = "the positive class" if yardstick.positive is not None else "the predicted class"
    return {"of": what, "error": error / float(weights.sum()), "bins": bins}
