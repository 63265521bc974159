"""A first experiment from a look at the data: commented, runs as it is, and says why each part is as it is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptune.data.formats import find_separator
from hptune.data.kinds import Column
from hptune.data.table import Dataset, read_dataset
from hptune.errors import UsageError
from hptune.objective import METRICS, metrics_of
from hptune.reporting.words import printable
from hptune.run.folder import NAME_PATTERN
from hptune.spec import DataSpec
from hptune.spec.experiment import ColumnsSpec
from hptune.spec.reader import read_plain

_SHOWN_COLUMNS = 60
# A text column with more different values than this share of the rows names the row.
_IDENTIFIER_SHARE = 0.9
_IDENTIFIER_NAME = re.compile(r"(?i)(^|[ _-])(id|uuid|key)$|^(id|uuid|key)[ _-]")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Text to us, but not to every reader of YAML.
_OTHERS_BOOLEANS = ("yes", "no", "on", "off", "y", "n")
# A class with a smaller share of the rows than this makes accuracy flatter whoever ignores it.
_RARE_SHARE = 0.25
# Above this many different categories in a column, flags take more numbers than an embedding.
_MANY_CATEGORIES = 20


@dataclass(frozen=True)
class _Size:
    """What suits a table of at most so many rows."""

    rows: float
    blocks: int
    units: tuple[int, ...]
    batch_size: tuple[int, ...]
    epochs: int
    trials: int
    time: str


_SIZES = (
    _Size(2_000, 2, (16, 32, 64), (16, 32, 64), 60, 40, "10m"),
    _Size(20_000, 3, (32, 64, 128), (32, 64, 128), 40, 40, "20m"),
    _Size(200_000, 3, (64, 128, 256), (128, 256, 512), 20, 30, "1h"),
    _Size(float("inf"), 4, (64, 128, 256), (512, 1024, 2048), 10, 20, "2h"),
)


def write_starter(source: str, target: str, metric: str | None, name: str, base: Path | None = None) -> str:
    """Write an experiment.

    Args:
        source: The table; `sklearn:NAME`, or a path relative to the current folder.
        target: The column to predict.
        metric: The objective; None for one that suits the task.
        name: Of the run.
        base: Folder in which the experiment will lie; None for the current one.

    Raises:
        DataError: If the table cannot be used.
        UsageError: If metric or name cannot be used.
    """
    dataset, spec = _look(source, target)
    metric = metric or _choose_metric(dataset)
    if metric not in metrics_of(dataset.task):
        known = ", ".join(metrics_of(dataset.task))
        raise UsageError(f"--metric: expected one of {known} for a {dataset.task} task, got {metric!a}")
    if NAME_PATTERN.fullmatch(name) is None:
        raise UsageError(f"--name: expected letters, digits, dots, underscores or hyphens, got {name!a}")
    if base is not None and not source.startswith("sklearn:"):
        spec = spec.model_copy(update={"source": os.path.relpath(source, base)})
    size = next(size for size in _SIZES if dataset.frame.height <= size.rows)
    sections = (
        _head(name, source, dataset),
        _data(spec, dataset),
        _aim(dataset, metric),
        _search(size),
        _model(size, dataset),
        _start(size),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def _look(source: str, target: str) -> tuple[Dataset, DataSpec]:
    """Read the table, and again without the columns that only name the row or never vary."""
    written = {"source": source, "target": target, "separator": find_separator(Path(source))}
    spec = DataSpec.model_validate(written)
    dataset = read_dataset(spec, Path())
    rows = dataset.frame.height
    names = [column for column in dataset.columns if _names_the_row(column, rows)]
    still = [column.name for column in dataset.columns if column.distinct + bool(column.missing) <= 1]
    if len(names) + len(still) >= len(dataset.columns):
        return dataset, spec
    columns = ColumnsSpec(id=names[0].name if names else None, exclude=(*(column.name for column in names[1:]), *still))
    spec = spec.model_copy(update={"columns": columns})
    return read_dataset(spec, Path()), spec


def _names_the_row(column: Column, rows: int) -> bool:
    if column.kind == "categorical":
        return column.distinct > _IDENTIFIER_SHARE * rows
    return column.distinct == rows and _IDENTIFIER_NAME.search(column.name) is not None


def _choose_metric(dataset: Dataset) -> str:
    if dataset.task == "regression":
        return "rmse"
    if _smallest_share(dataset) * len(dataset.labels) >= 2 * _RARE_SHARE:
        return "accuracy"
    return "roc_auc" if dataset.task == "binary" else "balanced_accuracy"


def _smallest_share(dataset: Dataset) -> float:
    counts = dataset.frame[dataset.target].value_counts()["count"].to_list()
    return float(min(counts)) / dataset.frame.height


def make_name(source: str) -> str:
    """Name a run as its table is called."""
    stem = Path(source.removeprefix("sklearn:")).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "experiment"


def _head(name: str, source: str, dataset: Dataset) -> Iterator[str]:
    yield f"# An experiment of hptune for {printable(Path(source).name)}: {dataset.frame.height} rows."
    yield "# hptune check shows what was decided, hptune search trains. For completion in an editor run"
    yield "# hptune schema --output hptune.schema.json, and make this the first line:"
    yield "#   # yaml-language-server: $schema=hptune.schema.json"
    yield f"name: {_scalar(name)}"
    yield ""


def _data(spec: DataSpec, dataset: Dataset) -> Iterator[str]:
    yield "data:"
    yield f"  source: {_scalar(str(spec.source))}"
    if spec.separator is not None:
        yield f"  separator: {json.dumps(spec.separator)}"
    yield f"  target: {_scalar(spec.target)}"
    yield f"  task: {dataset.task}".ljust(38) + f" # {printable(dataset.task_reason.partition(';')[0])}"
    if dataset.positive is not None:
        label = dataset.labels[dataset.positive]
        yield f"  positive: {_scalar(label)}".ljust(38) + " # what f1 and the like look for"
    columns = spec.columns
    if columns.id or columns.exclude:
        yield "  columns:"
        if columns.id:
            yield (
                f"    id: {_scalar(columns.id)}".ljust(38) + " # names the row: copied beside predictions, not learned"
            )
        if columns.exclude:
            names = ", ".join(map(_scalar, columns.exclude))
            yield f"    exclude: [{names}]".ljust(38) + " # names the row too, or never varies"
    yield "  # The columns as they were found. Numbers that are codes: columns: {categorical: [NAME]}"
    for column in dataset.columns[:_SHOWN_COLUMNS]:
        gaps = f", {column.missing} missing" if column.missing else ""
        yield f"  #   {printable(column.name)}: {column.kind}, {column.distinct} different{gaps}"
    if len(dataset.columns) > _SHOWN_COLUMNS:
        yield f"  #   and {len(dataset.columns) - _SHOWN_COLUMNS} more; see hptune check"
    yield '  missing: ["", "NA", "?"]'.ljust(38) + " # texts that mean missing; nothing else does"
    yield "  # Validation rows choose, test rows are scored once at the end."
    yield "  split: {validation: 0.2, test: 0.2, seed: 0}"
    yield from _preparation(dataset)
    yield ""


def _preparation(dataset: Dataset) -> Iterator[str]:
    kinds = {column.kind for column in dataset.columns}
    many = any(column.kind == "categorical" and column.distinct > _MANY_CATEGORIES for column in dataset.columns)
    parts = []
    if "numeric" in kinds:
        parts.append("numeric: [standard, quantile]")
    if "categorical" in kinds:
        parts.append("categorical: [one_hot, embedding]" if many else "categorical: one_hot")
    yield f"  preparation: {{{', '.join(parts)}}}"


def _aim(dataset: Dataset, metric: str) -> Iterator[str]:
    others = ", ".join(other for other in metrics_of(dataset.task) if other != metric)
    if dataset.task != "regression":
        share = _smallest_share(dataset)
        yield f"# The rarest class has {share:.0%} of the rows" + (
            "; accuracy alone would flatter." if metric != "accuracy" and share * len(dataset.labels) < 1 else "."
        )
    yield f"# Other metrics: {others}."
    yield f"objective: {{metric: {metric}, direction: {METRICS[metric].direction}}}"
    yield ""


def _search(size: _Size) -> Iterator[str]:
    yield "# Bayesian: 12 configurations at random, then batches of 4 that learn from all results before. Also random;"
    yield "# grid, for small spaces; hyperband, for long trainings: it stops the worse ones early."
    yield "strategy: {name: bayesian, seed: 0, num_initial_points: 12, batch: 4}"
    yield "# Whichever comes first ends the search; a larger budget goes on with it."
    yield f"budget: {{max_trials: {size.trials}, max_time: {size.time}}}"
    yield ""


def _model(size: _Size, dataset: Dataset) -> Iterator[str]:
    yield "# A list chooses, {min, max} is a range, a single value is fixed."
    yield "model:"
    lines: list[tuple[str, str]] = [
        (f"blocks: {{min: 1, max: {size.blocks}}}", f"hidden layers for {dataset.frame.height} rows"),
        (f"units: {_list(size.units)}", "width of each"),
        ("batch_norm: [none, after]", "standardizes activations"),
        ("residual: {values: [false, true], when: {model.blocks: {min: 2}}}", "blocks add to their input"),
        ("dropout: {min: 0.0, max: 0.5, step: 0.1}", "against overfitting, as are the next two"),
        ("l2: {min: 1e-7, max: 1e-2, log: true}", "shrinks all weights"),
        ("l1: {min: 1e-7, max: 1e-3, log: true}", "makes weights exactly zero"),
    ]
    yield from _commented(lines)
    yield "training:"
    lines = [
        ("optimizer: adamw", ""),
        ("learning_rate: {min: 3e-4, max: 3e-2, log: true}", "the one that matters most"),
        ("weight_decay: {min: 1e-5, max: 1e-1, log: true}", ""),
        (f"batch_size: {_list(size.batch_size)}", ""),
        (f"epochs: {size.epochs}", "at most"),
        ("schedule: [constant, cosine]", "of the learning rate"),
        ("early_stopping: {patience: 8}", "epochs without improvement of the objective"),
    ]
    yield from _commented(lines)
    yield ""


def _start(size: _Size) -> Iterator[str]:
    yield "# A sound configuration to begin with; what it does not name takes the first value or the lower end."
    yield "start_from:"
    yield f"  - {{model.units: {size.units[1]}, model.dropout: 0.2, training.learning_rate: 1e-3}}"


def _commented(lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max(len(line) for line, comment in lines if comment)
    for line, comment in lines:
        yield f"  {line:<{width}} # {comment}" if comment else f"  {line}"


def _list(values: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"


def _scalar(text: str) -> str:
    """Write text so that it reads back as it is."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _OTHERS_BOOLEANS and read_plain(text) == (text, "")
    return text if is_plain else json.dumps(text, ensure_ascii=False)
