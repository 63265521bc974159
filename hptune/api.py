"""hptune from Python: the same functions that the command line calls. Nothing here prints.

Heavy libraries are imported inside the function that needs them, so that `check` and `report` answer at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hptune.errors import ArtifactError, UsageError
from hptune.report.summary import Summary, check_gates, summarize
from hptune.run.folder import RunFolder, check_run_name, find_run
from hptune.trial import StoredFile

if TYPE_CHECKING:
    import polars as pl

    from hptune.groundwork import Groundwork
    from hptune.tuner import MakeObserver

DEFAULT_RUNS = Path("runs")


@dataclass(frozen=True)
class SearchOptions:
    """How to search; what to search stands in the experiment.

    Attributes:
        run: Name of the run; the experiment's by default.
        runs: Folder of the runs, relative to the current one; the experiment's `output.runs` by default.
        max_trials: Instead of the experiment's budget.
        workers: Trials trained at a time; by default one for each processor core.
        resume: Demand that the run exists.
        fresh: Move an existing run aside and begin anew.
        overrides: `key=value` pairs that replace parts of the experiment.
    """

    run: str | None = None
    runs: Path | None = None
    max_trials: int | None = None
    workers: int | None = None
    resume: bool = False
    fresh: bool = False
    overrides: tuple[str, ...] = ()


def check(config: Path, overrides: Sequence[str] = ()) -> Groundwork:
    """Read an experiment and its data and find every fault, without training anything.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
    """
    from hptune.groundwork import lay_groundwork

    return lay_groundwork(config, overrides)


def search(config: Path, options: SearchOptions, observe: MakeObserver) -> Summary:
    """Search, or go on with a search that was stopped, until the budget is used; then write the best model.

    Args:
        config: The experiment.
        options: How to search.
        observe: Makes what watches.

    Returns:
        The run as it stands at the end.

    Raises:
        HptuneError: One of its children, with the exit code that tells what happened.
    """
    from hptune.environment import count_cores
    from hptune.interruption import Interruption
    from hptune.training.workers import WarmProcesses

    _refuse_other_backends()
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers: expected at least 1, got {options.workers}")
    if options.resume and options.fresh:
        raise UsageError("--resume and --fresh: expected one of the two, got both")
    overrides = list(options.overrides)
    if options.max_trials is not None:
        overrides.append(f"budget.max_trials={options.max_trials}")
    ground = check(config, overrides)
    folder = _choose_folder(ground, options)
    interruption = Interruption(f"hptune search {config}")
    with interruption.watch(), WarmProcesses(interruption) as processes:
        from hptune.session import Session

        session = Session(ground, folder, options.workers or count_cores(), interruption)
        return session.search(processes, observe)


def _choose_folder(ground: Groundwork, options: SearchOptions) -> RunFolder:
    experiment = ground.experiment
    runs = options.runs or Path(experiment.output.runs)
    folder = RunFolder(runs / check_run_name(options.run or experiment.name))
    if options.resume and not folder.exists():
        raise UsageError(f"--resume: expected a run in {folder.path}, found none; leave --resume out to begin one")
    if options.fresh and folder.exists():
        folder.move_aside()
    return folder


def _refuse_other_backends() -> None:
    from hptune.data.formats import quote

    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(f"KERAS_BACKEND: expected tensorflow, got {quote(backend)}; unset it for hptune")


def report(run: str | None = None, runs: Path = DEFAULT_RUNS, fail_under: Sequence[str] = ()) -> Summary:
    """Gather what there is to tell about a run; works while the search is under way.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.
        fail_under: `METRIC=VALUE` demands on final metrics.

    Raises:
        UsageError: If there is no such run.
        GateError: If a demand is not met.
    """
    summary = summarize(find_run(run, runs))
    check_gates(summary, fail_under)
    return summary


@dataclass(frozen=True)
class Prediction:
    """What an artifact says of new rows.

    Attributes:
        table: The id column if there is one, then `prediction`, then a column `p_LABEL` for each class.
        notes: What the user should know, such as categories that were never seen in training.
    """

    table: pl.DataFrame
    notes: tuple[str, ...]


def predict(source: str | None, data: Path, runs: Path = DEFAULT_RUNS) -> Prediction:
    """Predict new rows with the best model of a run, or with an artifact.

    Args:
        source: A `.keras` file that hptune wrote, a run's folder or its name; the latest run by default.
        data: CSV, TSV, Parquet or NPZ with the columns of the training table.
        runs: Where names are looked up.

    Raises:
        ArtifactError: If the artifact cannot be read.
        DataError: If a column is missing or a cell cannot be read.
    """
    from hptune.prediction import predict_table

    _refuse_other_backends()
    return Prediction(*predict_table(_find_artifact(source, runs), data))


def _find_artifact(source: str | None, runs: Path) -> Path:
    if source is not None and source.endswith(".keras"):
        return Path(source)
    folder = find_run(source, runs)
    path = folder.best / "model.keras"
    if not path.is_file():
        raise ArtifactError(f"{path}: the run has no best model yet; let hptune search finish first")
    looks = folder.read().test_looks
    # Without test rows nobody looked, and nothing but the file itself vouches for it.
    return folder.verified(StoredFile(**looks[-1]["artifact"])) if looks else path
