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
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from hptune.errors import RunDamagedError, RunInUseError, StorageError
from hptune.run.files import open_plainly, read_file, storage_errors, sync_folder, write_text

FORMAT = 2
# Format 1 knew neither pauses nor the clock; what it wrote is read as it was meant.
_READABLE = (1, FORMAT)
_FIRST_PREVIOUS = "0" * 32
# A record holds one configuration; a longer line is not ours.
_LONGEST_LINE = 16 << 20
# More than a hundred thousand trials, ten times what is promised to be handled well; it is read into memory whole.
_LARGEST_BYTES = 256 << 20
_CRC_FIELD = ',"crc":"'
_FIRST_RECORD = f'{{"seq":0,"prev":"{_FIRST_PREVIOUS}",'.encode()
_CURE = "copy what is whole with hptune repair, or begin another run with --fresh"
# What befalls files that travel, by what it looks like.
_RECOGNIZED: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda line: line.startswith(b"\x1f\x8b"), "a gzip archive, unpack it"),
    (lambda line: line.startswith(b"\xef\xbb\xbf"), "a byte order mark, which an editor has put there"),
    (lambda line: line.startswith((b"<<<<<<<", b"=======", b">>>>>>>")), "the mark of a merge conflict"),
    (lambda line: b"\r" in line, "line ends of another system, as from a checkout that converts them"),
    (lambda line: len(line) >= _LONGEST_LINE, "a line longer than any record"),
)

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
        descriptor = open_plainly(path, os.O_RDONLY)
    with storage_errors(path), os.fdopen(descriptor, "rb") as stream:
        return _parse(path, stream)


def _parse(path: Path, stream: BinaryIO) -> JournalContents:
    """Read line by line, so that memory does not grow with a line that is not ours."""
    _refuse_too_large(path, stream)
    records: list[Record] = []
    previous = _FIRST_PREVIOUS
    start = 0
    while (line := stream.readline(_LONGEST_LINE)).endswith(b"\n"):
        records.append(_parse_line(path, line[:-1], previous, number=len(records), offset=start))
        previous = _hash_line(line[:-1])
        start += len(line)
    if not _may_be_torn(line, is_first=not records):
        raise _damage(path, line, len(records), start)
    return JournalContents(tuple(records), start, len(line), previous)


def _refuse_too_large(path: Path, stream: BinaryIO) -> None:
    size = os.fstat(stream.fileno()).st_size
    if size > _LARGEST_BYTES:
        raise RunDamagedError(
            f"{path}: expected at most {_LARGEST_BYTES} bytes, got {size}; no search writes a journal of that size"
        )


def salvage(path: Path) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[str, ...]]:
    """Read what is whole in a journal, wherever it stands.

    Returns:
        The records before the first damage, the whole ones behind it in the order of their numbers, and where the
        damage is.

    Raises:
        RunDamagedError: If it is not a plain file.
        StorageError: If the file cannot be read.
    """
    before: list[Record] = []
    whole: dict[int, Record] = {}
    damages: list[str] = []
    previous, start = _FIRST_PREVIOUS, 0
    with storage_errors(path):
        descriptor = open_plainly(path, os.O_RDONLY)
    with storage_errors(path), os.fdopen(descriptor, "rb") as stream:
        _refuse_too_large(path, stream)
        for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), b"")):
            body = line.removesuffix(b"\n")
            with suppress(ValueError):
                record = _decode(body)
                whole.setdefault(record["seq"], record)
            try:
                if body != line or not _may_be_torn(line, is_first=not number):
                    before += () if damages else (_parse_line(path, body, previous, number, start),)
                    previous = _hash_line(body)
                    if damages:
                        _decode(body)
            except (RunDamagedError, ValueError):
                damages.append(f"damaged at line {number + 1}, byte {start}")
            start += len(line)
    behind = (record for number, record in sorted(whole.items()) if number >= len(before))
    return tuple(before), tuple(behind) if damages else (), tuple(damages)


def _may_be_torn(tail: bytes, *, is_first: bool) -> bool:
    """Tell whether a last line without its end is what a killed writer or a power failure leaves.

    Where there is no record yet, all that lies there would be cut: then it must look like the beginning of a header.
    """
    if len(tail) == _LONGEST_LINE:
        return False
    # A file system that lost power may have noted the new size and not the bytes.
    begun = tail.rstrip(b"\0")
    is_ours = _FIRST_RECORD.startswith(begun) or begun.startswith(_FIRST_RECORD)
    return not is_first or (is_ours and b"\r" not in begun)


def _parse_line(path: Path, line: bytes, previous: str, number: int, offset: int) -> Record:
    try:
        record = _decode(line)
    except ValueError:
        raise _damage(path, line, number, offset) from None
    if record["seq"] != number or record["prev"] != previous:
        where = f"{path}: line {number + 1}, byte {offset}"
        raise RunDamagedError(f"{where}: record {record['seq']} does not follow the record before it; {_CURE}")
    if number == 0 and record.get("format") not in _READABLE:
        versions = record.get("versions")
        writer = versions.get("hptune") if isinstance(versions, dict) else None
        raise RunDamagedError(
            f"{path}: expected a journal of format {FORMAT} or older, got {record.get('format')!a}; it was written by "
            f"hptune {writer or 'of another version'}, use that version"
        )
    return record


