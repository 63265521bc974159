"""What can go wrong, each kind with the exit code that a shell script sees.

The text is complete where it is raised: `where: expected ..., got ...; what to do`.
Only `console` decides how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable


class HptuneError(Exception):
    """A sentence for the user, an optional hint, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InternalError(HptuneError):
    """A fault of ours: never the user's, never a property of a configuration."""

    exit_code = 1


class UsageError(HptuneError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ExperimentError(HptuneError):
    """An experiment file has faults; `faults` holds each one, whole and located, in the order of the file."""

    exit_code = 2

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class DataError(HptuneError):
    """A table cannot be used as it is; the message names file, row and column."""

    exit_code = 2


class ArtifactError(HptuneError):
    """A model file cannot be read, is not what its record says, or fails its parity check."""

    exit_code = 2


class GateError(HptuneError):
    """A score is worse than the user demanded."""

    exit_code = 3


class NoTrialCompletedError(HptuneError):
    """Every trial failed; the message sums up the causes."""

    exit_code = 4


class RunInUseError(HptuneError):
    """Another process holds the run."""

    exit_code = 5


class RunDamagedError(HptuneError):
    """A file of the run folder is not what we wrote; the message names file and byte offset."""

    exit_code = 6


class StorageError(HptuneError):
    """The disk or the file system refused; nothing announced is lost."""

    exit_code = 7


class MemoryShortError(HptuneError):
    """There is not enough memory for what comes after training; nothing announced is lost."""

    exit_code = 7


class ChangedError(HptuneError):
    """The experiment or its data is not what the run began with; the message shows the difference."""

    exit_code = 8


class InterruptedSearchError(HptuneError):
    """A signal ended the search; its state is saved.

    Args:
        message: What to tell the user, with the command that resumes.
        signal_number: The signal; the exit code is 128 more, as shells count.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
