"""One epoch of many slots as one TensorFlow graph: gather rows, train, predict.

A program is traced once for all networks of one signature; slots, rows and widths are read from what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from hptune.objective import Task
from hptune.training.layout import Group, Shapes
from hptune.training.noise import Masks
from hptune.training.reductions import RowSums, binary_cross_entropy, cross_entropy, in_registers, softmax
from hptune.training.rules import Lesson, Pass
from hptune.training.stacking import StackedNetwork, Weights, place_of
from hptune.training.updates import MEMORIES, clip_by_norm, decay, learning_rates, soft_threshold, update

_FLOATS = ("learning_rate", "warmup_steps", "total_steps", "is_cosine", "momentum", "weight_decay", "clip_norm")
# Beside the inputs of the network: how much each row counts in the loss, (rows, 1).
ROW_WEIGHT = "row_weight"
_PENALTIES = ("l1", "l2", "bias_l2", "label_smoothing")


@dataclass(frozen=True)
class State:
    """Everything of the slots that training changes.

    Attributes:
        weights: Of the networks.
        memories: Of the optimizer: a tensor for kernels and one for the others, once or twice.
        steps: Made so far, uint32 (slots,).
    """

    weights: Weights
    memories: list[Any]
    steps: Any


@dataclass(frozen=True)
class _Fixed:
    """What all steps of an epoch share, and is computed before the first of them.

    Attributes:
        kernels: How they lie one after the other.
        others: Likewise.
        statistics: Likewise.
        masks: Of the dropouts.
        kept: How much of each moving statistic a step keeps, (m,).
        renewed: How much it takes from its rows.
        l2: Twice the penalty of kernels, (slots, 1).
        bias_l2: Twice the penalty of each of the others, (slots, n).
        categories: See `Pass`.
    """

    kernels: Group
    others: Group
    statistics: Group
    masks: Masks
    kept: Any
    renewed: Any
    l2: Any
    bias_l2: Any
    categories: Mapping[int, Any]


def fresh_memories(optimizer: str, weights: Weights) -> list[Any]:
    """Return what an optimizer remembers before the first step."""
    return [tf.zeros_like(tensor) for tensor in (weights.kernels, weights.others)] * MEMORIES[optimizer]


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
        trained = (*state.weights, state.memories, state.steps)
        given = (trained, vars(shapes), dict(dials), dict(data), target, order, tf.constant(batch))
        (*joined, memories, steps), loss = self._epoch(*given)
        return State(Weights(*joined), list(memories), steps), loss

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
        return self._predict([*weights], vars(shapes), dict(data), scales)

    def units(self, weights: Weights, shapes: Shapes, data: Mapping[str, Any]) -> dict[str, Any]:
        """Compute what hidden units say of rows, (slots, rows, units) by names of layers; rows as in `predict`.

        It is asked once a trial, so that a trace would cost more than it saves.
        """
        return self._network.units(dict(data), self._judging(weights, vars(shapes)))

    def _judging(self, parts: Any, shapes: Any) -> Pass:
        """Return a pass in which nothing trains."""
        by_path: dict[str, Any] = {}
        for group, joined in zip(self._groups(shapes), parts, strict=True):
            by_path |= group.split(joined)
        return Pass(by_path, self._network.categories(shapes["categories"]))

    def _groups(self, shapes: Any) -> tuple[Group, Group, Group]:
        network = self._network
        return (
            Group(shapes["kernels"], network.kernels),
            Group(shapes["others"], network.others),
            Group(shapes["statistics"], network.statistics),
        )

    def _train_epoch(
        self, trained: Any, shapes: Any, dials: Any, data: Any, target: Any, order: Any, batch: Any
    ) -> tuple[Any, Any]:
        rows = tf.shape(order)[1]
        count = (rows + batch - 1) // batch
        fixed = self._fix(shapes, dials, tf.minimum(batch, rows))

        def step(number: Any, trained: Any, losses: Any) -> Any:
            chosen = order[:, number * batch : tf.minimum((number + 1) * batch, rows)]
            given = {name: tf.gather(array, chosen) for name, array in data.items()}
            trained, loss = self._step(trained, fixed, dials, given, tf.gather(target, chosen))
            return number + 1, trained, losses + loss

        begin = (tf.constant(0), trained, tf.zeros_like(dials["learning_rate"]))
        _, trained, losses = tf.while_loop(lambda number, *_: number < count, step, begin, parallel_iterations=1)
        return trained, losses / tf.cast(count, tf.float32)

    def _fix(self, shapes: Any, dials: Any, rows: Any) -> _Fixed:
        network = self._network
        places = [place_of(name) for name in network.dropouts]
        masks = Masks(dials["seed"], places, shapes["dropouts"], dials["silenced"], dials["gain"], rows)
        groups = self._groups(shapes)
        sizes = groups[-1].sizes
        return _Fixed(
            *groups,
            masks,
            tf.repeat(tf.constant(network.momenta, tf.float32), sizes),
            tf.repeat(tf.constant([1.0 - momentum for momentum in network.momenta], tf.float32), sizes),
            2.0 * dials["l2"][:, None],
            2.0 * dials["bias_l2"][:, None] * shapes["bias_mask"],
            network.categories(shapes["categories"]),
        )

    def _step(self, trained: Any, fixed: _Fixed, dials: Any, data: Any, target: Any) -> Any:
        kernels, others, statistics, memories, steps = trained
        network, in_use = self._network, self._in_use
        rows = tf.shape(target)[1]
        over_rows = RowSums(rows)
        masks = dict(zip(network.dropouts, fixed.masks.draw(steps, rows), strict=True))
        lesson = Lesson(over_rows, masks, {})
        parts = fixed.kernels.split(kernels) | fixed.others.split(others)
        output, back = network.learn(data, Pass(parts, fixed.categories, lesson))
        loss, upstream = self._loss(output, target, data.get(ROW_WEIGHT), dials, over_rows)
        found = back(upstream)
        weights = [kernels, others]
        gradients = [fixed.kernels.join(found), fixed.others.join(found)]
        if "model.l2" in in_use:
            gradients[0] += fixed.l2 * kernels
        if "model.bias_l2" in in_use:
            gradients[1] += fixed.bias_l2 * others
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
            weights[0] = soft_threshold(weights[0], rates * dials["l1"])
        if network.statistics:
            statistics = statistics * fixed.kept + fixed.statistics.join(lesson.statistics) * fixed.renewed
        return (*weights, statistics, memories, steps + tf.constant(1, tf.uint32)), loss

    def _loss(self, output: Any, target: Any, row_weight: Any, dials: Any, over_rows: RowSums) -> tuple[Any, Any]:
        """Return each slot's mean loss over its rows, without penalties, (slots,), and its gradient.

        The gradient is with respect to the output, and of its shape.
        """
        if self._task == "regression":
            difference = output - target
            by_row, upstream = tf.squeeze(tf.square(difference), -1), 2.0 * difference
        else:
            wanted = target
            if "training.label_smoothing" in self._in_use:
                smoothing = dials["label_smoothing"][:, None, None]
                classes = 2.0 if self._task == "binary" else tf.cast(tf.shape(target)[-1], tf.float32)
                wanted = target * (1.0 - smoothing) + smoothing / classes
            if self._task == "binary":
                losses, upstream = binary_cross_entropy(output, wanted)
                by_row = tf.squeeze(losses, -1)
            else:
                by_row, upstream = cross_entropy(output, wanted)
            if "training.class_weight" in self._in_use:
                shares = tf.concat([1.0 - target, target], -1) if self._task == "binary" else target
                counts = tf.reduce_sum(shares * dials["class_weight"][:, None, :], -1)
                by_row, upstream = by_row * counts, upstream * counts[:, :, None]
        if row_weight is not None:
            by_row, upstream = by_row * tf.squeeze(row_weight, -1), upstream * row_weight
        return tf.squeeze(over_rows.mean(by_row[:, :, None]), (1, 2)), upstream / over_rows.count

    def _predict_rows(self, parts: Any, shapes: Any, data: Any, scales: Any) -> Any:
        output = self._network(data, self._judging(parts, shapes))
        if self._task == "regression":
            return output * scales[:, 1, None, None] + scales[:, 0, None, None]
        if self._task == "binary":
            # 1 - sigmoid(x) is exactly 0 from x = 17 on, which the log loss would take for certainty.
            return in_registers(tf.sigmoid, tf.concat([-output, output], -1))
        return softmax(output)

    def _weights_signature(self) -> Any:
        return [tf.TensorSpec([None, None])] * 3

    def _shapes_signature(self) -> Any:
        shapes, numbers = tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)
        several = {"kernels": shapes, "others": shapes, "statistics": shapes}
        return {**several, "bias_mask": tf.TensorSpec([None]), "dropouts": numbers, "categories": numbers}

    def _epoch_signature(self) -> Any:
        weights = self._weights_signature()
        memories = [tf.TensorSpec([None, None])] * (2 * MEMORIES[self._optimizer])
        dials: dict[str, Any] = {name: tf.TensorSpec([None]) for name in (*_FLOATS, *_PENALTIES)}
        dials |= {"gain": tf.TensorSpec([None, None]), "class_weight": tf.TensorSpec([None, None])}
        dials |= {"silenced": tf.TensorSpec([None, None], tf.uint32), "seed": tf.TensorSpec([None], tf.uint32)}
        state = (*weights, memories, tf.TensorSpec([None], tf.uint32))
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
