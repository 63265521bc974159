"""What each kind of layer computes for many slots side by side, and how a gradient goes back through it.

A rule returns its output and a function that takes the gradient of the loss with respect to that output to those with
respect to what the rule was given and to its weights. They are written out: recorded by TensorFlow they are twice as
many operations, most of them about axes of unknown length, and each takes as long as the arithmetic of a small network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from hptune.training.reductions import RowSums, in_registers, log_softmax, softmax

# From the gradient with respect to an output: those with respect to what was given, None where there is none, and those
# with respect to weights, by path.
Pull = Callable[[Any], tuple[Sequence[Any], Mapping[str, Any]]]
Rule = Callable[..., tuple[Any, Pull]]


@dataclass(frozen=True)
class Lesson:
    """What a rule needs beside its inputs while networks are trained.

    Attributes:
        over_rows: Sums over the rows of a mini-batch.
        masks: Of the dropouts by name, (slots, rows, features) each.
        statistics: Takes means and variances of the mini-batch, by the paths of the moving ones, (slots, 1, n).
    """

    over_rows: RowSums
    masks: Mapping[str, Any]
    statistics: dict[str, Any]


@dataclass(frozen=True)
class Pass:
    """What a rule needs beside its inputs.

    Attributes:
        parts: Weights by path: (slots, in, out) matrices, (slots, 1, n) vectors.
        categories: How many each one-hot encoding has, by its operation.
        lesson: None where nothing is trained.
    """

    parts: Mapping[str, Any]
    categories: Mapping[int, Any]
    lesson: Lesson | None = None


def _nothing(upstream: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Say that nothing goes back: what was given are data, or nothing is trained."""
    del upstream
    return [None], {}


def _recorded(function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Apply a function whose gradient is TensorFlow's own."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = function(x)
    return y, lambda upstream: tf.convert_to_tensor(tape.gradient(y, x, output_gradients=upstream))


def _dense(layer: Any, weights: Pass, x: Any) -> tuple[Any, Pull]:
    kernel = weights.parts[layer.kernel.path]
    y = tf.matmul(x, kernel)
    if layer.use_bias:
        y += weights.parts[layer.bias.path]
    said, activation = _activation(layer, weights, y)

    def pull(upstream: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        assert weights.lesson is not None
        ((upstream,), _) = activation(upstream)
        to_weights = {layer.kernel.path: tf.matmul(x, upstream, transpose_a=True)}
        if layer.use_bias:
            to_weights[layer.bias.path] = weights.lesson.over_rows.sum(upstream)
        return [tf.matmul(upstream, kernel, transpose_b=True)], to_weights

    return said, pull


def _batch_norm(layer: Any, weights: Pass, x: Any) -> tuple[Any, Pull]:
    """Standardize the rows of each slot; Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1."""
    scale, offset = weights.parts[layer.gamma.path], weights.parts[layer.beta.path]
    if weights.lesson is None:
        mean, variance = weights.parts[layer.moving_mean.path], weights.parts[layer.moving_variance.path]
        gain = scale * _inverse_root(variance + layer.epsilon)
        return x * gain + (offset - mean * gain), _nothing
    over_rows = weights.lesson.over_rows
    mean = over_rows.mean(x)
    centred = x - mean
    variance = over_rows.mean(tf.square(centred))
    weights.lesson.statistics[layer.moving_mean.path] = mean
    weights.lesson.statistics[layer.moving_variance.path] = variance
    inverse = _inverse_root(variance + layer.epsilon)
    gain = scale * inverse

    def pull(upstream: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        to_offset = over_rows.sum(upstream)
        to_scale = over_rows.sum(upstream * centred) * inverse
        through_variance = centred * (to_scale * inverse / over_rows.count)
        to_x = (upstream - to_offset / over_rows.count - through_variance) * gain
        return [to_x], {layer.gamma.path: to_scale, layer.beta.path: to_offset}

    return centred * gain + offset, pull


def _inverse_root(x: Any) -> Any:
    """Return 1 / sqrt(x) from operations that are rounded correctly everywhere.

    TensorFlow makes a reciprocal root, which is not, of whatever is divided by a root.
    """
    return tf.sqrt(x) / x


# TensorFlow's own depend on how many slots there are.
_BY_ROW = {
    keras.activations.softmax: softmax,
    keras.activations.log_softmax: log_softmax,
}
# Made of comparisons, sums, products and quotients, which are rounded correctly everywhere; sparsemax looks at rows.
_EXACT = (
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.leaky_relu,
    keras.activations.sparsemax,
)


def _activation(layer: Any, weights: Pass, x: Any) -> tuple[Any, Pull]:
    activation = layer.activation
    if activation is keras.activations.linear:
        return x, lambda upstream: ([upstream], {})

    def apply(x: Any) -> Any:
        if activation in _BY_ROW:
            return _BY_ROW[activation](x)
        return activation(x) if activation in _EXACT else in_registers(activation, x)

    if weights.lesson is None:
        return apply(x), _nothing
    y, back = _recorded(apply, x)
    return y, lambda upstream: ([back(upstream)], {})


def _dropout(layer: Any, weights: Pass, x: Any) -> tuple[Any, Pull]:
    if weights.lesson is None:
        return x, _nothing
    mask = weights.lesson.masks[layer.name]
    return x * mask, lambda upstream: ([upstream * mask], {})


def _add(layer: Any, weights: Pass, given: Sequence[Any]) -> tuple[Any, Pull]:
    del layer, weights
    first, second = given
    return first + second, lambda upstream: ([upstream, upstream], {})


def _concatenate(layer: Any, weights: Pass, given: Sequence[Any]) -> tuple[Any, Pull]:
    del layer
    # Rows that all slots share have one slot only.
    slots = tf.shape(next(iter(weights.parts.values())))[0]
    joined = tf.concat([tf.broadcast_to(x, (slots, *tf.unstack(tf.shape(x))[1:])) for x in given], -1)

    def pull(upstream: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        widths = tf.stack([tf.shape(x)[-1] for x in given])
        return tf.split(upstream, widths, -1, num=len(given)), {}

    return joined, pull


def _embedding(layer: Any, weights: Pass, codes: Any) -> tuple[Any, Pull]:
    path = layer.embeddings.path
    table = weights.parts[path]
    shared = tf.broadcast_to(codes, (tf.shape(table)[0], tf.shape(codes)[1]))

    def look_up(table: Any) -> Any:
        return tf.gather(table, shared, batch_dims=1)

    if weights.lesson is None:
        return look_up(table), _nothing
    found, back = _recorded(look_up, table)
    return found, lambda upstream: ([None], {path: back(upstream)})


def _get_item(operation: Any, weights: Pass, x: Any, key: Any) -> tuple[Any, Pull]:
    """Take a column of codes, which are data."""
    del operation, weights
    return x[(slice(None), *key)], _nothing


def _one_hot(operation: Any, weights: Pass, codes: Any) -> tuple[Any, Pull]:
    return tf.one_hot(codes, weights.categories[id(operation)]), _nothing


# By name, because operations that are no layers have no public class.
RULES: Mapping[str, Rule] = {
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Activation": _activation,
    "Dropout": _dropout,
    "Add": _add,
    "Concatenate": _concatenate,
    "Embedding": _embedding,
    "GetItem": _get_item,
    "OneHot": _one_hot,
}
