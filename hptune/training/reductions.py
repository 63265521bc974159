"""Sums and softmax for many slots side by side, whose bits depend neither on the number of slots nor on a slot's place.

TensorFlow's own kernels do not promise that. A sum over rows takes eight columns at a time where they belong to one
slot, and single ones, added in another order, where they belong to two: with 10 columns a slot's sum depends on where
it stands. A long sum is cut into pieces of the whole tensor. Softmax and the gradient of its loss are computed block
by block, and what is left over beside full registers by another exponential. In one case of ten (rows and columns
drawn at random) a slot's last bits were others among 16 slots than among 8.

Here a sum is a product with ones, which each slot has to itself (and which is faster than the kernel of sums), and
softmax is made of kernels that go through all numbers in one line, which has no rest where they are a multiple of
eight.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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
        logits: (..., classes), a multiple of eight numbers.

    Returns:
        The same shape; each row sums to 1.
    """
    exponentials, total = _exponentials(_centred(logits))
    return exponentials / total


def log_softmax(logits: Any) -> Any:
    """Return the logarithm of `softmax`, also where that would be 0."""
    centred = _centred(logits)
    _, total = _exponentials(centred)
    return centred - tf.math.log(total)


@tf.custom_gradient
def cross_entropy(logits: Any, target: Any) -> Any:
    """Return -sum(target log softmax(logits)) over the last axis.

    Args:
        logits: (..., classes), a multiple of eight numbers.
        target: Of the same shape; each row sums to 1. It has no gradient.

    Returns:
        (...).
    """
    centred = _centred(logits)
    exponentials, total = _exponentials(centred)

    def gradient(upstream: Any) -> tuple[Any, None]:
        return (exponentials / total - target) * upstream[..., None], None

    return tf.reduce_sum(target * (tf.math.log(total) - centred), -1), gradient


def _centred(logits: Any) -> Any:
    """Subtract the largest of a row, so that nothing overflows; the result does not depend on it."""
    return logits - tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))


def _exponentials(centred: Any) -> tuple[Any, Any]:
    # A row has few classes, and is summed by itself.
    exponentials = tf.exp(centred)
    return exponentials, tf.reduce_sum(exponentials, -1, keepdims=True)
