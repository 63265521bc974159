"""Honest scores: folds, confirmation with fresh seeds, the last training on all rows, intervals and thresholds."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from hptune.answering import evaluate, predict
from hptune.api import ensemble, report, search
from hptune.bootstrap import Guess
from hptune.confirmation import plan_confirmation
from hptune.console.one_trial import show_one_trial
from hptune.console.screen import show_report
from hptune.description import read_description
from hptune.groundwork import lay_groundwork
from hptune.materials import Materials
from hptune.objective import Objective
from hptune.parts import name_parts
from hptune.reporting.machine import to_json
from hptune.reporting.markdown import to_markdown
from hptune.reporting.words import describe_ensemble
from hptune.resampling import Figure, better_by, interval
from hptune.run.folder import RunFolder
from hptune.run.records import History
from hptune.testrows import TEST_ROWS, load_test_rows
from hptune.trial import derive_seed

pytestmark = pytest.mark.tensorflow

FOLDED: dict[str, Any] = {
    "name": "wine",
    "data": {"source": "sklearn:wine", "target": "target"},
    "objective": {"metric": "accuracy", "direction": "max"},
    "strategy": {"name": "random", "seed": 1},
    "budget": {"max_trials": 3},
    "evaluation": {"folds": 3, "confirm": {"top": 2, "seeds": 2}},
    "model": {"units": [8, 16, 32], "l1": 0.01, "blocks": 1},
    "training": {"epochs": 4, "learning_rate": 0.02},
}
# A rare class, so that half is the wrong threshold; groups, weights.
ROWS = 400
PARTS = name_parts(3, 1)


def write_rare(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 2))
    is_ill = x[:, 0] + generator.normal(size=ROWS) > 2.0
    lines = [
        f"{a:.4f},{b:.4f},{1 + row % 3},{row % 80},{'ill' if ill else 'well'}"
        for row, ((a, b), ill) in enumerate(zip(x.tolist(), is_ill.tolist(), strict=True))
    ]
    path = folder / "rare.csv"
    path.write_text("\n".join(["a,b,weight,house,state", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with folds and confirmation, and one with repeats, weights, groups, a threshold and a last training."""
    folder = tmp_path_factory.mktemp("runs")
    search(FOLDED, runs=folder, workers=2)
    search(rare(write_rare(folder)), runs=folder, workers=2)
    return folder


def rare(table: Path) -> dict[str, Any]:
    columns = {"weight": "weight", "group": "house"}
    return {
        **FOLDED,
        "name": "rare",
        "data": {"source": str(table), "target": "state", "positive": "ill", "columns": columns},
        "objective": {"metric": "f1", "direction": "max"},
        "budget": {"max_trials": 2},
        "evaluation": {"repeats": 2, "refit": True},
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def metrics_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "best" / "metrics.json").read_text()))


def test_a_configuration_is_one_row_with_the_mean_of_its_folds(runs: Path) -> None:
    board, parts = (rows_of(runs / "wine" / f"{name}.csv") for name in ("leaderboard", "folds"))

    assert len(board) == 3
    for row in board:
        own = [part for part in parts if part["trial"] == row["trial"] and part["part"].startswith("fold")]
        scores = [float(part["score"]) for part in own]
        assert [part["part"] for part in own] == list(PARTS)
        assert float(row["score"]) == pytest.approx(np.mean(scores))
        assert float(row["std_error"]) == pytest.approx(np.std(scores, ddof=1) / 3**0.5)
        assert row["n"] == "3"
    epochs = rows_of(runs / "wine" / "history.csv")
    assert len({(row["trial"], row["part"], row["epoch"]) for row in epochs}) == len(epochs)


def test_predictions_are_those_of_the_fold_that_held_a_row_out(runs: Path) -> None:
    folder = RunFolder(runs / "wine")
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    history = folder.read()
    trial = history.ends[0]
    joined = np.load(folder.verified(trial.file("predictions.npy")))

    assert len(joined) == len(materials.split.validation) == len(materials.split.train) == 142
    for part, fold in zip(PARTS, materials.ground.folds, strict=True):
        own = np.load(folder.verified(history.parts[0, part].file("predictions.npy")))
        assert np.allclose(joined[np.isin(materials.split.validation, fold.validation)], own, atol=1e-7)
    # The means of each fold's own training rows, not of all rows.
    means = {materials.preparation(f"fold-{n}", "standard").numbers[0].mean for n in (1, 2, 3)}
    assert len(means) == 3


