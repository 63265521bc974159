"""Whole files or none: write beside, sync, rename; hash what was written.

A process that dies at any instant leaves either the old file or the new one. What the disk refuses becomes a
`StorageError` (exit code 7) that names the file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hptune.errors import StorageError
from hptune.trial import StoredFile

TEMPORARY_SUFFIX = ".part"
_CHUNK_BYTES = 1 << 20


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {(error.strerror or str(error)).lower()}; nothing announced is lost, "
            "make room or access and run the same command again"
        ) from error


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that appears under its name only when it is whole and on the disk.

    Raises:
        StorageError: If the file system refuses; an older file of that name is untouched.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with storage_errors(path):
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    write_file(path, lambda stream: stream.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe_file(path: Path, name: str) -> StoredFile:
    """Size and hash of a file, read in pieces.

    Args:
        path: Where it is.
        name: What a record shall call it: a path relative to the run folder, so that a copied run still resumes.
    """
    digest = hashlib.sha256()
    size = 0
    with storage_errors(path), path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return StoredFile(name, size, digest.hexdigest())


def remove_folder(folder: Path) -> None:
    """Delete a folder with all it holds; a symbolic link is not followed."""
    with storage_errors(folder):
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
