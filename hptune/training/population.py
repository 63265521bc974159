"""A population: trials of one structure trained side by side, each in a slot, until each has come to its own end.

A trial does not depend on its neighbours, nor on how many there are or where it stands: its rows, masks and weights
come from its own seed, and every operation works on each slot by itself, to the last bit (`reductions.py`). Beside a
trial that is alone there is an idle slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from hptune.run.files import describe_file
from hptune.run.folder import STATE
from hptune.training.capacity import FEWEST_SLOTS, MOST_KEPT_WEIGHTS
from hptune.training.dials import read_dials, structure_of
from hptune.training.fitting import build_network
from hptune.training.job import Fitted, Job, OnEpoch
from hptune.training.judge import Floats, Judge
from hptune.training.layout import Shapes
from hptune.training.memory import load_state, save_state
from hptune.training.program import Program, State, fresh_memories
from hptune.training.silence import count_silent
from hptune.training.sources import Sources
from hptune.training.stacking import StackedNetwork, Weights
from hptune.trial import Key, StoredFile

ENGINE = "population"
# More at a time would hold what all their units say of a block of rows.
_CONCLUDED_TOGETHER = 8
_KEPT_NETWORKS = 32

Array = npt.NDArray[Any]


@dataclass
class _Slot:
    trial: Key
    judge: Judge
    source: int

    @property
    def job(self) -> Job:
        return self.judge.job


class Programs:
    """Traced programs, networks and the data of each preparation; what a worker keeps from trial to trial."""

    def __init__(self) -> None:
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._networks: dict[tuple[Any, ...], StackedNetwork] = {}
        self._sources: dict[Any, Sources] = {}

    def sources(self, job: Job) -> Sources:
        """Return the rows of the trials that may stand beside one, read once."""
        if job.rows not in self._sources:
            self._sources[job.rows] = Sources(job)
        return self._sources[job.rows]

    def network(self, job: Job) -> StackedNetwork:
        """Return the network of a trial's structure; Keras builds it in as long as a small one takes for an epoch.

        Raises:
            NotStackableError: If it cannot be trained this way.
            ValueError: If it cannot be built at all.
        """
        key = (job.rows, structure_of(job.settings), job.dials)
        network = self._networks.pop(key, None) or StackedNetwork(build_network(job, every_dropout=True), job.seed)
        if network.size <= MOST_KEPT_WEIGHTS:
            # Those that were asked for last stand last.
            self._networks[key] = network
        if len(self._networks) > _KEPT_NETWORKS:
            del self._networks[next(iter(self._networks))]
        return network

    def program(self, network: StackedNetwork, job: Job, inputs: Mapping[str, Any]) -> Program:
        """Return the program of a network's signature."""
        optimizer = job.settings["training.optimizer"]
        if optimizer == "sgd" and job.settings["training.nesterov"]:
            optimizer = "nesterov"
        key = (network.signature, job.task, optimizer, job.dials, tuple(sorted(inputs)))
        if key not in self._programs:
            self._programs[key] = Program(network, job.task, optimizer, job.dials, inputs)
        return self._programs[key]


