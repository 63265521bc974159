"""Why an ensemble helps: its error is what its members err on average, less what they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Decomposition:
    """Squared error of an average; of classes it is that of the probabilities, summed over them.

    Attributes:
        ensemble: Error of the average: `members` minus `disagreement`.
        members: Mean error of the members, by their shares.
        disagreement: Mean squared distance of the members from the average, by their shares: the ambiguity.
    """

    ensemble: float
    members: float
    disagreement: float


def decompose(predictions: Sequence[Floats], shares: Sequence[float], truth: npt.NDArray[Any]) -> Decomposition:
    """Take the squared error of an average apart.

    Args:
        predictions: Of each member, (rows, classes) probabilities or (rows,) values.
        shares: Of the members; they sum to 1.
        truth: Class indices or values, (rows,).

    Reference:
        Krogh and Vedelsby, "Neural Network Ensembles, Cross Validation, and Active Learning", 1995, eq. 5.
    """
    wanted = _wanted(predictions[0], truth)
    wide = [values.astype(np.float64) for values in predictions]
    average = np.sum([share * values for share, values in zip(shares, wide, strict=True)], axis=0)
    members = [share * _distance(values, wanted) for share, values in zip(shares, wide, strict=True)]
    apart = [share * _distance(values, average) for share, values in zip(shares, wide, strict=True)]
    return Decomposition(_distance(average, wanted), float(np.sum(members)), float(np.sum(apart)))


def _wanted(prediction: Floats, truth: npt.NDArray[Any]) -> Floats:
    if prediction.ndim == 1:
        return truth.astype(np.float64)
    one_hot: Floats = (truth[:, None] == np.arange(prediction.shape[1])).astype(np.float64)
    return one_hot


def _distance(values: Floats, others: Floats) -> float:
    squares = (values - others) ** 2
    return float(squares.sum() / len(squares))


def correlate_errors(predictions: Sequence[Floats], truth: npt.NDArray[Any]) -> list[list[float | None]]:
    """Correlate what members err in each row: of values the residual, of classes what the true class lacks of 1.

    Returns:
        Pearson's correlation, (members, members); None where a member errs alike in every row.
    """
    errors = np.stack([_error(values.astype(np.float64), truth) for values in predictions])
    centred = errors - errors.mean(axis=1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=1))
    products = np.outer(lengths, lengths)
    is_defined = products > 0
    matrix = np.clip(centred @ centred.T / np.where(is_defined, products, 1), -1, 1)
    return [
        [float(value) if defined else None for value, defined in zip(row, known, strict=True)]
        for row, known in zip(matrix, is_defined, strict=True)
    ]


def _error(prediction: Floats, truth: npt.NDArray[Any]) -> Floats:
    error: Floats = prediction - truth if prediction.ndim == 1 else 1 - prediction[np.arange(len(truth)), truth]
    return error
