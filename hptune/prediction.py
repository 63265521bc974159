"""New rows through an artifact: read as the training table was, answered with labels and probabilities.

The rows are read, predicted and handed on a block at a time, in a process of their own, so that memory does not grow
with the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.blocks import stream_rows
from hptune.data.formats import quote
from hptune.description import Description, read_description
from hptune.errors import DataError
from hptune.resampling import decide
from hptune.training.workers import WarmProcesses


@dataclass(frozen=True)
class Unseen:
    """Cells of a column whose category training never saw.

    Attributes:
        count: How many.
        example: One of them.
    """

    count: int
    example: str


class Answers:
    """Predictions, a table for each block of rows; `notes` are complete when all tables were taken."""

    def __init__(self, artifact: Path, data: Path, processes: WarmProcesses, output: Path) -> None:
        """Set up.

        Args:
            artifact: A model that hptune wrote; it is opened in a process of its own.
            data: The rows.
            processes: Where that process comes from.
            output: A file for what it prints.
        """
        self._unseen: dict[str, Unseen] = {}
        about = read_description(artifact)
        self._answers = processes.stream(_predict, artifact, data, about, output=output)

    @property
    def tables(self) -> Iterator[pl.DataFrame]:
        """The id column if there is one, then `prediction`, then a column `p_LABEL` for each class."""
        for table, unseen in self._answers:
            _add(self._unseen, unseen)
            yield table

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: one note for each column with categories that were never seen."""
        return _tell_unseen(self._unseen)


def evaluate_table(
    artifact: Path, data: Path, processes: WarmProcesses, output: Path
) -> tuple[int, dict[str, float], tuple[str, ...]]:
    """Score an artifact on every row of a file that has the target; arguments as for `Answers`.

    Returns:
        Number of rows, metrics by name, and notes for the user.

    Raises:
        DataError: If a row has no target, or one that training never saw.
    """
    about = read_description(artifact)
    rows, metrics, unseen = processes.call(_evaluate, artifact, data, about, output=output)
    return rows, metrics, _tell_unseen(unseen)


def _predict(artifact: Path, data: Path, about: Description) -> Iterator[tuple[pl.DataFrame, dict[str, Unseen]]]:
    from hptune.opening import OpenedModel

    model = OpenedModel(artifact)
    for block in stream_rows(data, about.columns, about.missing, about.id):
        answers = model.predict(block.frame, about.columns)
        yield _arrange(about, block.frame, answers), _find_unseen(about, block.frame)


def _evaluate(artifact: Path, data: Path, about: Description) -> tuple[int, dict[str, float], dict[str, Unseen]]:
    from hptune.opening import OpenedModel
    from hptune.verdict import score

    model = OpenedModel(artifact)
    kind = "categorical" if about.labels else "numeric"
    # As the report's figures: where rows count differently, the file has to say how much.
    weight = () if about.weight is None else ((about.weight, "numeric"),)
    unseen: dict[str, Unseen] = {}
    answered, predictions = [], []
    for block in stream_rows(data, (*about.columns, (about.target, kind), *weight), about.missing, None):
        _check_target(data, about, block.frame[about.target], block.first_row)
        answered.append(block.frame.select(about.target, *(name for name, _ in weight)))
        predictions.append(model.predict(block.frame, about.columns))
        _add(unseen, _find_unseen(about, block.frame))
    rows = pl.concat(answered)
    return rows.height, score(about, rows, np.concatenate(predictions)), unseen


def _check_target(data: Path, about: Description, target: pl.Series, first_row: int) -> None:
    where = f"{data}: column {quote(about.target)}"
    if target.null_count():
        row = target.is_null().arg_max()
        assert row is not None
        raise DataError(f"{where}: row {row + first_row}: expected a target in every row, got none; leave it out")
    if about.labels and not (known := target.is_in(list(about.labels))).all():
        row = (~known).arg_max()
        assert row is not None
        labels = ", ".join(map(quote, about.labels))
        raise DataError(f"{where}: row {row + first_row}: expected one of {labels}, got {quote(target[row])}")


def _arrange(about: Description, rows: pl.DataFrame, answers: npt.NDArray[Any]) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    if about.id is not None and about.id in rows.columns:
        columns[about.id] = rows[about.id]
    if about.task == "regression":
        columns["prediction"] = pl.Series(answers)
        return pl.DataFrame(columns)
    labels = np.array(about.labels, dtype=object)
    chosen = answers.argmax(axis=1)
    if about.threshold is not None and about.positive is not None:
        chosen = decide(answers, about.positive, about.threshold).argmax(axis=1)
    columns["prediction"] = pl.Series(labels[chosen].tolist(), dtype=pl.String)
    for index, label in enumerate(about.labels):
        columns[f"p_{label}"] = pl.Series(answers[:, index])
    return pl.DataFrame(columns)


def _find_unseen(about: Description, rows: pl.DataFrame) -> dict[str, Unseen]:
    found = {}
    for column, known in about.vocabularies.items():
        given = rows[column].drop_nulls()
        unseen = given.filter(~given.is_in(list(known)))
        if len(unseen):
            found[column] = Unseen(len(unseen), str(unseen[0]))
    return found


def _add(total: dict[str, Unseen], found: Mapping[str, Unseen]) -> None:
    """Count what a further block holds."""
    for column, unseen in found.items():
        before = total.get(column, Unseen(0, unseen.example))
        total[column] = Unseen(before.count + unseen.count, before.example)


def _tell_unseen(unseen: Mapping[str, Unseen]) -> tuple[str, ...]:
    return tuple(
        f'column "{column}": {found.count} rows have a category that training never saw, such as "{found.example}"; '
        "they are predicted as unknown"
        for column, found in unseen.items()
    )
