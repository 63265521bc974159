"""The test rows as the winner met them: truth and predictions, kept so that a later model can be held against this one.

`best/test_rows.npz` holds them in the run folder; a baseline is the same in one JSON file that can be committed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.errors import RunDamagedError, UsageError
from hptune.objective import METRICS, Task
from hptune.run.files import write_file

TEST_ROWS = "test_rows.npz"
# Of a baseline's JSON; more would be the predictions of ten million rows.
_LARGEST_BYTES = 1 << 30
_TYPES = {
    "truth": {"classes": "<i4", "values": "<f8"},
    "prediction": {"classes": "<f4", "values": "<f4"},
    "weights": {"classes": "<f8", "values": "<f8"},
    "groups": {"classes": "<i4", "values": "<i4"},
}
# What rows need not have, and older files lack.
_OPTIONAL = ("weights", "groups")


@dataclass(frozen=True)
class TestRows:
    """What a model predicted for the test rows.

    Attributes:
        truth: Class indices or values, (rows,).
        prediction: Probabilities (rows, classes), or values (rows,).
        sha256: Of the raw rows: equal rows in equal order have equal hashes.
        weights: How much each row counts, (rows,); None where all count the same.
        threshold: Probability from which on a row is taken for the positive class; None for a half.
        groups: Rows of equal number belong together, (rows,); None where each stands for itself.
    """

    # Its name is no test's.
    __test__ = False

    truth: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    sha256: str
    weights: npt.NDArray[np.float64] | None = None
    threshold: float | None = None
    groups: npt.NDArray[np.integer[Any]] | None = None

    def save(self, path: Path) -> None:
        """Write `test_rows.npz`."""
        arrays = {"truth": self.truth, "prediction": self.prediction, "sha256": np.array(self.sha256)}
        threshold = None if self.threshold is None else np.array(self.threshold)
        known = {"weights": self.weights, "threshold": threshold, "groups": self.groups}
        arrays |= {name: array for name, array in known.items() if array is not None}
        write_file(path, lambda stream: np.savez(stream, allow_pickle=False, **arrays))


@dataclass(frozen=True)
class Baseline:
    """A model to hold a later one against.

    Attributes:
        run: Name of its run.
        task: What it predicts.
        labels: Class labels; empty for regression.
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target was divided in training.
        metrics: On test rows.
        rows: What it predicted for them.
    """

    run: str
    task: Task
    labels: tuple[str, ...]
    positive: int | None
    scale: float
    metrics: Mapping[str, float]
    rows: TestRows

    def to_json(self) -> str:
        """Write the baseline as one JSON document."""
        kind = "classes" if self.labels else "values"
        packed = {
            name: base64.b64encode(np.asarray(array).astype(types[kind]).tobytes()).decode()
            for name, types in _TYPES.items()
            if (array := getattr(self.rows, name)) is not None
        }
        content = {
            "schema": 1,
            "type": "baseline",
            "run": self.run,
            "task": self.task,
            "labels": list(self.labels),
            "positive": self.positive,
            "scale": self.scale,
            "threshold": self.rows.threshold,
            "metrics": dict(self.metrics),
            "rows": {"count": len(self.rows.truth), "sha256": self.rows.sha256, **packed},
        }
        return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def hash_rows(frame: pl.DataFrame) -> str:
    """Hash raw rows by their content, whatever file they came from."""
    digest = hashlib.sha256()
    for series in frame:
        digest.update(f"{series.name}\0{series.dtype}\0".encode())
        if series.dtype == pl.String:
            cells = ("\0" if cell is None else f"\1{cell}" for cell in series)
            digest.update("\2".join(cells).encode())
        else:
            digest.update(series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()


def load_test_rows(path: Path) -> TestRows:
    """Read `test_rows.npz`.

    Raises:
        UsageError: If the run has none.
        RunDamagedError: If the file is not what was written.
    """
    if not path.is_file():
        raise UsageError(
            f"{path}: the run has no test rows on record, against which another model could be held; it has none in "
            "data.split, is not finished, or was written by an older version"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            threshold = arrays.get("threshold")
            return TestRows(
                arrays["truth"],
                arrays["prediction"],
                str(arrays["sha256"]),
                arrays.get("weights"),
                None if threshold is None else float(threshold),
                arrays.get("groups"),
            )
    except (ValueError, OSError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise RunDamagedError(f"{path}: expected the test rows that hptune wrote: {error}") from None


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: If it is not what `hptune report --format baseline` writes.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, labels = content["rows"], tuple(map(str, content["labels"]))
        kind, count = "classes" if labels else "values", int(rows["count"])
        arrays = {
            name: np.frombuffer(base64.b64decode(rows[name], validate=True), dtype=_TYPES[name][kind])
            for name in _TYPES
            if name not in _OPTIONAL or name in rows
        }
        shape = (count, len(labels)) if labels else (count,)
        truth, prediction = arrays["truth"].reshape(count), arrays["prediction"].reshape(shape)
        weights, groups = (arrays[name].reshape(count) if name in arrays else None for name in _OPTIONAL)
        threshold = content.get("threshold")
        is_known = not labels or (len(labels) > 1 and count and truth.min() >= 0 and truth.max() < len(labels))
        if content["type"] != "baseline" or content["schema"] != 1 or not is_known or not np.isfinite(prediction).all():
            raise ValueError("its content does not fit together")
        return Baseline(
            run=str(content["run"]),
            task=content["task"],
            labels=labels,
            positive=content["positive"],
            scale=float(content["scale"]),
            metrics={name: float(value) for name, value in content["metrics"].items() if name in METRICS},
            rows=TestRows(
                truth, prediction, str(rows["sha256"]), weights, None if threshold is None else float(threshold), groups
            ),
        )
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; make one with: hptune report RUN --format baseline --output {path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: expected a baseline as hptune report --format baseline writes it, got {type(error).__name__}: "
            f"{str(error)[:100]!a}"
        ) from None
