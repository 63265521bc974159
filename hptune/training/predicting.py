"""Rows as a network takes them, and what it says of them in the user's unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.data.arrays import open_arrays
from hptune.training.capacity import EVALUATION_ROWS
from hptune.training.job import Job
from hptune.training.judge import Answers
from hptune.training.reductions import softmax

# Training rows that a learning curve is made of: as many as validation rows, so that both are equally exact, but no
# fewer than are scored at a time and no more than this.
SAMPLE_ROWS = 4096

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rows:
    """Training or validation rows, or the sample of training rows that is scored after each epoch.

    Attributes:
        inputs: By name, (rows, columns).
        target: As it is trained: class indices, or standardized values.
        wanted: What the loss compares with, float32 (rows, outputs): one-hot classes, 0 or 1, or standardized values.
        truth: As it is scored: class indices, or values in the original unit, in double precision as in the table.
        scales: Mean and scale of a regression target, (2,).
        weights: How much each row counts, float64 (rows,); None where all count the same.
    """

    inputs: Mapping[str, Any]
    target: npt.NDArray[Any]
    wanted: Any
    truth: npt.NDArray[Any]
    scales: Any
    weights: npt.NDArray[np.float64] | None = None

    @property
    def answers(self) -> Answers:
        """What predictions are held against."""
        return Answers(self.truth, self.weights)

    @property
    def shares(self) -> Any:
        """How much each row counts in the loss, float32 (rows, 1); 1 in the mean, so that the unit does not matter."""
        assert self.weights is not None
        return tf.constant((self.weights / self.weights.mean()).astype(np.float32)[:, None])

    def blocks(self) -> Iterator[dict[str, Any]]:
        """Yield the inputs of as many rows as are scored at a time; the last block has what is left."""
        for first in range(0, self.count, EVALUATION_ROWS):
            yield {name: array[first : first + EVALUATION_ROWS] for name, array in self.inputs.items()}

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.truth)

    @classmethod
    def open(cls, job: Job, part: str) -> Rows:
        """Read the rows of a job.

        Args:
            job: Whose data it is.
            part: train, validation or sample.
        """
        arrays = open_arrays(job.arrays)
        stored = "train" if part == "sample" else part
        rows = len(arrays[f"{stored}.truth"])
        chosen: Any = slice(None)
        if part == "sample":
            enough = min(max(len(arrays["validation.truth"]), EVALUATION_ROWS), SAMPLE_ROWS)
            chosen = np.linspace(0, rows - 1, enough).astype(np.int64) if rows > enough else chosen
        given = {name: arrays[f"{stored}.{name}"] for name in ("numeric", "codes")}
        target = np.asarray(arrays[f"{stored}.target"][chosen])
        return cls(
            {name: tf.constant(array[chosen]) for name, array in given.items() if array.shape[1]},
            target,
            tf.constant(_wanted(job, target)),
            np.asarray(arrays[f"{stored}.truth"][chosen]),
            tf.constant(job.target_scale or (0.0, 1.0), tf.float32),
            np.asarray(weights[chosen]) if (weights := arrays.get(f"{stored}.weight")) is not None else None,
        )


def _wanted(job: Job, target: npt.NDArray[Any]) -> Floats:
    if job.task == "multiclass":
        one_hot: Floats = np.eye(len(job.labels), dtype=np.float32)[target]
        return one_hot
    column: Floats = target.astype(np.float32).reshape(-1, 1)
    return column


class Predictor:
    """Predictions in the user's unit, compiled once for a fixed number of rows."""

    def __init__(self, model: keras.Model, job: Job) -> None:
        self._job = job
        # Nothing here branches on a tensor, and AutoGraph warns of what it cannot translate.
        self._step = tf.function(
            lambda inputs: self._in_user_units(model(inputs, training=False)), jit_compile=False, autograph=False
        )

    def __call__(self, rows: Rows) -> Floats:
        """Predict all rows; fewer than are scored at a time are padded, so that one matrix kernel serves all.

        Returns:
            float32 probabilities (rows, classes), or values (rows,).
        """
        answers = []
        for chunk in rows.blocks():
            missing = EVALUATION_ROWS - len(next(iter(chunk.values())))
            padded = {
                name: tf.pad(array, [[0, missing], [0, 0]]) if missing else array for name, array in chunk.items()
            }
            answers.append(self._step(padded).numpy()[: EVALUATION_ROWS - missing])
        joined: Floats = np.concatenate(answers)
        return joined

    def _in_user_units(self, output: tf.Tensor) -> tf.Tensor:
        match self._job.task:
            case "regression":
                assert self._job.target_scale is not None
                mean, scale = self._job.target_scale
                return tf.squeeze(output, -1) * scale + mean
            case "binary":
                # 1 - sigmoid(x) is exactly 0 from x = 17 on, which the log loss would take for certainty.
                return tf.concat([tf.sigmoid(-output), tf.sigmoid(output)], -1)
            case _:
                return softmax(output)
