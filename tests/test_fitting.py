"""One trial through Keras: reproducible to the bit, stopped where it should, honest about its score."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from hptune.data.arrays import write_arrays
from hptune.errors import RunDamagedError
from hptune.metrics import reported_metrics
from hptune.models.blocks import Inputs
from hptune.models.catalogue import build_model
from hptune.objective import Objective
from hptune.spec.settings import SETTINGS
from hptune.training.fitting import fit, restore_model
from hptune.training.job import Fitted, Job
from hptune.training.predicting import Predictor, Rows
from hptune.training.workers import remove_generated_files
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


def make_job(folder: Path, task: str = "multiclass", **changed: Any) -> Job:
    """Write a small learnable table as arrays, and say how to train on it."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 77), ("validation", 30)):
        numeric = generator.normal(size=(count, 3)).astype(np.float32)
        codes = generator.integers(1, 4, (count, 1)).astype(np.int32)
        score = numeric[:, 0] - numeric[:, 1] + 0.5 * codes[:, 0]
        target = {
            "binary": (score > 1).astype(np.int32),
            "multiclass": np.digitize(score, [0.3, 1.6]).astype(np.int32),
            "regression": ((score - 1) / 1.5).astype(np.float32),
        }[task]
        truth = target.astype(np.float64) * 30 + 20 if task == "regression" else target
        arrays |= {f"{part}.numeric": numeric, f"{part}.codes": codes, f"{part}.target": target, f"{part}.truth": truth}
    write_arrays(folder / "arrays", arrays)
    (folder / "trial").mkdir(exist_ok=True)
    objective, labels, positive = TASKS[task]
    scale = (20.0, 30.0) if task == "regression" else None
    settings = {**DEFAULTS, **SHORT, **changed}
    return Job(
        settings,
        7,
        folder / "arrays",
        3,
        (4,),
        task,
        labels,
        positive,
        objective,
        scale,
        folder / "trial",
        "trials/0000",
    )  # type: ignore[arg-type]


def run(job: Job) -> tuple[Fitted, list[tuple[int, float]]]:
    seen: list[tuple[int, float]] = []
    return fit(job, lambda epoch, score: seen.append((epoch, score)) or ""), seen


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("categorical", ["one_hot", "embedding"])
def test_the_stored_score_is_the_score_of_the_stored_weights_to_the_bit(
    task: str, categorical: str, tmp_path: Path
) -> None:
    job = make_job(tmp_path, task, **{"data.preparation.categorical": categorical, "model.dropout": 0.2})

    fitted, seen = run(job)

    assert fitted.outcome is Outcome.COMPLETED
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    validation = Rows.open(job, "validation")
    predictions = Predictor(restore_model(job, tmp_path / "trial" / "weights.npz"), job)(validation)
    stored = np.load(tmp_path / "trial" / "predictions.npy")
    assert np.array_equal(predictions, stored)
    scale = job.target_scale[1] if job.target_scale else 1.0
    figures = reported_metrics(job.task, validation.truth, stored, job.positive, scale)
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


@pytest.mark.long
def test_fresh_processes_give_the_same_bytes_and_restore_each_others_weights(tmp_path: Path) -> None:
    program = """
import pathlib, pickle, sys
import numpy as np
from hptune.training.fitting import fit, restore_model
from hptune.training.predicting import Predictor, Rows

with open(sys.argv[1], "rb") as stream:
    job = pickle.load(stream)
fit(job, lambda epoch, score: None)
if len(sys.argv) > 2:
    other = pathlib.Path(sys.argv[2])
    predictions = Predictor(restore_model(job, other / "weights.npz"), job)(Rows.open(job, "validation"))
    assert np.array_equal(predictions, np.load(other / "predictions.npy"))
"""
    settings = {"model.dropout": 0.3, "model.batch_norm": "before", "data.preparation.categorical": "embedding"}
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "job").write_bytes(pickle.dumps(make_job(folder, **settings)))
    one, two = folders
    for arguments in ([one / "job"], [two / "job", one / "trial"]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, timeout=120, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    first, second = (np.load(folder / "trial" / "weights.npz") for folder in folders)
    assert all(np.array_equal(first[key], second[key]) for key in first.files)
    for name in ("predictions.npy", "curve.json"):
        assert (one / "trial" / name).read_bytes() == (two / "trial" / name).read_bytes()


SGD = {"training.optimizer": "sgd"}
EMBEDDED = {"data.preparation.categorical": "embedding"}
# For each setting: what it is tried with, and a value that is not its default.
EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "model.input_batch_norm": ({}, True),
    "model.blocks": ({}, 1),
    "model.units": ({}, 9),
    "model.activation": ({}, "tanh"),
    "model.batch_norm": ({}, "after"),
    "model.residual": ({}, True),
    "model.dropout": ({}, 0.5),
    "model.input_dropout": ({}, 0.5),
    "model.l1": ({}, 0.5),
    "model.l2": ({}, 0.5),
    "model.bias_l2": ({}, 5.0),
    "model.embedding": (EMBEDDED, 2),
    "training.optimizer": ({}, "rmsprop"),
    "training.learning_rate": ({}, 0.02),
    "training.momentum": (SGD, 0.5),
    "training.nesterov": (SGD, True),
    "training.weight_decay": (SGD, 0.1),
    "training.clip_norm": ({}, 0.01),
    "training.batch_size": ({}, 7),
    "training.epochs": ({}, 3),
    "training.schedule": ({}, "cosine"),
    "training.warmup": ({}, 0.5),
    "training.early_stopping": ({}, {"patience": 1, "min_delta": 1.0}),
    "training.label_smoothing": ({}, 0.2),
    "training.class_weight": ({}, "balanced"),
    "data.preparation.categorical": ({}, "embedding"),
}
# There is one model type, numbers are prepared before a trial begins, and who trains is decided before.
READ_ELSEWHERE = {"model.type", "data.preparation.numeric", "training.engine"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], tuple[int, bytes]]:
    """Train with some settings changed; epochs and predictions, trained once for equal settings."""
    known: dict[str, tuple[int, bytes]] = {}

    def train(settings: dict[str, Any]) -> tuple[int, bytes]:
        name = json.dumps(settings, sort_keys=True)
        if name not in known:
            folder = tmp_path_factory.mktemp("outcome")
            fitted, _ = run(make_job(folder, **settings))
            assert fitted.outcome is Outcome.COMPLETED
            known[name] = fitted.epochs, (folder / "trial" / "predictions.npy").read_bytes()
        return known[name]

    return train


