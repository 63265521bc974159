"""hptune from Python: the same functions that the command line calls. Nothing here prints.

Heavy libraries are imported inside the function that needs them, so that `check` and `report` answer at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptune.errors import ArtifactError, UsageError
from hptune.reporting.gates import check_summary, demand
from hptune.reporting.summary import Summary, summarize
from hptune.run.folder import RunFolder, check_run_name, find_run
from hptune.trial import StoredFile
from hptune.tuner import MakeObserver, watch_in_silence

if TYPE_CHECKING:
    from hptune.groundwork import Groundwork
    from hptune.reporting.overview import RunLine
    from hptune.run.repair import Repaired
    from hptune.training.workers import WarmProcesses

DEFAULT_RUNS = Path("runs")
# An experiment is a file, or what such a file would hold.
AnyExperiment = str | Path | Mapping[str, Any]


def check(experiment: AnyExperiment, overrides: Sequence[str] = ()) -> Groundwork:
    """Read an experiment and its data and find every fault, without training anything.

    Args:
        experiment: A YAML file, or a mapping with the same keys; data paths of a mapping are relative to the current
            folder.
        overrides: `key=value` pairs that replace parts of it.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
    """
    from hptune.groundwork import lay_groundwork

    if isinstance(experiment, Mapping):
        from hptune.spec.experiment import write_yaml

        return lay_groundwork(Path("experiment"), overrides, content=write_yaml(experiment).encode())
    return lay_groundwork(Path(experiment), overrides)


def plan(
    experiment: AnyExperiment,
    max_trials: int | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Predict wall time, memory and disk of a search from a few seconds of work on its data; nothing is kept.

    Args:
        experiment: A YAML file, or a mapping with the same keys.
        max_trials: Instead of `budget.max_trials`.
        workers: Trials trained at a time; by default one for each processor core, or
            for each graphics processor where TensorFlow can use some.
        overrides: `key=value` pairs that replace parts of the experiment.

    Returns:
        What `hptune plan --json` prints; seconds and bytes.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
        NoTrialCompletedError: If no network of the space can be built.
    """
    from hptune.environment import count_cores
    from hptune.interruption import Interruption

    began = time.monotonic()
    refuse_other_backends()
    check_workers(workers)
    overrides = [*overrides, *([] if max_trials is None else [f"budget.max_trials={max_trials}"])]
    ground = check(experiment, overrides)
    interruption = Interruption()
    with open_processes(interruption) as processes:
        from hptune.planning import Wish, make_plan
        from hptune.training.crew import gather_crew

        crew = gather_crew(workers, count_cores(), processes)
        return make_plan(Wish(ground, overrides, crew, began, interruption), processes)


