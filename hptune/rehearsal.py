"""A search of one trial and one epoch in a scratch folder: what a search takes besides training, measured."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hptune.groundwork import Groundwork
from hptune.interruption import Interruption
from hptune.objective import Objective
from hptune.reporting.page import write_page
from hptune.run.folder import CURVE, RunFolder
from hptune.session import Session
from hptune.space import Value
from hptune.spec import load_experiment
from hptune.training.crew import Crew
from hptune.training.workers import WarmProcesses
from hptune.trial import Trial
from hptune.tuner import Observer, Plan, Silence

_CHANGES = ("strategy={name: random}", "budget={max_trials: 1}", "training.epochs=1", "start_from=[]")


@dataclass(frozen=True)
class Rehearsal:
    """What was measured.

    Attributes:
        end_s: Seconds from the end of the last trial to the end of the search: the best model, its check, the page.
        folder_bytes: The run folder without its trials.
        trial_bytes: What each trial adds to it besides weights and predictions.
        epoch_bytes: What each epoch adds.
    """

    end_s: float
    folder_bytes: int
    trial_bytes: int
    epoch_bytes: int


class _Bell(Silence):
    """Notes when the last trial ended."""

    def __init__(self) -> None:
        self.rang = time.monotonic()

    def finished(self, trial: Trial) -> None:
        self.rang = time.monotonic()


def rehearse(
    ground: Groundwork,
    overrides: Sequence[str],
    values: Mapping[str, Value],
    folder: RunFolder,
    processes: WarmProcesses,
    crew: Crew,
    interruption: Interruption,
) -> Rehearsal:
    """Search with one trial.

    Args:
        ground: Experiment and data.
        overrides: Those with which the experiment was read.
        values: The configuration to train.
        folder: Does not exist yet.
        processes: Where the worker comes from.
        crew: Who would train in a search.
        interruption: Asked whether to stop.
    """
    source = ground.loaded
    changes = [*overrides, *_CHANGES]
    # With one epoch a dimension may be inactive that was active.
    space = load_experiment(source.path, changes, source.content).experiment.space()
    start = json.dumps([space.project(values)])
    loaded = load_experiment(source.path, [*changes, f"start_from={start}"], source.content)
    bell = _Bell()

    def observe(objective: Objective, plan: Plan, finished: Sequence[Trial]) -> AbstractContextManager[Observer]:
        del objective, plan, finished
        return nullcontext(bell)

    alone = replace(crew, workers=1)
    Session(Groundwork(loaded, ground.dataset), folder, alone, interruption).search(processes, observe)
    write_page(folder)
    end_s = time.monotonic() - bell.rang
    trials = _size(folder.path / "trials")
    epoch_bytes = sum(path.stat().st_size for path in (folder.path / "trials").rglob(CURVE))
    return Rehearsal(end_s, _size(folder.path) - trials, _records_of_trial(folder), epoch_bytes)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _records_of_trial(folder: RunFolder) -> int:
    kinds = ('"propose"', '"start"', '"end"')
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    return sum(len(line) for line in lines if any(kind.encode() in line[:200] for kind in kinds))
