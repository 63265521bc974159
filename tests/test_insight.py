"""What a search leaves beside its best model: how sure the winner is, where it errs, and the page that tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hptune.api import report, search
from hptune.reporting.summary import Summary
from hptune.revisit import revisit
from hptune.run.folder import RunFolder

pytestmark = pytest.mark.tensorflow

CLASSES: dict[str, Any] = {
    "name": "wine",
    "data": {"source": "sklearn:wine", "target": "target"},
    "objective": {"metric": "accuracy", "direction": "max"},
    "strategy": {"name": "random", "seed": 1},
    "budget": {"max_trials": 4},
    "model": {"units": [8, 16], "l1": {"min": 1.0, "max": 10.0, "log": True}},
    "training": {"epochs": 3, "learning_rate": 0.01},
}
NUMBERS: dict[str, Any] = {
    "name": "diabetes",
    "data": {"source": "sklearn:diabetes", "target": "target"},
    "objective": {"metric": "rmse", "direction": "min"},
    "strategy": {"name": "random", "seed": 1},
    "budget": {"max_trials": 3},
    "model": {"units": [8, 16, 32]},
    "training": {"epochs": 3},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of classes and one of numbers."""
    folder = tmp_path_factory.mktemp("runs")
    for experiment in (CLASSES, NUMBERS):
        search(experiment, runs=folder, workers=2)
    return folder


def insight_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "insight.json").read_text()))


def winner_of(runs: Path, name: str) -> tuple[Summary, np.ndarray]:
    summary = report(name, runs=runs)
    assert summary.best is not None
    path = RunFolder(runs / name).verified(summary.best.file("predictions.npy"))
    return summary, np.load(path)


def test_the_confusion_matrix_counts_what_the_winner_predicted(runs: Path) -> None:
    summary, predictions = winner_of(runs, "wine")
    validation = insight_of(runs / "wine")["validation"]

    counts = np.array(validation["confusion"]["counts"])

    assert validation["rows"] == counts.sum() == len(predictions)
    assert counts.sum(axis=0).tolist() == np.bincount(predictions.argmax(axis=1), minlength=3).tolist()
    assert np.trace(counts) / counts.sum() == pytest.approx(summary.best.score)


def test_a_run_on_a_table_of_scikit_learn_finds_its_data_again(runs: Path) -> None:
    folder = next(RunFolder(path) for path in runs.iterdir() if "sklearn:" in (path / "resolved.yaml").read_text())

    assert revisit(folder, folder.read()).dataset.frame.height > 100


def test_the_interval_holds_the_score_and_rivals_are_compared_with_it(runs: Path) -> None:
    summary, _ = winner_of(runs, "wine")
    validation = insight_of(runs / "wine")["validation"]

    assert validation["low"] <= summary.best.score <= validation["high"]
    assert validation["low"] < validation["high"]
    assert [rival["trial"] for rival in validation["rivals"]] == [t.number for t in summary.leaderboard.scored[1:]]
    assert all(rival["low"] <= summary.best.score - rival["score"] <= rival["high"] for rival in validation["rivals"])


def test_zeros_are_counted_in_the_weights_that_were_kept(runs: Path) -> None:
    summary, _ = winner_of(runs, "wine")
    folder = RunFolder(runs / "wine")

    found = insight_of(runs / "wine")["zeros"]

    for trial in summary.leaderboard.scored:
        with np.load(folder.verified(trial.file("weights.npz"))) as arrays:
            kernels = np.concatenate([arrays[name].ravel() for name in arrays.files if name.endswith("/kernel")])
        assert found[str(trial.number)] == pytest.approx(np.mean(kernels == 0))
    assert max(found.values()) > 0
    assert insight_of(runs / "diabetes")["zeros"] == {}