def test_candidates_are_confirmed_and_the_report_says_how_sure_it_is(runs: Path) -> None:
    board = rows_of(runs / "wine" / "leaderboard.csv")
    metrics = metrics_of(runs / "wine")

    confirmed = [row for row in board if row["confirmed"]]
    assert [row["rank"] for row in confirmed] == ["1", "2"]
    assert {row["confirmed_n"] for row in confirmed} == {"2"}
    parts = [row for row in rows_of(runs / "wine" / "folds.csv") if row["part"].startswith("confirm")]
    assert len(parts) == 2 * 2 * 3
    first = [float(row["score"]) for row in parts if row["trial"] == confirmed[0]["trial"]]
    assert float(confirmed[0]["confirmed"]) == pytest.approx(np.mean(first))
    choice = metrics["choice"]
    assert choice["confirmed"]
    assert choice["sentence"].startswith("Trained again with 2 fresh seeds, trial")
    tied = [row for row in board if int(row["trial"]) in choice["tie"]]
    assert metrics["trial"] == min((int(row["weights"]), int(row["trial"])) for row in tied)[1]
    assert choice["sentence"] in to_markdown(report("wine", runs=runs)).replace("\\", "")
    assert choice["sentence"] in (runs / "wine" / "report.html").read_text()


def test_one_trial_is_told_with_its_parts_and_their_spread(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = report("wine", runs=runs)
    trial = summary.leaderboard.scored[0]

    show_one_trial(summary, trial.number, "json", None)
    document = json.loads(capsys.readouterr().out)
    show_one_trial(summary, trial.number, "terminal", None)
    words = capsys.readouterr().out

    own = [row for row in rows_of(runs / "wine" / "folds.csv") if row["trial"] == str(trial.number)]
    assert [part["part"] for part in document["parts"]][:3] == list(PARTS)
    told = {part["part"]: part["score"] for part in document["parts"]}
    assert told == {row["part"]: float(row["score"]) for row in own}
    assert len({part["seed"] for part in document["parts"]}) == 3 + 2 * 3
    scores = [part["score"] for part in document["parts"][:3]]
    assert document["spread"]["search"] == pytest.approx(
        {
            "n": 3,
            "mean": trial.score,
            "std_error": trial.std_error,
            "lowest": min(scores),
            "highest": max(scores),
        }
    )
    again = summary.leaderboard.confirmed[trial.number]
    spread = document["spread"]["confirmation"]
    assert (spread["mean"], spread["std_error"], spread["n"]) == (again.score, again.std_error, 2)
    assert f"search: {trial.score:.4g} ± {trial.std_error:.4g} (mean and standard error of 3)" in words
    assert all(part["part"] in words for part in document["parts"])
    assert [layer["name"] for layer in document["layers"]] == ["block_1_dense", "output"]
    assert "unconnected" in words


def test_a_confirmed_search_is_not_confirmed_again(runs: Path) -> None:
    before = {
        path: path.read_bytes() for path in (runs / "wine").rglob("*") if path.is_file() and path.suffix != ".log"
    }

    search(FOLDED, runs=runs)

    after = {path: path.read_bytes() for path in (runs / "wine").rglob("*") if path.is_file() and path.suffix != ".log"}
    changed = [path.name for path in before if before[path] != after.get(path)]
    assert changed in ([], ["report.html"])
    assert before.keys() == after.keys()


def test_confirming_by_itself_costs_less_than_a_tenth(runs: Path) -> None:
    ground = lay_groundwork(RunFolder(runs / "wine").path / "resolved.yaml", ("evaluation.confirm=auto",))
    board = report("wine", runs=runs).leaderboard
    many = type(board)(Objective("accuracy", "max"), board.trials * 84, ())

    assert plan_confirmation(ground, board, History(), board.scored) == []
    # 5 candidates with 5 seeds on 3 folds are worth 250 trials.
    assert len(plan_confirmation(ground, many, History(), many.scored)) == 75
    assert plan_confirmation(ground, many, History(stop={"reason": "time used"}), many.scored) == []
    # Two were asked for, but only of the last one a model could be delivered.
    asked = lay_groundwork(RunFolder(runs / "wine").path / "resolved.yaml")
    left = plan_confirmation(asked, board, History(), board.scored[2:])
    assert {proposal.trial for proposal in left} == {board.scored[2].number}
    off = lay_groundwork(RunFolder(runs / "wine").path / "resolved.yaml", ("evaluation.confirm=false",))
    assert plan_confirmation(off, many, History(), many.scored) == []


def test_the_threshold_is_chosen_on_validation_rows_and_obeyed(runs: Path) -> None:
    metrics, folder = metrics_of(runs / "rare"), RunFolder(runs / "rare")
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    split = materials.split

    threshold = metrics["threshold"]
    assert 0 < threshold < 0.5
    yardstick = materials.yardstick(split.validation)
    (trial,) = [trial for trial in folder.read().ends.values() if trial.number == metrics["trial"]]
    stored = np.load(folder.verified(trial.file("predictions.npy")))[:, 0]
    every = [
        sk.f1_score(yardstick.truth == 0, stored >= cut, sample_weight=yardstick.weights) for cut in np.unique(stored)
    ]
    assert metrics["validation"]["f1"] == pytest.approx(max(every))
    test = load_test_rows(folder.best / TEST_ROWS).prediction
    truth = materials.yardstick(split.test)
    own = sk.f1_score(truth.truth == 0, test[:, 0] >= threshold, sample_weight=truth.weights)
    assert metrics["test"]["f1"] == pytest.approx(own)
    assert metrics["optimism"] == pytest.approx(metrics["validation"]["f1"] - own)
    labels = predict("rare", runs / "rare.csv", runs=runs).table
    assert ((labels["p_ill"] >= threshold) == (labels["prediction"] == "ill")).all()


def test_evaluate_gives_the_metrics_of_the_report(runs: Path) -> None:
    folder = RunFolder(runs / "rare")
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    lines = (runs / "rare.csv").read_text().splitlines()
    (runs / "test.csv").write_text("\n".join([lines[0], *(lines[1 + row] for row in materials.split.test)]) + "\n")

    found = evaluate("rare", runs / "test.csv", runs=runs)

    assert dict(found.metrics) == pytest.approx(metrics_of(runs / "rare")["test"])


def test_the_last_training_takes_all_rows_for_the_best_epochs_and_says_so(runs: Path) -> None:
    folder = RunFolder(runs / "rare")
    history, metrics = folder.read(), metrics_of(runs / "rare")

    refit = history.parts[metrics["trial"], "refit"]

    assert metrics["refit"]
    assert refit.epochs == history.ends[metrics["trial"]].best_epoch
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    assert len(materials.split_of("refit").train) == len(materials.split.train) + len(materials.split.validation)
    assert "no honest validation score exists for it" in to_markdown(report("rare", runs=runs))


def test_intervals_hold_the_test_scores_and_are_shown_everywhere(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, metrics = report("wine", runs=runs), metrics_of(runs / "wine")
    intervals = metrics["intervals"]

    for name, scores in {"test": metrics["test"], **metrics["baselines"]}.items():
        for metric, (low, high) in intervals["scores"][name].items():
            assert low - 1e-9 <= scores[metric] <= high + 1e-9
    gains = intervals["gains"]["majority"]["accuracy"]
    assert gains[0] <= metrics["test"]["accuracy"] - metrics["baselines"]["majority"]["accuracy"] <= gains[1]
    shown = "{:.4g} to {:.4g}".format(*intervals["scores"]["test"]["accuracy"])
    show_report(summary, "terminal", None)
    assert shown in capsys.readouterr().out
    assert shown in to_markdown(summary)
    assert json.loads(to_json(summary))["best"]["intervals"] == intervals
    page = (runs / "wine" / "report.html").read_text()
    data = json.loads(page.partition('id="page-data">')[2].partition("</script>")[0])
    assert data["std_error"] == pytest.approx([trial.std_error for trial in summary.leaderboard.trials], rel=1e-5)
    assert [score is not None for score in data["confirmed"]] == [True, True, False]
    headline = page.partition('<p class="headline">')[2].partition("</p>")[0]
    assert headline == f"accuracy {metrics['test']['accuracy']:.6g} (95% interval {shown})"


def test_calibration_is_measured_on_test_rows(runs: Path) -> None:
    folder = RunFolder(runs / "rare")
    metrics = metrics_of(folder.path)
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    truth = materials.yardstick(materials.split.test)
    claimed = load_test_rows(folder.best / TEST_ROWS).prediction[:, 0].astype(float)

    place = np.minimum((claimed * 10).astype(int), 9)
    error = sum(
        truth.weights[place == bin_].sum()
        * abs(np.average((claimed - (truth.truth == 0))[place == bin_], weights=truth.weights[place == bin_]))
        for bin_ in np.unique(place)
    )
    assert metrics["calibration"]["error"] == pytest.approx(error / truth.weights.sum())
    assert sum(entry["rows"] for entry in metrics["calibration"]["bins"]) == len(claimed)


@pytest.fixture
def copies(runs: Path, tmp_path: Path) -> Path:
    """The runs, to which an ensemble may be added."""
    return shutil.copytree(runs, tmp_path / "runs")


def test_an_ensemble_is_chosen_out_of_fold_and_holds_the_networks_of_every_fold(copies: Path) -> None:
    content = ensemble("wine", method="top", size=2, runs=copies)

    folder = RunFolder(copies / "wine")
    materials, history = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder), folder.read()
    assert content["chosen_by"] == {"rows": len(materials.split.validation), "folds": 3, "repeats": 1}
    numbers = [member["trial"] for member in content["members"]]
    assert [member["networks"] for member in content["members"]] == [3, 3]
    assert content["weights"] == sum(history.parts[number, part].weights or 0 for number in numbers for part in PARTS)
    # The mean of two networks in each fold, neither of which has seen its rows; then the mean over the folds.
    scores = []
    for part in PARTS:
        guesses = [materials.guess(history.parts[number, part]) for number in numbers]
        truth = materials.yardstick(materials.split.validation[guesses[0].rows]).truth
        together = np.mean([guess.values.astype(float) for guess in guesses], axis=0)
        scores.append(sk.accuracy_score(truth, together.argmax(axis=1)))
    assert content["validation"]["ensemble"] == pytest.approx(np.mean(scores))
    assert content["validation"]["best"] == pytest.approx(history.ends[metrics_of(folder.path)["trial"]].score)
    parts = content["ambiguity"]
    assert parts["ensemble"] == pytest.approx(parts["members"] - parts["disagreement"], abs=1e-9)
    assert content["test"]["best"] == metrics_of(folder.path)["test"]
    assert content["gain_interval"]["low"] <= content["gain"] <= content["gain_interval"]["high"]
    assert content["cost"]["ensemble"]["size_bytes"] > content["cost"]["best"]["size_bytes"]
    assert "trials are averages of their folds, 6 networks in all" in "\n".join(describe_ensemble(content))


def test_an_ensemble_takes_the_last_training_and_its_gain_is_drawn_by_groups_at_its_threshold(copies: Path) -> None:
    content = ensemble("rare", method="top", size=2, runs=copies)

    folder, metrics = RunFolder(copies / "rare"), metrics_of(copies / "rare")
    by_trial = {member["trial"]: member for member in content["members"]}
    winner = by_trial.pop(metrics["trial"])
    assert (winner["refit"], winner["networks"]) == (True, 1)
    assert [(member["refit"], member["networks"]) for member in by_trial.values()] == [(False, 2)]
    assert "trained on training and validation rows together" in "\n".join(describe_ensemble(content))
    threshold = read_description(folder.ensemble / "model.keras").threshold
    assert content["threshold"] == threshold
    assert threshold is not None
    # The best single model is judged by the threshold that it was delivered with.
    assert content["test"]["best"] == metrics["test"]
    materials = Materials(lay_groundwork(folder.path / "resolved.yaml"), folder)
    test = materials.split.test
    lines = (copies / "rare.csv").read_text().splitlines()
    (copies / "test.csv").write_text("\n".join([lines[0], *(lines[1 + row] for row in test)]) + "\n")
    yardstick = materials.yardstick(test)
    figures = []
    for model, own in (("ensemble", threshold), ("best", metrics["threshold"])):
        table = predict(str(folder.path / model / "model.keras"), copies / "test.csv").table
        guess = Guess(table.select("p_ill", "p_well").to_numpy(), threshold=own)
        figures.append(yardstick.statistics(guess)["f1"])
    gain = better_by(figures[0], figures[1], Objective("f1", "max"))
    seed = derive_seed(FOLDED["strategy"]["seed"], "ensemble")
    drawn = [interval(Figure(gain, len(test), groups), seed) for groups in (yardstick.groups, None)]
    assert drawn[0] != drawn[1]
    assert drawn[0] is not None
    assert (content["gain_interval"]["low"], content["gain_interval"]["high"]) == pytest.approx(
        (drawn[0].low, drawn[0].high)
    )
