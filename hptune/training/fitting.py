"""One trial through `keras.Model.fit`, in the current process.

Equal jobs give equal bytes: weights, dropout and the order of rows come from the seed, one thread computes, and every
score is computed with one fixed evaluation batch size, so that a stored score is the score of the stored weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hptune.errors import RunDamagedError
from hptune.models.blocks import Inputs, unit_layers
from hptune.models.catalogue import build_model
from hptune.run.files import describe_file
from hptune.run.folder import STATE
from hptune.training.dials import class_weights
from hptune.training.job import Fitted, Job, OnEpoch
from hptune.training.judge import Judge
from hptune.training.memory import load_state, save_state
from hptune.training.optimizers import make_optimizer, shrink_kernels
from hptune.training.predicting import Floats, Predictor, Rows
from hptune.training.silence import count_silent
from hptune.trial import Outcome, StoredFile

ENGINE = "keras"
_SHOWN_ERROR = 1000


def infeasible(error: Exception, engine: str) -> Fitted:
    """Say that a configuration is one that Keras refuses to build."""
    return Fitted(Outcome.INFEASIBLE, engine, message=f"the model cannot be built: {str(error)[:_SHOWN_ERROR]}")


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
    try:
        rows = {part: Rows.open(job, part) for part in ("train", "sample", "validation")}
        model = build_network(job)
    except (ValueError, TypeError) as error:
        return infeasible(error, ENGINE)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return Fitted(Outcome.OUT_OF_MEMORY, ENGINE, message="rows and model do not fit into memory")
    judge = Judge(job, ENGINE, {"train": rows["sample"].answers, "validation": rows["validation"].answers}, on_epoch)
    watch = _Watch(judge, model, rows["sample"], rows["validation"])
    try:
        optimizer = _train(job, model, rows["train"], watch)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        weights = sum(math.prod(variable.shape) for variable in model.weights)
        message = f"out of memory after epoch {judge.epochs}"
        return Fitted(Outcome.OUT_OF_MEMORY, ENGINE, epochs=judge.epochs, weights=weights, message=message)
    best = dict(watch.best)
    state = _save(job, judge, model, optimizer, best) if judge.is_paused else None
    best = best or _weights_of(model)
    return judge.conclude(best, {} if judge.has_diverged else _count_silent(model, best, rows["sample"]), state)


def _count_silent(model: keras.Model, weights: dict[str, Floats], rows: Rows) -> dict[str, int]:
    """Count units that say the same of every row, with these weights; the model keeps them."""
    for variable in model.weights:
        variable.assign(weights[variable.path])
    outputs = {name: model.get_layer(layer).output for name, layer in unit_layers(model).items()}
    if not outputs:
        return {}
    units = keras.Model(model.input, outputs)

    def say(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: said[None] for name, said in units(inputs, training=False).items()}

    return count_silent(rows.blocks(), say, 1)[0]


def restore_model(job: Job, weights: Path) -> keras.Model:
    """Build the network of a job and give it stored weights.

    Args:
        job: What was trained.
        weights: The file that training wrote.
    """
    model = build_network(job)
    with np.load(weights, allow_pickle=False) as stored:
        for variable in model.weights:
            variable.assign(stored[variable.path])
    return model


def build_network(job: Job, *, every_dropout: bool = False) -> keras.Model:
    """Build the network of a job with its initial weights.

    Args:
        job: What to train.
        every_dropout: Give it each dropout layer that any trial of the search has, and no penalties: what it computes
            is then read from dials.

    Raises:
        ValueError: If Keras refuses a layer; the message names it.
    """
    settings = dict(job.settings)
    if every_dropout:
        settings |= {"model.l2": 0.0, "model.bias_l2": 0.0}
        for name in settings:
            for dial in ("model.dropout", "model.input_dropout"):
                if name == dial or name.startswith(f"{dial}."):
                    settings[name] = 0.5 if dial in job.dials else 0.0
    inputs = Inputs(job.numeric_width, job.vocabulary_sizes)
    outputs = len(job.labels) if job.task == "multiclass" else 1
    return build_model(settings, inputs, outputs, job.seed)


def _train(job: Job, model: keras.Model, train: Rows, watch: _Watch) -> keras.optimizers.Optimizer:
    """Train from the first epoch, or from where the trial paused."""
    settings = job.settings
    steps = math.ceil(train.count / settings["training.batch_size"])
    optimizer = make_optimizer(settings, steps)
    model.compile(optimizer, loss=_make_loss(job), jit_compile=False, steps_per_execution=steps)
    # Variables that come into being while TensorFlow traces make it trace the whole step twice.
    optimizer.build(model.trainable_variables)
    shrink_kernels(model, optimizer, settings["model.l1"])
    if job.state is not None:
        _load(job.state, model, optimizer, watch)
    done = watch.judge.epochs
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


def _batches(job: Job, train: Rows, done: int) -> tf.data.Dataset:
    """Yield mini-batches of the epochs after `done`; an epoch's order of rows is a function of (seed, epoch) alone."""
    size = job.settings["training.batch_size"]
    whole = train.count // size * size
    weights = _row_weights(job, train)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        rows = tf.random.experimental.stateless_shuffle(tf.range(train.count), seed=tf.stack([job.seed, epoch]))
        batches = tf.data.Dataset.from_tensor_slices(tf.reshape(rows[:whole], (-1, size)))
        if whole == train.count:
            return batches
        return batches.concatenate(tf.data.Dataset.from_tensors(rows[whole:]))

    def gather(rows: tf.Tensor) -> tuple[Any, ...]:
        inputs = {name: tf.gather(array, rows) for name, array in train.inputs.items()}
        batch = (inputs, tf.gather(train.wanted, rows))
        return batch if weights is None else (*batch, tf.gather(weights, rows))

    return tf.data.Dataset.range(done, job.last_epoch).flat_map(order).map(gather)


