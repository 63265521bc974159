"""Whole files or none: write beside, sync, rename; hash what was written.

A process that dies at any instant leaves either the old file or the new one. What the disk refuses becomes a
`StorageError` (exit code 7) that names the file. What is not a plain file of ours (a link that leads out of the folder,
a pipe on which one waits for ever) is neither read nor written: `RunDamagedError` (exit code 6).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hptune.errors import RunDamagedError, StorageError
from hptune.trial import StoredFile

TEMPORARY_SUFFIX = ".part"
_CHUNK_BYTES = 1 << 20


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or str(error)).lower() + _describe_room(path, error)
        raise StorageError(
            f"{path}: {what}; nothing announced is lost, make room or access and run the same command again"
        ) from error


def _describe_room(path: Path, error: OSError) -> str:
    """Say how much is free where that is what was missing."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    try:
        return f" ({shutil.disk_usage(path.parent).free} bytes are free)"
    except OSError:
        return ""


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that appears under its name only when it is whole and on the disk.

    Raises:
        StorageError: If the file system refuses; an older file of that name is untouched.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with storage_errors(path):
        # What lies under this name is the rest of a killed writer, or a link; opening it would write through the link.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    write_file(path, lambda stream: stream.write(text.encode()))


def holds_text(path: Path, text: str) -> bool:
    """Tell whether a file is there and holds a text."""
    try:
        return read_file(path) == text.encode()
    except FileNotFoundError:
        return False


def read_file(path: Path) -> bytes:
    """Read a plain file.

    Raises:
        FileNotFoundError: If there is none.
        RunDamagedError: If it is a link, a folder, a pipe or a device.
        StorageError: If the file system refuses.
    """
    try:
        descriptor = open_plainly(path, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:
        with storage_errors(path):
            raise
    with storage_errors(path), os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def open_plainly(path: Path, flags: int) -> int:
    """Open a plain file that has no other name; nothing is waited for and no link is followed.

    Raises:
        RunDamagedError: If it is anything else.
        OSError: If the file system refuses.
    """
    if path.exists() or path.is_symlink():
        _refuse_unusual_file(path, path.lstat())
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW, 0o644)
    try:
        # Once more: what lies there may have been replaced meanwhile.
        _refuse_unusual_file(path, os.fstat(descriptor))
    except RunDamagedError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_unusual_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise RunDamagedError(f"{path}: expected a regular file with one name, got a link, a folder or a device")


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, where they do not exist, and make their names durable.

    Raises:
        StorageError: If the file system refuses.
    """
    if not folder.parent.is_dir():
        make_folders(folder.parent)
    make_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder, where it does not exist, below one that does, and make its name durable.

    Raises:
        StorageError: If the file system refuses; also if the folder above was moved away.
    """
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


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
