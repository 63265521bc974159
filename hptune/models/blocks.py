"""The pieces of a network: joined inputs, dense blocks, residual connections.

Weights and dropout masks depend on the seed and on nothing else: each layer takes the next number of a `Seeds` counter,
and masks are counted apart, so that networks that differ in dropout only begin with equal weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

# Keras takes seeds below 2**31; a prime stride keeps the layers of neighbouring seeds apart.
_SEED_LIMIT = 2**31 - 1
_SEED_STRIDE = 1_000_003
WIDEST_EMBEDDING = 50


@dataclass(frozen=True)
class Inputs:
    """What the prepared arrays hold.

    Attributes:
        numeric: Number of numeric features.
        vocabulary_sizes: For each categorical column the number of codes, the buckets unknown (0) and missing (1)
            included.
    """

    numeric: int
    vocabulary_sizes: tuple[int, ...]


class Seeds:
    """Hands out seeds in the order of building: one for the weights of each layer, one for the masks of each dropout.

    >>> seeds, other = Seeds(1), Seeds(1)
    >>> mask = other.next_mask()
    >>> seeds.next_weights() == other.next_weights() != mask
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._weights = 0
        self._masks = 0

    def next_weights(self) -> int:
        """Return the seed of the next layer's initial weights."""
        self._weights += 1
        return (self._seed + self._weights * _SEED_STRIDE) % _SEED_LIMIT

    def next_mask(self) -> int:
        """Return the seed of the next place of a dropout; a place takes one whether or not its share is zero."""
        self._masks += 1
        # Downwards, so that no mask is drawn from the numbers that a kernel was drawn from.
        return (self._seed - self._masks * _SEED_STRIDE) % _SEED_LIMIT


