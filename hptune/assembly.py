"""Trained trials as one artifact, built from verified files and compared in another process with what they predicted.

The winner is an assembly of one. The parent never imports TensorFlow: the work is done by workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.description import Description
from hptune.materials import Materials
from hptune.mix import AVERAGE, Mix
from hptune.run.files import make_folder, write_file
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.training.job import Member
from hptune.training.workers import WarmProcesses
from hptune.trial import Trial

MODEL = "model.keras"
OUTPUT = "output.part"
_EXPECTED = "expected.part"

Floats = npt.NDArray[np.floating[Any]]


def assemble(
    materials: Materials,
    members: Sequence[tuple[Trial, float]],
    folder: Path,
    processes: WarmProcesses,
    mix: Mix = AVERAGE,
) -> Path:
    """Write `model.keras` into a folder and make sure that it predicts what the search did.

    Args:
        materials: Of the search.
        members: Trials with their shares.
        folder: Where the file is to lie; made where it does not exist.
        processes: Where workers come from.
        mix: How what several members predict becomes one prediction.

    Raises:
        ArtifactError: If the artifact predicts anything else.
        RunDamagedError: If weights or predictions are not what was recorded.
    """
    run = materials.folder
    make_folder(folder)
    parts = [_member(materials, trial, share) for trial, share in members]
    model, output = folder / MODEL, folder / OUTPUT
    processes.call(_build, parts, model, materials.about, mix, output=output)
    with _expected(run, members, mix, folder / _EXPECTED) as expected:
        # Another process, so that nothing but the file can carry the networks over.
        rows = materials.rows(materials.split.validation)
        processes.call(_check, model, rows, materials.about.columns, expected, output=output)
    return model


def stored_predictions(run: RunFolder, trial: Trial) -> Floats:
    """Read what a trial predicted for the validation rows at its best epoch.

    Raises:
        RunDamagedError: If the file is not what was recorded.
    """
    predictions: Floats = np.load(run.verified(trial.file(PREDICTIONS)), allow_pickle=False)
    return predictions


def _member(materials: Materials, trial: Trial, share: float) -> Member:
    job = materials.job(trial.proposal)
    preparation = materials.preparations[job.settings["data.preparation.numeric"]]
    return Member(job, materials.folder.verified(trial.file(WEIGHTS)), preparation.to_dict(), share)


@contextmanager
def _expected(run: RunFolder, members: Sequence[tuple[Trial, float]], mix: Mix, scratch: Path) -> Iterator[Path]:
    """Give the file that holds what the members predicted together."""
    if len(members) == 1 and mix == AVERAGE:
        yield run.verified(members[0][0].file(PREDICTIONS))
        return
    predictions = [stored_predictions(run, trial) for trial, _ in members]
    mixed = mix(predictions, [share for _, share in members])
    write_file(scratch, lambda stream: np.save(stream, mixed))
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _build(parts: Sequence[Member], path: Path, about: Description, mix: Mix) -> None:
    from hptune.artifact import build_artifact

    build_artifact(parts, path, about, mix)


def _check(path: Path, rows: pl.DataFrame, columns: tuple[tuple[str, str], ...], expected: Path) -> None:
    from hptune.artifact import check_parity

    check_parity(path, rows, columns, expected)
