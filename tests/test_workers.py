"""Workers that die, hang on, or fail: nothing is taken along, and nobody is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_ins import (
    count_epochs,
    double,
    hang,
    hang_at_two,
    misbehave,
    refuse,
    serve,
    serve_two_at_most,
    serve_where_three_are_killed,
    shout,
    square,
    stumble,
    wait_long,
)

from hptune.errors import DataError, InternalError, MemoryShortError
from hptune.interruption import Interruption
from hptune.machine import memory_of
from hptune.training.dispatching import Orders, WorkerTrainer, Workplace
from hptune.training.queueing import Kind
from hptune.training.workers import WarmProcesses
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Silence, Slots

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def processes() -> Iterator[WarmProcesses]:
    with WarmProcesses(Interruption()) as warm:
        yield warm


class Bell(Silence):
    """Rings at each epoch, and remembers how full the workers were."""

    def __init__(self, ring: Callable[[], None] = lambda: None) -> None:
        self._ring = ring
        self.seen: list[Slots] = []

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        self._ring()

    def filled(self, slots: Slots) -> None:
        self.seen.append(slots)


def train(
    processes: WarmProcesses,
    function: Any,
    count: int,
    tmp_path: Path,
    workers: int = 2,
    orders: Orders = Orders(lambda: False),  # noqa: B008 - it is frozen
    **kind: Any,
) -> list[Trial]:
    workplace = make_workplace(function, tmp_path, **kind)
    proposals = (Proposal(number, {}, 1) for number in range(count))
    with WorkerTrainer(processes, workers, workplace, Silence(), orders) as trainer:
        return sorted(trainer.train(proposals, lambda *_: True), key=lambda trial: trial.number)


def make_workplace(function: Any, folder: Path, serve: Any = serve, **kind: Any) -> Workplace:
    return Workplace(
        kind_of=lambda proposal: Kind(**kind),
        job_of=lambda proposal: (function, proposal.trial),
        serve=serve,
        output=folder,
        lookahead=8,
    )


def test_results_come_from_other_processes(processes: WarmProcesses, tmp_path: Path) -> None:
    trials = train(processes, square, 6, tmp_path)

    assert [trial.score for trial in trials] == [0, 1, 4, 9, 16, 25]
    assert {trial.worker for trial in trials} == {0, 1}
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_takes_nothing_with_it(processes: WarmProcesses, tmp_path: Path) -> None:
    trials = train(processes, misbehave, 4, tmp_path)

    assert [trial.outcome.value for trial in trials] == ["crashed", "crashed", "completed", "completed"]
    assert trials[0].message == "the worker ended: killed by SIGSEGV; it last printed: about to fall"
    assert trials[1].message == "the worker ended: exit code 0 without a result"


def test_what_a_worker_prints_is_told_in_part_and_fills_no_memory(processes: WarmProcesses, tmp_path: Path) -> None:
    before = memory_mib()

    trials = train(processes, shout, 2, tmp_path)

    assert [trial.outcome.value for trial in trials] == ["crashed", "infeasible"]
    # The last of a hundred megabytes, and the first of ten.
    assert trials[0].message.startswith("the worker ended: exit code 3 without a result; it last printed: xxx")
    assert trials[0].message.endswith("xxx and that was all")
    assert len(trials[0].message) < 3000
    assert len(trials[1].message) == 10 << 20
    assert memory_mib() - before < 60
    assert list(tmp_path.iterdir()) == []


def test_where_memory_is_short_no_fault_of_ours_is_told(processes: WarmProcesses, tmp_path: Path) -> None:
    with pytest.raises(MemoryShortError, match="there is not enough memory to go on\nfree some"):
        processes.call(bytearray, 1 << 60, output=tmp_path / "output")


def test_a_fault_of_ours_is_no_failed_trial(processes: WarmProcesses, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="a fault of ours"):
        train(processes, stumble, 1, tmp_path)


def test_an_attempt_is_on_record_before_it_begins(processes: WarmProcesses, tmp_path: Path) -> None:
    log: list[str] = []

    def job_of(proposal: Proposal) -> tuple[Any, int]:
        log.append("job")
        return square, 1

    def start(proposal: Proposal, worker: int) -> bool:
        log.append("start")
        return True

    workplace = Workplace(lambda _: Kind(), job_of, serve, tmp_path, 1)
    with WorkerTrainer(processes, 1, workplace, Bell(lambda: log.append("epoch")), Orders(lambda: False)) as trainer:
        for _ in trainer.train([Proposal(0, {}, 1)], start):
            log.append("end")

    assert log == ["start", "job", "epoch", "end"]


def test_what_is_not_wanted_any_more_does_not_begin(processes: WarmProcesses, tmp_path: Path) -> None:
    workplace = make_workplace(square, tmp_path, capacity=3)
    with WorkerTrainer(processes, 2, workplace, Silence(), Orders(lambda: False)) as trainer:
        trials = trainer.train((Proposal(n, {}, 1) for n in range(9)), lambda proposal, _: proposal.trial < 4)
        numbers = sorted(trial.number for trial in trials)

    assert numbers == [0, 1, 2, 3]


def test_a_request_to_stop_ends_what_is_under_way(processes: WarmProcesses, tmp_path: Path) -> None:
    stopping: list[bool] = []
    workplace = make_workplace(wait_long, tmp_path)
    orders = Orders(lambda: bool(stopping))
    began = time.monotonic()

    with WorkerTrainer(processes, 2, workplace, Bell(lambda: stopping.append(True)), orders) as trainer:
        trials = list(trainer.train((Proposal(n, {}, 1) for n in range(9)), lambda *_: True))

    assert {trial.outcome for trial in trials} == {Outcome.INTERRUPTED}
    assert len(trials) == 2
    assert time.monotonic() - began < 20


def test_proposals_of_one_structure_share_a_worker(processes: WarmProcesses, tmp_path: Path) -> None:
    workplace = Workplace(
        kind_of=lambda proposal: Kind(structure=str(proposal.trial % 2), capacity=10),
        job_of=lambda proposal: (square, proposal.trial),
        serve=serve,
        output=tmp_path,
        lookahead=100,
    )
    bell = Bell()
    with WorkerTrainer(processes, 2, workplace, bell, Orders(lambda: False)) as trainer:
        trials = list(trainer.train((Proposal(n, {}, 1) for n in range(20)), lambda *_: True))

    # The first worker leaves its idle neighbour half of a structure, which then chooses the other one.
    assert (bell.seen[0], bell.seen[-1]) == (Slots(15, 20, 2), Slots(0, 0, 0))
    workers = {(trial.number % 2, trial.worker) for trial in trials}
    assert len(trials) == 20
    assert len(workers) == 2


def test_a_trial_that_kills_its_worker_is_found_among_its_neighbours(processes: WarmProcesses, tmp_path: Path) -> None:
    trials = train(processes, misbehave, 8, tmp_path, capacity=8)

    assert [trial.outcome.value for trial in trials] == ["crashed"] * 2 + ["completed"] * 6


def test_a_trial_that_hangs_is_found_among_its_neighbours(
    processes: WarmProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hptune.training.dispatching._LEAST_LAST_EPOCH_S", 0.3)
    monkeypatch.setattr("hptune.training.workers._GRACE_S", 0.3)
    orders = Orders(lambda: False, trial_timeout=0.5)

    trials = train(processes, hang_at_two, 5, tmp_path, workers=1, orders=orders, capacity=5)

    assert [trial.outcome.value for trial in trials] == ["completed"] * 2 + ["timeout"] + ["completed"] * 2


def test_where_memory_is_short_fewer_train_side_by_side(processes: WarmProcesses, tmp_path: Path) -> None:
    workplace, bell = make_workplace(square, tmp_path, serve=serve_two_at_most, capacity=16), Bell()
    with WorkerTrainer(processes, 1, workplace, bell, Orders(lambda: False)) as trainer:
        trials = list(trainer.train((Proposal(n, {}, 1) for n in range(16)), lambda *_: True))

    assert sorted(trial.score or 0 for trial in trials) == [n**2 for n in range(16)]
    # Of eight proposals that are sorted at a time, four are tried together, then two.
    totals = [slots.total for slots in bell.seen]
    assert totals[0] == 16
    assert set(totals[1:]) - {0} == {4, 2}


def test_where_the_system_kills_what_takes_too_much_fewer_train_side_by_side(
    processes: WarmProcesses, tmp_path: Path
) -> None:
    workplace, bell = make_workplace(square, tmp_path, serve=serve_where_three_are_killed, capacity=8), Bell()
    with WorkerTrainer(processes, 1, workplace, bell, Orders(lambda: False)) as trainer:
        trials = list(trainer.train((Proposal(n, {}, 1) for n in range(24)), lambda *_: True))

    assert {trial.outcome for trial in trials} == {Outcome.COMPLETED}
    assert sorted(trial.score or 0 for trial in trials) == [n**2 for n in range(24)]
    # Those that were killed together are tried alone (1), their like in ever smaller company.
    assert list(dict.fromkeys(slots.total for slots in bell.seen)) == [8, 1, 4, 2, 0]


def test_a_trial_whose_time_is_over_keeps_what_it_reached(processes: WarmProcesses, tmp_path: Path) -> None:
    trials = train(processes, count_epochs, 2, tmp_path, orders=Orders(lambda: False, trial_timeout=0.5))

    assert [(trial.outcome, trial.score) for trial in trials] == [(Outcome.TIMEOUT, 0.5)] * 2
    assert trials[0].message == "budget.trial_timeout of 0.5 s is over"
    assert all(1 <= trial.epochs < 1000 for trial in trials)


def test_a_worker_that_does_not_listen_is_ended(
    processes: WarmProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hptune.training.dispatching._LEAST_LAST_EPOCH_S", 0.3)
    monkeypatch.setattr("hptune.training.workers._GRACE_S", 0.3)
    began = time.monotonic()

    (trial,) = train(processes, hang, 1, tmp_path, orders=Orders(lambda: False, trial_timeout=0.2))

    assert (trial.outcome, trial.score) == (Outcome.TIMEOUT, None)
    assert trial.message == "ended without a result: budget.trial_timeout of 0.2 s is over"
    assert time.monotonic() - began < 10


def test_when_the_time_is_used_nothing_more_begins(processes: WarmProcesses, tmp_path: Path) -> None:
    began = time.monotonic()

    def is_used() -> bool:
        return time.monotonic() - began > 0.5

    trials = train(processes, count_epochs, 2, tmp_path, workers=2, orders=Orders(lambda: False, is_used))

    assert {trial.message for trial in trials} == {"budget.max_time is used"}
    assert time.monotonic() - began < 5


def test_calls_return_values_and_errors_meant_for_the_user(processes: WarmProcesses, tmp_path: Path) -> None:
    assert processes.call(double, 21, output=tmp_path / "out.txt") == 42
    with pytest.raises(DataError, match="not this table"):
        processes.call(refuse, 1, output=tmp_path / "out.txt")


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from stand_ins import wait_for_end
from hptune.interruption import Interruption
from hptune.training.workers import WarmProcesses
if __name__ == "__main__":
    with WarmProcesses(Interruption()) as warm:
        worker = warm.start(wait_for_end, (), Path("out.txt"))
        worker.connection.recv()
        print(worker.process.pid, flush=True)
        worker.connection.recv()
"""
    (tmp_path / "parent.py").write_text(program)
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and is_alive(child):
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    # A process that ended but was not yet waited for by the system counts as ended.
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def memory_mib() -> float:
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc on this system to read the memory from")
    return memory_of(os.getpid()) / 2**20


def test_the_parent_does_not_grow_over_two_hundred_trials(processes: WarmProcesses, tmp_path: Path) -> None:
    train(processes, square, 20, tmp_path)
    before, files = memory_mib(), len(list(Path("/proc/self/fd").iterdir()))

    trials = train(processes, square, 200, tmp_path)

    assert len(trials) == 200
    assert memory_mib() - before < 10
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


def test_a_worker_takes_all_trials_that_wait_at_once() -> None:
    # A process of its own: a mailbox ends the process that it is in when the other end is closed.
    script = """
import multiprocessing, os
from hptune.training.workers import Mailbox
ours, theirs = multiprocessing.Pipe()
mailbox = Mailbox(theirs)
ours.send(("jobs", [((0, ""), "a")]))
ours.send(("jobs", [((1, ""), "b"), ((2, ""), "c")]))
ours.send(("end", {(9, ""): "said last"}))
while not mailbox.reason_to_end((9, "")):
    pass
names = [job for _, job in mailbox.next_jobs(wait=True)]
os._exit(0 if names == ["a", "b", "c"] and mailbox.next_jobs(wait=False) == [] else 3)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