def test_the_effect_of_every_setting_is_tested() -> None:
    assert set(EFFECTS) | READ_ELSEWHERE == set(SETTINGS)


@pytest.mark.parametrize("key", EFFECTS)
def test_every_setting_has_an_effect_of_its_own(key: str, outcome: Callable[[dict[str, Any]], Any]) -> None:
    together, value = EFFECTS[key]

    assert outcome({**together, key: value}) != outcome(together)


def test_classes_are_weighed_by_their_labels(outcome: Callable[[dict[str, Any]], Any]) -> None:
    ones, other = ({"training.class_weight": {"a": 1.0, "b": weight, "c": 1.0}} for weight in (1.0, 5.0))

    assert outcome(ones) == outcome({})
    assert outcome(other) != outcome({})


def test_it_is_keras_model_fit_with_the_same_row_order(tmp_path: Path) -> None:
    import tensorflow as tf

    job = make_job(tmp_path, **{"training.early_stopping": None, "model.batch_norm": "before", "model.residual": True})
    run(job)
    model = build_model(job.settings, Inputs(3, (4,)), 3, job.seed)
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    predictions = []
    arrays = np_arrays(job)
    for epoch in range(4):
        order = tf.random.experimental.stateless_shuffle(tf.range(77), seed=[job.seed, epoch]).numpy()
        x = {"numeric": arrays["train.numeric"][order], "codes": arrays["train.codes"][order]}
        model.fit(x, arrays["train.target"][order], batch_size=16, shuffle=False, verbose=0)
        predictions.append(Predictor(model, job)(Rows.open(job, "validation")))

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
    assert fitted.message.startswith("the model cannot be built: block_1: Received an invalid value for `units`")


def test_l1_makes_zeros_that_are_zeros(tmp_path: Path) -> None:
    run(make_job(tmp_path, **{"model.l1": 1.0, "training.learning_rate": 0.01, "training.epochs": 20}))

    weights = np.load(tmp_path / "trial" / "weights.npz")
    kernels = [weights[name] for name in weights.files if name.endswith("kernel")]
    biases = [weights[name] for name in weights.files if name.endswith("bias")]
    assert sum((kernel == 0).sum() for kernel in kernels) > 0.2 * sum(kernel.size for kernel in kernels)
    assert all(np.any(bias != 0) for bias in biases)


def test_probabilities_near_certainty_keep_their_rest(tmp_path: Path) -> None:
    job = make_job(tmp_path, "binary", **{"model.blocks": 0})
    model = restore_untrained(job)
    model.get_layer("output").bias.assign([20.0])
    model.get_layer("output").kernel.assign(np.zeros_like(model.get_layer("output").kernel))

    predictions = Predictor(model, job)(Rows.open(job, "validation"))

    assert predictions[0] == pytest.approx([np.exp(-20.0), 1.0], rel=1e-6)


def restore_untrained(job: Job) -> keras.Model:
    return build_model(job.settings, Inputs(3, (4,)), 1, job.seed)


def test_the_step_is_traced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traced.append(1) or step(model, data))

    run(make_job(tmp_path, **{"training.optimizer": "adamw", "model.l1": 1e-4, "training.warmup": 0.1}))

    assert len(traced) == 1


