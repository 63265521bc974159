from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.data.split import part_sizes, split_rows
from hptune.errors import DataError
from hptune.groundwork import Groundwork
from hptune.spec import SplitSpec

Lay = Callable[..., Groundwork]


def table(rows: int, classes: int = 3) -> str:
    return "x,churned\n" + "".join(f"{row},{'abcdefgh'[row % classes]}\n" for row in range(rows))


fractions = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(40, 90), st.sampled_from([0.1, 0.2, 0.33]), fractions, st.integers(0, 2**31 - 1))
def test_parts_are_disjoint_complete_seeded_and_of_the_size_that_check_tells(
    ground: Lay, rows: int, validation: float, test: float, seed: int
) -> None:
    dataset = ground(table(rows)).dataset
    spec = SplitSpec(validation=validation, test=test, seed=seed)

    split = split_rows(dataset, spec)

    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    assert {name: len(numbers) for name, numbers in parts.items()} == part_sizes(dataset, spec)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(rows))
    again = split_rows(dataset, spec)
    assert all(np.array_equal(a, b) for a, b in zip(vars(split).values(), vars(again).values(), strict=True))


def test_classes_are_stratified(ground: Lay) -> None:
    split = split_rows(ground(table(90)).dataset, SplitSpec())

    for rows in (split.train, split.validation, split.test):
        counts = np.bincount(rows % 3)
        assert counts.max() - counts.min() <= 1


def test_another_seed_gives_another_split(ground: Lay) -> None:
    dataset = ground(table(90)).dataset

    assert not np.array_equal(split_rows(dataset, SplitSpec()).test, split_rows(dataset, SplitSpec(seed=1)).test)


def test_a_column_may_say_which_rows_are_which(ground: Lay) -> None:
    words = ["train", "train", "train", "validation", "test"]
    rows = "".join(f"{row},{'ab'[row // 5 % 2]},{words[row % 5]}\n" for row in range(40))

    dataset = ground("x,churned,part\n" + rows, data="  split: {column: part}\n").dataset
    split = split_rows(dataset, SplitSpec(column="part"))

    assert [column.name for column in dataset.columns] == ["x"]
    assert list(split.test) == [row for row in range(40) if row % 5 == 4]
    assert list(split.validation) == [row for row in range(40) if row % 5 == 3]


def test_a_class_of_one_row_is_refused_with_the_cure(ground: Lay) -> None:
    dataset = ground(table(40) + "99,rare\n").dataset

    with pytest.raises(DataError) as caught:
        split_rows(dataset, SplitSpec())
    assert "change the fractions, or set data.split.stratify to false" in str(caught.value)
    with pytest.raises(DataError) as caught:
        split_rows(dataset, SplitSpec(stratify=False))
    assert 'rows, got none of "rare"; leave rows of so rare a class out' in str(caught.value)


def test_a_part_without_rows_is_refused(ground: Lay) -> None:
    dataset = ground(table(40)).dataset

    with pytest.raises(DataError, match="expected validation rows, got none of 40 rows"):
        part_sizes(dataset, SplitSpec(validation=0.0))
