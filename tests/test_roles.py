"""Columns of weights, groups and times: read with an error where they cannot be used, obeyed by splits and folds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.data.folds import fold_rows
from hptune.data.split import Split, part_sizes, split_rows
from hptune.errors import DataError, ExperimentError
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.spec import SplitSpec

Lay = Callable[..., Groundwork]


def table(rows: int = 60, column: str = "role", cell: Callable[[int], object] = lambda row: row + 1) -> str:
    return f"x,{column},churned\n" + "".join(f"{row},{cell(row)},{'ab'[row % 2]}\n" for row in range(rows))


FAULTS = [
    ("weight", lambda row: -1 if row == 3 else 1, 'row 5: expected a weight of 0 or more in every row, got "-1"'),
    ("weight", lambda row: "much" if row == 3 else 1, 'row 5: expected a weight of 0 or more in every row, got "much"'),
    ("weight", lambda row: "NA" if row == 0 else 1, "row 2: expected a weight of 0 or more in every row, got nothing"),
    ("weight", lambda row: 0, "expected a weight above 0 in some row, got none"),
    ("group", lambda row: "" if row == 7 else "g", "row 9: expected a group in every row, got nothing"),
    ("group", lambda row: "g", 'expected different groups, got "g" in every row'),
    (
        "time",
        lambda row: "soon" if row == 2 else "2024-01-31",
        'row 4: expected a number or a date such as 2024-01-31 or 2024-01-31T09:30:00 in every row, got "soon"',
    ),
    ("time", lambda row: "2024-01-31", 'expected different times, got "2024-01-31" in every row'),
]


@pytest.mark.parametrize(("role", "cell", "expected"), FAULTS, ids=range(len(FAULTS)))
def test_a_column_that_cannot_be_used_is_refused_at_its_row(
    role: str, cell: Callable[[int], object], expected: str, ground: Lay
) -> None:
    with pytest.raises(DataError) as caught:
        ground(table(cell=cell), data=f"  columns: {{{role}: role}}\n")

    assert str(caught.value).endswith(f'table.csv: column "role": {expected}')


def test_unknown_columns_and_columns_of_two_purposes_are_named(ground: Lay) -> None:
    with pytest.raises(DataError) as caught:
        ground(table(), data="  columns: {weight: rolle, group: role, id: role}\n")

    assert 'data.columns.weight: expected a column of the table, got "rolle"; did you mean "role"?' in str(caught.value)
    assert 'column "role": expected one purpose, got data.columns.id and data.columns.group' in str(caught.value)


def test_group_and_time_together_are_refused_at_their_line(ground: Lay) -> None:
    with pytest.raises(ExperimentError) as caught:
        ground(table(), data="  columns: {group: role, time: x}\n  split: {stratify: true}\n")

    assert "data.columns.group: expected a group or a time column, got both" in str(caught.value)
    assert "data.split.stratify: read only without data.columns.time" in str(caught.value)


@pytest.mark.parametrize("role", ["weight", "group", "time"])
def test_such_columns_are_never_learned_from(role: str, ground: Lay) -> None:
    dataset = ground(table(), data=f"  columns: {{{role}: role}}\n").dataset

    assert [column.name for column in dataset.columns] == ["x"]


DATES = {
    "whole numbers": lambda row: row,
    "dates": lambda row: f"2024-{1 + row // 28:02d}-{1 + row % 28:02d}",
    "moments": lambda row: f"2024-01-01T{row // 6:02d}:{row % 6}0:00",
}


@pytest.mark.parametrize("kind", DATES)
def test_times_are_put_in_order_whatever_they_are_written_as(kind: str, ground: Lay) -> None:
    times = ground(table(cell=DATES[kind]), data="  columns: {time: role}\n").dataset.roles.times

    assert times is not None
    assert all(first < second for first, second in pairwise(times.tolist()))


def parts_of(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(80, 120), st.integers(20, 40), st.integers(0, 1000), st.sampled_from(["auto", False]))
def test_no_group_is_in_two_parts_nor_in_two_folds(
    ground: Lay, rows: int, groups: int, seed: int, stratify: str | bool
) -> None:
    text = table(rows, cell=lambda row: f"g{row // 2 % groups}")
    dataset = ground(text, data="  columns: {group: role}\n").dataset
    spec = SplitSpec(seed=seed, stratify=stratify)

    splits = [split_rows(dataset, spec), *fold_rows(dataset, spec, 3)]

    group = dataset.roles.groups
    assert group is not None
    for split in splits:
        parts = [set(group[part].tolist()) for part in parts_of(split)]
        assert sum(map(len, parts)) == len(set().union(*parts)) == len(set(group.tolist()))
        assert sorted(np.concatenate(parts_of(split)).tolist()) == list(range(rows))
        assert len(split.test) == pytest.approx(0.2 * rows, abs=0.1 * rows)
    assert part_sizes(dataset, spec) == dict(
        zip(("train", "validation", "test"), map(len, parts_of(splits[0])), strict=True)
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(60, 120), st.integers(10, 60), st.integers(0, 1000))
def test_the_future_is_never_trained_on(ground: Lay, rows: int, times: int, seed: int) -> None:
    drawn = np.random.default_rng(seed).permutation(np.arange(rows) % times)
    text = "x,role,churned\n" + "".join(f"{row},{time},{row}.5\n" for row, time in enumerate(drawn))
    dataset = ground(text, data="  task: regression\n  columns: {time: role}\n").dataset
    spec = SplitSpec(seed=seed)

    split, folds = split_rows(dataset, spec), fold_rows(dataset, spec, 3)

    assert drawn[split.train].max() < drawn[split.validation].min()
    assert drawn[split.validation].max() < drawn[split.test].min()
    validated = np.concatenate([fold.validation for fold in folds])
    assert len(set(validated.tolist())) == len(validated)
    for fold in folds:
        assert drawn[fold.train].max() < drawn[fold.validation].min()
        assert drawn[fold.validation].max() < drawn[fold.test].min()
        assert np.array_equal(fold.test, split.test)


def test_parts_that_are_given_must_keep_groups_whole_and_the_order_of_time(ground: Lay) -> None:
    rows = "x,role,part,churned\n" + "".join(
        f"{row},{role},{part},{'ab'[row % 2]}\n"
        for row, (role, part) in enumerate([(1, "train"), (2, "train"), (2, "validation"), (3, "validation")] * 5)
    )

    grouped = ground(rows, data="  columns: {group: role}\n  split: {column: part}\n").dataset
    with pytest.raises(DataError) as caught:
        split_rows(grouped, SplitSpec(column="part"))
    assert "expected no group in two parts, got that of row 4 among the training and the validation rows" in str(
        caught.value
    )

    backwards = rows.replace("train", "later").replace("validation", "train").replace("later", "validation")
    timed = ground(backwards, data="  columns: {time: role}\n  split: {column: part}\n").dataset
    with pytest.raises(DataError) as caught:
        split_rows(timed, SplitSpec(column="part"))
    assert "expected training rows before the validation rows in time, got row 5 after row 2" in str(caught.value)


def test_folds_are_stratified_and_each_row_validates_once(ground: Lay) -> None:
    dataset = ground(table(90)).dataset

    folds = fold_rows(dataset, SplitSpec(), 4)

    assert sorted(np.concatenate([fold.validation for fold in folds])) == sorted(
        np.concatenate([folds[0].train, folds[0].validation])
    )
    for fold in folds:
        counts = np.bincount(fold.validation % 2)
        assert counts.max() - counts.min() <= 1
    again = fold_rows(dataset, SplitSpec(), 4)
    assert all(np.array_equal(a.validation, b.validation) for a, b in zip(folds, again, strict=True))


@pytest.mark.parametrize(
    ("kind", "role", "folds", "message"),
    [
        ("few rows", "", 9, "9 folds cannot be made: 8 rows train and validate; take at most 8"),
        ("class", "", 6, 'class "b" has 4 rows, and each fold needs one; take at most 4'),
        ("groups", "group", 4, "these rows are of 3 groups, each of which stays whole; take at most 3"),
        ("class in a group", "group", 2, 'class "b" has 1 group, and each fold needs one; leave evaluation.folds out'),
        ("times", "time", 5, "these rows have 5 different times, of which the first only train; take at most 4"),
        ("one time", "time", 3, "too many rows have the same time, which stay together; take fewer"),
        ("late class", "time", 3, 'expected every class among the training rows, got none of "b"'),
    ],
)
def test_folds_that_cannot_be_made_are_told_at_their_line_before_anything_is_trained(
    tmp_path: Path, kind: str, role: str, folds: int, message: str
) -> None:
    rows = {
        "few rows": [(row, row + 0.5) for row in range(8)],
        "class": [(row, "ab"[row < 4]) for row in range(30)],
        "groups": [(row % 3, "ab"[row % 2]) for row in range(60)],
        "class in a group": [(row % 6, "ab"[row % 6 == 0]) for row in range(60)],
        "times": [(row % 5, row + 0.5) for row in range(40)],
        "one time": [(max(row, 30), row + 0.5) for row in range(40)],
        "late class": [(row, "ab"[row > 30]) for row in range(40)],
    }[kind]
    lines = [f"{number},{value},{truth}" for number, (value, truth) in enumerate(rows)]
    (tmp_path / "table.csv").write_text("\n".join(["x,role,y", *lines]) + "\n")
    is_regression = isinstance(rows[0][1], float)
    config = tmp_path / "experiment.yaml"
    columns = f"  columns: {{{role}: role}}\n" if role else ""
    metric = "rmse, direction: min" if is_regression else "accuracy, direction: max"
    config.write_text(
        f"name: test\nevaluation:\n  folds: {folds}\ndata:\n  source: table.csv\n  target: y\n  split: {{test: 0}}\n"
        f"{columns}objective: {{metric: {metric}}}\nstrategy: {{name: random}}\nbudget: {{max_trials: 1}}\n"
    )

    with pytest.raises(ExperimentError) as caught:
        lay_groundwork(config)

    (fault,) = caught.value.faults
    assert fault.startswith(f"{config}:3:10: evaluation.folds: ")
    assert message in fault
    assert f"  folds: {folds}\n" in fault


def test_as_many_folds_as_are_said_to_be_possible_can_be_made(ground: Lay) -> None:
    dataset = ground(table(20)).dataset

    with pytest.raises(DataError, match=r'class "\w+" has 8 rows, and each fold needs one; take at most 8'):
        fold_rows(dataset, SplitSpec(), 12)
    assert len(fold_rows(dataset, SplitSpec(), 8)) == 8


def test_a_part_without_weight_is_refused(ground: Lay) -> None:
    text = table(cell=lambda row: int(row == 0))
    dataset = ground(text, data="  columns: {weight: role}\n").dataset

    with pytest.raises(DataError, match=r"expected a weight above 0 among the \w+ rows, got none"):
        split_rows(dataset, SplitSpec())
