"""How a trial is put aside so that training goes on as if it had not paused.

KerasTuner's Hyperband loads the weights of a promoted trial and starts a new optimizer: momentum, step count and
schedule begin again. Here a pause keeps every number of network and optimizer, the random state of dropout, the best
epoch with its weights, and how long patience has waited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.run.files import write_file
from hptune.training.judge import Memory

_FACTS = "facts"
_PREDICTIONS = ("best_predictions", "best_train_predictions")
_PLAIN = ("curve", "best_score", "best_epoch", "best_for_patience", "waited")


def save_state(path: Path, memory: Memory, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write all that training needs to go on, without pickle.

    Args:
        path: The file.
        memory: What has been seen so far.
        arrays: What the engine asks for, by name.
    """
    facts = json.dumps({name: getattr(memory, name) for name in _PLAIN}).encode()
    kept = {_FACTS: np.frombuffer(facts, np.uint8), **{name: getattr(memory, name) for name in _PREDICTIONS}}
    write_file(path, lambda stream: np.savez(stream, allow_pickle=False, **kept, **arrays))


def load_state(path: Path) -> tuple[Memory, dict[str, npt.NDArray[Any]]]:
    """Return what was remembered, and the arrays of the engine by name."""
    with np.load(path, allow_pickle=False) as stored:
        facts = json.loads(stored[_FACTS].tobytes())
        memory = Memory(**facts, **{name: stored[name] for name in _PREDICTIONS})
        names = [name for name in stored.files if name != _FACTS and name not in _PREDICTIONS]
        return memory, {name: stored[name] for name in names}
