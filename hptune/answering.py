"""What a model says of rows, from Python: predictions and scores. Nothing here prints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hptune.api import DEFAULT_RUNS, find_artifact, open_processes, refuse_other_backends

if TYPE_CHECKING:
    import polars as pl

    from hptune.prediction import Answers


@dataclass(frozen=True)
class Prediction:
    """What an artifact says of new rows.

    Attributes:
        table: The id column if there is one, then `prediction`, then a column `p_LABEL` for each class.
        notes: What the user should know, such as categories that were never seen in training.
    """

    table: pl.DataFrame
    notes: tuple[str, ...]


def predict(source: str | Path | None, data: str | Path, *, runs: str | Path = DEFAULT_RUNS) -> Prediction:
    """Predict new rows with the best model of a run, or with an artifact.

    Args:
        source: A `.keras` file that hptune wrote, a run's folder or its name; None for the latest run.
        data: CSV, TSV, Parquet or NPZ with the columns of the training table.
        runs: Where names are looked up.

    Raises:
        ArtifactError: If the artifact cannot be read.
        DataError: If a column is missing or a cell cannot be read.
    """
    import polars as pl

    with predict_in_blocks(source, data, runs=runs) as answers:
        table = pl.concat(list(answers.tables))
        return Prediction(table, answers.notes)


@contextmanager
def predict_in_blocks(
    source: str | Path | None, data: str | Path, *, runs: str | Path = DEFAULT_RUNS
) -> Iterator[Answers]:
    """Predict new rows as `predict` does, giving a table for each block of them: memory does not grow with the file."""
    from hptune.prediction import Answers

    refuse_other_backends()
    artifact = find_artifact(source, Path(runs))
    with open_processes() as processes, _scratch() as output:
        yield Answers(artifact, Path(data), processes, output)


@dataclass(frozen=True)
class Evaluation:
    """How well an artifact predicts labelled rows.

    Attributes:
        rows: How many.
        metrics: Every metric of the task that is defined for them, by name.
        notes: What the user should know, such as categories that were never seen in training.
    """

    rows: int
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


def evaluate(source: str | Path | None, data: str | Path, *, runs: str | Path = DEFAULT_RUNS) -> Evaluation:
    """Score the best model of a run, or an artifact, on rows that have the target.

    Args:
        source: A `.keras` file that hptune wrote, a run's folder or its name; None for the latest run.
        data: CSV, TSV, Parquet or NPZ with the columns of the training table and the target.
        runs: Where names are looked up.

    Raises:
        ArtifactError: If the artifact cannot be read.
        DataError: If a column is missing, a cell cannot be read, or a label is unknown.
    """
    from hptune.prediction import evaluate_table

    refuse_other_backends()
    artifact = find_artifact(source, Path(runs))
    with open_processes() as processes, _scratch() as output:
        return Evaluation(*evaluate_table(artifact, Path(data), processes, output))


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give a file for what a worker prints."""
    with tempfile.TemporaryDirectory(prefix="hptune-") as folder:
        yield Path(folder) / "output.txt"
