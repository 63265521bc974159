"""A run as Markdown, fit for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hptune.reporting.gates import Comparison
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


def to_markdown(summary: Summary, comparison: Comparison | None = None, most_rows: int = 20) -> str:
    """Write verdict and leaderboard; text from data is escaped, so that it shows as it is and does nothing.

    Args:
        summary: What to tell.
        comparison: With a baseline, if any.
        most_rows: How many ranks to show.
    """
    metric = summary.objective.metric
    lines = [
        f"# hptune: {escape_markdown(summary.name)}",
        "",
        f"{escape_markdown(summary.state)}; {_count_outcomes(summary)}.",
        "",
    ]
    if comparison is not None:
        lines += _tell_comparison(comparison)
    if summary.best is not None:
        lines += [
            f"Best **{metric} {format_number(summary.best.score)}** on validation rows (trial {summary.best.number}).",
            "",
        ]
    if summary.verdict is not None and (rows := verdict_rows(summary.verdict)):
        lines += [*markdown_table(("metric", *rows[0][1]), [(name, *scores.values()) for name, scores in rows]), ""]
        if said := describe_certainty(summary.verdict):
            lines += [*(f"* {escape_markdown(line)}" for line in said), ""]
    if summary.ensemble is not None:
        lines += [f"* {escape_markdown(line)}" for line in describe_ensemble(summary.ensemble)] + [""]
    board = summary.leaderboard
    shown = [row for row in board.rows() if row["rank"] is not None][:most_rows]
    if shown:
        spread = ("std_error",) if any(trial.n > 1 for trial in board.scored) else ()
        confirmed = ("confirmed", "confirmed_error") if board.confirmed else ()
        columns = ("rank", "trial", "score", *spread, *confirmed, "best_epoch", "weights", *board.dimensions)
        lines += [*markdown_table(columns, [[row[column] for column in columns] for row in shown]), ""]
        if len(board.scored) > len(shown):
            lines += [f"{len(board.scored) - len(shown)} further trials are in leaderboard.csv.", ""]
    return "\n".join(lines)


def _tell_comparison(comparison: Comparison) -> list[str]:
    """Write what became better or worse; only the objective decides."""
    rows = []
    for change in comparison.changes:
        found = change.interval
        between = "" if found is None else f"{found.low:.4g} to {found.high:.4g}"
        is_sure = found is not None and (found.low > 0 or found.high < 0)
        word = "within noise" if not is_sure else "better" if change.gain > 0 else "worse"
        name = f"{change.metric} (decides)" if change.metric == comparison.metric else change.metric
        rows.append((name, change.before, change.after, change.gain, between, word))
    columns = ("metric", "baseline", "now", "gain", "95% interval", "")
    sign = "❌" if comparison.is_worse else "✅"
    return [
        f"{sign} Against {escape_markdown(comparison.baseline)}: {escape_markdown(comparison.verdict)}.",
        "",
        *markdown_table(columns, rows),
        "",
    ]


def _count_outcomes(summary: Summary) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items())) or "no trial ended"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a table."""
    return [
        "| " + " | ".join(escape_markdown(column) for column in columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(escape_markdown(format_value(cell)) for cell in row) + " |" for row in rows),
    ]


def escape_markdown(text: str) -> str:
    """Let text from data show as it is, whatever it holds."""
    return _SPECIAL.sub(r"\\\1", printable(text))
