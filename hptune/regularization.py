"""What regularization has done to a trained network, told from its weights, its scores and what its units said.

L1 is a proximal step, so that its zeros are zeros: they can be counted, and cut out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.parts import mean, part_of_file
from hptune.reporting.curves import read_silent_units
from hptune.run.folder import WEIGHTS, RunFolder
from hptune.trial import Trial

_KERNEL = "/kernel"
_LOSS = "loss"


def tell_regularization(folder: RunFolder, trials: Iterable[Trial], metric: str) -> list[dict[str, Any]]:
    """Describe every trial whose weights were kept.

    Args:
        folder: Of the run.
        trials: With a score.
        metric: Of the objective.

    Returns:
        For each trial `gap`, by how much its loss without penalties is larger on validation than on training rows, and
        `metric_gap`, the same of the metric, as a plain difference; `weights`, how many numbers it stores;
        `weights_left`, without those that are zero; and its `layers`: kernel `weights`, the share of `zeros`, the
        `norm` (root of the sum of squares), how many `units`, how many of these are `dead`: they say the same for
        every training row that the learning curve is made of, and how many are `unconnected`: all their incoming
        weights are zero, so that they are dead by themselves. `dead` is None of layers without an activation of their
        own, and of runs of older versions. Of a trial in parts these are means.

    Raises:
        RunDamagedError: If weights or curves are not what was recorded.
    """
    told = []
    for trial in trials:
        if not folder.holds(trial, WEIGHTS):
            continue
        silent = read_silent_units(folder, trial)
        networks = []
        for file in trial.files_named(WEIGHTS):
            with np.load(folder.verified(file), allow_pickle=False) as arrays:
                weights = {name: arrays[name] for name in arrays.files}
            networks.append(describe_layers(weights, silent.get(part_of_file(file.name), {})))
        layers = _average(networks)
        zeros = sum(layer["weights"] * layer["zeros"] for layer in layers)
        told.append(
            {
                "trial": trial.number,
                "gap": _gap(trial, _LOSS),
                "metric_gap": _gap(trial, metric),
                "weights": trial.weights,
                "weights_left": None if trial.weights is None else round(trial.weights - zeros),
                "layers": layers,
            }
        )
    return told


def describe_layers(weights: Mapping[str, npt.NDArray[Any]], silent: Mapping[str, int]) -> list[dict[str, Any]]:
    """Describe the kernels of a network, from the inputs to the outputs.

    Args:
        weights: By the paths of its variables.
        silent: How many units say the same of every row, by layer.

    >>> kernel = np.array([[0.0, 3.0], [0.0, 4.0]])
    >>> describe_layers({"hidden/kernel": kernel, "hidden/bias": np.ones(2)}, {"hidden": 2})
    [{'name': 'hidden', 'weights': 4, 'zeros': 0.5, 'norm': 5.0, 'units': 2, 'dead': 2, 'unconnected': 1}]
    """
    return [
        {
            "name": layer,
            "weights": kernel.size,
            "zeros": float((kernel == 0).mean()),
            "norm": float(np.sqrt(np.square(kernel, dtype=np.float64).sum())),
            "units": kernel.shape[-1],
            "dead": silent.get(layer),
            "unconnected": int((kernel == 0).all(axis=0).sum()),
        }
        for name, kernel in weights.items()
        if name.endswith(_KERNEL) and kernel.size
        for layer in (name.removesuffix(_KERNEL),)
    ]


def _average(networks: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    if len(networks) == 1:
        return [dict(layer) for layer in networks[0]]
    return [
        {"name": layers[0]["name"]}
        | {key: _mean([layer[key] for layer in layers]) for key in layers[0] if key != "name"}
        for layers in zip(*networks, strict=True)
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _gap(trial: Trial, metric: str) -> float | None:
    own, train = trial.metrics.get(metric), trial.metrics.get(f"train_{metric}")
    return None if own is None or train is None else own - train
