"""How the weights of many networks lie one after the other, and what that takes to know.

Joined, they are two tensors for the optimizer, whatever the number of layers; widths are numbers that a trace is given,
so that networks that differ in nothing else share one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from hptune.training.stacking import StackedNetwork


@dataclass(frozen=True)
class Shapes:
    """What a trace leaves open and the network knows.

    Attributes:
        kernels: Two axes of each, int32 (kernels, 2).
        others: As many; a vector has one row.
        statistics: As many.
        bias_mask: 1 where a number of the others belongs to a bias, (n,).
        dropouts: How many features each dropout silences, int32 (dropouts,).
        categories: Of each one-hot encoding, int32 (encodings,).
    """

    kernels: Any
    others: Any
    statistics: Any
    bias_mask: Any
    dropouts: Any
    categories: Any

    @classmethod
    def of(cls, network: StackedNetwork) -> Shapes:
        """Read those of a network."""

        def axes(variables: Sequence[Any]) -> Any:
            pairs = [(1, *variable.shape)[-2:] for variable in variables]
            return tf.constant(np.array(pairs, np.int32).reshape(-1, 2))

        sizes = [math.prod(variable.shape) for variable in network.others]
        return cls(
            axes(network.kernels),
            axes(network.others),
            axes(network.statistics),
            tf.constant(np.repeat(np.array(network.is_bias, np.float32), sizes)),
            tf.constant(network.dropout_widths, tf.int32),
            tf.constant(network.category_counts, tf.int32),
        )


class Group:
    """Weights one after the other, (slots, n), and each by itself, (slots, in, out); a vector has one row."""

    def __init__(self, axes: Any, variables: Sequence[Any]) -> None:
        """Set up.

        Args:
            axes: Two of each, int32 (weights, 2).
            variables: Of the network; their paths are read, and how many there are.
        """
        self._paths = [variable.path for variable in variables]
        self.sizes = tf.reduce_prod(axes, 1)
        slots = [[0, 0], [1, 0]]
        self._shapes = tf.unstack(tf.pad(axes, slots, constant_values=-1), num=len(variables))
        self._flat = tf.unstack(tf.pad(self.sizes[:, None], slots, constant_values=-1), num=len(variables))

    def split(self, joined: Any) -> dict[str, Any]:
        """Take them apart, by path."""
        if not self._paths:
            return {}
        pieces = tf.split(joined, self.sizes, 1, num=len(self._paths))
        return {
            path: tf.reshape(piece, shape) for path, piece, shape in zip(self._paths, pieces, self._shapes, strict=True)
        }

    def join(self, by_path: Mapping[str, Any]) -> Any:
        """Put what belongs to them one after the other."""
        flat = [tf.reshape(by_path[path], shape) for path, shape in zip(self._paths, self._flat, strict=True)]
        return tf.concat(flat, 1)