SETTINGS_TO_PAUSE = {
    "plain": {},
    "everything": {
        "model.dropout": 0.3,
        "model.input_dropout": 0.1,
        "model.batch_norm": "after",
        "model.input_batch_norm": True,
        "model.l1": 1e-3,
        "training.optimizer": "adamw",
        "training.weight_decay": 1e-2,
        "training.clip_norm": 1.0,
        "training.schedule": "cosine",
        "training.warmup": 0.2,
        "training.class_weight": "balanced",
    },
    "momentum": {"training.optimizer": "sgd", "training.nesterov": True, "training.warmup": 0.5},
    "rmsprop with embeddings": {"training.optimizer": "rmsprop", "data.preparation.categorical": "embedding"},
    "patience": {"training.early_stopping": {"patience": 2, "min_delta": 0.0}, "training.learning_rate": 0.1},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name == "everything" else ()) for name in SETTINGS_TO_PAUSE]
)
def test_a_trial_that_paused_goes_on_to_the_bit_as_if_it_had_not(name: str, tmp_path: Path) -> None:
    settings = {"training.epochs": 9, **SETTINGS_TO_PAUSE[name]}
    straight, epochs = run(make_job(tmp_path, **settings))
    state, seen = None, []

    for until in (2, 5, None):
        folder = tmp_path / f"until-{until}"
        folder.mkdir()
        job = dataclasses.replace(make_job(tmp_path, **settings), until=until, state=state, folder=folder)
        paused, more = run(job)
        seen += more
        state = folder / "state.npz"
        if paused.outcome is not Outcome.PAUSED:
            break
        assert (until, paused.epochs) == (until, until)
        assert [file.name.rpartition("/")[2] for file in paused.files][-1] == "state.npz"

    assert seen == epochs
    assert (paused.outcome, paused.score, paused.epochs) == (straight.outcome, straight.score, straight.epochs)
    with np.load(folder / "weights.npz") as ours, np.load(tmp_path / "trial" / "weights.npz") as theirs:
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs.files)
    for file in ("predictions.npy", "curve.json"):
        assert (folder / file).read_bytes() == (tmp_path / "trial" / file).read_bytes()


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    run(dataclasses.replace(make_job(tmp_path), until=2))

    other = make_job(tmp_path, **{"model.batch_norm": "after"})
    with pytest.raises(RunDamagedError, match="expected the state of"):
        run(dataclasses.replace(other, state=tmp_path / "trial" / "state.npz"))


def test_a_trial_that_is_ended_from_outside_keeps_what_it_reached(tmp_path: Path) -> None:
    fitted = fit(make_job(tmp_path), lambda epoch, score: "time is over" if epoch == 2 else "")

    assert (fitted.outcome, fitted.epochs) == (Outcome.TIMEOUT, 2)
    assert fitted.message == "stopped after epoch 2: time is over"
    assert fitted.score == fitted.metrics["accuracy"]
    assert (tmp_path / "trial" / "weights.npz").exists()


def test_a_linear_model_under_l1_is_scikit_learns_lasso(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(200, 8)).astype(np.float32)
    y = (x @ [1.5, -1.0, 0.4, 0.05, 0, 0, 0, 0] + 0.3 * generator.normal(size=200)).astype(np.float32)
    job = make_job(
        tmp_path,
        "regression",
        **{
            "model.blocks": 0,
            "model.l1": 0.2,
            "training.optimizer": "sgd",
            "training.momentum": 0.0,
            "training.learning_rate": 0.2,
            "training.batch_size": 200,
            "training.epochs": 120,
            "training.early_stopping": None,
        },
    )
    arrays = {}
    for part in ("train", "validation"):
        nothing = np.zeros((200, 0), np.int32)
        arrays |= {f"{part}.numeric": x, f"{part}.codes": nothing, f"{part}.target": y, f"{part}.truth": y}
    write_arrays(job.arrays, arrays)
    job = dataclasses.replace(job, numeric_width=8, vocabulary_sizes=(), target_scale=(0.0, 1.0), keeps_last=True)

    run(job)

    # The loss is the mean square, of which scikit-learn takes half.
    lasso = Lasso(alpha=0.1, tol=1e-8).fit(x.astype(float), y.astype(float))
    with np.load(job.folder / "weights.npz") as stored:
        (kernel,) = [stored[name] for name in stored.files if name.endswith("/kernel")]
        (bias,) = [stored[name] for name in stored.files if name.endswith("/bias")]
    assert kernel[:, 0] == pytest.approx(lasso.coef_, abs=1e-5)
    assert bias[0] == pytest.approx(lasso.intercept_, abs=1e-5)
    # Zeros are zeros, and the same ones.
    assert ((kernel[:, 0] == 0) == (lasso.coef_ == 0)).all()
    assert 3 <= (kernel == 0).sum() <= 5


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    run(make_job(tmp_path))
    generated = [Path(str(module.__file__)) for name, module in list(sys.modules.items()) if "autograph_gen" in name]
    assert any(path.exists() for path in generated)

    remove_generated_files()

    assert not any(path.exists() for path in generated)
