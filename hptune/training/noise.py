"""Random numbers for many slots at once: a function of seed, step, place and position, and of nothing else.

TensorFlow's stateless generators have no form in which each slot has a key of its own. A hash of a counter has: equal
keys give equal bits wherever a slot stands and whoever stands beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

# Odd numbers near 2**32 divided by the golden ratio: neighbouring counters land far apart (Knuth, volume 3, 6.4).
_POSITION, _STEP = 0x9E3779B1, 0x85EBCA77


def _word(value: int) -> Any:
    return tf.constant(np.uint32(value))


def _mix(words: Any) -> Any:
    """Spread every bit of a 32-bit word over all of them.

    Reference:
        Wellons, "Prospecting for Hash Functions", 2018: lowbias32, whose avalanche is nearly even.
    """
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    words = xor(words, shift(words, _word(16))) * _word(0x7FEB352D)
    words = xor(words, shift(words, _word(15))) * _word(0x846CA68B)
    return xor(words, shift(words, _word(16)))


def step_keys(seeds: Any, steps: Any, place: int) -> Any:
    """Make the key of each slot for one step and one place.

    Args:
        seeds: uint32 (slots,).
        steps: Steps that each slot has made, uint32 (slots,).
        place: Which of the network's masks.
    """
    return _mix(_mix(seeds + _word(place)) + steps * _word(_STEP))


def dropout_mask(keys: Any, thresholds: Any, gains: Any, like: Any) -> Any:
    """Draw which values are silenced.

    Args:
        keys: uint32 (slots,).
        thresholds: The share that is silenced times 2**32, uint32 (slots,).
        gains: What the others are multiplied by, (slots,).
        like: (slots, rows, features).

    Returns:
        0 or the gain, (slots, rows, features).
    """
    shape = tf.shape(like)
    positions = tf.cast(tf.range(shape[1] * shape[2]), tf.uint32) * _word(_POSITION)
    words = _mix(tf.reshape(positions, (1, shape[1], shape[2])) + keys[:, None, None])
    return tf.where(words < thresholds[:, None, None], 0.0, gains[:, None, None])
