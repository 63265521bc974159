"""The examination that every network must pass, and what each setting of the model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hptune.models.blocks import Inputs
from hptune.models.catalogue import MODEL_TYPES, build_model
from hptune.spec.settings import ACTIVATIONS, SETTINGS

pytestmark = [
    pytest.mark.tensorflow,
    # Keras hands NumPy arrays to TensorFlow in a way that NumPy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

DEFAULTS = {key: setting.default for key, setting in SETTINGS.items()}
MIXED = Inputs(numeric=3, vocabulary_sizes=(4, 7))
NUMBERS = Inputs(numeric=3, vocabulary_sizes=())
WORDS = Inputs(numeric=0, vocabulary_sizes=(5,))


def build(inputs: Inputs = MIXED, outputs: int = 2, seed: int = 1, **settings: Any) -> keras.Model:
    changed = {
        f"model.{name}" if name != "categorical" else "data.preparation.categorical": v for name, v in settings.items()
    }
    return build_model({**DEFAULTS, "model.units": 8, **changed}, inputs, outputs, seed)


def rows(inputs: Inputs, count: int = 5) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    given: dict[str, np.ndarray] = {}
    if inputs.numeric:
        given["numeric"] = generator.normal(size=(count, inputs.numeric)).astype("float32")
    if inputs.vocabulary_sizes:
        given["codes"] = np.stack([generator.integers(0, n, count) for n in inputs.vocabulary_sizes], 1).astype("int32")
    return given


CASES: list[tuple[Inputs, int, dict[str, Any]]] = [
    (MIXED, 1, {}),
    (MIXED, 3, {"categorical": "embedding", "residual": True, "batch_norm": "before", "dropout": 0.3}),
    (MIXED, 3, {"categorical": "embedding", "embedding": 2, "batch_norm": "after", "input_batch_norm": True}),
    (NUMBERS, 2, {"blocks": 0, "l2": 0.1, "bias_l2": 0.1, "input_dropout": 0.2}),
    (NUMBERS, 2, {"blocks": 3, "units.1": 4, "units.2": 6, "units.3": 6, "dropout.2": 0.5, "residual": True}),
    (WORDS, 1, {"blocks": 1, "activation": "gelu"}),
]


@pytest.mark.parametrize("kind", MODEL_TYPES)
@pytest.mark.parametrize(("inputs", "outputs", "settings"), CASES)
def test_a_network_builds_saves_loads_and_trains(
    kind: str, inputs: Inputs, outputs: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = build(inputs, outputs, type=kind, **settings)
    given = rows(inputs)

    before = model.predict(given, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    model.compile("sgd", "mse", jit_compile=False)
    loss = model.fit(given, np.zeros((5, outputs)), verbose=0).history["loss"][0]

    assert before.shape == (5, outputs)
    assert np.array_equal(loaded.predict(given, verbose=0), before)
    assert np.isfinite(loss)
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_weights_depend_on_the_seed_alone() -> None:
    settings = {"categorical": "embedding", "residual": True}
    first, second, other = (build(seed=seed, **settings).get_weights() for seed in (1, 1, 2))

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_dropout_changes_no_initial_weights() -> None:
    without = build(blocks=3, units=8).get_weights()
    with_some = build(blocks=3, units=8, input_dropout=0.2, **{"dropout.1": 0.1, "dropout.3": 0.4}).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(without, with_some, strict=True))


def test_masks_differ_between_places_and_do_not_depend_on_each_other() -> None:
    def masks(**settings: float) -> dict[str, int]:
        layers = build(blocks=2, units=8, **settings).layers
        return {layer.name: layer.seed for layer in layers if isinstance(layer, keras.layers.Dropout)}

    every = masks(input_dropout=0.2, dropout=0.2)
    assert len(set(every.values())) == 3
    assert masks(**{"dropout.2": 0.2}) == {"block_2_dropout": every["block_2_dropout"]}


def test_no_two_layers_share_their_initial_weights() -> None:
    model = build(NUMBERS, outputs=8, blocks=3, units=8)
    kernels = [layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.Dense)][1:]

    assert all(not np.array_equal(a, b) for i, a in enumerate(kernels) for b in kernels[:i])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_builds(activation: str) -> None:
    output = build(NUMBERS, blocks=1, activation=activation)(rows(NUMBERS))

    assert np.isfinite(np.asarray(output)).all()


@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
def test_a_category_never_seen_says_nothing(categorical: str) -> None:
    model = build(WORDS, outputs=3, blocks=0, categorical=categorical)

    output = model({"codes": np.array([[0]], "int32")})

    # A linear model of zeros is its bias, which begins at zero.
    assert np.asarray(output).tolist() == [[0, 0, 0]]


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_each_setting_changes_the_network() -> None:
    plain = build(NUMBERS, blocks=1)

    assert kinds(plain) == ["InputLayer", "Dense", "Activation", "Dense"]
    assert kinds(build(NUMBERS, blocks=0)) == ["InputLayer", "Dense"]
    assert kinds(build(NUMBERS, blocks=1, batch_norm="before"))[1:4] == ["Dense", "BatchNormalization", "Activation"]
    assert kinds(build(NUMBERS, blocks=1, batch_norm="after"))[1:4] == ["Dense", "Activation", "BatchNormalization"]
    assert kinds(build(NUMBERS, blocks=1, input_batch_norm=True))[1] == "BatchNormalization"
    assert kinds(build(NUMBERS, blocks=1, input_dropout=0.1))[1] == "Dropout"
    assert kinds(build(NUMBERS, blocks=1, dropout=0.1))[3] == "Dropout"
    assert kinds(build(NUMBERS, blocks=2, **{"dropout.2": 0.1})).count("Dropout") == 1
    assert build(NUMBERS, **{"units.1": 5}).get_layer("block_1_dense").units == 5
    assert build(NUMBERS, l2=0.25).get_layer("output").kernel_regularizer.l2 == pytest.approx(0.25)
    assert build(NUMBERS, bias_l2=0.5).get_layer("block_1_dense").bias_regularizer.l2 == pytest.approx(0.5)
    assert build(NUMBERS, activation="tanh").get_layer("block_1_activation").activation is keras.activations.tanh
    assert build(WORDS, categorical="embedding", embedding=3).get_layer("embedding_1").output_dim == 3


def test_a_network_that_keras_refuses_names_the_layer() -> None:
    with pytest.raises(ValueError, match=r"^block_2: Received an invalid value for `units`"):
        build(NUMBERS, blocks=3, **{"units.2": 0})


def test_a_residual_block_projects_where_widths_differ_and_only_there() -> None:
    model = build(NUMBERS, blocks=2, residual=True)

    names = [layer.name for layer in model.layers]
    assert "block_1_projection" in names
    assert "block_2_projection" not in names
    assert not model.get_layer("block_1_projection").use_bias
