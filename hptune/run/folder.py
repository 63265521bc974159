"""The run folder: which file lies where, what may be deleted, and how the journal's records get their files.

Scripts read these names; they are documented in the README and stay. Nothing is deleted outside a folder that holds
our journal, and symbolic links are not followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from hptune.errors import RunDamagedError, StorageError, UsageError
from hptune.parts import PATTERN
from hptune.run.files import (
    TEMPORARY_SUFFIX,
    describe_file,
    make_folder,
    make_folders,
    remove_folder,
    storage_errors,
    sync_folder,
)
from hptune.run.journal import Record, hold, read_journal
from hptune.run.records import History, replay
from hptune.trial import StoredFile, Trial

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A run may be copied to Windows, where these are devices whatever ending follows.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_TRIAL_FOLDER = re.compile(rf"\d{{4,}}(-{PATTERN})?(-from-\d{{4,}})?")
# What a process leaves that was killed before it had recorded anything.
_BEFORE_THE_JOURNAL = re.compile(r"holder\.json.*|hptune\.log")
WEIGHTS = "weights.npz"
PREDICTIONS = "predictions.npy"
CURVE = "curve.json"
STATE = "state.npz"
INSIGHT = "insight.json"
PAGE = "report.html"
# Room for the longest name below a run folder within the 4,096 bytes that Linux allows (1,024 on macOS).
LONGEST_PATH = 900
# What every file system in use allows for a single name.
_LONGEST_NAME = 255


def check_run_name(name: str) -> str:
    """Return a name that is safe as a folder.

    Raises:
        UsageError: If it is not.
    """
    if NAME_PATTERN.fullmatch(name) is None:
        raise UsageError(
            f"--run: expected 1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit, "
            f"got {name!a}"
        )
    if _RESERVED.fullmatch(name) is not None:
        raise UsageError(f"--run: expected a name that is free on every system, got {name!a}, a device on Windows")
    return name


@dataclass(frozen=True)
class RunFolder:
    """One execution kept on disk."""

    path: Path

    def __post_init__(self) -> None:
        whole = self.path.absolute()
        if len(os.fsencode(whole)) > LONGEST_PATH:
            raise UsageError(
                f"{self.path}: expected a path of at most {LONGEST_PATH} bytes; choose another --runs folder"
            )
        if any(len(os.fsencode(name)) > _LONGEST_NAME for name in whole.parts):
            raise UsageError(
                f"{self.path}: expected names of folders of at most {_LONGEST_NAME} bytes; choose another --runs folder"
            )

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The truth."""
        return self.path / "journal.jsonl"

    @property
    def holder(self) -> Path:
        """Who works on the run; the lock itself is the kernel's."""
        return self.path / "holder.json"

    @property
    def best(self) -> Path:
        """The folder of the winner."""
        return self.path / "best"

    @property
    def arrays(self) -> Path:
        """Prepared arrays, one folder a preparation; made again where they are missing, removed at the end."""
        return self.path / "arrays"

    @property
    def log(self) -> Path:
        """The detail: tracebacks, versions, what workers printed when they died."""
        return self.path / "hptune.log"

    def trial(self, number: int, first_epoch: int = 1, part: str = "") -> Path:
        """The folder of a trial or of a part of it.

        What goes on after a pause has its own, so that nothing recorded is overwritten.
        """
        suffix = f"-{part}" if part else ""
        suffix += f"-from-{first_epoch:04d}" if first_epoch > 1 else ""
        return self.path / "trials" / f"{number:04d}{suffix}"

    @property
    def ensemble(self) -> Path:
        """The folder of the ensemble."""
        return self.path / "ensemble"

    def relative(self, path: Path) -> str:
        """Name a file as records do: relative to the run, so that a copy of it still goes on."""
        return path.relative_to(self.path).as_posix()

    def exists(self) -> bool:
        """Tell whether a search has begun here; an empty journal means that nothing was announced yet."""
        return self.journal.exists() and self.journal.stat().st_size > 0

    def create(self) -> None:
        """Make the folder, refusing one that holds something else, or links that would lead our writing out of it.

        Raises:
            UsageError: If there are files that hptune did not write.
            RunDamagedError: If a part of the run is a link, a pipe or a device.
            StorageError: If the file system refuses.
        """
        if self.path.is_symlink():
            raise UsageError(f"{self.path}: expected a folder, got a symbolic link; name the folder itself")
        with storage_errors(self.path):
            make_folders(self.path.absolute())
            found = list(self.path.iterdir())
        if not os.path.lexists(self.journal) and not all(_BEFORE_THE_JOURNAL.fullmatch(path.name) for path in found):
            raise UsageError(
                f"{self.path}: expected an empty folder or a run, got other files; choose another --run NAME"
            )
        self.refuse_links()

    def refuse_links(self) -> None:
        """Make sure that what is written into the run lands in it.

        Raises:
            RunDamagedError: If a part of the run is a link, a pipe or a device.
        """
        trials = self.path / "trials"
        for place in (self.path, trials):
            with storage_errors(place):
                entries = list(os.scandir(place)) if place.is_dir() else ()
            for entry in entries:
                is_plain = entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
                if not is_plain:
                    raise RunDamagedError(
                        f"{entry.path}: expected a file or folder of ours, got a link, a pipe or a device; remove it"
                    )

    def read(self) -> History:
        """Read what has happened here, without a lock and without changing a byte.

        Raises:
            UsageError: If this is not a run.
            RunDamagedError: If the journal is not what was written.
        """
        return replay(self.records(), self.journal)

    def records(self) -> tuple[Record, ...]:
        """Read the journal's records, the header first; as `read`."""
        if not os.path.lexists(self.journal):
            raise UsageError(f"{self.path}: expected a run folder with a journal.jsonl, found none")
        records = read_journal(self.journal).records
        if not records:
            raise UsageError(f"{self.path}: the run was stopped before anything was recorded; run the search again")
        if records[0]["type"] != "header":
            raise RunDamagedError(f"{self.journal}: line 1: expected the header of a run, got {records[0]['type']!a}")
        return records

    def move_aside(self) -> Path:
        """Rename the folder to NAME.1, NAME.2, ..., never deleting anything; return where it went.

        Raises:
            RunInUseError: If a process works on it, which would lose its folder.
        """
        number = 1
        while os.path.lexists(target := self.path.with_name(f"{self.name}.{number}")):
            number += 1
        # A folder whose journal cannot be held because it is no plain file has no writer either.
        is_plain = self.journal.is_file() and not self.journal.is_symlink()
        with hold(self.journal) if is_plain else nullcontext(), storage_errors(self.path):
            self.path.rename(target)
            sync_folder(self.path.parent)
        (target / self.holder.name).unlink(missing_ok=True)
        return target

    def last_aside(self) -> RunFolder | None:
        """Return the run that was moved aside last; None where there is none."""
        pattern = re.compile(re.escape(self.name) + r"\.([1-9][0-9]*)")
        numbers = [int(match[1]) for folder in list_runs(self.path.parent) if (match := pattern.fullmatch(folder.name))]
        return RunFolder(self.path.with_name(f"{self.name}.{max(numbers)}")) if numbers else None

    def begin_attempt(self, number: int, first_epoch: int = 1, part: str = "") -> Path:
        """Give an attempt an empty folder: it has fresh files."""
        folder = self.trial(number, first_epoch, part)
        if not folder.parent.is_dir():
            # Not the run's folder itself: where that was moved away, nothing is begun in its old place.
            make_folder(folder.parent)
        remove_folder(folder)
        make_folder(folder)
        return folder

    def verified(self, file: StoredFile) -> Path:
        """Return the path of a recorded file whose bytes are what the record says.

        Raises:
            RunDamagedError: If it is missing or altered.
        """
        path = self.path / file.name
        if path.is_symlink() or not path.is_file():
            raise RunDamagedError(f"{path}: recorded in the journal but missing")
        if describe_file(path, file.name) != file:
            raise RunDamagedError(f"{path}: its SHA-256 is not what the journal recorded; it was altered or damaged")
        return path

    def holds(self, trial: Trial, *names: str) -> bool:
        """Tell whether all files of these names that a trial has recorded, itself and its parts, were kept."""
        files = [trial.files_named(name) for name in names]
        return all(files) and all((self.path / file.name).is_file() for several in files for file in several)

    def collect_garbage(self, history: History) -> None:
        """Delete what no record names: half-written files and the folders of attempts that did not end."""
        named = history.files
        trials = self.path / "trials"
        # A session that was killed may have made it and not synced it.
        make_folder(trials)
        for folder in sorted(trials.iterdir()):
            if folder.is_symlink() or not folder.is_dir() or _TRIAL_FOLDER.fullmatch(folder.name) is None:
                continue
            for file in folder.iterdir():
                if f"trials/{folder.name}/{file.name}" not in named:
                    _unlink(file)
            if not any(folder.iterdir()):
                with storage_errors(folder):
                    folder.rmdir()
        for place in (self.path, self.best, self.ensemble):
            for leftover in place.glob(f"*{TEMPORARY_SUFFIX}*"):
                _unlink(leftover)

    def delete(self, names: Iterable[str]) -> None:
        """Delete recorded files, named relative to the run folder, and the folders that are empty then.

        Those already gone are fine.
        """
        for name in names:
            path = self.path / name
            _unlink(path)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                with storage_errors(path.parent):
                    path.parent.rmdir()


