"""A. Processes die, at any instant and at every operation on the disk: what was announced stays, results are equal."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from faults import KILLS, DeadError, Fault, FaultyDisk, Kind
from invariants import announced_trials, check_announced, check_clean, read_everything, results_of, snapshot
from misfortunes import crash_the_first, search, search_with_one_kill
from nursery import Nursery, wait_for
from stand_in import Bench, make_bench, write_experiment

from hptune.errors import StorageError
from hptune.run.journal import read_journal
from hptune.run.records import replay
from hptune.trial import Outcome

pytestmark = pytest.mark.tensorflow

# Every operation, under every strategy, with every kind of fault: five hours on two cores.
IS_WHOLE = os.environ.get("HPTUNE_TORTURE") == "whole"


class Undisturbed:
    """A search that nobody has disturbed, with every operation that it did on the disk."""

    def __init__(self, folder: Path, strategy: str) -> None:
        self.bench = make_bench(folder, strategy)
        disk = FaultyDisk(folder)
        with disk.installed():
            self.bench.search()
        self.operations = disk.log
        self.results = results_of(self.bench.run)

    def again(self, folder: Path) -> Bench:
        """The same experiment in a folder of its own."""
        folder.mkdir()
        return Bench(folder, self.bench.ground)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Undisturbed]:
    made: dict[str, Undisturbed] = {}

    def get(strategy: str) -> Undisturbed:
        if strategy not in made:
            made[strategy] = Undisturbed(tmp_path_factory.mktemp("undisturbed") / strategy, strategy)
        return made[strategy]

    return get


class Tally:
    """Counts what a test has tried, for the summary."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record
        self.faults = self.equal = self.kept = 0

    def write(self) -> None:
        self._record("faults tried", self.faults)
        self._record("results equal", self.equal)
        self._record("announced trials kept", self.kept)
        # A test that loses one, or damages a file, has failed before it comes here.
        self._record("announced trials lost", 0)
        self._record("files damaged outside", 0)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    made = Tally(record_property)
    yield made
    made.write()


@contextmanager
def outside_unchanged(folder: Path) -> Iterator[None]:
    """I4, with a letter to guard."""
    (folder / "letter").write_text("precious")
    before = snapshot(folder, folder / "runs")
    yield
    assert snapshot(folder, folder / "runs") == before


def suffer(bench: Bench, fault: Fault, *, loses_power: bool = False) -> None:
    """Search on a disk that fails once."""
    disk = FaultyDisk(bench.folder, fault, loses_power=loses_power)
    expected = DeadError if fault.kind in KILLS else StorageError
    # A fault behind the last operation, or one that only delays, is none.
    with suppress(expected), disk.installed():
        bench.search()


def recover(bench: Bench, whole: Undisturbed, tally: Tally) -> None:
    """Look, go on, and compare."""
    tally.kept += check_announced(bench.run, bench.announced)
    bench.search()
    check_announced(bench.run, bench.announced)
    check_clean(bench.run)
    assert results_of(bench.run) == whole.results
    tally.equal += 1


def enumerate_faults(
    whole: Undisturbed, folder: Path, tally: Tally, kind: Kind, points: Sequence[int], *, loses_power: bool = False
) -> None:
    for point in points:
        bench = whole.again(folder / f"{point}")
        with outside_unchanged(bench.folder):
            suffer(bench, Fault(point, kind), loses_power=loses_power)
            tally.faults += 1
            recover(bench, whole, tally)
        shutil.rmtree(bench.folder)
        bench.announced.unlink(missing_ok=True)


def distinct_points(whole: Undisturbed, kind: Kind) -> Sequence[int]:
    """Number the operations at which a fault leaves a state of its own.

    After an operation is before the next one, only a write can be torn or short, and one refusal is like another:
    those are sampled here, and tried everywhere by `make torture`.
    """
    numbers = range(len(whole.operations))
    match kind:
        case Kind.TORN:
            return [number for number in numbers if whole.operations[number][0] == "write"]
        case Kind.KILL_AFTER | Kind.SHORT:
            return numbers[::9]
        case Kind.IO_ERROR | Kind.NO_SPACE:
            return numbers[kind is Kind.IO_ERROR :: 4]
        case _:
            return numbers


