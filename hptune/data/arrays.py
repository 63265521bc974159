"""Prepared arrays on disk, one folder a preparation, mapped into memory by every worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.run.files import make_folder, write_file

Array = npt.NDArray[Any]


def write_arrays(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays, each whole or not at all.

    Args:
        folder: Made where it does not exist.
        arrays: By name; the name becomes the file's.
    """
    make_folder(folder.parent)
    make_folder(folder)
    for name, array in arrays.items():

        def write(stream: Any, array: Array = array) -> None:
            np.save(stream, array, allow_pickle=False)

        write_file(folder / f"{name}.npy", write)


def open_arrays(folder: Path) -> Mapping[str, Array]:
    """Map the arrays of a folder, so that workers share one copy."""
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