class Population:
    """Slots of one structure."""

    def __init__(self, job: Job, programs: Programs) -> None:
        """Set up for the structure of a job.

        Raises:
            NotStackableError: If the network cannot be trained this way.
            ValueError: If it cannot be built at all.
        """
        self._sources = programs.sources(job)
        self._first = job
        self._batch: int = job.settings["training.batch_size"]
        self._network = programs.network(job)
        self._program = programs.program(self._network, job, self._sources.given)
        self._optimizer: str = job.settings["training.optimizer"]
        self._shapes = Shapes.of(self._network)
        # Trial, epoch and score of every slot, as `advance` leaves them.
        self.last_epochs: list[tuple[Key, int, float]] = []
        self._slots: list[_Slot] = []
        self._places = 0
        self._state: State | None = None
        self._best: Weights | None = None
        self._dials: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def suits(self, job: Job) -> bool:
        """Tell whether a trial may have one of its slots."""
        first = self._first
        return job.rows == first.rows and structure_of(job.settings) == structure_of(first.settings)

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self._sources.count / self._batch)

    def admit(self, jobs: Sequence[tuple[Key, Job]], reason_to_end: Callable[[Key], str]) -> None:
        """Give slots to trials; between epochs.

        Args:
            jobs: Numbers and parts of the trials, and what to train.
            reason_to_end: Asked after each epoch why a trial has to end now; nothing where it may go on.
        """

        def note(trial: Key) -> OnEpoch:
            def on_epoch(epoch: int, score: float) -> str:
                self.last_epochs.append((trial, epoch, score))
                return reason_to_end(trial)

            return on_epoch

        assert all(self.suits(job) for _, job in jobs)
        slots = []
        for trial, job in jobs:
            source = self._sources.number(job)
            slots.append(_Slot(trial, Judge(job, ENGINE, self._sources.answers(source), note(trial)), source))
        begun = [self._begin(slot) for slot in slots]
        states, bests = [state for state, _ in begun], [best for _, best in begun]
        rows = [
            read_dials(slot.job, self._steps_per_epoch, self._network.dropouts, self._sources.target(slot.source))
            for slot in slots
        ]
        dials = {name: tf.constant(np.stack([row[name] for row in rows])) for name in rows[0]}
        if self._state is not None and self._best is not None:
            states, bests = [self._state, *states], [self._best, *bests]
            dials = {name: tf.concat([self._dials[name], array], 0) for name, array in dials.items()}
        self._state, self._best, self._dials = _joined_states(states), _joined_weights(bests), dials
        # Idle slots stand between the old trials and the new ones.
        active = [*range(len(self._slots)), *range(self._places, self._places + len(slots))]
        self._slots += slots
        self._seat(active)

    def _seat(self, active: Sequence[int]) -> None:
        """Let slots be those of the trials that are under way, and idle copies of the first behind them."""
        assert self._state is not None
        assert self._best is not None
        self._places = max(len(active), FEWEST_SLOTS)
        chosen = [*active, *[active[0]] * (self._places - len(active))]

        def take(tensor: Any) -> Any:
            return tf.gather(tensor, chosen)

        self._state, self._best = _map_state(take, self._state), _map_weights(take, self._best)
        self._dials = {name: take(array) for name, array in self._dials.items()}

    def _begin(self, slot: _Slot) -> tuple[State, Weights]:
        """Return the state with which a trial begins or goes on, and the weights of its best epoch."""
        job = slot.job
        if job.state is None:
            weights = self._network.initial([job.seed])
            return State(weights, fresh_memories(self._optimizer, weights), tf.zeros([1], tf.uint32)), weights
        slot.judge.memory, arrays = load_state(job.state)
        paths = {name.removeprefix("now:"): array for name, array in arrays.items() if name.startswith("now:")}
        best = {name.removeprefix("best:"): array for name, array in arrays.items() if name.startswith("best:")}
        memories = [tf.constant(arrays[f"memory:{index}"][None]) for index in range(_count(arrays, "memory:"))]
        steps = tf.constant([slot.judge.epochs * self._steps_per_epoch], tf.uint32)
        return State(self._network.given([paths]), memories, steps), self._network.given([best])

    def advance(self) -> list[tuple[Key, Fitted]]:
        """Train every slot for one epoch, and free the slots of trials that have come to their end.

        Returns:
            Those trials, with how they went.
        """
        assert self._state is not None
        self.last_epochs = []
        self._state, losses = self._train_epoch(self._state)
        predictions = {part: self._predict(rows) for part, rows in (("train", "sample"), ("validation", "validation"))}
        trained = losses.numpy()
        verdicts = [
            slot.judge.judge({part: values[index] for part, values in predictions.items()}, float(trained[index]))
            for index, slot in enumerate(self._slots)
        ]
        self._keep_best([verdict.is_best for verdict in verdicts])
        over = [index for index, verdict in enumerate(verdicts) if verdict.is_over]
        ended = []
        for first in range(0, len(over), _CONCLUDED_TOGETHER):
            ended += self._conclude(over[first : first + _CONCLUDED_TOGETHER])
        if over:
            self._free(over)
        return ended

    @property
    def _numbers(self) -> list[int]:
        """The source of each slot; idle ones read that of the first."""
        numbers = [slot.source for slot in self._slots]
        return [*numbers, *[numbers[0]] * (self._places - len(numbers))]

    def _train_epoch(self, state: State) -> tuple[State, Any]:
        keys = [(slot.job.seed, slot.judge.epochs) for slot in self._slots]
        keys += [keys[0]] * (self._places - len(keys))
        sources = self._sources
        order = _orders(tf.constant(sources.count), tf.constant(keys, tf.int64)) + sources.offsets(self._numbers)
        given = (sources.given, sources.wanted, order, self._batch)
        return self._program.train(state, self._shapes, self._dials, *given)

    def _predict(self, part: str) -> Floats:
        """Predict rows with the present weights: (slots, rows, classes), or (slots, rows)."""
        assert self._state is not None
        weights, scales = self._state.weights, self._sources.scales(self._numbers)
        parts = [
            self._program.predict(weights, self._shapes, inputs, scales).numpy()
            for inputs in self._sources.blocks(part, self._numbers)
        ]
        joined: Floats = np.concatenate(parts, axis=1)[: len(self._slots)]
        return joined[:, :, 0] if joined.shape[2] == 1 else joined

    def _keep_best(self, is_best: Sequence[bool]) -> None:
        assert self._state is not None
        assert self._best is not None
        if all(is_best):
            self._best = self._state.weights
        elif any(is_best):
            flags = np.array([*is_best, *[False] * (self._places - len(is_best))])
            now, before = self._state.weights, self._best

            def choose(new: Any, old: Any) -> Any:
                return tf.where(flags[:, None], new, old)

            self._best = Weights(*map(choose, now, before))

    def _conclude(self, over: Sequence[int]) -> list[tuple[Key, Fitted]]:
        """Write what is kept of trials that have ended, and say how they went."""
        assert self._best is not None
        bests = {index: self._network.by_path(self._best, index) for index in over}
        sound = [index for index in over if not self._slots[index].judge.has_diverged]
        silent = dict(zip(sound, self._count_silent({index: bests[index] for index in sound}), strict=True))
        ended = []
        for index, best in bests.items():
            trial, judge = self._slots[index].trial, self._slots[index].judge
            state = self._save(index, best) if judge.is_paused else None
            ended.append((trial, judge.conclude(best, silent.get(index, {}), state)))
        return ended

    def _count_silent(self, weights: Mapping[int, Mapping[str, Array]]) -> list[dict[str, int]]:
        """Count silent units of slots with these weights."""
        if not weights:
            return []
        slots = [*weights, *[next(iter(weights))] * (FEWEST_SLOTS - len(weights))]
        kept = self._network.given([weights[slot] for slot in slots])
        blocks = self._sources.blocks("sample", [self._slots[slot].source for slot in slots])
        return count_silent(blocks, lambda inputs: self._program.units(kept, self._shapes, inputs), len(weights))

    def _save(self, index: int, best: Mapping[str, Array]) -> StoredFile:
        """Write all that a paused trial needs to go on."""
        assert self._state is not None
        job = self._slots[index].job
        arrays = {f"best:{path}": array for path, array in best.items()}
        now = self._network.by_path(self._state.weights, index)
        arrays |= {f"now:{path}": array for path, array in now.items()}
        arrays |= {f"memory:{place}": tensor[index].numpy() for place, tensor in enumerate(self._state.memories)}
        save_state(job.folder / STATE, self._slots[index].judge.memory, arrays)
        return describe_file(job.folder / STATE, f"{job.prefix}/{STATE}")

    def _free(self, over: Sequence[int]) -> None:
        left = [index for index in range(len(self._slots)) if index not in set(over)]
        self._slots = [self._slots[index] for index in left]
        if left:
            self._seat(left)
        else:
            self._state, self._best, self._dials, self._places = None, None, {}, 0


@tf.function(
    input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([None, 2], tf.int64)],
    autograph=False,
)
def _orders(count: Any, keys: Any) -> Any:
    """Return the order of the rows for each pair of seed and epoch: the one in which `fit` would take them."""
    shuffle = tf.random.experimental.stateless_shuffle
    return tf.map_fn(lambda key: shuffle(tf.range(count), key), keys, fn_output_signature=tf.int32)


def _count(arrays: Mapping[str, Array], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in arrays)


def _map_weights(change: Callable[[Any], Any], weights: Weights) -> Weights:
    return Weights(*map(change, weights))


def _map_state(change: Callable[[Any], Any], state: State) -> State:
    memories = [change(memory) for memory in state.memories]
    return State(_map_weights(change, state.weights), memories, change(state.steps))


def _joined_weights(several: Sequence[Weights]) -> Weights:
    return Weights(*(tf.concat(parts, 0) for parts in zip(*several, strict=True)))


def _joined_states(several: Sequence[State]) -> State:
    return State(
        _joined_weights([state.weights for state in several]),
        [tf.concat(memories, 0) for memories in zip(*(state.memories for state in several), strict=True)],
        tf.concat([state.steps for state in several], 0),
    )
