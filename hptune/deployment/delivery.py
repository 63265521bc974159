"""The best model of a run, or its ensemble, written for another runtime and checked on the run's own rows."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hptune.description import read_description
from hptune.errors import UsageError
from hptune.materials import Materials
from hptune.reporting.words import format_bytes
from hptune.revisit import revisit
from hptune.run.files import storage_errors
from hptune.run.folder import RunFolder
from hptune.training.workers import WarmProcesses

# What each format needs besides hptune's own dependencies, and the extra that brings it.
MODEL_FORMATS: Mapping[str, tuple[str, ...]] = {
    "keras": (),
    "savedmodel": (),
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
}
# The rows that a model is held against the artifact on.
_CHECKED_ROWS = 2000


@dataclass(frozen=True)
class Delivery:
    """What was written.

    Attributes:
        folder: Where it lies.
        sentences: What there is to say about it.
    """

    folder: Path
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What is to be written.

    Attributes:
        artifact: `best/model.keras` or `ensemble/model.keras` of a run.
        form: One of `MODEL_FORMATS`.
        is_pruned: Whether idle units are removed first.
        output: A folder that is empty or does not exist.
        data_folder: Where the run's data lies now; None where it did not move.
    """

    artifact: Path
    form: str
    is_pruned: bool
    output: Path
    data_folder: Path | None = None


@dataclass(frozen=True)
class Shipped:
    """What a worker has written.

    Attributes:
        rows: How many rows it was held against the artifact on.
        difference: The largest one to what the artifact predicts, relative to values above 1.
        units, weights: Before and after pruning; None where nothing was pruned.
    """

    rows: int
    difference: float
    units: tuple[int, int] | None = None
    weights: tuple[int, int] | None = None


def deliver_model(run: RunFolder, order: Order, processes: WarmProcesses) -> Delivery:
    """Write a model for another runtime, open it there, and compare what it predicts.

    Raises:
        UsageError: If a package is missing, or the data is no longer where it was.
        ArtifactError: If it predicts anything else than the artifact.
    """
    refuse_missing_packages(order.form)
    about = read_description(order.artifact)
    materials = Materials(revisit(run, run.read(), order.data_folder), run)
    rows = materials.rows(materials.split.validation).head(_CHECKED_ROWS)
    folder = order.output
    with storage_errors(folder), tempfile.TemporaryDirectory(prefix="hptune-") as scratch:
        folder.mkdir(parents=True, exist_ok=True)
        given = (order.artifact, about, order.form, folder, rows, order.is_pruned)
        shipped = processes.call(_ship, *given, output=Path(scratch) / "output.txt")
    return Delivery(folder, tuple(_tell(order, shipped, folder)))


def _ship(*given: Any) -> Shipped:
    from hptune.deployment.shipping import ship

    return ship(*given)


def refuse_missing_packages(form: str) -> None:
    """Name what a format needs and how to install it.

    Raises:
        UsageError: If something is missing.
    """
    missing = [package.replace("_", "-") for package in MODEL_FORMATS[form] if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"--format {form}: expected the package{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which "
            f"{'are' if len(missing) > 1 else 'is'} not installed; install with: pip install 'hptune[{form}]'"
        )


def _tell(order: Order, shipped: Shipped, folder: Path) -> list[str]:
    lines = []
    if shipped.units is not None and shipped.weights is not None:
        words = f"pruned: {shipped.units[0] - shipped.units[1]} of {shipped.units[0]} inner units did nothing; "
        words += f"{shipped.weights[0]} weights became {shipped.weights[1]}"
        if order.form == "keras":
            sizes = [format_bytes(path.stat().st_size) for path in (order.artifact, folder / "model.keras")]
            words += f", {sizes[0]} became {sizes[1]}"
        lines.append(words)
    size = format_bytes(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    within = f"within {shipped.difference:.1g}" if shipped.difference else "to the bit"
    lines.append(
        f"wrote {folder} ({size}); on {shipped.rows} rows it predicts what {order.artifact} does, {within}; "
        f"how it is fed stands in {folder / 'inputs.json'}"
    )
    return lines
