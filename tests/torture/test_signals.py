"""B. Signals and clocks: a search that is asked to stop keeps its state and says how it goes on."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from invariants import check_announced, check_clean, check_message, results_of
from misfortunes import (
    closed_terminal,
    for_ever,
    in_kiribati,
    interrupt_while_weights_are_written,
    nobody_reads,
    slowly,
    without_zone,
)
from nursery import Child, Nursery, wait_for
from stand_in import Bench

import hptune.run.journal
from hptune.run.journal import read_journal

pytestmark = pytest.mark.tensorflow


def count(bench: Bench, kind: str) -> int:
    if not bench.run.journal.exists():
        return 0
    return sum(record["type"] == kind for record in read_journal(bench.run.journal).records)


def begin(nursery: Nursery, bench: Bench, **options: object) -> tuple[Child, Path]:
    """Start a search and wait until a trial has ended."""
    child, output = nursery.start_hptune(["search", "x.yaml"], bench.folder, **options)
    wait_for(lambda: count(bench, "end") >= 1)
    return child, output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_b01_b03_b04_a_signal_stops_the_search_and_says_how_to_go_on(
    number: signal.Signals, code: int, bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    child, output = begin(nursery, bench, ending=slowly, slots=2)
    began = time.monotonic()
    child.kill(number)

    assert child.wait().code == code
    assert time.monotonic() - began < 10
    check_message(
        output.read_text(),
        f"error: stopped by {number.name}, everything finished is kept; go on with: hptune search x.yaml\n",
    )
    records = read_journal(bench.run.journal).records
    assert (records[-1]["type"], records[-1]["reason"]) == ("stop", "interrupted")
    assert "interrupted" in {record["outcome"] for record in records if record["type"] == "end"}
    check_announced(bench.run, bench.announced)
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)
    check_clean(bench.run)


def test_b02_b11_a_second_signal_ends_it_at_once_and_nothing_is_lost(
    bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    child, _ = begin(nursery, bench, ending=for_ever)
    wait_for(lambda: count(bench, "start") == 2)
    child.kill(signal.SIGINT)
    time.sleep(0.1)
    began = time.monotonic()
    child.kill(signal.SIGINT)

    assert child.wait().code == 130
    assert time.monotonic() - began < 5
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)
    check_clean(bench.run)


@pytest.mark.parametrize("words", [["search", "x.yaml", "--json"], ["search", "x.yaml"]])
def test_b05_a_search_whose_reader_is_gone_goes_on_to_its_end(
    words: list[str], bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    code, output = nursery.hptune(words, bench.folder, prepare=nobody_reads)

    assert code == 0
    assert "Traceback" not in output
    assert results_of(bench.run) == results_of(whole.run)


def test_b04_a_search_whose_terminal_is_closed_keeps_its_state(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, prepare=closed_terminal, ending=slowly)
    child.kill(signal.SIGHUP)

    assert child.wait().code == 129
    assert read_journal(bench.run.journal).records[-1]["reason"] == "interrupted"
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)


def test_b06_a_search_that_is_halted_keeps_its_run_and_goes_on(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    child.kill(signal.SIGSTOP)
    time.sleep(1)

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)
    child.kill(signal.SIGCONT)

    assert code == 5
    check_message(output, f"run x is in use by process {child.pid} on ")
    assert child.wait().code == 0
    assert results_of(bench.run) == results_of(whole.run)


class Jumping(datetime):
    """A wall clock that goes back a day or forward ten years whenever it is read."""

    reads = 0

    @classmethod
    def now(cls, zone: object = None) -> datetime:  # type: ignore[override]
        cls.reads += 1
        return datetime.now(UTC) + (timedelta(days=-1) if cls.reads % 2 else timedelta(days=3650))


def test_b07_a_wall_clock_that_jumps_changes_nothing(bench: Bench, whole: Bench) -> None:
    with mock.patch.object(hptune.run.journal, "datetime", Jumping):
        bench.search()

    records = read_journal(bench.run.journal).records
    times = [record["utc"] for record in records]
    active = [record["active"] for record in records if "active" in record]
    assert times != sorted(times)
    assert active == sorted(active)
    assert all(record["seconds"] >= 0 for record in records if record["type"] == "end")
    assert results_of(bench.run) == results_of(whole.run)


def test_b08_another_time_zone_changes_nothing_and_times_are_utc(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, prepare=in_kiribati, ending=slowly)
    child.kill()
    child.wait()

    assert nursery.hptune(["search", "x.yaml"], bench.folder, prepare=without_zone)[0] == 0
    times = [record["utc"] for record in read_journal(bench.run.journal).records]
    assert all(text.endswith("Z") for text in times)
    assert times == sorted(times)
    assert results_of(bench.run) == results_of(whole.run)


def test_b09_time_that_is_used_ends_the_search_with_success(bench: Bench, nursery: Nursery) -> None:
    code, output = nursery.hptune(["search", "x.yaml", "--max-time", "1s"], bench.folder, ending=slowly)

    assert code == 0
    assert "finished: time used; " in output
    assert 1 <= count(bench, "end") < 5


def test_b10_a_signal_while_weights_are_written_leaves_them_whole(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    code, _ = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=interrupt_while_weights_are_written)

    assert code == 130
    written = bench.run.trial(1) / "weights.npz"
    assert written.read_bytes() == (whole.run.trial(1) / "weights.npz").read_bytes()
    assert count(bench, "end") == 2
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)
