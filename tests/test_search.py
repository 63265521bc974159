"""Whole searches by the command line, on real data, in real processes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, hptune, predict_without_hptune, start, wait_for_records

from hptune.run.journal import read_journal

pytestmark = pytest.mark.tensorflow

SMALL = ("--max-trials", "3", "--set", "training.epochs=3")

# One for each task; tests/test_spec.py loads them all.
CONFIGS = [ROOT / "configs" / f"{name}.yaml" for name in ("customers", "diabetes", "digits")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_each_config_runs_to_the_end(config: Path, tmp_path: Path) -> None:
    overrides = ("--set", "training.epochs=3", "--max-trials", "3")

    done = hptune("search", config, *overrides, folder=tmp_path)

    run = tmp_path / "runs" / config.stem
    rows = list(csv.DictReader((run / "leaderboard.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["completed"] * 3
    assert "Leaderboard of" in done.stdout
    metrics = json.loads((run / "best" / "metrics.json").read_text())
    assert metrics["trial"] == int(rows[0]["trial"])
    assert metrics["validation"][metrics["objective"]["metric"]] == float(rows[0]["score"])
    if "mse" in metrics["test"]:
        # In every part the loss is the squared error in the same standardized units.
        scales = [
            scores["mse"] / scores["loss"] for scores in (metrics["test"], metrics["validation"], metrics["train"])
        ]
        assert scales == pytest.approx([scales[0]] * 3)
    assert set(metrics["baselines"]) in ({"majority", "linear"}, {"mean", "linear"})
    assert not (run / "arrays").exists()
    assert not list(run.rglob("*.part"))
    assert not (run / "holder.json").exists()


SHARED = {
    "eucalyptus": ("customers.yaml", "target", "accuracy", "max", ("c0", "c1", "c2", "c3", "c4")),
    "abalone": ("diabetes.yaml", "rings", "rmse", "min", ()),
}


@pytest.mark.parametrize("name", SHARED)
def test_public_tables_run_with_a_file_for_each_part(name: str, shared_data: Path, tmp_path: Path) -> None:
    config, target, metric, direction, codes = SHARED[name]
    folder = shared_data / name
    source = f"{{train: {folder}/train.csv, validation: {folder}/val.csv, test: {folder}/test.csv}}"
    task = "regression" if metric == "rmse" else "auto"
    overrides = [
        f"data.source={source}",
        f"data.target={target}",
        f"data.task={task}",
        f"data.columns={{categorical: [{', '.join(codes)}]}}",
        "data.positive=null",
        f"objective={{metric: {metric}, direction: {direction}}}",
        "training.epochs=3",
    ]

    hptune(
        "search",
        ROOT / "configs" / config,
        "--max-trials",
        "2",
        *(word for override in overrides for word in ("--set", override)),
        folder=tmp_path,
    )

    metrics = json.loads(next(tmp_path.glob("runs/*/best/metrics.json")).read_text())
    sizes = {part: len((folder / f"{file}.csv").read_text().splitlines()) - 1 for part, file in PARTS.items()}
    assert metrics["rows"] == sizes
    assert metric in metrics["test"]


PARTS = {"train": "train", "validation": "val", "test": "test"}


SEARCH = (
    *("search", ROOT / "configs" / "customers.yaml", "--max-trials", "5"),
    *("--set", "model={blocks: [1, 2], units: 8, dropout: {min: 0.0, max: 0.5}}", "--set", "training.epochs=4"),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    hptune(*SEARCH, "--workers", "1", folder=folder)
    return folder / "runs" / "customers"


@pytest.mark.long
def test_a_killed_search_goes_on_and_ends_with_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "customers"
    for ends in (1, 3):
        process = start(*SEARCH, folder=tmp_path)
        wait_for_records(run, "end", ends, process)
        process.kill()
        process.communicate()

    report = hptune("report", "--json", folder=tmp_path)
    hptune(*SEARCH, folder=tmp_path)

    assert len(json.loads(report.stdout)["trials"]) >= 3
    for name in ("leaderboard.csv", "leaderboard.json"):
        assert (run / name).read_bytes() == (undisturbed / name).read_bytes()
    proposals = [
        record["trial"] for record in read_journal(run / "journal.jsonl").records if record["type"] == "propose"
    ]
    assert proposals == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_search_and_says_how_to_go_on(number: int, code: int, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "customers"
    process = start(*SEARCH[:-1], "training.epochs=2000", "--set", "training.early_stopping=null", folder=tmp_path)
    wait_for_records(run, "start", 1, process)
    time.sleep(1)

    began = time.monotonic()
    process.send_signal(number)
    _, words = process.communicate(timeout=30)

    assert process.returncode == code
    assert time.monotonic() - began < 10
    assert f"everything finished is kept; go on with: hptune search {SEARCH[1]}" in words
    records = read_journal(run / "journal.jsonl").records
    assert records[-1]["type"] == "stop"
    assert records[-1]["reason"] == "interrupted"
    assert {record["outcome"] for record in records if record["type"] == "end"} == {"interrupted"}


def test_a_finished_search_is_not_searched_again(undisturbed: Path) -> None:
    before = {path: path.read_bytes() for path in undisturbed.rglob("*") if path.is_file()}

    done = hptune(*SEARCH, folder=undisturbed.parent.parent)

    assert "5 of 5 trials completed" in done.stdout
    assert {path: path.read_bytes() for path in undisturbed.rglob("*") if path.is_file()} == before


def test_a_changed_experiment_is_refused_with_the_difference(undisturbed: Path) -> None:
    done = hptune(*SEARCH, "--set", "model.units=[16, 32]", folder=undisturbed.parent.parent, code=8)

    assert done.stderr == (
        "error: run customers began with another experiment or other data:\n"
        "  model.units: was 8, now [16, 32]\n"
        "undo the change, begin another run with --run NAME, move this one aside with --fresh, or go on "
        "with --accept-changes and keep the trials that are still valid\n"
    )


def test_changed_data_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    config = tmp_path / "customers.yaml"
    config.write_bytes((ROOT / "configs" / "customers.yaml").read_bytes())
    (tmp_path / "data").mkdir()
    table = (ROOT / "configs" / "data" / "customers.csv").read_text()
    (tmp_path / "data" / "customers.csv").write_text(table.replace("C0000,37", "C0000,38"))

    done = hptune("search", config, *SEARCH[2:], "--runs", undisturbed.parent, folder=tmp_path, code=8)

    assert "data/customers.csv: was " in done.stderr


def test_every_regression_score_is_scikit_learns_for_the_table_itself(tmp_path: Path) -> None:
    config = ROOT / "configs" / "diabetes.yaml"
    hptune("search", config, *SMALL, folder=tmp_path)

    program = """
