"""Which models are put together, and how: laws of the choice, over predictions that hypothesis makes up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hptune.ambiguity import correlate_errors, decompose
from hptune.objective import Objective
from hptune.selection import METHODS, Floats, Library, Wanted, choose
from hptune.weighing import Known, stack, weigh

ROWS = 6
TRUTH = np.linspace(-1.0, 1.0, ROWS)
NUMBERS = st.floats(-3, 3, allow_nan=False, width=32)
LIBRARIES = st.lists(arrays(np.float32, ROWS, elements=NUMBERS), min_size=1, max_size=6)
SIZES = st.integers(1, 8)
ERROR = Objective("mse", "min")
SKILL = Objective("r2", "max")
AVERAGING = [method for method in METHODS if method != "stacking"]


def error(predicted: Floats) -> float:
    return float(np.mean((predicted - TRUTH) ** 2))


def skill(predicted: Floats) -> float:
    return 1 - error(predicted)


AIMS = pytest.mark.parametrize(("score", "objective"), [(error, ERROR), (skill, SKILL)], ids=["min", "max"])
Score = Callable[[Floats], float]


def ranked(library: list[Floats], score: Score = error, objective: Objective = ERROR) -> Library:
    best_first = sorted(library, key=lambda candidate: objective.sort_key(score(candidate.astype(np.float64))))
    return Library(best_first, Known(TRUTH), score, objective)


def make_classifiers(count: int, rows: int, classes: int = 3, seed: int = 1) -> tuple[list[Floats], Any]:
    """Make classifiers that know the truth, each with noise of its own."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, rows)
    logits = np.eye(classes)[truth] * 2 + generator.normal(0, 1.5, (count, rows, classes))
    raised = np.exp(logits)
    return list((raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)), truth


def log_loss(predicted: Floats, truth: Any) -> float:
    return float(-np.log(predicted[np.arange(len(truth)), truth]).mean())


@AIMS
@given(library=LIBRARIES, size=SIZES)
def test_greedy_is_never_worse_than_the_best_candidate(
    score: Score, objective: Objective, library: list[Floats], size: int
) -> None:
    candidates = ranked(library, score, objective)

    chosen = choose("greedy", candidates, Wanted(size))

    best = score(candidates.predictions[0].astype(np.float64))
    # Averaging in another order may differ in the last bits.
    assert objective.sort_key(chosen.score) <= objective.sort_key(best) + 1e-9


@given(library=LIBRARIES, size=SIZES)
def test_a_larger_greedy_ensemble_is_never_worse_than_a_smaller_one(library: list[Floats], size: int) -> None:
    smaller, larger = (choose("greedy", ranked(library), Wanted(most)) for most in (size, size + 1))

    assert larger.score <= smaller.score + 1e-9


