"""E. Many at once, and very much of everything."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from unittest import mock

import pytest
from command_line import begin as begin_hptune
from invariants import check_clean, check_message, results_of, snapshot
from killing import ending_of, workers_of
from misfortunes import slowly
from nursery import Nursery, wait_for
from stand_in import Bench, make_bench
from test_signals import begin, count

from hptune.errors import StorageError
from hptune.groundwork import lay_groundwork
from hptune.machine import memory_of
from hptune.objective import Objective
from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder
from hptune.run.journal import encode_journal, open_journal, read_journal
from hptune.run.log import log_to
from hptune.run.recorder import RunRecorder
from hptune.run.records import History, replay
from hptune.space import Choice, Float, SearchSpace
from hptune.strategies import Task, create_strategy
from hptune.trial import Outcome, Proposal, Trial

pytestmark = pytest.mark.tensorflow


def test_e01_a_second_search_is_told_host_process_and_since_when(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    holder = json.loads(bench.run.holder.read_text())

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 5
    assert output == (
        f"error: run x is in use by process {child.pid} on {os.uname().nodename} since {holder['since']}; "
        "wait for it, or start another run with --run NAME\n"
    )
    assert child.wait().code == 0
    assert results_of(bench.run) == results_of(whole.run)


@pytest.mark.parametrize("starts", [10, pytest.param(50, marks=pytest.mark.torture)])
def test_e02_of_many_starts_at_once_exactly_one_wins(starts: int, bench: Bench, whole: Bench, nursery: Nursery) -> None:
    children = [nursery.start_hptune(["search", "x.yaml"], bench.folder, ending=slowly)[0] for _ in range(starts)]

    codes = sorted(child.wait().code for child in children)

    # Who comes when the winner has ended finds a finished run.
    assert set(codes) <= {0, 5}
    records = read_journal(bench.run.journal).records
    assert [record["trial"] for record in records if record["type"] == "start"] == list(range(5))
    assert sum(record["type"] == "stop" for record in records) == 1
    assert codes.count(0) >= 1
    assert results_of(bench.run) == results_of(whole.run)


def test_e03_readers_see_a_consistent_prefix_while_the_search_writes(
    bench: Bench, whole: Bench, nursery: Nursery
) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    seen: list[int] = []
    final = {trial.number: trial.score for trial in summarize(whole.run).leaderboard.trials}
    deadline = time.monotonic() + 60

    while bench.run.holder.exists() and time.monotonic() < deadline:
        summary = summarize(bench.run)
        trials = summary.leaderboard.trials
        assert all(final[trial.number] == trial.score for trial in trials)
        seen.append(len(trials))
        time.sleep(0.01)

    assert child.wait().code == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert results_of(bench.run) == results_of(whole.run)


@pytest.mark.torture
def test_e03_readers_do_not_slow_the_search(ram: Path, nursery: Nursery) -> None:
    def seconds(number: int, *, is_watched: bool) -> float:
        bench = make_bench(ram / f"{number}{is_watched}")
        child, _ = begin(nursery, bench, ending=slowly)
        while bench.run.holder.exists():
            if is_watched:
                summarize(bench.run)
            time.sleep(0.01)
        assert child.wait().code == 0
        return replay(read_journal(bench.run.journal).records).active

    pairs = [(seconds(n, is_watched=False), seconds(n, is_watched=True)) for n in range(4)]

    # What else happens on the machine only ever adds.
    alone, watched = (min(times) for times in zip(*pairs, strict=True))
    assert watched < 1.05 * alone, pairs


def test_e04_where_locks_do_not_hold_the_second_writer_is_noticed_at_its_next_record(bench: Bench) -> None:
    bench.search()
    records = len(read_journal(bench.run.journal).records)

    with (
        mock.patch.object(fcntl, "flock", return_value=None),
        open_journal(bench.run.journal) as (first, _),
        open_journal(bench.run.journal) as (second, _),
    ):
        second.append("stop", reason="mine")
        with pytest.raises(StorageError) as caught:
            first.append("stop", reason="mine too")

    assert ": another process writes to it, or a record was left unfinished; nothing announced is lost" in str(
        caught.value
    )
    assert len(read_journal(bench.run.journal).records) == records + 1


@pytest.mark.torture
def test_e05_c09_ten_thousand_trials_in_one_run(bench: Bench, record_property: object) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc on this system to read the memory from")
    bench.search()
    shutil.rmtree(bench.run.path)
    config = bench.folder / "x.yaml"
    config.write_text(config.read_text().replace("max_trials: 5", "max_trials: 10000"))
    large = Bench(bench.folder, lay_groundwork(config))

    def memory_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    memory, files, began = memory_mib(), len(os.listdir("/proc/self/fd")), time.perf_counter()
    large.search()
    took = time.perf_counter() - began
    grown = memory_mib() - memory
    began = time.perf_counter()
    history = replay(read_journal(large.run.journal).records)
    reopened = time.perf_counter() - began

    print(f"{took / 10:.1f} ms a trial, {grown:.0f} MiB more, reopened in {reopened:.1f} s")
    assert len(history.ends) == 10_000
    assert took / 10_000 < 0.020
    assert grown < 100
    assert large.run.journal.stat().st_size < 20e6
    assert reopened < 10
    assert len(os.listdir("/proc/self/fd")) == files


TINY = """\
name: tiny
data: {source: table.csv, target: y}
objective: {metric: log_loss, direction: min}
strategy: {name: random, seed: 6}
budget: {max_trials: TRIALS}
output: {keep: 10}
model: {blocks: 1, units: [2, 3, 4], dropout: {min: 0.0, max: 0.5}}
training: {epochs: 1, batch_size: 32, learning_rate: {min: 1e-4, max: 1e-1, log: true}, early_stopping: null}
"""


@pytest.mark.torture
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system to read the memory from")
def test_e06_real_trials_by_the_thousand_let_no_process_grow(bench: Bench) -> None:
    trials = 10_000 if os.environ.get("HPTUNE_TORTURE") == "whole" else 1_000
    (bench.folder / "tiny.yaml").write_text(TINY.replace("TRIALS", str(trials)))
    run = RunFolder(bench.folder / "runs" / "tiny")
    child, _ = begin_hptune("search", "tiny.yaml", "--quiet", "--workers", "2", folder=bench.folder)
    sizes: list[tuple[int, int]] = []
    most_of_workers = 0
    is_over = ending_of(child)

    while not is_over():
        sizes.append((run.journal.stat().st_size if run.journal.exists() else 0, memory_of(child.pid) >> 20))
        most_of_workers = max([most_of_workers, *(memory_of(worker) >> 20 for worker in workers_of(run))])
        time.sleep(0.5)

    assert child.wait().code == 0
    history = run.read()
    assert len(history.ends) == trials
    assert {trial.outcome for trial in history.ends.values()} == {Outcome.COMPLETED}
    assert {trial.engine for trial in history.ends.values()} == {"population"}
    size = run.journal.stat().st_size
    early = max(memory for written, memory in sizes if written < size / 10)
    late = max(memory for _, memory in sizes)
    pace = history.active / trials * 1e3
    print(f"parent {early} to {late} MiB, workers up to {most_of_workers} MiB, {pace:.1f} ms a trial")
    assert late - early < 100
    # Beyond that a worker is replaced.
    assert most_of_workers < 4500


@pytest.mark.parametrize("slots", [3, 64])
def test_e07_many_trials_at_a_time_are_neither_lost_nor_doubled(slots: int, bench: Bench, whole: Bench) -> None:
    together = Bench(bench.folder, bench.ground, slots=slots)

    together.search()

    starts = [record["trial"] for record in read_journal(bench.run.journal).records if record["type"] == "start"]
    assert sorted(starts) == list(range(5))
    assert results_of(together.run) == results_of(whole.run)


def test_e08_a_choice_of_ten_thousand_values_and_hundreds_of_dimensions_are_read_in_time(
    bench: Bench, nursery: Nursery
) -> None:
    config = bench.folder / "x.yaml"
    values = ", ".join(str(number) for number in range(1, 10_001))
    text = config.read_text().replace("units: [16, 32, 64]", f"units: {{values: [{values}]}}")
    text = text.replace("dropout: {min: 0.0, max: 0.5}", "dropout: {min: 0.0, max: 0.5, per_block: true}")
    config.write_text(text.replace("blocks: {min: 1, max: 3}", "blocks: {min: 1, max: 64}"))
    began = time.monotonic()

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 0, output
    assert time.monotonic() - began < 20
    assert max(map(len, output.splitlines())) < 400
    assert len(replay(read_journal(bench.run.journal).records).header["dimensions"]) > 60
    for kind in ("terminal", "markdown", "html"):
        told, shown = nursery.hptune(["report", "x", "--format", kind, *to(bench, kind)], bench.folder)
        assert told == 0, shown


def to(bench: Bench, kind: str) -> list[str]:
    return [] if kind == "terminal" else ["--output", str(bench.folder / f"report.{kind}")]


@pytest.mark.torture
@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("random", {}),
        ("grid", {"points": 3}),
        ("bayesian", {"num_initial_points": 3, "alpha": 1e-4, "beta": 2.6, "batch": 2}),
    ],
)
def test_e08_a_thousand_dimensions_cost_time_in_proportion(strategy: str, options: dict[str, float]) -> None:
    def seconds(count: int) -> float:
        kinds = [Float(f"x{n}", 0.0, 1.0) if n % 2 else Choice(f"x{n}", (1, 2, 3)) for n in range(count)]
        space = SearchSpace(tuple(kinds))
        began = time.process_time()
        made = create_strategy(strategy, Task(space, Objective("accuracy", "max"), 1, (), options, ()))
        told = 0
        while told < 8:
            proposals = made.ask(2)
            assert isinstance(proposals, list)
            for proposal in proposals:
                assert space.contains(proposal.values)
                made.tell(Trial(proposal, Outcome.COMPLETED, score=told / 10))
                told += 1
        return time.process_time() - began

    seconds(10)
    few, many = seconds(250), seconds(1000)

    # Where it grew with the square, it would be 16 times.
    assert many < 10 * few
    assert many < 10


def test_e09_a_message_of_megabytes_is_cut_in_the_journal_and_whole_in_the_log(ram: Path) -> None:
    run = RunFolder(ram / "x")
    run.create()
    message = "a tensor was in the way; " * 400_000
    with log_to(run.log), open_journal(run.journal) as (journal, _):
        journal.append("header", format=2)
        keep = {"keep": 1, "weights_mb": 1, "predictions_mb": 1}
        objective = Objective("accuracy", "max")
        recorder = RunRecorder(run, journal, History(), objective, keep, lambda _: 1, lambda: 0.0)
        recorder.propose(Proposal(0, {}, 1))
        recorder.start(Proposal(0, {}, 1), 1, 0)
        recorder.end(Trial(Proposal(0, {}, 1), Outcome.CRASHED, message=message))

    (trial,) = replay(read_journal(run.journal).records).ends.values()
    assert trial.message == f"{message[:4000]}... and {len(message) - 4000} more characters, see the log"
    assert run.journal.stat().st_size < 10_000
    assert message in run.log.read_text()


def test_e11_two_hundred_searches_of_a_finished_run_change_no_byte(bench: Bench) -> None:
    bench.search()
    before = snapshot(bench.folder)

    for _ in range(200):
        bench.search()

    assert snapshot(bench.folder) == before
    check_clean(bench.run)


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        (64, "a line longer than any record; nothing before it is lost"),
        # A line of a gigabyte, and a million trials, are no smaller.
        (300, "expected at most 268435456 bytes, got 3145"),
    ],
)
def test_i07_a_line_without_end_is_refused_within_bounds(
    megabytes: int, expected: str, bench: Bench, nursery: Nursery
) -> None:
    bench.search()
    idle = nursery.call(time.sleep, 0).peak_mib
    with bench.run.journal.open("ab") as stream:
        for _ in range(megabytes):
            stream.write(b"x" * (1 << 20))
        stream.write(b"\n")

    child, output = nursery.start_hptune(["report", "x"], bench.folder)
    ending = child.wait()

    assert ending.code == 6
    check_message(output.read_text(), expected)
    assert ending.peak_mib - idle < 200


def test_i07_no_search_writes_a_journal_that_nobody_reads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hptune.run.journal._LARGEST_BYTES", 5000)

    with pytest.raises(StorageError) as caught:
        bench.search()

    assert "a run holds at most 5000 bytes of records, and these are used; nothing is lost" in str(caught.value)
    assert 4000 < bench.run.journal.stat().st_size <= 5000
    assert summarize(bench.run).leaderboard.trials


def test_i07_a_record_nested_for_ever_is_damage(bench: Bench) -> None:
    bench.search()
    header = dict(read_journal(bench.run.journal).records[0])
    text = encode_journal([header, {"type": "end", "trial": 0, "deep": 1}]).decode()
    body = text.splitlines()[1].replace('"deep":1', '"deep":' + "[" * 100_000 + "]" * 100_000)
    import zlib

    body = body[: body.rindex(',"crc"')]
    line = f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'
    bench.run.journal.write_text(text.splitlines()[0] + "\n" + line)

    from hptune.errors import RunDamagedError

    with pytest.raises(RunDamagedError, match="line 2, byte "):
        summarize(bench.run)


def test_the_search_of_a_bench_is_the_one_of_the_command_line(bench: Bench, whole: Bench, nursery: Nursery) -> None:
    child, _ = nursery.start_hptune(["search", "x.yaml"], bench.folder)
    wait_for(lambda: count(bench, "stop") == 1)

    assert child.wait().code == 0
    assert results_of(bench.run) == results_of(whole.run)
