"""One trial whole, as `report --trial` prints it: facts, values, metrics, parts and their spread, layers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hptune.console.screen import out, say, table, write
from hptune.errors import UsageError
from hptune.reporting.machine import trial_document
from hptune.reporting.summary import Summary
from hptune.reporting.words import format_brief
from hptune.trial import Trial

_FACTS = ("status", "attempt", "best_epoch", "epochs", "weights", "engine", "seed", "seconds", "message")
_PART_COLUMNS = ("part", "status", "score", "best_epoch", "epochs", "weights", "seconds", "message")
_LAYER_COLUMNS = ("name", "weights", "zeros", "norm", "units", "dead", "unconnected")


def show_one_trial(summary: Summary, number: int, form: str, output: Path | None) -> None:
    """Print one trial whole, as JSON or as tables.

    Raises:
        UsageError: If no such trial has ended.
    """
    trial = next((trial for trial in summary.leaderboard.trials if trial.number == number), None)
    if trial is None:
        last = max((trial.number for trial in summary.leaderboard.trials), default=None)
        raise UsageError(f"--trial {number}: expected a trial that has ended, the last one is {last}")
    if form == "json":
        write(json.dumps(trial_document(summary, trial), indent=1, ensure_ascii=False) + "\n", output)
    else:
        show_trial(out(), summary, trial)


def show_trial(console: Console, summary: Summary, trial: Trial) -> None:
    """Print one trial as tables."""
    document, metric = trial_document(summary, trial), summary.objective.metric
    console.print(table(f"Trial {trial.number}", ("", ""), [(name, document[name]) for name in _FACTS]))
    console.print(table("Values", ("dimension", "value"), trial.proposal.values.items(), ["value"]))
    if trial.metrics:
        console.print(table(f"Metrics (objective: {metric})", ("metric", "score"), trial.metrics.items()))
    if document["parts"]:
        shown = _columns_with_content(_PART_COLUMNS, document["parts"])
        rows = [[part[column] for column in shown] for part in document["parts"]]
        titles = [metric if column == "score" else column for column in shown]
        right = [title for title in titles if title not in ("part", "status", "message")]
        console.print(table("Parts", titles, rows, right))
        for what, spread in document["spread"].items():
            if spread is not None:
                say(console, _tell_spread(what, spread))
    if document["layers"]:
        rows = [[layer[column] for column in _LAYER_COLUMNS] for layer in document["layers"]]
        console.print(table("Layers", _LAYER_COLUMNS, rows, _LAYER_COLUMNS[1:]))


def _columns_with_content(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [column for column in columns if any(row[column] not in (None, "") for row in rows)]


def _tell_spread(what: str, spread: Mapping[str, Any]) -> str:
    mean, error, count = spread["mean"], spread["std_error"], spread["n"]
    noise = "" if error is None else f" ± {format_brief(error)}"
    return (
        f"{what}: {format_brief(mean)}{noise} (mean and standard error of {count}), "
        f"{format_brief(spread['lowest'])} to {format_brief(spread['highest'])}"
    )
