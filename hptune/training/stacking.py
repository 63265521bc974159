"""Many networks of one structure as one computation: every weight and activation has a leading axis of slots.

The network itself is an ordinary Keras model. Its layers are called once, symbolically, and the calls written down;
each kind of layer then has a rule that does the same for all slots side by side (`rules.py`). A model with a layer that
has no rule is trained by `keras.Model.fit` instead.

Neither the number of slots, nor the rows, nor the widths of layers, nor how many categories a column has are part of
the computation, so that TensorFlow traces it once for networks that differ in nothing else, such as those of folds.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.models.blocks import InitialWeights, unit_layers
from hptune.training.rules import RULES, Pass, Pull

Array = npt.NDArray[Any]
_Key = TypeVar("_Key", str, int)
# Names of layers are hashed, so that a mask does not depend on how many dropouts there are before it.
_PLACE_BITS = 0xFFFFFFFF


class NotStackableError(Exception):
    """The network has a layer without a rule; it is trained by `keras.Model.fit`."""


class Weights(NamedTuple):
    """The weights of stacked networks, one after the other, so that an optimizer works on all of them at once.

    Attributes:
        kernels: Of dense layers, (slots, k).
        others: Biases, scales, offsets and embeddings, (slots, n).
        statistics: Moving means and variances, (slots, m).
    """

    kernels: Any
    others: Any
    statistics: Any


@dataclass(frozen=True)
class _Call:
    operation: Any
    arguments: tuple[Any, ...]
    output: Any

    @property
    def tensors(self) -> list[int]:
        """What it was given, by the identities of the symbolic tensors."""
        return [id(value) for value in keras.tree.flatten(list(self.arguments)) if isinstance(value, keras.KerasTensor)]


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
        if any(len(variable.shape) not in (1, 2) for variable in model.weights):
            raise NotStackableError("a weight has neither one nor two axes")
        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        kernels = {layer.kernel.path for layer in dense}
        biases = {layer.bias.path for layer in dense if layer.use_bias}
        self.kernels = [variable for variable in model.trainable_weights if variable.path in kernels]
        self.others = [variable for variable in model.trainable_weights if variable.path not in kernels]
        self.is_bias = [variable.path in biases for variable in self.others]
        self.statistics = list(model.non_trainable_weights)

    def _note(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        output = operation(*arguments, **options)
        if type(operation).__name__ not in RULES:
            raise NotStackableError(f"{operation.name}: {type(operation).__name__} has no rule for many slots")
        self._calls.append(_Call(operation, arguments, output))
        return output

    @property
    def size(self) -> int:
        """How many weights it has."""
        size: int = self._model.count_params()
        return size

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
        paths = [variable.path for group in self._groups for variable in group]
        return "\n".join((*lines, *paths))

    @property
    def momenta(self) -> list[float]:
        """Of the moving statistics, in order: how much of the old is kept with each step."""
        by_path = {
            statistic.path: layer.momentum
            for layer in self._model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
            for statistic in (layer.moving_mean, layer.moving_variance)
        }
        return [by_path[variable.path] for variable in self.statistics]

    @property
    def dropout_widths(self) -> list[int]:
        """How many features each dropout silences, in the order of calling."""
        return [call.output.shape[-1] for call in self._calls if isinstance(call.operation, keras.layers.Dropout)]

    @property
    def category_counts(self) -> list[int]:
        """How many categories each one-hot encoding has, in the order of calling."""
        return [operation.num_classes for operation in self._one_hots]

    @property
    def _one_hots(self) -> list[Any]:
        return [call.operation for call in self._calls if type(call.operation).__name__ == "OneHot"]

    @property
    def _groups(self) -> tuple[list[Any], list[Any], list[Any]]:
        """The variables of each tensor of `Weights`."""
        return self.kernels, self.others, self.statistics

    def initial(self, seeds: Sequence[int]) -> Weights:
        """Return the weights with which trials begin, one slot for each seed."""
        return self.given([self._initial.draw(seed) for seed in seeds])

    def given(self, weights: Sequence[Mapping[str, Array]]) -> Weights:
        """Return stored weights, by path, one slot for each mapping."""

        def joined(variables: Sequence[Any]) -> Any:
            empty = np.zeros(0, np.float32)
            flat = [np.concatenate([empty, *(one[variable.path].ravel() for variable in variables)]) for one in weights]
            return tf.constant(np.stack(flat))

        return Weights(*map(joined, self._groups))

    def by_path(self, weights: Weights, slot: int) -> dict[str, Array]:
        """Return the weights of one slot, by the paths of the model's variables."""
        found = {}
        for variables, tensor in zip(self._groups, weights, strict=True):
            ends = np.cumsum([math.prod(variable.shape) for variable in variables])
            # Behind the last end there is nothing.
            for variable, values in zip(variables, np.split(np.asarray(tensor[slot]), ends)[:-1], strict=True):
                found[variable.path] = values.reshape(variable.shape)
        return {variable.path: found[variable.path] for variable in self._model.weights}

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
        return self._compute(inputs, weights)[0][self._output]

    def units(self, inputs: Mapping[str, Any], weights: Pass) -> dict[str, Any]:
        """Compute what the units of hidden layers say, (slots, rows, units), by names of layers; as `__call__`."""
        values, _ = self._compute(inputs, weights)
        outputs = {call.operation.name: values[id(call.output)] for call in self._calls}
        return {name: outputs[layer] for name, layer in unit_layers(self._model).items()}

    def learn(self, inputs: Mapping[str, Any], weights: Pass) -> tuple[Any, Callable[[Any], dict[str, Any]]]:
        """Compute the output of every slot, and how weights bear on it.

        Args:
            inputs: As for `__call__`, of all slots.
            weights: Of all slots, with a lesson.

        Returns:
            The output, and a function from the gradient of the loss with respect to it, (slots, rows, outputs), to
            those with respect to kernels and others, by path.
        """
        values, pulls = self._compute(inputs, weights)

        def back(upstream: Any) -> dict[str, Any]:
            found: dict[str, Any] = {}
            arrived = {self._output: upstream}
            for call, pull in zip(reversed(self._calls), reversed(pulls), strict=True):
                # Data are reached by no gradient.
                if id(call.output) not in arrived:
                    continue
                to_inputs, to_weights = pull(arrived.pop(id(call.output)))
                _gather_up(found, to_weights.items())
                _gather_up(arrived, zip(call.tensors, to_inputs, strict=True))
            return found

        return values[self._output], back

    def _compute(self, inputs: Mapping[str, Any], weights: Pass) -> tuple[dict[int, Any], list[Pull]]:
        values = {key: inputs[name] for name, key in self._inputs.items()}
        pulls = []
        for call in self._calls:
            given = keras.tree.map_structure(lambda value: values.get(id(value), value), list(call.arguments))
            values[id(call.output)], pull = RULES[type(call.operation).__name__](call.operation, weights, *given)
            pulls.append(pull)
        return values, pulls


def _gather_up(sums: dict[_Key, Any], more: Iterable[tuple[_Key, Any]]) -> None:
    """Add gradients to what has arrived at the same place before."""
    for key, gradient in more:
        if gradient is not None:
            sums[key] = sums[key] + gradient if key in sums else gradient


def _itself(operation: Any) -> Any:
    return operation


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
