"""Optimizers by their update rules, the schedule by its formula, L1 as the Lasso has it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from hptune.spec.settings import SETTINGS
from hptune.training.optimizers import WarmupCosine, make_optimizer, shrink_kernels

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

DEFAULTS = {key: setting.default for key, setting in SETTINGS.items()}


def steps(gradients: list[list[float]], **changed: Any) -> np.ndarray:
    """Start at (1, 2), take a step for each gradient, and return where each one led."""
    settings = {**DEFAULTS, "training.learning_rate": 0.1, **{f"training.{name}": v for name, v in changed.items()}}
    optimizer = make_optimizer(settings, steps_per_epoch=1)
    weights = keras.Variable([1.0, 2.0])
    path = []
    for gradient in gradients:
        optimizer.apply([np.array(gradient, np.float32)], [weights])
        path.append(weights.numpy())
    return np.array(path)


def test_momentum_carries_on_and_nesterov_looks_ahead() -> None:
    gradients = [[1.0, -2.0], [0.0, 0.0]]

    plain = steps(gradients, optimizer="sgd", momentum=0.5)
    ahead = steps(gradients, optimizer="sgd", momentum=0.5, nesterov=True)

    # Velocity v = momentum v - rate g; Nesterov's step is momentum v - rate g.
    assert plain == pytest.approx(np.array([[0.9, 2.2], [0.85, 2.3]]), rel=1e-6)
    assert ahead == pytest.approx(np.array([[0.85, 2.3], [0.825, 2.35]]), rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_is_decoupled_from_the_gradient(optimizer: str) -> None:
    path = steps([[0.0, 0.0]] * 3, optimizer=optimizer, momentum=0.9, weight_decay=0.5)

    # Were it part of the gradient, momentum or the second moment would make more of it than rate times decay.
    assert path[:, 0] == pytest.approx([0.95, 0.95**2, 0.95**3], rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_goes_down(optimizer: str) -> None:
    path = steps([[1.0, 1.0]], optimizer=optimizer)

    assert (path[0] < [1.0, 2.0]).all()


def test_clipping_bounds_the_norm_over_all_variables_and_keeps_the_direction() -> None:
    clipped = steps([[3.0, -4.0]], optimizer="sgd", momentum=0.0, clip_norm=0.5)
    small = steps([[0.3, -0.1]], optimizer="sgd", momentum=0.0, clip_norm=0.5)

    assert clipped[0] == pytest.approx([1 - 0.1 * 0.3, 2 + 0.1 * 0.4], rel=1e-6)
    assert small[0] == pytest.approx([1 - 0.1 * 0.3, 2 + 0.1 * 0.1], rel=1e-6)


def test_warmup_is_a_share_of_all_steps() -> None:
    path = steps([[1.0, 1.0]] * 4, optimizer="sgd", momentum=0.0, warmup=0.5, epochs=4)

    assert -np.diff(path[:, 0], prepend=1.0) == pytest.approx([0.05, 0.1, 0.1, 0.1], rel=1e-5)


def test_the_proximal_step_solves_the_lasso() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(200, 8)).astype(np.float32)
    y = x @ np.array([3, -2, 1, 0, 0, 0, 0, 0.2], np.float32) + generator.normal(0, 0.1, 200).astype(np.float32)
    l1 = 0.8
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, use_bias=False)])
    settings = {**DEFAULTS, "training.optimizer": "sgd", "training.learning_rate": 0.1, "training.momentum": 0.0}
    optimizer = make_optimizer(settings, steps_per_epoch=1)
    model.compile(optimizer, "mse", jit_compile=False)
    shrink_kernels(model, optimizer, l1)

    for _ in range(300):
        model.train_on_batch(x, y[:, None])

    # Keras minimizes the mean of squares plus l1 |w|; scikit-learn half of that mean plus alpha |w|.
    expected = Lasso(alpha=l1 / 2, fit_intercept=False, tol=1e-10).fit(x.astype(float), y.astype(float)).coef_
    found = model.layers[0].kernel.numpy()[:, 0]
    assert found == pytest.approx(expected, abs=1e-4)
    assert np.array_equal(found == 0, expected == 0)


def test_the_schedule_rises_and_falls_by_its_formula() -> None:
    schedule = WarmupCosine(peak=2.0, warmup_steps=4, total_steps=12, is_cosine=True)

    rates = [float(schedule(step)) for step in range(13)]

    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[4:] == pytest.approx([1 + np.cos(np.pi * step / 8) for step in range(9)], abs=1e-6)


def test_the_shrinking_follows_the_schedule() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    settings = {
        **DEFAULTS,
        "training.optimizer": "sgd",
        "training.momentum": 0.0,
        "training.learning_rate": 0.1,
        "training.warmup": 0.5,
        "training.epochs": 4,
    }
    optimizer = make_optimizer(settings, steps_per_epoch=1)
    model.compile(optimizer, "mse", jit_compile=False)
    shrink_kernels(model, optimizer, 1.0)

    weights = []
    for _ in range(4):
        # Inputs of zero: no gradient moves the weight, only the proximal step does.
        model.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)
        weights.append(float(model.layers[0].kernel.numpy()[0, 0]))

    assert weights == pytest.approx([0.95, 0.85, 0.75, 0.65])
