"""How many trials are trained side by side: enough to hide the cost of an operation, no more than fit into memory.

A trial's result does not depend on it, so it is chosen for speed alone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

# Measured: from 8 slots on a network of 128 by 128 gains nothing from more, one of 32 by 32 gains up to 32.
MOST_SLOTS = 32
_MOST_WEIGHTS = 2_000_000
# Weights, gradients, what the optimizer remembers, the best epoch, and what is in flight between operations.
_COPIES_OF_WEIGHTS = 10
_COPIES_OF_ACTIVATIONS = 6
_NUMBER_BYTES = 4
_EVALUATION_ROWS = 512


def count_weights(widths: Sequence[int]) -> int:
    """Count the kernels of dense layers, from the inputs to the outputs."""
    return sum(first * second for first, second in itertools.pairwise(widths))


def choose_capacity(settings: Mapping[str, Any], inputs: int, outputs: int, memory_bytes: int) -> int:
    """Choose how many slots a structure gets.

    Args:
        settings: Every setting by dotted name.
        inputs: Features of the first layer.
        outputs: Of the last layer.
        memory_bytes: That a worker may use for it.

    >>> settings = {"model.blocks": 2, "model.units": 32, "training.batch_size": 32}
    >>> choose_capacity(settings, 64, 10, 1 << 30), choose_capacity({**settings, "model.units": 2048}, 64, 10, 1 << 32)
    (32, 2)
    """
    blocks = range(1, settings["model.blocks"] + 1)
    widths: list[int] = [
        inputs,
        *(settings.get(f"model.units.{block}", settings["model.units"]) for block in blocks),
        outputs,
    ]
    weights = count_weights(widths)
    rows: int = settings["training.batch_size"] + _EVALUATION_ROWS
    slot_bytes = _NUMBER_BYTES * (_COPIES_OF_WEIGHTS * weights + _COPIES_OF_ACTIVATIONS * rows * sum(widths))
    fitting = min(_MOST_WEIGHTS // weights, memory_bytes // slot_bytes)
    return max(min(fitting, MOST_SLOTS), 2)


def share_of_memory(workers: int) -> int:
    """Return the bytes that a worker may use for its slots: half of the machine, divided among the workers."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (2 * workers)
