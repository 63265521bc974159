"""New rows through an artifact: read as the training table was, answered with labels and probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.formats import FIRST_DATA_ROW, find_separator, quote
from hptune.data.table import read_rows
from hptune.description import Description, read_description
from hptune.errors import DataError
from hptune.training.workers import WarmProcesses


def predict_table(
    artifact: Path, data: Path, processes: WarmProcesses, output: Path
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Predict every row of a file.

    Args:
        artifact: A model that hptune wrote; it is opened in a process of its own.
        data: The rows.
        processes: Where that process comes from.
        output: A file for what it prints.

    Returns:
        The table to write, and notes for the user.
    """
    about = read_description(artifact)
    rows = _read(data, about, about.columns, about.id)
    answers = processes.call(_predict, artifact, rows, about.columns, output=output)
    return _arrange(about, rows, answers), _unseen_categories(about, rows)


def evaluate_table(
    artifact: Path, data: Path, processes: WarmProcesses, output: Path
) -> tuple[int, dict[str, float], tuple[str, ...]]:
    """Score an artifact on every row of a file that has the target; arguments as for `predict_table`.

    Returns:
        Number of rows, metrics by name, and notes for the user.

    Raises:
        DataError: If a row has no target, or one that training never saw.
    """
    about = read_description(artifact)
    kind = "categorical" if about.labels else "numeric"
    # As the report's figures: where rows count differently, the file has to say how much.
    weight = () if about.weight is None else ((about.weight, "numeric"),)
    rows = _read(data, about, (*about.columns, (about.target, kind), *weight), None)
    _check_target(data, about, rows[about.target])
    metrics = processes.call(_score, artifact, about, rows, output=output)
    return rows.height, metrics, _unseen_categories(about, rows)


def _read(data: Path, about: Description, columns: tuple[tuple[str, str], ...], kept: str | None) -> pl.DataFrame:
    # New rows may come from another program than the training table; the header tells how it separates columns.
    return read_rows(data, columns, about.missing, kept, find_separator(data))


def _check_target(data: Path, about: Description, target: pl.Series) -> None:
    where = f"{data}: column {quote(about.target)}"
    if target.is_empty():
        raise DataError(f"{data}: expected rows, got none")
    if target.null_count():
        row = target.is_null().arg_max()
        assert row is not None
        raise DataError(f"{where}: row {row + FIRST_DATA_ROW}: expected a target in every row, got none; leave it out")
    if about.labels and not (known := target.is_in(list(about.labels))).all():
        row = (~known).arg_max()
        assert row is not None
        labels = ", ".join(map(quote, about.labels))
        raise DataError(f"{where}: row {row + FIRST_DATA_ROW}: expected one of {labels}, got {quote(target[row])}")


def _score(artifact: Path, about: Description, rows: pl.DataFrame) -> dict[str, float]:
    from hptune.verdict import score_rows

    return score_rows(artifact, about, rows)


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
    chosen = answers.argmax(axis=1)
    if about.threshold is not None and about.positive is not None:
        chosen = np.where(answers[:, about.positive] >= about.threshold, about.positive, 1 - about.positive)
    columns["prediction"] = pl.Series(labels[chosen].tolist(), dtype=pl.String)
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
