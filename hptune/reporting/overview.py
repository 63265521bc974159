"""The runs of a folder at a glance; read without a lock, and a damaged run does not hide the others."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hptune.errors import HptuneError, RunDamagedError, StorageError
from hptune.reporting.summary import summarize
from hptune.run.files import read_file
from hptune.run.folder import RunFolder, list_runs

SHOWN_STATES = ("finished", "interrupted", "running", "killed", "damaged", "empty")


@dataclass(frozen=True)
class RunLine:
    """One run.

    Attributes:
        name: Of its folder.
        state: finished, interrupted, running, killed (it neither works nor was stopped), damaged, or empty.
        detail: Why it ended, or what is wrong with it.
        trials: Trials that have a score.
        metric: Of the objective; empty where it cannot be read.
        score: The best on validation rows.
        changed: When its journal was last written, UTC.
        size_bytes: Of all its files.
    """

    name: str
    state: str
    detail: str
    trials: int
    metric: str
    score: float | None
    changed: str
    size_bytes: int


def list_overview(runs: Path) -> list[RunLine]:
    """Describe every run of a folder, the latest first."""
    folders = sorted(list_runs(runs), key=lambda folder: folder.journal.lstat().st_mtime, reverse=True)
    return [_describe(folder) for folder in folders]


def _describe(folder: RunFolder) -> RunLine:
    status = folder.journal.lstat()
    changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    size = _measure(folder.path)
    if not status.st_size:
        return RunLine(folder.name, "empty", "stopped before anything was recorded", 0, "", None, changed, size)
    try:
        summary = summarize(folder)
    except (RunDamagedError, StorageError) as error:
        return RunLine(folder.name, "damaged", error.message, 0, "", None, changed, size)
    except HptuneError as error:
        return RunLine(folder.name, "empty", error.message, 0, "", None, changed, size)
    state, _, detail = summary.state.partition(": ")
    if state not in SHOWN_STATES:
        state, detail = ("running", "") if _is_held(folder) else ("killed", "goes on with the same hptune search")
    best = summary.best
    score = None if best is None else best.score
    scored = len(summary.leaderboard.scored)
    return RunLine(folder.name, state, detail, scored, summary.objective.metric, score, changed, size)


def _measure(folder: Path) -> int:
    """Sum up the sizes of files; one that a search deletes meanwhile counts for nothing."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(place, name)).st_size
    return size


def _is_held(folder: RunFolder) -> bool:
    """Tell whether the process that says it holds the run is still there; the lock itself is not touched."""
    try:
        holder = json.loads(read_file(folder.holder))
        if holder["host"] != os.uname().nodename:
            return True  # Nobody can tell from here.
        os.kill(int(holder["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError, HptuneError):
        return False
    return True
