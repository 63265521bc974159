"""Rows to predict, read in blocks by the rules of the training table: memory does not grow with the file.

CSV, TSV and Parquet are read a piece at a time; NPZ is read whole. A small file is one block. Messages name the rows as
if the file had been read at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hptune.data.formats import (
    FIRST_DATA_ROW,
    check_column_names,
    find_separator,
    open_bytes,
    quote,
    read_frame,
    read_text,
)
from hptune.data.kinds import as_text, understand
from hptune.data.table import unknown_column
from hptune.errors import DataError

BLOCK_BYTES = 8 << 20
_BLOCK_ROWS = 65_536
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Attributes:
        frame: The rows.
        first_row: Number of the first one, as an editor shows it: the header is row 1.
    """

    frame: pl.DataFrame
    first_row: int


def read_rows(path: Path, columns: Sequence[tuple[str, str]], missing: Sequence[str], kept: str | None) -> pl.DataFrame:
    """Read all rows to predict at once; arguments as for `stream_rows`."""
    return pl.concat([block.frame for block in stream_rows(path, columns, missing, kept)])


def stream_rows(
    path: Path, columns: Sequence[tuple[str, str]], missing: Sequence[str], kept: str | None
) -> Iterator[Block]:
    """Read rows to predict, by the rules of the training table; other columns are ignored.

    They may come from another program than the training table: the header tells how it separates columns.

    Args:
        path: The file.
        columns: Name and kind of each input.
        missing: Texts that mean missing.
        kept: Column to keep beside them, such as the id, if the file has it.

    Raises:
        DataError: Names every missing column, and every column of a block with a cell that is no number.
    """
    codes = [name for name, kind in columns if kind != "numeric"]
    for block in read_blocks(path, codes):
        yield Block(_understand(path, block, columns, missing, kept), block.first_row)


def _understand(
    path: Path, block: Block, columns: Sequence[tuple[str, str]], missing: Sequence[str], kept: str | None
) -> pl.DataFrame:
    raw = block.frame
    check_column_names(path, raw.columns)
    faults, series = [], []
    for name, kind in columns:
        if name not in raw.columns:
            faults.append(unknown_column(str(path), "input", name, raw.columns))
            continue
        listed = "numeric" if kind == "numeric" else "categorical"
        understood = understand(raw[name], missing, listed, block.first_row)  # type: ignore[arg-type]
        if understood.fault:
            faults.append(f"{path}: column {quote(name)}: {understood.fault}")
        series.append(understood.series)
    if faults:
        raise DataError("\n".join(faults))
    if kept is not None and kept in raw.columns:
        series.append(as_text(raw[kept], ()))
    return pl.DataFrame(series)


def read_blocks(path: Path, codes: Sequence[str] = ()) -> Iterator[Block]:
    """Read a file by its ending, a block at a time.

    Args:
        path: The file.
        codes: Columns that hold categories; numbers in them are written as text in the same way in every block.

    Raises:
        DataError: If the file cannot be read as it is; names file, and row where there is one.
    """
    suffix = path.suffix.lower()
    if suffix in _SEPARATORS:
        yield from _read_text_blocks(path, find_separator(path) or _SEPARATORS[suffix])
    elif suffix == ".parquet" and _count_rows(path) > _BLOCK_ROWS:
        yield from _read_parquet_blocks(path, codes)
    else:
        with open_bytes(path) as stream:
            yield Block(read_frame(path, stream.read()), FIRST_DATA_ROW)


def _read_text_blocks(path: Path, separator: str) -> Iterator[Block]:
    with open_bytes(path) as stream:
        content = stream.read(BLOCK_BYTES)
        header_end = _first_record_end(content)
        if len(content) < BLOCK_BYTES or not header_end:
            yield Block(read_frame(path, content + stream.read(), separator), FIRST_DATA_ROW)
            return
        header, rest = content[:header_end], content[header_end:]
        lines, records = 0, 0
        while True:
            more = stream.read(BLOCK_BYTES)
            piece, rest = (rest + more, b"") if len(more) < BLOCK_BYTES else _cut(rest + more)
            if piece.strip(b"\r\n"):
                frame = read_text(path, header + piece, separator, lines)
                yield Block(frame, FIRST_DATA_ROW + records)
                lines, records = lines + piece.count(b"\n"), records + frame.height
            if len(more) < BLOCK_BYTES:
                return


def _first_record_end(content: bytes) -> int:
    """Return where the first record ends; 0 where it does not end within the content."""
    end = content.find(b"\n") + 1
    while end and content.count(b'"', 0, end) % 2:
        end = content.find(b"\n", end) + 1
    return end


def _cut(content: bytes) -> tuple[bytes, bytes]:
    """Cut after the last whole record that holds something; nothing comes first where there is none.

    Blank lines go to the second part: only there it is known whether they are the end of the file.
    """
    end = content.rfind(b"\n") + 1
    quotes = content.count(b'"', 0, end)
    while end and quotes % 2:
        before = content.rfind(b"\n", 0, end - 1) + 1
        quotes -= content.count(b'"', before, end)
        end = before
    filled = len(content[:end].rstrip(b"\r\n"))
    end = content.find(b"\n", filled, end) + 1 if filled else 0
    return content[:end], content[end:]


def _count_rows(path: Path) -> int:
    """Return the rows of a Parquet file by its footer; 0 where it has none, and reading the file says why."""
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item()) if path.is_file() else 0
    except (pl.exceptions.PolarsError, OSError):
        return 0


def _read_parquet_blocks(path: Path, codes: Sequence[str]) -> Iterator[Block]:
    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        fractional = [name for name in codes if schema.get(name) in (pl.Float32, pl.Float64)]
        if fractional:
            # Whether all codes are whole decides how they are written, and no block can tell.
            is_whole = table.select(_is_whole(pl.col(name)) for name in fractional).collect().row(0)
            kinds = [pl.Int64 if whole else pl.String for whole in is_whole]
            table = table.with_columns(
                pl.col(name).cast(pl.Float64).fill_nan(None).cast(kind)
                for name, kind in zip(fractional, kinds, strict=True)
            )
        first_row = FIRST_DATA_ROW
        for frame in table.collect_batches(chunk_size=_BLOCK_ROWS):
            yield Block(frame, first_row)
            first_row += frame.height
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: expected a Parquet file: {str(error).splitlines()[0]}") from None


def _is_whole(column: pl.Expr) -> pl.Expr:
    values = column.cast(pl.Float64).fill_nan(None)
    return ((values == values.round()) & (values.abs() < _LARGEST_WHOLE)).fill_null(value=True).all()
