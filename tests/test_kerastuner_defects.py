"""Defects of keras-tuner 1.4.8 that concern random and grid search: that they are there, and that we are cured of them.

A test of the first kind fails when a release mends the defect; then the cure can go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hptune.objective import METRICS, Objective
from hptune.run.journal import open_journal, read_journal
from hptune.space import Choice, Condition, Float, Int, SearchSpace
from hptune.strategies import create_strategy
from hptune.trial import Exhausted, Outcome, Proposal, Trial

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ACCURACY = Objective("accuracy", "max")
SMALL = SearchSpace((Choice("a", (1, 2, 3)), Choice("b", ("x", "y"))))


def plain_oracle(kind: str, tmp_path: Path, **options: Any) -> Any:
    import keras_tuner

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


def test_defect_02_grid_remembers_its_order_after_a_stop() -> None:
    walked = proposals(create_strategy("grid", {}, SMALL, ACCURACY, 0), 6)
    resumed = create_strategy("grid", {}, SMALL, ACCURACY, 0)
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

    first, second = (proposals(create_strategy("random", {}, open_space, ACCURACY, 0), 5) for _ in range(2))

    assert first == second


def test_defect_04_is_still_there(tmp_path: Path) -> None:
    assert len({plain_oracle("RandomSearchOracle", tmp_path / str(n), seed=0).seed for n in range(20)}) > 1


@pytest.mark.parametrize("metric", METRICS)
def test_defect_05_the_direction_is_always_explicit(metric: str) -> None:
    objective = Objective(metric, METRICS[metric].direction)
    strategy = create_strategy("random", {}, SMALL, objective, 0)

    theirs = strategy._oracle.objective

    assert (theirs.name, theirs.direction) == (metric, METRICS[metric].direction)


def test_defect_06_stepped_ranges_reach_their_maximum() -> None:
    space = SearchSpace((Float("x", 0.0, 0.5, step=0.1),))

    for name in ("random", "grid"):
        values = {proposal.values["x"] for proposal in proposals(create_strategy(name, {}, space, ACCURACY, 0), 6)}
        assert values == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_defect_06_is_still_there() -> None:
    import keras_tuner

    stepped = keras_tuner.HyperParameters()
    stepped.Float("x", 0.0, 0.5, step=0.1)

    assert max(stepped.space[0].values) == pytest.approx(0.4)


def test_defect_07_an_exhausted_space_ends_the_search() -> None:
    strategy = create_strategy("random", {}, SMALL, ACCURACY, 3)

    assert len(proposals(strategy, 100)) == 6
    assert strategy.ask(1) == Exhausted("space exhausted: all 6 configurations were tried")


def test_defect_09_failures_in_a_row_neither_raise_nor_lock() -> None:
    space = SearchSpace((Float("x", 0.0, 1.0),))
    strategy = create_strategy("random", {}, space, ACCURACY, 0)

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
    # Our trainer ends such trials as diverged, without a score; the oracle is told that they failed.
    space = SearchSpace((Float("x", 0.0, 1.0),))
    strategy = create_strategy("random", {}, space, ACCURACY, 0)
    (proposal,) = proposals(strategy, 1)

    strategy.tell(Trial(proposal, Outcome.DIVERGED, score=None))

    (theirs,) = strategy._oracle.trials.values()
    assert theirs.status == "FAILED"


def test_defect_18_an_inactive_dimension_is_absent() -> None:
    space = SearchSpace(
        (Int("blocks", 1, 3), *(Int(f"units.{n}", 8, 64, when=(Condition("blocks", min=n),)) for n in (1, 2, 3)))
    )

    for proposal in proposals(create_strategy("random", {}, space, ACCURACY, 0), 30):
        assert len(proposal.values) == 1 + proposal.values["blocks"]


def test_defect_19_20_22_no_files_no_folders_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = create_strategy("random", {}, SearchSpace((Float("x", 0.0, 1.0),)), ACCURACY, 0)

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
