"""Dropout masks are as good as drawn: each value by itself, each row, each step, each seed."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

SLOTS, ROWS, FEATURES, STEPS = 8, 16, 16, 512


def standardized(rate: float, seed: int) -> np.ndarray:
    """Draw masks of many steps, with mean 0 and variance 1 where they are good, (steps, slots, rows, features)."""
    import tensorflow as tf

    from hptune.training.noise import Masks

    seeds = tf.constant(np.arange(seed, seed + SLOTS), tf.uint32)
    thresholds = tf.fill([SLOTS, 1], tf.constant(np.uint32(rate * 2**32)))
    masks = Masks(seeds, [7], tf.constant([FEATURES]), thresholds, tf.ones((SLOTS, 1)), ROWS)
    drawn = [masks.draw(tf.fill([SLOTS], tf.constant(np.uint32(step))), ROWS) for step in range(STEPS)]
    kept = np.stack([mask for (mask,) in drawn])
    standard: np.ndarray = (kept - (1 - rate)) / np.sqrt(rate * (1 - rate))
    return standard


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


def test_each_dropout_draws_for_itself_and_the_first_rows_of_many() -> None:
    import tensorflow as tf

    from hptune.training.noise import Masks

    seeds, steps = tf.constant([3, 4], tf.uint32), tf.constant([5, 5], tf.uint32)
    thresholds = tf.constant([[2**31, 2**30]] * 2, tf.uint32)
    gains = tf.constant([[2.0, 4 / 3]] * 2)
    places, widths = [7, 9], [FEATURES, 3]
    several = Masks(seeds, places, tf.constant(widths), thresholds, gains, ROWS).draw(steps, 5)

    for number, mask in enumerate(several):
        own = slice(number, number + 1)
        alone = Masks(seeds, places[own], tf.constant(widths[own]), thresholds[:, own], gains[:, own], ROWS)
        (whole,) = alone.draw(steps, ROWS)
        assert mask.shape == (2, 5, widths[number])
        assert np.array_equal(mask, whole[:, :5])
        assert set(np.unique(whole)) == {0.0, np.float32(gains[0, number])}
