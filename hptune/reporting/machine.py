"""A run for programs: JSON with a schema version, or the leaderboard as CSV."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hptune.leaderboard import table_to_csv
from hptune.reporting.gates import Comparison
from hptune.reporting.summary import Summary
from hptune.trial import Trial


def to_json(summary: Summary, comparison: Comparison | None = None) -> str:
    """Write the whole summary as one JSON document, with what a baseline tells if there is one."""
    board = json.loads(summary.leaderboard.to_json())
    document = {
        "schema": 1,
        "run": summary.name,
        "state": summary.state,
        "objective": board["objective"],
        "task": summary.header["task"],
        "trials": board["trials"],
        "outcomes": dict(summary.outcomes),
        "proposed": summary.proposed,
        "best": summary.verdict,
        "ensemble": summary.ensemble,
        "insight": summary.insight,
        "test_looks": summary.test_looks,
    }
    if comparison is not None:
        document["baseline"] = {**asdict(comparison), "is_worse": comparison.is_worse}
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(summary: Summary) -> str:
    """Write the leaderboard as CSV for a spreadsheet: text that it would take for a formula is text there too."""
    board = summary.leaderboard
    columns = [*board.fixed_columns, *board.dimensions]
    rows = ([_inert(row[column]) for column in columns] for row in board.rows())
    return table_to_csv([_inert(column) for column in columns], rows)


def _inert(cell: Any) -> Any:
    """Put an apostrophe before text that begins like a formula; numbers stay numbers.

    >>> _inert("=1+1"), _inert("relu"), _inert(-1.5)
    ("'=1+1", 'relu', -1.5)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def trial_record(trial: Trial) -> dict[str, Any]:
    """One trial as the JSON Lines of `search --json` and `report --trial` tell it."""
    return {
        "schema": 1,
        "type": "trial",
        "trial": trial.number,
        "attempt": trial.attempt,
        "status": trial.outcome.value,
        "score": trial.score,
        "metrics": dict(trial.metrics),
        "best_epoch": trial.best_epoch,
        "epochs": trial.epochs,
        "weights": trial.weights,
        "engine": trial.engine,
        "values": dict(trial.proposal.values),
        "seed": trial.proposal.seed,
        "seconds": round(trial.seconds, 3),
        "worker": trial.worker,
        "message": trial.message,
    }
