"""One trial through `keras.Model.fit`, in the current process.

Equal jobs give equal bytes: weights, dropout and the order of rows come from the seed, one thread computes, and every
score is computed with one fixed evaluation batch size, so that a stored score is the score of the stored weights.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hptune.data.arrays import open_arrays
from hptune.errors import DataError
from hptune.metrics import compute_metrics, missing_metric, reported_metrics
from hptune.models.blocks import Inputs
from hptune.models.catalogue import build_model
from hptune.run.files import describe_file, write_file, write_text
from hptune.run.folder import CURVE, PREDICTIONS, STATE, WEIGHTS
from hptune.training.job import Fitted, Job, OnEpoch
from hptune.training.memory import Memory, load_state, save_state
from hptune.training.optimizers import make_optimizer, shrink_kernels
from hptune.training.predicting import Floats, Part, Predictor
from hptune.trial import Outcome, StoredFile

ENGINE = "keras"
_SHOWN_ERROR = 1000


def configure_runtime() -> None:
    """Make this process compute with one thread and reproducibly; before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def fit(job: Job, on_epoch: OnEpoch) -> Fitted:
    """Train one trial.

    Args:
        job: What to train; `weights.npz`, `predictions.npy` (validation rows at the best epoch: float32 probabilities
            or values in the original unit) and `curve.json` are written to its folder.
        on_epoch: Called after each epoch with its number, from 1, and the objective on validation rows; a text that
            it returns ends training, and the trial keeps what it has reached.

    Returns:
        How it went; a configuration that cannot be built is infeasible, one that reaches NaN or infinity diverged, one
        that may go on after `job.until` paused, one that was ended from outside timed out.
    """
    configure_runtime()
    arrays = open_arrays(job.arrays)
    try:
        train, validation = Part(arrays, "train"), Part(arrays, "validation")
        model = _build(job)
    except (ValueError, TypeError) as error:
        return Fitted(Outcome.INFEASIBLE, ENGINE, message=f"the model cannot be built: {str(error)[:_SHOWN_ERROR]}")
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return Fitted(Outcome.OUT_OF_MEMORY, ENGINE, message="rows and model do not fit into memory")
    watch = _Watch(job, model, train, validation, on_epoch)
    weights = sum(math.prod(variable.shape) for variable in model.weights)
    try:
        optimizer = _train(job, model, train, watch)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        epochs = len(watch.memory.curve)
        message = f"out of memory after epoch {epochs}"
        return Fitted(Outcome.OUT_OF_MEMORY, ENGINE, epochs=epochs, weights=weights, message=message)
    memory = watch.memory
    epochs = len(memory.curve)
    if watch.trouble:
        # Its best epoch was on the way to infinity: only the curve is kept.
        files = _describe(job, [_store_curve(job, memory)])
        return Fitted(Outcome.DIVERGED, ENGINE, epochs=epochs, weights=weights, files=files, message=watch.trouble)
    outcome = Outcome.TIMEOUT if watch.ended_by else Outcome.PAUSED if watch.may_go_on else Outcome.COMPLETED
    metrics = {f"train_{name}": value for name, value in memory.best_train.items()}
    scale = job.target_scale[1] if job.target_scale else 1.0
    metrics.update(reported_metrics(job.task, validation.truth, memory.best_predictions, job.positive, scale))
    return Fitted(
        outcome,
        ENGINE,
        score=metrics[job.objective.metric],
        metrics=metrics,
        best_epoch=memory.best_epoch,
        epochs=epochs,
        weights=weights,
        files=_store(job, model, memory, optimizer if outcome is Outcome.PAUSED else None),
        message=f"stopped after epoch {epochs}: {watch.ended_by}" if watch.ended_by else "",
    )


def restore_model(job: Job, weights: Path) -> keras.Model:
    """Build the network of a job and give it stored weights.

    Args:
        job: What was trained.
        weights: The file that `fit` wrote.
    """
    model = _build(job)
    with np.load(weights, allow_pickle=False) as stored:
        for variable in model.weights:
            variable.assign(stored[variable.path])
    return model


