"""Many networks of one structure as one computation: every weight and activation has a leading axis of slots.

The network itself is an ordinary Keras model. Its layers are called once, symbolically, and the calls written down;
each kind of layer then has a rule that does the same for all slots side by side. A model with a layer that has no rule
is trained by `keras.Model.fit` instead.

Neither the number of slots, nor the rows, nor the widths of layers, nor how many categories a column has are part of
the computation, so that TensorFlow traces it once for networks that differ in nothing else, such as those of folds.
Gradients of the rules are written out where TensorFlow's own would sum over axes of unknown length, which costs more
than the arithmetic of a small network.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.models.blocks import InitialWeights, unit_layers
from hptune.training.reductions import in_registers, log_softmax, mean_rows, softmax, sum_rows

Array = npt.NDArray[Any]
# Names of layers are hashed, so that a mask does not depend on how many dropouts there are before it.
_PLACE_BITS = 0xFFFFFFFF


class NotStackableError(Exception):
    """The network has a layer without a rule; it is trained by `keras.Model.fit`."""


@dataclass(frozen=True)
class Weights:
    """The weights of stacked networks.

    Attributes:
        matrices: Kernels and embeddings, (slots, in, out) each.
        vectors: Biases, scales and offsets one after the other, (slots, n).
        statistics: Moving means and variances one after the other, (slots, m).
    """

    matrices: list[Any]
    vectors: Any
    statistics: Any


@dataclass(frozen=True)
class Pass:
    """What a rule needs beside its inputs.

    Attributes:
        parts: Weights by path: (slots, in, out) matrices, (slots, 1, n) vectors.
        updates: Takes the new moving statistics while training, by path.
        mask: Makes the mask of a dropout from its place and the values that it silences; None where nothing trains.
        categories: How many each one-hot encoding has, by its operation.
    """

    parts: Mapping[str, Any]
    updates: dict[str, Any]
    mask: Callable[[str, Any], Any] | None
    categories: Mapping[int, Any]


@dataclass(frozen=True)
class _Call:
    operation: Any
    arguments: tuple[Any, ...]
    output: Any


class StackedNetwork:
    """The computation of a Keras model, for any number of slots."""

    def __init__(self, model: keras.Model, seed: int) -> None:
        """Write down the calls of a model.

        Args:
            model: A functional model; its own weights are not touched.
            seed: With which it was built.

        Raises:
            NotStackableError: If a layer has no rule.
        """
        self._model = model
        self._initial = InitialWeights(model, seed)
        self._calls: list[_Call] = []
        copy = keras.models.clone_model(model, clone_function=_itself, call_function=self._note)
        self._inputs = {name: id(tensor) for name, tensor in copy.input.items()}
        self._output = id(copy.output)
        trainable = model.trainable_weights
        self.matrices = [variable for variable in trainable if len(variable.shape) == 2]
        self.vectors = [variable for variable in trainable if len(variable.shape) == 1]
        self.statistics = list(model.non_trainable_weights)
        if len(self.matrices) + len(self.vectors) != len(trainable):
            raise NotStackableError("a weight has neither one nor two axes")
        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        kernels = {layer.kernel.path for layer in dense}
        biases = {layer.bias.path for layer in dense if layer.use_bias}
        self.is_kernel = [variable.path in kernels for variable in self.matrices]
        self.is_bias = [variable.path in biases for variable in self.vectors]

    def _note(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        output = operation(*arguments, **options)
        if type(operation).__name__ not in _RULES:
            raise NotStackableError(f"{operation.name}: {type(operation).__name__} has no rule for many slots")
        self._calls.append(_Call(operation, arguments, output))
        return output

    @property
    def dropouts(self) -> tuple[str, ...]:
        """Names of the dropout layers, in the order of calling."""
        return tuple(call.operation.name for call in self._calls if isinstance(call.operation, keras.layers.Dropout))

    @property
    def signature(self) -> str:
        """What a trace depends on: equal signatures, equal computations."""
        numbers = {key: f"input {name}" for name, key in self._inputs.items()}
        lines = []
        for number, call in enumerate(self._calls):
            given = keras.tree.map_structure(lambda value: numbers.get(id(value), repr(value)), list(call.arguments))
            lines.append(f"{type(call.operation).__name__} {_fixed(call.operation)} {given}")
            numbers[id(call.output)] = str(number)
        paths = [variable.path for variable in (*self.matrices, *self.vectors, *self.statistics)]
        return "\n".join((*lines, *paths))

    @property
    def vector_sizes(self) -> list[int]:
        """Lengths of the vectors, in order."""
        return [math.prod(variable.shape) for variable in self.vectors]

    @property
    def statistic_sizes(self) -> list[int]:
        """Lengths of the moving statistics, in order."""
        return [math.prod(variable.shape) for variable in self.statistics]

    @property
    def category_counts(self) -> list[int]:
        """How many categories each one-hot encoding has, in the order of calling."""
        return [operation.num_classes for operation in self._one_hots]

    @property
    def _one_hots(self) -> list[Any]:
        return [call.operation for call in self._calls if type(call.operation).__name__ == "OneHot"]

    def initial(self, seeds: Sequence[int]) -> Weights:
        """Return the weights with which trials begin, one slot for each seed."""
        by_slot = [self._initial.draw(seed) for seed in seeds]
        return self._stack([[values[variable.path] for values in by_slot] for variable in self._variables])

    def given(self, weights: Sequence[Mapping[str, Array]]) -> Weights:
        """Return stored weights, by path, one slot for each mapping."""
        return self._stack([[values[variable.path] for values in weights] for variable in self._variables])

    @property
    def _variables(self) -> list[Any]:
        return [*self.matrices, *self.vectors, *self.statistics]

    def _stack(self, columns: Sequence[Sequence[Array]]) -> Weights:
        stacked = [np.stack(column).astype(np.float32) for column in columns]
        first, second = len(self.matrices), len(self.matrices) + len(self.vectors)
        return Weights(
            [tf.constant(array) for array in stacked[:first]],
            tf.constant(np.concatenate(stacked[first:second], axis=1)),
            tf.constant(_joined(stacked[second:], len(stacked[0]))),
        )

    def by_path(self, weights: Weights, slot: int) -> dict[str, Array]:
        """Return the weights of one slot, by the paths of the model's variables."""
        found = {
            variable.path: np.asarray(matrix)[slot]
            for variable, matrix in zip(self.matrices, weights.matrices, strict=True)
        }
        for variables, joined in ((self.vectors, weights.vectors), (self.statistics, weights.statistics)):
            flat, start = np.asarray(joined)[slot], 0
            for variable in variables:
                size = math.prod(variable.shape)
                found[variable.path] = flat[start : start + size].reshape(variable.shape)
                start += size
        return {variable.path: found[variable.path] for variable in self._model.weights}

    def parts(self, matrices: Sequence[Any], vectors: Sequence[Any], statistics: Sequence[Any]) -> dict[str, Any]:
        """Name weights by path; vectors and statistics as (slots, 1, n)."""
        return {
            variable.path: value
            for variable, value in zip(self._variables, (*matrices, *vectors, *statistics), strict=True)
        }

    def categories(self, counts: Any) -> dict[int, Any]:
        """Name counts of categories, int32 (encodings,), by the operations that read them."""
        return {id(operation): counts[place] for place, operation in enumerate(self._one_hots)}

    def __call__(self, inputs: Mapping[str, Any], weights: Pass) -> Any:
        """Compute the output of every slot.

        Args:
            inputs: `numeric` (slots or 1, rows, features) and `codes` (slots or 1, rows, columns), as the model has.
            weights: Of all slots.

        Returns:
            (slots, rows, outputs).
        """
        return self._compute(inputs, weights)[self._output]

    def units(self, inputs: Mapping[str, Any], weights: Pass) -> dict[str, Any]:
        """Compute what the units of hidden layers say, (slots, rows, units), by names of layers; as `__call__`."""
        values = self._compute(inputs, weights)
        outputs = {call.operation.name: values[id(call.output)] for call in self._calls}
        return {name: outputs[layer] for name, layer in unit_layers(self._model).items()}

    def _compute(self, inputs: Mapping[str, Any], weights: Pass) -> dict[int, Any]:
        values = {key: inputs[name] for name, key in self._inputs.items()}
        for call in self._calls:
            given = keras.tree.map_structure(lambda value: values.get(id(value), value), list(call.arguments))
            values[id(call.output)] = _RULES[type(call.operation).__name__](call.operation, weights, *given)
        return values