@contextmanager
def named_faults(layer: str) -> Iterator[None]:
    """Say which layer it is that Keras refuses to build.

    Raises:
        ValueError: In place of the ValueError or TypeError of Keras, with the layer's name before its message.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{layer}: {error}") from error


@dataclass(frozen=True)
class Penalties:
    """L2 on kernels and on biases; L1 is no part of the loss but a proximal step of the training room."""

    kernel: float
    bias: float

    def dense(self, units: int, seeds: Seeds, name: str, *, use_bias: bool = True) -> keras.layers.Dense:
        """Make a dense layer without activation: y = x W + b, with W from Glorot and Bengio (2010), eq. 16."""
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.GlorotUniform(seeds.next_weights()),
            kernel_regularizer=keras.regularizers.L2(self.kernel) if self.kernel else None,
            bias_regularizer=keras.regularizers.L2(self.bias) if self.bias and use_bias else None,
            name=name,
        )


@dataclass(frozen=True)
class Block:
    """One dense block.

    Attributes:
        units: Width.
        activation: A Keras activation by name.
        batch_norm: none, or before or after the activation.
        dropout: Share of units silenced while training.
        residual: Whether the block learns a function relative to its input.
    """

    units: int
    activation: str
    batch_norm: str
    dropout: float
    residual: bool

    def __call__(self, x: Any, penalties: Penalties, seeds: Seeds, name: str) -> Any:
        """Apply dense, batch norm, activation, batch norm, dropout, and add the shortcut.

        Input shape: (rows, features). Output shape: (rows, units).

        Reference:
            He et al., "Deep Residual Learning for Image Recognition", 2016, eq. 1; where widths differ the shortcut is
            a linear projection, eq. 2. Ioffe and Szegedy, "Batch Normalization", 2015. Srivastava et al., "Dropout",
            2014.

        Example:
            >>> block = Block(units=8, activation="relu", batch_norm="before", dropout=0.1, residual=True)
            >>> block(keras.Input((3,)), Penalties(kernel=0.0, bias=0.0), Seeds(1), "block_1").shape
            (None, 8)
        """
        shortcut = x
        # Batch norm takes the mean away, and the bias with it: its gradient would be rounding noise, which Adam makes
        # as large as any other.
        has_bias = self.batch_norm != "before"
        x = penalties.dense(self.units, seeds, f"{name}_dense", use_bias=has_bias)(x)
        if self.batch_norm == "before":
            x = keras.layers.BatchNormalization(name=f"{name}_batch_norm")(x)
        x = keras.layers.Activation(self.activation, name=f"{name}_activation")(x)
        if self.batch_norm == "after":
            x = keras.layers.BatchNormalization(name=f"{name}_batch_norm")(x)
        mask = seeds.next_mask()
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, seed=mask, name=f"{name}_dropout")(x)
        if not self.residual:
            return x
        if shortcut.shape[-1] != self.units:
            shortcut = penalties.dense(self.units, seeds, f"{name}_projection", use_bias=False)(shortcut)
        return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def unit_layers(model: keras.Model) -> dict[str, str]:
    """Name the layers whose outputs are what the units of hidden dense layers say, by the names of these.

    >>> inputs = keras.Input((3,))
    >>> block = Block(units=8, activation="relu", batch_norm="none", dropout=0.0, residual=False)
    >>> unit_layers(keras.Model(inputs, block(inputs, Penalties(kernel=0.0, bias=0.0), Seeds(1), "block_1")))
    {'block_1_dense': 'block_1_activation'}
    """
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    return {name.replace("_activation", "_dense"): name for name in names}


def embedding_width(size: int, setting: int | str) -> int:
    """Choose the width of an embedding: as set, or min(50, 1.6 n^0.56) rounded up.

    Reference:
        The rule of thumb of fastai's tabular learner (Howard and Gugger, "fastai: A Layered API", 2020).

    >>> embedding_width(5, "auto"), embedding_width(5, 3)
    (4, 3)
    """
    return setting if isinstance(setting, int) else min(WIDEST_EMBEDDING, math.ceil(1.6 * size**0.56))


def encode_column(codes: Any, index: int, size: int, categorical: str, width: int | str, seeds: Seeds) -> Any:
    """Turn one column of codes into numbers.

    Input shape: (rows, columns) whole numbers. Output shape: (rows, size - 1) one-hot, or (rows, width) embedded.
    Code 0, a category never seen in training, is all zeros either way and stays so: no row of training has it.

    >>> encode_column(keras.Input((2,), dtype="int32"), 1, 5, "embedding", "auto", Seeds(1)).shape
    (None, 4)
    """
    column = codes[:, index]
    if categorical == "one_hot":
        return keras.ops.one_hot(column, size)[:, 1:]
    embedding = keras.layers.Embedding(
        size,
        embedding_width(size, width),
        embeddings_initializer=keras.initializers.RandomUniform(seed=seeds.next_weights()),
        name=f"embedding_{index + 1}",
    )
    embedded = embedding(column)
    embedding.embeddings.assign(_without_unknown(embedding.embeddings))
    return embedded


def _without_unknown(table: Any) -> Any:
    return keras.ops.concatenate([keras.ops.zeros_like(table[:1]), table[1:]], axis=0)


class InitialWeights:
    """The weights that a model would have begun with, had it been built with another seed.

    Building a model takes a hundred times as long as drawing its weights.
    """

    def __init__(self, model: keras.Model, built_with: int) -> None:
        """Read what no seed changes.

        Args:
            model: Its own weights are those it was built with.
            built_with: Its seed.
        """
        self._kernels = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        self._tables = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
        self._built_with = built_with
        paths = {layer.kernel.path for layer in self._kernels} | {layer.embeddings.path for layer in self._tables}
        self._fixed = {variable.path: np.array(variable) for variable in model.weights if variable.path not in paths}

    def draw(self, seed: int) -> dict[str, npt.NDArray[Any]]:
        """Return the weights for a seed, by path."""
        found = dict(self._fixed)
        for layer in self._kernels:
            found[layer.kernel.path] = _redraw(layer.kernel_initializer, layer.kernel.shape, seed - self._built_with)
        for layer in self._tables:
            table = _redraw(layer.embeddings_initializer, layer.embeddings.shape, seed - self._built_with)
            found[layer.embeddings.path] = np.concatenate([np.zeros_like(table[:1]), table[1:]])
        return found


def _redraw(initializer: Any, shape: tuple[int, ...], shift: int) -> npt.NDArray[Any]:
    config = initializer.get_config()
    moved = type(initializer).from_config({**config, "seed": (config["seed"] + shift) % _SEED_LIMIT})
    return np.asarray(moved(shape))
