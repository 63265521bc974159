"""One trial through Keras: reproducible to the bit, stopped where it should, honest about its score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from hptune.data.arrays import write_arrays
from hptune.metrics import reported_metrics
from hptune.objective import Objective
from hptune.spec.settings import SETTINGS
from hptune.training.fitting import fit, restore_model
from hptune.training.job import Fitted, Job
from hptune.training.optimizers import WarmupCosine, make_optimizer, shrink_kernels
from hptune.training.predicting import Part, Predictor
from hptune.trial import Outcome

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

DEFAULTS = {key: setting.default for key, setting in SETTINGS.items()}
SHORT = {"model.units": 8, "training.epochs": 4, "training.batch_size": 16}
TASKS = {
    "binary": (Objective("roc_auc", "max"), ("no", "yes"), 1),
    "multiclass": (Objective("accuracy", "max"), ("a", "b", "c"), None),
    "regression": (Objective("rmse", "min"), (), None),
}


@pytest.fixture(autouse=True)
def without_runtime_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads can be set once a process only; workers do it, the process of the tests must not."""
    monkeypatch.setattr("hptune.training.fitting.configure_runtime", lambda: None)


def make_job(folder: Path, task: str = "multiclass", **changed: Any) -> Job:
    """Write a small learnable table as arrays, and say how to train on it."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {"vocabulary_sizes": np.array([4])}
    for part, count in (("train", 77), ("validation", 30)):
        numeric = generator.normal(size=(count, 3)).astype(np.float32)
        codes = generator.integers(1, 4, (count, 1)).astype(np.int32)
        score = numeric[:, 0] - numeric[:, 1] + 0.5 * codes[:, 0]
        target = {
            "binary": (score > 1).astype(np.int32),
            "multiclass": np.digitize(score, [0.3, 1.6]).astype(np.int32),
            "regression": ((score - 1) / 1.5).astype(np.float32),
        }[task]
        arrays |= {f"{part}.numeric": numeric, f"{part}.codes": codes, f"{part}.target": target}
    write_arrays(folder / "arrays", arrays)
    (folder / "trial").mkdir(exist_ok=True)
    objective, labels, positive = TASKS[task]
    scale = (20.0, 30.0) if task == "regression" else None
    settings = {**DEFAULTS, **SHORT, **changed}
    return Job(
        settings, 7, folder / "arrays", task, labels, positive, objective, scale, folder / "trial", "trials/0000"
    )  # type: ignore[arg-type]


def run(job: Job) -> tuple[Fitted, list[tuple[int, float]]]:
    seen: list[tuple[int, float]] = []
    return fit(job, lambda epoch, score: seen.append((epoch, score))), seen


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
def test_the_stored_score_is_the_score_of_the_stored_weights_to_the_bit(
    task: str, categorical: str, tmp_path: Path
) -> None:
    job = make_job(tmp_path, task, **{"data.preparation.categorical": categorical, "model.dropout": 0.2})

    fitted, seen = run(job)

    assert fitted.outcome is Outcome.COMPLETED
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    validation = Part(np_arrays(job), "validation")
    predictions = Predictor(restore_model(job, tmp_path / "trial" / "weights.npz"), job)(validation)
    stored = np.load(tmp_path / "trial" / "predictions.npy")
    assert np.array_equal(predictions, stored)
    scale = job.target_scale[1] if job.target_scale else 1.0
    figures = reported_metrics(job.task, validation.truth(job), stored, job.positive, scale)
    assert fitted.score == figures[job.objective.metric]
    best = max(seen, key=lambda pair: -job.objective.sort_key(pair[1]))
    assert fitted.best_epoch == best[0]
    assert fitted.score == pytest.approx(best[1], rel=1e-12)


def np_arrays(job: Job) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in job.arrays.glob("*.npy")}


def test_the_curve_tells_every_metric_of_both_parts(tmp_path: Path) -> None:
    fitted, _ = run(make_job(tmp_path, "regression"))

    curve = json.loads((tmp_path / "trial" / "curve.json").read_text())
    assert [epoch["epoch"] for epoch in curve["epochs"]] == [1, 2, 3, 4]
    names = {"loss", "mse", "rmse", "mae", "r2"}
    assert set(curve["epochs"][0]) == {
        "epoch",
        *(f"{part}_{name}" for part in ("train", "validation") for name in names),
    }
    assert [Path(file.name).name for file in fitted.files] == ["curve.json", "weights.npz", "predictions.npy"]


def test_fresh_processes_give_the_same_bytes(tmp_path: Path) -> None:
    program = """
