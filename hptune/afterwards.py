"""What one does beside searching, from Python: pages, the next experiment, other tools' files. Nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hptune.api import DEFAULT_RUNS, Starter, folder_of
from hptune.run.folder import PAGE, find_run

if TYPE_CHECKING:
    from hptune.exports.export import Export
    from hptune.foreign.translation import Translation


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


def convert(path: str | Path, tool: str, *, data: str | None = None, target: str | None = None) -> Translation:
    """Make an experiment from the file of another tool; nothing in it is executed, and nothing is written.

    Args:
        path: The file, YAML or JSON.
        tool: wandb, ludwig, optuna, determined, katib or nni.
        data: The table, relative to where the experiment will lie; other tools' files do not name it.
        target: The column to predict.

    Raises:
        UsageError: If the tool is unknown, or nothing in the file can be carried.
        ExperimentError: If the file cannot be read.
    """
    from hptune.foreign.translation import translate

    return translate(Path(path), tool, data, target)


def export(
    form: str, run: str | None = None, *, runs: str | Path = DEFAULT_RUNS, output: str | Path | None = None
) -> Export:
    """Write a run in the files of another tool, whose views then open it.

    Args:
        form: optuna or tensorboard.
        run: Folder or name; the latest by default.
        runs: Where names are looked up.
        output: A folder that is empty or does not exist; by default `NAME-FORM` in the current one.

    Raises:
        UsageError: If there is no such run or format, or the folder holds something.
        RunDamagedError: If a file of the run is not what was written.
    """
    from hptune.exports import export as exporting

    return exporting.export(find_run(run, Path(runs)), form, None if output is None else Path(output))