def beyond_limits(ranked: Iterable[Trial], limits_bytes: Mapping[str, int], keep: int) -> list[str]:
    """Name the recorded weights and predictions that need not be kept; curves always stay.

    Args:
        ranked: Finished trials, best first.
        limits_bytes: The most that files of a name may take together, by file name.
        keep: How many trials keep their weights.
    """
    spent = dict.fromkeys(limits_bytes, 0)
    names = []
    for rank, trial in enumerate(ranked):
        for kind, limit in limits_bytes.items():
            # Those of a trial's parts are of use together only.
            files = trial.files_named(kind)
            spent[kind] += sum(file.size for file in files)
            is_kept = spent[kind] <= limit and (kind != WEIGHTS or rank < keep)
            # The winner's files stay whatever the limits say: the best model is made from them.
            if not is_kept and rank > 0:
                names += [file.name for file in files]
    return names


def _unlink(path: Path) -> None:
    with storage_errors(path):
        if path.is_dir() and not path.is_symlink():
            raise StorageError(f"{path}: expected a file of ours, got a folder; move it elsewhere")
        path.unlink(missing_ok=True)


def list_runs(runs: Path) -> list[RunFolder]:
    """List the runs below a folder, by name."""
    folders = sorted(runs.iterdir()) if runs.is_dir() else ()
    return [RunFolder(folder) for folder in folders if os.path.lexists(folder / "journal.jsonl")]


def find_run(name: str | None, runs: Path) -> RunFolder:
    """Find a run by its folder, by its name below `runs`, or the latest one.

    Raises:
        UsageError: If there is none; names the runs there are.
    """
    known = list_runs(runs)
    if name is None:
        if not known:
            raise UsageError(
                f"{runs}: no run here yet; begin one with hptune search CONFIG, or name a folder with --runs"
            )
        return max(known, key=lambda folder: folder.journal.lstat().st_mtime)
    for candidate in (Path(name), runs / name):
        if os.path.lexists(candidate / "journal.jsonl"):
            return RunFolder(candidate)
    names = ", ".join(folder.name for folder in known) or "none"
    raise UsageError(f"{name}: no run of that name or folder; runs in {runs}: {names}")
