"""The journal: one record a line, only ever appended to, by one process that holds a kernel lock.

Each line is strict JSON with a sequence number, the hash of the line before it and a CRC32 of itself, and is on the
disk before anything is announced. A last line without its line end is what a killed writer leaves: it is cut. Any other
damage is named with its byte offset and never skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hptune.errors import RunDamagedError, RunInUseError, StorageError
from hptune.run.files import storage_errors, sync_folder

FORMAT = 2
# Format 1 knew neither pauses nor the clock; what it wrote is read as it was meant.
_READABLE = (1, FORMAT)
_FIRST_PREVIOUS = "0" * 32
# A record holds one configuration; a longer line is not ours.
_LONGEST_LINE = 16 << 20
_CRC_FIELD = ',"crc":"'

Record = Mapping[str, Any]


def utc_now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond; for people, never for ordering."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class JournalContents:
    """What a journal held when it was read.

    Attributes:
        records: Every whole record, in order.
        end: Bytes of the whole records; what follows is the torn tail.
        torn_bytes: Length of the torn tail.
        previous: Hash that the next record carries.
    """

    records: tuple[Record, ...]
    end: int
    torn_bytes: int
    previous: str


def read_journal(path: Path) -> JournalContents:
    """Read a journal without a lock and without changing a byte; a writer at work does no harm.

    Raises:
        RunDamagedError: If a line is not what was written; the message names line and byte offset.
        StorageError: If the file cannot be read.
    """
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        _refuse_unusual_file(path, os.fstat(descriptor))
        with storage_errors(path), os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
    finally:
        os.close(descriptor)
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> JournalContents:
    records: list[Record] = []
    previous = _FIRST_PREVIOUS
    start = 0
    while (newline := content.find(b"\n", start)) >= 0:
        line = content[start:newline]
        records.append(_parse_line(path, line, previous, number=len(records), offset=start))
        previous = _hash_line(line)
        start = newline + 1
    return JournalContents(tuple(records), start, len(content) - start, previous)


def _parse_line(path: Path, line: bytes, previous: str, number: int, offset: int) -> Record:
    where = f"{path}: line {number + 1}, byte {offset}"
    try:
        if len(line) > _LONGEST_LINE:
            raise ValueError
        body, separator, crc = line.decode("ascii").rpartition(_CRC_FIELD)
        if not separator or crc != f'{zlib.crc32(body.encode()):08x}"}}':
            raise ValueError
        record: Record = json.loads(body + "}")
    except (ValueError, RecursionError):
        raise RunDamagedError(
            f"{where}: damaged record; nothing before it is lost, restore the folder from a copy or begin "
            "another run with --fresh"
        ) from None
    if record["seq"] != number or record["prev"] != previous:
        raise RunDamagedError(f"{where}: record {record['seq']} does not follow the record before it")
    if number == 0 and record.get("format") not in _READABLE:
        raise RunDamagedError(
            f"{path}: expected a journal of format {FORMAT} or older, got {record.get('format')!r}; it was written by "
            f"hptune {record.get('versions', {}).get('hptune', 'of another version')}, use that version"
        )
    return record


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[: len(_FIRST_PREVIOUS)]


def _refuse_unusual_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise RunDamagedError(f"{path}: expected a regular file with one name, got a link, a folder or a device")


class Journal:
    """The one writer of a journal."""

    def __init__(self, path: Path, descriptor: int, contents: JournalContents) -> None:
        self._path = path
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._previous = contents.previous
        self._sequence = len(contents.records)

    def append(self, kind: str, **fields: Any) -> None:
        """Add a record and return once it is on the disk.

        Raises:
            StorageError: If the disk refuses, or the file was moved away; the run must stop, and is not retried,
                because after a failed fsync nobody knows what the disk holds.
        """
        record = {"seq": self._sequence, "prev": self._previous, "utc": utc_now(), "type": kind, **fields}
        body = json.dumps(record, allow_nan=False, separators=(",", ":"))[:-1]
        line = f'{body}{_CRC_FIELD}{zlib.crc32(body.encode()):08x}"}}'.encode()
        with storage_errors(self._path):
            if os.stat(self._path).st_ino != self._inode:
                raise StorageError(f"{self._path}: the run folder was replaced while the search was writing to it")
            remaining = memoryview(line + b"\n")
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            os.fsync(self._descriptor)
        self._previous = _hash_line(line)
        self._sequence += 1


@contextmanager
def open_journal(path: Path) -> Iterator[tuple[Journal, JournalContents]]:
    """Hold a journal for writing, making it where it does not exist and cutting a torn tail.

    Raises:
        RunInUseError: If another process holds it; names host, process and since when.
        RunDamagedError: As `read_journal`.
        StorageError: If the file system refuses.
    """
    holder = path.with_name("holder.json")
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW, 0o644)
    try:
        _refuse_unusual_file(path, os.fstat(descriptor))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunInUseError(_describe_holder(path.parent, holder)) from None
        contents = read_journal(path)
        with storage_errors(path):
            if contents.torn_bytes:
                os.ftruncate(descriptor, contents.end)
                os.fsync(descriptor)
            sync_folder(path.parent)
            # Only tells people who holds the lock; the lock itself is the kernel's and dies with its process.
            holder.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "since": utc_now()}))
        try:
            yield Journal(path, descriptor, contents), contents
        finally:
            holder.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _describe_holder(folder: Path, holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        who = f"process {int(known['pid'])} on {known['host']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return f"run {folder.name} is in use by {who}; wait for it, or start another run with --run NAME"