def _decode(line: bytes) -> Record:
    """Read a line that carries its own checksum.

    Raises:
        ValueError: If it is not what was written.
    """
    body, separator, crc = line.decode("ascii").rpartition(_CRC_FIELD)
    if not separator or crc != f'{zlib.crc32(body.encode()):08x}"}}':
        raise ValueError("the checksum is another one")
    try:
        record: Record = json.loads(body + "}", parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested deeper than any record") from None
    if not isinstance(record.get("seq"), int) or not {"prev", "type"} <= record.keys():
        raise ValueError("not a record")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _damage(path: Path, line: bytes, number: int, offset: int) -> RunDamagedError:
    """Say what stands in place of a record."""
    what = next((words for looks, words in _RECOGNIZED if looks(line)), "damaged record")
    return RunDamagedError(f"{path}: line {number + 1}, byte {offset}: {what}; nothing before it is lost, {_CURE}")


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[: len(_FIRST_PREVIOUS)]


def _encode(sequence: int, previous: str, fields: Record) -> bytes:
    """Write a record as a line without its end."""
    body = json.dumps({"seq": sequence, "prev": previous, **fields}, allow_nan=False, separators=(",", ":"))[:-1]
    return f'{body}{_CRC_FIELD}{zlib.crc32(body.encode()):08x}"}}'.encode()


def encode_journal(records: Iterable[Record]) -> bytes:
    """Write records as a journal of their own: numbered and chained anew, otherwise as they were."""
    lines: list[bytes] = []
    previous = _FIRST_PREVIOUS
    for number, record in enumerate(records):
        fields = {name: value for name, value in record.items() if name not in ("seq", "prev")}
        lines.append(_encode(number, previous, fields))
        previous = _hash_line(lines[-1])
    return b"".join(line + b"\n" for line in lines)


class Journal:
    """The one writer of a journal."""

    def __init__(self, path: Path, descriptor: int, contents: JournalContents) -> None:
        self._path = path
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._end = contents.end
        self._previous = contents.previous
        self._sequence = len(contents.records)

    def append(self, kind: str, **fields: Any) -> None:
        """Add a record and return once it is on the disk.

        Raises:
            StorageError: If the disk refuses, the file was moved away or would be too large to be read again, or
                somebody else has written to it; the run must stop, and nothing is retried, because after a failed fsync
                nobody knows what the disk holds.
        """
        line = _encode(self._sequence, self._previous, {"utc": utc_now(), "type": kind, **fields})
        if self._end + len(line) >= _LARGEST_BYTES:
            raise StorageError(
                f"{self._path}: a run holds at most {_LARGEST_BYTES} bytes of records, and these are used; nothing is "
                "lost, begin another run with --run NAME"
            )
        with storage_errors(self._path):
            status = os.stat(self._path)
            if status.st_ino != self._inode:
                raise StorageError(f"{self._path}: the run folder was replaced while the search was writing to it")
            # Also where a file system does not keep its locks, or an append of ours has failed before.
            if status.st_size != self._end:
                raise StorageError(
                    f"{self._path}: expected {self._end} bytes, got {status.st_size}: another process writes to it, or "
                    "a record was left unfinished; nothing announced is lost, run the same command once more, alone"
                )
            remaining = memoryview(line + b"\n")
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            os.fsync(self._descriptor)
        self._end += len(line) + 1
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
    with hold(path) as descriptor:
        contents = read_journal(path)
        with storage_errors(path):
            if contents.torn_bytes:
                os.ftruncate(descriptor, contents.end)
                os.fsync(descriptor)
            sync_folder(path.parent)
        yield Journal(path, descriptor, contents), contents


@contextmanager
def hold(path: Path) -> Iterator[int]:
    """Hold the lock of a run, whatever its journal holds; give the descriptor of the journal, open for appending.

    Raises:
        RunInUseError: If another process holds it; names host, process and since when.
        RunDamagedError: If the journal is not a plain file.
        StorageError: If the file system refuses.
    """
    holder = path.with_name("holder.json")
    with storage_errors(path):
        descriptor = open_plainly(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunInUseError(_describe_holder(path.parent, holder)) from None
        # Only tells people who holds the lock; the lock itself is the kernel's and dies with its process.
        write_text(holder, json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "since": utc_now()}))
        try:
            yield descriptor
        finally:
            # What is left of it misleads nobody: the lock is free.
            with suppress(OSError):
                holder.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _describe_holder(folder: Path, holder: Path) -> str:
    try:
        known = json.loads(read_file(holder))
        who = f"process {int(known['pid'])} on {known['host']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError, RunDamagedError, StorageError):
        who = "another process"
    return f"run {folder.name} is in use by {who}; wait for it, or start another run with --run NAME"