import csv, sys, numpy as np
from pathlib import Path
from sklearn.datasets import load_diabetes
from sklearn.metrics import root_mean_squared_error
from hptune.groundwork import lay_groundwork
from hptune.data.split import split_rows
run = Path(sys.argv[1])
ground = lay_groundwork(Path(sys.argv[2]))
truth = load_diabetes().target[split_rows(ground.dataset, ground.experiment.data.split).validation]
for row in csv.DictReader((run / "leaderboard.csv").open()):
    stored = np.load(run / "trials" / f"{int(row['trial']):04d}" / "predictions.npy")
    assert root_mean_squared_error(truth, stored.astype(float)) == float(row["score"]), row
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "runs" / "diabetes", config], check=True, timeout=120)


def test_every_score_is_scikit_learns_for_the_stored_predictions(undisturbed: Path) -> None:
    program = """
import csv, sys, json, numpy as np
from pathlib import Path
from sklearn.metrics import roc_auc_score
from hptune.groundwork import lay_groundwork
from hptune.data.split import split_rows
run = Path(sys.argv[1])
ground = lay_groundwork(Path(sys.argv[2]))
rows = split_rows(ground.dataset, ground.experiment.data.split).validation
truth = ground.dataset.frame[rows]["churned"] == "yes"
for row in csv.DictReader((run / "leaderboard.csv").open()):
    stored = np.load(run / "trials" / f"{int(row['trial']):04d}" / "predictions.npy").astype(float)
    stored /= stored.sum(axis=1, keepdims=True)
    assert roc_auc_score(truth, stored[:, 1]) == float(row["score"]), row
"""
    subprocess.run([sys.executable, "-c", program, undisturbed, SEARCH[1]], check=True, timeout=120)


