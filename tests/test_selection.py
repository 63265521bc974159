"""Which trials are averaged: laws of the choice, over predictions that hypothesis makes up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hptune.objective import Objective
from hptune.selection import METHODS, Floats, choose

ROWS = 6
TRUTH = np.linspace(-1.0, 1.0, ROWS)
NUMBERS = st.floats(-3, 3, allow_nan=False, width=32)
LIBRARIES = st.lists(arrays(np.float32, ROWS, elements=NUMBERS), min_size=1, max_size=6)
SIZES = st.integers(1, 8)
ERROR = Objective("mse", "min")
SKILL = Objective("r2", "max")


def error(predicted: Floats) -> float:
    return float(np.mean((predicted - TRUTH) ** 2))


def skill(predicted: Floats) -> float:
    return 1 - error(predicted)


AIMS = pytest.mark.parametrize(("score", "objective"), [(error, ERROR), (skill, SKILL)], ids=["min", "max"])
Score = Callable[[Floats], float]


def ranked(library: list[Floats], score: Score, objective: Objective) -> list[Floats]:
    return sorted(library, key=lambda candidate: objective.sort_key(score(candidate.astype(np.float64))))


@AIMS
@given(library=LIBRARIES, size=SIZES)
def test_greedy_is_never_worse_than_the_best_candidate(
    score: Score, objective: Objective, library: list[Floats], size: int
) -> None:
    candidates = ranked(library, score, objective)

    chosen = choose("greedy", candidates, score, objective, size)

    best = score(candidates[0].astype(np.float64))
    # Averaging in another order may differ in the last bits.
    assert objective.sort_key(chosen.score) <= objective.sort_key(best) + 1e-9


@given(library=LIBRARIES, size=SIZES)
def test_a_larger_greedy_ensemble_is_never_worse_than_a_smaller_one(library: list[Floats], size: int) -> None:
    candidates = ranked(library, error, ERROR)

    smaller, larger = (choose("greedy", candidates, error, ERROR, most) for most in (size, size + 1))

    assert larger.score <= smaller.score + 1e-9


@pytest.mark.parametrize("method", METHODS)
@given(library=LIBRARIES, size=SIZES)
def test_shares_sum_to_one_and_the_score_is_that_of_their_average(
    method: str, library: list[Floats], size: int
) -> None:
    candidates = ranked(library, error, ERROR)

    chosen = choose(method, candidates, error, ERROR, size)

    shares = dict(chosen.shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share >= 1 / size - 1e-12 for share in shares.values())
    average = sum(share * candidates[index].astype(np.float64) for index, share in shares.items())
    assert chosen.score == error(np.asarray(average))


@given(library=LIBRARIES, size=SIZES)
def test_top_takes_the_best_candidates_alike(library: list[Floats], size: int) -> None:
    chosen = choose("top", ranked(library, error, ERROR), error, ERROR, size)

    count = min(size, len(library))
    assert chosen.shares == tuple((index, 1 / count) for index in range(count))


@given(library=LIBRARIES, size=SIZES)
def test_the_ambiguity_decomposition_holds(library: list[Floats], size: int) -> None:
    """Krogh and Vedelsby, 1995: error of the average = mean error - mean squared distance from the average."""
    candidates = [candidate.astype(np.float64) for candidate in ranked(library, error, ERROR)]

    chosen = choose("greedy", candidates, error, ERROR, size)

    average = sum(share * candidates[index] for index, share in chosen.shares)
    errors = sum(share * error(candidates[index]) for index, share in chosen.shares)
    spread = sum(share * float(np.mean((candidates[index] - average) ** 2)) for index, share in chosen.shares)
    assert chosen.score == pytest.approx(errors - spread, abs=1e-9)


def test_opposite_errors_cancel_and_the_better_rank_wins_a_tie() -> None:
    above, below = TRUTH + 1, TRUTH - 1

    both = choose("greedy", [above, below], error, ERROR, 10)
    same = choose("greedy", [above, above.copy()], error, ERROR, 10)

    assert both.shares == ((0, 0.5), (1, 0.5))
    assert both.score == pytest.approx(0)
    assert same.shares == ((0, 1.0),)
