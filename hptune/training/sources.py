"""Where slots take their rows: from arrays that all of them share, or each from those of its own fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.training.capacity import EVALUATION_ROWS
from hptune.training.job import Job
from hptune.training.judge import Answers
from hptune.training.predicting import Rows
from hptune.training.program import ROW_WEIGHT

_PARTS = ("train", "sample", "validation")


class Sources:
    """The rows of trials whose arrays have the same shapes, those of each folder below those of the one before.

    Trials that share their arrays are computed with one copy of them. Folds are not, even where only one of them is
    under way: the same trial always goes through the same operations.
    """

    def __init__(self, job: Job) -> None:
        """Open the arrays of a trial."""
        self._has_folds = job.has_folds
        self._numbers: dict[Path, int] = {}
        self._rows: dict[str, list[Rows]] = {part: [] for part in _PARTS}
        self._inputs: dict[str, dict[str, Any]] = {}
        self.given: Mapping[str, Any] = {}
        self.wanted: Any = None
        self._scales: Any = None
        self.number(job)

    @property
    def count(self) -> int:
        """How many rows a trial is trained on."""
        return self._rows["train"][0].count

    def number(self, job: Job) -> int:
        """Return the number of the source that a trial reads, which is opened where nobody has read it yet."""
        if job.arrays not in self._numbers:
            self._numbers[job.arrays] = len(self._numbers)
            for part, rows in self._rows.items():
                rows.append(Rows.open(job, part))
            self._join()
        return self._numbers[job.arrays]

    def _join(self) -> None:
        """Put the rows of all sources together: `given` and `wanted` are what is trained on, (sources * rows, ...)."""
        for part, several in self._rows.items():
            names = several[0].inputs
            self._inputs[part] = {name: tf.stack([rows.inputs[name] for rows in several]) for name in names}
        train = self._rows["train"]
        given = {name: tf.reshape(array, (-1, array.shape[-1])) for name, array in self._inputs["train"].items()}
        if train[0].weights is not None:
            given[ROW_WEIGHT] = tf.concat([rows.shares for rows in train], 0)
        self.given, self.wanted = given, tf.concat([rows.wanted for rows in train], 0)
        self._scales = tf.stack([rows.scales for rows in train])

    def answers(self, number: int) -> dict[str, Answers]:
        """Return what predictions of a source are held against."""
        return {"train": self._rows["sample"][number].answers, "validation": self._rows["validation"][number].answers}

    def target(self, number: int) -> npt.NDArray[Any]:
        """Return the target of the training rows of a source: class indices, or standardized values."""
        return self._rows["train"][number].target

    def scales(self, numbers: Sequence[int]) -> Any:
        """Return mean and scale of a regression target by slot, (slots, 2)."""
        return tf.gather(self._scales, numbers)

    def offsets(self, numbers: Sequence[int]) -> npt.NDArray[np.int32]:
        """Return where the training rows of each slot begin, (slots, 1)."""
        return np.array(numbers, np.int32)[:, None] * np.int32(self.count)

    def blocks(self, part: str, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the inputs of as many rows as are scored at a time, (slots or 1, rows, columns).

        Args:
            part: sample or validation.
            numbers: The source of each slot.
        """
        for first in range(0, self._rows[part][0].count, EVALUATION_ROWS):
            block = {name: array[:, first : first + EVALUATION_ROWS] for name, array in self._inputs[part].items()}
            yield {name: tf.gather(array, numbers) for name, array in block.items()} if self._has_folds else block
