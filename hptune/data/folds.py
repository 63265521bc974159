"""Folds: each row of the pool validates once, and trains otherwise.

Stratified for classes, whole groups where there are groups. In time, each fold trains on all rows before the ones that
it validates on, so the first rows only train.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from hptune.data.formats import quote
from hptune.data.split import Rows, Split, check_split, cut_between, split_rows, strata
from hptune.data.table import PARTS, Dataset
from hptune.errors import DataError
from hptune.spec import SplitSpec

_KEY = "evaluation.folds"
_FEWEST = 2


def fold_rows(dataset: Dataset, spec: SplitSpec, folds: int) -> tuple[Split, ...]:
    """Divide all rows that do not test into folds.

    Args:
        dataset: The table; rows that are given as test rows stay so.
        spec: The `data.split` section; its validation share is not used.
        folds: How many, from 2.

    Returns:
        The parts of each fold; the test rows are the same in all of them.

    Raises:
        DataError: If validation rows are given, or there are too few rows, groups, times or rows of a class; the
            message begins with the key of the experiment that can be mended.
    """
    if (dataset.parts == PARTS.index("validation")).any():
        raise DataError(f"{_KEY}: expected no validation rows of their own, which folds replace; call them train")
    pool, test = _hold_out(dataset, spec)
    most, reason = min(_limits(dataset, spec, pool), key=lambda limit: limit[0])
    if most < folds:
        cure = f"take at most {most}" if most >= _FEWEST else f"leave {_KEY} out"
        raise DataError(f"{_KEY}: {folds} folds cannot be made: {reason}; {cure}")
    made = []
    for number, (train, validation) in enumerate(_folds(dataset, spec, pool, folds), start=1):
        split = Split(np.sort(train), np.sort(validation), test)
        try:
            check_split(dataset, split, f"{_KEY}: fold {number}")
        except DataError as error:
            raise DataError(f"{error.message}, or take fewer folds") from None
        made.append(split)
    return tuple(made)


def _limits(dataset: Dataset, spec: SplitSpec, pool: Rows) -> Iterator[tuple[int, str]]:
    """Yield how many folds there can be at the most, and why."""
    roles = dataset.roles.of(pool)
    yield len(pool), f"{len(pool)} rows train and validate"
    if roles.times is not None:
        times = len(np.unique(roles.times))
        yield times - 1, f"these rows have {times} different times, of which the first only train"
        return
    groups = roles.groups
    if groups is not None:
        count = len(np.unique(groups))
        yield count, f"these rows are of {count} groups, each of which stays whole"
    labels = strata(dataset, spec, pool)
    if labels is None:
        return
    for label in dataset.labels:
        own = labels == label
        count = int(own.sum()) if groups is None else len(np.unique(groups[own]))
        unit = ("row" if groups is None else "group") + "s" * (count != 1)
        yield count, f"class {quote(label)} has {count} {unit}, and each fold needs one"


def _hold_out(dataset: Dataset, spec: SplitSpec) -> tuple[Rows, Rows]:
    """Return the rows that train and validate, and those that test."""
    is_test = dataset.parts == PARTS.index("test")
    if is_test.any() or not spec.test:
        return np.flatnonzero(~is_test).astype(np.int64), np.flatnonzero(is_test).astype(np.int64)
    # Drawn as the test rows of a plain split are: a later look without folds leaves them unseen.
    split = split_rows(dataset, spec)
    return np.sort(np.concatenate([split.train, split.validation])), split.test


def _folds(dataset: Dataset, spec: SplitSpec, pool: Rows, folds: int) -> Iterator[tuple[Rows, Rows]]:
    roles = dataset.roles.of(pool)
    if roles.times is not None:
        places = np.argsort(roles.times, kind="stable")
        order = pool[places]
        size = len(order) / (folds + 1)
        cuts = [cut_between(roles.times[places], round(size * number)) for number in range(1, folds + 1)]
        ends = [*(cut or 0 for cut in cuts), len(order)]
        if len(set(ends)) < len(ends):
            raise DataError(
                f"{_KEY}: {folds} folds cannot be made: too many rows have the same time, which stay together; take "
                "fewer"
            )
        for first, last in pairwise(ends):
            yield order[:first], order[first:last]
        return
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    labels = strata(dataset, spec, pool)
    if roles.groups is None:
        splitter = KFold if labels is None else StratifiedKFold
    else:
        splitter = GroupKFold if labels is None else StratifiedGroupKFold
    seed = spec.seed * len(PARTS) % 2**32
    for train, validation in splitter(folds, shuffle=True, random_state=seed).split(pool, labels, roles.groups):
        yield pool[train], pool[validation]
