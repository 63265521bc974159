"""Dropout masks are as good as drawn: each value by itself, each row, each step, each seed."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

SLOTS, ROWS, FEATURES, STEPS = 8, 16, 16, 512


def standardized(rate: float, seed: int) -> np.ndarray:
    """Draw masks of many steps, with mean 0 and variance 1 where they are good, (steps, slots, rows, features)."""
    import tensorflow as tf

    from hptune.training.noise import dropout_mask, step_keys

    seeds = tf.constant(np.arange(seed, seed + SLOTS), tf.uint32)
    thresholds = tf.fill([SLOTS], tf.constant(np.uint32(rate * 2**32)))
    like = tf.zeros((SLOTS, ROWS, FEATURES))
    kept = np.stack(
        [
            dropout_mask(
                step_keys(seeds, tf.fill([SLOTS], tf.constant(np.uint32(step))), 7), thresholds, tf.ones(8), like
            )
            for step in range(STEPS)
        ]
    )
    masks: np.ndarray = (kept - (1 - rate)) / np.sqrt(rate * (1 - rate))
    return masks


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_masks_are_silenced_at_their_rate_and_independent(rate: float) -> None:
    masks = standardized(rate, 123)

    # Each of these is a mean of `masks.size` independent products, so about normal with this deviation.
    deviation = 1 / np.sqrt(masks.size)
    assert abs(masks.mean()) < 5 * deviation
    for axis in range(4):
        first, second = np.moveaxis(masks, axis, 0)[:-1], np.moveaxis(masks, axis, 0)[1:]
        assert abs((first * second).mean()) < 5 * deviation, axis
    # Every pair of places, over steps and slots: the largest of 32,640 normal numbers is below 6 deviations.
    places = masks.reshape(-1, ROWS * FEATURES)
    pairs = np.triu(places.T @ places / np.sqrt(len(places)), 1)
    assert np.abs(pairs).max() < 7
    assert pairs[np.triu_indices_from(pairs, 1)].std() == pytest.approx(1, abs=0.03)


def test_a_slot_draws_the_same_wherever_it_stands() -> None:
    assert np.array_equal(standardized(0.3, 5)[:4, 3], standardized(0.3, 8)[:4, 0])