import pickle, sys
from hptune.training.fitting import fit
job = pickle.load(open(sys.argv[1], "rb"))
fit(job, lambda epoch, score: None)
"""
    import pickle

    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"model.dropout": 0.3, "model.batch_norm": "before", "data.preparation.categorical": "embedding"}
        job = make_job(folder, **settings)
        (folder / "job").write_bytes(pickle.dumps(job))
        subprocess.run([sys.executable, "-c", program, folder / "job"], check=True, timeout=120, capture_output=True)
        contents.append(
            [np.load(folder / "trial" / "weights.npz"), (folder / "trial" / "predictions.npy").read_bytes()]
        )

    (first, predictions), (second, again) = contents
    assert all(np.array_equal(first[key], second[key]) for key in first.files)
    assert predictions == again


OPTIONS: list[dict[str, Any]] = [
    {"training.optimizer": "adamw", "training.weight_decay": 0.1},
    {"training.optimizer": "sgd", "training.momentum": 0.5, "training.nesterov": True, "training.weight_decay": 0.01},
    {"training.optimizer": "rmsprop"},
    {"training.schedule": "cosine", "training.warmup": 0.3},
    {"training.clip_norm": 0.01},
    {"training.label_smoothing": 0.2},
    {"training.class_weight": "balanced"},
    {"training.class_weight": {"a": 1.0, "b": 5.0, "c": 0.5}},
    {"training.learning_rate": 0.02},
    {"training.batch_size": 7},
    {"model.l1": 0.5},
    {"model.l2": 0.5},
    {"model.bias_l2": 5.0},
    {"model.dropout": 0.5},
    {"model.input_dropout": 0.5},
    {"model.input_batch_norm": True},
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hptune.training.fitting.configure_runtime", lambda: None)
        run(make_job(folder))
    return np.load(folder / "trial" / "predictions.npy")


@pytest.mark.parametrize("settings", OPTIONS, ids=lambda settings: "+".join(settings))
def test_every_setting_has_an_effect(settings: dict[str, Any], plain: np.ndarray, tmp_path: Path) -> None:
    fitted, _ = run(make_job(tmp_path, **settings))

    assert fitted.outcome is Outcome.COMPLETED
    assert not np.array_equal(np.load(tmp_path / "trial" / "predictions.npy"), plain)


def test_it_is_keras_model_fit_with_the_same_row_order(tmp_path: Path) -> None:
    import tensorflow as tf

    job = make_job(tmp_path, **{"training.early_stopping": None, "model.batch_norm": "before", "model.residual": True})
    run(job)
    arrays = np_arrays(job)
    from hptune.models.blocks import Inputs
    from hptune.models.catalogue import build_model

    model = build_model(job.settings, Inputs(3, (4,)), 3, job.seed)
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    predictions = []
    for epoch in range(4):
        order = tf.random.experimental.stateless_shuffle(tf.range(77), seed=[job.seed, epoch]).numpy()
        x = {"numeric": arrays["train.numeric"][order], "codes": arrays["train.codes"][order]}
        model.fit(x, arrays["train.target"][order], batch_size=16, shuffle=False, verbose=0)
        predictions.append(Predictor(model, job)(Part(arrays, "validation")))

    best = np.load(tmp_path / "trial" / "predictions.npy")
    # The dense and the sparse form of the cross-entropy sum in another order.
    assert min(np.abs(candidate - best).max() for candidate in predictions) < 1e-6


def test_early_stopping_watches_the_objective_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    settings = {"training.epochs": 50, "training.early_stopping": {"patience": 2, "min_delta": 1.0}}

    fitted, seen = run(make_job(tmp_path, **settings))

    # The first epoch counts as an improvement, the next two do not improve by a whole 1.
    assert fitted.epochs == len(seen) == 3
    assert fitted.score == pytest.approx(max(score for _, score in seen))


def test_a_trial_that_explodes_has_diverged_and_has_no_score(tmp_path: Path) -> None:
    settings = {"training.optimizer": "sgd", "training.learning_rate": 1e30}

    fitted, _ = run(make_job(tmp_path, "regression", **settings))

    assert (fitted.outcome, fitted.score) == (Outcome.DIVERGED, None)
    assert fitted.message.startswith("epoch 1: predictions are not finite")
    assert [Path(file.name).name for file in fitted.files] == ["curve.json"]


def test_a_network_that_cannot_be_built_is_infeasible(tmp_path: Path) -> None:
    fitted, _ = run(make_job(tmp_path, **{"model.units": -3}))

    assert fitted.outcome is Outcome.INFEASIBLE
    assert "the model cannot be built: Received an invalid value for `units`" in fitted.message


def test_l1_makes_zeros_that_are_zeros(tmp_path: Path) -> None:
    run(make_job(tmp_path, **{"model.l1": 1.0, "training.learning_rate": 0.01, "training.epochs": 20}))

    weights = np.load(tmp_path / "trial" / "weights.npz")
    kernels = [weights[name] for name in weights.files if name.endswith("kernel")]
    biases = [weights[name] for name in weights.files if name.endswith("bias")]
    assert sum((kernel == 0).sum() for kernel in kernels) > 0.2 * sum(kernel.size for kernel in kernels)
    assert all(np.any(bias != 0) for bias in biases)


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
