"""C. Disks that are full, slow to honour a promise, read-only, moved or copied."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from faults import Fault, FaultyDisk, Kind
from invariants import check_announced, check_clean, check_message, results_of, snapshot, unchanged
from misfortunes import (
    limit_descriptors,
    limit_file_size,
    mounted_as,
    slowly,
    try_every_weights_file,
    without_privileges,
)
from nursery import Nursery, wait_for
from stand_in import Bench, write_experiment
from test_signals import begin, count

from hptune.errors import StorageError
from hptune.reporting.summary import summarize
from hptune.run.filesystem import file_system_of
from hptune.run.folder import RunFolder
from hptune.run.journal import read_journal
from hptune.run.log import LOGGER, log_to

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("size", [1900, 2500, 3333, 4000, 5000])
def test_c01_a_journal_that_cannot_grow_stops_the_search_with_seven_and_goes_on_later(
    size: int, bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=partial(limit_file_size, size))

    assert code == 7, output
    check_message(output, "file too large; nothing announced is lost, make room or access and run the same command")
    assert bench.run.journal.stat().st_size <= size
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)


def test_c01_a_full_disk_says_how_much_is_free(bench: Bench) -> None:
    with pytest.raises(StorageError) as caught, full_at(bench, "write", "journal.jsonl", 5).installed():
        bench.search()

    assert str(caught.value).startswith(f"{bench.run.journal}: no space left on device (")
    assert " bytes are free); nothing announced is lost" in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of one's own, whose limits are set, and set again, by mount options."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        how = f"{'remount,' if mounted else ''}{options}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system of one's own: {done.stderr.strip()}; it takes Linux and the rights of root")
        mounted = True
        return place

    try:
        yield mount
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount command")
@pytest.mark.parametrize(
    ("tight", "wide"), [("size=80k,nr_inodes=1k", "size=9m"), ("size=9m,nr_inodes=36", "nr_inodes=1k")]
)
def test_c01_c09_a_disk_without_room_or_inodes_stops_the_search_and_it_goes_on_later(
    tight: str, wide: str, small_disk: Callable[[str], Path], whole: Bench, nursery: Nursery
) -> None:
    bench = Bench(small_disk(tight), whole.ground)
    write_experiment(bench.folder)

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 7, output
    check_message(output, ": no space left on device (")
    told = summarize(bench.run).leaderboard.trials
    assert 0 < len(told) < 5
    small_disk(wide)
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)
    check_clean(bench.run)


@pytest.mark.parametrize("length", [320, 899])
def test_c10_a_path_of_hundreds_of_characters_is_no_obstacle(
    length: int, bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    folder = bench.folder
    while (rest := length - len(os.fsencode(folder)) - len("/x")) > 0:
        folder = folder / ("long" * 50)[: min(rest - 1, 200)]
    run = RunFolder(folder / "x")
    assert abs(len(os.fsencode(run.path)) - length) < 2

    code, output = nursery.hptune(["search", "x.yaml", "--runs", str(folder)], bench.folder)

    assert code == 0, output
    assert results_of(run) == results_of(whole.run)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("n" * 300, "expected names of folders of at most 255 bytes; choose another --runs folder"),
        ("/".join(["long" * 50] * 5), "expected a path of at most 900 bytes; choose another --runs folder"),
    ],
)
def test_c10_a_path_that_is_too_long_is_refused_before_any_work(
    runs: str, expected: str, bench: Bench, nursery: Nursery
) -> None:
    with unchanged(bench.folder):
        code, output = nursery.hptune(["search", "x.yaml", "--runs", runs], bench.folder)

    assert code == 2
    check_message(output, expected)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:44 / /home/my\\040team rw,nosuid - nfs4 server:/export rw,vers=4.2
41 40 0:45 / /home/my\\040team/scratch rw - tmpfs tmpfs rw
"""


