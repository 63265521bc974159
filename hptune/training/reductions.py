"""Sums and softmax for many slots side by side, whose bits depend neither on the number of slots nor on a slot's place.

TensorFlow's own kernels do not promise that. A sum over rows takes eight columns at a time where they belong to one
slot, and single ones, added in another order, where they belong to two: with 10 columns a slot's sum depends on where
it stands. A long sum is cut into pieces of the whole tensor. Softmax and the gradient of its loss are computed block
by block, and what is left over beside full registers by another exponential. In one case of ten (rows and columns
drawn at random) a slot's last bits were others among 16 slots than among 8.

Here a sum is a product with ones, which each slot has to itself (and which is faster than the kernel of sums). What is
computed number by number is safe where the processor rounds correctly: +, -, *, /, square roots, and choices. All else
(exp, log, powers, reciprocals and what is made of them) goes through full vector registers, `in_registers`: the kernels
take what is left over beside them by another way. A product of one slot alone is another kernel than that of two; so
there are always two.
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
    shape = tf.shape(tensors[0])
    count = tf.size(tensors[0]) // shape[0]

    def filled(tensor: Any) -> Any:
        # Ones, where nothing that is offered has a pole.
        return tf.pad(tf.reshape(tensor, (shape[0], count)), [[0, 0], [0, -count % _REGISTER]], constant_values=1)

    return tf.reshape(function(*map(filled, tensors))[:, :count], shape)


def sum_rows(x: Any) -> Any:
    """Return each slot's sum over its rows: (slots, rows, n) to (slots, 1, n)."""
    return tf.matmul(tf.ones((1, 1, tf.shape(x)[1])), x)


def mean_rows(x: Any) -> Any:
    """Return each slot's mean over its rows: (slots, rows, n) to (slots, 1, n)."""
    return sum_rows(x) / tf.cast(tf.shape(x)[1], x.dtype)


def sum_slots(x: Any) -> Any:
    """Return the sum of all numbers of each slot: (slots, ...) to (slots,)."""
    lines = tf.reshape(x, (tf.shape(x)[0], -1, 1))
    return tf.squeeze(sum_rows(lines), (1, 2))


def mean_slots(x: Any) -> Any:
    """Return the mean of all numbers of each slot: (slots, ...) to (slots,)."""
    return sum_slots(x) / tf.cast(tf.size(x) // tf.shape(x)[0], x.dtype)


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


@tf.custom_gradient
def cross_entropy(logits: Any, target: Any) -> Any:
    """Return -sum(target log softmax(logits)) over the last axis.

    Args:
        logits: (slots, ..., classes).
        target: Of the same shape; each row sums to 1. It has no gradient.

    Returns:
        (slots, ...).
    """
    centred = _centred(logits)
    exponentials, total = _exponentials(centred)

    def gradient(upstream: Any) -> tuple[Any, None]:
        return (exponentials / total - target) * upstream[..., None], None

    return tf.reduce_sum(target * (in_registers(tf.math.log, total) - centred), -1), gradient


def _centred(logits: Any) -> Any:
    """Subtract the largest of a row, so that nothing overflows; the result does not depend on it."""
    return logits - tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))


def _exponentials(centred: Any) -> tuple[Any, Any]:
    # A row has few classes, and is summed by itself.
    exponentials = in_registers(tf.exp, centred)
    return exponentials, tf.reduce_sum(exponentials, -1, keepdims=True)
