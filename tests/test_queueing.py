"""Which structure a free worker takes."""

from __future__ import annotations

import pytest

from hptune.training.queueing import Kind, Queue
from hptune.trial import Proposal

# Structure and trace of the proposals that wait.
WAITING = ["wide/one", "wide/one", "wide/one", "narrow/one", "deep/two", "deep/two", "deepest/three"]


def kind_of(proposal: Proposal) -> Kind:
    structure = str(proposal.values["structure"])
    return Kind(structure, structure.partition("/")[2], capacity=8)


@pytest.fixture
def queue() -> Queue:
    queue = Queue(kind_of)
    for number, structure in enumerate(WAITING):
        queue.add(Proposal(number, {"structure": structure}, seed=number))
    return queue


@pytest.mark.parametrize(
    ("own", "elsewhere", "taken", "chosen"),
    [
        ([], [], [], "wide/one"),
        (["two"], ["one"], [], "deep/two"),
        # What another has traced is left to it, although more of it wait.
        ([], ["one"], ["wide/one"], "deep/two"),
        ([], ["one", "two"], ["wide/one", "deep/two"], "deepest/three"),
        # Nobody stands idle for that.
        ([], ["one", "two", "three"], [], "wide/one"),
        # A structure of its own trace comes before company in that of another worker.
        (["one"], ["one"], ["wide/one"], "narrow/one"),
        (["one"], [], ["wide/one", "narrow/one", "deep/two", "deepest/three"], "wide/one"),
    ],
)
def test_a_trace_is_made_once_where_that_leaves_nobody_idle(
    own: list[str], elsewhere: list[str], taken: list[str], chosen: str, queue: Queue
) -> None:
    assert queue.choose(own, elsewhere, taken) == chosen


def test_nothing_is_chosen_from_nothing() -> None:
    assert Queue(kind_of).choose([], [], []) is None
