"""A strategy in a process of its own, a fork of the fork server.

KerasTuner imports TensorFlow, which takes seconds of processor time and half a gigabyte. The fork server has done so
anyway; this process need not. Where the process of the strategy is killed, another one is asked and told the same
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hptune.errors import HptuneError, InternalError, MemoryShortError
from hptune.strategies import AnyStrategy, Task, create_strategy
from hptune.training.workers import SHORT_OF_MEMORY, Mailbox, WarmProcesses, Worker
from hptune.trial import Exhausted, Proposal, Trial, Wait

# How often a process may die before it has given one answer.
_MOST_DEATHS = 3
_WITH_ANSWER = ("works_in_batches", "ask", "halted")
_DEATHS = ("died", "starved")


class DistantStrategy:
    """A strategy of the register, asked and told through a pipe."""

    def __init__(self, begin: Callable[[], Worker]) -> None:
        """Begin.

        Args:
            begin: Starts the process.
        """
        self._begin = begin
        # All that it was asked and told: what it answers depends on nothing else.
        self._log: list[tuple[str, tuple[Any, ...]]] = []
        self._worker = begin()

    @cached_property
    def works_in_batches(self) -> bool:
        """Whether it waits for all results of a batch before it proposes the next one."""
        answer: bool = self._request("works_in_batches")
        return answer

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose up to `count` configurations, or say that results are missing, or that nothing is left."""
        answer: list[Proposal] | Wait | Exhausted = self._request("ask", count)
        return answer

    def tell(self, trial: Trial) -> None:
        """Learn what became of a proposal."""
        self._say("tell", trial)

    def recall(self, proposal: Proposal) -> None:
        """Take note of a proposal on record from an earlier session."""
        self._say("recall", proposal)

    def halted(self) -> list[int]:
        """Name the paused trials that will not be continued, each once."""
        numbers: list[int] = self._request("halted")
        return numbers

    def end(self) -> None:
        """Make sure that the process is gone."""
        self._worker.end()

    def _request(self, method: str, *given: Any) -> Any:
        """Wait for an answer; nobody looks for a signal to stop meanwhile, as in every step of a search.

        Raises:
            InternalError: If the strategy failed, or its process died again and again.
            MemoryShortError: If that was for want of memory.
        """
        kind, content = self._say(method, *given)
        deaths = 1
        while kind in _DEATHS and deaths < _MOST_DEATHS:
            kind, content = self._begin_anew()
            deaths += 1
        if kind == "answer":
            return content
        if kind == "starved":
            raise MemoryShortError(*SHORT_OF_MEMORY)
        raise content if isinstance(content, HptuneError) else InternalError(str(content))

    def _say(self, method: str, *given: Any) -> tuple[str, Any]:
        """Say something new, and return what comes back, where something does."""
        self._log.append((method, given))
        return self._hear(method, given)

    def _hear(self, method: str, given: tuple[Any, ...]) -> tuple[str, Any]:
        """Say something, and return what comes back, where something does."""
        self._worker.send(method, given)
        return self._worker.receive() if method in _WITH_ANSWER else ("", None)

    def _begin_anew(self) -> tuple[str, Any]:
        """Bring another process to where the last one died; return its answer to the last request."""
        self._worker.end()
        self._worker = self._begin()
        heard: tuple[str, Any] = ("", None)
        for entry in self._log:
            heard = self._hear(*entry)
            if heard[0] in _DEATHS:
                break
        return heard


@contextmanager
def open_strategy(name: str, task: Task, processes: WarmProcesses, output: Path) -> Iterator[AnyStrategy]:
    """Give a strategy of the register, whose process ends with the context.

    Args:
        name: Of the strategy.
        task: What it is made for.
        processes: Where its process comes from.
        output: Takes what it prints; removed at the end.
    """
    strategy = DistantStrategy(partial(processes.start, _serve, (name, task), output))
    try:
        yield strategy
    finally:
        strategy.end()


def _serve(mailbox: Mailbox, name: str, task: Task) -> None:
    """Do what is asked for until the other end is closed; what the worker runs."""
    strategy = create_strategy(name, task)
    while True:
        method, given = mailbox.receive()
        if method == "works_in_batches":
            mailbox.send("answer", strategy.works_in_batches)
            continue
        answer = getattr(strategy, method)(*given)
        if method in ("ask", "halted"):
            mailbox.send("answer", answer)
