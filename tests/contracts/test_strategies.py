"""The examination that every strategy of the register must pass, driven by the real tuner."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_in_memory import OBJECTIVE, Journal, Search, always, leaderboard, proposed, score_of, some_fail

from hptune.budget import Budget
from hptune.parts import name_parts
from hptune.reporting.summary import parts_table
from hptune.run.records import replay
from hptune.schedule import plan_brackets
from hptune.space import Choice, Condition, Float, Int, SearchSpace, identity
from hptune.strategies import STRATEGIES, Task, create_strategy
from hptune.trial import LARGEST_SEED, Exhausted, Outcome, Proposal, Trial, Wait

pytestmark = pytest.mark.tensorflow

FINITE = SearchSpace(
    (
        Int("model.blocks", 1, 3),
        *(Choice(f"model.units.{n}", (None, True, 32), (Condition("model.blocks", min=n),)) for n in (1, 2, 3)),
        Choice("training.optimizer", ("sgd", "adam")),
        Float("training.momentum", 0.0, 0.5, step=0.25, when=(Condition("training.optimizer", ("sgd",)),)),
    )
)
# A continuous parent, which keras_tuner cannot express; a choice among lists and maps; a dimension that is never there.
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
STARTS = {
    "finite": ({"model.blocks": 1, "model.units.1": 32, "training.optimizer": "adam"},),
    "open": ({"rate": 1e-3, "dropout": 0.1, "width": 9, "weights": "none"},),
}
NAMES = sorted(STRATEGIES)
OPTIONS = {
    "random": {},
    "grid": {"points": 3},
    "bayesian": {"num_initial_points": 5, "alpha": 1e-4, "beta": 2.6, "batch": 3},
    "hyperband": {"max_epochs": 9, "factor": 3, "hyperband_iterations": 2},
}
TRIALS = 30


def search(name: str, space: str, seed: int = 0, most: int | None = TRIALS, **changes: Any) -> Search:
    plan = plan_brackets(9, 3, 2, most) if name == "hyperband" else ()
    task = Task(SPACES[space], OBJECTIVE, seed, (), OPTIONS[name], plan)
    made = Search(name, task, Budget(None if plan else most))
    return replace(made, **changes)


cases = pytest.mark.parametrize(("name", "space"), [(name, space) for name in NAMES for space in SPACES])


def killed(*case: str) -> Any:
    """A case of a search that is killed; Bayesian ones fit a model for each proposal again after each kill."""
    return pytest.param(*case, marks=pytest.mark.long if case[0] == "bayesian" else ())


killed_cases = pytest.mark.parametrize(("name", "space"), [killed(name, space) for name in NAMES for space in SPACES])


@cases
def test_proposals_lie_in_the_space_and_respect_conditions(name: str, space: str) -> None:
    proposals = proposed(search(name, space).run())

    assert [proposal.trial for proposal in proposals] == list(range(len(proposals)))
    assert len(proposals) == (TRIALS if name != "hyperband" else 29)
    assert all(SPACES[space].contains(proposal.values) for proposal in proposals)
    assert all(1 <= proposal.seed <= LARGEST_SEED for proposal in proposals)


@cases
def test_no_configuration_is_proposed_twice(name: str, space: str) -> None:
    keys = Counter(identity(dict(proposal.values)) for proposal in proposed(search(name, space, most=60).run()))

    assert max(keys.values()) == 1


def test_bayesian_batches_grow_with_the_results_that_they_are_made_from() -> None:
    made = search("bayesian", "open")
    growing = replace(made, task=replace(made.task, options=OPTIONS["bayesian"] | {"batch": None}))

    told = [proposal.told for proposal in proposed(growing.run(workers=3))]

    ends = [0, 5, 9, 13, 17, 21, 26, TRIALS]
    assert told == [first for first, last in itertools.pairwise(ends) for _ in range(first, last)]
    assert leaderboard(growing.run_with_kills([7, 12, 40, 55])) == leaderboard(growing.run())


@pytest.mark.parametrize("name", ["random", "grid", "bayesian"])
def test_a_finite_space_ends_after_exactly_all_configurations(name: str) -> None:
    journal = search(name, "finite", most=None).run()

    assert {identity(dict(p.values)) for p in proposed(journal)} == {identity(values) for values in FINITE.enumerate()}
    assert len(proposed(journal)) == FINITE.count() == 156
    assert journal.records[-1]["reason"] == "space exhausted: all 156 configurations were tried"


@cases
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_equal_seeds_give_equal_searches(name: str, space: str, seed: int) -> None:
    first, second = (search(name, space, seed).run() for _ in range(2))

    assert first.records == second.records


@pytest.mark.parametrize("name", ["random", "bayesian", "hyperband"])
def test_different_seeds_give_different_proposals(name: str) -> None:
    assert proposed(search(name, "open", 0).run()) != proposed(search(name, "open", 1).run())


@cases
@pytest.mark.parametrize("workers", [2, 7])
def test_workers_and_the_order_of_ending_change_nothing(name: str, space: str, workers: int) -> None:
    alone = search(name, space, ending=some_fail).run()

    for chance in range(3):
        together = search(name, space, ending=some_fail).run(workers=workers, chance=chance)
        assert leaderboard(together) == leaderboard(alone)
        assert proposed(together) == proposed(alone)


@cases
def test_how_many_are_asked_at_once_does_not_matter(name: str, space: str) -> None:
    made = search(name, space)

    def ask_all(size: int) -> list[Proposal]:
        strategy = create_strategy(name, made.task)
        asked: list[Proposal] = []
        told = 0
        while len(asked) < 25:
            answer = strategy.ask(size)
            if isinstance(answer, Exhausted):
                break
            if isinstance(answer, Wait):
                for proposal in asked[told:]:
                    outcome = Outcome.PAUSED if proposal.until not in (None, 9) else Outcome.COMPLETED
                    strategy.tell(Trial(proposal, outcome, score=score_of(proposal)))
                told = len(asked)
            else:
                asked += answer
        return asked[:25]

    assert ask_all(1) == ask_all(4)


@cases
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.INTERRUPTED])
def test_failures_are_survived(name: str, space: str, outcome: Outcome) -> None:
    made = search(name, space, ending=always(outcome) if outcome is not Outcome.PAUSED else some_fail)

    history = replay(made.run().records)

    assert len(history.finished(2)) == len(history.proposals) >= 29


@killed_cases
def test_a_search_killed_before_any_record_ends_as_the_undisturbed_one(name: str, space: str) -> None:
    made = search(name, space, most=18, ending=some_fail)
    undisturbed, attempted = made.run(), made.run(workers=2)

    # The first attempt dies here, the second one a few records later.
    for kill in range(1, len(attempted.records), 1 if space == "open" else 5):
        resumed = made.run_with_kills([kill + 3], workers=2, records=attempted.records[:kill])
        assert leaderboard(resumed) == leaderboard(undisturbed), f"killed before record {kill}"
        assert proposed(resumed) == proposed(undisturbed)


PARTS = name_parts(3, 1)


@pytest.mark.parametrize("name", [killed(name) for name in NAMES])
def test_a_search_of_folds_killed_before_any_record_ends_as_the_undisturbed_one(name: str) -> None:
    made = search(name, "open", most=13, parts=PARTS, ending=some_fail)
    undisturbed, attempted = made.run(), made.run(workers=2)

    for kill in range(1, len(attempted.records), 3):
        resumed = made.run_with_kills([kill + 2], workers=2, records=attempted.records[:kill])
        assert leaderboard(resumed) == leaderboard(undisturbed), f"killed before record {kill}"
        assert proposed(resumed) == proposed(undisturbed)
        assert parts_table(replay(resumed.records)) == parts_table(replay(undisturbed.records))


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_of_folds_is_their_mean_and_told_once(name: str) -> None:
    journal = search(name, "open", most=13, parts=PARTS).run(workers=3, chance=4)
    history = replay(journal.records)

    assert leaderboard(journal) == leaderboard(search(name, "open", most=13, parts=PARTS).run())
    for number, trial in history.ends.items():
        scores = [history.parts[number, part].score for part in PARTS]
        assert trial.score == pytest.approx(sum(scores) / 3)
        assert trial.std_error == pytest.approx(np.std(scores, ddof=1) / 3**0.5)
        assert trial.n == 3


@killed_cases
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(1, 120), max_size=6).map(sorted), workers=st.integers(1, 4))
def test_any_kills_and_any_workers_end_in_the_same_ranking(
    name: str, space: str, kills: list[int], workers: int
) -> None:
    made = search(name, space, most=22)

    assert leaderboard(made.run_with_kills(kills, workers)) == leaderboard(made.run())


# Hyperband's brackets are fixed when a run begins.
@pytest.mark.parametrize(
    ("name", "space"), [(name, space) for name in NAMES if name != "hyperband" for space in SPACES]
)
def test_a_larger_budget_extends_a_search_as_if_it_had_been_given_at_once(name: str, space: str) -> None:
    journal = search(name, space, most=13).run()

    extended = search(name, space).run(Journal(journal.records))

    assert leaderboard(extended) == leaderboard(search(name, space).run())


@cases
def test_what_the_user_starts_from_is_tried_first_and_not_again(name: str, space: str) -> None:
    made = search(name, space)
    made = replace(made, task=replace(made.task, start_from=STARTS[space]))

    proposals = proposed(made.run_with_kills([2, 9]))

    assert proposals[0].values == STARTS[space][0]
    assert sum(proposal.values == STARTS[space][0] for proposal in proposals) == 1


@cases
@pytest.mark.parametrize("workers", [1, 3])
def test_a_target_ends_the_search_at_the_same_trial_for_any_number_of_workers(
    name: str, space: str, workers: int
) -> None:
    alone = search(name, space).with_budget(target=0.9).run()
    made = search(name, space).with_budget(target=0.9)

    for chance in range(3):
        assert leaderboard(made.run(workers=workers, chance=chance)) == leaderboard(alone)
    assert alone.records[-1]["reason"].startswith("target reached: accuracy 0.9")
    assert len(proposed(alone)) < TRIALS - 1


@cases
def test_too_many_failures_end_the_search(name: str, space: str) -> None:
    made = search(name, space, ending=always(Outcome.DIVERGED)).with_budget(max_failures=4)

    journal = made.run(workers=3)

    assert journal.records[-1]["reason"].startswith("too many failures: ")
    ended = leaderboard(journal).count("diverged")
    # A batch is ended as a whole.
    assert ended == 4 if name in ("random", "grid") else 4 <= ended < TRIALS


@cases
def test_nothing_is_printed_and_no_file_written(
    name: str, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    search(name, space, most=12).run()

    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_proposal_says_which_results_it_was_made_from(name: str) -> None:
    told = [proposal.told for proposal in proposed(search(name, "open", most=14).run())]

    expected = [0] * 5 + [5] * 3 + [8] * 3 + [11] * 3 if name == "bayesian" else [0] * len(told)
    assert told == expected


def test_values_come_back_with_their_types() -> None:
    for name in ("random", "bayesian", "hyperband"):
        proposals = proposed(search(name, "open", most=60).run())
        assert all(type(proposal.values["width"]) is int for proposal in proposals)
        assert all(type(proposal.values["rate"]) is float for proposal in proposals)
        weights = {identity(proposal.values["weights"]) for proposal in proposals}
        assert weights == {'"none"', '{"a": 1.0}', "[1, 2]"}
    units = {type(p.values["model.units.1"]) for p in proposed(search("random", "finite", most=100).run())}
    assert units == {type(None), bool, int}
