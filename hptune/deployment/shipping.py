"""One model written for a runtime, and held against the artifact on real rows; what a worker runs.

Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from hptune.artifact import PARITY_TOLERANCE, load_artifact, predict_with
from hptune.deployment.delivery import Shipped
from hptune.deployment.pruning import Pruned, prune
from hptune.deployment.reshaping import input_names
from hptune.deployment.runtimes import RUNTIMES, raw_arrays
from hptune.description import Description
from hptune.errors import ArtifactError

# What folding a constant into a bias may cost, relative to values above 1.
_PRUNING_TOLERANCE = 1e-6


def ship(artifact: Path, about: Description, form: str, folder: Path, rows: pl.DataFrame, is_pruned: bool) -> Shipped:
    """Write an artifact for a runtime.

    Args:
        artifact: What to write.
        about: Its description.
        form: One of `RUNTIMES`.
        folder: An empty one.
        rows: Raw rows to hold it against the artifact on.
        is_pruned: Whether idle units are removed first.

    Raises:
        ArtifactError: If what was written predicts anything else than the artifact.
    """
    model = load_artifact(artifact)
    expected = predict_with(model, rows, about.columns)
    pruned: Pruned | None = None
    if is_pruned:
        pruned = prune(model)
        model = pruned.model
        _compare(predict_with(model, rows, about.columns), expected, _PRUNING_TOLERANCE, f"{artifact}, pruned")
    runtime = RUNTIMES[form]
    runtime.write(model, about, folder)
    (folder / "inputs.json").write_text(describe_inputs(about, form), encoding="utf-8")
    predicted = runtime.open(folder, about)(raw_arrays(rows, about))
    difference = _compare(predicted.reshape(expected.shape), expected, PARITY_TOLERANCE, str(folder))
    if pruned is None:
        return Shipped(rows.height, difference)
    return Shipped(rows.height, difference, pruned.units, pruned.weights)


def _compare(predicted: Any, expected: Any, tolerance: float, where: str) -> float:
    worst = float(np.max(np.abs(predicted - expected) / np.maximum(np.abs(expected), 1)))
    # Written so that NaN fails too.
    if not worst <= tolerance:
        raise ArtifactError(
            f"{where}: its predictions differ from the artifact's by {worst:.2g}, expected at most {tolerance:g}; "
            "do not use it, and please report this with the experiment"
        )
    return worst


def describe_inputs(about: Description, form: str) -> str:
    """Say in JSON how the model is fed and what it answers."""
    names = input_names(about)
    missing = {"numeric": "NaN", "categorical": '""'}
    content = {
        "schema": 1,
        "format": form,
        "keras": keras.__version__,
        "task": about.task,
        "target": about.target,
        "inputs": [
            {
                # A Keras artifact takes a dict by column, whatever its inputs are called.
                "input": column if form == "keras" else names[column],
                "column": column,
                "type": "float32" if kind == "numeric" else "string",
                "shape": ["rows", 1],
                "missing": missing[kind],
            }
            for column, kind in about.columns
        ],
        "output": "prediction",
        "labels": list(about.labels),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
