"""Proposals and trials: what a strategy asks for and what became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hptune.space import Value

# Strategies, weight initializers and row orders all take seeds from 1 on: KerasTuner treats 0 as "no seed".
SMALLEST_SEED = 1
LARGEST_SEED = 2**32 - 1


def derive_seed(*parts: int | str) -> int:
    """Make a seed in 1..2**32-1 from the parts that it must depend on, and on nothing else.

    >>> derive_seed(0, "trial", 7) == derive_seed(0, "trial", 7) != derive_seed(0, "trial", 8)
    True
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return SMALLEST_SEED + int.from_bytes(digest[:8], "big") % LARGEST_SEED


# Number and part of a trial: what is trained by itself.
Key = tuple[int, str]


class Outcome(StrEnum):
    """How an attempt at a trial ended."""

    COMPLETED = "completed"
    DIVERGED = "diverged"  # NaN or infinite
    INFEASIBLE = "infeasible"  # a model that cannot be built
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"  # halted by its strategy, which may go on with it

    @property
    def may_be_tried_again(self) -> bool:
        """True where another attempt could end otherwise; the others are a property of the configuration."""
        return self.is_breakdown or self is Outcome.INTERRUPTED

    @property
    def is_breakdown(self) -> bool:
        """True where the process came to grief, which `max_attempts` counts; an interruption is nobody's fault."""
        return self in (Outcome.OUT_OF_MEMORY, Outcome.CRASHED)


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        trial: Number of the trial, from 0 in the order of proposing.
        values: Active dimensions only, by dotted name.
        seed: Of everything random in the trial, 1..2**32-1.
        told: How many results it was made from: those of the trials with smaller numbers than this.
        until: The epoch after which the trial pauses; None to train as long as the experiment says.
        part: Which part of the trial this is, such as `fold-2`; empty for the trial itself.
    """

    trial: int
    values: Mapping[str, Value]
    seed: int
    told: int = 0
    until: int | None = None
    part: str = ""

    @property
    def key(self) -> Key:
        """Number and part."""
        return self.trial, self.part

    def as_part(self, part: str) -> Proposal:
        """Return a part of this trial, which has a seed of its own; the trial itself where it has no name."""
        return replace(self, part=part, seed=derive_seed(self.seed, part)) if part else self


@dataclass(frozen=True)
class StoredFile:
    """A file that a record names: relative path, bytes, and the hash that proves it."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Trial:
    """One attempt at a proposal, ended.

    Attributes:
        proposal: What was tried.
        outcome: How it ended.
        attempt: From 1, since it last paused.
        score: The objective on validation rows at the best epoch; None where training came to nothing. A trial that
            was paused, or stopped by the clock, has the score of what it reached. The mean over its parts where it
            has several.
        metrics: Every metric at the best epoch by name; validation metrics as they are, training ones as `train_...`.
        best_epoch: From 1, or None.
        epochs: Epochs trained.
        weights: How many numbers the model has to store.
        engine: What trained it.
        files: What was kept of it.
        message: Why it did not complete.
        seconds: From start to end, by a monotonic clock.
        worker: Which worker, from 0.
        std_error: Of the score, as the scatter of the parts tells it; None for a single one.
        n: How many parts the score is the mean of.
        failures: How many of the attempts since it last paused broke down, with this one.
    """

    proposal: Proposal
    outcome: Outcome
    attempt: int = 1
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    epochs: int = 0
    weights: int | None = None
    engine: str = ""
    files: tuple[StoredFile, ...] = ()
    message: str = ""
    seconds: float = 0.0
    worker: int = 0
    std_error: float | None = None
    n: int = 1
    failures: int = 0

    @property
    def number(self) -> int:
        """The trial's number, from 0."""
        return self.proposal.trial

    def files_named(self, name: str) -> tuple[StoredFile, ...]:
        """Return the records of files by name without folder: of the whole trial first, then of its parts in order."""
        return tuple(file for file in self.files if file.name.endswith(f"/{name}"))

    def file(self, name: str) -> StoredFile:
        """Return the record of a file that was kept, by its name without folder.

        Raises:
            KeyError: If it was not kept.
        """
        for file in self.files_named(name):
            return file
        raise KeyError(name)

    @property
    def has_failed(self) -> bool:
        """Whether it ended without a result."""
        return self.score is None and self.outcome is not Outcome.INTERRUPTED

    def needs_another_attempt(self, most: int) -> bool:
        """Tell whether to try it again: interrupted always, broken down while fewer than `most` attempts did."""
        return self.outcome is Outcome.INTERRUPTED or (self.outcome.is_breakdown and self.failures < most)


@dataclass(frozen=True)
class Tries:
    """The attempts at a trial or part since it last paused.

    Attributes:
        begun: How many, also those that an interruption or another trial's crash has ended.
        failed: How many broke down by themselves.
    """

    begun: int = 0
    failed: int = 0

    def once_more(self) -> Tries:
        """Count an attempt that begins."""
        return replace(self, begun=self.begun + 1)

    def number(self, trial: Trial) -> Trial:
        """Return an attempt that has ended with its place among the others.

        >>> trial = Trial(Proposal(0, {}, 1), Outcome.CRASHED)
        >>> Tries(begun=3, failed=0).number(trial).needs_another_attempt(2)
        True
        """
        return replace(trial, attempt=self.begun, failures=self.failed + trial.outcome.is_breakdown)

    @classmethod
    def through(cls, trial: Trial) -> Tries:
        """Return the attempts up to one that has ended."""
        return cls(trial.attempt, trial.failures)


@dataclass(frozen=True)
class Wait:
    """A strategy's answer: nothing to propose until a trial under way has been told."""


@dataclass(frozen=True)
class Exhausted:
    """A strategy's answer: nothing is left to propose; `reason` says why, for the user."""

    reason: str