def _itself(operation: Any) -> Any:
    return operation


def _joined(arrays: Sequence[Array], slots: int) -> Array:
    return np.concatenate(arrays, axis=1) if arrays else np.zeros((slots, 0), np.float32)


def _fixed(operation: Any) -> str:
    """Describe what a rule reads from its layer and that is no weight."""
    if not isinstance(operation, keras.layers.Layer):
        return ""
    config = operation.get_config()
    names = ("name", "activation", "use_bias", "epsilon", "momentum", "axis")
    return repr({name: config[name] for name in names if name in config})


def place_of(name: str) -> int:
    """Return the number by which the masks of a dropout are told from those of others."""
    return zlib.crc32(name.encode()) & _PLACE_BITS


@tf.custom_gradient
def _affine(x: Any, kernel: Any, bias: Any) -> Any:
    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        return (
            tf.matmul(upstream, kernel, transpose_b=True),
            tf.matmul(x, upstream, transpose_a=True),
            sum_rows(upstream),
        )

    return tf.matmul(x, kernel) + bias, gradient


@tf.custom_gradient
def _linear(x: Any, kernel: Any) -> Any:
    def gradient(upstream: Any) -> tuple[Any, Any]:
        return tf.matmul(upstream, kernel, transpose_b=True), tf.matmul(x, upstream, transpose_a=True)

    return tf.matmul(x, kernel), gradient


