"""Trained trials as one artifact, built from verified files and compared in another process with what they predicted.

The winner is an assembly of one. The parent never imports TensorFlow: the work is done by workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.description import Description
from hptune.materials import Materials, Rows
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
Result = TypeVar("Result")


def assemble(
    materials: Materials,
    members: Sequence[tuple[Trial, float]],
    folder: Path,
    processes: WarmProcesses,
    mix: Mix = AVERAGE,
    threshold: float | None = None,
    *,
    then: Callable[[Any], Result],
) -> tuple[Path, Result]:
    """Write `model.keras` into a folder and make sure that it predicts what the search did.

    Args:
        materials: Of the search.
        members: Trials with their shares.
        folder: Where the file is to lie; made where it does not exist.
        processes: Where workers come from.
        mix: How what several members predict becomes one prediction.
        threshold: Probability from which on a row is taken for the positive class; None for a half.
        then: What is done with the loaded model once it is found to be right, in the process that has loaded it.

    Returns:
        The artifact, and what `then` returned.

    Raises:
        ArtifactError: If the artifact predicts anything else.
        RunDamagedError: If weights or predictions are not what was recorded.
    """
    make_folder(folder)
    parts = [member for trial, share in members for member in _members(materials, trial, share)]
    model, output = folder / MODEL, folder / OUTPUT
    processes.call(_build, parts, model, replace(materials.about, threshold=threshold), mix, output=output)
    rows = materials.rows(materials.split.validation)
    with _expected(materials, members, parts, mix, folder, processes) as expected:
        # Another process, so that nothing but the file can carry the networks over.
        return model, processes.call(_check, model, rows, materials.about.columns, expected, then, output=output)


def stored_predictions(run: RunFolder, trial: Trial) -> Floats:
    """Read what a trial predicted for the validation rows at its best epoch.

    Raises:
        RunDamagedError: If the file is not what was recorded.
    """
    predictions: Floats = np.load(run.verified(trial.file(PREDICTIONS)), allow_pickle=False)
    return predictions


def _members(materials: Materials, trial: Trial, share: float) -> list[Member]:
    """Return the networks of a trial: one, or one for each of its parts, which are averaged."""
    made = []
    for proposal, file in materials.trained(trial, WEIGHTS):
        preparation = materials.preparation_of(proposal)
        weights = materials.folder.verified(file)
        made.append(Member(materials.job(proposal), weights, preparation.to_dict(), share, trial.number))
    return made


def _held_out(materials: Materials, trial: Trial) -> list[tuple[Path, Rows]]:
    """Return what each network of a trial has predicted, and for which of the validation rows."""
    return [
        (materials.folder.verified(file), materials.held_out(proposal.part))
        for proposal, file in materials.trained(trial, PREDICTIONS)
    ]


@contextmanager
def _expected(
    materials: Materials,
    members: Sequence[tuple[Trial, float]],
    parts: Sequence[Member],
    mix: Mix,
    folder: Path,
    processes: WarmProcesses,
) -> Iterator[Path]:
    """Give the file that holds what the members predict together."""
    run, scratch = materials.folder, folder / _EXPECTED
    is_of_folds = bool(materials.ground.folds) and any(trial.n > 1 for trial, _ in members)
    if len(members) == 1 and mix == AVERAGE and not is_of_folds:
        yield run.verified(members[0][0].file(PREDICTIONS))
        return
    try:
        if is_of_folds:
            # No two of them have predicted the same rows yet.
            held_out = [stored for trial, _ in members for stored in _held_out(materials, trial)]
            given = (parts, materials.rows(materials.split.validation), held_out, mix, scratch)
            processes.call(_predict, *given, output=folder / OUTPUT)
        else:
            predictions = [stored_predictions(run, trial) for trial, _ in members]
            mixed = mix(predictions, [share for _, share in members])
            write_file(scratch, lambda stream: np.save(stream, mixed))
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _build(parts: Sequence[Member], path: Path, about: Description, mix: Mix) -> None:
    from hptune.artifact import build_artifact

    build_artifact(parts, path, about, mix)


def _predict(
    parts: Sequence[Member], rows: pl.DataFrame, held_out: Sequence[tuple[Path, Rows]], mix: Mix, expected: Path
) -> None:
    from hptune.artifact import predict_members

    predicted = predict_members(parts, rows, held_out, mix)
    write_file(expected, lambda stream: np.save(stream, predicted))


def _check(
    path: Path,
    rows: pl.DataFrame,
    columns: tuple[tuple[str, str], ...],
    expected: Path,
    then: Callable[[Any], Result],
) -> Result:
    from hptune.artifact import load_checked

    return then(load_checked(path, rows, columns, expected))
