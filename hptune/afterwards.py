"""What one does with a run after its search, from Python: its page, the next experiment. Nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hptune.api import DEFAULT_RUNS, Starter, folder_of
from hptune.run.folder import PAGE, find_run


@dataclass(frozen=True)
class Page:
    """A run as one web page.

    Attributes:
        text: HTML that needs no other file and no network.
        path: Where it belongs: `report.html` in the run folder.
    """

    text: str
    path: Path


def report_page(run: str | None = None, *, runs: str | Path = DEFAULT_RUNS) -> Page:
    """Make the web page of a run; works while the search is under way. Nothing is written.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.

    Raises:
        UsageError: If there is no such run.
        RunDamagedError: If a file of the run is not what was written.
    """
    from hptune.reporting.page import render_page

    folder = find_run(run, Path(runs))
    return Page(render_page(folder), folder.path / PAGE)


def next_experiment(
    run: str | None = None, *, runs: str | Path = DEFAULT_RUNS, output: str | Path | None = None
) -> Starter:
    """Make the experiment that should follow a run: wider where winners sit on an edge, without what does nothing.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.
        output: Where the experiment will lie, because its data paths are relative to there; `-` or None for the
            current folder.

    Raises:
        UsageError: If there is no such run.
        NoTrialCompletedError: If no trial has a score.
    """
    from hptune.sequel import write_sequel

    name, text = write_sequel(find_run(run, Path(runs)), folder_of(output))
    return Starter(text, name)