def check_workers(workers: int | None) -> None:
    """Refuse fewer workers than one."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: expected at least 1, got {workers}")


def search(
    experiment: AnyExperiment,
    *,
    run: str | None = None,
    runs: str | Path | None = None,
    max_trials: int | None = None,
    max_time: str | None = None,
    workers: int | None = None,
    resume: bool = False,
    fresh: bool = False,
    accept_changes: bool = False,
    overrides: Sequence[str] = (),
    fail_under: Sequence[str] = (),
    observe: MakeObserver = watch_in_silence,
) -> Summary:
    """Search, or go on with a search that was stopped, until the budget is used; then write the best model.

    Args:
        experiment: A YAML file, or a mapping with the same keys.
        run: Name of the run; the experiment's by default.
        runs: Folder of the runs, relative to the current one; the experiment's `output.runs` by default.
        max_trials: Instead of `budget.max_trials`.
        max_time: Instead of `budget.max_time`, such as `20m`.
        workers: Trials trained at a time; by default one for each processor core, or
            for each graphics processor where TensorFlow can use some.
        resume: Demand that the run exists.
        fresh: Move an existing run aside to NAME.1 and begin anew.
        accept_changes: Where the run began with another experiment, move it aside to NAME.1 and begin anew with those
            of its trials that the changed experiment would train as they were trained; none where the data changed.
        overrides: `key=value` pairs that replace parts of the experiment, such as `model.dropout=0.2`.
        fail_under: `METRIC=VALUE` demands on test metrics, `validation:METRIC=VALUE` on validation metrics.
        observe: Makes what watches; silent by default.

    Returns:
        The run as it stands at the end.

    Raises:
        ExperimentError: With every fault of the file, located.
        DataError: With file, row and column.
        ChangedError: If the run began with another experiment or other data.
        RunInUseError: If another process works on the run.
        NoTrialCompletedError: If every trial failed.
        GateError: If a demand is not met.
        InterruptedSearchError: If a signal asked to stop; everything finished is kept.
    """
    from hptune.adoption import step_aside
    from hptune.environment import count_cores
    from hptune.interruption import Interruption

    refuse_other_backends()
    check_workers(workers)
    if sum((resume, fresh, accept_changes)) > 1:
        raise UsageError("--resume, --fresh and --accept-changes: expected one of them, got several")
    limits = {"budget.max_trials": max_trials, "budget.max_time": max_time}
    overrides = [*overrides, *(f"{key}={value}" for key, value in limits.items() if value is not None)]
    ground = check(experiment, overrides)
    folder = _choose_folder(ground, run, None if runs is None else Path(runs), resume=resume, fresh=fresh)
    adopted = step_aside(folder, ground) if accept_changes else None
    told = "hptune.search" if isinstance(experiment, Mapping) else f"hptune search {experiment}"
    interruption = Interruption(told)
    with open_processes(interruption) as processes:
        from hptune.session import Session
        from hptune.training.crew import gather_crew

        crew = gather_crew(workers, count_cores(), processes)
        session = Session(ground, folder, crew, interruption, adopted)
        summary = session.search(processes, observe)
    _write_page(folder)
    demand(check_summary(summary, fail_under))
    return summary


def _write_page(folder: RunFolder) -> None:
    """Leave `report.html` in the run folder; a search that has succeeded does not fail for its page."""
    from hptune.reporting.page import write_page
    from hptune.run.log import LOGGER, log_to

    with log_to(folder.log):
        try:
            write_page(folder)
        except Exception:  # noqa: BLE001 - the results are on disk; hptune report says what is wrong
            LOGGER.warning("report.html could not be written", exc_info=True)


def _choose_folder(ground: Groundwork, run: str | None, runs: Path | None, *, resume: bool, fresh: bool) -> RunFolder:
    experiment = ground.experiment
    folder = RunFolder((runs or Path(experiment.output.runs)) / check_run_name(run or experiment.name))
    if resume and not folder.exists():
        raise UsageError(f"--resume: expected a run in {folder.path}, found none; leave --resume out to begin one")
    if fresh and folder.exists():
        folder.move_aside()
    return folder


def refuse_other_backends() -> None:
    """Refuse a KERAS_BACKEND that is not TensorFlow."""
    from hptune.data.formats import quote

    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(f"KERAS_BACKEND: expected tensorflow, got {quote(backend)}; unset it for hptune")


@contextmanager
def open_processes(interruption: Any = None) -> Iterator[WarmProcesses]:
    """Give workers, which end with a signal."""
    from hptune.interruption import Interruption
    from hptune.training.workers import WarmProcesses

    interruption = interruption or Interruption()
    with interruption.watch(), WarmProcesses(interruption) as processes:
        yield processes


def report(run: str | None = None, *, runs: str | Path = DEFAULT_RUNS, fail_under: Sequence[str] = ()) -> Summary:
    """Gather what there is to tell about a run; works while the search is under way.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.
        fail_under: `METRIC=VALUE` demands on final metrics.

    Raises:
        UsageError: If there is no such run.
        RunDamagedError: If its journal is not what was written.
        GateError: If a demand is not met.
    """
    summary = summarize(find_run(run, Path(runs)))
    demand(check_summary(summary, fail_under))
    return summary


def ensemble(
    run: str | None = None,
    *,
    method: str = "greedy",
    size: int = 10,
    bags: int = 1,
    runs: str | Path = DEFAULT_RUNS,
    data_folder: str | Path | None = None,
) -> Mapping[str, Any]:
    """Put the trials of a run together that predict best together, as `ensemble/model.keras`; nothing is trained.

    Args:
        run: Folder or name; the latest by default.
        method: `greedy` (selection with replacement), `top` (the mean of the best), `weighted` (shares computed so that
            the average is best) or `stacking` (regularized regression); all by predictions for validation rows.
        size: The most members; greedy counts repeats.
        bags: How often greedy chooses from a random half of the trials; the choices are averaged. 1: once from all.
        runs: Where names are looked up.
        data_folder: What the data paths of the experiment are relative to, where the data has moved.

    Returns:
        The content of `ensemble/ensemble.json`: members with their shares, how they disagree, scores on validation and
        test rows beside the best single model, the gain with its interval, and the cost.

    Raises:
        UsageError: If there is no such run, or no such method.
        NoTrialCompletedError: If no trial has a score.
        ChangedError: If the data is not what the search began with.
    """
    from hptune.selection import METHODS

    if method not in METHODS:
        raise UsageError(f"--method: expected {', '.join(METHODS)}, got {method!a}")
    for name, value in (("size", size), ("bags", bags)):
        if value < 1:
            raise UsageError(f"--{name}: expected at least 1, got {value}")
    if bags > 1 and method != "greedy":
        raise UsageError(f"--bags: expected only with --method greedy, got {method}; leave it out")
    folder = find_run(run, Path(runs))
    refuse_other_backends()
    with open_processes() as processes:
        from hptune.combination import Wish, combine

        wish = Wish(method, size, bags, None if data_folder is None else Path(data_folder))
        return combine(folder, wish, processes)


def find_artifact(source: str | Path | None, runs: Path) -> Path:
    """Return the artifact that is named, or the best model of a run, verified."""
    if source is not None and str(source).endswith(".keras"):
        return Path(source)
    folder = find_run(None if source is None else str(source), runs)
    path = folder.best / "model.keras"
    if not path.is_file():
        raise ArtifactError(f"{path}: the run has no best model yet; let hptune search finish first")
    look = folder.read().look_at(folder.relative(path))
    # Without test rows nobody looked, and nothing but the file itself vouches for it.
    return path if look is None else folder.verified(StoredFile(**look["artifact"]))


def repair(run: str | None = None, *, runs: str | Path = DEFAULT_RUNS) -> Repaired:
    """Copy what is whole of a damaged run into a new folder beside it, which goes on like any run.

    Args:
        run: Folder or name; the latest by default.
        runs: Where names are looked up.

    Returns:
        Where the copy is, and what was lost; no folder where nothing is damaged.

    Raises:
        UsageError: If there is no such run.
        RunDamagedError: If not even its first record can be read.
    """
    from hptune.run.repair import repair as repair_run

    return repair_run(find_run(run, Path(runs)))


def runs(folder: str | Path = DEFAULT_RUNS) -> list[RunLine]:
    """Describe the runs of a folder, the latest first: state, best score, age, size."""
    from hptune.reporting.overview import list_overview

    return list_overview(Path(folder))


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of experiments, for editors."""
    from hptune.spec.json_schema import make_schema

    return make_schema()


@dataclass(frozen=True)
class Starter:
    """An experiment to begin with.

    Attributes:
        text: The YAML.
        name: Of the run.
    """

    text: str
    name: str


def init(
    data: str | Path,
    target: str,
    *,
    metric: str | None = None,
    name: str | None = None,
    output: str | Path | None = None,
) -> Starter:
    """Make a commented experiment that runs as it is, from a look at the data; nothing is written.

    Args:
        data: CSV, TSV, Parquet or NPZ, or `sklearn:NAME`.
        target: The column to predict.
        metric: The objective; by default one that suits the task.
        name: Of the run; by default the name of the file.
        output: Where the experiment will lie, because its data paths are relative to there; `-` or None for the
            current folder.

    Raises:
        DataError: If the table cannot be used; with file, row and column.
        UsageError: If metric or name cannot be used.
    """
    from hptune.starter import make_name, write_starter

    name = name or make_name(str(data))
    return Starter(write_starter(str(data), target, metric, name, folder_of(output)), name)


def folder_of(output: str | Path | None) -> Path | None:
    """Return where a file will lie; None for the current folder, also where it is the screen."""
    return None if output is None or str(output) == "-" else Path(output).parent
