"""Runs made by hand: journals with a header and ended trials, for tests of what is told about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hptune.run.journal import open_journal

_HEADER = {"format": 2, "dimensions": ["model.units"], "task": "binary", "versions": {}}
_END = {
    "attempt": 1,
    "until": None,
    "outcome": "completed",
    "metrics": {},
    "best_epoch": 1,
    "epochs": 1,
    "weights": 1,
    "engine": "keras",
    "artifacts": [],
    "message": "",
    "seconds": 1.0,
    "worker": 0,
}


def make_run(
    folder: Path,
    scores: Sequence[float] = (),
    stop: str | None = None,
    metric: str = "accuracy",
    direction: str = "max",
) -> Path:
    """Make a run whose trials have these scores; without `stop` it looks as if it were under way."""
    folder.mkdir(parents=True)
    with open_journal(folder / "journal.jsonl") as (journal, _):
        journal.append("header", **_HEADER, objective={"metric": metric, "direction": direction})
        for number, score in enumerate(scores):
            journal.append("propose", trial=number, values={"model.units": number}, seed=1, told=0, until=None)
            journal.append("start", trial=number, attempt=1)
            journal.append("end", **_END, trial=number, score=score)
        if stop is not None:
            journal.append("stop", reason=stop, through=None)
    return folder
