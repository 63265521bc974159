"""How the cost of a trial grows with slots, width, rows and structures, and how much of the machine's speed is used.

Usage: python benchmarks/cost.py [--seconds 2]

Populations are trained for a moment each, in this process and with one thread, as a worker does: 64 numeric columns, 10
classes, residual blocks with batch norm before the activation, dropout, L1 and L2. One thing changes at a time; else
there are 32 slots, 2 blocks of 64 units, 1,024 training rows, 256 validation rows and mini-batches of 32.

The useful work of an epoch is that of its matrix products: 6 operations for each weight and training row (forward, and
two products backward), 2 for each row that is scored. Its share is that work a second, over the operations a second of
one float32 product of 1,024 by 1,024 matrices with one thread, measured before and after. Writes the table to
build/cost.md, and the plot to build/cost.html, which opens from disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from hptune.data.arrays import write_arrays
from hptune.objective import Objective
from hptune.spec.settings import SETTINGS
from hptune.training.capacity import Extent, count_weights, layer_widths
from hptune.training.job import Job, Measured
from hptune.training.measuring import measure
from hptune.training.predicting import Rows
from hptune.training.workers import WORKER_ENVIRONMENT
from hptune.trial import Key

COLUMNS, CLASSES = 64, 10
SLOTS, WIDTH, ROWS, VALIDATION_ROWS = 32, 64, 1024, 256
# Epochs over which a structure's building and tracing is spread.
EPOCHS = 20
STRUCTURES = [(blocks, place) for place in ("before", "after") for blocks in (1, 2, 3, 4)]
USUAL = {
    **{key: setting.default for key, setting in SETTINGS.items()},
    "model.blocks": 2,
    "model.units": WIDTH,
    "model.residual": True,
    "model.batch_norm": "before",
    "model.dropout": 0.3,
    "model.l1": 1e-6,
    "model.l2": 1e-6,
    "training.batch_size": 32,
}
BUILD = Path(__file__).parent.parent / "build"


@dataclass(frozen=True)
class Cost:
    """One point.

    Attributes:
        axis: What changes.
        value: To what.
        epoch_ms: Milliseconds of an epoch, a slot.
        trial_s: Seconds of a trial of 20 epochs, building, tracing and files included.
        share: Of the machine's matrix speed.
    """

    axis: str
    value: int
    epoch_ms: float
    trial_s: float
    share: float


def matrix_speed(side: int = 1024, repeats: int = 15) -> float:
    """Return the operations a second of a plain product; the median of several."""
    x = tf.random.stateless_normal((side, side), (1, 2))
    product = tf.function(lambda: tf.matmul(x, x))
    product()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds)


def write_table(folder: Path, rows: int) -> Path:
    """Write a learnable table as prepared arrays."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", rows), ("validation", VALIDATION_ROWS)):
        numeric = generator.normal(size=(count, COLUMNS)).astype(np.float32)
        target = (np.abs(numeric[:, :CLASSES])).argmax(1).astype(np.int32)
        arrays |= {f"{part}.numeric": numeric, f"{part}.codes": np.zeros((count, 0), np.int32)}
        arrays |= {f"{part}.target": target, f"{part}.truth": target}
    write_arrays(folder, arrays)
    return folder


def jobs(folder: Path, arrays: Path, slots: int, **changed: Any) -> list[tuple[Key, Job]]:
    """Return trials of one structure."""
    labels = tuple(str(label) for label in range(CLASSES))
    dials = frozenset({"model.dropout", "model.l1", "model.l2"})
    objective = Objective("accuracy", "max")
    settings = {**USUAL, **changed}
    first = Job(
        settings, 0, arrays, COLUMNS, (), "multiclass", labels, None, objective, None, folder, "trials", dials=dials
    )
    return [
        ((number, ""), replace(first, seed=number, folder=folder / str(number), prefix=f"trials/{number}"))
        for number in range(slots)
    ]


def useful_work(job: Job) -> float:
    """Return the operations of a trial's matrix products in an epoch."""
    trained, scored = (Rows.open(job, part).count for part in ("train", "sample"))
    scored += VALIDATION_ROWS
    widths = layer_widths(job.settings, Extent(COLUMNS, CLASSES, trained, scored))
    weights = count_weights(widths)
    if widths[0] != widths[1]:
        # The shortcut of the first block.
        weights += widths[0] * widths[1]
    return float(weights * (6 * trained + 2 * scored))


