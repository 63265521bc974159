"""What one does beside searching, from Python: pages, the next experiment, other tools' files. Nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hptune.api import DEFAULT_RUNS, Starter, find_artifact, folder_of, open_processes, refuse_other_backends
from hptune.errors import UsageError
from hptune.run.folder import PAGE, RunFolder, find_run

if TYPE_CHECKING:
    from hptune.deployment.delivery import Delivery
    from hptune.exports.export import Export
    from hptune.foreign.translation import Translation
    from hptune.reporting.gates import Comparison


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


def make_baseline(run: str | None = None, *, runs: str | Path = DEFAULT_RUNS) -> str:
    """Make a baseline of the best model of a run: one JSON document to commit, against which later runs are held.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.

    Raises:
        UsageError: If there is no such run, or it has no test rows on record.
    """
    from hptune.reporting.gates import baseline_of
    from hptune.reporting.summary import summarize

    folder = find_run(run, Path(runs))
    return baseline_of(folder, summarize(folder)).to_json()


def compare(baseline: str | Path, run: str | None = None, *, runs: str | Path = DEFAULT_RUNS) -> Comparison:
    """Hold the best model of a run against a baseline, by the paired bootstrap over test rows.

    Args:
        baseline: As `make_baseline` made it.
        run: Folder or name; the latest by default.
        runs: Where names are looked up.

    Raises:
        UsageError: If there is no such run, it has no test rows, or the baseline predicts something else.
    """
    from hptune.reporting.gates import compare as compare_with
    from hptune.reporting.summary import summarize

    folder = find_run(run, Path(runs))
    return compare_with(folder, summarize(folder), Path(baseline))


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
    form: str,
    source: str | Path | None = None,
    *,
    prune: bool = False,
    runs: str | Path = DEFAULT_RUNS,
    output: str | Path | None = None,
    data_folder: str | Path | None = None,
) -> Export | Delivery:
    """Write a run in the files of another tool, or its best model for another runtime.

    Args:
        form: optuna, tensorboard or mlflow for the run; keras, savedmodel, onnx or litert for the model.
        source: Folder or name of a run, the latest by default; or `model.keras` in the `best` or `ensemble` of a run.
        prune: Remove units of the model that do nothing.
        runs: Where names are looked up.
        output: A folder that is empty or does not exist; by default `NAME-FORM` in the current one.
        data_folder: Where the experiment's data lies now, if it has moved: a model is checked on the run's rows.

    Raises:
        UsageError: If there is no such run or format, a package is missing, or the folder holds something.
        RunDamagedError: If a file of the run is not what was written.
        ArtifactError: If the model predicts anything else there.
    """
    from hptune.deployment.delivery import MODEL_FORMATS, Order, deliver_model
    from hptune.exports import export as exporting

    if form not in (*exporting.FORMATS, *MODEL_FORMATS):
        known = ", ".join((*exporting.FORMATS, *MODEL_FORMATS))
        raise UsageError(f"--format: expected one of {known}, got {form!a}")
    artifact, folder = _find_source(source, Path(runs))
    place = None if output is None else Path(output)
    if form in exporting.FORMATS:
        if prune:
            raise UsageError(f"--prune: expected only with a model, got --format {form}; leave one of them out")
        return exporting.export(folder, form, place)
    refuse_other_backends()
    data = None if data_folder is None else Path(data_folder)
    chosen = exporting.choose_folder(folder, form, place)
    order = Order(artifact or find_artifact(str(folder.path), Path(runs)), form, prune, chosen, data)
    with open_processes() as processes:
        return deliver_model(folder, order, processes)


def _find_source(source: str | Path | None, runs: Path) -> tuple[Path | None, RunFolder]:
    """Return the model that is named, if any, and the run that it belongs to."""
    if source is None or not str(source).endswith(".keras"):
        return None, find_run(None if source is None else str(source), runs)
    artifact = Path(source)
    folder = artifact.absolute().parent.parent
    if not (folder / "journal.jsonl").is_file():
        raise UsageError(f"{artifact}: expected a model in the folder of its run, on whose rows it is checked")
    return artifact, RunFolder(folder)
