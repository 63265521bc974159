"""Intervals: metrics of counts are those of repeated rows, and intervals cover as often as they say."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.bootstrap import Guess, Yardstick, draw_scores
from hptune.metrics import compute_metrics
from hptune.objective import METRICS, Task
from hptune.resampling import (
    DRAWS,
    Figure,
    apart,
    better_by,
    draw_counts,
    interval,
    is_lost,
    metric_statistics,
)

RMSE = METRICS["rmse"].aim


def make_rows(task: str, seed: int, rows: int) -> tuple[Any, Any, int | None]:
    """Make truth and predictions with ties, and the positive class."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        truth = generator.normal(1000, 2, rows).round(1)
        return truth, truth + generator.normal(0, 1, rows).round(1), None
    classes = 2 if task == "binary" else 4
    raw = generator.integers(1, 6, (rows, classes)).astype(np.float32)
    return generator.integers(0, classes, rows), raw / raw.sum(axis=1, keepdims=True), 1 if task == "binary" else None


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 40), is_weighted=st.booleans())
def test_a_metric_of_counts_is_that_of_rows_that_are_repeated(
    task: str, seed: int, rows: int, is_weighted: bool
) -> None:
    truth, prediction, positive = make_rows(task, seed, rows)
    kind = cast("Task", task)
    weights = np.random.default_rng(seed).uniform(0.5, 2, rows) if is_weighted else None
    statistics = metric_statistics(kind, truth, prediction, positive, 2.0, weights)
    (counts,) = draw_counts(rows, seed, 3)

    found = {name: statistic(counts) for name, statistic in statistics.items()}

    for draw, times in enumerate(counts.astype(int)):
        again = np.repeat(np.arange(rows), times)
        own = None if weights is None else weights[again]
        expected = compute_metrics(kind, truth[again], prediction[again], positive, 2.0, own)
        # The weighted mean of equal values misses them by a rounding, by which scikit-learn then divides.
        without = {"r2"} if is_weighted and rows > 1 and len(set(truth[again])) == 1 else set()
        for name, scores in found.items():
            if name in without:
                continue
            if name in expected:
                assert scores[draw] == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name
            else:
                assert np.isnan(scores[draw]), name


def test_every_row_counts_once_in_each_draw_on_average_and_seeds_repeat() -> None:
    drawn = np.concatenate(list(draw_counts(3000, 7, 3000)))

    assert drawn.shape == (3000, 3000)
    assert (drawn.sum(axis=1) == 3000).all()
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.12)
    assert (np.concatenate(list(draw_counts(3000, 7, 3000))) == drawn).all()
    assert (next(draw_counts(3000, 8, 5)) != drawn[:5]).any()


def test_groups_are_drawn_whole() -> None:
    groups = np.array([7, 3, 7, 3, 3, 9])

    drawn = np.concatenate(list(draw_counts(6, 1, 50, groups)))

    assert all((drawn[:, groups == name] == drawn[:, groups == name][:, :1]).all() for name in (3, 7, 9))
    assert (drawn[:, [0, 1, 5]].sum(axis=1) == 3).all()
    assert len(np.unique(drawn, axis=0)) > 5


def test_decisions_are_made_at_the_threshold() -> None:
    truth, prediction, positive = make_rows("binary", 3, 200)
    assert positive is not None
    once = np.ones((1, 200))

    found = metric_statistics("binary", truth, prediction, positive, threshold=0.7)

    expected = Yardstick("binary", truth, positive, 1.0).report(Guess(prediction, threshold=0.7))
    assert {name: statistic(once)[0] for name, statistic in found.items()} == pytest.approx(expected, rel=1e-6)
    assert expected["accuracy"] != compute_metrics("binary", truth, prediction, positive)["accuracy"]


def test_the_difference_of_two_trainings_is_over_the_rows_of_both() -> None:
    """Two folds of one model, each on rows of its own, against another model on all rows."""
    truth, prediction, _ = make_rows("multiclass", 5, 60)
    yardstick = Yardstick("multiclass", truth, None, 1.0)
    halves = [np.arange(30), np.arange(30, 60)]

    folds, whole = draw_scores(
        yardstick, [[Guess(prediction[rows], rows) for rows in halves], [Guess(prediction)]], "accuracy", seed=1
    )

    # A mean of halves of nearly equal size is nearly the whole, draw by draw.
    assert np.abs(folds - whole).max() < 0.1
    assert np.corrcoef(folds, whole)[0, 1] > 0.98


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(300):
        truth = (generator.random(200) < 0.8).astype(int)
        prediction = np.tile([0.4, 0.6], (200, 1))
        found = interval(Figure(metric_statistics("binary", truth, prediction, 1)["accuracy"], 200), seed, 400)
        assert found is not None
        covered += found.low <= 0.8 <= found.high

    # 95% of 300 with four standard deviations of the binomial on either side.
    assert 270 <= covered <= 300


def test_a_paired_difference_is_surer_than_two_single_scores() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(0, 1, 300)
    hard = generator.normal(0, 1, 300)
    better, worse = truth + hard, truth + 1.1 * hard
    first, second = (metric_statistics("regression", truth, given, None)["rmse"] for given in (better, worse))

    gain = interval(Figure(better_by(first, second, RMSE), 300), 1)
    alone = interval(Figure(first, 300), 1)

    assert gain is not None
    assert alone is not None
    assert 0 < gain.low < gain.high
    assert gain.high - gain.low < (alone.high - alone.low) / 4
    assert not is_lost(gain)
    assert is_lost(interval(Figure(better_by(second, first, RMSE), 300), 1))


def test_equal_models_are_never_told_apart() -> None:
    truth, prediction, _ = make_rows("multiclass", 1, 50)
    scores = metric_statistics("multiclass", truth, prediction, None)["accuracy"]
    same = better_by(scores, scores, METRICS["accuracy"].aim)

    found = interval(Figure(same, 50), 1)

    assert found is not None
    assert (found.low, found.high, found.draws) == (0, 0, DRAWS)
    assert not is_lost(found)


def test_what_is_hardly_ever_defined_has_no_interval() -> None:
    truth, prediction = np.array([0] * 9), np.tile([0.5, 0.5], (9, 1))

    of_one_class, of_nothing = (metric_statistics("binary", truth[:n], prediction[:n], 1) for n in (9, 0))
    assert interval(Figure(of_one_class["roc_auc"], 9), 1) is None
    assert interval(Figure(of_nothing["accuracy"], 0), 1) is None


def test_rows_of_a_group_are_drawn_together() -> None:
    """Ten copies of each row say no more than the row: intervals by groups are those of the rows alone."""
    truth, prediction, _ = make_rows("regression", 2, 40)
    figure = Figure(metric_statistics("regression", truth, prediction, None)["rmse"], 40)
    copies = metric_statistics("regression", np.repeat(truth, 10), np.repeat(prediction, 10), None)["rmse"]
    groups = np.repeat(np.arange(40), 10)

    alone, together, blind = (interval(one, 1) for one in (figure, Figure(copies, 400, groups), Figure(copies, 400)))

    assert alone is not None
    assert together is not None
    assert blind is not None
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), rel=0.05)
    assert blind.high - blind.low < (together.high - together.low) / 2
    against = apart(Figure(copies, 400, groups), figure, RMSE, 1)
    assert against is not None
    assert against.low < 0 < against.high
    assert against.high - against.low > together.high - together.low
