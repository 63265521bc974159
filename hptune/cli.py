"""The command line: one short function a command, importing what it needs inside."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hptune import __version__
from hptune.errors import HptuneError, UsageError

app = typer.Typer(
    name="hptune",
    help="Tune Keras models from one YAML file: ranked results and the best model on disk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment, a YAML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a part of the experiment, such as model.dropout=0.2."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print for a machine; what is said to a person goes aside.")]
RunsOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the runs, instead of runs.")]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run's folder or name; the latest by default.")
]
FailUnderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="METRIC=VALUE", help="Exit with 3 if a test metric is worse; validation:METRIC=VALUE too."),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of the screen.")]


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
def search(
    config: ConfigArgument,
    run: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run, instead of the experiment's.")
    ] = None,
    runs: RunsOption = None,
    overrides: SetOption = None,
    max_trials: Annotated[int | None, typer.Option(metavar="N", help="Instead of budget.max_trials.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Trials at a time; one a core by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Demand that the run exists.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Move an existing run to NAME.1 and begin anew.")] = False,
    fail_under: FailUnderOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the log as well.")] = False,
) -> None:
    """Search, or go on with a search that was stopped; ends with ranked results and the best model on disk."""
    from hptune import api
    from hptune.console import screen
    from hptune.console.progress import choose_progress
    from hptune.report.summary import check_gates
    from hptune.run.log import log_to_screen

    if verbose:
        log_to_screen()
    options = api.SearchOptions(run, runs, max_trials, workers, resume, fresh, tuple(overrides or ()))

    summary = api.search(config, options, partial(choose_progress, as_json=as_json, quiet=quiet))
    if as_json:
        screen.show_json(screen.done_record(summary))
    if not quiet:
        screen.show_summary(screen.aside() if as_json else screen.out(), summary)
    check_gates(summary, fail_under or ())


@app.command()
def report(
    run: RunArgument = None,
    runs: RunsOption = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="terminal, markdown, json or csv.")
    ] = "terminal",
    output: OutputOption = None,
    fail_under: FailUnderOption = None,
    trial: Annotated[int | None, typer.Option(metavar="N", help="Show one trial whole.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell about a run, also while it is under way."""
    from hptune import api
    from hptune.console import screen
    from hptune.report.summary import check_gates

    summary = api.report(run, runs or api.DEFAULT_RUNS)
    form = "json" if as_json else form
    if trial is not None:
        screen.show_one_trial(summary, trial, form, output)
    else:
        screen.show_report(summary, form, output)
    check_gates(summary, fail_under or ())


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
    from hptune import api
    from hptune.console import screen

    if len(words) > 2:
        raise UsageError(f"predict: expected ARTIFACT_OR_RUN and DATA, got {len(words)} arguments")
    *source, data = words
    prediction = api.predict(source[0] if source else None, Path(data), runs or api.DEFAULT_RUNS)
    for note in prediction.notes:
        screen.say(screen.aside(), f"warning: {note}", "yellow")
    screen.write_table(prediction.table, output, as_json=as_json)


def main() -> None:
    """Run the command line and turn what went wrong into a sentence and an exit code."""
    if sys.platform not in ("linux", "darwin"):
        sys.exit(f"hptune runs on Linux and macOS, this is {sys.platform}; use WSL or a container")
    try:
        app()
    except HptuneError as error:
        from hptune.console import screen

        screen.show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has seen enough: `hptune report | head -1`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last place where a fault of ours can become one line
        from hptune.console import screen
        from hptune.run.log import save_traceback

        screen.show_error(save_traceback(error))
        sys.exit(1)
