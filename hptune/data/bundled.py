"""The tables that come with scikit-learn, read from its files: a first try needs no download, and `check` no import.

Importing scikit-learn takes four times as long as everything else that `hptune check` does.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import TypeGuard

import numpy as np
import polars as pl

from hptune.errors import DataError

_PREFIX = "sklearn:"
TARGET = "target"
_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_COLUMNS: dict[str, tuple[str, ...]] = {
    "digits": tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
    "breast_cancer": (
        *(f"mean {measure}" for measure in _MEASURES),
        *(f"{measure} error" for measure in _MEASURES),
        *(f"worst {measure}" for measure in _MEASURES),
    ),
    "wine": (
        "alcohol",
        "malic_acid",
        "ash",
        "alcalinity_of_ash",
        "magnesium",
        "total_phenols",
        "flavanoids",
        "nonflavanoid_phenols",
        "proanthocyanins",
        "color_intensity",
        "hue",
        "od280/od315_of_diluted_wines",
        "proline",
    ),
    "diabetes": ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
    "iris": ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
}
_FILES = {
    "digits": ("digits.csv.gz",),
    "breast_cancer": ("breast_cancer.csv",),
    "wine": ("wine_data.csv",),
    "diabetes": ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
    "iris": ("iris.csv",),
}
# Files of these tables begin with a line of counts and label names.
_WITH_FIRST_LINE = {"breast_cancer", "wine", "iris"}


def is_bundled(source: object) -> TypeGuard[str]:
    """Tell the name of such a table from paths."""
    return isinstance(source, str) and source.startswith(_PREFIX)


def bundled_files(source: str) -> tuple[Path, ...]:
    """Find the files of `sklearn:NAME`.

    Raises:
        DataError: If there is no such table.
    """
    name = source.removeprefix(_PREFIX)
    if name not in _FILES:
        raise DataError(f"data.source: expected {_PREFIX} and one of {', '.join(_FILES)}, got {name!a}")
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError(f"data.source: {source} needs scikit-learn; install hptune with its dependencies")
    folder = Path(found.origin).parent / "datasets" / "data"
    return tuple(folder / file for file in _FILES[name])


def read_bundled(source: str, contents: tuple[bytes, ...]) -> pl.DataFrame:
    """Read the table from the bytes of its files; the last column is `target`.

    Diabetes comes in its raw units, not scaled as scikit-learn's loader has it by default.
    """
    name = source.removeprefix(_PREFIX)
    parts = [
        np.loadtxt(
            (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode().splitlines(),
            delimiter=None if name == "diabetes" else ",",
            skiprows=int(name in _WITH_FIRST_LINE),
            ndmin=2,
        )
        for content in contents
    ]
    table = np.hstack([part if part.shape[0] > 1 else part.T for part in parts])
    frame = pl.DataFrame(table, schema=[*_COLUMNS[name], TARGET], orient="row")
    return frame if name == "diabetes" else frame.with_columns(pl.col(TARGET).cast(pl.Int64))
