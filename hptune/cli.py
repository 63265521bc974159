"""The command line: one short function a command, importing what it needs inside."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hptune import __version__
from hptune.console.options import (
    ConfigArgument,
    FailUnderOption,
    JsonOption,
    MaxTimeOption,
    MaxTrialsOption,
    OutputOption,
    RunArgument,
    RunsOption,
    SetOption,
    WorkersOption,
    complete_run,
)
from hptune.errors import HptuneError, UsageError

app = typer.Typer(
    name="hptune",
    help="Tune Keras models from one YAML file: ranked results and the best model on disk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Hold what is common to all commands."""
    if version:
        typer.echo(f"hptune {__version__}")
        raise typer.Exit


@app.command()
def check(
    config: ConfigArgument,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print the experiment in its canonical form.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate an experiment and its data, and show what was decided; nothing is trained."""
    from hptune import api
    from hptune.console import screen

    ground = api.check(config, overrides or ())
    if resolved:
        sys.stdout.write(ground.experiment.to_yaml())
        return
    from hptune.facts import gather_facts

    facts = gather_facts(ground)
    if as_json:
        screen.show_json(facts)
    else:
        screen.show_check(screen.out(), facts)


@app.command()
def plan(
    config: ConfigArgument,
    overrides: SetOption = None,
    max_trials: MaxTrialsOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict time, memory and disk of a search from seconds of work on the real data; nothing is kept."""
    from hptune import api
    from hptune.console.planning import show_plan

    show_plan(api.plan(config, max_trials, workers, overrides or ()), as_json=as_json)


@app.command()
def search(
    config: ConfigArgument,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Instead of the experiment's name.")] = None,
    runs: RunsOption = None,
    overrides: SetOption = None,
    max_trials: MaxTrialsOption = None,
    max_time: MaxTimeOption = None,
    workers: WorkersOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Demand that the run exists.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an existing run to NAME.1 and begin anew.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with a changed experiment and the trials still valid.")
    ] = False,
    fail_under: FailUnderOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the log as well.")] = False,
) -> None:
    """Search, or go on with a search that was stopped; ends with ranked results and the best model on disk."""
    from hptune import api
    from hptune.console import screen
    from hptune.console.progress import choose_progress
    from hptune.reporting.gates import check_summary, demand
    from hptune.run.log import log_to_screen

    if verbose:
        log_to_screen()
    summary = api.search(
        config,
        run=run,
        runs=runs,
        max_trials=max_trials,
        max_time=max_time,
        workers=workers,
        resume=resume,
        fresh=fresh,
        accept_changes=accept_changes,
        overrides=overrides or (),
        observe=partial(choose_progress, as_json=as_json, quiet=quiet),
    )
    if as_json:
        screen.show_json(screen.done_record(summary))
    if not quiet:
        screen.show_summary(screen.aside() if as_json else screen.out(), summary)
    demand(check_summary(summary, fail_under or ()))


@app.command()
def report(
    run: RunArgument = None,
    runs: RunsOption = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="terminal, html, markdown, json, csv or baseline."),
    ] = None,
    output: OutputOption = None,
    fail_under: FailUnderOption = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Exit with 3 if worse beyond noise than this baseline.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was demanded as JUnit XML, for CI.")
    ] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", help="Show one trial whole.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell about a run, also while it is under way; a gate for CI."""
    from hptune import afterwards, api
    from hptune.console import screen
    from hptune.console.one_trial import show_one_trial
    from hptune.reporting.gates import check_comparison, check_summary, demand, to_junit

    place = runs or api.DEFAULT_RUNS
    summary = api.report(run, runs=place)
    form = "json" if as_json else form or ("terminal" if baseline is None else "markdown")
    comparison = None if baseline is None else afterwards.compare(baseline, run, runs=place)
    if trial is not None:
        show_one_trial(summary, trial, form, output)
    elif form == "html":
        screen.write_page(afterwards.report_page(run, runs=place), output)
    elif form == "baseline":
        screen.write(afterwards.make_baseline(run, runs=place), output)
    else:
        screen.show_report(summary, form, output, comparison)
    checks = check_summary(summary, fail_under or ())
    if comparison is not None:
        checks.append(check_comparison(comparison))
    if junit is not None:
        screen.write(to_junit(summary.name, checks), junit)
    demand(checks)


@app.command()
def predict(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[ARTIFACT_OR_RUN] DATA", help="What predicts (the latest run), and the rows."),
    ],
    runs: RunsOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict new rows: the id column if any, `prediction`, and a probability for each label."""
    from hptune import answering, api
    from hptune.console import screen

    *source, data = _split_words("predict", words)
    with answering.predict_in_blocks(source[0] if source else None, data, runs=runs or api.DEFAULT_RUNS) as answers:
        screen.write_tables(answers.tables, output, as_json=as_json)
        screen.warn(answers.notes)


