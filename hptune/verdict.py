"""The verdict: the winner on test rows, scored once, beside predictors that learn little or nothing.

A network that does not beat the majority class or a linear model is not worth its weights; the numbers stand together.
Everything here imports scikit-learn and runs in a worker process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder

from hptune.artifact import predict_with
from hptune.bootstrap import Guess, Yardstick, intervals
from hptune.calibration import measure_calibration
from hptune.data.kinds import Column
from hptune.data.preparation import fit_preparation
from hptune.data.table import encode_target, weights_of
from hptune.description import Description
from hptune.testrows import TestRows, hash_rows

_LINEAR_ITERATIONS = 1000


def judge_test_rows(
    model: keras.Model,
    about: Description,
    columns: Sequence[Column],
    train: pl.DataFrame,
    test: pl.DataFrame,
    groups: npt.NDArray[np.int64] | None,
    seed: int,
    kept: Path,
) -> dict[str, Any]:
    """Score the artifact and two simple predictors on the test rows, and say how much chance there is in that.

    Args:
        model: What is delivered, as Keras has loaded it.
        about: Its task, labels and threshold.
        columns: Its inputs.
        train: Training rows, with the target.
        test: Test rows, with the target.
        groups: Of the test rows, which are drawn together; None where rows are drawn one by one.
        seed: Of the draws.
        kept: A file for the test rows as the artifact met them.

    Returns:
        `scores` by name: metrics of the artifact (`test`), of `majority` or `mean`, and of `linear`; `intervals` of
        them as `bootstrap.intervals` has them; and `calibration` of the artifact.
    """
    yardstick = yardstick_of(about, test, groups)
    own = predict_with(model, test, about.columns)
    TestRows(yardstick.truth, own, hash_rows(test), yardstick.weights, about.threshold, groups).save(kept)
    simple = predict_simply(about, columns, train, test)
    guesses = {"test": Guess(own, threshold=about.threshold)} | {name: Guess(found) for name, found in simple.items()}
    return {
        "scores": {name: yardstick.report(guess) for name, guess in guesses.items()},
        "intervals": intervals(yardstick, guesses, "test", seed),
        "calibration": measure_calibration(yardstick, own),
    }


def yardstick_of(about: Description, rows: pl.DataFrame, groups: npt.NDArray[np.int64] | None = None) -> Yardstick:
    """Return what predictions of labelled rows are held against."""
    truth, weights = encode_target(rows, about.target, about.labels), weights_of(rows, about.weight)
    return Yardstick(about.task, truth, about.positive, about.scale, weights, groups)


def score(about: Description, rows: pl.DataFrame, predictions: npt.NDArray[Any]) -> dict[str, float]:
    """Compute every metric of predictions for labelled rows; decisions are made at the threshold of the artifact."""
    return yardstick_of(about, rows).report(Guess(predictions, threshold=about.threshold))


def predict_simply(
    about: Description, columns: Sequence[Column], train: pl.DataFrame, test: pl.DataFrame
) -> dict[str, npt.NDArray[Any]]:
    """Fit simple predictors on training rows and let them predict test rows.

    Returns:
        Probabilities (rows, classes) or values (rows,) by name: `majority` predicts the shares of the classes, `mean`
        the mean, `linear` is logistic or ridge regression with scikit-learn's defaults on standardized inputs.
    """
    preparation = fit_preparation(train, columns, "standard")
    (train_numeric, train_codes), (test_numeric, test_codes) = (preparation.transform(frame) for frame in (train, test))
    encoder = OneHotEncoder(handle_unknown="ignore").fit(train_codes) if train_codes.shape[1] else None
    x, x_test = (
        sparse.hstack([numeric, encoder.transform(codes)], format="csr") if encoder is not None else numeric
        for numeric, codes in ((train_numeric, train_codes), (test_numeric, test_codes))
    )
    truth, weights = encode_target(train, about.target, about.labels), weights_of(train, about.weight)
    if about.task == "regression":
        regressors = {"mean": DummyRegressor(), "linear": Ridge()}
        return {
            name: regressor.fit(x, truth, sample_weight=weights).predict(x_test)
            for name, regressor in regressors.items()
        }
    classifiers = {
        "majority": DummyClassifier(strategy="prior"),
        "linear": LogisticRegression(max_iter=_LINEAR_ITERATIONS),
    }
    return {
        name: classifier.fit(x, truth, sample_weight=weights).predict_proba(x_test)
        for name, classifier in classifiers.items()
    }
