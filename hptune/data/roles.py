"""Columns that say something of a row and are never learned from: its weight, its group, its time.

A row without one of them cannot be counted, kept with its group or put in order, so each of them needs a value in every
row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.formats import FIRST_DATA_ROW, quote
from hptune.data.kinds import as_text, to_numbers
from hptune.spec import DataSpec

# Text that is read as a time: ISO 8601, a date or a date with a time of day.
_TIME_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
_TIME_WANTED = "expected a number or a date such as 2024-01-31 or 2024-01-31T09:30:00 in every row"


@dataclass(frozen=True)
class Roles:
    """What is known of rows beside their inputs; None where the experiment names no such column.

    Attributes:
        weights: How much each row counts, not negative, float64 (rows,).
        groups: Rows of equal number stay together, int64 (rows,); numbered in the order of the groups' names, so that
            they do not depend on the order of rows.
        times: Rows in the order of what happened, float64 (rows,).
    """

    weights: npt.NDArray[np.float64] | None = None
    groups: npt.NDArray[np.int64] | None = None
    times: npt.NDArray[np.float64] | None = None

    def of(self, rows: npt.NDArray[np.int64]) -> Roles:
        """Return what is known of some of the rows."""
        return Roles(
            weights=None if self.weights is None else self.weights[rows],
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )


def read_roles(spec: DataSpec, frame: pl.DataFrame, where: str, faults: list[str]) -> Roles:
    """Read the columns that the experiment names as weight, group and time.

    Args:
        spec: The `data` section.
        frame: The table as read.
        where: Its name, for messages.
        faults: Takes what is wrong with them, whole sentences.
    """
    found: dict[str, Any] = {}
    for role, name, read in (
        ("weights", spec.columns.weight, _weights),
        ("groups", spec.columns.group, _groups),
        ("times", spec.columns.time, _times),
    ):
        if name is None:
            continue
        values = read(as_text(frame[name], spec.missing), frame[name])
        if isinstance(values, str):
            faults.append(f"{where}: column {quote(name)}: {values}")
        else:
            found[role] = values
    return Roles(**found)


def _weights(texts: pl.Series, raw: pl.Series) -> npt.NDArray[np.float64] | str:
    del raw
    numbers = to_numbers(texts)
    wanted = "expected a weight of 0 or more in every row"
    wrong = numbers.is_null() | numbers.is_nan() | numbers.is_infinite() | (numbers < 0)
    if fault := _first(wrong, texts, wanted):
        return fault
    weights: npt.NDArray[np.float64] = numbers.cast(pl.Float64).to_numpy()
    return weights if weights.sum() > 0 else "expected a weight above 0 in some row, got none"


def _groups(texts: pl.Series, raw: pl.Series) -> npt.NDArray[np.int64] | str:
    del raw
    if fault := _first(texts.is_null(), texts, "expected a group in every row"):
        return fault
    codes = texts.rank("dense").cast(pl.Int64) - 1
    groups: npt.NDArray[np.int64] = codes.to_numpy()
    return groups if groups.max() > 0 else f"expected different groups, got {quote(texts[0])} in every row"


def _times(texts: pl.Series, raw: pl.Series) -> npt.NDArray[np.float64] | str:
    moments = _moments(texts, raw)
    if fault := _first(moments.is_null() | ~moments.is_finite().fill_null(value=False), texts, _TIME_WANTED):
        return fault
    times: npt.NDArray[np.float64] = moments.to_numpy()
    return times if times.min() < times.max() else f"expected different times, got {quote(texts[0])} in every row"


def _moments(texts: pl.Series, raw: pl.Series) -> pl.Series:
    """Return times as numbers: as they are, or microseconds of dates; null where it is neither."""
    if raw.dtype.is_temporal() and raw.dtype not in (pl.Time, pl.Duration):
        return raw.cast(pl.Datetime("us")).to_physical().cast(pl.Float64)
    numbers = to_numbers(texts)
    if numbers.null_count() < texts.len():
        return numbers.cast(pl.Float64)
    for form in _TIME_FORMATS:
        moments = texts.str.to_datetime(form, strict=False, time_unit="us")
        # Rows of one table are written in one way; what differs is a mistake, which the first row of it shows.
        if moments.null_count() < texts.len():
            return moments.to_physical().cast(pl.Float64)
    return pl.Series(raw.name, [None] * texts.len(), dtype=pl.Float64)


def _first(wrong: pl.Series, texts: pl.Series, wanted: str) -> str:
    """Say which row is the first that is wrong; nothing where none is."""
    wrong = wrong.fill_null(value=True)
    if not wrong.any():
        return ""
    index = wrong.arg_max()
    assert index is not None
    got = "nothing" if texts[index] is None else quote(texts[index])
    return f"row {index + FIRST_DATA_ROW}: {wanted}, got {got}"