@pytest.mark.long
def test_the_model_loads_with_keras_alone_and_predicts_what_the_search_did(undisturbed: Path, tmp_path: Path) -> None:
    table = ROOT / "configs" / "data" / "customers.csv"

    theirs, unseen = predict_without_hptune(undisturbed / "best" / "model.keras", table)
    ours = csv.DictReader(hptune("predict", undisturbed, table, folder=tmp_path).stdout.splitlines())

    assert [row[0] for row in theirs] == pytest.approx([float(row["p_no"]) for row in ours], abs=1e-5)
    assert all(0 <= probability <= 1 for row in unseen for probability in row)


def test_predict_takes_unseen_categories_and_gaps_and_keeps_the_id(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        "customer,region,age,income,visits,plan,city,extra\nX1,999,,?,3,basic,Bern,1\nX2,102,40,1000,2,gold,NA,2\n"
    )

    done = hptune("predict", undisturbed, "new.csv", folder=tmp_path)

    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["customer", "prediction", "p_no", "p_yes"]
    assert [row["customer"] for row in rows] == ["X1", "X2"]
    assert all(abs(float(row["p_no"]) + float(row["p_yes"]) - 1) < 1e-6 for row in rows)
    assert done.stderr == (
        'warning: column "plan": 1 rows have a category that training never saw, such as "gold"; '
        "they are predicted as unknown\n"
        'warning: column "region": 1 rows have a category that training never saw, such as "999"; '
        "they are predicted as unknown\n"
    )


def test_columns_may_be_called_as_layers_are(tmp_path: Path) -> None:
    header = "network,cast,where,codes_1,a/b,target\n"
    rows = [f"{n % 7},{n},{'xyz'[n % 3]},{'ab'[n % 2]},{n % 5},{'ny'[n % 2]}\n" for n in range(60)]
    (tmp_path / "table.csv").write_text(header + "".join(rows))
    (tmp_path / "x.yaml").write_text(
        "name: x\ndata: {source: table.csv, target: target}\nobjective: {metric: accuracy, direction: max}\n"
        "strategy: {name: random}\nbudget: {max_trials: 1}\ntraining: {epochs: 2}\n"
    )

    hptune("search", "x.yaml", folder=tmp_path)

    assert len(hptune("predict", "x", "table.csv", folder=tmp_path).stdout.splitlines()) == 61