@pytest.mark.parametrize("method", AVERAGING)
@settings(max_examples=50, deadline=None)  # the first one imports SciPy's solver
@given(library=LIBRARIES, size=SIZES, bags=st.integers(1, 4))
def test_shares_sum_to_one_and_the_score_is_that_of_their_average(
    method: str, library: list[Floats], size: int, bags: int
) -> None:
    candidates = ranked(library)

    chosen = choose(method, candidates, Wanted(size, bags))

    shares = dict(chosen.shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert len(shares) <= size
    assert all(share > 0 for share in shares.values())
    average = sum(share * candidates.predictions[index].astype(np.float64) for index, share in shares.items())
    assert chosen.score == error(np.asarray(average))


@given(library=LIBRARIES, size=SIZES)
def test_top_takes_the_best_candidates_alike(library: list[Floats], size: int) -> None:
    chosen = choose("top", ranked(library), Wanted(size))

    count = min(size, len(library))
    assert chosen.shares == tuple((index, 1 / count) for index in range(count))


def test_opposite_errors_cancel_and_the_better_rank_wins_a_tie() -> None:
    above, below = TRUTH + 1, TRUTH - 1

    both = choose("greedy", Library([above, below], Known(TRUTH), error, ERROR), Wanted(10))
    same = choose("greedy", Library([above, above.copy()], Known(TRUTH), error, ERROR), Wanted(10))

    assert both.shares == ((0, 0.5), (1, 0.5))
    assert both.score == pytest.approx(0)
    assert same.shares == ((0, 1.0),)


def test_bags_repeat_with_their_seed_and_spread_the_choice() -> None:
    predictions, truth = make_classifiers(20, 60)
    library = Library(
        predictions, Known(truth), lambda predicted: log_loss(predicted, truth), Objective("log_loss", "min")
    )

    once, again, other = (choose("greedy", library, Wanted(10, 8, seed)) for seed in (1, 1, 2))

    assert once == again != other
    assert len(once.shares) > len(choose("greedy", library, Wanted(3)).shares)
    assert once.score < library.score(predictions[0].astype(np.float64))


@settings(max_examples=50, deadline=None)
@given(library=LIBRARIES)
def test_shares_on_the_simplex_cannot_be_bettered(library: list[Floats]) -> None:
    """No candidate, and no pair of them, makes the average better by taking a little of its share."""
    candidates = ranked(library).predictions
    shares = weigh(candidates, Known(TRUTH), range(len(candidates)))

    average = sum(share * candidates[index].astype(np.float64) for index, share in shares.items())
    for candidate in candidates:
        assert error(np.asarray(average)) <= error(0.99 * average + 0.01 * candidate.astype(np.float64)) + 1e-3


def test_weights_of_classifiers_are_best_in_log_loss_and_leave_out_noise() -> None:
    predictions, truth = make_classifiers(6, 300)
    predictions.append(np.full_like(predictions[0], 1 / 3)[:, [1, 0, 2]])

    shares = weigh(predictions, Known(truth), range(7))

    average = sum(share * predictions[index].astype(np.float64) for index, share in shares.items())
    for candidate in predictions:
        moved = 0.99 * average + 0.01 * candidate
        assert log_loss(np.asarray(average), truth) <= log_loss(np.asarray(moved), truth) + 1e-6
    assert shares.get(6, 0) < 0.02


def test_stacking_takes_away_what_members_have_in_common() -> None:
    generator = np.random.default_rng(2)
    truth = generator.normal(0, 1, 400)
    members = [0.5 * truth + 3 + generator.normal(0, 0.2, 400) for _ in range(3)]
    library = Library(members, Known(truth), lambda predicted: float(np.mean((predicted - truth) ** 2)), ERROR)

    stacked, plain = choose("stacking", library, Wanted(3)), choose("top", library, Wanted(3))

    assert stacked.score < 0.1 < plain.score
    assert sum(share for _, share in stacked.shares) == pytest.approx(2, abs=0.2)


def test_stacking_falls_back_on_the_mean_where_there_is_nothing_to_learn() -> None:
    generator = np.random.default_rng(3)
    truth = generator.normal(0, 1, 20)
    members = [truth + generator.normal(0, 1, 20) for _ in range(8)]

    shares, _ = stack(members, Known(truth), seed=1)

    assert list(shares.values()) == pytest.approx([1 / 8] * 8, abs=0.1)


def test_a_stack_of_classifiers_mends_what_they_overstate() -> None:
    predictions, truth = make_classifiers(4, 600)
    sharpened = [values.astype(np.float64) ** 4 for values in predictions]
    sharpened = [values / values.sum(axis=1, keepdims=True) for values in sharpened]
    half = 300
    shares, mix = stack([values[:half] for values in sharpened], Known(truth[:half]), seed=1)

    unseen = mix([values[half:] for values in sharpened], list(shares.values()))

    assert unseen.sum(axis=1) == pytest.approx(1)
    assert mix.form == "log_linear"
    mean = np.mean([values[half:] for values in sharpened], axis=0)
    assert log_loss(unseen, truth[half:]) < log_loss(mean, truth[half:]) - 0.05


@settings(max_examples=300)
@given(library=LIBRARIES, data=st.data())
def test_the_ambiguity_decomposition_holds(library: list[Floats], data: st.DataObject) -> None:
    """Krogh and Vedelsby, 1995: error of the average = mean error - mean squared distance from the average."""
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(library), max_size=len(library)))
    shares = [weight / sum(weights) for weight in weights]

    parts = decompose(library, shares, TRUTH)

    average = sum(share * values.astype(np.float64) for share, values in zip(shares, library, strict=True))
    assert parts.ensemble == pytest.approx(error(np.asarray(average)), abs=1e-9)
    assert parts.ensemble == pytest.approx(parts.members - parts.disagreement, abs=1e-9)
    assert parts.disagreement >= 0


