"""A model that may be somebody else's, opened and asked: it runs no code and takes no more memory than an honest one.

Imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import tensorflow as tf

from hptune.artifact import Floats, load_artifact, predict_with
from hptune.errors import ArtifactError
from hptune.machine import limited_memory, memory_of_machine

# What a model takes beside its weights: TensorFlow's own, and a block of rows between the widest layers.
_ROOM_BYTES = 4 << 30
# Of the weights: in the archive, unpacked, in the network, and while they are read.
_COPIES = 8


class OpenedModel:
    """An artifact in memory."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ArtifactError: If Keras refuses the file: it is damaged, would run code, or is made to fill the memory.
        """
        self._path = path
        self._room_bytes = _ROOM_BYTES + _COPIES * _unpacked_bytes(path)
        with self._within_limits():
            self._model = load_artifact(path)

    def predict(self, rows: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> Floats:
        """Predict as `predict_with` does.

        Raises:
            ArtifactError: If it would take more memory than there is for it.
        """
        with self._within_limits():
            return predict_with(self._model, rows, columns)

    @contextmanager
    def _within_limits(self) -> Iterator[None]:
        try:
            with limited_memory(self._room_bytes):
                yield
        except (MemoryError, tf.errors.OpError) as error:
            raise ArtifactError(
                f"{self._path}: expected a model that works within {self._room_bytes / 2**30:.0f} GiB of memory, got "
                f"{type(error).__name__}; it is damaged, or was not written by hptune"
            ) from None


def _unpacked_bytes(path: Path) -> int:
    """Return what an archive claims to hold; reading an entry stops there.

    Raises:
        ArtifactError: If that is more than the machine has memory for.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return 0  # Keras says what is wrong with it.
    there = memory_of_machine()
    if size > there:
        raise ArtifactError(f"{path}: expected a model of at most {there} bytes when unpacked, got {size}")
    return size
