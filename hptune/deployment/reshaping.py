"""An artifact made over for runtimes that lack what it uses; what it computes stays the same.

Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hptune.description import Description

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def input_names(about: Description) -> dict[str, str]:
    """Name the inputs of an exported model: as its column where every runtime takes that name, else by number."""
    return {
        column: column if _PLAIN_NAME.fullmatch(column) else f"raw_column_{number}"
        for number, (column, _) in enumerate(about.columns, start=1)
    }


def make_function(model: keras.Model, about: Description, text: tf.DType = tf.string) -> Any:
    """Make a TensorFlow function of an artifact.

    Args:
        model: The artifact, or what `without_text` made of it.
        about: Its columns.
        text: What stands for the categories of a column.

    Returns:
        A function from a dict of (rows, 1) tensors by input name to `prediction`, and its input signature.
    """
    names = input_names(about)
    signature = {
        names[column]: tf.TensorSpec((None, 1), tf.float32 if kind == "numeric" else text, name=names[column])
        for column, kind in about.columns
    }

    def serve(given: Mapping[str, Any]) -> dict[str, Any]:
        return {"prediction": model({column: given[name] for column, name in names.items()}, training=False)}

    return tf.function(serve, input_signature=[signature], autograph=False), [signature]


def without_text(model: keras.Model, about: Description) -> keras.Model:
    """Take the vocabularies away: categories are then given as codes, int64: 0 unknown, 1 missing, 2 the first word."""
    kinds = dict(about.columns)
    inputs = {
        column: keras.Input((1,), dtype="float32" if kinds[column] == "numeric" else "int64", name=f"given_{number}")
        for number, column in enumerate(model.input)
    }

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        return given[0] if isinstance(layer, keras.layers.StringLookup) else layer(*given, **options)

    return keras.models.clone_model(model, inputs, clone_function=_same, call_function=call)


def in_single_precision(model: keras.Model) -> keras.Model:
    """Compute the preparation in single precision, for runtimes that have no other.

    A constant that is subtracted is split into two numbers of single precision, of which the first takes most of the
    value away without rounding: years and large amounts lose next to nothing.
    """

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        kind = type(layer).__name__
        if kind == "Cast" and layer.dtype == "float64":
            # Names of their own: those that Keras gives count from what it has named before.
            return type(layer)("float32", name=f"single_{layer.name}")(given[0])
        if kind == "Subtract" and len(given) == 2 and _is_double(given[1]):
            high = np.asarray(given[1]).astype(np.float32)
            low = (np.asarray(given[1]) - high).astype(np.float32)
            rest = type(layer)(name=f"high_{layer.name}")(given[0], high)
            return type(layer)(name=f"low_{layer.name}")(rest, low)
        return layer(*(_single(value) for value in given), **options)

    return keras.models.clone_model(model, clone_function=_same, call_function=call)


def _same(layer: Any) -> Any:
    return layer


def _is_double(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.dtype == np.float64


def _single(value: Any) -> Any:
    return np.asarray(value, np.float32) if _is_double(value) else value
