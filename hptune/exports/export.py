"""The register of formats, and the folder that an export fills: a new one, never somebody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hptune.errors import UsageError
from hptune.exports import mlflow, optuna, tensorboard
from hptune.exports.telling import ToldRun, tell_run
from hptune.run.files import storage_errors
from hptune.run.folder import RunFolder

FORMATS: Mapping[str, Callable[[ToldRun, Path], str]] = {
    "mlflow": mlflow.write,
    "optuna": optuna.write,
    "tensorboard": tensorboard.write,
}


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: Where it lies.
        trials: How many it holds.
        opening: How to open it.
    """

    folder: Path
    trials: int
    opening: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """What there is to say about it."""
        return (f"wrote {self.trials} trials to {self.folder}; {self.opening}",)


def export(run: RunFolder, form: str, output: Path | None) -> Export:
    """Write a run in the files of another tool.

    Args:
        run: What to write.
        form: The tool, one of `FORMATS`.
        output: A folder that is empty or does not exist; by default `NAME-FORM` in the current one.

    Raises:
        UsageError: If the folder holds something.
        StorageError: If the file system refuses.
    """
    folder = choose_folder(run, form, output)
    told = tell_run(run)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return Export(folder, len(told.trials), FORMATS[form](told, folder))


def choose_folder(run: RunFolder, form: str, output: Path | None) -> Path:
    """Say where an export goes; never where something is already.

    Raises:
        UsageError: If the folder holds something.
    """
    folder = output or Path(f"{run.name}-{form}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: expected an empty folder or none, got something; choose another --output")
    return folder