def test_c11_a_run_on_a_file_system_that_machines_share_is_begun_with_a_warning(
    tmp_path: Path, bench: Bench, nursery: Nursery
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    kinds = {
        path: file_system_of(Path(path), mounts)
        for path in ("/home/my team/runs/x", "/home/my team/scratch/x", "/home/my", "/")
    }
    assert kinds == {
        "/home/my team/runs/x": "nfs4",
        "/home/my team/scratch/x": "tmpfs",
        "/home/my": "ext4",
        "/": "ext4",
    }
    mounts.write_text(f"{MOUNTS}50 22 0:46 / {bench.folder.resolve()} rw - 9p share rw\n")

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=partial(mounted_as, str(mounts)))

    assert code == 0
    words = "the run lies on 9p, which machines may share and where a lock may hold on one of them only"
    assert output.count(words) == 1
    assert words in bench.run.log.read_text()


def full_at(bench: Bench, operation: str, name: str, nth: int = 0, kind: Kind = Kind.NO_SPACE) -> FaultyDisk:
    """A disk that fails at the nth operation of a kind on a file, found by searching once."""
    watching = FaultyDisk(bench.folder)
    with watching.installed():
        bench.search()
    shutil.rmtree(bench.run.path.parent)
    bench.announced.unlink()
    places = [n for n, (what, path) in enumerate(watching.log) if what == operation and path.endswith(name)]
    return FaultyDisk(bench.folder, Fault(places[nth], kind))


def test_c02_a_disk_that_is_full_while_weights_are_written_is_no_failed_trial(bench: Bench, whole: Bench) -> None:
    disk = full_at(bench, "write", "trials/0002/weights.npz.part")

    with pytest.raises(StorageError), disk.installed():
        bench.search()

    records = read_journal(bench.run.journal).records
    assert [record["trial"] for record in records if record["type"] == "end"] == [0, 1]
    check_announced(bench.run, bench.announced)
    bench.search()
    assert results_of(bench.run) == results_of(whole.run)


def test_c03_a_log_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gone" / "hptune.log"
    with log_to(path):
        LOGGER.warning("first")
        LOGGER.warning("second")

    assert capfd.readouterr().err == (
        f"warning: {path}: [Errno 2] No such file or directory: '{path}'; the search goes on without its log\n"
    )
    assert logging.getLogger("hptune").handlers == []


@pytest.mark.parametrize("operation", ["write", "fsync"])
def test_c04_after_a_failed_sync_nothing_more_is_recorded(operation: str, bench: Bench, whole: Bench) -> None:
    disk = full_at(bench, operation, "journal.jsonl", 6, Kind.IO_ERROR)

    with pytest.raises(StorageError) as caught, disk.installed():
        bench.search()

    assert str(caught.value) == (
        f"{bench.run.journal}: input/output error; nothing announced is lost, "
        "make room or access and run the same command again"
    )
    assert disk.fault is not None
    assert [what for what in disk.log[disk.fault.at + 1 :] if what[1].endswith("journal.jsonl")] == []
    bench.search()
    assert results_of(bench.run) == results_of(whole.run)


needs_permissions = pytest.mark.skipif(
    os.geteuid() == 0 and sys.platform != "linux", reason="root cannot be bound by permissions on this system"
)


@needs_permissions
def test_c05_c06_a_read_only_run_is_reported_and_not_searched(bench: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    child.kill()
    child.wait()
    bench.run.path.chmod(0o555)
    bench.run.journal.chmod(0o444)

    with unchanged(bench.folder):
        searched, words = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=without_privileges)
        reported, output = nursery.hptune(["report", "x"], bench.folder, prepare=without_privileges)
    bench.run.path.chmod(0o755)

    assert searched == 7
    check_message(words, "error: runs/x/journal.jsonl: permission denied; nothing announced is lost, make room or acc")
    assert reported == 0
    assert "under way or killed" in output


def test_c07_a_run_that_is_moved_away_stops_its_search_and_is_not_begun_again_in_its_place(
    bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    child, output = begin(nursery, bench, ending=slowly)
    aside = bench.run.path.with_name("aside")
    bench.run.path.rename(aside)

    assert child.wait().code == 7
    check_message(output.read_text(), "runs/x")
    assert not bench.run.path.exists()
    aside.rename(bench.run.path)
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)


