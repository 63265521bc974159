"""What is printed: tables, errors, documents for machines.

Text from data and experiments is shown as it is and never acts: no markup is read, control characters are escaped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hptune.afterwards import Page
from hptune.answering import Evaluation
from hptune.api import Starter
from hptune.errors import HptuneError, UsageError
from hptune.reporting.gates import Comparison
from hptune.reporting.machine import to_csv, to_json, trial_record
from hptune.reporting.markdown import to_markdown
from hptune.reporting.overview import RunLine
from hptune.reporting.summary import Summary
from hptune.reporting.words import (
    describe_certainty,
    describe_ensemble,
    format_age,
    format_bytes,
    format_value,
    printable,
    verdict_rows,
)
from hptune.run.files import write_file, write_text
from hptune.run.repair import Repaired
from hptune.trial import Outcome

_SHOWN_RANKS = 10
_SHOWN_COLUMNS = 30
_FILE_WIDTH = 120
# Spaces that rich puts between the columns of a table without frame.
_COLUMN_GAP = 2


def out() -> Console:
    """The console for what a command is asked for."""
    return Console(highlight=False, emoji=False, soft_wrap=True)


def aside() -> Console:
    """The console for what is said to a person beside the output of a machine, and for errors."""
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def say(console: Console, text: str, style: str = "") -> None:
    """Print lines of plain text."""
    console.print(Text("\n".join(printable(line) for line in text.split("\n")), style=style))


def show_error(error: HptuneError) -> None:
    """Print an error as it is: its text is complete."""
    console = aside()
    console.print(Text("error: ", style="bold red"), end="")
    say(console, str(error))


def show_json(document: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json.dumps(document, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> Table:
    """Arrange rows for a terminal.

    Args:
        title: Above the table.
        columns: Headings.
        rows: Cells as values.
        right: Columns to align right.
        whole: Columns whose cells are not folded, besides the first.
    """
    numeric, unfolded = set(right), {*columns[:1], *whole}
    made = Table(title=Text(title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numeric else "left"
        made.add_column(Text(printable(column)), justify=justify, overflow="fold", no_wrap=column in unfolded)
    for row in rows:
        made.add_row(*(Text(printable(format_value(cell))) for cell in row))
    return made


def show_summary(console: Console, summary: Summary) -> None:
    """Print a run: leaderboard, final metrics, state."""
    board = summary.leaderboard
    metric = summary.objective.metric
    completed = [row for row in board.rows() if row["rank"] is not None]
    if completed:
        sources = {"rank": "rank", "trial": "trial", metric: "score"}
        if any(trial.n > 1 for trial in board.scored):
            sources |= {"±": "std_error"}
        if board.confirmed:
            sources |= {"confirmed": "confirmed"}
        sources |= {"best_epoch": "best_epoch", "weights": "weights"}
        # Leave out the section: the keys below it are unique.
        sources |= {name.partition(".")[2]: name for name in board.dimensions}
        cells = {
            title: [_brief(row[key], 6 if key in ("score", "confirmed") else 3) for row in completed[:_SHOWN_RANKS]]
            for title, key in sources.items()
        }
        shown = _fitting(cells, console.width)
        rows = zip(*(cells[title] for title in shown), strict=True)
        console.print(table(f"Leaderboard of {summary.name} ({metric} of validation rows)", shown, rows, shown))
        if len(shown) < len(cells):
            say(console, f"{len(cells) - len(shown)} further columns do not fit; they are in leaderboard.csv", "dim")
        console.print()
    if summary.verdict is not None and (rows_of_verdict := verdict_rows(summary.verdict)):
        names = list(rows_of_verdict[0][1])
        scores = ([name, *(_brief(value, 5) for value in values.values())] for name, values in rows_of_verdict)
        columns = ["metric", *names]
        whole = [name for name in names if " " not in name or name.endswith("interval")]
        console.print(table(f"Best model (trial {summary.verdict['trial']})", columns, scores, names, whole))
        for line in describe_certainty(summary.verdict):
            say(console, line)
        console.print()
    others = {name: count for name, count in summary.outcomes.items() if name != Outcome.COMPLETED.value}
    counts = "".join(f", {count} {name}" for name, count in sorted(others.items()))
    done = summary.outcomes.get(Outcome.COMPLETED.value, 0)
    say(console, f"{summary.state}; {done} of {summary.proposed} trials completed{counts}")
    if summary.ensemble is not None:
        say(console, "\n".join(describe_ensemble(summary.ensemble)))
    if summary.test_looks > 1:
        say(console, f"the test rows were scored {summary.test_looks} times: their scores are no longer unseen")


def _brief(value: Any, digits: int) -> str:
    """Show a cell of the leaderboard; full precision is in the files."""
    return f"{value:.{digits}g}" if isinstance(value, float) else format_value(value)


def _fitting(cells: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Choose the first columns that fit side by side: a table whose cells are folded cannot be read."""
    shown: list[str] = []
    used = 0
    for title, column in cells.items():
        used += max(map(len, (title, *column))) + _COLUMN_GAP
        if used - _COLUMN_GAP > width:
            break
        shown.append(title)
    return shown


