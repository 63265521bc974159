"""The multilayer perceptron: joined inputs, a stack of dense blocks, a linear output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hptune.models.blocks import Block, Inputs, Penalties, Seeds, encode_column, named_faults


def build_mlp(settings: Mapping[str, Any], inputs: Inputs, outputs: int, seed: int) -> keras.Model:
    """Build a perceptron; with `model.blocks` 0 it is a linear model.

    Args:
        settings: `model.*` and `data.preparation.categorical` by dotted name; `model.units.2` is the width of the
            second block where blocks have their own, else `model.units` counts, and likewise `model.dropout`.
        inputs: What the prepared arrays hold.
        outputs: Width of the last layer.
        seed: Of initial weights and dropout.

    Returns:
        As `build_model` says.

    Raises:
        ValueError: If Keras refuses a layer; the message begins with its name.

    Example:
        >>> settings = {
        ...     "model.type": "mlp", "model.input_batch_norm": True, "model.input_dropout": 0.0, "model.blocks": 1,
        ...     "model.units": 8, "model.activation": "relu", "model.batch_norm": "none", "model.residual": False,
        ...     "model.dropout": 0.1, "model.l2": 0.0, "model.bias_l2": 0.0, "model.embedding": "auto",
        ...     "data.preparation.categorical": "one_hot",
        ... }
        >>> model = build_mlp(settings, Inputs(numeric=3, vocabulary_sizes=(4,)), outputs=2, seed=1)
        >>> model.output_shape
        (None, 2)
    """
    seeds = Seeds(seed)
    penalties = Penalties(settings["model.l2"], settings["model.bias_l2"])
    given, x = _join_inputs(settings, inputs, seeds)
    mask = seeds.next_mask()
    if settings["model.input_dropout"]:
        x = keras.layers.Dropout(settings["model.input_dropout"], seed=mask, name="input_dropout")(x)
    for number in range(1, settings["model.blocks"] + 1):
        block = Block(
            units=settings.get(f"model.units.{number}", settings["model.units"]),
            activation=settings["model.activation"],
            batch_norm=settings["model.batch_norm"],
            dropout=settings.get(f"model.dropout.{number}", settings["model.dropout"]),
            residual=settings["model.residual"],
        )
        with named_faults(f"block_{number}"):
            x = block(x, penalties, seeds, name=f"block_{number}")
    with named_faults("output"):
        output = penalties.dense(outputs, seeds, "output")(x)
    return keras.Model(given, output, name="network")


def _join_inputs(settings: Mapping[str, Any], inputs: Inputs, seeds: Seeds) -> tuple[dict[str, Any], Any]:
    given: dict[str, Any] = {}
    parts = []
    if inputs.numeric:
        given["numeric"] = x = keras.Input((inputs.numeric,), name="numeric")
        if settings["model.input_batch_norm"]:
            x = keras.layers.BatchNormalization(name="input_batch_norm")(x)
        parts.append(x)
    if inputs.vocabulary_sizes:
        given["codes"] = codes = keras.Input((len(inputs.vocabulary_sizes),), dtype="int32", name="codes")
        parts += [
            encode_column(
                codes, index, size, settings["data.preparation.categorical"], settings["model.embedding"], seeds
            )
            for index, size in enumerate(inputs.vocabulary_sizes)
        ]
    return given, parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="inputs")(parts)
