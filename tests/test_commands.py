"""Ensemble, evaluate, runs, init, gates and the Python API, on one finished search by the command line."""

from __future__ import annotations

import base64
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, hptune, predict_without_hptune, run_python

from hptune.data.blocks import BLOCK_BYTES

pytestmark = pytest.mark.tensorflow

TABLE = ROOT / "configs" / "data" / "customers.csv"
CUSTOMERS = ROOT / "configs" / "customers.yaml"
SEARCH = ("search", CUSTOMERS, "--max-trials", "6", "--set", "training.epochs=6", "--quiet")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    hptune(*SEARCH, folder=folder)
    return folder


@pytest.fixture
def workplace(searched: Path, tmp_path: Path) -> Path:
    """A copy of the finished search that a test may change."""
    shutil.copytree(searched, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.long
def test_the_ensemble_loads_with_keras_alone_and_averages_its_members(workplace: Path) -> None:
    run = workplace / "runs" / "customers"

    content = json.loads(hptune("ensemble", "--size", "4", "--json", folder=workplace).stdout)

    assert content == json.loads((run / "ensemble" / "ensemble.json").read_text())
    best = content["validation"]["best"]
    assert content["validation"]["ensemble"] >= best
    assert sum(member["share"] for member in content["members"]) == pytest.approx(1)
    predicted = predict_without_hptune(run / "ensemble" / "model.keras", TABLE)[0]
    assert hptune("predict", run / "ensemble" / "model.keras", TABLE, folder=workplace).stdout.count("\n") == 801
    # What the members predicted for the validation rows, averaged by hand.
    program = """
import json, sys, numpy as np
from pathlib import Path
from hptune.groundwork import lay_groundwork
from hptune.data.split import split_rows
ground = lay_groundwork(Path(sys.argv[2]))
rows = split_rows(ground.dataset, ground.experiment.data.split).validation
total = 0
for member in json.loads(sys.argv[3]):
    total = total + member["share"] * np.load(f"{sys.argv[1]}/trials/{member['trial']:04d}/predictions.npy")[:, 1]
print(json.dumps([rows.tolist(), total.tolist()]))
"""
    rows, expected = json.loads(
        run_python("-c", program, run, CUSTOMERS, json.dumps(content["members"]), folder=workplace).stdout
    )
    assert [predicted[row][1] for row in rows] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("method", ["weighted", "stacking"])
@pytest.mark.long
def test_computed_shares_make_one_model_of_plain_layers(workplace: Path, method: str) -> None:
    run = workplace / "runs" / "customers"

    # The model is held against the mix of the stored predictions when it is made.
    content = json.loads(hptune("ensemble", "--method", method, "--size", "3", "--json", folder=workplace).stdout)

    members = content["members"]
    assert 1 <= len(members) <= 3
    known, unseen = predict_without_hptune(run / "ensemble" / "model.keras", TABLE)
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in (*known, *unseen))
    assert content["cost"]["ensemble"]["row_ms"] > 0
    assert content["cost"]["ensemble"]["size_bytes"] == (run / "ensemble" / "model.keras").stat().st_size
    assert content["gain_interval"]["low"] <= content["gain"] <= content["gain_interval"]["high"]
    assert len(content["correlation"]) == len(members)
    if method == "weighted":
        parts = content["ambiguity"]
        assert parts["ensemble"] == pytest.approx(parts["members"] - parts["disagreement"], abs=1e-9)
    else:
        assert content["mix"]["form"] == "log_linear"
        assert content["ambiguity"] is None


def test_the_gain_of_an_ensemble_is_told_in_words_and_test_rows_are_counted(workplace: Path) -> None:
    words = hptune("ensemble", "--method", "top", "--size", "2", folder=workplace).stdout

    report = json.loads(hptune("report", "--json", folder=workplace).stdout)
    content, best = report["ensemble"], report["trials"][0]["trial"]
    assert [member["share"] for member in content["members"]] == [0.5, 0.5]
    assert best in [member["trial"] for member in content["members"]]
    test = content["test"]
    assert content["gain"] == test["ensemble"]["roc_auc"] - test["best"]["roc_auc"]
    assert test["best"] == report["best"]["test"]
    verdict = "better by" if content["gain"] > 0 else "worse" if content["gain"] < 0 else "no gain"
    assert verdict in words.splitlines()[-1]
    assert report["test_looks"] == 2
    assert "the test rows were scored 2 times" in hptune("report", folder=workplace).stdout
    assert "ensemble \\(top\\) of 2 trials" in hptune("report", "--format", "markdown", folder=workplace).stdout


