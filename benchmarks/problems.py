"""What `proposals.py` searches: two known functions, and a table of trials that were really trained."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded_trials.csv"
# Searched by `--record`.
EXPERIMENT = """
name: recorded
data: {source: sklearn:digits, target: target, preparation: {numeric: none}}
objective: {metric: log_loss, direction: min}
strategy: {name: random, seed: 1}
budget: {max_trials: 400}
model:
  input_batch_norm: true
  blocks: {min: 1, max: 4}
  units: [16, 32, 64, 128]
  batch_norm: [none, before, after]
  dropout: {min: 0.0, max: 0.6}
  l2: {min: 1e-7, max: 1e-2, log: true}
training:
  learning_rate: {min: 1e-4, max: 1e-1, log: true}
  batch_size: 64
  epochs: 12
  early_stopping: null
"""


@dataclass(frozen=True)
class Problem:
    """A function to be minimized.

    Attributes:
        make: Returns its search space and the function; in the process that uses them.
        trials: How many a search has.
        counts: After how many of them the best value is looked at.
    """

    make: Callable[[], tuple[Any, Callable[[Mapping[str, Any]], float]]]
    trials: int
    counts: tuple[int, ...]


def branin() -> tuple[Any, Callable[[Mapping[str, Any]], float]]:
    """Return Branin's function: three equal minima of 0.397887."""
    from hptune.space import Float, SearchSpace

    def value(at: Mapping[str, Any]) -> float:
        x, y = at["x"], at["y"]
        valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10

    return SearchSpace((Float("x", -5.0, 10.0), Float("y", 0.0, 15.0))), value


def hartmann() -> tuple[Any, Callable[[Mapping[str, Any]], float]]:
    """Return Hartmann's function of six dimensions: its minimum is -3.32237."""
    import numpy as np

    from hptune.space import Float, SearchSpace

    weights = np.array([1.0, 1.2, 3.0, 3.2])
    steepness = np.array(
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    )
    wells = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    names = [f"x{number}" for number in range(1, 7)]

    def value(at: Mapping[str, Any]) -> float:
        position = np.array([at[name] for name in names])
        return -float(weights @ np.exp(-(steepness * (position - wells) ** 2).sum(1)))

    return SearchSpace(tuple(Float(name, 0.0, 1.0) for name in names)), value


def recorded_space() -> Any:
    """Return what `EXPERIMENT` searches."""
    from hptune.space import Choice, Float, Int, SearchSpace

    return SearchSpace(
        (
            Int("model.blocks", 1, 4),
            Choice("model.units", (16, 32, 64, 128)),
            Choice("model.batch_norm", ("none", "before", "after")),
            Float("model.dropout", 0.0, 0.6),
            Float("model.l2", 1e-7, 1e-2, log=True),
            Float("training.learning_rate", 1e-4, 1e-1, log=True),
        )
    )


def recorded() -> tuple[Any, Callable[[Mapping[str, Any]], float]]:
    """Return the table of trained trials: the log loss of the nearest one."""
    import numpy as np

    from hptune.strategies.encoding import Encoding

    space = recorded_space()
    with RECORDED.open() as stream:
        rows = list(csv.DictReader(stream))
    kinds = {"model.blocks": int, "model.units": int, "model.batch_norm": str}
    configurations = [{name: kinds.get(name, float)(row[name]) for name in space.by_name} for row in rows]
    scores = [float(row["log_loss"]) for row in rows]
    encoding = Encoding(space)
    known = encoding.positions(configurations)

    def value(at: Mapping[str, Any]) -> float:
        distances = ((known - encoding.positions([at])) ** 2).sum(1)
        return scores[int(np.argmin(distances))]

    return space, value


PROBLEMS = {
    "branin": Problem(branin, 30, (10, 15, 20, 30)),
    "hartmann": Problem(hartmann, 40, (20, 25, 30, 40)),
    "recorded": Problem(recorded, 40, (20, 25, 30, 40)),
}


def record() -> None:
    """Search the table of trials again, and write it."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "recorded.yaml").write_text(EXPERIMENT)
        command = [str(Path(sys.executable).with_name("hptune")), "search", "recorded.yaml", "--quiet"]
        subprocess.run(command, cwd=scratch, check=True)
        write_recorded(Path(scratch, "runs", "recorded"), list(recorded_space().by_name))


def write_recorded(run: Path, names: Sequence[str]) -> None:
    """Write settings and score of the completed trials of a run, by number."""
    with (run / "leaderboard.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["status"] == "completed"]
    with RECORDED.open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*names, "log_loss"])
        for row in sorted(rows, key=lambda row: int(row["trial"])):
            table.writerow([*(row[name] for name in names), row["score"]])
