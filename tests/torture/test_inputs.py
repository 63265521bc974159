"""F, G. Experiments and tables that are wrong, huge or made to break readers: refused at their place.

Most of these are examined where they are read, in tests/test_spec.py and tests/test_table.py; here is what they leave.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from invariants import check_message, unchanged
from nursery import Nursery
from stand_in import TABLE, make_bench, write_experiment
from test_spec import GOLDEN

import hptune.data.table
from hptune.errors import DataError, ExperimentError
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.machine import memory_of_machine
from hptune.reporting.words import printable

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("command", ["check", "search"])
def test_f06_to_f14_every_fault_of_an_experiment_ends_check_and_search_with_two_and_writes_nothing(
    command: str, ram: Path, nursery: Nursery
) -> None:
    faults = sorted(GOLDEN)[:: 6 if command == "search" else 3]
    for name in faults:
        written, expected = GOLDEN[name]
        (ram / "x.yaml").write_text(written)
        with unchanged(ram):
            code, output = nursery.hptune([command, "x.yaml"], ram)
        assert (code, output) == (2, "error: " + "\n".join(map(printable, expected.split("\n"))) + "\n"), name


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def comments(path: Path) -> None:
    path.write_bytes(b"# nothing yet\n")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (missing, "x.yaml: no such file"),
        (empty, "x.yaml"),
        (comments, "x.yaml"),
        (folder, "x.yaml: "),
        (pipe, "x.yaml: "),
        (device, "x.yaml: "),
    ],
)
def test_f01_what_is_no_experiment_is_named_and_waited_for_by_nobody(
    change: Callable[[Path], None], expected: str, ram: Path, nursery: Nursery
) -> None:
    config = write_experiment(ram)
    change(config)

    for command in ("check", "search"):
        child, output = nursery.start_hptune([command, "x.yaml"], ram)
        assert child.wait(20).code == 2
        check_message(output.read_text(), f"error: {expected}")


@pytest.mark.parametrize("size", [(1 << 20) + 1, 100 << 20])
def test_f02_an_experiment_of_megabytes_is_refused_before_it_is_parsed(size: int, ram: Path, nursery: Nursery) -> None:
    config = write_experiment(ram)
    with config.open("ab") as stream:
        stream.write(b"#" * (size - config.stat().st_size))
    idle = nursery.call(int).peak_mib

    child, output = nursery.start_hptune(["check", "x.yaml"], ram)
    ending = child.wait()

    assert ending.code == 2
    check_message(output.read_text(), "error: x.yaml: expected at most 1048576 bytes")
    assert ending.peak_mib - idle < 250


@pytest.mark.parametrize("change", [folder, pipe, device])
def test_g01_what_is_no_table_is_named_and_waited_for_by_nobody(
    change: Callable[[Path], None], ram: Path, nursery: Nursery
) -> None:
    write_experiment(ram)
    change(ram / "table.csv")

    child, output = nursery.start_hptune(["check", "x.yaml"], ram)

    assert child.wait(20).code == 2
    check_message(output.read_text(), "error: table.csv: ")


def lay(folder: Path, table: str, extra: str = "", metric: str = "accuracy, direction: max") -> Groundwork:
    config = write_experiment(folder)
    (folder / "table.csv").write_text(table)
    text = config.read_text().replace("target: y}", f"target: y{extra}}}").replace("accuracy, direction: max", metric)
    config.write_text(text)
    return lay_groundwork(config)


def test_g06_a_regression_target_that_never_changes_is_refused(tmp_path: Path) -> None:
    table = "x,y\n" + "".join(f"{n},2.5\n" for n in range(30))

    with pytest.raises(DataError) as caught:
        lay(tmp_path, table, ", task: regression", "rmse, direction: min")

    assert 'column "y"' in str(caught.value)
    assert "2.5" in str(caught.value)


def test_g07_columns_that_never_change_are_noted_and_divide_nothing_by_zero(tmp_path: Path) -> None:
    import numpy as np

    from hptune.materials import Materials
    from hptune.run.folder import RunFolder

    table = "x,same,y\n" + "".join(f"{n % 5},7,{'ab'[n % 2]}\n" for n in range(30))
    ground = lay(tmp_path, table)

    materials = Materials(ground, RunFolder(tmp_path / "runs" / "x"))
    for preparation in (materials.preparation("", way) for way in ground.numeric_preparations):
        numeric, _ = preparation.transform(ground.dataset.frame)
        assert np.isfinite(numeric).all()
    assert any('"same"' in note for note in ground.dataset.notes)


def test_g10_labels_that_look_like_something_else_are_kept_as_text(tmp_path: Path) -> None:
    labels = ("NA", "None", "null", "007", "True", "yes")
    table = "x,code,y\n" + "".join(f"{n},{labels[n % 6]},{'ab'[n % 2]}\n" for n in range(36))

    ground = lay(tmp_path, table, ', columns: {categorical: [code]}, missing: ["?"]')

    assert set(ground.dataset.frame["code"].unique()) == set(labels)


NAMES = {
    "formula": "=1+1",
    "emoji": "🚀",
    "long": "x" * 10_000,
    "markup": "[/x]",
    "bidi": "\u202ex",
    "escape": "\x1b[2J",
}


@pytest.mark.parametrize("name", NAMES)
def test_g12_f12_columns_may_be_called_anything_and_nothing_acts(name: str, ram: Path, nursery: Nursery) -> None:
    write_experiment(ram)
    (ram / "table.csv").write_text(TABLE.replace("x,group", f"{NAMES[name]},group"))

    code, output = nursery.hptune(["check", "x.yaml"], ram)
    told, document = nursery.hptune(["check", "x.yaml", "--json"], ram)

    assert (code, told) == (0, 0), output
    assert not set(output) & {"\x1b", "\u202e"}
    assert json.loads(document)["data"]["columns"][0]["name"] == NAMES[name]


@pytest.mark.torture
def test_g13_ten_thousand_columns_and_a_cell_of_a_hundred_megabytes_stay_within_bounds(
    ram: Path, nursery: Nursery
) -> None:
    write_experiment(ram)
    idle = nursery.call(int).peak_mib
    columns = ",".join(f"c{n}" for n in range(10_000))
    rows = "".join(",".join(str((n * m) % 7) for m in range(10_000)) + f",{'ab'[n % 2]}\n" for n in range(30))
    (ram / "table.csv").write_text(f"{columns},y\n{rows}")
    wide, output = nursery.start_hptune(["check", "x.yaml"], ram)
    ending = wide.wait(300)
    assert ending.code == 0, output.read_text()
    assert ending.peak_mib - idle < 1000

    (ram / "table.csv").write_text(TABLE.replace("6,a", "6," + "a" * (100 << 20), 1))
    long, output = nursery.start_hptune(["check", "x.yaml"], ram)
    ending = long.wait(300)

    assert ending.code in (0, 2), output.read_text()
    assert len(output.read_text()) < 10_000
    assert ending.peak_mib - idle < 2000


@pytest.mark.torture
def test_g13_a_table_of_a_gigabyte_is_read_within_the_memory_that_is_reckoned_with(ram: Path, nursery: Nursery) -> None:
    if shutil.disk_usage(ram).free < 3 << 30 or memory_of_machine() < 12 << 30:
        pytest.skip("needs a disk with 3 GiB free and 12 GiB of memory")
    write_experiment(ram)
    names = ",".join(f"c{n}" for n in range(20))
    rows = "".join(",".join(f"{(n * m) % 97 / 7:.8f}" for m in range(1, 21)) + f",{'ab'[n % 2]}\n" for n in range(5000))
    with (ram / "table.csv").open("w") as stream:
        stream.write(f"{names},y\n")
        for _ in range((1 << 30) // len(rows) + 1):
            stream.write(rows)
    size = (ram / "table.csv").stat().st_size
    idle = nursery.call(int).peak_mib

    child, output = nursery.start_hptune(["check", "x.yaml"], ram)
    ending = child.wait(300)

    assert ending.code == 0, output.read_text()
    cells = 21 * 5000 * ((1 << 30) // len(rows) + 1)
    assert ending.peak_mib - idle < 1.1 * (2 * size + 24 * cells) / 2**20


@pytest.mark.parametrize(("memory_mib", "name"), [(10, "table.csv"), (10, "table.parquet"), (60, "table.csv")])
def test_g13_a_table_that_fits_nowhere_is_refused_before_it_is_read(
    memory_mib: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    monkeypatch.setattr("hptune.data.formats.memory_of_machine", lambda: memory_mib << 20)
    config = write_experiment(tmp_path)
    config.write_text(config.read_text().replace("table.csv", name))
    frame = pl.DataFrame({f"c{n}": [7] * 30_000 for n in range(100)} | {"y": [0, 1] * 15_000})
    (frame.write_csv if name.endswith("csv") else frame.write_parquet)(tmp_path / name)

    with pytest.raises(DataError) as caught:
        lay_groundwork(config)

    assert str(caught.value).startswith(
        f"{tmp_path / name}: expected a table that fits into memory, got one that takes"
    )
    assert str(caught.value).endswith("GiB here; take a sample of its rows")


def test_g14_what_was_hashed_is_what_was_read_though_the_file_changes_meanwhile(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "table.csv"
    real = hptune.data.table.read_frame

    def change_then_read(*given: object) -> object:
        path.write_text("truncated")
        return real(*given)  # type: ignore[arg-type]

    with mock.patch.object(hptune.data.table, "read_frame", change_then_read):
        ground = lay(tmp_path, TABLE)

    assert ground.dataset.frame.height == 30
    assert ground.dataset.files[0].sha256 == hashlib.sha256(TABLE.encode()).hexdigest()


@pytest.mark.parametrize("number", ["1e39", "-1e300", "1e400", "inf"])
def test_g16_g03_numbers_beyond_single_precision_are_found_before_training(number: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        lay(tmp_path, TABLE.replace("6,a", f"{number},a", 1))

    assert 'column "x": row 8: expected a number' in str(caught.value)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_g16_features_on_any_scale_are_prepared_to_numbers_of_order_one(scale: float, tmp_path: Path) -> None:
    import numpy as np

    from hptune.materials import Materials
    from hptune.run.folder import RunFolder

    table = "x,y\n" + "".join(f"{(n % 7) * scale!r},{'ab'[n % 2]}\n" for n in range(30))
    ground = lay(tmp_path, table)

    preparation = Materials(ground, RunFolder(tmp_path / "runs" / "x")).preparation("", "standard")
    numeric, _ = preparation.transform(ground.dataset.frame)

    assert math.isclose(float(np.abs(numeric).max()), 1.5, rel_tol=0.5)


def test_a_fault_of_an_experiment_is_one_for_python_as_well(tmp_path: Path) -> None:
    config = make_bench(tmp_path / "x").folder / "x.yaml"
    config.write_text(config.read_text().replace("seed: 3", "sead: 3"))

    with pytest.raises(ExperimentError) as caught:
        lay_groundwork(config)

    assert "unknown key; did you mean seed?" in str(caught.value)
