"""What must hold after every case of the torture list.

I1 what was announced is present and unchanged. I2 resumed equals undisturbed. I3 one located error, no traceback, the
right exit code. I4 nothing outside the run folder is touched. I5 no child, lock or temporary file is left. I6 time and
memory are bounded. I7 commands that read change no byte. I8 no code from inputs runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hptune.console.screen import done_record
from hptune.reporting.machine import to_json
from hptune.reporting.overview import list_overview
from hptune.reporting.summary import Summary, summarize
from hptune.run.folder import RunFolder

# What a finished run has, apart from clocks and from who made it.
_RESULTS = ("leaderboard.csv", "leaderboard.json", "history.csv", "resolved.yaml", "experiment.yaml")
_RESULT_FOLDERS = ("best", "trials")


def results_of(run: RunFolder) -> dict[str, str]:
    """Hash what a search has achieved: everything that must not depend on how often it was interrupted."""
    files = [run.path / name for name in _RESULTS]
    files += [path for path in [run.path / "folds.csv"] if path.exists()]
    files += [path for name in _RESULT_FOLDERS for path in sorted((run.path / name).rglob("*")) if path.is_file()]
    return {run.relative(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def announced_trials(announced: Path) -> list[list[object]]:
    """Read what an observer was shown as finished, with number, outcome and score."""
    return [json.loads(line) for line in announced.read_text().splitlines()] if announced.exists() else []


def check_announced(run: RunFolder, announced: Path) -> int:
    """I1, P0: a report works and shows every announced trial as it was announced; return how many there were."""
    told = announced_trials(announced)
    if not told:
        return 0
    with unchanged(run.path):
        summary = summarize(run)
        to_json(summary)
        done_record(summary)
    known = {trial.number: [trial.number, trial.outcome.value, trial.score] for trial in summary.leaderboard.trials}
    final = {entry[0]: entry for entry in told}
    # What crashed may be tried again; what has a score stays for ever.
    lost = [entry for number, entry in final.items() if entry[2] is not None and known.get(number) != entry]
    assert not lost, f"announced, but lost or changed: {lost}"
    return len(final)


def check_clean(run: RunFolder) -> None:
    """I5: no lock, no temporary file, no scratch folder is left of a search that has ended."""
    leftovers = [str(path) for path in run.path.rglob("*.part*")]
    leftovers += [str(path) for path in (run.holder, run.arrays) if path.exists()]
    assert not leftovers, f"left behind: {leftovers}"
    check_free(run)


def check_free(run: RunFolder) -> None:
    """I5: nobody holds the run."""
    descriptor = os.open(run.journal, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def check_message(output: str, expected: str | None = None) -> None:
    """I3: what went wrong is one located error, without a traceback."""
    assert "Traceback" not in output, output
    assert output.count("error: ") == 1, output
    if expected is not None:
        assert expected in output, output


def snapshot(folder: Path, without: Path | None = None) -> Mapping[str, tuple[str, int]]:
    """Hash every file below a folder, with the time of its last change; links are not followed.

    Args:
        folder: What to look at.
        without: A folder below it that may change.
    """
    seen = {}
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if without is not None:
            folders[:] = [name for name in folders if here / name != without]
        for name in sorted(files):
            path = here / name
            status = path.lstat()
            is_plain = path.is_file() and not path.is_symlink()
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if is_plain else "special"
            seen[str(path.relative_to(folder))] = (digest, status.st_mtime_ns)
    return seen


@contextmanager
def unchanged(folder: Path, without: Path | None = None) -> Iterator[None]:
    """I4 and I7: whatever happens inside changes no byte below the folder."""
    before = snapshot(folder, without)
    yield
    assert snapshot(folder, without) == before


def read_everything(run: RunFolder) -> Summary:
    """I7: everything that only reads, without changing a byte."""
    with unchanged(run.path.parent):
        summary = summarize(run)
        list_overview(run.path.parent)
    return summary
