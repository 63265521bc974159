"""A table, read and understood: columns with their kinds, the target with its task, the parts that are given.

All faults that can be found together are reported together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from hptune.data.bundled import bundled_files, is_bundled, read_bundled
from hptune.data.formats import check_column_names, open_bytes, quote, read_frame, refuse_too_large
from hptune.data.kinds import Column, Kind, Understood, understand
from hptune.data.roles import Roles, read_roles
from hptune.data.target import Target, understand_target
from hptune.errors import DataError
from hptune.objective import Task
from hptune.spec import DataSpec
from hptune.trial import StoredFile

PARTS = ("train", "validation", "test")
_MOST_FAULTS = 20
_SHOWN_COLUMNS = 12
# A text column in which nearly every row has a value of its own.
_IDENTIFIER_SHARE = 0.9
_IDENTIFIER_ROWS = 50
# Networks compute in single precision; below this share of distinct numbers something is lost.
_TOLD_APART = 0.99
_NARROW = 1e-2


@dataclass(frozen=True)
class Dataset:
    """A table and what was decided about it.

    Attributes:
        frame: Inputs, target, weight and id; numbers Float64, categories String, null where missing; the target String
            for classification, else Float64.
        columns: The inputs, in order.
        target: Name of the target column.
        task: What is predicted.
        task_reason: Why it is that task.
        labels: Class labels in the order of their indices; empty for regression.
        positive: Index of the positive class of a binary task.
        id: Name of the id column.
        parts: For each row 0, 1, 2 for train, validation, test, or -1 where it is to be split.
        files: Name as written, size and hash of what was read.
        notes: What the user should know.
        roles: Weight, group and time of each row, where the experiment names such columns.
        weight: Name of the weight column.
    """

    frame: pl.DataFrame
    columns: tuple[Column, ...]
    target: str
    task: Task
    task_reason: str
    labels: tuple[str, ...]
    positive: int | None
    id: str | None
    parts: npt.NDArray[np.int8]
    files: tuple[StoredFile, ...]
    notes: tuple[str, ...]
    roles: Roles
    weight: str | None


@dataclass(frozen=True)
class _Raw:
    """Frames of raw columns, one after the other, and where they come from."""

    frame: pl.DataFrame
    parts: npt.NDArray[np.int8]
    files: tuple[StoredFile, ...]
    name: str


def read_dataset(spec: DataSpec, folder: Path) -> Dataset:
    """Read the table of an experiment and understand it.

    Args:
        spec: The `data` section.
        folder: To which paths are relative.

    Raises:
        DataError: With every fault found.
    """
    raw = _read_parts(spec, folder)
    _check_names(spec, raw)
    faults: list[str] = []
    found: list[Understood] = []
    of_rows = (spec.columns.id, spec.columns.weight, spec.columns.group, spec.columns.time, spec.split.column)
    aside = {spec.target, *of_rows, *spec.columns.exclude}
    for name in raw.frame.columns:
        if name in aside:
            continue
        understood = understand(raw.frame[name], spec.missing, _listed(spec, name))
        if understood.fault:
            faults.append(f"{raw.name}: column {quote(name)}: {understood.fault}")
            continue
        found.append(understood)
    columns = _count(found)
    notes = [note for column, one in zip(columns, found, strict=True) for note in _notes_on(column, one.series)]
    series = [one.series for one in found]
    target = understand_target(raw.name, raw.frame[spec.target], spec)
    faults += target.faults
    parts = _given_parts(spec, raw, faults)
    roles = read_roles(spec, raw.frame, raw.name, faults)
    if not columns and not faults:
        faults.append(f"{raw.name}: expected at least one input column beside the target, got none")
    if faults:
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        raise DataError("\n".join(faults[:_MOST_FAULTS] + more))
    if spec.columns.id is not None:
        series.append(raw.frame[spec.columns.id])
    if roles.weights is not None:
        series.append(pl.Series(spec.columns.weight, roles.weights))
    frame = pl.DataFrame([*series, target.series.alias(spec.target)])
    return _dataset(spec, frame, columns, target, parts, raw.files, (*notes, *target.notes), roles)


def _count(found: Sequence[Understood]) -> tuple[Column, ...]:
    """Count missing and distinct values; all columns in one query, which polars spreads over the cores."""
    if not found:
        return ()
    frame = pl.DataFrame([one.series for one in found])
    distinct = frame.select(pl.all().drop_nulls().n_unique()).row(0)
    return tuple(
        Column(one.series.name, one.kind, one.series.null_count(), count, one.reason)
        for one, count in zip(found, distinct, strict=True)
    )


def _dataset(
    spec: DataSpec,
    frame: pl.DataFrame,
    columns: tuple[Column, ...],
    target: Target,
    parts: npt.NDArray[np.int8],
    files: tuple[StoredFile, ...],
    notes: tuple[str, ...],
    roles: Roles,
) -> Dataset:
    return Dataset(
        frame=frame,
        columns=columns,
        target=spec.target,
        task=target.task,
        task_reason=target.reason,
        labels=target.labels,
        positive=target.positive,
        id=spec.columns.id,
        parts=parts,
        files=files,
        notes=notes,
        roles=roles,
        weight=spec.columns.weight,
    )


def _read_parts(spec: DataSpec, folder: Path) -> _Raw:
    """Read the one file, or the file of each part, below each other."""
    if is_bundled(spec.source):
        paths = bundled_files(spec.source)
        contents = tuple(path.read_bytes() for path in paths)
        frame = read_bundled(spec.source, contents)
        described = tuple(_describe(path.name, content) for path, content in zip(paths, contents, strict=True))
        return _Raw(frame, np.full(frame.height, -1, np.int8), described, spec.source)
    sources: Mapping[str, str] = (
        {"train": spec.source}
        if isinstance(spec.source, str)
        else {part: name for part in PARTS if (name := getattr(spec.source, part)) is not None}
    )
    frames: list[pl.DataFrame] = []
    parts: list[npt.NDArray[np.int8]] = []
    files: list[StoredFile] = []
    to_split = spec.split.column is not None or len(sources) < len(PARTS)
    for part, name in sources.items():
        path = folder / name
        content = _read_bytes(path)
        frame = read_frame(path, content, spec.separator)
        frames.append(_in_order_of(frames[0], frame, path) if frames else frame)
        code = -1 if part == "train" and to_split else PARTS.index(part)
        parts.append(np.full(frame.height, code, np.int8))
        files.append(_describe(name, content))
    joined = pl.concat(frames, how="vertical_relaxed") if len(frames) > 1 else frames[0]
    name = str(folder / next(iter(sources.values())))
    return _Raw(joined, np.concatenate(parts), tuple(files), name)


def _in_order_of(first: pl.DataFrame, frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    missing = [name for name in first.columns if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: expected the columns of the training file, missing {', '.join(map(quote, missing))}")
    return frame.select(first.columns)


def _read_bytes(path: Path) -> bytes:
    with open_bytes(path) as stream:
        try:
            refuse_too_large(path, os.fstat(stream.fileno()).st_size)
            return stream.read()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None


def _describe(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, len(content), hashlib.sha256(content).hexdigest())


def _check_names(spec: DataSpec, raw: _Raw) -> None:
    """Find every column that the experiment names and the table does not have, or that is named for two purposes."""
    names = raw.frame.columns
    check_column_names(Path(raw.name), names)
    columns = spec.columns
    named: list[tuple[str, str | None]] = [("data.target", spec.target), ("data.columns.id", columns.id)]
    named += [(f"data.columns.{role}", getattr(columns, role)) for role in ("weight", "group", "time")]
    named.append(("data.split.column", spec.split.column))
    for key in ("exclude", "categorical", "numeric"):
        named += [(f"data.columns.{key}", name) for name in getattr(columns, key)]
    faults = [
        unknown_column(raw.name, key, name, names) for key, name in named if name is not None and name not in names
    ]
    purposes: dict[str, str] = {}
    for key, name in named:
        if name is not None and name in purposes and purposes[name] != key:
            faults.append(f"{raw.name}: column {quote(name)}: expected one purpose, got {purposes[name]} and {key}")
        elif name is not None:
            purposes[name] = key
    if faults:
        raise DataError("\n".join(faults))


def unknown_column(where: str, key: str, name: str, names: Sequence[str]) -> str:
    """Say that a table has no such column, with the nearest name or all of them."""
    near = get_close_matches(name, names, 1)
    shown = ", ".join(map(quote, names[:_SHOWN_COLUMNS])) + (", ..." if len(names) > _SHOWN_COLUMNS else "")
    cure = f"did you mean {quote(near[0])}?" if near else f"its columns are {shown}"
    return f"{where}: {key}: expected a column of the table, got {quote(name)}; {cure}"


def _listed(spec: DataSpec, name: str) -> Kind | None:
    if name in spec.columns.categorical:
        return "categorical"
    return "numeric" if name in spec.columns.numeric else None


def _notes_on(column: Column, values: pl.Series) -> list[str]:
    rows = values.len()
    if column.distinct == 0:
        return [f"column {quote(column.name)} has no value in any row; consider data.columns.exclude"]
    if column.distinct == 1 and not column.missing:
        return [f"column {quote(column.name)} has the same value in every row; consider data.columns.exclude"]
    if column.kind == "categorical" and rows >= _IDENTIFIER_ROWS and column.distinct > _IDENTIFIER_SHARE * rows:
        return [
            f"column {quote(column.name)} has {column.distinct} different texts in {rows} rows; if it names the row, "
            "list it under data.columns.id or data.columns.exclude"
        ]
    if column.kind == "numeric" and _is_narrow(values):
        told_apart = values.drop_nulls().cast(pl.Float32).n_unique()
        if told_apart < _TOLD_APART * column.distinct:
            return [
                f"column {quote(column.name)} has {column.distinct} different numbers, of which single precision tells "
                f"{told_apart} apart; subtract a constant first"
            ]
    return []


def _is_narrow(values: pl.Series) -> bool:
    """Tell whether a column spans so little of its size that single precision could matter; cheaper than counting."""
    low, high = values.min(), values.max()
    assert isinstance(low, float)
    assert isinstance(high, float)
    return high - low < max(abs(low), abs(high)) * _NARROW


def _given_parts(spec: DataSpec, raw: _Raw, faults: list[str]) -> npt.NDArray[np.int8]:
    """Read the parts from the split column, where there is one."""
    name = spec.split.column
    if name is None:
        return raw.parts
    words = raw.frame[name].cast(pl.String)
    known = words.is_in(list(PARTS)).fill_null(value=False)
    if not known.all():
        index = (~known).arg_max()
        assert index is not None
        got = quote(words[index]) if words[index] is not None else "nothing"
        faults.append(
            f"{raw.name}: column {quote(name)}: row {index + 2}: expected train, validation or test, got {got}"
        )
        return raw.parts
    for part in PARTS[:2]:
        if not (words == part).any():
            faults.append(f"{raw.name}: column {quote(name)}: expected {part} rows, got none")
    codes = words.replace_strict({part: code for code, part in enumerate(PARTS)}, return_dtype=pl.Int8)
    parts: npt.NDArray[np.int8] = codes.to_numpy()
    return parts


def encode_target(frame: pl.DataFrame, target: str, labels: Sequence[str]) -> npt.NDArray[Any]:
    """Return the target as class indices (rows,) int32, or as values (rows,) float64 where there are no labels."""
    if not labels:
        return frame[target].to_numpy()
    index = {label: number for number, label in enumerate(labels)}
    return frame[target].replace_strict(index, return_dtype=pl.Int32).to_numpy()


def weights_of(frame: pl.DataFrame, weight: str | None) -> npt.NDArray[np.float64] | None:
    """Return how much each row counts; None where no column says, and all count the same."""
    return None if weight is None else frame[weight].to_numpy()
