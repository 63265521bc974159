"""Tables in blocks say the same as tables read at once: cells, rows of faults, codes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hptune.data import blocks
from hptune.data.blocks import read_blocks, read_rows, stream_rows
from hptune.errors import DataError

COLUMNS = (("number", "numeric"), ("word", "categorical"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 400)
    monkeypatch.setattr(blocks, "_BLOCK_ROWS", 50)


def write(path: Path, rows: int, odd: dict[int, str] | None = None, end: str = "\n") -> Path:
    """Write a table with quoted line breaks and commas; `odd` replaces whole lines by number of the data row."""
    lines = ["number,word,extra"]
    for row in range(rows):
        word = f'"w{row % 7},\n""x"""' if row % 5 == 0 else f"w{row % 7}"
        lines.append((odd or {}).get(row, f"{row}.5,{word},e"))
    path.write_text("\n".join(lines) + end)
    return path


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n\n"])
def test_blocks_hold_what_the_whole_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    path = write(tmp_path / "table.csv", 300, end=end)

    found = list(read_blocks(path))

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 20)
    (whole,) = read_blocks(path)
    assert len(found) > 5
    assert pl.concat([block.frame for block in found]).equals(whole.frame)
    rows = 2
    for block in found:
        assert block.first_row == rows
        rows += block.frame.height


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2", "expected 3 cells as in the header, got 2"),
        ("", "expected 3 cells as in the header, got a blank line"),
        ("n/a,w,e", 'column "number": row {}: expected a number, got "n/a"; list it under data.missing'),
        ("1e39,w,e", 'column "number": row {}: expected a number of at most 3.403e+38, got 1e39; rescale or mend the'),
        ("1,\0,e", "expected text, got a NUL byte"),
    ],
)
def test_faults_are_at_the_row_where_they_are_when_the_table_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    path = write(tmp_path / "table.csv", 300, {241: line})

    with pytest.raises(DataError) as in_blocks:
        read_rows(path, COLUMNS, (), None)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 20)
    with pytest.raises(DataError) as at_once:
        read_rows(path, COLUMNS, (), None)

    assert str(in_blocks.value) == str(at_once.value)
    assert message.split("{}")[0] in str(at_once.value)


def test_a_quote_that_is_never_closed_is_a_fault_behind_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "table.csv", 300, {241: '1,"open,e'})

    with pytest.raises(DataError, match=r"row (29[0-9]|3[0-9]{2}): (a quote is opened|expected 3 cells)"):
        read_rows(path, COLUMNS, (), None)


def test_a_byte_that_is_no_utf8_is_at_its_row_too(tmp_path: Path) -> None:
    path = write(tmp_path / "table.csv", 300)
    path.write_bytes(path.read_bytes() + b"1,\xe9,e\n")

    with pytest.raises(DataError) as caught:
        read_rows(path, COLUMNS, (), None)

    # 300 rows, 60 of which take two lines, and the header.
    assert f"{path}: row 362: expected UTF-8, got byte 0xe9" in str(caught.value)


def test_missing_columns_are_named_before_anything_is_predicted(tmp_path: Path) -> None:
    path = write(tmp_path / "table.csv", 300)

    with pytest.raises(DataError) as caught:
        next(stream_rows(path, (*COLUMNS, ("wort", "categorical")), (), None))

    assert str(caught.value) == (f'{path}: input: expected a column of the table, got "wort"; did you mean "word"?')


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_codes_of_parquet_are_written_alike_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    path = tmp_path / "table.parquet"
    codes = [float(row % 9) for row in range(200)] + [fraction, None]
    pl.DataFrame({"number": range(202), "word": codes, "id": [f"k{row}" for row in range(202)]}).write_parquet(path)

    found = list(stream_rows(path, COLUMNS, (), "id"))

    monkeypatch.setattr(blocks, "_BLOCK_ROWS", 1000)
    (whole,) = stream_rows(path, COLUMNS, (), "id")
    assert len(found) > 1
    assert pl.concat([block.frame for block in found]).equals(whole.frame)
    assert whole.frame["word"][0] == ("0.0" if fraction else "0")
    assert whole.frame["id"].to_list() == [f"k{row}" for row in range(202)]
