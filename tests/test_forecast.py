"""What a search will take: costs from samples, and the dispatcher's choices replayed with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hptune.forecast import Costs, Sample, Size, Work, training_seconds
from hptune.training.job import Measured
from hptune.training.queueing import Kind

SMALL = Work(Kind("small", "trace", 8), Size(2, 100, 32, (320, 80)), epochs=10)
LARGE = Work(Kind("large", "trace", 8), Size(4, 10_000, 32, (320, 80)), epochs=10)
OTHER = replace(SMALL, kind=Kind("other", "another", 8))


def costs() -> Costs:
    return Costs(
        [
            Sample(SMALL, Measured(0, 1, build_s=0.5, trace_s=1.5, epoch_s=0.1, end_s=0.0)),
            Sample(LARGE, Measured(1, 1, build_s=0.5, trace_s=0.0, epoch_s=0.4, end_s=0.0)),
        ]
    )


def test_what_was_measured_is_predicted_as_it_was() -> None:
    made = costs()

    assert made.epoch_s(SMALL, 1) == pytest.approx(0.1)
    assert made.epoch_s(LARGE, 1) == pytest.approx(0.4)
    assert made.build_s(SMALL) == pytest.approx(0.5, rel=0.3)
    assert made.build_s(SMALL) + made.trace_s(SMALL) == pytest.approx(2.0, rel=0.1)


def test_what_lies_between_is_predicted_to_take_a_time_between() -> None:
    middle = Work(Kind("middle", "third"), Size(3, 1000, 32, (320, 80)), epochs=1)

    assert 0.1 < costs().epoch_s(middle, 1) < 0.4


def test_trials_side_by_side_take_far_less_than_one_after_another() -> None:
    made = costs()

    assert made.epoch_s(SMALL, 8) < 3 * made.epoch_s(SMALL, 1)
    assert made.epoch_s(LARGE, 16) > made.epoch_s(LARGE, 8)


@pytest.mark.parametrize(
    ("works", "workers", "seconds"),
    [
        ([SMALL], 1, 2.0 + 1.0),
        ([SMALL], 2, 2.0 + 1.0),
        ([SMALL, LARGE], 1, 2.0 + 1.0 + 0.5 + 4.0),  # the second has its trace from the first
        ([SMALL, LARGE], 2, 2.0 + 4.0),  # each worker traces for itself
        ([SMALL, SMALL], 2, 2.0 + 1.0),  # a free worker takes its share
    ],
)
def test_the_clock_of_the_replay_is_the_sum_along_the_busiest_worker(
    works: list[Work], workers: int, seconds: float
) -> None:
    assert training_seconds([works], workers, costs()) == pytest.approx(seconds, rel=0.1)


def test_a_round_waits_for_the_one_before() -> None:
    together = training_seconds([[SMALL, LARGE]], 2, costs())
    apart = training_seconds([[SMALL], [LARGE]], 2, costs())

    assert apart > together


def test_a_small_network_that_comes_back_is_not_built_again() -> None:
    made, huge = costs(), replace(LARGE, size=replace(LARGE.size, weights=1_000_000))
    returns = {work: training_seconds([[work], [work]], 1, made) for work in (SMALL, huge)}

    assert returns[SMALL] == pytest.approx(made.build_s(SMALL) + made.trace_s(SMALL) + 2 * made.population_s([SMALL]))
    assert returns[huge] == pytest.approx(2 * made.build_s(huge) + made.trace_s(huge) + 2 * made.population_s([huge]))


def test_a_trial_that_ends_early_frees_its_slot_and_not_the_others() -> None:
    long = replace(LARGE, epochs=20)

    assert costs().population_s([LARGE, long]) == pytest.approx(20 * 0.4, rel=0.05)


def test_early_stopping_is_expected_two_thirds_of_the_way() -> None:
    assert replace(SMALL, patience=4).expected().epochs == 8
    assert replace(SMALL, patience=10).expected().epochs == 10
    assert SMALL.expected() is SMALL
