"""Tables as people have them: read, understood, or refused with row, column and cure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import TABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.data.blocks import read_rows
from hptune.data.table import Dataset
from hptune.errors import DataError
from hptune.groundwork import Groundwork

Lay = Callable[..., Groundwork]


def refusal(ground: Lay, tmp_path: Path, *arguments: str | bytes, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        ground(*arguments, **options)
    return str(caught.value).replace(f"{tmp_path}/", "")


def kinds(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.kind for column in dataset.columns}


def test_numbers_text_gaps_and_codes_are_told_apart(ground: Lay) -> None:
    dataset = ground(data="  columns: {id: id, categorical: [grade]}\n  split: {validation: 0.34, test: 0}\n").dataset

    assert kinds(dataset) == {"age": "numeric", "income": "numeric", "city": "categorical", "grade": "categorical"}
    assert {column.name: column.missing for column in dataset.columns} == {"age": 1, "income": 1, "city": 1, "grade": 0}
    assert dataset.frame["grade"].to_list() == ["3", "1", "2", "3", "1", "2"]
    assert dataset.labels == ("no", "yes")
    assert dataset.positive == 1


def test_only_the_texts_of_missing_mean_missing(ground: Lay) -> None:
    table = TABLE.replace("NA", "none")

    dataset = ground(table, data='  missing: ["none"]\n  columns: {exclude: [id]}\n').dataset

    assert dataset.frame["income"].null_count() == 1
    assert kinds(dataset)["income"] == "numeric"


MANY = "x,y\n" + "".join(f"{number},{number % 2}\n" for number in range(100))
PATTERNS = {
    "no rows": ("x,y\n", "", "table.csv: expected rows below the header, got none"),
    "nothing": ("", "", "table.csv: expected a table, got an empty file"),
    "unknown target": (
        TABLE.replace("churned", "left"),
        "",
        'table.csv: data.target: expected a column of the table, got "churned"; its columns are "id", "age", "income", '
        '"city", "grade", "left"',
    ),
    "misspelt target": (
        TABLE.replace("churned", "churnd"),
        "",
        'table.csv: data.target: expected a column of the table, got "churned"; did you mean "churnd"?',
    ),
    "target among the inputs": (
        TABLE,
        "  columns: {numeric: [churned]}\n",
        'table.csv: column "churned": expected one purpose, got data.target and data.columns.numeric',
    ),
    "two columns of one name": (
        TABLE.replace("city", "age"),
        "",
        'table.csv: row 1: expected different column names, got twice "age"',
    ),
    "a column without a name": (
        TABLE.replace("city", ""),
        "",
        "table.csv: row 1: expected a name for every column, got none for column 4",
    ),
    "infinity written out": (
        TABLE.replace("34,", "1e400,"),
        "",
        'table.csv: column "age": row 2: expected a number of at most 3.403e+38, got 1e400; rescale or mend the column',
    ),
    "a gap in the target": (
        TABLE.replace("yes", "NA", 1),
        "",
        'table.csv: column "churned": row 2: expected a target in every row, got none; leave those rows out',
    ),
    "one class": (
        TABLE.replace("no", "yes"),
        "",
        'table.csv: column "churned": expected at least two classes, got "yes" in every row',
    ),
    "text among numbers": (
        MANY.replace("x,y", "x,churned").replace("\n57,", "\nfifty,"),
        "",
        'table.csv: column "x": row 59: expected a number, got "fifty"; list it under data.missing, or the column '
        "under data.columns.categorical",
    ),
    "decimal commas": (
        MANY.replace("\n57,", '\n"57,5",').replace("y", "churned"),
        "",
        'table.csv: column "x": row 59: expected a number, got "57,5"; write decimal points instead of commas',
    ),
    "text in a column listed as numeric": (
        TABLE,
        "  columns: {numeric: [city]}\n",
        'table.csv: column "city": row 2: expected a number, got "Bern" and 4 more cells; list it under data.missing',
    ),
    "a row too long": (
        TABLE.replace("2,yes\n", "2,yes,9\n"),
        "",
        "table.csv: row 7: expected 6 cells as in the header, got 7",
    ),
    "a row too short": (
        TABLE.replace("3,,3100.0,Bern,2,no", "3,,3100.0"),
        "",
        "table.csv: row 4: expected 6 cells as in the header, got 3",
    ),
    "a blank line": (
        TABLE.replace("3,,", "\n3,,"),
        "",
        "table.csv: row 4: expected 6 cells as in the header, got a blank line",
    ),
    "an open quote": (
        TABLE.replace("Bern", '"Bern', 1),
        "",
        "table.csv: row 2: a quote is opened and never closed",
    ),
    "semicolons": (
        TABLE.replace(",", ";"),
        "",
        'table.csv: row 1: expected commas between the columns, got semicolons; set data.separator to ";"',
    ),
    "UTF-16": (
        TABLE.encode("utf-16"),
        "",
        "table.csv: expected UTF-8 text, got UTF-16; save it as UTF-8 text",
    ),
    "Latin-1": (
        TABLE.replace("Como", "Évora").encode("latin-1"),
        "",
        "table.csv: row 3: expected UTF-8, got byte 0xc9; save it as UTF-8 (it may be Latin-1 or Windows-1252)",
    ),
    "a NUL": (TABLE.replace("Bern", "B\0rn", 1), "", "table.csv: row 2: expected text, got a NUL byte"),
    "an unknown positive class": (
        TABLE,
        "  positive: ja\n",
        'table.csv: column "churned": data.positive: expected "no" or "yes", got "ja"',
    ),
    "three classes for a binary task": (
        TABLE.replace("no", "maybe", 1),
        "  task: binary\n",
        'table.csv: column "churned": expected two classes for a binary task, got 3: "maybe", "no", "yes"',
    ),
    "text for regression": (
        TABLE,
        "  task: regression\n",
        'table.csv: column "churned": expected numbers for regression, got text such as "yes"',
    ),
    "an unknown part": (
        TABLE,
        "  split: {column: city}\n",
        'table.csv: column "city": row 2: expected train, validation or test, got "Bern"',
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_table_that_cannot_be_used_is_refused_with_its_place(name: str, ground: Lay, tmp_path: Path) -> None:
    table, data, expected = PATTERNS[name]

    assert refusal(ground, tmp_path, table, data=data) == expected


def test_faults_of_several_columns_come_together(ground: Lay, tmp_path: Path) -> None:
    message = refusal(ground, tmp_path, TABLE.replace("yes", "NA", 1), data="  columns: {numeric: [city]}\n")

    assert message.splitlines() == [
        'table.csv: column "city": row 2: expected a number, got "Bern" and 4 more cells; list it under data.missing',
        'table.csv: column "churned": row 2: expected a target in every row, got none; leave those rows out',
    ]


def test_names_that_would_act_in_a_terminal_are_shown_escaped(ground: Lay, tmp_path: Path) -> None:
    table = MANY.replace("x,y", "\x1b[31mx,churned").replace("\n57,", "\nfifty,")

    assert 'column "\\x1b[31mx": row 59' in refusal(ground, tmp_path, table)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ([str(number % 2) for number in range(40)], "binary"),
        ([str(number % 4) for number in range(40)], "multiclass"),
        ([str(number % 5) for number in range(40)], "regression"),
        ([f"{number % 2}.5" for number in range(40)], "regression"),
        (["a" if number % 2 else "b" for number in range(40)], "binary"),
        (["true" if number % 2 else "false" for number in range(40)], "binary"),
        ([str(number % 3) + ".0" for number in range(40)], "multiclass"),
    ],
)
def test_the_task_is_inferred_from_the_target(ground: Lay, target: list[str], task: str) -> None:
    table = "x,churned\n" + "".join(f"{row},{value}\n" for row, value in enumerate(target))
    metric = "  task: regression\n" if task == "regression" else ""

    dataset = ground(table, data=metric).dataset

    assert dataset.task == task
    if not metric:
        assert "data.task overrides" in dataset.task_reason


def test_labels_of_numbers_stand_in_numeric_order(ground: Lay) -> None:
    table = "x,churned\n" + "".join(f"{row},{row % 3 * 5 + 5}\n" for row in range(60))

    assert ground(table).dataset.labels == ("5", "10", "15")


def test_columns_that_teach_nothing_are_noted(ground: Lay) -> None:
    table = "x,same,none,name,churned\n" + "".join(f"{row},1,,row{row},{'ab'[row % 2]}\n" for row in range(60))

    assert ground(table).dataset.notes == (
        'column "same" has the same value in every row; consider data.columns.exclude',
        'column "none" has no value in any row; consider data.columns.exclude',
        'column "name" has 60 different texts in 60 rows; if it names the row, list it under data.columns.id or '
        "data.columns.exclude",
    )


def test_numbers_too_close_for_single_precision_are_noted(ground: Lay) -> None:
    table = "x,churned\n" + "".join(f"{1700000000 + row},{'ab'[row % 2]}\n" for row in range(60))

    assert ground(table).dataset.notes == (
        'column "x" has 60 different numbers, of which single precision tells 1 apart; subtract a constant first',
    )


def test_parquet_and_npz_are_read_with_their_types(ground: Lay, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "a": [1.5, None, float("nan"), 4.0] * 5,
            "b": [1, 2, 3, None] * 5,
            "flag": [True, False, None, True] * 5,
            "word": ["x", None, "NA", "y"] * 5,
            "churned": ["no", "yes"] * 10,
        }
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    dataset = ground(buffer.getvalue(), name="table.parquet").dataset
    assert kinds(dataset) == {"a": "numeric", "b": "numeric", "flag": "categorical", "word": "categorical"}
    assert {column.name: column.missing for column in dataset.columns} == {"a": 10, "b": 5, "flag": 5, "word": 10}

    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(40.0).reshape(20, 2), churned=np.arange(20) % 2)
    dataset = ground(buffer.getvalue(), name="table.npz").dataset
    assert kinds(dataset) == {"x_0": "numeric", "x_1": "numeric"}
    assert dataset.labels == ("0", "1")


def test_pickled_arrays_and_false_parquet_are_refused(ground: Lay, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{}], dtype=object))

    assert "expected an NPZ archive of plain arrays" in refusal(ground, tmp_path, buffer.getvalue(), name="table.npz")
    assert "expected a Parquet file" in refusal(ground, tmp_path, b"PAR1no", name="table.parquet")
    assert "expected a file ending in .csv, .tsv, .parquet, .npz" in refusal(ground, tmp_path, b"x", name="table.xls")


def test_a_missing_file_offers_the_nearest(ground: Lay, tmp_path: Path) -> None:
    ground()
    config = tmp_path / "experiment.yaml"
    config.write_text(config.read_text().replace("table.csv", "tabel.csv"))
    from hptune.groundwork import lay_groundwork

    with pytest.raises(DataError, match=r"tabel\.csv: no such file; did you mean table\.csv\?"):
        lay_groundwork(config)


def test_parts_may_have_files_of_their_own_and_the_rest_is_split(ground: Lay, tmp_path: Path) -> None:
    from hptune.data.split import split_rows

    lay = ground()
    (tmp_path / "test.csv").write_text("churned,city,grade,income,age,id\nyes,Bern,1,5,6,7\nno,Como,2,1,2,8\n")
    config = tmp_path / "experiment.yaml"
    config.write_text(config.read_text().replace("table.csv", "{train: table.csv, test: test.csv}"))
    from hptune.groundwork import lay_groundwork

    dataset = lay_groundwork(config, ("data.split.validation=0.34",)).dataset
    split = split_rows(dataset, lay_groundwork(config, ("data.split.validation=0.34",)).experiment.data.split)

    assert lay.dataset.frame.height == 6
    assert list(split.test) == [6, 7]
    assert (len(split.train), len(split.validation)) == (3, 3)
    assert dataset.frame["age"][6] == 6
    assert [file.name for file in dataset.files] == ["table.csv", "test.csv"]


def test_a_file_without_a_column_of_the_training_file_is_refused(ground: Lay, tmp_path: Path) -> None:
    from hptune.groundwork import lay_groundwork

    ground()
    (tmp_path / "test.csv").write_text("churned,city\nyes,Bern\n")
    config = tmp_path / "experiment.yaml"
    config.write_text(config.read_text().replace("table.csv", "{train: table.csv, test: test.csv}"))

    with pytest.raises(DataError, match=r'columns of the training file, missing "id", "age", "income", "grade"'):
        lay_groundwork(config)


def test_other_separators_are_read_when_stated(ground: Lay) -> None:
    assert ground(TABLE.replace(",", ";"), data='  separator: ";"\n').dataset.frame.height == 6
    assert ground(TABLE.replace(",", "\t"), name="table.tsv").dataset.frame.height == 6


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_quoted_cells_come_back_as_they_are(ground: Lay, tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    path = tmp_path / "rows.csv"
    path.write_text(stream.getvalue(), encoding="utf-8")

    frame = read_rows(path, (("a", "categorical"), ("b", "categorical")), (), None)

    assert frame.rows() == [tuple(cell or None for cell in row) for row in rows]


@pytest.mark.parametrize(
    ("name", "target", "task", "codes"),
    [
        ("credit-g", "class", "binary", []),
        ("eucalyptus", "target", "multiclass", ["c0", "c1", "c2", "c3", "c4"]),
        ("abalone", "rings", "regression", []),
        ("satimage", "class", "multiclass", []),
    ],
)
def test_public_tables_are_understood(
    name: str, target: str, task: str, codes: list[str], shared_data: Path, tmp_path: Path
) -> None:
    from hptune.groundwork import lay_groundwork

    files = {
        part: shared_data / name / f"{file}.csv"
        for part, file in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    config = tmp_path / "experiment.yaml"
    metric = "rmse, direction: min" if task == "regression" else "accuracy, direction: max"
    source = ", ".join(f"{part}: {path}" for part, path in files.items())
    config.write_text(
        f"name: x\ndata: {{source: {{{source}}}, target: {target}, columns: {{categorical: {codes}}}}}\n"
        f"objective: {{metric: {metric}}}\nstrategy: {{name: random}}\nbudget: {{max_trials: 1}}\n"
    )

    ground = lay_groundwork(config)

    assert ground.dataset.task == task
    assert sum(column.missing for column in ground.dataset.columns) == (448 if name == "eucalyptus" else 0)
    assert {column.name for column in ground.dataset.columns if column.kind == "categorical"} >= set(codes)
