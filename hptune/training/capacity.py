"""How many trials are trained side by side: enough to hide the cost of an operation, no more than fit into memory.

A trial's result does not depend on it, so it is chosen for speed alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hptune.machine import memory_of_machine

# Measured: a network of 128 by 128 gains nothing from more than 16 slots, one of 64 by 64 gains up to 32. With fewer
# slots trials end sooner, and the last ones are shared out better.
MOST_SLOTS = 32
# A product of one slot is computed by another kernel than that of more: beside a lone trial there is an idle slot.
FEWEST_SLOTS = 2
_MOST_WIDE_SLOTS = 16
_WIDE = 128
_MOST_WEIGHTS = 2_000_000
# Present and best epoch, gradients, what the optimizer remembers before and after a step, and what is in flight between
# operations. Measured with 8 million weights in two slots: 18 with Adam, 14 with SGD; `fit` takes 8 and 7.
_COPIES_OF_WEIGHTS = 18
_COPIES_OF_WEIGHTS_IN_FIT = 8
_COPIES_OF_ACTIVATIONS = 6
# Of the present and the best epoch, in single and double precision while they are scored.
_COPIES_OF_PREDICTIONS = 6
_COPIES_OF_ORDER = 3
_NUMBER_BYTES = 4
# Of a network that a worker keeps when its last trial has ended, with the weights that it was built with; one of more
# weights trains far longer than Keras builds it.
MOST_KEPT_WEIGHTS = 200_000
# Rows that are scored at a time.
EVALUATION_ROWS = 512


def count_weights(widths: Sequence[int]) -> int:
    """Count the kernels of dense layers, from the inputs to the outputs."""
    return sum(first * second for first, second in itertools.pairwise(widths))


def layer_widths(settings: Mapping[str, Any], extent: Extent) -> list[int]:
    """List the numbers between the layers of a network, from the inputs to the outputs."""
    blocks = range(1, settings["model.blocks"] + 1)
    hidden = (settings.get(f"model.units.{block}", settings["model.units"]) for block in blocks)
    return [extent.inputs, *hidden, extent.outputs]


@dataclass(frozen=True)
class Extent:
    """How large the data of a trial is.

    Attributes:
        inputs: Features of the first layer.
        outputs: Of the last layer.
        trained: Training rows, which each slot takes in an order of its own.
        scored: Rows that are predicted after each epoch.
    """

    inputs: int
    outputs: int
    trained: int
    scored: int


def choose_capacity(settings: Mapping[str, Any], extent: Extent, memory_bytes: int) -> int:
    """Choose how many slots a structure gets.

    Args:
        settings: Every setting by dotted name.
        extent: Of the data.
        memory_bytes: That a worker may use for it.

    >>> settings = {"model.blocks": 2, "model.units": 32, "training.batch_size": 32}
    >>> small, large = Extent(64, 10, 1000, 500), Extent(64, 100, 10_000_000, 4_000_000)
    >>> choose_capacity(settings, small, 1 << 30), choose_capacity({**settings, "model.units": 2048}, small, 1 << 32)
    (32, 2)
    >>> choose_capacity(settings, large, 32 << 30)
    3
    """
    widths = layer_widths(settings, extent)
    weights = count_weights(widths)
    rows: int = settings["training.batch_size"] + EVALUATION_ROWS
    numbers = _COPIES_OF_WEIGHTS * weights + _COPIES_OF_ACTIVATIONS * rows * sum(widths)
    numbers += _COPIES_OF_PREDICTIONS * extent.scored * extent.outputs + _COPIES_OF_ORDER * extent.trained
    slot_bytes = _NUMBER_BYTES * numbers
    fitting = min(_MOST_WEIGHTS // weights, memory_bytes // slot_bytes)
    most = _MOST_WIDE_SLOTS if max(widths[1:-1], default=0) >= _WIDE else MOST_SLOTS
    return max(min(fitting, most), FEWEST_SLOTS)


def share_of_memory(workers: int) -> int:
    """Return the bytes that a worker may use for its slots: half of the machine, divided among the workers."""
    return memory_of_machine() // (2 * workers)


def bytes_of_a_lone_trial(settings: Mapping[str, Any], extent: Extent) -> int:
    """Return the bytes that the weights of a network take while no other trial is trained beside it."""
    is_fitted = settings["training.engine"] == "keras"
    copies = _COPIES_OF_WEIGHTS_IN_FIT if is_fitted else FEWEST_SLOTS * _COPIES_OF_WEIGHTS
    return _NUMBER_BYTES * copies * count_weights(layer_widths(settings, extent))
