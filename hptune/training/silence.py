"""Units that say the same of every row: they do nothing that the bias of the next layer could not do.

A ReLU unit that is never above zero is one, and so is a saturated one, or one without incoming weights.

Reference:
    Lu, Shin, Su and Karniadakis, "Dying ReLU and Initialization: Theory and Numerical Examples", 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
# What the units of several networks say of some rows, (networks, rows, units) by the names of their layers.
Units = Callable[[Mapping[str, Any]], Mapping[str, Any]]

# Ten roundings of single precision, relative to what is rounded.
_NOISE = 1e-6


def count_silent(blocks: Iterable[Mapping[str, Any]], units: Units, networks: int) -> list[dict[str, int]]:
    """Count the units of each layer that say the same of every row, up to rounding.

    Args:
        blocks: Inputs of the rows that learning curves are made of.
        units: Of trained networks of one structure.
        networks: How many of them count, the first ones.

    Returns:
        Counts by layer, for each network.
    """
    lowest: dict[str, Floats] = {}
    highest: dict[str, Floats] = {}
    counts: dict[str, npt.NDArray[np.int64]] = {}
    is_done = np.zeros(networks, np.bool_)
    for inputs in blocks:
        for name, said in units(inputs).items():
            values = np.asarray(said)[:networks]
            lowest[name] = np.minimum(lowest.get(name, np.inf), values.min(axis=1))
            highest[name] = np.maximum(highest.get(name, -np.inf), values.max(axis=1))
            counts[name] = np.where(is_done, 0, is_silent(lowest[name], highest[name]).sum(axis=-1))
        # Who has spoken once is not silent: most networks are done with the first block, whoever else is looked at.
        is_done = ~np.any([counts[name] > 0 for name in counts], axis=0) | is_done
        if np.all(is_done):
            break
    return [{name: int(silent[network]) for name, silent in counts.items()} for network in range(networks)]


def is_silent(lowest: Floats, highest: Floats) -> npt.NDArray[np.bool_]:
    """Tell which units of a layer say the same of every row, by the least and the most that each says, (..., units).

    >>> is_silent(np.array([0.0, 0.0, 0.99999994, -4e-9]), np.array([0.0, 2.0, 1.0, 0.0])).tolist()
    [True, False, True, True]
    """
    size = np.maximum(np.abs(lowest), np.abs(highest))
    # Functions such as GELU come near zero without reaching it: what drowns beside the other units is rounding too.
    loudest = size.max(axis=-1, keepdims=True, initial=0.0)
    silent: npt.NDArray[np.bool_] = highest - lowest <= _NOISE * np.maximum(size, loudest)
    return silent
