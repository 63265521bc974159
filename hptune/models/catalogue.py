"""The register of model types: one function each, from settings to a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from hptune.models.blocks import Inputs
from hptune.models.mlp import build_mlp

BuildModel = Callable[[Mapping[str, Any], Inputs, int, int], keras.Model]

MODEL_TYPES: dict[str, BuildModel] = {"mlp": build_mlp}


def build_model(settings: Mapping[str, Any], inputs: Inputs, outputs: int, seed: int) -> keras.Model:
    """Build the network of one trial.

    Args:
        settings: Every setting by dotted name; `model.type` chooses the function.
        inputs: What the prepared arrays hold.
        outputs: Width of the last layer: 1 for binary tasks and regression, else the number of classes.
        seed: Of the initial weights and of dropout; nothing else influences them.

    Returns:
        A model from `numeric` (rows, features) and `codes` (rows, categorical columns), whichever exist, to (rows,
        outputs) logits or standardized values, without an output activation.

    Raises:
        ValueError: If the network cannot be built; the message names the layer.
    """
    return MODEL_TYPES[settings["model.type"]](settings, inputs, outputs, seed)
