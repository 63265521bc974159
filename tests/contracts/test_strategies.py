"""The examination that every strategy of the register must pass."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.objective import Objective
from hptune.space import Choice, Condition, Float, Int, SearchSpace, identity
from hptune.strategies import STRATEGIES, create_strategy
from hptune.trial import LARGEST_SEED, Exhausted, Outcome, Proposal, Trial

pytestmark = pytest.mark.tensorflow

OBJECTIVE = Objective("accuracy", "max")
FINITE = SearchSpace(
    (
        Int("model.blocks", 1, 3),
        *(Choice(f"model.units.{n}", (None, True, 32), (Condition("model.blocks", min=n),)) for n in (1, 2, 3)),
        Choice("training.optimizer", ("sgd", "adam")),
        Float("training.momentum", 0.0, 0.5, step=0.25, when=(Condition("training.optimizer", ("sgd",)),)),
    )
)
OPEN = SearchSpace(
    (
        Float("rate", 1e-4, 1e-1, log=True),
        Float("dropout", 0.0, 0.5),
        Int("width", 8, 512, log=True),
        Float("decay", 0.0, 1.0, when=(Condition("rate", min=1e-2),)),
        Choice("weights", ("none", {"a": 1.0}, [1, 2])),
        Choice("never", (1, 2), (Condition("fixed", (3,)),)),
    ),
    {"fixed": 2},
)
SPACES = {"finite": FINITE, "open": OPEN}
NAMES = sorted(STRATEGIES)


def make(name: str, space: SearchSpace, seed: int = 0) -> Any:
    return create_strategy(name, {"points": 3} if name == "grid" else {}, space, OBJECTIVE, seed)


def ask_all(strategy: Any, most: int, sizes: Sequence[int] = (1,)) -> list[Proposal]:
    proposals: list[Proposal] = []
    for size in itertools.cycle(sizes):
        answer = strategy.ask(min(size, most - len(proposals)))
        if isinstance(answer, Exhausted):
            break
        proposals += answer
        if len(proposals) >= most:
            break
    return proposals


def ended(proposal: Proposal, outcome: Outcome = Outcome.COMPLETED) -> Trial:
    score = (proposal.seed % 97) / 97 if outcome is Outcome.COMPLETED else None
    return Trial(proposal, outcome, score=score)


cases = pytest.mark.parametrize(("name", "space"), [(name, space) for name in NAMES for space in SPACES])


@cases
def test_proposals_lie_in_the_space_and_respect_conditions(name: str, space: str) -> None:
    proposals = ask_all(make(name, SPACES[space]), 40)

    assert len(proposals) == 40
    assert all(SPACES[space].contains(proposal.values) for proposal in proposals)
    assert [proposal.trial for proposal in proposals] == list(range(40))


@cases
def test_no_configuration_is_proposed_twice(name: str, space: str) -> None:
    keys = [identity(dict(proposal.values)) for proposal in ask_all(make(name, SPACES[space]), 60)]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", NAMES)
def test_a_finite_space_ends_after_exactly_all_configurations(name: str) -> None:
    strategy = make(name, FINITE)

    proposals = ask_all(strategy, 10_000, sizes=(7,))

    assert {identity(dict(proposal.values)) for proposal in proposals} == {identity(v) for v in FINITE.enumerate()}
    assert len(proposals) == FINITE.count() == 156
    assert strategy.ask(1) == Exhausted("space exhausted: all 156 configurations were tried")


@cases
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_equal_seeds_give_equal_proposals(name: str, space: str, seed: int) -> None:
    first, second = (ask_all(make(name, SPACES[space], seed), 12) for _ in range(2))

    assert first == second
    assert all(1 <= proposal.seed <= LARGEST_SEED for proposal in first)


def test_different_seeds_give_different_random_proposals() -> None:
    assert ask_all(make("random", OPEN, 0), 5) != ask_all(make("random", OPEN, 1), 5)


@cases
def test_how_many_are_asked_at_once_does_not_matter(name: str, space: str) -> None:
    assert ask_all(make(name, SPACES[space]), 30) == ask_all(make(name, SPACES[space]), 30, sizes=(7, 1, 4))


@cases
@pytest.mark.parametrize("outcome", Outcome)
def test_failures_are_survived(name: str, space: str, outcome: Outcome) -> None:
    strategy = make(name, SPACES[space])

    for _ in range(12):
        (proposal,) = strategy.ask(1)
        strategy.tell(ended(proposal, outcome))

    assert isinstance(strategy.ask(1), list)


@cases
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.integers(0, 24), told=st.sets(st.integers(0, 23)), interrupted=st.booleans())
def test_a_dropped_strategy_goes_on_as_the_undisturbed_one(
    name: str, space: str, kept: int, told: set[int], interrupted: bool
) -> None:
    undisturbed = ask_all(make(name, SPACES[space]), 25)
    resumed = make(name, SPACES[space])

    for proposal in undisturbed[:kept]:
        resumed.recall(proposal)
    for number in sorted(told):
        if number < kept and not interrupted:
            resumed.tell(ended(undisturbed[number]))

    assert ask_all(resumed, 25 - kept) == undisturbed[kept:]


@cases
def test_nothing_is_printed_and_no_file_written(
    name: str, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    strategy = make(name, SPACES[space])
    for proposal in ask_all(strategy, 5):
        strategy.tell(ended(proposal))

    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_random_and_grid_do_not_claim_to_have_used_results(name: str) -> None:
    strategy = make(name, FINITE)
    (first,) = strategy.ask(1)
    strategy.tell(ended(first))

    assert strategy.ask(1)[0].told == ()


def test_values_come_back_with_their_types() -> None:
    proposals = ask_all(make("random", OPEN), 60)

    assert all(type(proposal.values["width"]) is int for proposal in proposals)
    assert all(type(proposal.values["rate"]) is float for proposal in proposals)
    assert {identity(proposal.values["weights"]) for proposal in proposals} == {'"none"', '{"a": 1.0}', "[1, 2]"}
    assert {type(p.values["model.units.1"]) for p in ask_all(make("random", FINITE), 100)} == {type(None), bool, int}
