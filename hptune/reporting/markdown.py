"""A run as Markdown, fit for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hptune.reporting.summary import Summary
from hptune.reporting.words import (
    describe_certainty,
    describe_ensemble,
    format_number,
    format_value,
    printable,
    verdict_rows,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@])")


def to_markdown(summary: Summary, most_rows: int = 20) -> str:
    """Write verdict and leaderboard; text from data is escaped, so that it shows as it is and does nothing.

    Args:
        summary: What to tell.
        most_rows: How many ranks to show.
    """
    metric = summary.objective.metric
    lines = [f"# hptune: {_escape(summary.name)}", "", f"{_escape(summary.state)}; {_count_outcomes(summary)}.", ""]
    if summary.best is not None:
        lines += [
            f"Best **{metric} {format_number(summary.best.score)}** on validation rows (trial {summary.best.number}).",
            "",
        ]
    if summary.verdict is not None and (rows := verdict_rows(summary.verdict)):
        lines += [*_table(("metric", *rows[0][1]), [(name, *scores.values()) for name, scores in rows]), ""]
        if said := describe_certainty(summary.verdict):
            lines += [*(f"* {_escape(line)}" for line in said), ""]
    if summary.ensemble is not None:
        lines += [f"* {_escape(line)}" for line in describe_ensemble(summary.ensemble)] + [""]
    board = summary.leaderboard
    shown = [row for row in board.rows() if row["rank"] is not None][:most_rows]
    if shown:
        spread = ("std_error",) if any(trial.n > 1 for trial in board.scored) else ()
        confirmed = ("confirmed", "confirmed_error") if board.confirmed else ()
        columns = ("rank", "trial", "score", *spread, *confirmed, "best_epoch", "weights", *board.dimensions)
        lines += [*_table(columns, [[row[column] for column in columns] for row in shown]), ""]
        if len(board.scored) > len(shown):
            lines += [f"{len(board.scored) - len(shown)} further trials are in leaderboard.csv.", ""]
    return "\n".join(lines)


def _count_outcomes(summary: Summary) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items())) or "no trial ended"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(_escape(column) for column in columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_escape(format_value(cell)) for cell in row) + " |" for row in rows),
    ]


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))