def test_regularization_is_told_layer_by_layer(runs: Path) -> None:
    summary, _ = winner_of(runs, "wine")
    folder = RunFolder(runs / "wine")
    told = {entry["trial"]: entry for entry in insight_of(runs / "wine")["regularization"]}

    assert told.keys() == {trial.number for trial in summary.leaderboard.scored}
    for trial in summary.leaderboard.scored:
        with np.load(folder.verified(trial.file("weights.npz"))) as arrays:
            kernels = {name.removesuffix("/kernel"): arrays[name] for name in arrays.files if name.endswith("/kernel")}
        silent = json.loads(folder.verified(trial.file("curve.json")).read_text())["silent_units"]
        assert silent.keys() == {name for name in kernels if name != "output"}
        entry = told[trial.number]
        assert entry["gap"] == trial.metrics["loss"] - trial.metrics["train_loss"]
        assert entry["weights_left"] == trial.weights - sum(int((kernel == 0).sum()) for kernel in kernels.values())
        for layer, (name, kernel) in zip(entry["layers"], kernels.items(), strict=True):
            assert layer == {
                "name": name,
                "weights": kernel.size,
                "zeros": pytest.approx(np.mean(kernel == 0)),
                "norm": pytest.approx(np.linalg.norm(kernel)),
                "units": kernel.shape[1],
                "dead": silent.get(name),
                "unconnected": int((np.abs(kernel).sum(axis=0) == 0).sum()),
            }
    # What is unconnected says the same of every row, but a unit may also be dead with all its weights.
    layers = [layer for entry in told.values() for layer in entry["layers"] if layer["dead"] is not None]
    assert all(layer["unconnected"] <= layer["dead"] <= layer["units"] for layer in layers)
    assert layers
    page = (runs / "wine" / "report.html").read_text()
    best = told[summary.best.number]
    assert f"{best['weights']} numbers, {best['weights_left']} without those that are zero" in page


def test_the_reliability_curve_is_in_the_report(runs: Path) -> None:
    summary, predictions = winner_of(runs, "wine")
    found = insight_of(runs / "wine")["validation"]["calibration"]

    rows = sum(entry["rows"] for entry in found["bins"])
    mean = sum(entry["rows"] * entry["predicted"] for entry in found["bins"]) / rows
    right = sum(entry["rows"] * entry["observed"] for entry in found["bins"]) / rows
    assert rows == len(predictions)
    assert mean == pytest.approx(predictions.max(axis=1).mean())
    assert right == pytest.approx(summary.best.metrics["accuracy"])
    assert "calibration" not in insight_of(runs / "diabetes")["validation"]


def test_residuals_are_true_and_predicted_values_in_their_own_unit(runs: Path) -> None:
    summary, predictions = winner_of(runs, "diabetes")

    found = insight_of(runs / "diabetes")["validation"]["residuals"]

    truth, predicted = np.array(found["truth"]), np.array(found["predicted"])
    assert predicted == pytest.approx(predictions)
    assert np.sqrt(np.mean((truth - predicted) ** 2)) == pytest.approx(summary.best.score)


def test_a_finished_search_makes_what_was_lost_again_to_the_byte(runs: Path) -> None:
    path = runs / "wine" / "insight.json"
    before = path.read_bytes()
    path.unlink()

    search(CLASSES, runs=runs)

    assert path.read_bytes() == before


def test_the_page_tells_the_verdict(runs: Path) -> None:
    page = (runs / "wine" / "report.html").read_text()
    validation = insight_of(runs / "wine")["validation"]

    assert f"from {validation['draws']} bootstrap draws of the {validation['rows']} validation rows" in page
    assert "always saying the class shares" in page
    assert page.count("scored after everything was chosen") == 1
    assert "Confusion matrix" in page
    assert "hptune ensemble wine averages the best trials" in page
    assert 'data-figure="residuals"' in (runs / "diabetes" / "report.html").read_text()


def test_a_page_that_cannot_be_written_does_not_fail_the_search(tmp_path: Path) -> None:
    experiment = {**NUMBERS, "budget": {"max_trials": 1}}
    folder = tmp_path / "diabetes"
    search(experiment, runs=tmp_path)
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()

    summary = search(experiment, runs=tmp_path)

    assert summary.best is not None
    assert "report.html could not be written" in (folder / "hptune.log").read_text()