def show_check(console: Console, facts: Mapping[str, Any]) -> None:
    """Print what `check` found."""
    data = facts["data"]
    say(console, f"{facts['name']}: {data['task']} task ({data['task_reason']})")
    say(console, f"objective: {facts['objective']['metric']}, {facts['objective']['direction']}")
    say(console, "rows: " + ", ".join(f"{part} {count}" for part, count in data["rows"].items()))
    if data["roles"]:
        say(console, "never learned from: " + ", ".join(f"{role} {name}" for role, name in data["roles"].items()))
    console.print()
    shown = [
        (column["name"], column["kind"], column["missing"], column["distinct"], column["reason"])
        for column in data["columns"]
    ]
    columns = ("column", "kind", "missing", "distinct", "because")
    console.print(table("Columns", columns, shown[:_SHOWN_COLUMNS], ("missing", "distinct")))
    if len(shown) > _SHOWN_COLUMNS:
        say(console, f"and {len(shown) - _SHOWN_COLUMNS} further columns; --json shows all")
    console.print()
    dimensions = [(item["name"], item["kind"], item["range"], item["when"]) for item in facts["space"]["dimensions"]]
    console.print(table("Search space", ("dimension", "kind", "values", "active when"), dimensions))
    console.print()
    say(console, "\n".join([facts["plan"], *facts["brackets"]]))
    for note in facts["notes"]:
        say(console, f"note: {note}", "yellow")


def done_record(summary: Summary) -> dict[str, Any]:
    """The last line of `search --json`."""
    best = summary.best
    return {
        "schema": 1,
        "type": "done",
        "run": summary.name,
        "state": summary.state,
        "outcomes": dict(summary.outcomes),
        "best": trial_record(best) if best is not None else None,
        "metrics": summary.verdict,
    }


def show_report(summary: Summary, form: str, output: Path | None, comparison: Comparison | None = None) -> None:
    """Print a run in a format, beside a baseline if any, to the screen or to a file.

    Raises:
        UsageError: If the format is unknown.
    """
    match form:
        case "terminal":
            with nullcontext(None) if output is None else output.open("w", encoding="utf-8") as stream:
                console = Console(file=stream, width=_FILE_WIDTH) if stream else out()
                show_summary(console, summary)
                if comparison is not None:
                    say(console, comparison.verdict)
        case "markdown":
            write(to_markdown(summary, comparison), output)
        case "json":
            write(to_json(summary, comparison), output)
        case "csv":
            write(to_csv(summary), output)
        case _:
            raise UsageError(f"--format: expected terminal, html, markdown, json, csv or baseline, got {form!a}")


def write_page(page: Page, output: Path | None) -> None:
    """Write a page to a file, by default into the run folder, and say where; `-` stands for standard output."""
    if str(output) == "-":
        write(page.text, None)
        return
    path = output or page.path
    write_text(path, page.text)
    say(aside(), f"wrote {path} ({format_bytes(len(page.text.encode()))}); open it in a browser")


