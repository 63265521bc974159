"""Optimizers, schedules and the proximal step of L1, from settings."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("hptune")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise over the first steps, then constant or half a cosine down to zero.

    With peak p, W warm-up steps and T steps in all, step t = 0, 1, ... has
    p (t + 1) / W where t < W, else p for constant and p (1 + cos(pi (t - W) / (T - W))) / 2 for cosine.

    Args:
        peak: Largest learning rate.
        warmup_steps: W.
        total_steps: T.
        is_cosine: Whether it falls after the rise.

    Reference:
        Loshchilov and Hutter, "SGDR", 2017, eq. 5 without restarts; Goyal et al., 2017, for the warm-up.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, is_cosine: bool) -> None:
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.is_cosine = is_cosine

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        falling = 1.0
        if self.is_cosine:
            progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
            falling = 0.5 * (1.0 + keras.ops.cos(math.pi * keras.ops.clip(progress, 0.0, 1.0)))
        rising = (step + 1.0) / max(self.warmup_steps, 1)
        return self.peak * keras.ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "is_cosine": self.is_cosine,
        }


def make_optimizer(settings: Mapping[str, Any], steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Make the optimizer of one trial.

    Args:
        settings: `training.*` by dotted name.
        steps_per_epoch: Mini-batches an epoch; with `training.epochs` the length of the schedule.

    Returns:
        An optimizer of Keras; weight decay is decoupled (Loshchilov and Hutter, "Decoupled Weight Decay
        Regularization", 2019) and touches every trainable variable, as Keras has it. Gradients of embeddings are summed
        over the rows that have a category before anything is squared, which Keras's own optimizers leave out.
    """
    total = steps_per_epoch * settings["training.epochs"]
    warmup = round(settings["training.warmup"] * total)
    is_cosine = settings["training.schedule"] == "cosine"
    peak = settings["training.learning_rate"]
    rate = WarmupCosine(peak, warmup, total, is_cosine) if warmup or is_cosine else peak
    common = {"learning_rate": rate, "global_clipnorm": settings["training.clip_norm"]}
    decay = {"weight_decay": settings["training.weight_decay"]}
    match settings["training.optimizer"]:
        case "adam":
            return _with_whole_gradients(keras.optimizers.Adam)(**common)
        case "adamw":
            return _with_whole_gradients(keras.optimizers.AdamW)(**common, **decay)
        case "rmsprop":
            return _with_whole_gradients(keras.optimizers.RMSprop)(**common)
        case "sgd":
            momentum, nesterov = settings["training.momentum"], settings["training.nesterov"]
            # Keras reads no decay as None; 0.0 would add operations that change nothing.
            decay["weight_decay"] = decay["weight_decay"] or None
            return _with_whole_gradients(keras.optimizers.SGD)(**common, **decay, momentum=momentum, nesterov=nesterov)
        case unknown:
            raise ValueError(f"unknown optimizer {unknown}")


@functools.cache
def _with_whole_gradients(optimizer: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return an optimizer that sees one gradient for each weight.

    TensorFlow gives the gradient of an embedding as a list of rows in which a row may come twice; Keras squares each
    entry of the list and adds the squares, where Adam and RMSprop mean the square of the sum.
    """

    class WholeGradients(optimizer):
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            return super().apply([tf.convert_to_tensor(gradient) for gradient in grads], trainable_variables)

    WholeGradients.__name__ = optimizer.__name__
    return WholeGradients


def soft_threshold(optimizer: keras.optimizers.Optimizer, l1: float) -> Callable[[Any], Any]:
    """Return the proximal step of L1: w becomes sign(w) max(|w| - learning rate * l1, 0), so that zeros are zeros.

    Keras calls a variable's constraint after each step and before it counts the step, so the learning rate read here is
    the one of the step just made.

    Reference:
        Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.2; Tibshirani, 1996, for the Lasso.
    """

    def shrink(weights: Any) -> Any:
        threshold = keras.ops.cast(optimizer.learning_rate, weights.dtype) * l1
        return keras.ops.sign(weights) * keras.ops.relu(keras.ops.abs(weights) - threshold)

    return shrink


def shrink_kernels(model: keras.Model, optimizer: keras.optimizers.Optimizer, l1: float) -> None:
    """Let every kernel of a dense layer, output and projections included, take the proximal step of L1."""
    if not l1:
        return
    step = soft_threshold(optimizer, l1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.constraint = step
