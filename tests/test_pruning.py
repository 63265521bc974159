"""Pruned networks compute the same with fewer weights; what is added to a trunk stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

SETTINGS: dict[str, Any] = {
    "model.type": "mlp",
    "model.input_batch_norm": True,
    "model.input_dropout": 0.1,
    "model.blocks": 3,
    "model.units": 8,
    "model.activation": "relu",
    "model.batch_norm": "none",
    "model.residual": False,
    "model.dropout": 0.1,
    "model.l2": 0.0,
    "model.bias_l2": 0.0,
    "model.embedding": "auto",
    "data.preparation.categorical": "embedding",
}


def build(**changes: Any) -> Any:
    """Build a network whose weights and statistics are those of no initializer."""
    from hptune.models.blocks import Inputs
    from hptune.models.catalogue import build_model

    settings = SETTINGS | {f"model.{name}": value for name, value in changes.items()}
    model = build_model(settings, Inputs(3, (4,)), outputs=2, seed=1)
    generator = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([generator.uniform(0.2, 1.2, array.shape) for array in layer.get_weights()])
    return model


def put_out(model: Any, layer: str, incoming: tuple[int, ...] = (), outgoing: tuple[int, ...] = ()) -> None:
    """Set all weights into, or out of, units of a layer to zero, as L1 does."""
    kernel, *rest = model.get_layer(layer).get_weights()
    kernel[:, list(incoming)] = 0
    kernel[list(outgoing), :] = 0
    model.get_layer(layer).set_weights([kernel, *rest])


def predict(model: Any) -> Any:
    generator = np.random.default_rng(2)
    rows = {"numeric": generator.normal(0, 1, (50, 3)).astype(np.float32), "codes": generator.integers(0, 4, (50, 1))}
    return np.asarray(model(rows, training=False))


def assert_alike(predicted: Any, expected: Any) -> None:
    """Hold within 1e-6 of the largest value: smaller ones come about by subtraction."""
    assert np.abs(predicted - expected).max() <= 1e-6 * np.abs(expected).max()


def units_of(model: Any) -> list[int]:
    import keras

    return [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "selu"])
def test_idle_units_go_and_what_they_gave_is_folded_onwards(batch_norm: str, activation: str) -> None:
    from hptune.deployment.pruning import prune_network

    model = build(batch_norm=batch_norm, activation=activation)
    put_out(model, "block_1_dense", incoming=(0, 3))
    put_out(model, "block_2_dense", incoming=(1,), outgoing=(5,))
    put_out(model, "output", outgoing=(2, 7))
    expected = predict(model)

    pruned = prune_network(model)

    assert units_of(pruned) == [5, 7, 6, 2]
    assert_alike(predict(pruned), expected)
    assert units_of(model) == [8, 8, 8, 2]
    assert pruned.count_params() < model.count_params()


def test_units_that_only_removed_units_read_go_too_and_one_stays() -> None:
    from hptune.deployment.pruning import prune_network

    model = build()
    # Nothing comes into block 2, so that nobody reads block 1.
    put_out(model, "block_2_dense", incoming=tuple(range(8)))
    expected = predict(model)

    pruned = prune_network(model)

    assert units_of(pruned) == [1, 1, 8, 2]
    assert_alike(predict(pruned), expected)


def test_a_residual_trunk_and_joint_activations_stay() -> None:
    from hptune.deployment.pruning import prune_network

    for changes in ({"residual": True}, {"activation": "softmax"}):
        model = build(**changes)
        put_out(model, "block_2_dense", incoming=(1, 2))
        expected = predict(model)

        pruned = prune_network(model)

        assert units_of(pruned) == units_of(model)
        assert_alike(predict(pruned), expected)


def test_a_network_without_idle_units_stays_as_it_is() -> None:
    from hptune.deployment.pruning import prune_network

    model = build(blocks=2, batch_norm="after")

    pruned = prune_network(model)

    assert units_of(pruned) == [8, 8, 2]
    assert (predict(pruned) == predict(model)).all()