def _dense(layer: Any, weights: Pass, x: Any) -> Any:
    kernel = weights.parts[layer.kernel.path]
    x = _affine(x, kernel, weights.parts[layer.bias.path]) if layer.use_bias else _linear(x, kernel)
    return _activation(layer, weights, x)


@tf.custom_gradient
def _normalized(x: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """Standardize the rows of each slot; Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1."""
    mean = mean_rows(x)
    centred = x - mean
    variance = mean_rows(tf.square(centred))
    inverse = in_registers(tf.math.rsqrt, variance + epsilon)
    gain = inverse * scale

    def gradient(upstream: Any, *of_statistics: Any) -> tuple[Any, Any, Any, None]:
        del of_statistics  # Moving statistics are not trained.
        rows = tf.cast(tf.shape(x)[1], x.dtype)
        to_offset = sum_rows(upstream)
        to_scale = sum_rows(upstream * centred) * inverse
        pull = centred * (to_scale * inverse / rows)
        return (upstream - to_offset / rows - pull) * gain, to_scale, to_offset, None

    return (centred * gain + offset, mean, variance), gradient


def _batch_norm(layer: Any, weights: Pass, x: Any) -> Any:
    part = weights.parts
    mean, variance = part[layer.moving_mean.path], part[layer.moving_variance.path]
    scale, offset = part[layer.gamma.path], part[layer.beta.path]
    if weights.mask is None:
        gain = in_registers(tf.math.rsqrt, variance + layer.epsilon) * scale
        return x * gain + (offset - mean * gain)
    y, now_mean, now_variance = _normalized(x, scale, offset, layer.epsilon)
    keep = layer.momentum
    weights.updates[layer.moving_mean.path] = mean * keep + now_mean * (1.0 - keep)
    weights.updates[layer.moving_variance.path] = variance * keep + now_variance * (1.0 - keep)
    return y


# TensorFlow's own depend on how many slots there are.
_BY_ROW = {
    keras.activations.softmax: softmax,
    keras.activations.log_softmax: log_softmax,
}
# Made of comparisons, sums, products and quotients, which are rounded correctly everywhere; sparsemax looks at rows.
_EXACT = (
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.leaky_relu,
    keras.activations.sparsemax,
)


def _activation(layer: Any, weights: Pass, x: Any) -> Any:
    del weights
    activation = layer.activation
    if activation in _BY_ROW:
        return _BY_ROW[activation](x)
    return activation(x) if activation in _EXACT else in_registers(activation, x)


@tf.custom_gradient
def _silenced(x: Any, mask: Any) -> Any:
    return x * mask, lambda upstream: (upstream * mask, None)


def _dropout(layer: Any, weights: Pass, x: Any) -> Any:
    return x if weights.mask is None else _silenced(x, weights.mask(layer.name, x))


@tf.custom_gradient
def _sum(x: Any, y: Any) -> Any:
    return x + y, lambda upstream: (upstream, upstream)


def _add(layer: Any, weights: Pass, given: Sequence[Any]) -> Any:
    del layer, weights
    first, second = given
    return _sum(first, second)


def _concatenate(layer: Any, weights: Pass, given: Sequence[Any]) -> Any:
    del layer
    # Rows that all slots share have one slot only.
    slots = tf.shape(next(iter(weights.parts.values())))[0]
    return tf.concat([tf.broadcast_to(x, (slots, *tf.unstack(tf.shape(x))[1:])) for x in given], -1)


def _embedding(layer: Any, weights: Pass, codes: Any) -> Any:
    table = weights.parts[layer.embeddings.path]
    shared = tf.broadcast_to(codes, (tf.shape(table)[0], tf.shape(codes)[1]))
    return tf.gather(table, shared, batch_dims=1)


def _get_item(operation: Any, weights: Pass, x: Any, key: Any) -> Any:
    del operation, weights
    return x[(slice(None), *key)]


def _one_hot(operation: Any, weights: Pass, codes: Any) -> Any:
    return tf.one_hot(codes, weights.categories[id(operation)])


# By name, because operations that are no layers have no public class.
_RULES: dict[str, Callable[..., Any]] = {
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
