"""The first experiment that init writes: for tables of many shapes, and each passes check as it is written."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

import hptune
from hptune.errors import DataError, UsageError

Rows = list[dict[str, object]]


def write(path: Path, rows: Rows, separator: str = ",") -> Path:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator=separator)
    return path


def identified() -> Rows:
    return [
        {"order_id": f"A{n:04}", "day": f"2026-01-{1 + n % 28:02}", "shop": "xyz"[n % 3], "y": n % 2} for n in range(90)
    ]


def constant() -> Rows:
    return [{"a": n % 17, "b": 7, "c": "same", "y": n * 0.37 % 5} for n in range(90)]


def wordy() -> Rows:
    drawn = random.Random(1)
    return [{"note": f"note {drawn.randrange(900)}", "x": n, "y": "abc"[n % 3]} for n in range(1200)]


def few() -> Rows:
    return [{"x": n, "z": n * n % 7, "y": "ab"[n % 2]} for n in range(24)]


def missing() -> Rows:
    return [{"x": "NA" if n % 3 else str(n), "k": ("", "p", "q")[n % 3], "y": n * 1.5} for n in range(90)]


def odd() -> Rows:
    return [
        {"a b": n % 9, "c,d": n % 3, "no": n % 5, "[x]": "uv"[n % 2], "é: ü": n * 0.1, "#y": n % 7 < 3}
        for n in range(90)
    ]


def rare() -> Rows:
    return [{"x": n * 0.37 % 1, "z": n * 0.61 % 1, "y": int(n % 25 == 0)} for n in range(500)]


def wide() -> Rows:
    drawn = random.Random(2)
    return [{**{f"c{k}": drawn.random() for k in range(200)}, "y": n % 2} for n in range(60)]


def typed() -> Rows:
    return [{"x": n * 0.1, "flag": n % 2 == 0, "k": "pq"[n % 2], "y": n * 0.37 % 5} for n in range(90)]


TABLES: dict[str, tuple[Callable[[], Rows], str, str, str, tuple[str, ...]]] = {
    # file: rows, separator, target, task and metric, and what the experiment must say
    "identified.csv": (identified, ",", "y", "binary accuracy max", ("    id: order_id ",)),
    "constant.csv": (constant, ",", "y", "regression rmse min", ("    exclude: [b, c] ",)),
    "wordy.csv": (wordy, ",", "y", "multiclass accuracy max", ("categorical: [one_hot, embedding]",)),
    "few.csv": (few, ",", "y", "binary accuracy max", ("24 rows", "  #   x: numeric, 24 different\n")),
    "missing.csv": (missing, ",", "y", "regression rmse min", ("  #   x: numeric, 30 different, 60 missing\n",)),
    "semicolons.csv": (few, ";", "y", "binary accuracy max", ('  separator: ";"\n',)),
    "tabs.tsv": (few, "\t", "y", "binary accuracy max", ()),
    "odd names.csv": (odd, ",", "#y", "binary accuracy max", ("name: odd-names\n", '  target: "#y"\n')),
    "rare.csv": (rare, ",", "y", "binary roc_auc max", ("4% of the rows; accuracy alone would flatter.",)),
    "wide.csv": (wide, ",", "y", "binary accuracy max", ("  #   and 140 more; see hptune check\n",)),
    "typed.parquet": (
        typed,
        ",",
        "y",
        "regression rmse min",
        ("numeric: [standard, quantile]", "categorical: one_hot"),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_init_writes_passes_check_and_says_what_was_found(name: str, tmp_path: Path) -> None:
    make, separator, target, decided, said = TABLES[name]
    source = write(tmp_path / name, make(), separator)
    config = tmp_path / "experiments" / "first.yaml"
    config.parent.mkdir()

    starter = hptune.init(source, target, output=config)
    config.write_text(starter.text)
    ground = hptune.check(config)

    objective = ground.objective
    assert f"{ground.dataset.task} {objective.metric} {objective.direction}" == decided
    assert all(part in starter.text for part in said), starter.text
    assert ground.experiment.data.source == f"../{name}"
    assert ground.space.contains(ground.start_from[0])
    assert ground.experiment.budget.max_seconds is not None
    assert max(map(len, starter.text.splitlines())) <= 120


@pytest.mark.parametrize("name", ["sklearn:iris", "sklearn:diabetes"])
def test_tables_of_scikit_learn_are_named_as_they_are(name: str, tmp_path: Path) -> None:
    starter = hptune.init(name, "target", output=tmp_path / "x.yaml")

    assert yaml.safe_load(starter.text)["data"]["source"] == name
    assert starter.name == name.removeprefix("sklearn:")


def test_a_larger_table_gets_a_larger_network_and_fewer_epochs(tmp_path: Path) -> None:
    rows: Rows = [{"x": n * 0.37 % 1, "y": n % 2} for n in range(20_001)]

    small = yaml.safe_load(hptune.init(write(tmp_path / "small.csv", rows[:500]), "y").text)
    large = yaml.safe_load(hptune.init(write(tmp_path / "large.csv", rows), "y").text)

    assert max(small["model"]["units"]) < max(large["model"]["units"])
    assert small["training"]["epochs"] > large["training"]["epochs"]
    assert min(small["training"]["batch_size"]) < min(large["training"]["batch_size"])


def test_a_metric_or_target_that_cannot_be_is_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "few.csv", few())

    with pytest.raises(UsageError) as wrong_metric:
        hptune.init(table, "y", metric="rmse")
    with pytest.raises(UsageError) as wrong_name:
        hptune.init(table, "y", name="../x")
    with pytest.raises(DataError) as wrong_target:
        hptune.init(table, "Y")

    known = "accuracy, balanced_accuracy, f1, f1_macro, f1_weighted, roc_auc, average_precision, log_loss, brier, loss"
    assert str(wrong_metric.value) == f"--metric: expected one of {known} for a binary task, got 'rmse'"
    assert str(wrong_name.value) == "--name: expected letters, digits, dots, underscores or hyphens, got '../x'"
    assert str(wrong_target.value) == (
        f'{table}: data.target: expected a column of the table, got "Y"; its columns are "x", "z", "y"'
    )
