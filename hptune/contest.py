"""The ensemble beside the best single model: on test rows, in size, in time.

Everything here imports TensorFlow and scikit-learn and runs in a worker process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.artifact import load_artifact, predict_with
from hptune.bootstrap import Guess
from hptune.comparison import Comparison, Cost
from hptune.data.kinds import Column
from hptune.description import Description, read_description
from hptune.objective import Objective
from hptune.resampling import Figure, better_by, interval
from hptune.verdict import predict_simply, yardstick_of

# Rows that are timed, and how often: what else the machine does can only make it slower.
_TIMED_ROWS = 4096
_REPEATS = 3

Floats = npt.NDArray[np.floating[Any]]


def compare(
    model: keras.Model,
    ensemble: Path,
    best: Path,
    about: Description,
    columns: Sequence[Column],
    rows: Mapping[str, pl.DataFrame],
    groups: npt.NDArray[np.int64] | None,
    objective: Objective,
    seed: int,
) -> Comparison:
    """Compare an ensemble with the best single model, each by the threshold that it was given.

    Args:
        model: The ensemble, as Keras has loaded it.
        ensemble: Its artifact.
        best: The artifact of the best model.
        about: What both predict.
        columns: Their inputs.
        rows: Raw rows of train, validation and test, with the target.
        groups: Of the test rows, which are drawn together; None where rows are drawn one by one.
        objective: The metric that decides.
        seed: Of the bootstrap.
    """
    paths = {"ensemble": ensemble, "best": best}
    models = {"ensemble": model, "best": load_artifact(best)}
    test = rows["test"]
    timed = (test if test.height else rows["validation"]).head(_TIMED_ROWS)
    costs = {name: Cost(path.stat().st_size, _milliseconds(models[name], timed, about)) for name, path in paths.items()}
    if not test.height:
        return Comparison({}, None, None, costs)
    guesses = {
        name: Guess(predict_with(model, test, about.columns), threshold=read_description(paths[name]).threshold)
        for name, model in models.items()
    }
    simple = {name: Guess(given) for name, given in predict_simply(about, columns, rows["train"], test).items()}
    yardstick = yardstick_of(about, test, groups)
    scores = {name: yardstick.report(guess) for name, guess in (guesses | simple).items()}
    metric = objective.metric
    if metric not in scores["ensemble"] or metric not in scores["best"]:
        return Comparison(scores, None, None, costs)
    own, other = (yardstick.statistics(guess)[metric] for guess in guesses.values())
    found = interval(Figure(better_by(own, other, objective), test.height, groups), seed)
    gain = objective.gain(scores["ensemble"][metric], over=scores["best"][metric])
    return Comparison(scores, gain, found, costs)


def _milliseconds(model: Any, rows: pl.DataFrame, about: Description) -> float:
    predict_with(model, rows, about.columns)
    taken = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        predict_with(model, rows, about.columns)
        taken.append(time.perf_counter() - began)
    return round(1000 * min(taken) / rows.height, 6)
