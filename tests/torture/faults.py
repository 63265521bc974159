"""A file system that fails on demand, below everything that hptune writes into one folder.

Every operation that changes the folder is counted: creating, writing, syncing, renaming and removing. At the one with a
given number the process dies (before it, in the middle of it, or after it), or the system refuses. What was never
synced can be dropped as well, as a power failure does.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock


class Kind(StrEnum):
    KILL_BEFORE = "kill before"
    TORN = "torn"  # half of it is done, then the process dies
    KILL_AFTER = "kill after"
    NO_SPACE = "ENOSPC"
    IO_ERROR = "EIO"
    SHORT = "short write"  # the system takes half and says so; no fault at all


KILLS = (Kind.KILL_BEFORE, Kind.TORN, Kind.KILL_AFTER)


class DeadError(BaseException):
    """The process is gone; nothing that it does afterwards reaches the disk."""


def die_in_earnest() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL was survived")


@dataclass(frozen=True)
class Fault:
    """What fails.

    Attributes:
        at: Number of the operation, from 0.
        kind: How.
    """

    at: int
    kind: Kind


@dataclass
class FaultyDisk:
    """Watches a folder and lets one operation on it fail.

    Attributes:
        folder: Operations outside are neither counted nor changed.
        fault: None to count only.
        loses_power: Whether death takes along what was not synced.
        die: How the process ends; by default nothing it does afterwards has an effect.
        log: Every operation so far: its name and the path, relative to the folder.
    """

    folder: Path
    fault: Fault | None = None
    loses_power: bool = False
    die: Callable[[], NoReturn] | None = None
    log: list[tuple[str, str]] = field(default_factory=list)
    _is_dead: bool = False
    _is_off: bool = False
    _paths: dict[int, Path] = field(default_factory=dict)
    _written: dict[Path, int] = field(default_factory=dict)
    # Changes of folders that were not synced yet, as (folder, how to undo it), oldest first.
    _entries: list[tuple[Path, Callable[[], object]]] = field(default_factory=list)
    _real: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def installed(self) -> Iterator[FaultyDisk]:
        """Stand between this process and the file system."""
        names = ("open", "write", "fsync", "ftruncate", "replace", "rename", "mkdir", "unlink", "rmdir", "close")
        self._real = {name: getattr(os, name) for name in names}
        with mock.patch.multiple("os", **{name: getattr(self, f"_{name}") for name in names}):
            real_open = io.open

            def open_file(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
                if isinstance(file, int) or not self._is_ours(file) or not set(mode) & set("wax+"):
                    return real_open(file, mode, *rest, **options)
                stream = _Stream(os.open(file, _flags(mode), 0o666))
                return stream if "b" in mode else io.TextIOWrapper(stream, encoding="utf-8", write_through=True)

            with mock.patch.object(io, "open", open_file):
                yield self

    def _is_ours(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        whole = Path(os.path.abspath(path))
        return whole == self.folder or self.folder in whole.parents

    def _step(self, name: str, path: Path, work: Callable[[], Any], half: Callable[[], object] | None = None) -> Any:
        """Do one operation, unless it is the one that fails."""
        if self._is_off:
            return work()
        if self._is_dead:
            raise DeadError
        number = len(self.log)
        self.log.append((name, os.path.relpath(path, self.folder)))
        if self.fault is None or number != self.fault.at:
            return work()
        kind = self.fault.kind
        if kind in (Kind.NO_SPACE, Kind.IO_ERROR):
            if half is not None and kind is Kind.NO_SPACE:
                half()
            code = errno.ENOSPC if kind is Kind.NO_SPACE else errno.EIO
            raise OSError(code, os.strerror(code), str(path))
        if kind is Kind.SHORT:
            return half() if half is not None else work()
        if kind is Kind.TORN and half is not None:
            half()
        elif kind is Kind.KILL_AFTER:
            work()
        return self._end()

    def _end(self) -> NoReturn:
        self._is_dead = True
        if self.loses_power:
            self._lose_power()
        if self.die is not None:
            self.die()
        raise DeadError

    def _lose_power(self) -> None:
        """Take back what was not synced: the ends of files, and the entries of folders with all that lies below."""
        self._is_off = True
        for path, size in self._written.items():
            if path.exists():
                os.truncate(path, size)
        for _, undo in reversed(list(self._entries)):
            with suppress(FileNotFoundError):
                undo()
        self._is_off = False

    # What replaces the functions of `os`.

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opening = self._real["open"]
        if dir_fd is not None or not self._is_ours(path):
            number: int = opening(path, flags, mode, dir_fd=dir_fd)
            return number
        whole = Path(os.path.abspath(path))

        def work() -> int:
            is_new = not whole.exists()
            descriptor: int = opening(path, flags, mode)
            if is_new:
                self._entries.append((whole.parent, lambda: self._real["unlink"](whole)))
            if is_new or flags & os.O_TRUNC:
                self._written[whole] = 0
            return descriptor

        creates = flags & os.O_CREAT and not whole.exists()
        descriptor: int = self._step("create", whole, work) if creates else work()
        self._paths[descriptor] = whole
        return descriptor

    def _close(self, descriptor: int) -> None:
        self._paths.pop(descriptor, None)
        self._real["close"](descriptor)

    def _write(self, descriptor: int, content: Any) -> int:
        path = self._paths.get(descriptor)
        writing = self._real["write"]
        if path is None:
            count: int = writing(descriptor, content)
            return count
        self._written.setdefault(path, path.stat().st_size if path.exists() else 0)
        whole = bytes(content)
        half = whole[: max(len(whole) // 2, 1)]
        return int(self._step("write", path, lambda: writing(descriptor, whole), lambda: writing(descriptor, half)))

    def _fsync(self, descriptor: int) -> None:
        path = self._paths.get(descriptor)
        if path is None:
            self._real["fsync"](descriptor)
            return

        def work() -> None:
            if path.is_dir():
                self._entries = [entry for entry in self._entries if entry[0] != path]
            elif path.exists():
                self._written[path] = path.stat().st_size

        self._step("fsync", path, work)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        path = self._paths.get(descriptor)
        if path is None:
            self._real["ftruncate"](descriptor, length)
        else:
            self._step("truncate", path, lambda: self._real["ftruncate"](descriptor, length))

    def _move(self, name: str, source: Any, target: Any) -> None:
        moving = self._real[name]
        if not self._is_ours(target):
            moving(source, target)
            return
        old, new = Path(os.path.abspath(source)), Path(os.path.abspath(target))

        def work() -> None:
            before = new.read_bytes() if new.is_file() else None
            moving(source, target)
            if old in self._written:
                self._written[new] = self._written.pop(old)

            def undo() -> None:
                content = new.read_bytes()
                self._real["unlink"](new)
                old.write_bytes(content)
                if before is not None:
                    new.write_bytes(before)

            self._entries.append((new.parent, undo))

        self._step("rename", new, work)

    def _replace(self, source: Any, target: Any, **options: Any) -> None:
        self._move("replace", source, target)

    def _rename(self, source: Any, target: Any, **options: Any) -> None:
        self._move("rename", source, target)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        making = self._real["mkdir"]
        if dir_fd is not None or not self._is_ours(path):
            making(path, mode, dir_fd=dir_fd)
            return
        whole = Path(os.path.abspath(path))

        def work() -> None:
            making(path, mode)
            self._entries.append((whole.parent, lambda: shutil.rmtree(whole)))

        if whole.exists():
            making(path, mode)
        else:
            self._step("mkdir", whole, work)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._remove("unlink", path, dir_fd)

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._remove("rmdir", path, dir_fd)

    def _remove(self, name: str, path: Any, dir_fd: int | None) -> None:
        removing = self._real[name]
        if dir_fd is not None:
            # Only rmtree works this way, and only below the folder.
            self._step(name, self.folder / "...", lambda: removing(path, dir_fd=dir_fd))
        elif not self._is_ours(path) or not os.path.lexists(path):
            removing(path)
        else:
            self._step(name, Path(os.path.abspath(path)), lambda: removing(path))


class _Stream(io.BufferedIOBase):
    """A file for writing each of whose writes is an `os.write`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, content: Any) -> int:
        remaining = memoryview(bytes(content))
        total = len(remaining)
        while remaining:
            remaining = remaining[os.write(self._descriptor, remaining) :]
        return total

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def _flags(mode: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT
    if "a" in mode:
        return flags | os.O_APPEND
    return flags | (os.O_EXCL if "x" in mode else os.O_TRUNC)
