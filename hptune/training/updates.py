"""Optimizers of Keras for many slots at once, each slot with its own numbers.

`optimizer.stateless_apply` is refused by TensorFlow's backend, and takes one learning rate for all. These are the same
operations in the same order; tests hold each against Keras.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from hptune.training.reductions import in_registers, sum_slots

# Keras's defaults, which an experiment does not change.
_BETA_1, _BETA_2, _RHO, _EPSILON = 0.9, 0.999, 0.9, 1e-7
# How many tensors of the size of the weights each optimizer remembers.
MEMORIES = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 1, "nesterov": 1}


def learning_rates(dials: Any, steps: Any) -> Any:
    """Return each slot's learning rate at a step; as `WarmupCosine`, which see.

    Args:
        dials: With `learning_rate`, `warmup_steps`, `total_steps` and `is_cosine`, (slots,) each.
        steps: Steps made before, float32 (slots,).
    """
    warmup, total = dials["warmup_steps"], dials["total_steps"]
    progress = (steps - warmup) / tf.maximum(total - warmup, 1.0)
    cosine = 0.5 * (1.0 + in_registers(tf.cos, math.pi * tf.clip_by_value(progress, 0.0, 1.0)))
    falling = tf.where(dials["is_cosine"] > 0, cosine, 1.0)
    rising = (steps + 1.0) / tf.maximum(warmup, 1.0)
    return dials["learning_rate"] * tf.where(steps < warmup, rising, falling)


def clip_by_norm(gradients: Sequence[Any], largest: Any) -> list[Any]:
    """Scale each slot's gradients so that their norm over all weights is at most `largest` (slots,), which may be inf.

    Reference:
        Pascanu et al., "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    """
    norm = tf.sqrt(tf.add_n([sum_slots(tf.square(gradient)) for gradient in gradients]))
    # As Keras computes it: largest * min(1 / norm, 1 / largest); a norm that is not finite makes all of it NaN.
    factor = tf.where(tf.math.is_inf(largest), 1.0, in_registers(_clipped, norm, largest))
    factor = tf.where(tf.math.is_finite(norm), factor, math.nan)
    return [gradient * factor[:, None] for gradient in gradients]


def _clipped(norm: Any, largest: Any) -> Any:
    return largest * tf.minimum(1.0 / norm, 1.0 / largest)


def _corrected(rates: Any, t: Any) -> Any:
    """Return Adam's rates at step t, corrected for memories that began at zero."""
    return rates * tf.sqrt(1 - tf.pow(_BETA_2, t)) / (1 - tf.pow(_BETA_1, t))


def decay(weights: Sequence[Any], rates: Any, decays: Any) -> list[Any]:
    """Shrink all weights by the learning rate times the decay; Loshchilov and Hutter, 2019, algorithm 2, line 12."""
    return [weight - weight * decays[:, None] * rates[:, None] for weight in weights]


def soft_threshold(weights: Any, thresholds: Any) -> Any:
    """Make the proximal step of L1: sign(w) max(|w| - threshold, 0), which is w less w cut off at the threshold."""
    most = thresholds[:, None]
    return weights - tf.minimum(tf.maximum(weights, -most), most)


def update(
    optimizer: str,
    weights: Sequence[Any],
    gradients: Sequence[Any],
    memories: Sequence[Any],
    steps: Any,
    rates: Any,
    dials: Any,
) -> tuple[list[Any], list[Any]]:
    """Make one step.

    Args:
        optimizer: adam, adamw, rmsprop, sgd, or `nesterov`.
        weights: (slots, n) each.
        gradients: Of the same shapes.
        memories: Zero at first; as many times the weights as `MEMORIES` says, one kind after the other.
        steps: Steps made before, float32 (slots,).
        rates: Learning rates, (slots,).
        dials: With `momentum`, (slots,).

    Returns:
        New weights and memories.

    Reference:
        Kingma and Ba, "Adam", 2015, section 2, last paragraph; Tieleman and Hinton, 2012, for RMSprop; Sutskever et
        al., 2013, for momentum.
    """
    if optimizer in ("adam", "adamw"):
        half = len(weights)
        first = [m + (g - m) * (1 - _BETA_1) for m, g in zip(memories[:half], gradients, strict=True)]
        second = [v + (tf.square(g) - v) * (1 - _BETA_2) for v, g in zip(memories[half:], gradients, strict=True)]
        alpha = in_registers(_corrected, rates, steps + 1.0)[:, None]
        moved = [w - (m * alpha) / (tf.sqrt(v) + _EPSILON) for w, m, v in zip(weights, first, second, strict=True)]
        return moved, [*first, *second]
    rates = rates[:, None]
    if optimizer == "rmsprop":
        squares = [_RHO * v + (1 - _RHO) * tf.square(g) for v, g in zip(memories, gradients, strict=True)]
        moved = [
            w - (rates * g) * in_registers(tf.math.rsqrt, v + _EPSILON)
            for w, g, v in zip(weights, gradients, squares, strict=True)
        ]
        return moved, squares
    pulls = [g * rates for g in gradients]
    momentum = dials["momentum"][:, None]
    speeds = [m * momentum - pull for m, pull in zip(memories, pulls, strict=True)]
    if optimizer == "sgd":
        return [w + speed for w, speed in zip(weights, speeds, strict=True)], speeds
    moved = [w + (speed * momentum - pull) for w, speed, pull in zip(weights, speeds, pulls, strict=True)]
    return moved, speeds
