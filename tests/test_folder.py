from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hptune.errors import RunDamagedError, StorageError, UsageError
from hptune.run.files import describe_file, write_file, write_text
from hptune.run.folder import WEIGHTS, RunFolder, beyond_limits, check_run_name, find_run
from hptune.run.journal import open_journal
from hptune.run.records import History
from hptune.trial import Outcome, Proposal, StoredFile, Trial


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "runs" / "churn")
    made.create()
    with open_journal(made.journal) as (journal, _):
        journal.append("header", format=1)
    return made


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", ".hidden", "a/b", "a b", "ä", "x" * 65, "-x", "a\n"])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 64 letters"):
        check_run_name(name)


@pytest.mark.parametrize("name", ["con", "NUL", "Com1", "lpt9.txt", "aux.1"])
def test_names_of_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_run_name(name)

    assert str(caught.value) == (
        f"--run: expected a name that is free on every system, got {name!a}, a device on Windows"
    )


def test_a_path_that_leaves_no_room_for_the_files_of_a_run_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 200 + "/") / ("y" * 200) / ("z" * 200) / ("w" * 200) / ("v" * 200)

    with pytest.raises(UsageError) as caught:
        RunFolder(path)

    assert str(caught.value) == f"{path}: expected a path of at most 900 bytes; choose another --runs folder"


def test_ordinary_names_are_taken() -> None:
    assert check_run_name("churn-3.b_2") == "churn-3.b_2"


def test_a_folder_with_other_files_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")

    with pytest.raises(UsageError) as caught:
        RunFolder(tmp_path).create()

    assert str(caught.value) == (
        f"{tmp_path}: expected an empty folder or a run, got other files; choose another --run NAME"
    )


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(UsageError, match="got a symbolic link"):
        RunFolder(tmp_path / "link").create()


def test_fresh_moves_aside_and_deletes_nothing(folder: RunFolder) -> None:
    first = folder.move_aside()
    folder.create()
    with open_journal(folder.journal):
        pass
    second = folder.move_aside()

    assert (first.name, second.name) == ("churn.1", "churn.2")
    assert (first / "journal.jsonl").stat().st_size > 0


def test_a_fresh_attempt_finds_an_empty_folder(folder: RunFolder) -> None:
    path = folder.begin_attempt(7)
    (path / WEIGHTS).write_bytes(b"old")

    assert folder.begin_attempt(7) == folder.path / "trials" / "0007"
    assert list(path.iterdir()) == []


def test_a_link_in_place_of_a_trial_folder_loses_the_link_only(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("precious")
    (folder.path / "trials").mkdir()
    folder.trial(1).symlink_to(tmp_path / "home")

    folder.begin_attempt(1)

    assert (tmp_path / "home" / "letter").read_text() == "precious"


def test_what_no_record_names_is_collected(folder: RunFolder) -> None:
    kept, torn = folder.begin_attempt(0) / WEIGHTS, folder.begin_attempt(1) / WEIGHTS
    kept.write_bytes(b"kept")
    torn.write_bytes(b"torn")
    (folder.path / "leaderboard.csv.part").write_text("half")
    trial = Trial(Proposal(0, {}, 1), Outcome.COMPLETED, files=(describe_file(kept, "trials/0000/weights.npz"),))

    folder.collect_garbage(History(ends={0: trial}))

    assert kept.exists()
    assert not torn.parent.exists()
    assert not (folder.path / "leaderboard.csv.part").exists()


def test_an_altered_file_is_found_before_anybody_reads_it(folder: RunFolder) -> None:
    path = folder.begin_attempt(0) / WEIGHTS
    path.write_bytes(b"numbers")
    file = describe_file(path, "trials/0000/weights.npz")
    assert folder.verified(file) == path

    path.write_bytes(b"numberz")
    with pytest.raises(RunDamagedError, match="its SHA-256 is not what the journal recorded"):
        folder.verified(file)
    path.unlink()
    with pytest.raises(RunDamagedError, match="recorded in the journal but missing"):
        folder.verified(file)


def test_the_best_trials_keep_their_weights_within_the_limits() -> None:
    ranked = [
        Trial(Proposal(n, {}, 1), Outcome.COMPLETED, files=(StoredFile(f"trials/{n:04d}/weights.npz", 10, ""),))
        for n in range(4)
    ]

    assert beyond_limits(ranked, {WEIGHTS: 1000}, keep=2) == ["trials/0002/weights.npz", "trials/0003/weights.npz"]
    assert beyond_limits(ranked, {WEIGHTS: 30}, keep=9) == ["trials/0003/weights.npz"]
    assert beyond_limits(ranked, {WEIGHTS: 0}, keep=0) == [f"trials/{n:04d}/weights.npz" for n in (1, 2, 3)]


def test_runs_are_found_by_name_by_folder_and_by_age(folder: RunFolder) -> None:
    runs = folder.path.parent
    other = RunFolder(runs / "digits")
    other.create()
    with open_journal(other.journal) as (journal, _):
        journal.append("header", format=1)
    os.utime(folder.journal, (1, 1))

    assert find_run("churn", runs).path == folder.path
    assert find_run(str(folder.path), runs).path == folder.path
    assert find_run(None, runs).path == other.path
    with pytest.raises(UsageError) as caught:
        find_run("chrun", runs)
    assert str(caught.value) == f"chrun: no run of that name or folder; runs in {runs}: churn, digits"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    write_text(path, "old")

    def fail(stream: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError) as caught:
        write_file(path, fail)

    assert re.fullmatch(
        rf"{path}: no space left on device \(\d+ bytes are free\); nothing announced is lost, "
        "make room or access and run the same command again",
        str(caught.value),
    )
    assert path.read_text() == "old"
