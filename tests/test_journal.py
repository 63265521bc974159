"""Real files: what is appended is read back, and no damage goes unnoticed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from hptune.errors import RunDamagedError, RunInUseError, StorageError
from hptune.run.journal import open_journal, read_journal


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with three records."""
    path = tmp_path / "journal.jsonl"
    with open_journal(path) as (writer, _):
        writer.append("header", format=1, versions={"hptune": "0.1.0"})
        writer.append("propose", trial=0, values={"model.units": 64, "note": 'naïve \u202e ,"crc":"'})
        writer.append("stop", reason="budget used")
    return path


def test_records_are_read_back_as_they_were_appended(journal: Path) -> None:
    records = read_journal(journal).records

    assert [record["type"] for record in records] == ["header", "propose", "stop"]
    assert records[1]["values"] == {"model.units": 64, "note": 'naïve \u202e ,"crc":"'}
    assert [record["seq"] for record in records] == [0, 1, 2]


def test_reopening_goes_on_where_it_ended(journal: Path) -> None:
    with open_journal(journal) as (writer, contents):
        assert len(contents.records) == 3
        writer.append("stop", reason="again")

    assert [record["seq"] for record in read_journal(journal).records] == [0, 1, 2, 3]


def test_every_length_of_a_cut_journal_opens_with_its_whole_records(journal: Path, tmp_path: Path) -> None:
    content = journal.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]

    for length in range(len(content)):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(content[:length])
        contents = read_journal(cut)
        assert len(contents.records) == sum(end <= length for end in ends)
        assert contents.end + contents.torn_bytes == length


def test_a_torn_tail_is_cut_before_the_next_record(journal: Path) -> None:
    content = journal.read_bytes()
    journal.write_bytes(content[:-20])

    with open_journal(journal) as (writer, contents):
        writer.append("stop", reason="later")

    assert contents.torn_bytes > 0
    assert [record["type"] for record in read_journal(journal).records] == ["header", "propose", "stop"]
    assert read_journal(journal).records[2]["reason"] == "later"


def test_every_flipped_byte_is_found(journal: Path, tmp_path: Path) -> None:
    content = journal.read_bytes()
    flipped = tmp_path / "flipped.jsonl"

    for index in range(len(content) - 1):
        damaged = bytearray(content)
        damaged[index] ^= 1
        flipped.write_bytes(damaged)
        with pytest.raises(RunDamagedError, match=r"byte \d+: "):
            read_journal(flipped)


@pytest.mark.parametrize("damage", ["removed", "doubled", "swapped"])
def test_lines_that_were_moved_are_found(journal: Path, damage: str) -> None:
    header, propose, stop = journal.read_bytes().splitlines(keepends=True)
    lines = {
        "removed": [header, stop],
        "doubled": [header, propose, propose, stop],
        "swapped": [header, stop, propose],
    }
    journal.write_bytes(b"".join(lines[damage]))

    with pytest.raises(RunDamagedError, match=r"line \d, byte \d+: record \d does not follow the record before it"):
        read_journal(journal)


def test_garbage_with_a_line_end_is_named_with_its_place(journal: Path) -> None:
    size = journal.stat().st_size
    journal.write_bytes(journal.read_bytes() + b"<<<<<<< HEAD\n")

    with pytest.raises(RunDamagedError) as caught:
        read_journal(journal)

    assert str(caught.value) == (
        f"{journal}: line 4, byte {size}: the mark of a merge conflict; nothing before it is lost, copy what is "
        "whole with hptune repair, or begin another run with --fresh"
    )


def test_a_newer_format_names_the_version_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with open_journal(path) as (writer, _):
        writer.append("header", format=99, versions={"hptune": "7.0"})

    with pytest.raises(RunDamagedError) as caught:
        read_journal(path)

    assert str(caught.value) == (
        f"{path}: expected a journal of format 2 or older, got 99; it was written by hptune 7.0, use that version"
    )


def _hold(path: str, connection: multiprocessing.connection.Connection) -> None:
    with open_journal(Path(path)):
        connection.send("held")
        connection.recv()


def test_a_second_writer_is_told_who_holds_the_run(journal: Path) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(journal), theirs))
    holder.start()
    assert ours.recv() == "held"

    with pytest.raises(RunInUseError) as caught, open_journal(journal):
        pass
    ours.send("done")
    holder.join()

    assert f"is in use by process {holder.pid} on " in str(caught.value)
    assert not journal.with_name("holder.json").exists()


def test_a_killed_holder_leaves_the_run_free(journal: Path) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(journal), theirs))
    holder.start()
    assert ours.recv() == "held"
    holder.kill()
    holder.join()

    with open_journal(journal) as (writer, _):
        writer.append("stop", reason="free again")


def test_links_are_refused(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "hard.jsonl").hardlink_to(journal)

    with pytest.raises(RunDamagedError, match="expected a regular file with one name"):
        read_journal(journal)
    (tmp_path / "soft.jsonl").symlink_to(journal)
    with pytest.raises(RunDamagedError, match="expected a regular file with one name"):
        read_journal(tmp_path / "soft.jsonl")


def test_not_a_number_cannot_be_recorded(journal: Path) -> None:
    with open_journal(journal) as (writer, _), pytest.raises(ValueError, match="not JSON compliant"):
        writer.append("end", score=float("nan"))

    assert len(read_journal(journal).records) == 3


def test_a_journal_that_was_replaced_stops_the_writer(journal: Path) -> None:
    with open_journal(journal) as (writer, _):
        content = journal.read_bytes()
        journal.unlink()
        journal.write_bytes(content)
        with pytest.raises(StorageError, match="the run folder was replaced"):
            writer.append("stop", reason="lost")


def test_lines_are_strict_json(journal: Path) -> None:
    for line in journal.read_text().splitlines():
        assert json.loads(line, parse_constant=lambda name: pytest.fail(name))
