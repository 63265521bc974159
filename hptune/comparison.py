"""How an ensemble compares with the best single model: what a worker sends to a parent that imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hptune.resampling import Interval


@dataclass(frozen=True)
class Cost:
    """What a model costs to serve.

    Attributes:
        size_bytes: Of its file.
        row_ms: Milliseconds a row, in batches of a thousand on one thread.
    """

    size_bytes: int
    row_ms: float


@dataclass(frozen=True)
class Comparison:
    """How an ensemble compares.

    Attributes:
        scores: Metrics on test rows by name: `ensemble`, `best`, and the simple predictors; empty without test rows.
        gain: In the objective's metric, above 0 where the ensemble is better; None where it is not defined.
        interval: Of the gain, over test rows drawn with replacement, in whole groups where there are groups.
        costs: Of `ensemble` and `best`.
    """

    scores: Mapping[str, Mapping[str, float]]
    gain: float | None
    interval: Interval | None
    costs: Mapping[str, Cost]