@app.command()
def evaluate(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[ARTIFACT_OR_RUN] DATA", help="What predicts (the latest run), and labelled rows."),
    ],
    runs: RunsOption = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=VALUE", help="Exit with 3 if a metric of these rows is worse.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score the best model on rows that have the target: every metric of the task."""
    from hptune import answering, api
    from hptune.console import screen
    from hptune.reporting.gates import check_scores, demand

    *source, data = _split_words("evaluate", words)
    evaluation = answering.evaluate(source[0] if source else None, data, runs=runs or api.DEFAULT_RUNS)
    screen.warn(evaluation.notes)
    screen.show_evaluation(evaluation, as_json=as_json)
    demand(check_scores({"": evaluation.metrics}, fail_under or ()))


@app.command()
def ensemble(
    run: RunArgument = None,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="greedy (selection with replacement), top, weighted or stacking.")
    ] = "greedy",
    size: Annotated[int, typer.Option(metavar="N", help="The most members; greedy counts repeats.")] = 10,
    bags: Annotated[int, typer.Option(metavar="B", help="greedy: choose from B random halves of the trials.")] = 1,
    runs: RunsOption = None,
    data_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the experiment's data is now, if it has moved.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put the trials together that predict best together, as one model beside the best one; nothing is trained."""
    from hptune import api
    from hptune.console import screen

    place = runs or api.DEFAULT_RUNS
    content = api.ensemble(run, method=method, size=size, bags=bags, runs=place, data_folder=data_folder)
    screen.show_ensemble(content, as_json=as_json)


@app.command(name="runs")
def list_runs(
    runs: Annotated[Path | None, typer.Argument(metavar="DIR", help="Folder of the runs, instead of runs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of a folder, the latest first: state, best score, age, size."""
    from hptune import api
    from hptune.console import screen

    screen.show_runs(api.runs(runs or api.DEFAULT_RUNS), as_json=as_json)


@app.command()
def repair(run: RunArgument = None, runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """Copy what is whole of a damaged run into a new folder, and say what was lost; the damaged one is not touched."""
    from hptune import api
    from hptune.console import screen

    screen.show_repaired(api.repair(run, runs=runs or api.DEFAULT_RUNS), as_json=as_json)


@app.command()
def schema(output: OutputOption = None) -> None:
    """Print the JSON Schema of experiments, for completion and hover texts in an editor."""
    from hptune import api
    from hptune.console import screen

    screen.write_document(api.schema(), output)


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="The table: CSV, TSV, Parquet, NPZ, or sklearn:NAME.")],
    target: Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.")],
    metric: Annotated[str | None, typer.Option(metavar="METRIC", help="The objective, if not the usual one.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the run; the file's by default.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="NAME.yaml by default; - for the screen.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a table and write a commented experiment that runs as it is."""
    from hptune import api
    from hptune.console import screen

    screen.write_starter(api.init(data, target, metric=metric, name=name, output=output), output, force=force)


@app.command(name="next")
def next_experiment(
    run: RunArgument = None,
    runs: RunsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="NAME-2.yaml by default; - for the screen.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the experiment that should follow a run: wider at its edges, without idle dimensions, from its winners."""
    from hptune import afterwards, api
    from hptune.console import screen

    starter = afterwards.next_experiment(run, runs=runs or api.DEFAULT_RUNS, output=output)
    screen.write_starter(starter, output, force=force)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The other tool's file, YAML or JSON.")],
    tool: Annotated[
        str, typer.Option("--from", metavar="TOOL", help="wandb, ludwig, optuna, determined, katib or nni.")
    ],
    data: Annotated[str | None, typer.Option(metavar="DATA", help="The table, which those files do not name.")] = None,
    target: Annotated[str | None, typer.Option("--target", "-t", metavar="COLUMN", help="To predict.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="NAME.yaml by default; - for the screen.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Make an experiment from the file of another tool; says line by line what could not be carried."""
    from hptune import afterwards, api
    from hptune.console import screen

    made = afterwards.convert(file, tool, data=data, target=target)
    screen.write_starter(api.Starter(made.text, made.name), output, force=force)
    screen.warn(f"{file}: {note}" for note in made.notes)


@app.command()
def export(
    source: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, or a model.keras in one.", autocompletion=complete_run),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="tensorboard, optuna, mlflow; or keras, savedmodel, onnx, litert."
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the model's units that do nothing.")] = False,
    runs: RunsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="RUN-FORMAT by default; empty or new.")
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the experiment's data is now, if it has moved.")
    ] = None,
) -> None:
    """Write a run for another tool, or its model for another runtime, checked there on real rows."""
    from hptune import afterwards, api
    from hptune.console import screen

    form = form or ("keras" if prune else "tensorboard")
    place = runs or api.DEFAULT_RUNS
    made = afterwards.export(form, source, prune=prune, runs=place, output=output, data_folder=data_folder)
    for sentence in made.sentences:
        screen.say(screen.aside(), sentence)


def _split_words(command: str, words: list[str]) -> list[str]:
    """Return the arguments of a command that takes DATA, or ARTIFACT_OR_RUN and DATA."""
    if len(words) > 2:
        raise UsageError(f"{command}: expected ARTIFACT_OR_RUN and DATA, got {len(words)} arguments")
    return words


def main() -> None:
    """Run the command line and turn what went wrong into a sentence and an exit code."""
    if sys.platform not in ("linux", "darwin"):
        sys.exit(f"hptune runs on Linux and macOS, this is {sys.platform}; use WSL or a container")
    try:
        app()
    except HptuneError as error:
        _tell(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        # The reader has seen enough: `hptune report | head -1`; click would call it a failure.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last place where a fault of ours can become one line
        from hptune.run.log import save_traceback

        _tell(save_traceback(error))


def _tell(error: HptuneError) -> NoReturn:
    """Print an error, where anybody is left to read it, and end with its code."""
    from hptune.console import screen

    with suppress(OSError):
        screen.show_error(error)
    sys.exit(error.exit_code)
