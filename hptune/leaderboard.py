"""Ranked trials: best first, ties by trial number, those without a score last.

The files hold no clock and no test column, so that equal searches give equal bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hptune.objective import Objective
from hptune.trial import Trial

FIXED_COLUMNS = ("rank", "trial", "status", "score", "std_error", "n", "best_epoch", "epochs", "weights", "engine")
# Where candidates were trained again.
CONFIRMED_COLUMNS = ("confirmed", "confirmed_error", "confirmed_n")


@dataclass(frozen=True)
class Confirmed:
    """What a candidate reached with fresh seeds.

    Attributes:
        score: The mean over seeds; None where a training came to nothing.
        std_error: Of the mean.
        n: How many seeds.
    """

    score: float | None
    std_error: float | None
    n: int


@dataclass(frozen=True)
class Leaderboard:
    """Trials in the order of their rank, with the dimensions that vary, and what candidates reached when confirmed."""

    objective: Objective
    trials: tuple[Trial, ...]
    dimensions: tuple[str, ...]
    confirmed: Mapping[int, Confirmed] = field(default_factory=dict)

    @property
    def fixed_columns(self) -> tuple[str, ...]:
        """The columns before the dimensions."""
        return FIXED_COLUMNS + (CONFIRMED_COLUMNS if self.confirmed else ())

    @cached_property
    def scored(self) -> tuple[Trial, ...]:
        """The trials that have a score, best first."""
        return tuple(trial for trial in self.trials if trial.score is not None)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a trial: the fixed columns, then one a dimension; None where there is no value."""
        rows = []
        for rank, trial in enumerate(self.trials, start=1):
            has_score = trial.score is not None
            row: dict[str, Any] = {
                "rank": rank if has_score else None,
                "trial": trial.number,
                "status": trial.outcome.value,
                "score": trial.score,
                "std_error": trial.std_error,
                "n": trial.n if has_score else None,
                "best_epoch": trial.best_epoch,
                "epochs": trial.epochs,
                "weights": trial.weights,
                "engine": trial.engine or None,
            }
            if self.confirmed:
                found = self.confirmed.get(trial.number, Confirmed(None, None, 0))
                row |= {"confirmed": found.score, "confirmed_error": found.std_error, "confirmed_n": found.n or None}
            values = trial.proposal.values
            # A chosen null is a value; only an inactive dimension is missing.
            row.update({name: "null" if values.get(name, "") is None else values.get(name) for name in self.dimensions})
            rows.append(row)
        return rows

    def to_csv(self) -> str:
        """Write the rows as CSV: full precision, missing is empty."""
        columns = [*self.fixed_columns, *self.dimensions]
        return table_to_csv(columns, ([row[column] for column in columns] for row in self.rows()))

    def to_json(self) -> str:
        """Write the rows as JSON; a dimension without a value is absent, one whose value is null is null."""
        entries = []
        for row, trial in zip(self.rows(), self.trials, strict=True):
            fixed = {column: row[column] for column in self.fixed_columns}
            entries.append({**fixed, "values": dict(trial.proposal.values)})
        document = {
            "schema": 1,
            "objective": {"metric": self.objective.metric, "direction": self.objective.direction},
            "trials": entries,
        }
        return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def rank(
    trials: Iterable[Trial],
    objective: Objective,
    dimensions: Sequence[str],
    confirmed: Mapping[int, Confirmed] | None = None,
) -> Leaderboard:
    """Order trials by score, then by number."""

    def key(trial: Trial) -> tuple[bool, float, int]:
        if trial.score is not None:
            return False, objective.sort_key(trial.score), trial.number
        return True, 0.0, trial.number

    return Leaderboard(objective, tuple(sorted(trials, key=key)), tuple(dimensions), confirmed or {})


def table_to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table as CSV: numbers with full precision, true and false as in YAML, missing as empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
