"""What a worker is told and what it answers; plain values, so that the parent never imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hptune.objective import Objective, Task
from hptune.space import Value
from hptune.trial import Outcome, StoredFile


@dataclass(frozen=True)
class Job:
    """One trial to train.

    Attributes:
        settings: Every setting by dotted name, as `SearchSpace.resolve` gives it.
        seed: Of everything random in the trial.
        arrays: Folder of the prepared arrays.
        numeric_width: Numeric features in them.
        vocabulary_sizes: Codes of each categorical column in them.
        task: What is predicted.
        labels: Class labels in the order of their indices; empty for regression.
        positive: Index of the positive class of a binary task.
        objective: What early stopping watches.
        target_scale: Mean and scale of a regression target, which is trained standardized.
        folder: Empty; takes weights, predictions and the learning curve.
        prefix: What records put before the names of those files: the folder relative to the run.
        until: The epoch after which the trial pauses, keeping its state; the last one where nobody will go on with it.
        state: Written at the last pause; training goes on from there. None to begin.
        shape: Of its arrays: trials with folds of one shape may be trained side by side.
        has_folds: Whether trials side by side may read other rows.
        keeps_last: Whether the weights of the last epoch are kept, where no rows are left to choose an epoch by.
        dials: Settings that any trial of the search may turn, of those that are numbers for a slot to read.
    """

    settings: Mapping[str, Value]
    seed: int
    arrays: Path
    numeric_width: int
    vocabulary_sizes: tuple[int, ...]
    task: Task
    labels: tuple[str, ...]
    positive: int | None
    objective: Objective
    target_scale: tuple[float, float] | None
    folder: Path
    prefix: str
    until: int | None = None
    state: Path | None = None
    dials: frozenset[str] = frozenset()
    shape: tuple[Any, ...] = ()
    has_folds: bool = False
    keeps_last: bool = False

    @property
    def rows(self) -> Any:
        """What trials side by side must have in common beside their structure: arrays, or with folds their shapes."""
        return self.shape if self.has_folds else self.arrays

    @property
    def epochs(self) -> int:
        """The last epoch that the settings allow; schedules are stretched over all of them."""
        epochs: int = self.settings["training.epochs"]
        return epochs

    @property
    def last_epoch(self) -> int:
        """The last epoch of this attempt."""
        return min(self.epochs, self.until or self.epochs)


@dataclass(frozen=True)
class Fitted:
    """What became of a job; the fields are those of `Trial`.

    `files` are named relative to the run folder.
    """

    outcome: Outcome
    engine: str = ""
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    epochs: int = 0
    weights: int | None = None
    files: tuple[StoredFile, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Member:
    """One trained network of an artifact, as a worker gets it.

    Attributes:
        job: How it was trained.
        weights: Its weights, checked against the journal.
        preparation: What it was trained on, as `Preparation.to_dict` gives it.
        share: Of what its trial predicts in the mix.
        trial: Of which it is a part, or all there is.
    """

    job: Job
    weights: Path
    preparation: Mapping[str, Any]
    share: float
    trial: int


@dataclass(frozen=True)
class Measured:
    """What training a population for a moment took; seconds and bytes.

    Attributes:
        number: Of the task.
        slots: Trials side by side.
        build_s: To build the network and seat the trials.
        trace_s: By which the first epoch took longer than others.
        epoch_s: One epoch of all of them, scored.
        end_s: To conclude a trial and write its files.
        memory_bytes: The most that the process has had.
        weights_bytes: Stored weights of a trial.
        predictions_bytes: Stored predictions of a trial.
        fault: Why it cannot be trained; nothing was measured then.
    """

    number: int
    slots: int
    build_s: float = 0.0
    trace_s: float = 0.0
    epoch_s: float = 0.0
    end_s: float = 0.0
    memory_bytes: int = 0
    weights_bytes: int = 0
    predictions_bytes: int = 0
    fault: str = ""


# Called after each epoch with its number and the score; returns why training has to stop now, or nothing.
OnEpoch = Callable[[int, float], str]
