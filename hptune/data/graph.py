"""The preparation as plain Keras nodes, so that an artifact takes raw columns and loads with Keras alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from hptune.data.preparation import Numbers, Preparation


def own_names(preparation: Preparation) -> dict[str, str]:
    """Name each input as its column, but for slashes, which Keras does not take."""
    return {column: column if "/" not in column else number for column, number in numbered_names(preparation).items()}


def numbered_names(preparation: Preparation) -> dict[str, str]:
    """Name the inputs by number, where a column is called as a layer or an operation of the network is."""
    columns = [*(column.name for column in preparation.numbers), *preparation.vocabularies]
    return {column: f"raw_column_{number}" for number, column in enumerate(columns, start=1)}


def raw_inputs(preparation: Preparation, names: Mapping[str, str]) -> dict[str, Any]:
    """Make one input for each raw column.

    Args:
        preparation: Whose columns.
        names: Of the inputs, by column; the model takes a dict by column whatever they are.

    Returns:
        (rows, 1) each: float32 for numbers with NaN as missing, because `predict` makes single precision of whatever it
        is given; strings for categories with "" as missing.
    """
    kinds = {column.name: "float32" for column in preparation.numbers}
    kinds |= dict.fromkeys(preparation.vocabularies, "string")
    return {column: keras.Input((1,), dtype=kind, name=names[column]) for column, kind in kinds.items()}


def prepare(preparation: Preparation, inputs: dict[str, Any], suffix: str = "") -> tuple[Any | None, Any | None]:
    """Prepare raw columns as `Preparation.transform` does, within 1e-6.

    Args:
        preparation: What was fitted.
        inputs: As `raw_inputs` makes them.
        suffix: Of layer names, where a network holds more than one preparation.

    Returns:
        Features (rows, numeric_width) float32 and codes (rows, categorical columns) int32; None where there are none.
    """
    numeric = _prepare_numbers(preparation, inputs) if preparation.numbers else None
    codes = _prepare_categories(preparation, inputs, suffix) if preparation.vocabularies else None
    return numeric, codes


def _prepare_numbers(preparation: Preparation, inputs: dict[str, Any]) -> Any:
    columns = preparation.numbers
    raw = keras.ops.cast(_join([inputs[column.name] for column in columns]), "float64")
    is_missing = keras.ops.isnan(raw)
    means = np.array([[column.mean for column in columns]])
    values = keras.ops.where(is_missing, means, raw)
    match preparation.way:
        case "standard":
            scales = np.array([[column.scale for column in columns]])
            values = keras.ops.divide(keras.ops.subtract(values, means), scales)
        case "quantile":
            values = _interpolate(values, columns)
    parts = [keras.ops.cast(values, "float32")]
    indicated = [index for index, column in enumerate(columns) if column.has_indicator]
    if indicated:
        parts.append(keras.ops.cast(keras.ops.take(is_missing, indicated, axis=1), "float32"))
    return _join(parts)


def _interpolate(values: Any, columns: tuple[Numbers, ...]) -> Any:
    """Map values piecewise linearly: the first score plus, for each segment, slope times the way gone in it."""
    segments = max(len(column.knots) for column in columns) - 1
    starts = np.zeros((len(columns), max(segments, 1)))
    lengths, slopes = np.zeros_like(starts), np.zeros_like(starts)
    for row, column in enumerate(columns):
        knots, scores = np.array(column.knots), np.array(column.scores)
        count = len(knots) - 1
        starts[row, :count], lengths[row, :count] = knots[:-1], np.diff(knots)
        slopes[row, :count] = np.diff(scores) / np.diff(knots)
    firsts = np.array([[column.scores[0] for column in columns]])
    way = keras.ops.subtract(keras.ops.expand_dims(values, -1), starts[None])
    gone = keras.ops.minimum(keras.ops.maximum(way, np.float64(0)), lengths[None])
    return keras.ops.add(keras.ops.sum(keras.ops.multiply(gone, slopes[None]), axis=-1), firsts)


def _prepare_categories(preparation: Preparation, inputs: dict[str, Any], suffix: str) -> Any:
    codes = []
    for index, (name, words) in enumerate(preparation.vocabularies.items(), start=1):
        # Code 0 is what the layer gives to words that it does not know; "" stands for missing and has code 1.
        vocabulary = ["", *words]
        lookup = keras.layers.StringLookup(
            vocabulary=vocabulary, mask_token=None, num_oov_indices=1, name=f"codes_{index}{suffix}"
        )
        codes.append(keras.ops.cast(lookup(inputs[name]), "int32"))
    return _join(codes)


def _join(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else keras.ops.concatenate(parts, axis=-1)
