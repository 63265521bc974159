"""What the network is fed: learned from training rows only, the same for every row afterwards.

Numbers are standardized, mapped to normal scores, or left; a missing one becomes the mean, and a column that misses
some in training gets an indicator beside it. Categories become codes: 0 for one never seen, 1 for a missing one.
`hptune.data.graph` does the same in Keras. Both begin with single precision, in which Keras hands rows to a model, and
compute in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.kinds import Column

UNKNOWN_CODE, MISSING_CODE, FIRST_CODE = 0, 1, 2
MOST_QUANTILES = 100
# Normal scores beyond three standard deviations would be made from a handful of rows.
LARGEST_SCORE = 3.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Numbers:
    """How one numeric column is prepared.

    Attributes:
        name: Of the column.
        mean: Put in the place of a missing value.
        scale: Standard deviation by which it is divided; 1 for a constant column.
        knots: Values of a piecewise linear map, ascending; empty unless quantile.
        scores: Normal scores of the knots.
        has_indicator: Whether a 0/1 column tells that the value was missing.
    """

    name: str
    mean: float
    scale: float
    knots: tuple[float, ...]
    scores: tuple[float, ...]
    has_indicator: bool


@dataclass(frozen=True)
class Preparation:
    """What was learned from the training rows.

    Attributes:
        way: standard, quantile or none.
        numbers: Numeric columns in order; their indicators stand behind all of them.
        vocabularies: For each categorical column its categories, sorted.
    """

    way: str
    numbers: tuple[Numbers, ...]
    vocabularies: Mapping[str, tuple[str, ...]]

    @property
    def numeric_width(self) -> int:
        """Number of numeric features, indicators included."""
        return len(self.numbers) + sum(column.has_indicator for column in self.numbers)

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of codes of each categorical column."""
        return tuple(FIRST_CODE + len(words) for words in self.vocabularies.values())

    def transform(self, frame: pl.DataFrame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Prepare rows.

        Returns:
            Features (rows, numeric_width) and codes (rows, categorical columns).
        """
        numeric = np.empty((frame.height, self.numeric_width), np.float32)
        indicators = [column for column in self.numbers if column.has_indicator]
        for index, column in enumerate(self.numbers):
            numeric[:, index] = self._prepare(column, _single(frame[column.name]).fill_null(column.mean).to_numpy())
        for index, column in enumerate(indicators, start=len(self.numbers)):
            numeric[:, index] = frame[column.name].is_null().to_numpy()
        codes = np.empty((frame.height, len(self.vocabularies)), np.int32)
        for index, (name, words) in enumerate(self.vocabularies.items()):
            known = {word: code for code, word in enumerate(words, start=FIRST_CODE)}
            code = frame[name].replace_strict(known, default=UNKNOWN_CODE, return_dtype=pl.Int32)
            codes[:, index] = code.set(frame[name].is_null(), MISSING_CODE).to_numpy()
        return numeric, codes

    def _prepare(self, column: Numbers, values: Floats) -> Floats:
        if self.way == "quantile":
            scores: Floats = np.interp(values, column.knots, column.scores)
            return scores
        return (values - column.mean) / column.scale if self.way == "standard" else values

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, from which `from_dict` makes an equal preparation."""
        numbers = [
            {**vars(column), "knots": list(column.knots), "scores": list(column.scores)} for column in self.numbers
        ]
        return {
            "way": self.way,
            "numbers": numbers,
            "vocabularies": {name: list(words) for name, words in self.vocabularies.items()},
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preparation:
        """Make a preparation from plain data."""
        numbers = tuple(
            Numbers(**{**column, "knots": tuple(column["knots"]), "scores": tuple(column["scores"])})
            for column in fields["numbers"]
        )
        vocabularies = {name: tuple(words) for name, words in fields["vocabularies"].items()}
        return cls(fields["way"], numbers, vocabularies)


def fit_preparation(frame: pl.DataFrame, columns: Sequence[Column], way: str) -> Preparation:
    """Learn a preparation.

    Args:
        frame: Training rows.
        columns: The inputs.
        way: standard, quantile or none.
    """
    numbers = tuple(_fit_numbers(frame[column.name], way) for column in columns if column.kind == "numeric")
    vocabularies = {
        column.name: tuple(sorted(frame[column.name].drop_nulls().unique()))
        for column in columns
        if column.kind == "categorical"
    }
    return Preparation(way, numbers, vocabularies)


def _single(series: pl.Series) -> pl.Series:
    """Round to single precision, without leaving double."""
    return series.cast(pl.Float32).cast(pl.Float64)


def _fit_numbers(series: pl.Series, way: str) -> Numbers:
    values = _single(series).drop_nulls().to_numpy()
    mean = float(values.mean()) if len(values) else 0.0
    spread = float(values.std()) if len(values) else 0.0
    # Rounding leaves a constant column a spread of about 1e-16 of its size.
    scale = spread if spread > 1e-12 * max(abs(mean), 1e-300) else 1.0
    knots, scores = _fit_quantiles(values) if way == "quantile" else ((), ())
    return Numbers(series.name, mean, scale, knots, scores, has_indicator=series.null_count() > 0)


def _fit_quantiles(values: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Find the knots of a piecewise linear map to normal scores; equal knots share the mean of their levels."""
    if not len(values):
        return (0.0,), (0.0,)
    from scipy.special import ndtri  # imported with a search only

    levels = np.linspace(0, 1, min(MOST_QUANTILES, max(len(values), 2)))
    knots, first, counts = np.unique(np.quantile(values, levels), return_index=True, return_counts=True)
    middle = (levels[first] + levels[first + counts - 1]) / 2
    scores = np.clip(ndtri(middle), -LARGEST_SCORE, LARGEST_SCORE)
    return tuple(knots.tolist()), tuple(scores.tolist())


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of a regression target on training rows."""

    mean: float
    scale: float

    def standardize(self, values: Floats) -> npt.NDArray[np.float32]:
        """Return values in standard deviations from the mean, as the network is trained on them."""
        return ((values - self.mean) / self.scale).astype(np.float32)


def fit_target_scale(frame: pl.DataFrame, target: str) -> TargetScale:
    """Learn the scale of the target from training rows."""
    values = frame[target].to_numpy()
    return TargetScale(float(values.mean()), float(values.std()) or 1.0)