def _build(job: Job) -> keras.Model:
    inputs = Inputs(job.numeric_width, job.vocabulary_sizes)
    outputs = len(job.labels) if job.task == "multiclass" else 1
    return build_model(job.settings, inputs, outputs, job.seed)


def _train(job: Job, model: keras.Model, train: Part, watch: _Watch) -> keras.optimizers.Optimizer:
    """Train from the first epoch, or from where the trial paused."""
    settings = job.settings
    steps = math.ceil(train.rows / settings["training.batch_size"])
    optimizer = make_optimizer(settings, steps)
    model.compile(optimizer, loss=_make_loss(job), jit_compile=False, steps_per_execution=steps)
    # Variables that come into being while TensorFlow traces make it trace the whole step twice.
    optimizer.build(model.trainable_variables)
    shrink_kernels(model, optimizer, settings["model.l1"])
    if job.state is not None:
        watch.memory = load_state(job.state, model, optimizer)
    done = len(watch.memory.curve)
    model.fit(
        _batches(job, train, done),
        initial_epoch=done,
        epochs=job.last_epoch,
        steps_per_epoch=steps,
        callbacks=[watch],
        verbose=0,
        shuffle=False,
    )
    return optimizer


def _make_loss(job: Job) -> keras.losses.Loss:
    smoothing = job.settings["training.label_smoothing"]
    match job.task:
        case "regression":
            return keras.losses.MeanSquaredError()
        case "binary":
            return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        case _:
            return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)


def _batches(job: Job, train: Part, done: int) -> tf.data.Dataset:
    """Yield mini-batches of the epochs after `done`; an epoch's order of rows is a function of (seed, epoch) alone."""
    size = job.settings["training.batch_size"]
    whole = train.rows // size * size
    target = tf.constant(_targets(job, train))
    weights = tf.constant(_row_weights(job, train)) if job.settings["training.class_weight"] != "none" else None

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.random.experimental.stateless_shuffle(tf.range(train.rows), seed=tf.stack([job.seed, epoch]))
        batches = tf.data.Dataset.from_tensor_slices(tf.reshape(rows[:whole], (-1, size)))
        if whole == train.rows:
            return batches
        return batches.concatenate(tf.data.Dataset.from_tensors(rows[whole:]))

    def gather(rows: tf.Tensor) -> tuple[Any, ...]:
        inputs = {name: tf.gather(array, rows) for name, array in train.inputs.items()}
        batch = (inputs, tf.gather(target, rows))
        return batch if weights is None else (*batch, tf.gather(weights, rows))

    return tf.data.Dataset.range(done, job.last_epoch).flat_map(order).map(gather)


def _targets(job: Job, train: Part) -> Floats:
    if job.task == "multiclass":
        one_hot: Floats = np.eye(len(job.labels), dtype=np.float32)[train.target]
        return one_hot
    column: Floats = train.target.astype(np.float32).reshape(-1, 1)
    return column


def _row_weights(job: Job, train: Part) -> Floats:
    """Weigh rows by class; `balanced` is rows / (classes * rows of the class), as scikit-learn has it."""
    setting = job.settings["training.class_weight"]
    if setting == "balanced":
        counts = np.bincount(train.target, minlength=len(job.labels))
        by_class = train.rows / (len(job.labels) * np.maximum(counts, 1))
    else:
        by_label = {str(label): weight for label, weight in setting.items()}
        by_class = np.array([by_label[label] for label in job.labels])
    weights: Floats = by_class.astype(np.float32)[train.target]
    return weights


