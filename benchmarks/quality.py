"""What short searches reach on public tables, beside published scores: the best model and an ensemble.

Usage: python benchmarks/quality.py [--table satimage] [--seeds 3] [--seconds 600] [--splits 20]

The tables are not part of this project (HPTUNE_SHARED_DATA names their folder). Models and ensemble are chosen on
validation rows; the test rows are scored once, by `hptune search` and `hptune ensemble`. For concrete each of the
published splits is a search of its own, and the folds are of its training rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TABLES = Path(os.environ.get("HPTUNE_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))

EXPERIMENT = """
name: quality
data:
  source: {source}
  target: {target}
  split: {split}
  preparation: {preparation}
objective: {objective}
strategy: {{name: random, seed: {seed}}}
budget: {{max_time: {seconds}s}}
model:
  input_batch_norm: {input_batch_norm}
  blocks: {blocks}
  units: {units}
  activation: {activation}
  batch_norm: {batch_norm}
  residual: {residual}
  dropout: {{min: 0.0, max: {most_dropout}}}
  l2: {{min: 1e-8, max: {most_l2}, log: true}}
  l1: {{min: 1e-8, max: {most_l1}, log: true}}
training:
  optimizer: adamw
  learning_rate: {learning_rate}
  weight_decay: {{min: 1e-4, max: {most_decay}, log: true}}
  schedule: {schedule}
  batch_size: {batch_size}
  epochs: {epochs}
  early_stopping: {{patience: {patience}}}
{more}
"""


@dataclass(frozen=True)
class Table:
    """A table, how it is searched, and what is asked and published.

    Attributes:
        target: Column to predict.
        metric: That decides.
        asked: The score that must be reached, in the mean.
        published: By name.
        space: What its experiment has instead of the usual.
        direction: max or min.
        seconds: Of each search.
    """

    target: str
    metric: str
    asked: float
    published: dict[str, float]
    space: dict[str, str] = field(default_factory=dict)
    direction: str = "max"
    seconds: float = 40


# Few structures, because trials of one structure are trained side by side: 24 where all columns are numbers, else 48.
USUAL = {
    "preparation": "{numeric: [standard, quantile], categorical: [one_hot, embedding]}",
    "input_batch_norm": "false",
    "blocks": "[1, 2, 3]",
    "units": "128",
    "activation": "[relu, gelu]",
    "batch_norm": "[none, before]",
    "residual": "true",
    "most_dropout": "0.6",
    "most_l2": "1e-3",
    "most_l1": "1e-4",
    "most_decay": "3e-1",
    "learning_rate": "{min: 3e-4, max: 3e-2, log: true}",
    "schedule": "[cosine, constant]",
    "batch_size": "64",
    "epochs": "80",
    "patience": "20",
    "split": "{seed: 0}",
    "more": "",
}
SMALL = {"units": "64", "batch_size": "32"}
NUMBERS = {"preparation": "{numeric: [standard, quantile]}"}
# A minute for 927 rows and 8 columns: one structure, so that the time goes to training, and every configuration on five
# folds, because a tenth of the rows says little. The space is what 36 configurations of a larger one left over by folds
# of the training rows of the first split: ReLU (4.16 to 4.64 MPa) before GELU (4.47 to 4.79), batch norm last (from
# 4.64), learning rates from 3e-3, hardly any regularization.
FEW_NUMBERS = {
    "input_batch_norm": "false",
    "blocks": "2",
    "units": "64",
    "activation": "relu",
    "batch_norm": "none",
    "residual": "false",
    "most_dropout": "0.05",
    "most_l2": "1e-5",
    "most_l1": "1e-6",
    "most_decay": "1e-2",
    "learning_rate": "{min: 3e-3, max: 1.2e-2, log: true}",
    "schedule": "cosine",
    "batch_size": "32",
    "epochs": "200",
    "patience": "60",
    "preparation": "{numeric: standard}",
    "more": "evaluation: {folds: 5, refit: true}",
}
SETS = {
    "satimage": Table(
        "class", "accuracy", 0.904, {"MLP": 0.8993, "ResNet": 0.9044, "RealMLP": 0.9156}, NUMBERS, seconds=120
    ),
    "abalone": Table("rings", "rmse", 2.119, {"MLP": 2.1186, "ResNet": 2.0888, "LightGBM": 2.1763}, {}, "min"),
    "eucalyptus": Table(
        "target",
        "accuracy",
        0.658,
        {"MLP": 0.6581, "ResNet": 0.6883, "LogReg": 0.7027},
        SMALL,
    ),
    "credit-g": Table(
        "class",
        "balanced_accuracy",
        0.70,
        {"MLP": 0.69405, "MLP with cocktail": 0.74643},
        {**SMALL, "more": "  class_weight: [balanced, none]"},
    ),
    "concrete": Table(
        "strength",
        "rmse",
        4.83,
        {"MC dropout": 4.826, "BayesOpt": 4.93},
        FEW_NUMBERS,
        "min",
        seconds=30,
    ),
    "digits": Table(
        "target",
        "accuracy",
        0.985,
        {},
        {"preparation": "{numeric: [standard, none]}", "split": "{validation: 0.2, test: 0.2, seed: 0}"},
    ),
}


def run(words: list[str], folder: Path) -> str:
    """Run hptune to its end and return what it printed."""
    command = [str(Path(sys.executable).with_name("hptune")), *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def sources(name: str, folder: Path, splits: int) -> Iterator[str]:
    """Yield the sources of a table, one for each split that is published."""
    if name == "digits":
        yield "sklearn:digits"
    elif name == "concrete":
        rows = (TABLES / name / "data.csv").read_text().splitlines()
        parts = list(csv.DictReader((TABLES / name / "splits.csv").open()))
        for number in range(splits):
            for part in ("train", "test"):
                chosen = [rows[1 + int(row["row"])] for row in parts if row[f"split{number}"] == part]
                (folder / f"{part}{number}.csv").write_text("\n".join([rows[0], *chosen]) + "\n")
            yield f"{{train: {folder}/train{number}.csv, test: {folder}/test{number}.csv}}"
    else:
        files = ", ".join(f"{part}: {TABLES / name / file}.csv" for part, file in zip(PARTS, FILES, strict=True))
        yield f"{{{files}}}"


PARTS, FILES = ("train", "validation", "test"), ("train", "val", "test")


def score(table: Table, source: str, seed: int, seconds: float, folder: Path) -> tuple[float, float, int]:
    """Search and ensemble; return the test scores of the best single model and of the ensemble, and the trials."""
    objective = f"{{metric: {table.metric}, direction: {table.direction}}}"
    given = {**USUAL, **table.space, "source": source, "target": table.target, "objective": objective, "seed": seed}
    (folder / "quality.yaml").write_text(EXPERIMENT.format(**given, seconds=round(seconds)))
    run(["search", "quality.yaml", "--fresh", "--quiet"], folder)
    run(["ensemble", "quality"], folder)
    report: dict[str, Any] = json.loads(run(["report", "quality", "--format", "json"], folder))
    ensemble = json.loads((folder / "runs" / "quality" / "ensemble" / "ensemble.json").read_text())
    trials = len((folder / "runs" / "quality" / "leaderboard.csv").read_text().splitlines()) - 1
    return report["best"]["test"][table.metric], ensemble["test"]["ensemble"][table.metric], trials


def main() -> None:
    """Search every table with every seed, and print scores beside what is asked and published."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=tuple(SETS), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of each search, instead of what its table usually gets")
    parser.add_argument("--splits", type=int, default=20, help="of concrete")
    asked = parser.parse_args()
    for name in asked.table or SETS:
        if name != "digits" and not (TABLES / name).is_dir():
            print(f"{name}: skipped, no table in {TABLES / name}; set HPTUNE_SHARED_DATA to the folder of tables")
            continue
        table, found = SETS[name], []
        for seed in range(1, (1 if name == "concrete" else asked.seeds) + 1):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                seconds = asked.seconds or table.seconds
                for source in sources(name, folder, asked.splits):
                    found.append(score(table, source, seed, seconds, folder))
                    print(f"{name:>10} seed {seed}: best {found[-1][0]:.4f}, ensemble {found[-1][1]:.4f}, "
                          f"{found[-1][2]} trials", flush=True)  # fmt: skip
        best, ensemble = (statistics.mean(scores[place] for scores in found) for place in (0, 1))
        published = ", ".join(f"{model} {value}" for model, value in table.published.items())
        print(f"{name:>10} {table.metric}: best {best:.4f}, ensemble {ensemble:.4f}; asked {table.asked}; {published}")


if __name__ == "__main__":
    main()
