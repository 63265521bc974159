"""Model cards say what a model is, and text from data in them does nothing."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from hptune.card import card_of_best, card_of_ensemble
from hptune.groundwork import lay_groundwork
from hptune.materials import Materials
from hptune.run.folder import RunFolder

HOSTILE = "<script>alert(1)</script>|[x](http://y)\x1b[31m"
EXPERIMENT = """
name: hostile
data: {source: table.csv, target: y}
objective: {metric: accuracy, direction: max}
strategy: {name: random, seed: 7}
budget: {max_trials: 1}
"""


@pytest.fixture
def materials(tmp_path: Path) -> Materials:
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", HOSTILE, "y"])
        writer.writerows([row, f"w{row % 3}", HOSTILE if row % 2 else "```\nno"] for row in range(60))
    (tmp_path / "hostile.yaml").write_text(EXPERIMENT)
    return Materials(lay_groundwork(tmp_path / "hostile.yaml"), RunFolder(tmp_path / "run"))


def metrics(score: float) -> dict[str, Any]:
    scores = {"accuracy": score, "log_loss": 0.5}
    return {
        "trial": 3,
        "objective": {"metric": "accuracy", "direction": "max"},
        "rows": {"train": 36, "validation": 12, "test": 12},
        "validation": scores,
        "test": scores,
        "baselines": {"majority": {"accuracy": 0.5}},
        "intervals": {"level": 0.95, "scores": {"test": {"accuracy": (0.5, 0.9)}}, "gains": {}},
        "optimism": 0.0,
        "threshold": None,
        "choice": {"tie": [], "confirmed": False, "sentence": "Nobody knows whether it would win again."},
        "refit": True,
    }


def without_code(card: str) -> str:
    return re.sub(r"^(`{3,})\w*\n.*?^\1$", "", card, flags=re.DOTALL | re.MULTILINE)


def test_a_card_tells_data_metrics_settings_versions_and_how_to_make_it_again(materials: Materials) -> None:
    card = card_of_best(materials, metrics(0.75), "model:\n  units: 8\n")

    rows = materials.split
    assert f"Rows: {len(rows.train)} train, {len(rows.validation)} validation, {len(rows.test)} test" in card
    assert "| a | numeric | 0 | 60 |" in card
    assert materials.ground.dataset.files[0].sha256 in card
    assert "| accuracy | 0.75 | 0.75 | 0.5 to 0.9 | 0.5 |" in card
    assert "Test accuracy: 95% interval 0.5 to 0.9, by the bootstrap over 12 test rows" in card
    assert "Nobody knows whether it would win again" in card
    assert "no honest validation score exists for it" in card
    assert "```yaml\nmodel:\n  units: 8\n```" in card
    assert "| tensorflow | 2." in card
    assert "```sh\nhptune search resolved.yaml --run hostile-again\n```" in card
    assert "Seed 7;" in card


def test_text_from_data_does_nothing(materials: Materials) -> None:
    settings = f"training:\n  class_weight:\n    '```\n{HOSTILE}': 1\n````\n"

    card = card_of_best(materials, metrics(0.75), settings)

    assert "\x1b" not in card
    assert "`````yaml\n" in card
    outside = without_code(card)
    assert "<script" not in outside.replace("\\<", "")
    assert "[x](" not in outside
    assert "```" not in outside.replace("\\`", "")


def test_the_card_of_an_ensemble_tells_its_members(materials: Materials) -> None:
    content = {
        "method": "weighted",
        "objective": {"metric": "accuracy", "direction": "max"},
        "members": [{"trial": 1, "share": 0.25}, {"trial": 4, "share": 0.75}],
        "validation": {"ensemble": 0.9, "best": 0.8},
        "test": {"ensemble": {"accuracy": 0.7}, "best": {"accuracy": 0.75}},
        "gain": -0.05,
        "gain_interval": {"low": -0.1, "high": 0.02, "level": 0.95},
    }

    card = card_of_ensemble(materials, content, {1: "model: {units: 8}\n", 4: "model: {units: 16}\n"})

    assert "ensemble \\(weighted\\) of 2 trials: 1 \\(25%\\), 4 \\(75%\\)" in card
    assert "worse: use the best single model \\(95% interval of the gain -0.1 to 0.02: within noise\\)" in card
    assert "| accuracy | 0.7 | 0.75 |" in card
    assert "Trial 4:\n\n```yaml\nmodel: {units: 16}\n```" in card
