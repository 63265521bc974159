"""The target column: which task it makes, its labels, and what cannot be learned from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from hptune.data.formats import FIRST_DATA_ROW, quote
from hptune.data.kinds import understand
from hptune.objective import Task
from hptune.spec import DataSpec

# At most so many distinct whole numbers, each with at least so many rows, are classes.
_MOST_CLASSES = 20
_LEAST_ROWS = 10
_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Target:
    """The target as it was understood; `faults` are whole sentences."""

    series: pl.Series
    task: Task
    reason: str
    labels: tuple[str, ...] = ()
    positive: int | None = None
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def understand_target(where: str, series: pl.Series, spec: DataSpec) -> Target:
    """Decide the task, as stated or by what the column holds.

    Args:
        where: File, for messages.
        series: The column as read.
        spec: The `data` section.
    """
    name = f"{where}: column {quote(spec.target)}"
    understood = understand(series, spec.missing, None)
    gaps = _missing_rows(understood.series)
    if understood.fault or gaps:
        fault = understood.fault or f"row {gaps}: expected a target in every row, got none; leave those rows out"
        return Target(understood.series, "regression", "", faults=(f"{name}: {fault}",))
    task, reason = _choose_task(understood.series, spec.task)
    if task == "regression":
        return _regression(name, understood.series, reason)
    return _classification(name, series, understood.series, task, reason, spec)


def _missing_rows(series: pl.Series) -> str:
    rows = [str(index + FIRST_DATA_ROW) for index in series.is_null().arg_true()[:_SHOWN_ROWS]]
    more = series.null_count() - len(rows)
    return ", ".join(rows) + (f" and {more} more" if more > 0 else "")


def _choose_task(series: pl.Series, stated: str) -> tuple[str, str]:
    if stated != "auto":
        return stated, "stated by data.task"
    distinct = series.n_unique()
    kind = "binary" if distinct == 2 else "multiclass"
    if series.dtype == pl.String:
        return kind, f"the target is text with {distinct} labels; data.task overrides"
    is_whole = bool((series == series.round()).all())
    smallest = int(series.value_counts()["count"].min() or 0)  # type: ignore[arg-type]
    if is_whole and distinct <= _MOST_CLASSES and smallest >= _LEAST_ROWS:
        return kind, f"the target has {distinct} whole numbers, each in {smallest} rows or more; data.task overrides"
    return "regression", "the target is a number; data.task overrides"


def _regression(name: str, series: pl.Series, reason: str) -> Target:
    faults = []
    if series.dtype == pl.String:
        faults.append(f"{name}: expected numbers for regression, got text such as {quote(series[0])}")
    elif series.n_unique() == 1:
        faults.append(f"{name}: expected different values, got {series[0]} in every row; there is nothing to learn")
    return Target(series, "regression", reason, faults=tuple(faults))


def _classification(name: str, raw: pl.Series, series: pl.Series, task: str, reason: str, spec: DataSpec) -> Target:
    # Labels are text as it stands in the file, so that "01" stays "01".
    texts = understand(raw, spec.missing, "categorical").series
    counts = dict(texts.value_counts().iter_rows())
    numbers = dict(zip(texts, series, strict=True)) if series.dtype != pl.String else {}
    labels = tuple(sorted(counts, key=lambda label: (numbers.get(label, 0), label)))
    faults = []
    if len(labels) == 1:
        faults.append(f"{name}: expected at least two classes, got {quote(labels[0])} in every row")
    elif task == "binary" and len(labels) != 2:
        shown = ", ".join(map(quote, labels[:_SHOWN_ROWS]))
        faults.append(f"{name}: expected two classes for a binary task, got {len(labels)}: {shown}")
    positive = None
    if len(labels) == 2:
        task = "binary"
        if spec.positive is None:
            # The rarer label; the last one where they are equally frequent.
            positive = min((1, 0), key=lambda index: counts[labels[index]])
        elif spec.positive in labels:
            positive = labels.index(spec.positive)
        else:
            shown = " or ".join(map(quote, labels))
            faults.append(f"{name}: data.positive: expected {shown}, got {quote(spec.positive)}")
    elif spec.positive is not None:
        faults.append(f"{name}: data.positive: expected only with two classes, got {len(labels)} classes; remove it")
    made: Task = "binary" if task == "binary" else "multiclass"
    return Target(texts, made, reason, labels, positive, tuple(faults))