def test_c07_fresh_does_not_take_a_run_from_the_process_that_works_on_it(bench: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, ending=slowly)

    code, output = nursery.hptune(["search", "x.yaml", "--fresh"], bench.folder)

    assert code == 5
    check_message(output, f"error: run x is in use by process {child.pid} on ")
    assert child.wait().code == 0


@needs_permissions
def test_c08_weights_that_may_not_be_read_are_named_and_the_others_usable(
    bench: Bench, nursery: Nursery, tmp_path: Path
) -> None:
    bench.search()
    path = bench.run.trial(3) / "weights.npz"
    path.chmod(0)

    assert nursery.call(try_every_weights_file, str(bench.run.path), str(tmp_path / "said")).code == 0

    assert (tmp_path / "said").read_text() == (
        f"{path}: permission denied; nothing announced is lost, make room or access and run the same command again"
    )


def test_c09_few_file_descriptors_are_enough(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=partial(limit_descriptors, 64))

    assert code == 0, output
    assert results_of(bench.run) == results_of(whole.run)


def test_c12_the_folders_of_trials_differ_in_more_than_case(whole: Bench) -> None:
    names = [path.name for path in whole.run.path.rglob("*")]

    assert len({name.lower() for name in names}) == len(set(names))
    assert all(path.name.isdigit() for path in (whole.run.path / "trials").iterdir())


def test_c13_a_copy_of_a_run_goes_on_in_another_place(bench: Bench, whole: Bench, nursery: Nursery, ram: Path) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    child.kill()
    child.wait()
    bench.folder.rename(ram / "elsewhere")

    assert nursery.hptune(["search", "x.yaml"], ram / "elsewhere")[0] == 0

    there = RunFolder(ram / "elsewhere" / "runs" / "x")
    assert results_of(there) == results_of(whole.run)
    check_clean(there)


def test_c14_a_copy_made_while_the_search_runs_opens_as_an_earlier_state_and_goes_on(
    bench: Bench, whole: Bench, nursery: Nursery, ram: Path
) -> None:
    child, _ = nursery.start_hptune(["search", "x.yaml"], bench.folder, ending=slowly)
    wait_for(lambda: count(bench, "start") >= 1)
    copies = []
    for number in range(6):
        copies.append(ram / f"copy{number}")
        (copies[-1] / "runs").mkdir(parents=True)
        # The journal first: what it names is there already, and what comes later is garbage.
        shutil.copytree(bench.run.path, copies[-1] / "runs" / "x", copy_function=copy_if_there)
        time.sleep(0.2)
    assert child.wait().code == 0

    for folder in copies:
        copy = Bench(folder, whole.ground)
        seen = len(summarize(copy.run).leaderboard.trials)
        assert 0 <= seen <= 5
        copy.search()
        assert results_of(copy.run) == results_of(whole.run)


def copy_if_there(source: str, target: str) -> None:
    """Copy a file; one that a search renames meanwhile is left out."""
    try:
        shutil.copy(source, target)
    except FileNotFoundError:
        return


def test_i05_names_that_lead_elsewhere_touch_nothing(bench: Bench, nursery: Nursery, ram: Path) -> None:
    home = ram / "home"
    home.mkdir()
    (home / "letter").write_text("precious")
    (bench.folder / "runs").mkdir()
    (bench.folder / "runs" / "link").symlink_to(home)
    before = snapshot(home)

    for name in ("../../home", str(home), ".", "..", "link", "a/../../home"):
        for words in (["--run", name], ["--run", name, "--fresh"]):
            code, output = nursery.hptune(["search", "x.yaml", *words], bench.folder)
            assert code == 2
            check_message(output, "error: ")

    assert snapshot(home) == before
    assert sorted(path.name for path in (bench.folder / "runs").iterdir()) == ["link"]