def points(folder: Path, seconds: float) -> Iterator[tuple[str, int, list[Measured], list[Job]]]:
    """Measure each point; several populations where there are several structures."""
    usual = write_table(folder / "usual", ROWS)
    axes: dict[str, dict[int, list[list[tuple[Key, Job]]]]] = {
        "slots": {slots: [jobs(folder / "s", usual, slots)] for slots in (1, 2, 4, 8, 16, 32, 64)},
        "width": {
            width: [jobs(folder / "w", usual, SLOTS, **{"model.units": width})] for width in (16, 32, 64, 128, 256, 512)
        },
        "rows": {
            rows: [jobs(folder / "r", write_table(folder / f"{rows}", rows), SLOTS)]
            for rows in (256, 1024, 4096, 16384)
        },
        "structures": {
            count: [
                jobs(folder / "t", usual, SLOTS // count, **{"model.blocks": blocks, "model.batch_norm": place})
                for blocks, place in STRUCTURES[:count]
            ]
            for count in (1, 2, 4, 8)
        },
    }
    for axis, values in axes.items():
        for value, populations in values.items():
            answers = measure(0, list(enumerate(populations)), 10 * seconds * len(populations), seconds)
            next(answers)
            measured = [answer for answer in answers if isinstance(answer, Measured)]
            faults = [answer.fault for answer in measured if answer.fault]
            if faults or len(measured) != len(populations):
                raise SystemExit(f"{axis} {value}: {faults or 'not measured'}")
            yield axis, value, measured, [population[0][1] for population in populations]


def cost(axis: str, value: int, measured: Sequence[Measured], first: Sequence[Job], speed: float) -> Cost:
    """Say what a point costs."""
    slots = sum(answer.slots for answer in measured)
    epoch = sum(answer.epoch_s for answer in measured)
    whole = sum(
        answer.build_s + answer.trace_s + EPOCHS * answer.epoch_s + answer.slots * answer.end_s for answer in measured
    )
    work = sum(answer.slots * useful_work(job) for answer, job in zip(measured, first, strict=True))
    return Cost(axis, value, 1000 * epoch / slots, whole / slots, work / epoch / speed)


def page(costs: Sequence[Cost]) -> str:
    """Return a page with a plot for each axis, made by the library that reports use."""
    library = (resources.files("hptune.reporting") / "assets/vendor/echarts.min.js").read_text()
    drawn = ""
    for axis in dict.fromkeys(point.axis for point in costs):
        mine = [point for point in costs if point.axis == axis]
        option = {
            "animation": False,
            "title": {"text": f"by {axis}"},
            "grid": {"left": 60, "right": 60},
            "legend": {"top": 28},
            "xAxis": {"type": "category", "name": axis, "data": [point.value for point in mine]},
            "yAxis": [
                {"type": "log", "name": "ms an epoch and slot", "min": 1, "logBase": 10},
                {"type": "value", "name": "share", "min": 0, "max": 1},
            ],
            "series": [
                {"name": "ms an epoch and slot", "type": "line", "data": [round(point.epoch_ms, 3) for point in mine]},
                {
                    "name": "share of matrix speed",
                    "type": "line",
                    "yAxisIndex": 1,
                    "lineStyle": {"type": "dashed"},
                    "data": [round(point.share, 3) for point in mine],
                },
            ],
        }
        drawn += f'<div id="{axis}"></div><script>echarts.init({axis}).setOption({json.dumps(option)})</script>\n'
    style = "body{display:grid;grid-template-columns:repeat(2,1fr);font-family:sans-serif}div{height:360px}"
    head = f'<meta charset="utf-8"><title>What a trial costs</title><style>{style}</style><script>{library}</script>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{drawn}</body></html>\n'


def begin_as_a_worker() -> None:
    """Begin this script again where its environment is not a worker's; the allocator reads it but once."""
    missing = WORKER_ENVIRONMENT.keys() - os.environ.keys()
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})


def main() -> None:
    """Measure, print and write."""
    begin_as_a_worker()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="for which each population is trained")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = list(points(Path(scratch), asked.seconds))
        speed = matrix_speed()
        costs = [cost(*point, speed) for point in found]
    lines = [
        f"One thread; a plain matrix product makes {speed / 1e9:.0f} billion operations a second.",
        "",
        f"| changed | to | ms an epoch and slot | s a trial of {EPOCHS} epochs | share of matrix speed |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {point.axis} | {point.value} | {point.epoch_ms:.2f} | {point.trial_s:.3f} | {point.share:.0%} |"
            for point in costs
        ),
    ]
    BUILD.mkdir(exist_ok=True)
    (BUILD / "cost.md").write_text("\n".join(lines) + "\n")
    (BUILD / "cost.html").write_text(page(costs))
    print(*lines, f"written to {BUILD / 'cost.md'} and {BUILD / 'cost.html'}", sep="\n")


if __name__ == "__main__":
    main()
