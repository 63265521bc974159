"""Rows as a network takes them, and what it says of them in the user's unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.training.job import Job

# Rows that are scored at a time; smaller sets are padded, so that one matrix kernel serves all.
EVALUATION_ROWS = 512

Floats = npt.NDArray[np.floating[Any]]


class Part:
    """Training or validation rows.

    Attributes:
        inputs: By name.
        target: As it is trained: class indices, or standardized values.
        truth: As it is scored: class indices, or values in the original unit, in double precision as in the table.
        rows: How many.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], part: str) -> None:
        numeric, codes = arrays[f"{part}.numeric"], arrays[f"{part}.codes"]
        given = {"numeric": numeric, "codes": codes}
        self.inputs = {name: tf.constant(array) for name, array in given.items() if array.shape[1]}
        self.target = np.asarray(arrays[f"{part}.target"])
        self.truth = np.asarray(arrays[f"{part}.truth"])
        self.rows = len(self.target)


class Predictor:
    """Predictions in the user's unit, compiled once for a fixed number of rows."""

    def __init__(self, model: keras.Model, job: Job) -> None:
        self._job = job
        # Nothing here branches on a tensor, and AutoGraph warns of what it cannot translate.
        self._step = tf.function(
            lambda inputs: self._in_user_units(model(inputs, training=False)), jit_compile=False, autograph=False
        )

    def __call__(self, part: Part) -> Floats:
        """Predict all rows of a part.

        Returns:
            float32 probabilities (rows, classes), or values (rows,).
        """
        answers = []
        for first in range(0, part.rows, EVALUATION_ROWS):
            rows = {name: array[first : first + EVALUATION_ROWS] for name, array in part.inputs.items()}
            missing = max(first + EVALUATION_ROWS - part.rows, 0)
            padded = {name: tf.pad(array, [[0, missing], [0, 0]]) if missing else array for name, array in rows.items()}
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
                return tf.nn.softmax(output)
