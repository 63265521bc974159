"""Files to frames of raw columns: CSV and TSV as text, Parquet and NPZ with their types.

What a reader would silently shift, fill or guess is found here and named with its row. Rows count as an editor or a
spreadsheet shows them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from hptune.errors import DataError
from hptune.machine import memory_of_machine

FIRST_DATA_ROW = 2
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BYTE_ORDER_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "a gzip archive",
    b"PK": "a zip archive",
}
# Ten thousand columns with long names.
_LONGEST_HEADER = 4 << 20
# More does not fit into the memory of most machines; a few kilobytes may claim to hold it.
_LARGEST_NPZ = 8 << 30
_UTF8_MARK = b"\xef\xbb\xbf"
# Measured: a table is in memory as bytes, and once more while its encoding is checked; each cell takes a view into the
# text and a number.
_COPIES = 2
_CELL_BYTES = 24


def read_frame(path: Path, content: bytes, separator: str | None = None) -> pl.DataFrame:
    """Read a file by its ending.

    Args:
        path: For the ending, and for messages.
        content: The file's bytes, so that what was hashed is what is read.
        separator: Between the cells of a text table; by default a tab for .tsv, else a comma.

    Returns:
        All columns in order: text (String) from CSV and TSV, typed from Parquet and NPZ.

    Raises:
        DataError: If the file cannot be read as it is; names file, and row where there is one.
    """
    readers: dict[str, Callable[[], pl.DataFrame]] = {
        ".csv": lambda: read_text(path, content, separator or ","),
        ".tsv": lambda: read_text(path, content, separator or "\t"),
        ".parquet": lambda: _read_parquet(path, content),
        ".npz": lambda: _read_npz(path, content),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: expected a file ending in {', '.join(readers)}, got {path.suffix!a}")
    if not content:
        raise DataError(f"{path}: expected a table, got an empty file")
    frame = reader()
    if not frame.height:
        raise DataError(f"{path}: expected rows below the header, got none")
    return frame


def read_text(path: Path, content: bytes, separator: str, skipped: int = 0) -> pl.DataFrame:
    """Read a text table.

    Args:
        path: For messages.
        content: Header and rows.
        separator: Between cells.
        skipped: Lines of the file between the header and these rows, which messages count too.

    Raises:
        DataError: Names the row.
    """
    # Blank lines at the end are a habit of editors; anywhere else they are a row without cells.
    content = content.removeprefix(_UTF8_MARK).rstrip(b"\r\n") + b"\n"
    _refuse_other_encodings(path, content, skipped)
    names = _read_header(path, content, separator)
    refuse_too_large(path, len(content), content.count(b"\n") * len(names))
    if content.count(b'"') % 2:
        raise DataError(f"{path}: row {_last_row(content, separator) + skipped}: a quote is opened and never closed")
    try:
        frame = pl.read_csv(
            content,
            separator=separator,
            infer_schema=False,
            has_header=False,
            empty_string_is_null=False,
        )
    except pl.exceptions.PolarsError as error:
        _refuse_ragged_rows(path, content, separator, len(names), skipped)
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from None
    # A row that ends early looks like one with empty cells at its end; only a count of cells tells them apart.
    first, last = frame.to_series(0), frame.to_series(frame.width - 1)
    if frame.width != len(names) or first.has_nulls() or (last == "").any():
        _refuse_ragged_rows(path, content, separator, len(names), skipped)
    return frame.slice(1).rename(dict(zip(frame.columns, names, strict=True)))


def _refuse_other_encodings(path: Path, content: bytes, skipped: int) -> None:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise DataError(f"{path}: expected UTF-8 text, got {name}; save it as UTF-8 text")
    if (zero := content.find(b"\0")) >= 0:
        raise DataError(f"{path}: row {_row_at(content, zero) + skipped}: expected text, got a NUL byte")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row, byte = _row_at(content, error.start) + skipped, content[error.start]
        raise DataError(
            f"{path}: row {row}: expected UTF-8, got byte 0x{byte:02x}; "
            "save it as UTF-8 (it may be Latin-1 or Windows-1252)"
        ) from None


def _row_at(content: bytes, offset: int) -> int:
    return content.count(b"\n", 0, offset) + 1


def _reader(content: bytes, separator: str) -> Any:
    csv.field_size_limit(1 << 30)
    return csv.reader(io.StringIO(content.decode("utf-8", errors="ignore"), newline=""), delimiter=separator)


def _last_row(content: bytes, separator: str) -> int:
    """Return the row in which the last record begins: the one that an open quote swallows."""
    reader = _reader(content, separator)
    began = 1
    for _ in reader:
        last, began = began, reader.line_num + 1
    return last


def _read_header(path: Path, content: bytes, separator: str) -> list[str]:
    names: list[str] = next(_reader(content[:_LONGEST_HEADER], separator), [])
    if not any(names):
        raise DataError(f"{path}: row 1: expected column names, got an empty row")
    if other := _other_separator(names, separator):
        raise DataError(
            f"{path}: row 1: expected {_SEPARATORS.get(separator, separator)} between the columns, got "
            f'{_SEPARATORS[other]}; set data.separator to "{other}"'.replace("\t", "\\t")
        )
    empty = [str(number) for number, name in enumerate(names, start=1) if not name.strip()]
    if empty:
        raise DataError(f"{path}: row 1: expected a name for every column, got none for column {', '.join(empty)}")
    check_column_names(path, names)
    return names


def _other_separator(names: list[str], separator: str) -> str | None:
    """Return what separates the columns of a header that was taken for a single one."""
    if len(names) != 1:
        return None
    return next((other for other in _SEPARATORS if other != separator and other in names[0]), None)


def find_separator(path: Path) -> str | None:
    """Look at the header of a text table for a separator other than the usual one; None where it is the usual one.

    What cannot be read here is left to `read_frame`, which says what is wrong.
    """
    usual = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    if usual is None or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            header = stream.read(_LONGEST_HEADER)
    except OSError:
        return None
    return _other_separator(next(_reader(header.removeprefix(_UTF8_MARK), usual), []), usual)


def check_column_names(path: Path, names: list[str]) -> None:
    """Refuse names that stand twice.

    Raises:
        DataError: Names each one.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{path}: row 1: expected different column names, got twice {', '.join(map(quote, doubled))}")


