"""Repair: what is whole of a damaged run, copied into a new folder. The damaged folder is not touched.

Where proposals do not depend on results, a damaged record costs its own trial and no other; everything behind it stays.
Where they do, history ends at the damage: what was proposed from results that are lost cannot be explained any more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptune.errors import HptuneError, RunDamagedError, StorageError
from hptune.leaderboard import rank
from hptune.objective import Objective
from hptune.run.files import make_folder, open_plainly, storage_errors, write_file
from hptune.run.folder import CURVE, PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.journal import Record, encode_journal, salvage, utc_now
from hptune.run.records import History, decode_file, replay
from hptune.trial import Outcome, StoredFile, Trial

# Strategies whose proposals do not depend on results.
_FREE = ("random", "grid")
_OF_A_TRIAL = ("propose", "start", "pause", "end")
_COPIED = ("experiment.yaml", "resolved.yaml", "environment.json")
_BEST = ("model.keras", "hyperparameters.yaml", "model_card.md", "test_rows.npz", "metrics.json")


@dataclass(frozen=True)
class Repaired:
    """What became of a damaged run.

    Attributes:
        folder: Where the copy is; None where nothing was damaged.
        trials: Ended trials in it.
        lost: What could not be kept, for people.
    """

    folder: Path | None
    trials: int
    lost: tuple[str, ...]


def repair(run: RunFolder) -> Repaired:
    """Copy what is whole of a run to NAME-repaired beside it, and say what was lost.

    Raises:
        RunDamagedError: If not even its first record, which says what the run is, can be read.
        StorageError: If the file system refuses.
    """
    before, behind, damages = salvage(run.journal)
    if not before or before[0]["type"] != "header":
        raise RunDamagedError(
            f"{run.journal}: nothing to copy: its first record, which says what the run is, is damaged; "
            "begin another run with --fresh"
        )
    is_free = before[0].get("experiment", {}).get("strategy", {}).get("name") in _FREE
    lost = [f"{run.journal.name}: {damage}" for damage in damages]
    records = [*before, *(_connected(before, behind) if is_free else ())]
    history = replay(records, run.journal)
    ruined = _ruined(run, history)
    for trial, file, what in ruined:
        again = "it is trained again" if is_free else "its score stays"
        lost.append(f"{file.name}: {what}; trial {trial.number}: {again}")
    if is_free:
        numbers = {trial.number for trial, _, _ in ruined}
        records = [record for record in records if not _trains(record) or record["trial"] not in numbers]
        history = replay(records, run.journal)
    lost += _lost_trials([*before, *behind], history)
    if not lost:
        return Repaired(None, len(history.ends), ())
    target = _free_folder(run)
    _copy(run, target, history, {file.name for _, file, _ in ruined})
    note: Record = {"type": "repair", "utc": utc_now(), "of": run.name, "lost": lost}
    # Last, so that a folder with a journal is a whole copy.
    write_file(target.journal, lambda stream: stream.write(encode_journal([*records, note])))
    return Repaired(target.path, len(history.ends), tuple(lost))


def _trains(record: Record) -> bool:
    return record["type"] in ("start", "pause", "end")


def _connected(before: Sequence[Record], behind: Iterable[Record]) -> list[Record]:
    """Choose the records behind the damage that make sense without what is missing."""
    proposed = {record["trial"] for record in before if record["type"] == "propose"}
    started = {record["trial"] for record in before if record["type"] == "start"}
    kept = []
    for record in behind:
        kind, number = record["type"], record.get("trial")
        match kind:
            case "propose" if number == len(proposed):
                # Trials are numbered without gaps; behind a lost proposal they would be other ones.
                proposed.add(number)
            case "start" if number in proposed:
                started.add(number)
            case "end" | "pause" if number in started:
                pass
            case "test_look":
                pass
            case _:
                continue
        kept.append(record)
    return kept


def _ruined(run: RunFolder, history: History) -> list[tuple[Trial, StoredFile, str]]:
    """Find files of trials that are not what was recorded.

    Missing weights and predictions were mostly deleted on purpose; the best trial's are needed, and every curve.
    """
    objective = Objective(**history.header["objective"])
    scored = (trial for trial in history.ends.values() if trial.score is not None)
    best = rank(scored, objective, ()).trials[:1]
    found = []
    for trial in history.ends.values():
        for file in trial.files:
            name = Path(file.name).name
            is_needed = name == CURVE or trial.outcome is Outcome.PAUSED
            is_needed |= trial in best and name in (WEIGHTS, PREDICTIONS)
            if not os.path.lexists(run.path / file.name):
                if is_needed:
                    found.append((trial, file, "missing"))
                continue
            try:
                run.verified(file)
            except HptuneError:
                found.append((trial, file, "not what was recorded"))
    return found


def _lost_trials(records: Iterable[Record], history: History) -> list[str]:
    """Name the trials that had ended and are not among what is kept."""
    ends = (record for record in records if record["type"] == "end" and not record.get("part"))
    ended = {record["trial"] for record in ends if isinstance(record.get("trial"), int)}
    gone = sorted(ended - history.ends.keys())
    shown = ", ".join(map(str, gone[:20])) + (f" and {len(gone) - 20} more" if len(gone) > 20 else "")
    return [f"trials that had ended and will be trained again: {shown}"] if gone else []


def _free_folder(run: RunFolder) -> RunFolder:
    names = (f"{run.name}-repaired{'' if number == 1 else f'-{number}'}" for number in range(1, 1000))
    return RunFolder(next(path for name in names if not os.path.lexists(path := run.path.absolute().with_name(name))))


def _copy(run: RunFolder, target: RunFolder, history: History, without: set[str]) -> None:
    """Copy the files that are what their records say."""
    make_folder(target.path)
    for name in _COPIED:
        _copy_file(run.path / name, target.path / name)
    for file in history.files.values():
        if file.name not in without and (run.path / file.name).is_file():
            for folder in ((target.path / file.name).parent.parent, (target.path / file.name).parent):
                make_folder(folder)
            _copy_file(run.path / file.name, target.path / file.name)
    look = history.look_at("best/model.keras")
    if look is None:
        return
    try:
        run.verified(decode_file(look["artifact"]))
    except HptuneError:
        return  # The search makes it again.
    make_folder(target.best)
    for name in _BEST:
        _copy_file(run.best / name, target.best / name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a plain file, whole or not at all; what is none is left out."""
    try:
        with storage_errors(source):
            descriptor = open_plainly(source, os.O_RDONLY)
    except (StorageError, RunDamagedError):
        return
    with os.fdopen(descriptor, "rb") as stream:
        write_file(target, lambda output: shutil.copyfileobj(stream, output))
