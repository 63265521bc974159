"""Structure and dials: what changes a computation, and the numbers that it reads for each slot.

A dial that is off everywhere in an experiment costs nothing: its operations are left out, which changes no bit, because
each of them does nothing at zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.training.job import Job

Array = npt.NDArray[Any]

# Dials by setting, with the value at which they do nothing.
OFF: dict[str, Any] = {
    "model.dropout": 0,
    "model.input_dropout": 0,
    "model.l1": 0,
    "model.l2": 0,
    "model.bias_l2": 0,
    "training.weight_decay": 0,
    "training.clip_norm": None,
    "training.label_smoothing": 0,
    "training.class_weight": "none",
    "training.schedule": "constant",
    "training.warmup": 0,
}
# These change nothing that is traced, and are always read.
_ALWAYS = ("training.learning_rate", "training.momentum", "training.epochs")
# Shapes, which a trace leaves open but which slots side by side must share.
_SHAPES = ("model.units", "model.embedding", "training.batch_size")


def is_dial(name: str) -> bool:
    """Tell whether a setting is a number that a slot reads; the others change the computation or its shapes."""
    key = _without_block(name)
    return key in OFF or key in _ALWAYS


def structure_of(settings: Mapping[str, Any]) -> str:
    """Name what trials must have in common to be trained side by side."""
    return repr(sorted((name, value) for name, value in settings.items() if not is_dial(name)))


def trace_of(settings: Mapping[str, Any]) -> str:
    """Name what trials have in common that are likely to share a trace."""
    fixed = (
        (name, value) for name, value in settings.items() if not is_dial(name) and _without_block(name) not in _SHAPES
    )
    return repr(sorted(fixed))


def _without_block(name: str) -> str:
    key, _, number = name.rpartition(".")
    return key if number.isdigit() else name


def dials_in_use(possible: Mapping[str, Iterable[Any]]) -> frozenset[str]:
    """Name the dials that any trial of an experiment may turn.

    Args:
        possible: Values of each setting, or the ends of its range; blocks' own settings by number.
    """
    return frozenset(
        key
        for name, values in possible.items()
        if (key := _without_block(name)) in OFF and any(value != OFF[key] for value in values)
    )


def dropout_rate(job: Job, place: str) -> float:
    """Return the rate of a dropout layer, by the name that the model gives it."""
    settings = job.settings
    if place == "input_dropout":
        return float(settings["model.input_dropout"])
    number = place.removeprefix("block_").removesuffix("_dropout")
    return float(settings.get(f"model.dropout.{number}", settings["model.dropout"]))


def class_weights(job: Job, target: Array) -> Array:
    """Weigh classes; `balanced` is rows / (classes * rows of the class), as scikit-learn has it.

    Args:
        job: With labels and `training.class_weight`.
        target: Class indices of the training rows.

    Returns:
        float32 (classes,).
    """
    setting = job.settings["training.class_weight"]
    classes = len(job.labels)
    if setting == "none":
        return np.ones(classes, np.float32)
    if setting == "balanced":
        counts = np.bincount(target, minlength=classes)
        return (len(target) / (classes * np.maximum(counts, 1))).astype(np.float32)
    by_label = {str(label): weight for label, weight in setting.items()}
    return np.array([by_label[label] for label in job.labels], np.float32)


def read_dials(job: Job, steps_per_epoch: int, dropouts: Sequence[str], target: Array) -> dict[str, Array]:
    """Return the numbers that the slot of a trial reads; each becomes one row of an array over the slots."""
    settings = job.settings
    total = steps_per_epoch * settings["training.epochs"]
    is_decaying = settings["training.optimizer"] in ("adamw", "sgd")
    clip = settings["training.clip_norm"]
    numbers = {
        "learning_rate": settings["training.learning_rate"],
        "warmup_steps": round(settings["training.warmup"] * total),
        "total_steps": total,
        "is_cosine": settings["training.schedule"] == "cosine",
        "momentum": settings["training.momentum"],
        "weight_decay": settings["training.weight_decay"] if is_decaying else 0.0,
        "clip_norm": math.inf if clip is None else clip,
        "l1": settings["model.l1"],
        "l2": settings["model.l2"],
        "bias_l2": settings["model.bias_l2"],
        "label_smoothing": settings["training.label_smoothing"],
    }
    dials: dict[str, Array] = {name: np.asarray(value, np.float32) for name, value in numbers.items()}
    rates = np.array([dropout_rate(job, place) for place in dropouts], np.float64)
    dials["silenced"] = np.minimum(np.round(rates * 2**32), 2**32 - 1).astype(np.uint32)
    dials["gain"] = (1 / (1 - rates)).astype(np.float32)
    is_regression = job.task == "regression"
    dials["class_weight"] = np.ones(1, np.float32) if is_regression else class_weights(job, target)
    dials["seed"] = np.asarray(job.seed, np.uint32)
    return dials
