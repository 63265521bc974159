"""Sums and softmax for many slots side by side, whose bits depend neither on the number of slots nor on a slot's place.

TensorFlow's own kernels do not promise that. A sum over rows takes eight columns at a time where they belong to one
slot, and single ones, added in another order, where they belong to two: with 10 columns a slot's sum depends on where
it stands. A long sum is cut into pieces of the whole tensor. Softmax and the gradient of its loss are computed block
by block, and what is left over beside full registers by another exponential. In one case of ten (rows and columns
drawn at random) a slot's last bits were others among 16 slots than among 8.

Here a sum is a product with ones, which each slot has to itself (and which is faster than the kernel of sums). What is
computed number by number is safe where the processor rounds correctly: +, -, *, /, square roots, and choices, but no
quotient by a square root, of which TensorFlow makes a reciprocal root. All else (exp, log, powers, reciprocals and what
is made of them) goes through full vector registers, `in_registers`: the kernels take what is left over beside them by
another way. A product of one slot alone is another kernel than that of two; so there are always two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Numbers in a vector register, or a multiple: 8 as TensorFlow is compiled for x86, 4 for ARM.
_REGISTER = 8


def in_registers(function: Callable[..., Any], *tensors: Any) -> Any:
    """Apply a function that works number by number so that each slot fills whole vector registers.

    Args:
        function: Of as many tensors as are given; it may have a gradient.
        tensors: (slots, ...), of one shape.

    Returns:
        Of the same shape.
    """
    if tensors[0].shape.rank == 1:
        return function(*(tf.tile(tensor[:, None], (1, _REGISTER)) for tensor in tensors))[:, 0]
    shape = tf.shape(tensors[0])
    count = tf.size(tensors[0]) // shape[0]

    def filled(tensor: Any) -> Any:
        # Ones, where nothing that is offered has a pole.
        return tf.pad(tf.reshape(tensor, (shape[0], count)), [[0, 0], [0, -count % _REGISTER]], constant_values=1)

    return tf.reshape(function(*map(filled, tensors))[:, :count], shape)


class RowSums:
    """Sums over so many rows, (slots, rows, n) to (slots, 1, n)."""

    def __init__(self, rows: Any) -> None:
        """Make what all of them share.

        Args:
            rows: How many, int32.
        """
        self.count = tf.cast(rows, tf.float32)
        self._ones = tf.ones((1, 1, rows))

    def sum(self, x: Any) -> Any:
        """Return each slot's sum over its rows."""
        return tf.matmul(self._ones, x)

    def mean(self, x: Any) -> Any:
        """Return each slot's mean over its rows."""
        return self.sum(x) / self.count


def sum_slots(x: Any) -> Any:
    """Return the sum of the numbers of each slot: (slots, n) to (slots,)."""
    return tf.squeeze(RowSums(tf.shape(x)[1]).sum(x[:, :, None]), (1, 2))


def softmax(logits: Any) -> Any:
    """Return exp(x) / sum(exp(x)) over the last axis.

    Args:
        logits: (slots, ..., classes).

    Returns:
        The same shape; each row sums to 1.
    """
    exponentials, total = _exponentials(_centred(logits))
    return exponentials / total


def log_softmax(logits: Any) -> Any:
    """Return the logarithm of `softmax`, also where that would be 0."""
    centred = _centred(logits)
    _, total = _exponentials(centred)
    return centred - in_registers(tf.math.log, total)


def cross_entropy(logits: Any, target: Any) -> tuple[Any, Any]:
    """Return -sum(target log softmax(logits)) over the last axis, and its gradient.

    Args:
        logits: (slots, ..., classes).
        target: Of the same shape; each row sums to 1.

    Returns:
        (slots, ...), and that with respect to the logits, of their shape.
    """
    centred = _centred(logits)
    exponentials, total = _exponentials(centred)
    loss = tf.reduce_sum(target * (in_registers(tf.math.log, total) - centred), -1)
    return loss, exponentials / total - target


def binary_cross_entropy(logits: Any, target: Any) -> tuple[Any, Any]:
    """Return -target log(s) - (1 - target) log(1 - s), where s is the sigmoid of the logit, and its gradient.

    Args:
        logits: (slots, ...).
        target: Of the same shape, from 0 to 1.

    Returns:
        Both of that shape, the gradient with respect to the logits.
    """
    loss = in_registers(tf.nn.sigmoid_cross_entropy_with_logits, target, logits)
    return loss, in_registers(tf.sigmoid, logits) - target


def _centred(logits: Any) -> Any:
    """Subtract the largest of a row, so that nothing overflows; the result does not depend on it."""
    return logits - tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))


def _exponentials(centred: Any) -> tuple[Any, Any]:
    # A row has few classes, and is summed by itself.
    exponentials = in_registers(tf.exp, centred)
    return exponentials, tf.reduce_sum(exponentials, -1, keepdims=True)