def test_an_ensemble_that_cannot_be_is_refused(workplace: Path) -> None:
    run = workplace / "runs" / "customers"
    wrong_method = hptune("ensemble", "--method", "best", folder=workplace, code=2).stderr
    wrong_size = hptune("ensemble", "--size", "0", folder=workplace, code=2).stderr
    wrong_bags = hptune("ensemble", "--method", "top", "--bags", "3", folder=workplace, code=2).stderr
    moved = hptune("ensemble", "--data-folder", workplace, folder=workplace, code=2).stderr
    with (run / "trials" / "0000" / "weights.npz").open("ab") as stream:
        stream.write(b"x")
    altered = hptune("ensemble", "--method", "top", folder=workplace, code=6).stderr

    assert wrong_method == "error: --method: expected greedy, top, weighted, stacking, got 'best'\n"
    assert wrong_bags == "error: --bags: expected only with --method greedy, got top; leave it out\n"
    assert wrong_size == "error: --size: expected at least 1, got 0\n"
    assert moved == (
        f"error: {workplace}/data/customers.csv: the run's data is no longer there; "
        "say with --data-folder where it is now\n"
    )
    assert "weights.npz: its SHA-256 is not what the journal recorded; it was altered or damaged" in altered


def test_evaluate_scores_labelled_rows_and_is_a_gate(searched: Path, tmp_path: Path) -> None:
    report = json.loads(hptune("report", "--json", folder=searched).stdout)
    program = """
import sys
from pathlib import Path
from hptune.groundwork import lay_groundwork
from hptune.data.split import split_rows
ground = lay_groundwork(Path(sys.argv[1]))
lines = Path(sys.argv[2]).read_text().splitlines()
rows = split_rows(ground.dataset, ground.experiment.data.split).test
Path(sys.argv[3]).write_text("\\n".join([lines[0], *(lines[1 + row] for row in rows)]) + "\\n")
"""
    run_python("-c", program, CUSTOMERS, TABLE, tmp_path / "test.csv", folder=searched)

    evaluated = json.loads(hptune("evaluate", tmp_path / "test.csv", "--json", folder=searched).stdout)
    semicolons = tmp_path / "semicolons.csv"
    semicolons.write_text((tmp_path / "test.csv").read_text().replace(",", ";"))
    again = json.loads(hptune("evaluate", "customers", semicolons, "--json", folder=searched).stdout)
    unmet = hptune("evaluate", semicolons, "--fail-under", "roc_auc=1.0", folder=searched, code=3).stderr
    hptune("evaluate", semicolons, "--fail-under", "roc_auc=0.1", "--fail-under", "log_loss=9", folder=searched)

    assert evaluated["rows"] == 160
    assert evaluated["metrics"] == report["best"]["test"]
    assert again == evaluated
    assert unmet == f"error: gate failed: roc_auc: expected at least 1.0, got {evaluated['metrics']['roc_auc']}\n"


@pytest.mark.long
def test_predictions_in_blocks_are_those_of_the_table_at_once(searched: Path, tmp_path: Path) -> None:
    header, *lines = TABLE.read_text().splitlines()
    many = [line.replace("Bern", "Atlantis") if number < 3 else line for number, line in enumerate(lines * 300)]
    large, output = tmp_path / "large.csv", tmp_path / "out.csv"
    large.write_text("\n".join([header, *many]) + "\n")
    assert large.stat().st_size > BLOCK_BYTES
    damaged = tmp_path / "damaged.csv"
    damaged.write_text("\n".join([header, *many, lines[0].replace(lines[0].split(",")[1], "old", 1)]) + "\n")

    small = hptune("predict", "customers", TABLE, folder=searched).stdout.splitlines()
    words = hptune("predict", "customers", large, "--output", output, folder=searched).stderr
    fault = hptune("predict", "customers", damaged, "--output", tmp_path / "none.csv", folder=searched, code=2).stderr

    predicted = output.read_text().splitlines()
    assert len(predicted) == 240_001
    assert predicted[0] == small[0]
    last = [row.split(",") for row in predicted[-800:]]
    assert [row[:2] for row in last] == [row.split(",")[:2] for row in small[1:]]
    assert [float(row[2]) for row in last] == pytest.approx([float(row.split(",")[2]) for row in small[1:]], abs=1e-6)
    unseen = sum("Bern" in line for line in lines[:3])
    assert ("Atlantis" in words) == bool(unseen)
    assert f"{damaged}: column " in fault
    assert "row 240002: expected a number" in fault
    assert not (tmp_path / "none.csv").exists()


