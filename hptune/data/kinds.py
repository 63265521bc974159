"""What a column is: numbers or categories, which cells are missing, and which cell does not fit.

Only the texts of `data.missing` mean missing (in typed files null and NaN do). A column is numeric where every other
cell is a number, unless the experiment says otherwise; a column where almost every cell is a number is a mistake to be
cleared up, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from hptune.data.formats import FIRST_DATA_ROW, quote

Kind = Literal["numeric", "categorical"]

# A column with at least this share of numbers is meant to be numeric.
_ALMOST_ALL = 0.95
_ALL_NUMBERS = "every value is a number"
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class Column:
    """One input column as it was understood.

    Attributes:
        name: As in the file.
        kind: numeric or categorical.
        missing: Cells without a value.
        distinct: Different values.
        reason: Why it is of this kind.
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    reason: str


@dataclass(frozen=True)
class Understood:
    """A column in its final type: Float64 or String, null where missing; `fault` says what does not fit."""

    series: pl.Series
    kind: Kind
    reason: str
    fault: str | None = None


def understand(
    series: pl.Series, missing: Sequence[str], listed: Kind | None, first_row: int = FIRST_DATA_ROW
) -> Understood:
    """Decide what a column is and convert it.

    Args:
        series: As read.
        missing: Texts that mean missing.
        listed: What the experiment says it is, if anything.
        first_row: Number of the first row, for messages.
    """
    dtype = series.dtype
    if dtype == pl.Boolean:
        texts = series.cast(pl.String)
        return Understood(texts, "categorical", "true and false")
    if dtype in (pl.String, pl.Categorical) or isinstance(dtype, pl.Enum):
        # Most columns of most tables are plain numbers: one look tells, and nothing else has to be searched.
        if (
            dtype == pl.String
            and listed != "categorical"
            and to_numbers(pl.Series(missing, dtype=pl.String)).null_count() == len(missing)
        ):
            numbers = series.cast(pl.Float64, strict=False)
            if not numbers.null_count() and numbers.is_finite().all():
                return Understood(
                    numbers, "numeric", _reason(listed, _ALL_NUMBERS), _unusable(numbers, series, first_row)
                )
        return _understand_text(as_text(series, missing), listed, first_row)
    if dtype.is_numeric():
        if listed == "categorical":
            return Understood(_codes(series), "categorical", "listed in data.columns.categorical")
        numbers = series.cast(pl.Float64).fill_nan(None)
        return Understood(
            numbers, "numeric", _reason(listed, "a column of numbers"), _unusable(numbers, None, first_row)
        )
    fault = f"expected numbers or text, got {dtype}; convert it or list it under data.columns.exclude"
    return Understood(series, "categorical", "", fault)


def as_text(series: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Return text with null where a cell means missing; an empty cell always does."""
    texts = series.cast(pl.String)
    return texts.set(texts.is_in(["", *missing]).fill_null(value=True), None)


def _understand_text(texts: pl.Series, listed: Kind | None, first_row: int) -> Understood:
    if listed == "categorical":
        return Understood(texts, "categorical", "listed in data.columns.categorical")
    numbers = to_numbers(texts)
    is_text = numbers.is_null() & texts.is_not_null()
    count = int(is_text.sum())
    present = len(texts) - texts.null_count()
    if not count:
        if not present and listed is None:
            return Understood(numbers, "numeric", "no cell has a value")
        return Understood(numbers, "numeric", _reason(listed, _ALL_NUMBERS), _unusable(numbers, texts, first_row))
    row, value = _first(is_text, texts, first_row)
    if listed == "numeric" or count <= (1 - _ALMOST_ALL) * present:
        others = f" and {count - 1} more cells" if count > 1 else ""
        cure = "list it under data.missing" if listed == "numeric" else _cure(value)
        return Understood(numbers, "numeric", "", f"row {row}: expected a number, got {quote(value)}{others}; {cure}")
    return Understood(texts, "categorical", f"text, such as {quote(value)} in row {row}")


def _cure(value: str) -> str:
    if value.replace(",", "", 1).lstrip("+-").isdigit():
        return "write decimal points instead of commas"
    return "list it under data.missing, or the column under data.columns.categorical"


def to_numbers(texts: pl.Series) -> pl.Series:
    """Read text as numbers; null where it is none. Words for infinity and not-a-number are text."""
    numbers = texts.cast(pl.Float64, strict=False)
    if numbers.null_count() > texts.null_count():
        numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    # A number that is too large reads as infinity too; only words have letters such as these.
    is_odd = ~numbers.is_finite().fill_null(value=True)
    if not is_odd.any():
        return numbers
    return numbers.set(is_odd & texts.str.contains(r"(?i)[in]").fill_null(value=False), None)


def _unusable(numbers: pl.Series, texts: pl.Series | None, first_row: int) -> str | None:
    """Find infinities, and numbers too large for the arithmetic of the network."""
    is_bad = (numbers.abs() > _LARGEST_FLOAT32).fill_null(value=False)
    if not is_bad.any():
        return None
    row, value = _first(is_bad, texts if texts is not None else numbers.cast(pl.String), first_row)
    return f"row {row}: expected a number of at most {_LARGEST_FLOAT32:.4g}, got {value}; rescale or mend the column"


def _first(mask: pl.Series, values: pl.Series, first_row: int) -> tuple[int, str]:
    index = mask.arg_max()
    assert index is not None
    return index + first_row, str(values[index])


def _codes(series: pl.Series) -> pl.Series:
    """Write numeric codes as text: whole ones without a decimal point."""
    numbers = series.cast(pl.Float64).fill_nan(None)
    is_whole = ((numbers == numbers.round()) & (numbers.abs() < _LARGEST_WHOLE)).fill_null(value=True).all()
    return (numbers.cast(pl.Int64) if is_whole else numbers).cast(pl.String)


def _reason(listed: Kind | None, found: str) -> str:
    return f"listed in data.columns.{listed}" if listed else found
