"""What every export tells of a run: its trials with their learning curves and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hptune.objective import Objective
from hptune.reporting.curves import read_mean_curve
from hptune.reporting.recorded import experiment_of
from hptune.reporting.summary import leaderboard_of
from hptune.run.folder import RunFolder
from hptune.run.records import replay
from hptune.space import SearchSpace
from hptune.trial import Trial


@dataclass(frozen=True)
class ToldTrial:
    """A trial with what the journal and its curve say.

    Attributes:
        trial: As it ended.
        began: When its first attempt was recorded, UTC.
        ended: When its end was recorded, UTC.
        epochs: Metrics of each epoch by name; `epoch` counts from 1.
    """

    trial: Trial
    began: datetime
    ended: datetime
    epochs: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class ToldRun:
    """A run for other tools.

    Attributes:
        name: Of the run.
        objective: The aim.
        space: What varied.
        trials: In the order of their numbers.
    """

    name: str
    objective: Objective
    space: SearchSpace
    trials: tuple[ToldTrial, ...]


def tell_run(folder: RunFolder) -> ToldRun:
    """Read a run.

    Raises:
        UsageError: If the folder is no run.
        RunDamagedError: If a file of the run is not what was written.
    """
    records = folder.records()
    history = replay(records)
    times: dict[int, list[str]] = {}
    for record in records:
        if record["type"] in ("start", "pause", "end"):
            times.setdefault(record["trial"], []).append(record["utc"])
    board = leaderboard_of(history)
    told = [
        ToldTrial(
            trial,
            _time(times.get(trial.number, [_EPOCH])[0]),
            _time(times.get(trial.number, [_EPOCH])[-1]),
            tuple(read_mean_curve(folder, trial)),
        )
        for trial in sorted(board.trials, key=lambda trial: trial.number)
    ]
    space = experiment_of(history.header, folder.name).space()
    return ToldRun(folder.name, board.objective, space, tuple(told))


_EPOCH = "1970-01-01T00:00:00Z"


def _time(utc: str) -> datetime:
    return datetime.fromisoformat(utc).astimezone(UTC)
