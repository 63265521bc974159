"""A strategy in a process of its own answers as one in this process does, also where its process is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from search_in_memory import some_fail
from test_strategies import NAMES, search

from hptune.errors import InternalError
from hptune.interruption import Interruption
from hptune.proposing import DistantStrategy, open_strategy
from hptune.strategies import AnyStrategy, create_strategy
from hptune.training.workers import Mailbox, WarmProcesses, Worker
from hptune.trial import Exhausted, Proposal, Trial, Wait

pytestmark = pytest.mark.tensorflow


class Watched(WarmProcesses):
    """Remembers the processes that it has started."""

    def __init__(self) -> None:
        super().__init__(Interruption())
        self.workers: list[Worker] = []

    def start(self, *given: Any, **named: Any) -> Worker:
        self.workers.append(super().start(*given, **named))
        return self.workers[-1]

    def strike(self) -> None:
        os.kill(self.workers[-1].process.pid, signal.SIGKILL)


class Struck:
    """A strategy whose process is killed before each fifth call."""

    def __init__(self, strategy: AnyStrategy, processes: Watched) -> None:
        self.works_in_batches = strategy.works_in_batches
        self._strategy = strategy
        self._processes = processes
        self._calls = 0

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        self._strike()
        return self._strategy.ask(count)

    def tell(self, trial: Trial) -> None:
        self._strike()
        self._strategy.tell(trial)

    def recall(self, proposal: Proposal) -> None:
        self._strike()
        self._strategy.recall(proposal)

    def halted(self) -> list[int]:
        self._strike()
        return self._strategy.halted()

    def _strike(self) -> None:
        self._calls += 1
        if self._calls % 5 == 0:
            self._processes.strike()


@pytest.fixture(scope="module")
def processes() -> Iterator[Watched]:
    with Watched() as watched:
        yield watched


@pytest.mark.parametrize("name", NAMES)
def test_a_search_is_the_same_with_the_strategy_elsewhere(name: str, processes: Watched, tmp_path: Path) -> None:
    made = search(name, "open", most=15, ending=some_fail)
    here = made.run()
    with open_strategy(name, made.task, processes, tmp_path / "output") as strategy:
        elsewhere = made.run(strategy=strategy)

    assert elsewhere.records == here.records
    assert not processes.workers[-1].process.is_alive()
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_search_is_the_same_where_the_process_is_killed(name: str, processes: Watched, tmp_path: Path) -> None:
    made = search(name, "open", most=12)
    here = made.run()
    before = len(processes.workers)
    with open_strategy(name, made.task, processes, tmp_path / "output") as strategy:
        struck = made.run(strategy=Struck(strategy, processes))

    assert struck.records == here.records
    assert len(processes.workers) > before + 3


def die(mailbox: Mailbox) -> None:
    mailbox.receive()
    os._exit(9)


def test_a_process_that_dies_again_and_again_is_given_up(processes: Watched, tmp_path: Path) -> None:
    before = len(processes.workers)
    strategy = DistantStrategy(partial(processes.start, die, (), tmp_path / "output"))

    with pytest.raises(InternalError, match="exit code 9"):
        strategy.ask(1)
    assert len(processes.workers) == before + 3
    strategy.end()


def test_a_fault_of_a_strategy_is_told_with_its_traceback(processes: Watched, tmp_path: Path) -> None:
    made = search("grid", "open")
    broken = replace(made.task, options={})  # a grid without its number of points

    with (
        open_strategy("grid", broken, processes, tmp_path / "output") as strategy,
        pytest.raises(InternalError) as told,
    ):
        strategy.ask(1)
    assert "KeyError" in str(told.value)
    assert not processes.workers[-1].process.is_alive()
    with pytest.raises(KeyError):
        create_strategy("grid", broken)
