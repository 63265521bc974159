"""Which rows train, validate and test: by fraction, by file or by column; seeded, stratified for classes.

Rows of one group are never in two parts. With a time column the last rows test, those before them validate, and rows of
the same time stay together, so that the future is never trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.data.formats import FIRST_DATA_ROW, quote
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

    @property
    def parts(self) -> Mapping[str, Rows]:
        """Rows by the words for them."""
        return {"training": self.train, "validation": self.validation, "test": self.test}


def part_sizes(dataset: Dataset, spec: SplitSpec) -> dict[str, int]:
    """Count the rows of each part; needs scikit-learn only where groups decide how many there are.

    Raises:
        DataError: If a part would be empty.
    """
    if dataset.roles.groups is None and dataset.roles.times is None:
        return _wanted_sizes(dataset, spec)
    split = split_rows(dataset, spec)
    return {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}


def _wanted_sizes(dataset: Dataset, spec: SplitSpec) -> dict[str, int]:
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
        DataError: If a part is empty or lacks a class, or given parts share a group or train on the future.
    """
    sizes = _wanted_sizes(dataset, spec)
    rows = {part: np.flatnonzero(dataset.parts == code) for code, part in enumerate(PARTS)}
    pool = np.flatnonzero(dataset.parts == -1)
    if len(pool):
        # The last rows in time test, those before them validate.
        wanted = list(_fractions(dataset, spec))
        for part in wanted if dataset.roles.times is None else reversed(wanted):
            pool, rows[part] = _draw(dataset, spec, pool, sizes[part], part)
        rows["train"] = np.concatenate([rows["train"], pool])
    split = Split(*(np.sort(rows[part]).astype(np.int64) for part in PARTS))
    check_split(dataset, split, "data.split")
    return split


def _draw(dataset: Dataset, spec: SplitSpec, pool: Rows, count: int, part: str) -> tuple[Rows, Rows]:
    """Return what is left of the pool, and the rows of a part."""
    if dataset.roles.times is not None:
        return _draw_last(dataset.roles.times, pool, count, part)
    # Each part has a seed of its own: the validation rows do not change when no test rows are drawn.
    seed = (spec.seed * len(PARTS) + PARTS.index(part)) % 2**32
    labels = strata(dataset, spec, pool)
    groups = dataset.roles.of(pool).groups
    draw = _draw_rows if groups is None else _draw_groups
    try:
        rest, drawn = draw(len(pool), count, seed, labels, groups)
    except ValueError as error:
        raise DataError(
            f"data.split: {part} rows cannot be drawn: {error}; change the fractions, or set data.split.stratify to "
            "false"
        ) from None
    return pool[rest], pool[drawn]


def _draw_rows(size: int, count: int, seed: int, labels: Any, groups: Any) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split  # takes seconds to import; `check` does not need it

    del groups
    rest, drawn = train_test_split(np.arange(size), test_size=count, random_state=seed, stratify=labels)
    return rest, drawn


def _draw_groups(size: int, count: int, seed: int, labels: Any, groups: Any) -> tuple[Rows, Rows]:
    """Draw whole groups, in the classes' shares where these are stratified; the count is met as nearly as may be."""
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    rows = np.arange(size)
    if labels is None:
        splitter = GroupShuffleSplit(1, test_size=count / size, random_state=seed)
        rest, drawn = next(splitter.split(rows, groups=groups))
    else:
        folds = StratifiedGroupKFold(max(round(size / count), 2), shuffle=True, random_state=seed)
        rest, drawn = next(folds.split(rows, labels, groups))
    return rest, drawn


def _draw_last(times: npt.NDArray[np.float64], pool: Rows, count: int, part: str) -> tuple[Rows, Rows]:
    """Take the last rows of the pool, cutting where the time changes."""
    order = pool[np.argsort(times[pool], kind="stable")]
    cut = cut_between(times[order], len(order) - count)
    if cut is None:
        raise DataError(f"data.split: {part} rows cannot be drawn: too few different times; change the fractions")
    return order[:cut], order[cut:]


def cut_between(times: npt.NDArray[np.float64], wanted: int) -> int | None:
    """Return the place nearest to the wanted one where ascending times change; None where they never do."""
    places = np.flatnonzero(np.diff(times)) + 1
    return int(places[np.abs(places - wanted).argmin()]) if len(places) else None


def strata(dataset: Dataset, spec: SplitSpec, pool: Rows) -> npt.NDArray[Any] | None:
    """Return the classes of which parts get equal shares; None where rows are drawn without regard to them."""
    if dataset.task == "regression" or spec.stratify is False:
        return None
    labels: npt.NDArray[Any] = dataset.frame[dataset.target].to_numpy()[pool]
    return labels


def check_split(dataset: Dataset, split: Split, key: str) -> None:
    """Refuse a split in which something cannot be learned or judged, or is known beforehand.

    Args:
        dataset: The table.
        split: Its parts.
        key: Of the experiment, to which the message points.

    Raises:
        DataError: If a part lacks a class or all weight, or parts share a group or train on the future.
    """
    _check_classes(dataset, split, key)
    weights = dataset.roles.weights
    for part, rows in split.parts.items():
        if weights is not None and len(rows) and not weights[rows].sum() > 0:
            raise DataError(f"{key}: expected a weight above 0 among the {part} rows, got none; change data.split.seed")
    _check_groups(dataset, split, key)
    _check_times(dataset, split, key)


def _check_classes(dataset: Dataset, split: Split, key: str) -> None:
    if dataset.task == "regression":
        return
    target = dataset.frame[dataset.target]
    for part, rows in split.parts.items():
        absent = [label for label in dataset.labels if label not in set(target[rows].unique())]
        if absent and len(rows):
            shown = ", ".join(map(quote, absent[:5]))
            raise DataError(
                f"{key}: expected every class among the {part} rows, got none of {shown}; leave rows of so rare a "
                "class out, give each part a file of its own, or change data.split.seed"
            )


def _check_groups(dataset: Dataset, split: Split, key: str) -> None:
    groups = dataset.roles.groups
    if groups is None:
        return
    seen: dict[int, str] = {}
    for part, rows in split.parts.items():
        for group in np.unique(groups[rows]).tolist():
            if group in seen:
                row = int(rows[groups[rows] == group][0]) + FIRST_DATA_ROW
                raise DataError(
                    f"{key}: expected no group in two parts, got that of row {row} among the {seen[group]} and the "
                    f"{part} rows; give the parts whole groups"
                )
            seen[group] = part


def _check_times(dataset: Dataset, split: Split, key: str) -> None:
    times = dataset.roles.times
    if times is None:
        return
    before: tuple[int, str] | None = None
    for part, rows in split.parts.items():
        if not len(rows):
            continue
        first = int(rows[times[rows].argmin()])
        if before is not None and times[before[0]] > times[first]:
            raise DataError(
                f"{key}: expected {before[1]} rows before the {part} rows in time, got row "
                f"{before[0] + FIRST_DATA_ROW} after row {first + FIRST_DATA_ROW}; give the parts in the order of time"
            )
        last = int(rows[times[rows].argmax()])
        if before is None or times[last] >= times[before[0]]:
            before = last, part
