"""`hptune plan` against the search that it plans, and the corners that it names."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, hptune

from hptune.planning import ERROR_FACTOR
from hptune.run.journal import read_journal

CONFIGS = ROOT / "configs"
HYPERBAND = "strategy={name: hyperband, max_epochs: 9, factor: 3, seed: 1}"


def plan(*words: str | Path, folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(hptune("plan", *words, "--json", folder=folder).stdout)
    return document


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A plan and the run of the search that was planned, without early stopping."""
    folder = tmp_path_factory.mktemp("plan")
    words = (CONFIGS / "diabetes.yaml", "--max-trials", "4", "--set", "training.early_stopping=null")
    made = plan(*words, "--set", "training.epochs=20", folder=folder)
    hptune("search", *words, "--set", "training.epochs=20", "--runs", "runs", "-q", folder=folder)
    return made, folder / "runs" / "diabetes"


@pytest.mark.tensorflow
def test_a_plan_counts_what_the_search_trains(together: tuple[dict[str, Any], Path]) -> None:
    made, run = together
    ends = [record for record in read_journal(run / "journal.jsonl").records if record["type"] == "end"]

    assert made["schema"] == 1
    assert made["trials"] == len(ends) == 4
    assert made["epochs"] == {"expected": 80, "most": 80}
    assert sum(record["epochs"] for record in ends) == 80
    assert made["seconds"]["expected"] == made["seconds"]["most"]
    assert made["seconds"]["expected"] == pytest.approx(
        sum(made["seconds"][part] for part in ("start", "training", "end"))
    )
    assert 1 <= made["structures"] <= 4


@pytest.mark.tensorflow
def test_disk_is_predicted_within_the_stated_factor(together: tuple[dict[str, Any], Path]) -> None:
    made, run = together
    real = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())

    assert real / ERROR_FACTOR < made["disk_bytes"] < real * ERROR_FACTOR


@pytest.mark.tensorflow
def test_smallest_and_largest_are_ends_of_the_space(together: tuple[dict[str, Any], Path]) -> None:
    models = together[0]["models"]

    assert models["smallest"]["values"]["model.blocks"] == 1
    assert models["smallest"]["values"]["model.units.1"] == 8
    assert models["largest"]["values"] | {"model.units.3": 64, "model.blocks": 3} == models["largest"]["values"]
    assert models["smallest"]["weights"] < models["largest"]["weights"]
    assert all(model["epoch_seconds"] > 0 and model["memory_bytes"] > 0 for model in models.values())


@pytest.mark.tensorflow
def test_a_plan_leaves_nothing_behind_and_finds_nothing_to_complain_about(
    together: tuple[dict[str, Any], Path],
) -> None:
    made, run = together

    assert [path.name for path in run.parent.parent.iterdir()] == ["runs"]
    assert made["corners"]["unbuildable"] == []
    assert made["corners"]["tried"] > 1


@pytest.mark.tensorflow
def test_hyperbands_brackets_are_planned_and_corners_too_large_are_named(tmp_path: Path) -> None:
    words = ("--set", HYPERBAND, "--set", "model.units=[16, 4000000]", "--set", "model.blocks=2")

    shown = hptune("plan", CONFIGS / "breast_cancer.yaml", *words, "--max-trials", "9", folder=tmp_path).stdout

    assert "bracket 2: 9 to epoch 1, then 3 to epoch 3, then 1 to epoch 9" in shown
    assert "1 of 2 corners of the space cannot be built" in shown or "corners of the space cannot be built:" in shown
    assert "units 4000000" in shown
    assert "training takes at least" in shown


def test_fewer_workers_than_one_are_refused(tmp_path: Path) -> None:
    done = hptune("plan", CONFIGS / "diabetes.yaml", "--workers", "0", folder=tmp_path, code=2)

    assert "--workers: expected at least 1, got 0" in done.stderr


@pytest.mark.torture
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["diabetes", "digits", "customers", "breast_cancer", "wine"])
def test_wall_time_is_predicted_within_the_stated_factor(name: str, tmp_path: Path) -> None:
    ratios = []
    for attempt in range(2):  # another test on the same cores may disturb one of them
        made = plan(CONFIGS / f"{name}.yaml", folder=tmp_path)
        began = time.monotonic()
        hptune("search", CONFIGS / f"{name}.yaml", "--runs", f"runs-{attempt}", "-q", folder=tmp_path)
        ratios.append(made["seconds"]["expected"] / (time.monotonic() - began))
        if 1 / ERROR_FACTOR < ratios[-1] < ERROR_FACTOR:
            return
    pytest.fail(f"predicted / real: {ratios}")