def test_evaluate_names_rows_that_it_cannot_score(searched: Path, tmp_path: Path) -> None:
    header, first, second, *_ = TABLE.read_text().splitlines()
    position = header.split(",").index("churned")

    def with_label(label: str) -> Path:
        cells = second.split(",")
        cells[position] = label
        path = tmp_path / f"rows{label}.csv"
        path.write_text("\n".join((header, first, ",".join(cells))) + "\n")
        return path

    unknown, none = with_label("maybe"), with_label("")
    assert hptune("evaluate", unknown, folder=searched, code=2).stderr == (
        f'error: {unknown}: column "churned": row 3: expected one of "no", "yes", got "maybe"\n'
    )
    assert hptune("evaluate", none, folder=searched, code=2).stderr == (
        f'error: {none}: column "churned": row 3: expected a target in every row, got none; leave it out\n'
    )


def test_a_run_has_a_card_and_is_held_against_a_baseline(searched: Path, tmp_path: Path) -> None:
    best = searched / "runs" / "customers" / "best"
    card = (best / "model_card.md").read_text()
    verdict = json.loads((best / "metrics.json").read_text())

    baseline, junit = tmp_path / "baseline.json", tmp_path / "gate.xml"
    hptune("report", "--format", "baseline", "--output", baseline, folder=searched)
    words = ("report", "--baseline", baseline, "--junit", junit)
    markdown = hptune(*words, "--fail-under", "roc_auc=0.3", folder=searched).stdout
    content = json.loads(baseline.read_text())
    content["rows"]["prediction"] = sharpened(content["rows"])
    content["metrics"] = dict.fromkeys(content["metrics"], 1.0)
    baseline.write_text(json.dumps(content))
    unmet = hptune(*words, "--output", tmp_path / "report.md", folder=searched, code=3).stderr

    assert "not worse beyond noise" in markdown
    assert unmet.startswith("error: gate failed: test roc_auc 0.")
    assert "worse beyond noise" in unmet
    assert 'failures="1"' in junit.read_text()
    assert "| roc\\_auc | " in card
    assert f"{verdict['test']['roc_auc']:.6g}" in card
    assert "Test roc\\_auc: 95% interval " in card
    for told in ("## Data", "customers.csv", "dropout:", "| tensorflow |", "hptune search resolved.yaml"):
        assert told in card


def sharpened(rows: dict[str, str]) -> str:
    """The predictions of a model that knows the truth, packed as a baseline packs them."""
    truth = np.frombuffer(base64.b64decode(rows["truth"]), "<i4")
    return base64.b64encode(np.eye(2, dtype="<f4")[truth].tobytes()).decode()


def test_search_is_a_gate(searched: Path) -> None:
    hptune(*SEARCH, "--fail-under", "roc_auc=0.3", "--fail-under", "validation:log_loss=5", folder=searched)
    unmet = hptune(*SEARCH, "--fail-under", "log_loss=0.01", folder=searched, code=3).stderr
    unknown = hptune(*SEARCH, "--fail-under", "speed=1", folder=searched, code=2).stderr

    assert unmet.startswith("error: gate failed: test log_loss: expected at most 0.01, got 0.")
    assert unknown.startswith("error: --fail-under speed=1: expected METRIC=VALUE or validation:METRIC=VALUE with one")


