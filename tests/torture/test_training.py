"""H. Trials that fail: which failures are the configuration's, which are ours, and what the user is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, HPTUNE, hptune
from invariants import check_clean, check_message, results_of
from misfortunes import diverge, other_versions, slowly, stumble, three_fail_in_a_row
from nursery import Nursery, wait_for
from stand_in import Bench, make_bench
from test_signals import begin

from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder
from hptune.run.journal import read_journal

pytestmark = pytest.mark.tensorflow


def test_h04_a_search_in_which_every_trial_fails_ends_with_four_and_the_causes(bench: Bench, nursery: Nursery) -> None:
    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, ending=diverge)

    assert code == 4
    check_message(output)
    assert output.endswith("error: no trial completed; 5 failed:\n  3 infeasible: as told\n  2 diverged: as told\n")
    # Nothing is left to try: the causes are told again, and no trial is.
    again, words = nursery.hptune(["search", "x.yaml"], bench.folder, ending=diverge)
    assert (again, words) == (4, output[output.index("error: ") :])
    check_clean_but_for_best(bench)


def check_clean_but_for_best(bench: Bench) -> None:
    assert not (bench.run.path / "best").exists()
    assert not bench.run.holder.exists()


def test_h05_three_failures_in_a_row_end_nothing(bench: Bench, nursery: Nursery) -> None:
    code, _ = nursery.hptune(["search", "x.yaml"], bench.folder, ending=three_fail_in_a_row)

    assert code == 0
    assert summarize(bench.run).outcomes == {"diverged": 3, "completed": 2}
    check_clean(bench.run)


def test_h06_a_fault_of_ours_stops_the_search_with_one_and_is_no_failed_trial(bench: Bench, nursery: Nursery) -> None:
    whole = make_bench(bench.folder.parent / "whole")
    whole.search()

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, ending=stumble)

    assert code == 1
    check_message(
        output,
        "error: a fault of hptune, not of the experiment: KeyError: 'a fault of ours'; the details are in "
        "runs/x/hptune.log, please report them\n",
    )
    ends = [record["trial"] for record in read_journal(bench.run.journal).records if record["type"] == "end"]
    assert ends == [0, 1]
    assert "Traceback" in bench.run.log.read_text()
    assert nursery.hptune(["search", "x.yaml"], bench.folder)[0] == 0
    assert results_of(bench.run) == results_of(whole.run)


def test_h09_a_space_smaller_than_the_budget_ends_with_success(bench: Bench, nursery: Nursery) -> None:
    config = bench.folder / "x.yaml"
    text = re.sub(r"model: .*", "model: {units: [16, 32]}", config.read_text())
    config.write_text(re.sub(r", learning_rate: {[^}]*}", "", text))

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 0
    assert "finished: space exhausted: all 2 configurations were tried; 2 of 2 trials completed" in output


def test_h12_going_on_with_other_versions_or_on_another_processor_is_told_and_logged(
    bench: Bench, nursery: Nursery
) -> None:
    child, _ = begin(nursery, bench, ending=slowly)
    child.kill()
    child.wait()

    code, output = nursery.hptune(["search", "x.yaml"], bench.folder, prepare=other_versions)

    assert code == 0
    told = re.search("the run began on other ground, so its results may differ .*", output)
    assert told is not None
    assert 'numpy: was "' in told[0]
    assert ', now "9.9.9"; processor: was "' in told[0]
    assert told[0].endswith(', now "another processor"')
    assert told[0] in bench.run.log.read_text()


def test_h07_g05_validation_rows_that_cannot_give_every_metric_are_refused_before_training(
    tmp_path: Path,
) -> None:
    rows = [f"{n},{'ab'[n % 2]},train\n{n},a,validation\n{n},{'ab'[n % 2]},test\n" for n in range(20)]
    (tmp_path / "table.csv").write_text("x,y,part\n" + "".join(rows))
    (tmp_path / "x.yaml").write_text(
        "name: x\ndata: {source: table.csv, target: y, split: {column: part}}\n"
        "objective: {metric: roc_auc, direction: max}\nstrategy: {name: random}\nbudget: {max_trials: 3}\n"
        "training: {epochs: 2}\n"
    )

    done = hptune("search", "x.yaml", folder=tmp_path, code=2)

    check_message(
        done.stderr,
        'error: data.split: expected every class among the validation rows, got none of "b"; leave rows of so rare a '
        "class out, give each part a file of its own, or change data.split.seed\n",
    )


TOO_LARGE = """\
name: large
data: {source: table.csv, target: y}
objective: {metric: accuracy, direction: max}
strategy: {name: grid}
budget: {max_trials: 2}
model: {blocks: 3, units: [65536, 16]}
training: {epochs: 2}
"""


def search_short_of_memory(bench: Bench, units: int, limit: str) -> RunFolder:
    """Search a network of so many units and a small one, in a shell whose memory a command has limited."""
    (bench.folder / "large.yaml").write_text(TOO_LARGE.replace("65536", str(units)))
    done = subprocess.run(
        ["bash", "-c", f"{limit}; exec {HPTUNE} search large.yaml --workers 1"],
        cwd=bench.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return RunFolder(bench.folder / "runs" / "large")


def message_of_the_one_without_memory(run: RunFolder, units: int) -> str:
    trials = summarize(run).leaderboard.trials
    outcomes = {trial.proposal.values["model.units"]: trial.outcome.value for trial in trials}
    assert outcomes == {units: "out_of_memory", 16: "completed"}
    (told,) = (trial.message for trial in trials if trial.outcome.value == "out_of_memory")
    return told


@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space of a process")
def test_a14_a_trial_that_finds_no_memory_is_out_of_memory_and_the_next_one_runs(bench: Bench) -> None:
    run = search_short_of_memory(bench, 65536, "ulimit -v 12000000")

    told = message_of_the_one_without_memory(run, 65536)
    assert re.fullmatch(r"network and mini-batch do not fit into memory; the worker had up to \d\.\d GiB", told)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A group of processes that together may have two gigabytes; the file that takes the numbers of its processes."""
    group = Path("/sys/fs/cgroup/memory") / f"hptune-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(2 << 30))
    except OSError as error:
        pytest.skip(f"no group of processes with a limit of its own: {error}; it takes cgroups and the rights of root")
    yield group / "cgroup.procs"
    # The last of them may still be dying.
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@pytest.mark.torture
def test_a14_a_worker_that_the_system_kills_for_its_memory_is_out_of_memory_and_the_next_trial_runs(
    bench: Bench, small_memory: Path
) -> None:
    # Small enough that the system promises the memory, and too large for it to keep the promise.
    run = search_short_of_memory(bench, 12000, f"echo $$ > {small_memory}")

    told = message_of_the_one_without_memory(run, 12000)
    assert re.fullmatch(
        r"the worker ended: the system ran out of memory and killed it; the worker had up to \d\.\d GiB.*", told
    )
    starts = [record["trial"] for record in read_journal(run.journal).records if record["type"] == "start"]
    assert sorted(starts) == [0, 0, 1]


@pytest.mark.torture
def test_h08_a_gpu_that_is_not_there_is_not_needed() -> None:
    pytest.skip("hptune has no setting that demands a GPU, and this machine has none to take away")
