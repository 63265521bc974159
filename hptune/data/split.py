"""Which rows train, validate and test: by fraction, by file or by column; seeded, stratified for classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.data.formats import quote
from hptune.data.table import PARTS, Dataset
from hptune.errors import DataError
from hptune.spec import SplitSpec

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, ascending."""

    train: Rows
    validation: Rows
    test: Rows


def part_sizes(dataset: Dataset, spec: SplitSpec) -> dict[str, int]:
    """Count the rows of each part without splitting them: needs no scikit-learn.

    Raises:
        DataError: If a part would be empty.
    """
    given = {part: int((dataset.parts == code).sum()) for code, part in enumerate(PARTS)}
    pool = int((dataset.parts == -1).sum())
    if pool:
        taken = {part: math.ceil(pool * fraction) for part, fraction in _fractions(dataset, spec).items()}
        given = {part: count + taken.get(part, 0) for part, count in given.items()}
        given["train"] += pool - sum(taken.values())
    for part in PARTS[:2]:
        if given[part] < 1:
            raise DataError(
                f"data.split: expected {part} rows, got none of {len(dataset.parts)} rows; change the fractions"
            )
    return given


def _fractions(dataset: Dataset, spec: SplitSpec) -> dict[str, float]:
    """Return the fractions of those parts that are still to be drawn."""
    wanted = {"validation": spec.validation, "test": spec.test}
    present = {PARTS[code] for code in np.unique(dataset.parts) if code >= 0}
    return {part: fraction for part, fraction in wanted.items() if fraction and part not in present}


def split_rows(dataset: Dataset, spec: SplitSpec) -> Split:
    """Split the rows.

    Args:
        dataset: The table; rows that have a part keep it.
        spec: The `data.split` section; the fractions are of all rows that are to be split.

    Raises:
        DataError: If a part is empty or lacks a class.
    """
    sizes = part_sizes(dataset, spec)
    rows = {part: np.flatnonzero(dataset.parts == code) for code, part in enumerate(PARTS)}
    pool = np.flatnonzero(dataset.parts == -1)
    if len(pool):
        for part in _fractions(dataset, spec):
            count = sizes[part]
            pool, drawn = _draw(dataset, spec, pool, count, part)
            rows[part] = drawn
        rows["train"] = np.concatenate([rows["train"], pool])
    split = Split(*(np.sort(rows[part]).astype(np.int64) for part in PARTS))
    _check_classes(dataset, split)
    return split


def _draw(dataset: Dataset, spec: SplitSpec, pool: Rows, count: int, part: str) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split  # takes seconds to import; `check` does not need it

    labels = _strata(dataset, spec, pool)
    # Each part has a seed of its own: the validation rows do not change when no test rows are drawn.
    seed = (spec.seed * len(PARTS) + PARTS.index(part)) % 2**32
    try:
        rest, drawn = train_test_split(pool, test_size=count, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DataError(
            f"data.split: {part} rows cannot be drawn: {error}; change the fractions, or set data.split.stratify to "
            "false"
        ) from None
    return rest, drawn


def _strata(dataset: Dataset, spec: SplitSpec, pool: Rows) -> npt.NDArray[Any] | None:
    if dataset.task == "regression" or spec.stratify is False:
        return None
    labels: npt.NDArray[Any] = dataset.frame[dataset.target].to_numpy()[pool]
    return labels


def _check_classes(dataset: Dataset, split: Split) -> None:
    """Refuse a split in which a class cannot be learned or cannot be judged."""
    if dataset.task == "regression":
        return
    target = dataset.frame[dataset.target]
    for part, rows in (("training", split.train), ("validation", split.validation), ("test", split.test)):
        absent = [label for label in dataset.labels if label not in set(target[rows].unique())]
        if absent and len(rows):
            shown = ", ".join(map(quote, absent[:5]))
            raise DataError(
                f"data.split: expected every class among the {part} rows, got none of {shown}; leave rows of so rare a "
                "class out, give each part a file of its own, or change data.split.seed"
            )