def one_of_each_sort(whole: Undisturbed, kind: Kind, chance: random.Random) -> Sequence[int]:
    """Draw one of the operations that are the same but for numbers, as those that repeat with every trial.

    The kinds of faults share the sorts; with `HPTUNE_TORTURE=whole` all operations suffer all kinds.
    """
    if IS_WHOLE:
        return range(len(whole.operations))
    sorts: dict[tuple[str, str], list[int]] = {}
    for number, (operation, path) in enumerate(whole.operations):
        sorts.setdefault((operation, re.sub(r"\d+", "#", path)), []).append(number)
    drawn = [chance.choice(numbers) for numbers in sorts.values()]
    return drawn[list(Kind).index(kind) :: len(Kind)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.long
def test_a06_every_operation_on_the_disk_fails_once(
    kind: Kind, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed("random")

    enumerate_faults(whole, ram, tally, kind, distinct_points(whole, kind))

    assert tally.equal == tally.faults > 20


@pytest.mark.torture
@pytest.mark.parametrize("kind", [Kind.IO_ERROR, Kind.NO_SPACE])
def test_a06_every_operation_on_the_disk_is_refused_once(
    kind: Kind, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed("random")

    enumerate_faults(whole, ram, tally, kind, range(len(whole.operations)))

    assert tally.equal == tally.faults > 20


@pytest.mark.torture
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("strategy", ["grid", "bayesian", "hyperband", "folds"])
def test_a06_every_sort_of_operation_fails_once_under_every_strategy(
    strategy: str, kind: Kind, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed(strategy)

    enumerate_faults(whole, ram, tally, kind, one_of_each_sort(whole, kind, random.Random(6)))

    assert tally.equal == tally.faults > 15


@pytest.mark.parametrize("strategy", ["grid", "bayesian", "hyperband", "folds"])
@pytest.mark.long
def test_a06_some_operations_fail_under_every_strategy(
    strategy: str, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed(strategy)
    step = len(whole.operations) // 5

    for number, kind in enumerate(Kind):
        enumerate_faults(whole, ram, tally, kind, range(number * 7, len(whole.operations), step))

    assert tally.equal == tally.faults > 20


def double_faults(
    whole: Undisturbed, folder: Path, tally: Tally, firsts: range, chance: random.Random, seconds: int
) -> None:
    """Let an operation fail, and another one during each attempt to go on."""
    for first in firsts:
        for _ in range(seconds):
            bench = whole.again(folder / "case")
            with outside_unchanged(bench.folder):
                suffer(bench, Fault(first, chance.choice(list(Kind))))
                suffer(bench, Fault(chance.randrange(len(whole.operations)), chance.choice(list(Kind))))
                tally.faults += 2
                recover(bench, whole, tally)
            shutil.rmtree(bench.folder)
            bench.announced.unlink(missing_ok=True)


@pytest.mark.long
def test_a07_a_second_fault_during_recovery(undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally) -> None:
    whole = undisturbed("random")

    double_faults(whole, ram, tally, range(0, len(whole.operations), 5), random.Random(7), 1)

    assert tally.equal > 40


@pytest.mark.torture
@pytest.mark.parametrize("strategy", ["random", "grid", "bayesian", "hyperband"])
def test_a07_many_second_faults_during_recovery(
    strategy: str, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed(strategy)

    count = len(whole.operations)

    double_faults(whole, ram, tally, range(0, count, 3 if IS_WHOLE else count // 40), random.Random(8), 1)

    assert tally.equal >= 40


@pytest.mark.parametrize("kind", KILLS)
@pytest.mark.long
def test_a19_a_power_failure_takes_only_what_was_not_announced(
    kind: Kind, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed("random")

    step = 3 if kind is Kind.KILL_BEFORE else 11

    enumerate_faults(whole, ram, tally, kind, range(0, len(whole.operations), step), loses_power=True)

    assert tally.equal == tally.faults > 10


@pytest.mark.torture
@pytest.mark.parametrize("strategy", ["random", "grid", "bayesian", "hyperband"])
@pytest.mark.parametrize("kind", KILLS)
def test_a19_a_power_failure_at_every_sort_of_operation(
    strategy: str, kind: Kind, undisturbed: Callable[[str], Undisturbed], ram: Path, tally: Tally
) -> None:
    whole = undisturbed(strategy)

    enumerate_faults(whole, ram, tally, kind, one_of_each_sort(whole, kind, random.Random(19)), loses_power=True)

    assert tally.equal == tally.faults > 15


def test_a06_a_true_sigkill_leaves_what_a_simulated_one_leaves(
    undisturbed: Callable[[str], Undisturbed], nursery: Nursery, ram: Path, tally: Tally
) -> None:
    whole = undisturbed("random")

    for number, point in enumerate(range(3, len(whole.operations), 17)):
        kind = KILLS[number % len(KILLS)]
        true, simulated = whole.again(ram / f"true{point}"), whole.again(ram / f"simulated{point}")
        # The table and the experiment are written before the disk is watched.
        ending = nursery.call(search_with_one_kill, str(true.folder), "random", point, kind)
        suffer(simulated, Fault(point, kind))

        assert ending.code == -signal.SIGKILL
        assert shape(true.run.path) == shape(simulated.run.path), whole.operations[point]
        tally.faults += 1
        recover(true, whole, tally)


def shape(folder: Path) -> dict[str, int]:
    """Names and sizes below a folder; contents differ by clocks and process numbers."""
    varying = ("environment.json", "holder.json", "journal.jsonl", "timings.csv")
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): 0 if path.name.startswith(varying) else path.stat().st_size for path in files
    }


def kill_at_random(
    nursery: Nursery, whole: Undisturbed, folder: Path, strategy: str, tally: Tally, kills: int, chance: random.Random
) -> None:
    """Kill a search so many times at random instants, then let it end."""
    folder.mkdir()
    bench = Bench(folder, whole.bench.ground)
    for _ in range(kills):
        child = nursery.start(search, str(folder), strategy)
        time.sleep(chance.uniform(0, 0.25))
        child.kill()
        child.wait()
        tally.faults += 1
        if bench.run.exists():
            tally.kept += check_announced(bench.run, bench.announced)
    assert nursery.call(search, str(folder), strategy).code == 0
    check_announced(bench.run, bench.announced)
    check_clean(bench.run)
    read_everything(bench.run)
    assert results_of(bench.run) == whole.results
    tally.equal += 1


@pytest.mark.long
def test_a01_random_search_killed_at_random_instants_ends_as_the_undisturbed_one(
    undisturbed: Callable[[str], Undisturbed], nursery: Nursery, ram: Path, tally: Tally
) -> None:
    whole, chance = undisturbed("random"), random.Random(1)

    for number in range(25):
        kill_at_random(nursery, whole, ram / f"{number}", "random", tally, 2, chance)

    assert tally.faults == 50
    assert tally.equal == 25


@pytest.mark.parametrize("strategy", ["random", "grid", "hyperband", "bayesian"])
def test_a05_one_to_four_kills_also_in_recovery_change_nothing(
    strategy: str, undisturbed: Callable[[str], Undisturbed], nursery: Nursery, ram: Path, tally: Tally
) -> None:
    whole, chance = undisturbed(strategy), random.Random(5)

    for kills in (1, 2, 3, 4):
        kill_at_random(nursery, whole, ram / f"{kills}", strategy, tally, kills, chance)

    assert tally.equal == 4


@pytest.mark.torture
@pytest.mark.parametrize("strategy", ["random", "grid", "hyperband", "bayesian"])
def test_a01_a02_a03_a04_two_hundred_kills_under_every_strategy(
    strategy: str, undisturbed: Callable[[str], Undisturbed], nursery: Nursery, ram: Path, tally: Tally
) -> None:
    whole, chance = undisturbed(strategy), random.Random(2)

    for number in range(100):
        kill_at_random(nursery, whole, ram / f"{number}", strategy, tally, 2, chance)

    assert tally.faults == 200
    history = replay(read_journal(whole.bench.run.journal).records)
    values = [json.dumps(dict(proposal.values)) for proposal in history.proposals.values()]
    assert len(values) == len(set(values))


def test_a08_a_run_killed_before_its_first_record_begins_anew_and_says_so(
    undisturbed: Callable[[str], Undisturbed], nursery: Nursery, ram: Path
) -> None:
    whole = undisturbed("random")
    bench = whole.again(ram / "case")
    write_experiment(bench.folder)
    suffer(bench, Fault(first(whole, "write", "journal.jsonl"), Kind.TORN))

    code, output = nursery.hptune(["report", "x"], bench.folder)
    assert (code, output.count("error: ")) == (2, 1)
    assert "the run was stopped before anything was recorded; run the search again" in output
    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 0
    assert "an earlier session ended before it had recorded anything; the run begins anew" in output
    assert results_of(bench.run) == whole.results


def first(whole: Undisturbed, operation: str, file: str, since: int = 0) -> int:
    """Number of the first operation of a kind on a file."""
    found = (n for n, (name, path) in enumerate(whole.operations) if name == operation and path.endswith(file))
    return next(number for number in found if number >= since)


def test_a09_a_trial_on_record_but_not_yet_shown_is_kept_and_not_trained_again(
    undisturbed: Callable[[str], Undisturbed], ram: Path
) -> None:
    whole = undisturbed("random")
    bench = whole.again(ram / "case")
    curve = first(whole, "rename", "trials/0000/curve.json")
    suffer(bench, Fault(first(whole, "fsync", "journal.jsonl", curve), Kind.KILL_AFTER))
    assert announced_trials(bench.announced) == []
    assert [trial.number for trial in read_everything(bench.run).leaderboard.trials] == [0]

    bench.search()

    records = read_journal(bench.run.journal).records
    assert [record["attempt"] for record in records if record["type"] == "start" and record["trial"] == 0] == [1]
    assert results_of(bench.run) == whole.results


def test_a10_a_trial_whose_end_was_not_recorded_is_trained_again_and_its_files_are_collected(
    undisturbed: Callable[[str], Undisturbed], ram: Path
) -> None:
    whole = undisturbed("random")
    bench = whole.again(ram / "case")
    suffer(bench, Fault(first(whole, "rename", "trials/0001/weights.npz"), Kind.KILL_AFTER))
    orphan = bench.run.trial(1) / "weights.npz"
    orphan.write_text("of the dead attempt")

    bench.search()

    records = read_journal(bench.run.journal).records
    assert [record["attempt"] for record in records if record["type"] == "start" and record["trial"] == 1] == [1, 2]
    assert orphan.read_text() != "of the dead attempt"
    assert results_of(bench.run) == whole.results


def test_a11_a_trial_proposed_and_not_begun_is_trained_once_with_the_same_values(
    undisturbed: Callable[[str], Undisturbed], ram: Path
) -> None:
    whole = undisturbed("random")
    bench = whole.again(ram / "case")
    suffer(bench, Fault(first(whole, "mkdir", "trials/0002"), Kind.KILL_BEFORE))
    proposed = replay(read_journal(bench.run.journal).records).proposals[2]

    bench.search()

    records = read_journal(bench.run.journal).records
    assert replay(records).proposals[2] == proposed
    assert sum(record["type"] == "propose" and record["trial"] == 2 for record in records) == 1
    assert sum(record["type"] == "start" and record["trial"] == 2 for record in records) == 1


@pytest.mark.parametrize("name", ["leaderboard.csv", "leaderboard.json", "history.csv", "timings.csv", "metrics.json"])
def test_a12_a_table_is_there_whole_or_not_at_all(
    name: str, undisturbed: Callable[[str], Undisturbed], ram: Path
) -> None:
    whole = undisturbed("random")
    began = first(whole, "create", f"{name}.part")

    for point in range(began, began + 5):
        for kind in KILLS:
            bench = whole.again(ram / f"{point}{kind}")
            suffer(bench, Fault(point, kind))
            (made,) = [*bench.run.path.rglob(name), None][:1]
            (meant,) = whole.bench.run.path.rglob(name)
            assert made is None or made.stat().st_size == meant.stat().st_size


def test_a13_a_trial_that_kills_its_worker_is_given_up_after_its_attempts_and_the_search_goes_on(ram: Path) -> None:
    bench = make_bench(ram / "case", ending=crash_the_first)

    bench.search()

    ends = [record for record in read_journal(bench.run.journal).records if record["type"] in ("start", "end")]
    of_first = [(record["type"], record["attempt"]) for record in ends if record["trial"] == 0]
    # An attempt is on record before it begins.
    assert of_first == [("start", 1), ("end", 1), ("start", 2), ("end", 2)]
    outcomes = {trial.number: trial.outcome for trial in read_everything(bench.run).leaderboard.trials}
    assert outcomes == {0: Outcome.CRASHED} | dict.fromkeys(range(1, 5), Outcome.COMPLETED)


def test_a20_a_process_that_has_inherited_the_number_of_a_dead_writer_holds_nothing(
    undisturbed: Callable[[str], Undisturbed], ram: Path
) -> None:
    whole = undisturbed("random")
    bench = whole.again(ram / "case")
    suffer(bench, Fault(first(whole, "mkdir", "trials/0003"), Kind.KILL_BEFORE))
    holder: dict[str, Any] = json.loads(bench.run.holder.read_text())
    # As after a reboot: the process that now has this number is another program, and it lives.
    bench.run.holder.write_text(json.dumps(holder | {"pid": os.getpid()}))

    bench.search()

    check_clean(bench.run)
    assert results_of(bench.run) == whole.results


def test_the_nursery_says_how_its_children_end(nursery: Nursery) -> None:
    child = nursery.start(time.sleep, LONG_S)
    child.kill(signal.SIGTERM)

    assert child.wait().code == -signal.SIGTERM
    assert nursery.call(os._exit, 7).code == 7
    assert 10 < nursery.call(time.sleep, 0).peak_mib < 4000
    wait_for(lambda: True)


LONG_S = 60
