"""New rows through an artifact: read as the training table was, answered with labels and probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.table import read_rows
from hptune.description import Description, read_description
from hptune.interruption import Interruption
from hptune.training.workers import WarmProcesses


def predict_table(artifact: Path, data: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Predict every row of a file.

    Args:
        artifact: A model that hptune wrote; it is opened in a process of its own.
        data: The rows.

    Returns:
        The table to write, and notes for the user.
    """
    about = read_description(artifact)
    rows = read_rows(data, about.columns, about.missing, about.id)
    interruption = Interruption()
    with (
        interruption.watch(),
        WarmProcesses(interruption) as processes,
        tempfile.TemporaryDirectory(prefix="hptune-") as scratch,
    ):
        answers = processes.call(_predict, artifact, rows, about.columns, output=Path(scratch) / "output.txt")
    return _arrange(about, rows, answers), _unseen_categories(about, rows)


def _predict(artifact: Path, rows: pl.DataFrame, columns: tuple[tuple[str, str], ...]) -> npt.NDArray[np.float32]:
    from hptune.artifact import predict_rows

    return predict_rows(artifact, rows, columns)


def _arrange(about: Description, rows: pl.DataFrame, answers: npt.NDArray[np.float32]) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    if about.id is not None and about.id in rows.columns:
        columns[about.id] = rows[about.id]
    if about.task == "regression":
        columns["prediction"] = pl.Series(answers)
        return pl.DataFrame(columns)
    labels = np.array(about.labels, dtype=object)
    columns["prediction"] = pl.Series(labels[answers.argmax(axis=1)].tolist(), dtype=pl.String)
    for index, label in enumerate(about.labels):
        columns[f"p_{label}"] = pl.Series(answers[:, index])
    return pl.DataFrame(columns)


def _unseen_categories(about: Description, rows: pl.DataFrame) -> tuple[str, ...]:
    """Count cells whose category the model has never seen, one note a column."""
    notes = []
    for column, known in about.vocabularies.items():
        unseen = rows[column].drop_nulls().filter(~rows[column].drop_nulls().is_in(list(known)))
        if len(unseen):
            example = unseen[0]
            notes.append(
                f'column "{column}": {len(unseen)} rows have a category that training never saw, such as "{example}"; '
                "they are predicted as unknown"
            )
    return tuple(notes)