def warn(notes: Iterable[str]) -> None:
    """Print what the user should know, beside the output."""
    for note in notes:
        say(aside(), f"warning: {note}", "yellow")


def show_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """Print the metrics of labelled rows."""
    if as_json:
        show_json({"schema": 1, "rows": evaluation.rows, "metrics": dict(evaluation.metrics)})
    else:
        out().print(table(f"{evaluation.rows} rows", ("metric", "score"), evaluation.metrics.items(), ["score"]))


def show_ensemble(content: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what an ensemble is made of, and what it gains."""
    if as_json:
        show_json(content)
        return
    metric = content["objective"]["metric"]
    members = [
        (member["trial"], f"{member['share']:.0%}", member["score"], member["weights"]) for member in content["members"]
    ]
    columns = ("trial", "share", metric, "weights")
    out().print(table("Members", columns, members, columns))
    out().print()
    say(out(), "\n".join(describe_ensemble(content)))


def show_runs(lines: Sequence[RunLine], *, as_json: bool) -> None:
    """Print the runs of a folder."""
    if as_json:
        show_json({"schema": 1, "runs": [asdict(line) for line in lines]})
        return
    if not lines:
        say(out(), "no runs here yet; begin one with hptune search CONFIG")
        return
    columns = ("run", "state", "trials", "best", "changed", "size", "")
    rows = [
        (
            line.name,
            line.state,
            line.trials,
            f"{line.metric} {format_value(line.score)}" if line.score is not None else "",
            f"{format_age(line.changed)} ago",
            format_bytes(line.size_bytes),
            line.detail,
        )
        for line in lines
    ]
    made = table("", columns, rows, ("trials", "size"), columns[:-1])
    made.title = None
    out().print(made)


def show_repaired(repaired: Repaired, *, as_json: bool) -> None:
    """Print where the copy of a damaged run is, and what it lacks."""
    folder = repaired.folder
    if as_json:
        where = None if folder is None else str(folder)
        show_json({"schema": 1, "folder": where, "trials": repaired.trials, "lost": list(repaired.lost)})
        return
    if folder is None:
        say(out(), f"nothing is damaged; {repaired.trials} trials have ended")
        return
    say(out(), f"copied what is whole to {folder}: {repaired.trials} trials that have ended; lost:")
    for words in repaired.lost:
        say(out(), f"  {words}")
    say(out(), f"go on with: hptune search CONFIG --run {folder.name}")


def write_starter(starter: Starter, output: Path | None, *, force: bool) -> None:
    """Write an experiment to a file, never over another one, and say how to go on.

    Raises:
        UsageError: If there is a file already.
    """
    path = output or Path(f"{starter.name}.yaml")
    if str(path) == "-":
        write(starter.text, None)
        return
    if path.exists() and not force:
        raise UsageError(f"{path}: there is such a file already; choose another --output, or replace it with --force")
    write_text(path, starter.text)
    say(aside(), f"wrote {path}; look at it with: hptune check {path}; train with: hptune search {path}")


def write_document(document: Any, output: Path | None) -> None:
    """Write a JSON document for people and programs to read."""
    write(json.dumps(document, indent=1, ensure_ascii=False) + "\n", output)


def write_tables(frames: Iterable[Any], output: Path | None, *, as_json: bool) -> None:
    """Write polars tables of the same columns below each other, as CSV or as one JSON document, while they come."""
    parts = _as_json(frames) if as_json else _as_csv(frames)
    if output is None:
        for part in parts:
            sys.stdout.write(part)
        sys.stdout.flush()
    else:
        write_file(output, lambda stream: stream.writelines(part.encode() for part in parts))


def _as_csv(frames: Iterable[Any]) -> Iterator[str]:
    for number, frame in enumerate(frames):
        yield frame.write_csv(include_header=number == 0)


def _as_json(frames: Iterable[Any]) -> Iterator[str]:
    separator = '{"schema": 1, "rows": ['
    for frame in frames:
        for row in frame.iter_rows(named=True):
            yield separator + json.dumps(row, ensure_ascii=False)
            separator = ", "
    yield "]}\n"


def write(text: str, output: Path | None) -> None:
    """Write text to a file, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(output, text)
