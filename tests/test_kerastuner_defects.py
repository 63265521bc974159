"""Defects of keras-tuner 1.4.8: that they are there, and that we are cured of them.

A test of the first kind fails when a release mends the defect; then the cure can go.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from hptune.leaderboard import rank
from hptune.objective import METRICS, Objective
from hptune.run.journal import open_journal, read_journal
from hptune.run.records import encode_proposal, encode_trial, replay
from hptune.schedule import plan_brackets
from hptune.space import Choice, Condition, Float, Int, SearchSpace
from hptune.strategies import Task, create_strategy
from hptune.trial import Exhausted, Outcome, Proposal, Trial

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ACCURACY = Objective("accuracy", "max")
SMALL = SearchSpace((Choice("a", (1, 2, 3)), Choice("b", ("x", "y"))))


OPTIONS = {
    "random": {},
    "grid": {"points": None},
    "bayesian": {"num_initial_points": 3, "alpha": 1e-4, "beta": 2.6, "batch": 2},
    "hyperband": {"max_epochs": 9, "factor": 3, "hyperband_iterations": 1},
}


def make(name: str, space: SearchSpace, seed: int = 0, objective: Objective = ACCURACY) -> Any:
    plan = plan_brackets(9, 3, 1, None) if name == "hyperband" else ()
    return create_strategy(name, Task(space, objective, seed, (), OPTIONS[name], plan))


def plain_oracle(kind: str, tmp_path: Path, **options: Any) -> Any:
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("a", [1, 2, 3])
    hyperparameters.Choice("b", ["x", "y"])
    oracle = getattr(keras_tuner.oracles, kind)(
        objective=keras_tuner.Objective("accuracy", "max"), hyperparameters=hyperparameters, **options
    )
    oracle.verbose = 0
    keras_tuner.engine.base_tuner.BaseTuner(oracle=oracle, directory=str(tmp_path), project_name="p")
    return oracle


def proposals(strategy: Any, count: int) -> list[Proposal]:
    answer = strategy.ask(count)
    return answer if isinstance(answer, list) else []


def test_defect_01_state_files_are_not_the_truth(tmp_path: Path) -> None:
    # Theirs are rewritten in place; ours is one appended record, and a cut one is dropped.
    path = tmp_path / "journal.jsonl"
    with open_journal(path) as (journal, _):
        journal.append("header", format=1)
        journal.append("stop", reason="x")
    path.write_bytes(path.read_bytes()[:-5])

    assert [record["type"] for record in read_journal(path).records] == ["header"]


OPEN = SearchSpace((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))


def test_defect_02_grid_remembers_its_order_after_a_stop() -> None:
    walked = proposals(make("grid", SMALL), 6)
    resumed = make("grid", SMALL)
    for proposal in walked[:2]:
        resumed.recall(proposal)

    assert proposals(resumed, 9) == walked[2:]


def walk(oracle: Any) -> str:
    trial = oracle.create_trial("t")
    oracle.update_trial(trial.trial_id, {"accuracy": 1.0})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return str(trial.trial_id)


def test_defect_02_is_still_there(tmp_path: Path) -> None:
    oracle = plain_oracle("GridSearchOracle", tmp_path)
    assert [walk(oracle), walk(oracle)] == ["0000", "0001"]
    again = plain_oracle("GridSearchOracle", tmp_path)
    again.reload()

    # Its last trial is run a second time, and then the forgotten order is missed.
    assert walk(again) == "0001"
    with pytest.raises(KeyError):
        walk(again)


def test_defect_04_seed_zero_is_a_seed() -> None:
    open_space = SearchSpace((Float("x", 0.0, 1.0),))

    first, second = (proposals(make("random", open_space), 5) for _ in range(2))

    assert first == second


def test_defect_04_is_still_there(tmp_path: Path) -> None:
    assert len({plain_oracle("RandomSearchOracle", tmp_path / str(n), seed=0).seed for n in range(20)}) > 1


@pytest.mark.parametrize("metric", METRICS)
def test_defect_05_the_direction_is_always_explicit(metric: str) -> None:
    objective = Objective(metric, METRICS[metric].direction)
    theirs = make("bayesian", SMALL, objective=objective)._oracle.objective

    assert (theirs.name, theirs.direction) == (metric, METRICS[metric].direction)


def test_defect_06_stepped_ranges_reach_their_maximum() -> None:
    space = SearchSpace((Float("x", 0.0, 0.5, step=0.1),))

    for name in ("random", "grid"):
        values = {proposal.values["x"] for proposal in proposals(make(name, space), 6)}
        assert values == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_defect_06_is_still_there() -> None:
    stepped = keras_tuner.HyperParameters()
    stepped.Float("x", 0.0, 0.5, step=0.1)

    assert max(stepped.space[0].values) == pytest.approx(0.4)


def test_defect_07_an_exhausted_space_ends_the_search() -> None:
    strategy = make("random", SMALL, 3)

    assert len(proposals(strategy, 100)) == 6
    assert strategy.ask(1) == Exhausted("space exhausted: all 6 configurations were tried")


def test_defect_09_failures_in_a_row_neither_raise_nor_lock() -> None:
    space = SearchSpace((Float("x", 0.0, 1.0),))
    strategy = make("random", space)

    for proposal in proposals(strategy, 10):
        strategy.tell(Trial(proposal, Outcome.CRASHED))

    assert len(proposals(strategy, 3)) == 3


def test_defect_09_is_still_there(tmp_path: Path) -> None:
    oracle = plain_oracle("RandomSearchOracle", tmp_path)

    def fail() -> None:
        trial = oracle.create_trial("t")
        trial.status = "FAILED"
        oracle.end_trial(trial)

    fail()
    fail()
    with pytest.raises(RuntimeError, match="Number of consecutive failures exceeded the limit"):
        fail()


def test_defect_11_infinity_is_a_failure_and_never_wins() -> None:
    # Our trainer ends such trials as diverged, without a score; the model takes them for the worst one seen.
    strategy = make("bayesian", OPEN)
    for number, proposal in enumerate(proposals(strategy, 3)):
        outcome = Outcome.DIVERGED if number == 1 else Outcome.COMPLETED
        strategy.tell(Trial(proposal, outcome, score=None if number == 1 else 0.1 * number))

    assert strategy._scores(3) == [0.0, None, -0.2]
    assert len(proposals(strategy, 2)) == 2


def test_defect_18_an_inactive_dimension_is_absent() -> None:
    space = SearchSpace(
        (Int("blocks", 1, 3), *(Int(f"units.{n}", 8, 64, when=(Condition("blocks", min=n),)) for n in (1, 2, 3)))
    )

    for proposal in proposals(make("random", space), 30):
        assert len(proposal.values) == 1 + proposal.values["blocks"]


def test_defect_19_20_22_no_files_no_folders_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = make("random", SearchSpace((Float("x", 0.0, 1.0),)))

    for proposal in proposals(strategy, 50):
        strategy.tell(Trial(proposal, Outcome.COMPLETED, score=0.5))

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_defect_19_is_still_there(tmp_path: Path) -> None:
    oracle = plain_oracle("RandomSearchOracle", tmp_path, seed=1)
    sizes = []
    for number in range(3):
        oracle.create_trial(str(number))
        sizes.append(len(json.dumps(oracle.get_state())))

    # The whole state, which grows with each trial, is written anew at each step.
    assert sizes[0] < sizes[1] < sizes[2]


def scored(proposal: Proposal, score: float | None = None) -> Trial:
    paused = proposal.until is not None and proposal.until < 9
    outcome = Outcome.PAUSED if paused else Outcome.COMPLETED
    return Trial(proposal, outcome, score=proposal.values["x"] if score is None else score, epochs=proposal.until or 1)


def test_defect_03_a_resumed_bayesian_search_proposes_what_the_undisturbed_one_does() -> None:
    undisturbed = make("bayesian", OPEN, 7)
    asked: list[Proposal] = []
    while len(asked) < 11:
        batch = proposals(undisturbed, 2)
        asked += batch
        for proposal in batch:
            undisturbed.tell(scored(proposal))

    for dropped in range(3, 11):
        resumed = make("bayesian", OPEN, 7)
        for proposal in asked[:dropped]:
            resumed.recall(proposal)
            resumed.tell(scored(proposal))
        assert proposals(resumed, 1)[0] == asked[dropped]


def test_defect_03_is_still_there(tmp_path: Path) -> None:
    oracle = plain_oracle("BayesianOptimizationOracle", tmp_path, seed=1)
    walk(oracle)

    assert "random_state" not in json.dumps(oracle.get_state())
    assert "_random_state" in vars(oracle)


def test_defect_07_is_still_there(tmp_path: Path) -> None:
    oracle = plain_oracle("BayesianOptimizationOracle", tmp_path, seed=1, num_initial_points=3, max_trials=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(9):
            walk(oracle)

    tried = [json.dumps(trial.hyperparameters.values) for trial in oracle.trials.values()]
    assert len(set(tried)) <= 6 < len(tried)


def test_defect_08_failures_do_not_sink_a_bracket() -> None:
    strategy = make("hyperband", OPEN)
    first = strategy.ask(99)
    assert len(first) == 9
    for number, proposal in enumerate(first):
        strategy.tell(Trial(proposal, Outcome.CRASHED) if number < 3 else scored(proposal))

    following = strategy.ask(99)

    best = sorted(first[3:], key=lambda proposal: -proposal.values["x"])[:3]
    # Behind the promoted ones come the first of the next bracket.
    numbers = [*(proposal.trial for proposal in best), *range(9, 14)]
    assert [(proposal.trial, proposal.until) for proposal in following] == [(number, 3) for number in numbers]


def test_defect_08_failures_that_are_promoted_for_want_of_others_are_not_trained_again() -> None:
    strategy = make("hyperband", OPEN)
    first = strategy.ask(99)
    for number, proposal in enumerate(first):
        strategy.tell(scored(proposal) if number == 4 else Trial(proposal, Outcome.DIVERGED))

    assert [proposal.trial for proposal in strategy.ask(99)] == [4, 9, 10, 11, 12, 13]


def test_defect_08_is_still_there(tmp_path: Path) -> None:
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Float("x", 0.0, 1.0)
    oracle = keras_tuner.oracles.HyperbandOracle(
        objective=keras_tuner.Objective("accuracy", "max"), hyperparameters=hyperparameters, max_epochs=9, seed=1
    )
    oracle.verbose = 0
    keras_tuner.engine.base_tuner.BaseTuner(oracle=oracle, directory=str(tmp_path), project_name="p")
    for number in range(9):
        trial = oracle.create_trial(str(number))
        trial.status = "FAILED" if number in (2, 5, 8) else "COMPLETED"
        oracle.update_trial(trial.trial_id, {"accuracy": 0.1 * number})
        oracle.end_trial(trial)
    rounds = oracle._brackets[0]["rounds"]

    following = [oracle.create_trial(f"next-{number}").hyperparameters.values["tuner/round"] for number in range(2)]

    # With six of nine left, not one is promoted: a new bracket begins instead.
    assert (following, [len(trials) for trials in rounds]) == ([0, 0], [9, 0, 0])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_defect_08_the_schedule_is_known_beforehand_and_is_kerastuners(factor: int, tmp_path: Path) -> None:
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Float("x", 0.0, 1.0)
    for max_epochs in (1, 2, 5, 9, 27, 50, 100):
        oracle = keras_tuner.oracles.HyperbandOracle(
            objective=keras_tuner.Objective("accuracy", "max"),
            hyperparameters=hyperparameters,
            max_epochs=max_epochs,
            factor=factor,
        )
        theirs = [
            [(oracle._get_size(bracket, rung), oracle._get_epochs(bracket, rung)) for rung in range(bracket + 1)]
            for bracket in reversed(range(oracle._get_num_brackets()))
        ]

        ours = plan_brackets(max_epochs, factor, 1, None)

        assert [[(rung.configurations, rung.last_epoch) for rung in bracket.rungs] for bracket in ours] == theirs


def test_defect_08_the_default_schedule_is_as_long_as_it_is() -> None:
    plan = plan_brackets(100, 3, 1, None)

    assert sum(rung.configurations for bracket in plan for rung in bracket.rungs) == 254
    assert sum(bracket.epochs for bracket in plan) == 2672


def test_defect_12_a_fresh_attempt_has_fresh_metrics() -> None:
    proposal = Proposal(0, {}, 1)
    records = [{"type": "header"}, {"type": "propose", **encode_proposal(proposal)}]
    for attempt, score in ((1, 0.9), (2, 0.3)):
        outcome = Outcome.CRASHED if attempt == 1 else Outcome.COMPLETED
        trial = Trial(proposal, outcome, attempt, score, {"accuracy": score})
        records += [{"type": "start", "trial": 0, "attempt": attempt}, {"type": "end", **encode_trial(trial)}]

    assert replay(records).ends[0].metrics == {"accuracy": 0.3}


def test_defect_14_a_leaderboard_has_no_best_trial_where_all_failed() -> None:
    failed = Trial(Proposal(0, {}, 1), Outcome.CRASHED)

    assert rank([failed], ACCURACY, ()).scored == ()


def test_defect_18_a_default_is_tried_first_where_the_user_starts_from_it() -> None:
    strategy = create_strategy("random", Task(OPEN, ACCURACY, 0, ({"x": 0.25, "y": 0.75},)))

    assert proposals(strategy, 3)[0].values == {"x": 0.25, "y": 0.75}


def test_defect_21_a_proposal_needs_no_thousand_fits() -> None:
    # KerasTuner fits with 20 restarts and asks its model for about 20,000 single points for each proposal.
    strategy = make("bayesian", SearchSpace(tuple(Float(f"x{n}", 0.0, 1.0) for n in range(6))))
    calls = 0

    def count(process: Any) -> Any:
        predict = process.predict

        def counted(*given: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            return predict(*given, **options)

        process.predict = counted
        return process

    make_process = strategy._oracle.make_process
    strategy._oracle.make_process = lambda: count(make_process())
    while calls == 0:
        for proposal in strategy.ask(2):
            strategy.tell(Trial(proposal, Outcome.COMPLETED, score=proposal.values["x0"]))

    assert calls < 20