def test_what_init_writes_is_searched_as_it_is(tmp_path: Path) -> None:
    lines = [
        f"K{n};{n * 37 % 11};{'rot' if n % 3 else 'blau'};{'ja' if n * 37 % 11 > 5 else 'nein'}" for n in range(90)
    ]
    (tmp_path / "kunden.csv").write_text("\n".join(["id;alter;farbe;kauft", *lines]) + "\n")
    words = hptune("init", "kunden.csv", "--target", "kauft", folder=tmp_path).stderr
    refused = hptune("init", "kunden.csv", "--target", "kauft", folder=tmp_path, code=2).stderr

    hptune("search", "kunden.yaml", "--max-trials", "2", "--quiet", folder=tmp_path)
    predicted = hptune("predict", "kunden.csv", folder=tmp_path).stdout

    assert words == (
        "wrote kunden.yaml; look at it with: hptune check kunden.yaml; train with: hptune search kunden.yaml\n"
    )
    assert refused == (
        "error: kunden.yaml: there is such a file already; choose another --output, or replace it with --force\n"
    )
    rows = list(csv.DictReader(predicted.splitlines()))
    assert list(rows[0]) == ["id", "prediction", "p_ja", "p_nein"]
    assert len(rows) == 90


@pytest.mark.long
def test_python_does_what_the_command_line_does(searched: Path, tmp_path: Path) -> None:
    program = """
import json, sys
import hptune
if __name__ == "__main__":
    text = open(sys.argv[1]).read().replace("data/customers.csv", sys.argv[2])
    open("experiment.yaml", "w").write(text)
    summary = hptune.search("experiment.yaml", max_trials=6, overrides=["training.epochs=6"], workers=2)
    content = hptune.ensemble(size=4)
    prediction = hptune.predict("customers", sys.argv[2])
    evaluation = hptune.evaluate(None, sys.argv[2])
    try:
        hptune.report(fail_under=["roc_auc=1.0"])
    except hptune.HptuneError as error:
        code = error.exit_code
    print(json.dumps([
        summary.best.score, content["validation"]["ensemble"], prediction.table.height, evaluation.rows, code,
        [line.name for line in hptune.runs()],
    ]))
"""
    (tmp_path / "program.py").write_text(program)
    answer = run_python("program.py", CUSTOMERS, TABLE, folder=tmp_path)

    assert answer.stderr == ""
    score, together, predicted, evaluated, code, names = json.loads(answer.stdout)
    board = searched / "runs" / "customers" / "leaderboard.csv"
    assert (tmp_path / "runs" / "customers" / "leaderboard.csv").read_bytes() == board.read_bytes()
    assert score == float(next(csv.DictReader(board.read_text().splitlines()))["score"])
    assert together >= score
    assert (predicted, evaluated, code, names) == (800, 800, 3, ["customers"])


@pytest.mark.long
def test_accepted_changes_keep_the_trials_that_would_be_trained_alike(workplace: Path) -> None:
    before = {row["trial"]: row for row in rows_of(workplace / "runs" / "customers")}
    narrower = ("--set", "model.units=[16, 32]")
    kept = [number for number in sorted(before) if before[number]["model.units"] != "64"]
    hptune(*SEARCH, *narrower, folder=workplace, code=8)

    hptune(*SEARCH, *narrower, "--accept-changes", folder=workplace)

    aside = {row["trial"]: row for row in rows_of(workplace / "runs" / "customers.1")}
    after = {row["trial"]: row for row in rows_of(workplace / "runs" / "customers")}
    assert aside == before
    assert 0 < len(kept) < len(after) == 6
    same = ("score", "best_epoch", "weights", "model.units", "training.learning_rate")
    for new, old in enumerate(kept):
        assert [after[str(new)][name] for name in same] == [before[old][name] for name in same]
    assert {row["model.units"] for row in after.values()} <= {"16", "32"}
    assert f"kept {len(kept)} of 6 trials of customers.1" in (workplace / "runs/customers/hptune.log").read_text()
    hptune("ensemble", "--size", "3", folder=workplace)
    hptune(*SEARCH, *narrower, "--accept-changes", folder=workplace)
    assert not (workplace / "runs" / "customers.2").exists()


def test_accepted_changes_of_data_or_objective_keep_nothing(workplace: Path) -> None:
    other = ("--set", "objective={metric: accuracy, direction: max}", "--max-trials", "1")

    hptune(*SEARCH, *other, "--accept-changes", folder=workplace)

    assert [row["trial"] for row in rows_of(workplace / "runs" / "customers")] == ["0"]
    assert len(rows_of(workplace / "runs" / "customers.1")) == 6


def rows_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "leaderboard.csv").read_text().splitlines()))
