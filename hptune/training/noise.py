"""Random numbers for many slots at once: a function of seed, step, place and position, and of nothing else.

TensorFlow's stateless generators have no form in which each slot has a key of its own. A hash of a counter has: equal
keys give equal bits wherever a slot stands and whoever stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class Masks:
    """The masks of all dropouts of a network; what does not change from step to step is computed once."""

    def __init__(self, seeds: Any, places: Sequence[int], widths: Any, silenced: Any, gains: Any, rows: Any) -> None:
        """Set up.

        Args:
            seeds: Of the slots, uint32 (slots,).
            places: A number for each dropout.
            widths: Features of each, int32 (dropouts,).
            silenced: The share that is silenced times 2**32, uint32 (slots, dropouts).
            gains: What the others are multiplied by, (slots, dropouts).
            rows: The most that a step has, int32.
        """
        self._count = len(places)
        numbers = tf.constant(np.array(places, np.uint32))
        self._keys = _mix(seeds + numbers[:, None])
        self._thresholds = tf.unstack(tf.transpose(silenced)[:, :, None, None], num=self._count)
        self._gains = tf.unstack(tf.transpose(gains)[:, :, None, None], num=self._count)
        if not self._count:
            return
        # Positions are the same for all slots; what is left to do for each slot are two multiplications.
        mixed = _mix(tf.cast(tf.range(rows * tf.reduce_max(widths)), tf.uint32) * _word(_POSITION))
        self._positions = [
            tf.reshape(mixed[: rows * width], (1, rows, width)) for width in tf.unstack(widths, num=self._count)
        ]

    def draw(self, steps: Any, rows: Any) -> list[Any]:
        """Draw which values are silenced in a step.

        Args:
            steps: Steps that each slot has made, uint32 (slots,).
            rows: Of this step.

        Returns:
            The mask of each dropout: 0 or the gain, (slots, rows, features).
        """
        if not self._count:
            return []
        keys = tf.unstack(_mix(self._keys + steps * _word(_STEP))[:, :, None, None], num=self._count)
        first = tf.stack([1, rows, -1])

        def drawn(key: Any, positions: Any, threshold: Any, gain: Any) -> Any:
            words = _scramble(tf.bitwise.bitwise_xor(tf.slice(positions, (0, 0, 0), first), key))
            return tf.where(words < threshold, 0.0, gain)

        given = zip(keys, self._positions, self._thresholds, self._gains, strict=True)
        return [drawn(*one) for one in given]
