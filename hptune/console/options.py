"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment, a YAML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a part of the experiment, such as model.dropout=0.2."),
]
MaxTrialsOption = Annotated[int | None, typer.Option(metavar="N", help="Instead of budget.max_trials.")]
MaxTimeOption = Annotated[str | None, typer.Option(metavar="DURATION", help="Instead of budget.max_time, such as 10m.")]
WorkersOption = Annotated[
    int | None, typer.Option(metavar="N", help="Processes that train; one a core by default, or one a GPU.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print for a machine; what is said to a person goes aside.")]
RunsOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the runs, instead of runs.")]


def complete_run(incomplete: str) -> list[str]:
    """Name the runs of the usual folder that begin with what was typed."""
    from hptune.api import DEFAULT_RUNS
    from hptune.run.folder import list_runs

    return [folder.name for folder in list_runs(DEFAULT_RUNS) if folder.name.startswith(incomplete)]


RunArgument = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="A run's folder or name; the latest by default.", autocompletion=complete_run),
]
FailUnderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="METRIC=VALUE", help="Exit with 3 if a test metric is worse; validation:METRIC=VALUE too."),
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of the screen.")]