def test_predict_names_missing_columns_and_bad_cells(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("region,Age,income,visits,plan\n102,40,much,2,plus\n")

    done = hptune("predict", undisturbed, "new.csv", folder=tmp_path, code=2)

    assert done.stderr == (
        'error: new.csv: input: expected a column of the table, got "age"; did you mean "Age"?\n'
        'new.csv: column "income": row 2: expected a number, got "much"; list it under data.missing\n'
        'new.csv: input: expected a column of the table, got "city"; its columns are "region", "Age", "income", '
        '"visits", "plan"\n'
    )


def test_an_altered_model_is_not_opened(undisturbed: Path, tmp_path: Path) -> None:
    program = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
    subprocess.run([sys.executable, "-c", program, undisturbed, tmp_path / "copy"], check=True)
    with (tmp_path / "copy" / "best" / "model.keras").open("ab") as stream:
        stream.write(b"x")

    done = hptune("predict", tmp_path / "copy", ROOT / "configs/data/customers.csv", folder=tmp_path, code=6)

    assert "its SHA-256 is not what the journal recorded" in done.stderr


def test_hyperparameters_can_be_pasted_into_an_experiment(undisturbed: Path, tmp_path: Path) -> None:
    winner = yaml.safe_load((undisturbed / "best" / "hyperparameters.yaml").read_text())
    experiment = yaml.safe_load((ROOT / "configs" / "customers.yaml").read_text())
    experiment["data"]["source"] = str(ROOT / "configs" / "data" / "customers.csv")
    experiment["data"]["preparation"] = winner["data"]["preparation"]
    experiment["model"], experiment["training"] = winner["model"], winner["training"]
    config = tmp_path / "pasted.yaml"
    config.write_text(yaml.safe_dump(experiment))

    facts = json.loads(hptune("check", config, "--json", folder=tmp_path).stdout)

    assert facts["space"] == {"count": 1, "dimensions": []}


def test_the_report_comes_in_every_format(undisturbed: Path) -> None:
    folder = undisturbed.parent.parent

    assert "| rank | trial |" in hptune("report", "--format", "markdown", folder=folder).stdout
    assert hptune("report", "--format", "csv", folder=folder).stdout == (undisturbed / "leaderboard.csv").read_text()
    assert json.loads(hptune("report", "customers", "--json", folder=folder).stdout)["outcomes"] == {"completed": 5}
    assert "Trial 2" in hptune("report", "--trial", "2", folder=folder).stdout
    refused = hptune("report", "--trial", "99", folder=folder, code=2).stderr
    assert refused == "error: --trial 99: expected a trial that has ended, the last one is 4\n"


def test_gates_end_with_three(undisturbed: Path) -> None:
    folder = undisturbed.parent.parent

    hptune("report", "--fail-under", "accuracy=0.1", folder=folder)
    failed = hptune("report", "--fail-under", "validation:roc_auc=0.9999", folder=folder, code=3)
    hptune("report", "--fail-under", "log_loss=0.0001", folder=folder, code=3)
    unknown = hptune("report", "--fail-under", "rmse=1", folder=folder, code=2)

    assert failed.stderr.startswith("error: gate failed: validation roc_auc: expected at least 0.9999, got 0.")
    assert "expected one of the test metrics, which are: accuracy" in unknown.stderr


@pytest.mark.long
def test_json_lines_stay_apart_from_words(tmp_path: Path) -> None:
    done = hptune(*SEARCH[:2], *SMALL, "--json", folder=tmp_path)

    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["type"] for record in records] == ["trial"] * 3 + ["done"]
    assert {record["schema"] for record in records} == {1}
    progress = [record["progress"] for record in records[:-1]]
    assert [line["done"] for line in progress] == [1, 2, 3]
    assert {line["planned"] for line in progress} == {3}
    assert all(1 <= line["slots"]["taken"] <= line["slots"]["total"] for line in progress)
    assert all(line["trials_a_minute"] > 0 for line in progress)
    assert progress[-1]["seconds_left"] == 0
    assert progress[0]["seconds_passed"] <= progress[-1]["seconds_passed"]


def test_a_search_without_a_single_success_sums_up_the_causes(tmp_path: Path) -> None:
    done = hptune(
        "search",
        ROOT / "configs" / "diabetes.yaml",
        "--max-trials",
        "2",
        "--set",
        "training={optimizer: sgd, learning_rate: 1e30, epochs: 3}",
        folder=tmp_path,
        code=4,
    )

    assert "error: no trial completed; 2 failed:\n" in done.stderr
    assert "diverged: epoch 1: predictions are not finite; a smaller learning rate may help" in done.stderr


def test_two_searches_of_one_run_do_not_meet(tmp_path: Path) -> None:
    process = start(*SEARCH[:-1], "training.epochs=500", folder=tmp_path)
    wait_for_records(tmp_path / "runs" / "customers", "start", 1, process)

    done = hptune(*SEARCH[:-1], "training.epochs=500", folder=tmp_path, code=5)
    process.kill()
    process.communicate()

    assert f"error: run customers is in use by process {process.pid} on " in done.stderr
