"""Units that do nothing, taken out of a trained artifact: it predicts the same and weighs less.

A unit of an inner layer whose incoming weights are all zero gives the same value for every row, which is folded into
what follows; one whose outgoing weights are all zero is not read. What lies on a residual trunk stays: it is added to.
Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Activations of a layer as a whole: each unit's value depends on the others.
_JOINT_ACTIVATIONS = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
# What may stand between two dense layers, each unit for itself.
_PASSED = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.Dropout)


@dataclass(frozen=True)
class Pruned:
    """What came of pruning.

    Attributes:
        model: The smaller artifact.
        units: Units of inner layers before and after.
        weights: Weights before and after.
    """

    model: keras.Model
    units: tuple[int, int]
    weights: tuple[int, int]


def prune(model: keras.Model) -> Pruned:
    """Remove units whose incoming or outgoing weights are all zero, from every network of an artifact."""
    networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    smaller = {network.name: prune_network(network) for network in networks}
    made = keras.models.clone_model(model, clone_function=lambda layer: smaller.get(layer.name, layer))
    return Pruned(
        made,
        (sum(map(_count_units, networks)), sum(map(_count_units, smaller.values()))),
        (model.count_params(), made.count_params()),
    )


def _count_units(network: keras.Model) -> int:
    units: int = sum(layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense))
    return units - int(network.output_shape[-1])


def prune_network(network: keras.Model) -> keras.Model:
    """Remove the idle units of one network of dense blocks.

    Args:
        network: As `hptune.models` builds it; it is not changed.

    Returns:
        A network that computes the same, with at least one unit in each layer.
    """
    config = network.get_config()
    readers = _find_readers(config)
    chain = _find_chain(network, readers)
    weights = {layer.name: layer.get_weights() for layer in network.layers}
    # Who removes a unit of one layer may leave a unit of the layer before without a reader.
    is_shrinking = True
    while is_shrinking:
        is_shrinking = sum(_shrink(link, weights) for link in chain) > 0
    for described in config["layers"]:
        # Shapes from before; layers find the new ones when they are called.
        described.pop("build_config", None)
        if described["class_name"] == "Dense":
            described["config"]["units"] = weights[described["name"]][0].shape[1]
    made: keras.Model = type(network).from_config(config)
    for layer in made.layers:
        layer.set_weights(weights[layer.name])
    return made


@dataclass(frozen=True)
class _Link:
    """A dense layer that only one other dense layer reads.

    Attributes:
        first, second: The two.
        between: What stands between them in order: batch norm, activation, dropout.
        norm: The batch norm that alone reads the second one, if any.
    """

    first: Any
    between: tuple[Any, ...]
    second: Any
    norm: Any | None


def _find_readers(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return by name of a layer the layers that read it."""
    readers: dict[str, list[str]] = {}
    for described in config["layers"]:
        for source in _find_sources(described["inbound_nodes"]):
            readers.setdefault(source, []).append(described["name"])
    return readers


def _find_sources(described: Any) -> Iterator[str]:
    """Find the layers whose outputs a serialized node takes."""
    if isinstance(described, dict):
        if described.get("class_name") == "__keras_tensor__":
            yield described["config"]["keras_history"][0]
        else:
            for value in described.values():
                yield from _find_sources(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from _find_sources(value)


def _find_chain(network: keras.Model, readers: Mapping[str, list[str]]) -> list[_Link]:
    layers = {layer.name: layer for layer in network.layers}

    def only_reader(layer: Any) -> Any | None:
        names = readers.get(layer.name, [])
        return layers.get(names[0]) if len(names) == 1 else None

    found = []
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Dense):
            continue
        between: list[Any] = []
        reader = only_reader(layer)
        while isinstance(reader, _PASSED) and not _is_joint(reader):
            between.append(reader)
            reader = only_reader(reader)
        if isinstance(reader, keras.layers.Dense):
            after = only_reader(reader)
            found.append(_Link(layer, tuple(between), reader, after if _is_norm(after) else None))
    return found


def _is_joint(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.get_config()["activation"] in _JOINT_ACTIVATIONS


def _is_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _shrink(link: _Link, weights: dict[str, list[Floats]]) -> bool:
    """Take idle units out of a layer; return whether there were any."""
    first, second = link.first, link.second
    kernel = weights[first.name][0]
    is_constant = ~kernel.any(axis=0)
    is_unread = ~weights[second.name][0].any(axis=1)
    is_idle = np.asarray(is_constant | is_unread)
    if is_idle.all():
        # A layer without units is none.
        is_idle[0] = False
    if not is_idle.any():
        return False
    folded = np.where(is_idle & is_constant, _constants(link, weights), 0)
    shift = folded.astype(np.float64) @ weights[second.name][0].astype(np.float64)
    _add_to_output(link, shift, weights)
    kept = ~is_idle
    weights[first.name] = [array[..., kept] for array in weights[first.name]]
    for layer in filter(_is_norm, link.between):
        weights[layer.name] = [array[kept] for array in weights[layer.name]]
    weights[second.name][0] = weights[second.name][0][kept]
    return True


def _constants(link: _Link, weights: dict[str, list[Floats]]) -> Floats:
    """Return what each unit of a layer gives where nothing comes in."""
    first = link.first
    units = weights[first.name][0].shape[1]
    value = weights[first.name][1] if first.use_bias else np.zeros(units, np.float32)
    for layer in link.between:
        if _is_norm(layer):
            value = _normalize(layer, weights[layer.name], value)
        elif isinstance(layer, keras.layers.Activation):
            value = np.asarray(layer.activation(keras.ops.convert_to_tensor(value[None].astype(np.float32))))[0]
    return value


def _normalize(layer: Any, stored: Sequence[Floats], value: Floats) -> Floats:
    gamma, beta, mean, variance = (array.astype(np.float64) for array in stored)
    made: Floats = (value - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta
    return made


def _add_to_output(link: _Link, shift: Floats, weights: dict[str, list[Floats]]) -> None:
    """Add a constant to what a dense layer gives: to its bias, or where it has none to the mean of its batch norm."""
    if link.second.use_bias:
        kernel, bias = weights[link.second.name]
        weights[link.second.name] = [kernel, (bias + shift).astype(np.float32)]
        return
    assert link.norm is not None, "a dense layer without bias stands before a batch norm"
    gamma, beta, mean, variance = weights[link.norm.name]
    weights[link.norm.name] = [gamma, beta, (mean - shift).astype(np.float32), variance]
