"""Our metrics against scikit-learn's, on probabilities as networks give them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hptune.metrics import compute_metrics, reported_metrics
from hptune.objective import metrics_of

sizes = st.integers(2, 60)
seeds = st.integers(0, 2**32 - 1)


def draw(rows: int, classes: int, seed: int, coarse: bool, spread: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, spread, (rows, classes))
    logits = np.round(logits) if coarse else logits
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return generator.integers(0, classes, rows), (probabilities / probabilities.sum(1, keepdims=True)).astype(
        np.float32
    )


def draw_weights(weighing: str, rows: int, seed: int) -> np.ndarray | None:
    if weighing == "all equal":
        return None
    weights = np.random.default_rng(seed).uniform(0.1, 5, rows)
    if weighing == "some zero":
        weights[1::3] = 0
    return weights


@settings(max_examples=100, deadline=None)
@given(
    sizes,
    st.integers(2, 6),
    seeds,
    st.booleans(),
    st.sampled_from([0.1, 3.0, 500.0]),
    st.booleans(),
    st.sampled_from(["all equal", "random", "some zero"]),
)
def test_classification_agrees_with_scikit_learn(
    rows: int, classes: int, seed: int, coarse: bool, spread: float, lacks_a_class: bool, weighing: str
) -> None:
    truth, prediction = draw(rows, classes, seed, coarse, spread)
    truth = np.minimum(truth, classes - 2) if lacks_a_class else truth
    task, positive = ("binary", seed % 2) if classes == 2 else ("multiclass", None)

    weights = draw_weights(weighing, rows, seed)

    ours = compute_metrics(task, truth, prediction, positive, 1.0, weights)
    theirs = reported_metrics(task, truth, prediction, positive, 1.0, weights)

    assert list(ours) == list(theirs)
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=2, max_size=40),
    st.floats(0.1, 100),
    st.sampled_from(["all equal", "random"]),
)
def test_regression_agrees_with_scikit_learn(pairs: list[tuple[float, float]], scale: float, weighing: str) -> None:
    truth, prediction = (np.array(column) for column in zip(*pairs, strict=True))
    weights = draw_weights(weighing, len(truth), 0)

    ours = compute_metrics("regression", truth, prediction.astype(np.float32), None, scale, weights)
    theirs = reported_metrics("regression", truth, prediction.astype(np.float32), None, scale, weights)

    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)


def test_reported_figures_are_what_a_user_gets_from_scikit_learn() -> None:
    truth, prediction = draw(200, 2, 1, coarse=False)
    p = prediction.astype(float) / prediction.astype(float).sum(1, keepdims=True)
    chosen = prediction.argmax(1)

    scores = reported_metrics("binary", truth, prediction, 1)

    assert scores == {
        "accuracy": sk.accuracy_score(truth, chosen),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, chosen),
        "f1": sk.f1_score(truth, chosen),
        "f1_macro": sk.f1_score(truth, chosen, average="macro"),
        "f1_weighted": sk.f1_score(truth, chosen, average="weighted"),
        "roc_auc": sk.roc_auc_score(truth, p[:, 1]),
        "average_precision": sk.average_precision_score(truth, p[:, 1]),
        "log_loss": sk.log_loss(truth, p),
        "brier": sk.brier_score_loss(truth, p[:, 1]),
        "loss": sk.log_loss(truth, p),
    }


def test_reported_multiclass_figures_are_scikit_learns() -> None:
    truth, prediction = draw(200, 4, 2, coarse=False)
    p = prediction.astype(float) / prediction.astype(float).sum(1, keepdims=True)

    scores = reported_metrics("multiclass", truth, prediction, None)

    assert scores["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, p, multi_class="ovr"), abs=1e-15)
    assert scores["balanced_accuracy"] == sk.balanced_accuracy_score(truth, prediction.argmax(1))
    assert scores["brier"] == sk.brier_score_loss(truth, p)
    assert scores["log_loss"] == sk.log_loss(truth, p)


def test_every_metric_of_the_catalogue_is_computed() -> None:
    for task, classes, positive in (("binary", 2, 0), ("multiclass", 3, None)):
        truth, prediction = draw(60, classes, 0, coarse=False)
        assert set(compute_metrics(task, truth, prediction, positive)) == set(metrics_of(task))
    values = np.array([1.0, 2.0, 4.0])
    assert set(compute_metrics("regression", values, values + 1, None)) == set(metrics_of("regression"))


def test_a_metric_without_meaning_for_these_rows_is_left_out() -> None:
    scores = compute_metrics("binary", np.array([1, 1]), np.array([[0.2, 0.8], [0.6, 0.4]]), 1)

    assert "roc_auc" not in scores
    assert scores["accuracy"] == 0.5


def test_a_constant_truth_has_the_r2_of_scikit_learn() -> None:
    truth = np.array([3.0, 3.0])

    for prediction in (truth, truth + 1):
        assert compute_metrics("regression", truth, prediction, None)["r2"] == sk.r2_score(truth, prediction)


def test_a_row_of_weight_two_counts_as_two_rows_and_one_of_weight_zero_not_at_all() -> None:
    truth, prediction = draw(90, 3, 5, coarse=True)
    weights = np.random.default_rng(1).integers(0, 3, 90)
    doubled = np.repeat(np.arange(90), weights)

    weighted = compute_metrics("multiclass", truth, prediction, None, 1.0, weights.astype(float))

    assert weighted == pytest.approx(compute_metrics("multiclass", truth[doubled], prediction[doubled], None))