def quote(text: str) -> str:
    """Put text from data between quotes, with control characters shown as escapes and long text cut."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown) + '"'


def _refuse_ragged_rows(path: Path, content: bytes, separator: str, width: int, skipped: int) -> None:
    reader = _reader(content, separator)
    began = 1
    for cells in reader:
        if len(cells) != width and (cells or width > 1):
            got = len(cells) or "a blank line"
            raise DataError(f"{path}: row {began + skipped}: expected {width} cells as in the header, got {got}")
        began = reader.line_num + 1


def open_bytes(path: Path) -> BinaryIO:
    """Open a table.

    Raises:
        DataError: If there is no such file, or it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: expected a file, got something else")
    try:
        return path.open("rb")
    except FileNotFoundError:
        near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [], 1)
        raise DataError(f"{path}: no such file" + (f"; did you mean {near[0]}?" if near else "")) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def refuse_too_large(path: Path, size: int, cells: int = 0) -> None:
    """Refuse a table that would not fit into memory, before it takes the machine down.

    Args:
        path: For the message.
        size: Bytes of the file.
        cells: That it has, as far as is known yet.

    Raises:
        DataError: Says what it would take.
    """
    needed, there = _COPIES * size + _CELL_BYTES * cells, memory_of_machine()
    if needed > there:
        raise DataError(
            f"{path}: expected a table that fits into memory, got one that takes about {needed / 2**30:.1f} GiB of the "
            f"{there / 2**30:.1f} GiB here; take a sample of its rows"
        )


def _read_parquet(path: Path, content: bytes) -> pl.DataFrame:
    try:
        lazy = pl.scan_parquet(io.BytesIO(content))
        refuse_too_large(path, len(content), lazy.select(pl.len()).collect().item() * len(lazy.collect_schema()))
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: expected a Parquet file: {str(error).splitlines()[0]}") from None


def _read_npz(path: Path, content: bytes) -> pl.DataFrame:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > _LARGEST_NPZ:
            raise DataError(f"{path}: expected arrays of at most {_LARGEST_NPZ} bytes, got {size} bytes when unpacked")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, MemoryError, NotImplementedError) as error:
        raise DataError(f"{path}: expected an NPZ archive of plain arrays: {error}") from None
    strangers = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
    if strangers:
        raise DataError(f"{path}: expected an NPZ archive of plain arrays, got {', '.join(map(quote, strangers))}")
    arrays: dict[str, Any] = found
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if not lengths or len(set(lengths.values())) != 1 or len(lengths) != len(arrays):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "none"
        raise DataError(f"{path}: expected arrays with one entry a row, all of one length, got {shapes}")
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
        elif array.ndim == 2:
            columns.update({f"{name}_{index}": array[:, index] for index in range(array.shape[1])})
        else:
            raise DataError(f"{path}: array {quote(name)}: expected 1 or 2 dimensions, got {array.ndim}")
    return pl.DataFrame(columns)