def test_the_decomposition_holds_for_probabilities_too_and_errors_are_correlated() -> None:
    predictions, truth = make_classifiers(3, 200)

    parts = decompose(predictions, [0.5, 0.25, 0.25], truth)
    correlation = correlate_errors([*predictions, predictions[0], np.full_like(predictions[0], 1 / 3)], truth)

    assert parts.ensemble == pytest.approx(parts.members - parts.disagreement, abs=1e-9)
    assert parts.disagreement > 0.01
    assert correlation[0][0] == correlation[0][3] == pytest.approx(1)
    assert abs(correlation[0][1] or 0) < 0.3
    own = [1 - values[np.arange(200), truth].astype(np.float64) for values in predictions]
    assert correlation[1][2] == pytest.approx(np.corrcoef(own[1], own[2])[0, 1])
    assert correlation[4] == [None] * 5


@pytest.mark.parametrize("method", METHODS)
def test_a_hundred_trials_take_seconds(method: str) -> None:
    predictions, truth = make_classifiers(100, 1000, classes=10)
    library = Library(
        predictions, Known(truth), lambda predicted: log_loss(predicted, truth), Objective("log_loss", "min")
    )
    began = time.perf_counter()

    chosen = choose(method, library, Wanted(10))

    assert time.perf_counter() - began < 10
    assert 1 < len(chosen.shares) <= 10
    assert chosen.score < library.score(predictions[0].astype(np.float64))


@pytest.mark.parametrize("task", ["values", "classes"])
def test_a_row_that_weighs_three_counts_as_three_rows(task: str) -> None:
    generator = np.random.default_rng(7)
    counts = generator.integers(1, 4, 120)
    predictions, truth = make_classifiers(4, 120)
    if task == "values":
        truth = generator.normal(0, 1, 120)
        predictions = [truth + generator.normal(0, 0.5 + place / 4, 120) for place in range(4)]
    repeated = [np.repeat(values, counts, axis=0) for values in predictions]

    weighed = weigh(predictions, Known(truth, counts.astype(float)), range(4))

    assert weighed == pytest.approx(weigh(repeated, Known(np.repeat(truth, counts)), range(4)), abs=1e-3)
    assert weighed != pytest.approx(weigh(predictions, Known(truth), range(4)), abs=1e-3)


@pytest.mark.parametrize("task", ["values", "classes"])
def test_a_stack_follows_the_rows_that_count(task: str) -> None:
    """The first member knows the rows that count, the second those that do not."""
    generator = np.random.default_rng(8)
    counts = np.repeat([1.0, 0.0], 150)
    known = counts > 0
    if task == "values":
        truth = generator.normal(0, 1, 300)
        members = [np.where(own, truth, generator.normal(0, 1, 300)) for own in (known, ~known)]
    else:
        right, truth = make_classifiers(1, 300)
        members = [np.where(own[:, None], right[0], np.roll(right[0], 1, axis=0)) for own in (known, ~known)]

    shares, _ = stack(members, Known(truth, counts), seed=1)

    assert shares[0] > 0.7
    assert abs(shares[1]) < 0.3


@pytest.mark.parametrize("task", ["values", "classes"])
def test_copies_of_a_row_teach_a_stack_no_more_than_the_row(task: str) -> None:
    """Rows of a group err together: where they may be in two folds, noise looks like knowledge."""
    generator = np.random.default_rng(9)
    rows, members = 30, 12
    truth: Any = generator.normal(0, 1, rows) if task == "values" else generator.integers(0, 3, rows)
    raised = np.exp(generator.normal(0, 1, (members, rows, 3)))
    noise = list(
        generator.normal(0, 1, (members, rows)) if task == "values" else raised / raised.sum(-1, keepdims=True)
    )
    copied, groups = [np.repeat(values, 10, axis=0) for values in noise], np.repeat(np.arange(rows), 10)

    away = {}
    for name, known in (("rows", None), ("groups", groups)):
        shares, _ = stack(copied, Known(np.repeat(truth, 10), groups=known), seed=1)
        away[name] = float(np.std(list(shares.values())))

    assert away["groups"] < away["rows"] / 1.5