class _Watch(keras.callbacks.Callback):
    """Scores each epoch, remembers the best one, stops early, and sees divergence."""

    def __init__(self, job: Job, model: keras.Model, train: Part, validation: Part, on_epoch: OnEpoch) -> None:
        super().__init__()
        self.memory = Memory()
        self.trouble = ""
        self.ended_by = ""
        self.may_go_on = False
        self._job = job
        self._network = model
        self._parts = {"train": train, "validation": validation}
        self._truths = {name: part.truth for name, part in self._parts.items()}
        self._predict = Predictor(model, job)
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Score, remember, decide."""
        number = epoch + 1
        predictions = {name: self._predict(part) for name, part in self._parts.items()}
        if not all(np.isfinite(values).all() for values in predictions.values()):
            return self._stop(f"epoch {number}: predictions are not finite; a smaller learning rate may help")
        trained_loss = float((logs or {}).get("loss", 0.0))
        scores = {name: self._score(name, values) for name, values in predictions.items()}
        metric = self._job.objective.metric
        if metric not in scores["validation"]:
            raise DataError(missing_metric(scores["validation"], metric))
        score = scores["validation"][metric]
        if not (math.isfinite(score) and math.isfinite(trained_loss)):
            return self._stop(f"epoch {number}: the loss is {trained_loss}, {metric} is {score}")
        memory = self.memory
        memory.curve.append(
            {
                "epoch": number,
                **{f"train_{name}": value for name, value in scores["train"].items()},
                **{f"validation_{name}": value for name, value in scores["validation"].items()},
            }
        )
        if self._job.objective.is_better(score, memory.best_score):
            memory.best_score, memory.best_epoch = score, number
            memory.best_weights = [variable.numpy() for variable in self._network.weights]
            memory.best_predictions, memory.best_train = predictions["validation"], scores["train"]
        is_content = self._is_content(score)
        self.may_go_on = not is_content and number == self._job.last_epoch < self._job.epochs
        self.ended_by = self._on_epoch(number, score)
        if number == self._job.last_epoch:
            self.ended_by = ""  # It would have ended here anyway.
        if self.ended_by or is_content:
            self._network.stop_training = True
        return None

    def _score(self, part: str, predictions: Floats) -> dict[str, float]:
        scale = self._job.target_scale[1] if self._job.target_scale else 1.0
        return compute_metrics(self._job.task, self._truths[part], predictions, self._job.positive, scale)

    def _is_content(self, score: float) -> bool:
        """Tell whether patience is at its end."""
        rule = self._job.settings["training.early_stopping"]
        if rule is None:
            return False
        memory = self.memory
        if self._job.objective.is_better(score, memory.best_for_patience, by=rule["min_delta"]):
            memory.best_for_patience, memory.waited = score, 0
            return False
        memory.waited += 1
        return bool(memory.waited >= rule["patience"])

    def _stop(self, trouble: str) -> None:
        self.trouble = trouble
        self._network.stop_training = True


def _store(
    job: Job, model: keras.Model, memory: Memory, optimizer: keras.optimizers.Optimizer | None
) -> tuple[StoredFile, ...]:
    """Write what is kept of a trial, each file whole or not at all; with an optimizer, also what it needs to go on."""
    by_path = {variable.path: values for variable, values in zip(model.weights, memory.best_weights, strict=True)}
    write_file(job.folder / WEIGHTS, lambda stream: np.savez(stream, allow_pickle=False, **by_path))
    write_file(job.folder / PREDICTIONS, lambda stream: np.save(stream, memory.best_predictions))
    names = [_store_curve(job, memory), WEIGHTS, PREDICTIONS]
    if optimizer is not None:
        save_state(job.folder / STATE, memory, model, optimizer)
        names.append(STATE)
    return _describe(job, names)


def _store_curve(job: Job, memory: Memory) -> str:
    write_text(job.folder / CURVE, json.dumps({"schema": 1, "epochs": memory.curve}) + "\n")
    return CURVE


def _describe(job: Job, names: list[str]) -> tuple[StoredFile, ...]:
    return tuple(describe_file(job.folder / name, f"{job.prefix}/{name}") for name in names)
