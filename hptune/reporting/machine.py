"""A run for programs: JSON with a schema version, or the leaderboard as CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hptune.leaderboard import table_to_csv
from hptune.parts import is_beside, mean, standard_error
from hptune.reporting.gates import Comparison
from hptune.reporting.summary import Summary, scores_of_seeds, told_of_layers
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


def trial_document(summary: Summary, trial: Trial) -> dict[str, Any]:
    """Tell all about one trial: beside its record its parts, how their scores scatter, and its layers.

    `spread` holds figures over the parts of the `search` (folds and repeats) and of its `confirmation` (a seed counts
    once, as the mean over its folds); None where there are none.
    """
    parts = summary.parts.get(trial.number, ())
    own = [part for part in parts if not is_beside(part.proposal.part)]
    confirmed = [part for part in parts if is_beside(part.proposal.part)]
    scores = [part.score for part in own if part.score is not None]
    return {
        **trial_record(trial),
        "std_error": trial.std_error,
        "n": trial.n,
        "parts": [
            {
                "part": part.proposal.part,
                "status": part.outcome.value,
                "score": part.score,
                "best_epoch": part.best_epoch,
                "epochs": part.epochs,
                "weights": part.weights,
                "seed": part.proposal.seed,
                "seconds": round(part.seconds, 3),
                "message": part.message,
            }
            for part in (*own, *confirmed)
        ],
        "spread": {"search": _spread(scores), "confirmation": _spread(scores_of_seeds(confirmed))},
        "layers": (told_of_layers(summary, trial.number) or {}).get("layers"),
    }


def _spread(scores: Sequence[float]) -> dict[str, Any] | None:
    if not scores:
        return None
    return {
        "n": len(scores),
        "mean": mean(scores),
        "std_error": standard_error(scores),
        "lowest": min(scores),
        "highest": max(scores),
    }
