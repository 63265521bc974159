"""How the predictions of several models become one; `hptune.artifact` says the same in Keras layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Form = Literal["average", "log_linear"]
Floats = npt.NDArray[np.floating[Any]]

# A probability of exactly 0 would veto what every other member says.
SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Mix:
    """A rule that makes one prediction of several.

    Attributes:
        form: `average`: the sum of share times prediction, plus the offset. `log_linear`: softmax of the sum of share
            times the logarithm of the probabilities, plus the offset.
        offset: One number for each output; empty for none.

    Reference:
        Genest and Zidek, "Combining Probability Distributions: A Critique and an Annotated Bibliography", 1986: linear
        and logarithmic opinion pools.
    """

    form: Form = "average"
    offset: tuple[float, ...] = ()

    def __call__(self, predictions: Sequence[Floats], shares: Sequence[float]) -> Floats:
        """Mix predictions.

        Args:
            predictions: Of each member, (rows, classes) probabilities or (rows,) values.
            shares: Of the members.
        """
        added = np.asarray(self.offset, np.float64) if len(self.offset) != 1 else np.float64(self.offset[0])
        parts = (values.astype(np.float64) for values in predictions)
        if self.form == "log_linear":
            parts = (np.log(np.maximum(values, SMALLEST_PROBABILITY)) for values in parts)
        weighted = [share * values for share, values in zip(shares, parts, strict=True)]
        total: Floats = np.sum(weighted, axis=0)
        if self.offset:
            total = total + added
        return softmax(total) if self.form == "log_linear" else total


AVERAGE = Mix()


def softmax(logits: Floats) -> Floats:
    """Turn logits (rows, classes) into probabilities."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    made: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return made