def _row_weights(job: Job, train: Rows) -> Any:
    """Return how much each row counts in the loss: the weight of its class times its own; None where all count 1."""
    of_class = job.settings["training.class_weight"] != "none"
    weights = tf.constant(class_weights(job, train.target)[train.target]) if of_class else None
    if train.weights is None:
        return weights
    shares = tf.squeeze(train.shares, 1)
    return shares if weights is None else weights * shares


class _Watch(keras.callbacks.Callback):
    """Lets each epoch be judged, and keeps the weights of the best one."""

    def __init__(self, judge: Judge, model: keras.Model, sample: Rows, validation: Rows) -> None:
        super().__init__()
        self.judge = judge
        self.best: dict[str, Floats] = {}
        self._network = model
        self._parts = {"train": sample, "validation": validation}
        self._predict = Predictor(model, judge.job)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Score, remember, decide."""
        predictions = {name: self._predict(rows) for name, rows in self._parts.items()}
        verdict = self.judge.judge(predictions, float((logs or {}).get("loss", 0.0)))
        if verdict.is_best:
            self.best = _weights_of(self._network)
        if verdict.is_over:
            self._network.stop_training = True


def _weights_of(model: keras.Model) -> dict[str, Floats]:
    return {variable.path: variable.numpy() for variable in model.weights}


def _save(
    job: Job, judge: Judge, model: keras.Model, optimizer: keras.optimizers.Optimizer, best: dict[str, Floats]
) -> StoredFile:
    """Write what a paused trial needs to go on."""
    arrays = {f"best:{path}": array for path, array in best.items()}
    arrays |= {f"now:{number}": variable.numpy() for number, variable in enumerate(_variables(model, optimizer))}
    save_state(job.folder / STATE, judge.memory, arrays)
    return describe_file(job.folder / STATE, f"{job.prefix}/{STATE}")


def _load(path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, watch: _Watch) -> None:
    """Give network, optimizer and judge what they had."""
    watch.judge.memory, arrays = load_state(path)
    watch.best = {name.removeprefix("best:"): array for name, array in arrays.items() if name.startswith("best:")}
    variables = list(_variables(model, optimizer))
    if sum(name.startswith("now:") for name in arrays) != len(variables):
        raise RunDamagedError(f"{path}: expected the state of {len(variables)} variables, found another number")
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"now:{number}"])


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[Any]:
    """Yield weights, the random state of dropout, and what the optimizer remembers."""
    yield from model.weights
    for layer in model.layers:
        for variable in layer.variables:
            if all(variable is not weight for weight in layer.weights):
                yield variable
    yield from optimizer.variables
