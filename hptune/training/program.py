"""One epoch of many slots as one TensorFlow graph: gather rows, train, predict.

A program is traced once for all networks of one signature; slots, rows and widths are read from what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from hptune.objective import Task
from hptune.training.noise import dropout_mask, step_keys
from hptune.training.reductions import cross_entropy, in_registers, mean_slots, softmax
from hptune.training.stacking import Pass, StackedNetwork, Weights, place_of
from hptune.training.updates import MEMORIES, clip_by_norm, decay, learning_rates, per_slot, soft_threshold, update

_FLOATS = ("learning_rate", "warmup_steps", "total_steps", "is_cosine", "momentum", "weight_decay", "clip_norm")
# Beside the inputs of the network: how much each row counts in the loss, (rows, 1).
ROW_WEIGHT = "row_weight"
_PENALTIES = ("l1", "l2", "bias_l2", "label_smoothing")


@dataclass(frozen=True)
class State:
    """Everything of the slots that training changes.

    Attributes:
        weights: Of the networks.
        memories: Of the optimizer: as many tensors as weights, once or twice.
        steps: Made so far, uint32 (slots,).
    """

    weights: Weights
    memories: list[Any]
    steps: Any


@dataclass(frozen=True)
class Shapes:
    """What a trace leaves open and the network knows.

    Attributes:
        vector_sizes: int32 (vectors,).
        statistic_sizes: int32 (statistics,).
        bias_mask: 1 where a vector's number belongs to a bias, (n,).
        category_counts: Of each one-hot encoding, int32 (encodings,).
    """

    vector_sizes: Any
    statistic_sizes: Any
    bias_mask: Any
    category_counts: Any


def fresh_memories(optimizer: str, weights: Weights) -> list[Any]:
    """Return what an optimizer remembers before the first step."""
    return [tf.zeros_like(tensor) for tensor in (*weights.matrices, weights.vectors)] * MEMORIES[optimizer]


class Program:
    """The computation of an epoch, traced when it is first used."""

    def __init__(
        self, network: StackedNetwork, task: Task, optimizer: str, in_use: frozenset[str], inputs: Mapping[str, Any]
    ) -> None:
        """Set up.

        Args:
            network: Whose signature it has.
            task: What is predicted.
            optimizer: adam, adamw, rmsprop, sgd or nesterov.
            in_use: Dials that are not off.
            inputs: Arrays of the training data by name, `ROW_WEIGHT` among them where rows count differently; only
                their types are looked at.
        """
        self._network = network
        self._task = task
        self._optimizer = optimizer
        self._in_use = in_use
        self._inputs = {name: tf.TensorSpec([None, None], array.dtype) for name, array in inputs.items()}
        self._epoch = tf.function(self._train_epoch, input_signature=self._epoch_signature(), autograph=False)
        self._predict = tf.function(self._predict_rows, input_signature=self._predict_signature(), autograph=False)

    def train(
        self,
        state: State,
        shapes: Shapes,
        dials: Mapping[str, Any],
        data: Mapping[str, Any],
        target: Any,
        order: Any,
        batch: int,
    ) -> tuple[State, Any]:
        """Train all slots for one epoch.

        Args:
            state: Of all slots.
            shapes: Of the network.
            dials: (slots, ...) by name.
            data: Training rows by input, (rows, columns).
            target: float32 (rows, outputs): one-hot classes, 0 or 1, or standardized values.
            order: In which each slot takes the rows, int32 (slots, rows).
            batch: Rows of a mini-batch; the last one of an epoch has what is left.

        Returns:
            The new state, and the mean loss of each slot's mini-batches, (slots,).
        """
        weights = state.weights
        trained = (weights.matrices, weights.vectors, weights.statistics, state.memories, state.steps)
        given = (trained, vars(shapes), dict(dials), dict(data), target, order, tf.constant(batch))
        (matrices, vectors, statistics, memories, steps), loss = self._epoch(*given)
        return State(Weights(list(matrices), vectors, statistics), list(memories), steps), loss

    def predict(self, weights: Weights, shapes: Shapes, data: Mapping[str, Any], scales: Any) -> Any:
        """Predict rows in the user's unit.

        Args:
            weights: Of all slots.
            shapes: Of the network.
            data: Rows by input, (slots or 1, rows, columns).
            scales: Mean and scale of a regression target, (slots, 2).

        Returns:
            float32 (slots, rows, classes) probabilities, or (slots, rows, 1) values.
        """
        parts = (weights.matrices, weights.vectors, weights.statistics)
        return self._predict(parts, vars(shapes), dict(data), scales)

    def units(self, weights: Weights, shapes: Shapes, data: Mapping[str, Any]) -> dict[str, Any]:
        """Compute what hidden units say of rows, (slots, rows, units) by names of layers; rows as in `predict`.

        It is asked once a trial, so that a trace would cost more than it saves.
        """
        parts = (weights.matrices, weights.vectors, weights.statistics)
        return self._network.units(dict(data), self._judging(parts, vars(shapes)))

    def _judging(self, parts: Any, shapes: Any) -> Pass:
        """Return a pass in which nothing trains."""
        matrices, vectors, statistics = parts
        pieces = _split(vectors, shapes["vector_sizes"], len(self._network.vectors))
        moving = _split(statistics, shapes["statistic_sizes"], len(self._network.statistics))
        categories = self._network.categories(shapes["category_counts"])
        return Pass(self._network.parts(matrices, pieces, moving), {}, None, categories)

    def _train_epoch(
        self, trained: Any, shapes: Any, dials: Any, data: Any, target: Any, order: Any, batch: Any
    ) -> tuple[Any, Any]:
        rows = tf.shape(order)[1]
        count = (rows + batch - 1) // batch

        def step(number: Any, trained: Any, losses: Any) -> Any:
            chosen = order[:, number * batch : tf.minimum((number + 1) * batch, rows)]
            given = {name: tf.gather(array, chosen) for name, array in data.items()}
            trained, loss = self._step(trained, shapes, dials, given, tf.gather(target, chosen))
            return number + 1, trained, losses + loss

        begin = (tf.constant(0), trained, tf.zeros_like(dials["learning_rate"]))
        _, trained, losses = tf.while_loop(lambda number, *_: number < count, step, begin, parallel_iterations=1)
        return trained, losses / tf.cast(count, tf.float32)

    def _step(self, trained: Any, shapes: Any, dials: Any, data: Any, target: Any) -> Any:
        matrices, vectors, statistics, memories, steps = trained
        network, in_use = self._network, self._in_use
        pieces = _split(vectors, shapes["vector_sizes"], len(network.vectors))
        moving = _split(statistics, shapes["statistic_sizes"], len(network.statistics))
        places = {name: index for index, name in enumerate(network.dropouts)}

        def mask(name: str, like: Any) -> Any:
            keys = step_keys(dials["seed"], steps, place_of(name))
            return dropout_mask(keys, dials["silenced"][:, places[name]], dials["gain"][:, places[name]], like)

        updates: dict[str, Any] = {}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([matrices, pieces])
            categories = network.categories(shapes["category_counts"])
            output = network(data, Pass(network.parts(matrices, pieces, moving), updates, mask, categories))
            loss = self._loss(output, target, data.get(ROW_WEIGHT), dials)
            total = tf.reduce_sum(loss)
        gradients = tape.gradient(total, [*matrices, *pieces])
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        weights = [*matrices, vectors]
        gradients = [*gradients[: len(matrices)], tf.squeeze(tf.concat(gradients[len(matrices) :], -1), 1)]
        if "model.l2" in in_use:
            gradients = [
                gradient + 2.0 * per_slot(dials["l2"], weight) * weight if is_kernel else gradient
                for gradient, weight, is_kernel in zip(gradients, weights, (*network.is_kernel, False), strict=True)
            ]
        if "model.bias_l2" in in_use:
            gradients[-1] += 2.0 * dials["bias_l2"][:, None] * shapes["bias_mask"] * vectors
        if "training.clip_norm" in in_use:
            gradients = clip_by_norm(gradients, dials["clip_norm"])
        made = tf.cast(steps, tf.float32)
        rates = dials["learning_rate"]
        if in_use & {"training.schedule", "training.warmup"}:
            rates = learning_rates(dials, made)
        if "training.weight_decay" in in_use:
            weights = decay(weights, rates, dials["weight_decay"])
        weights, memories = update(self._optimizer, weights, gradients, memories, made, rates, dials)
        if "model.l1" in in_use:
            weights = [
                soft_threshold(weight, rates * dials["l1"]) if is_kernel else weight
                for weight, is_kernel in zip(weights, (*network.is_kernel, False), strict=True)
            ]
        if updates:
            statistics = tf.squeeze(tf.concat([updates[variable.path] for variable in network.statistics], -1), 1)
        return (weights[:-1], weights[-1], statistics, memories, steps + tf.constant(1, tf.uint32)), loss

    def _loss(self, output: Any, target: Any, row_weight: Any, dials: Any) -> Any:
        """Return each slot's mean loss over its rows, without penalties, (slots,)."""
        if self._task == "regression":
            squares = tf.square(output - target)
            return mean_slots(squares if row_weight is None else squares * row_weight)
        wanted = target
        if "training.label_smoothing" in self._in_use:
            smoothing = dials["label_smoothing"][:, None, None]
            classes = 2.0 if self._task == "binary" else tf.cast(tf.shape(target)[-1], tf.float32)
            wanted = target * (1.0 - smoothing) + smoothing / classes
        if self._task == "binary":
            by_row = tf.squeeze(in_registers(tf.nn.sigmoid_cross_entropy_with_logits, wanted, output), -1)
        else:
            by_row = cross_entropy(output, wanted)
        if "training.class_weight" in self._in_use:
            shares = tf.concat([1.0 - target, target], -1) if self._task == "binary" else target
            by_row *= tf.reduce_sum(shares * dials["class_weight"][:, None, :], -1)
        if row_weight is not None:
            by_row *= tf.squeeze(row_weight, -1)
        return mean_slots(by_row)

    def _predict_rows(self, parts: Any, shapes: Any, data: Any, scales: Any) -> Any:
        output = self._network(data, self._judging(parts, shapes))
        if self._task == "regression":
            return output * scales[:, 1, None, None] + scales[:, 0, None, None]
        if self._task == "binary":
            # 1 - sigmoid(x) is exactly 0 from x = 17 on, which the log loss would take for certainty.
            return in_registers(tf.sigmoid, tf.concat([-output, output], -1))
        return softmax(output)

    def _weights_signature(self) -> Any:
        matrices = [tf.TensorSpec([None, None, None]) for _ in self._network.matrices]
        return matrices, tf.TensorSpec([None, None]), tf.TensorSpec([None, None])

    def _shapes_signature(self) -> Any:
        sizes = tf.TensorSpec([None], tf.int32)
        bias_mask = tf.TensorSpec([None])
        return {"vector_sizes": sizes, "statistic_sizes": sizes, "bias_mask": bias_mask, "category_counts": sizes}

    def _epoch_signature(self) -> Any:
        matrices, vectors, statistics = self._weights_signature()
        memories = [*matrices, vectors] * MEMORIES[self._optimizer]
        dials: dict[str, Any] = {name: tf.TensorSpec([None]) for name in (*_FLOATS, *_PENALTIES)}
        dials |= {"gain": tf.TensorSpec([None, None]), "class_weight": tf.TensorSpec([None, None])}
        dials |= {"silenced": tf.TensorSpec([None, None], tf.uint32), "seed": tf.TensorSpec([None], tf.uint32)}
        state = (matrices, vectors, statistics, memories, tf.TensorSpec([None], tf.uint32))
        rows = tf.TensorSpec([None, None])
        order = tf.TensorSpec([None, None], tf.int32)
        return [state, self._shapes_signature(), dials, self._inputs, rows, order, tf.TensorSpec([], tf.int32)]

    def _predict_signature(self) -> Any:
        inputs = {
            name: tf.TensorSpec([None, None, None], spec.dtype)
            for name, spec in self._inputs.items()
            if name != ROW_WEIGHT
        }
        return [self._weights_signature(), self._shapes_signature(), inputs, tf.TensorSpec([None, 2])]


def _split(joined: Any, sizes: Any, count: int) -> list[Any]:
    """Take vectors apart: (slots, n) to (slots, 1, size) each."""
    return list(tf.split(joined[:, None, :], sizes, -1, num=count)) if count else []
