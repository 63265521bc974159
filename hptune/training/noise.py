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


def _scramble(words: Any) -> Any:
    """Spread the bits of a 32-bit word over the upper half of another.

    Reference:
        Wellons, "Prospecting for Hash Functions", 2018: lowbias32 but for its first and last shift, which change only
        the lower half.
    """
    words = words * _word(0x7FEB352D)
    return tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, _word(15))) * _word(0x846CA68B)


def _fold(words: Any) -> Any:
    return tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, _word(16)))


def _mix(words: Any) -> Any:
    """Spread every bit of a 32-bit word over all of them: lowbias32, whose avalanche is nearly even."""
    return _fold(_scramble(_fold(words)))


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
    # Positions are the same for all slots and are mixed once; what is left to do for each slot are two multiplications.
    positions = _mix(tf.cast(tf.range(shape[1] * shape[2]), tf.uint32) * _word(_POSITION))
    positions = tf.reshape(positions, (1, shape[1], shape[2]))
    words = _scramble(tf.bitwise.bitwise_xor(positions, keys[:, None, None]))
    return tf.where(words < thresholds[:, None, None], 0.0, gains[:, None, None])
