"""What a trial remembers while it trains, and how it is put aside so that training goes on as if it had not paused.

KerasTuner's Hyperband loads the weights of a promoted trial and starts a new optimizer: momentum, step count and
schedule begin again. Here a pause keeps every variable of network and optimizer, the random state of dropout, the best
epoch with its weights, and how long patience has waited.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hptune.errors import RunDamagedError
from hptune.run.files import write_file
from hptune.training.predicting import Floats

_FACTS = "facts"


@dataclass
class Memory:
    """What has been seen so far.

    Attributes:
        curve: Metrics of each epoch.
        best_score: The objective at the best epoch.
        best_epoch: From 1.
        best_weights: In the order of the network's weights.
        best_predictions: For the validation rows.
        best_train: Metrics of training rows at the best epoch.
        best_for_patience: The score that the next epochs must beat by `min_delta`.
        waited: Epochs since then.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    best_weights: list[npt.NDArray[Any]] = field(default_factory=list)
    best_predictions: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    best_train: dict[str, float] = field(default_factory=dict)
    best_for_patience: float | None = None
    waited: int = 0


def save_state(path: Path, memory: Memory, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Write all that training needs to go on, without pickle."""
    facts = {
        name: getattr(memory, name)
        for name in ("curve", "best_score", "best_epoch", "best_train", "best_for_patience", "waited")
    }
    arrays = {_FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8), "predictions": memory.best_predictions}
    arrays |= {f"best.{index}": values for index, values in enumerate(memory.best_weights)}
    arrays |= {f"now.{index}": variable.numpy() for index, variable in enumerate(_variables(model, optimizer))}
    write_file(path, lambda stream: np.savez(stream, allow_pickle=False, **arrays))


def load_state(path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Memory:
    """Give network and optimizer what they had, and return what was remembered.

    Raises:
        RunDamagedError: If the file does not fit the network.
    """
    with np.load(path, allow_pickle=False) as stored:
        facts = json.loads(stored[_FACTS].tobytes())
        count = sum(name.startswith("best.") for name in stored.files)
        variables = _variables(model, optimizer)
        if sum(name.startswith("now.") for name in stored.files) != len(variables):
            raise RunDamagedError(f"{path}: expected the state of {len(variables)} variables, found another number")
        for index, variable in enumerate(variables):
            variable.assign(stored[f"now.{index}"])
        best = [stored[f"best.{index}"] for index in range(count)]
        return Memory(**facts, best_weights=best, best_predictions=stored["predictions"])


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[Any]:
    # Beside the weights, the random state of dropout; metrics are computed anew each epoch.
    states = [
        variable
        for layer in model.layers
        for variable in layer.variables
        if all(variable is not weight for weight in layer.weights)
    ]
    return [*model.weights, *states, *optimizer.variables]
