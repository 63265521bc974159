"""What an artifact tells about itself besides its network: columns, labels, and which texts mean missing.

Keras ignores the entry, so the file stays an ordinary `.keras` archive; reading it here needs no TensorFlow.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hptune.errors import ArtifactError
from hptune.objective import Task

ENTRY = "hptune.json"
FORMAT = 2
# A vocabulary is text of the training table; a larger entry is not ours.
_LARGEST_ENTRY_BYTES = 256 << 20


@dataclass(frozen=True)
class Description:
    """What is needed to feed an artifact and to read its answers.

    Attributes:
        task: What it predicts.
        target: Name of the predicted column.
        labels: Class labels in the order of the probabilities; empty for regression.
        positive: Index of the positive class of a binary task.
        scale: Standard deviation by which a regression target was divided in training; 1 for classes.
        columns: Name and kind (numeric, categorical) of each input.
        vocabularies: Categories known from the training rows, by column.
        missing: Texts that mean missing.
        id: Column that is copied beside the predictions.
        weight: Column that says how much a row counts in metrics.
        threshold: Probability from which on a row is taken for the positive class; None for a half.
    """

    task: Task
    target: str
    labels: tuple[str, ...]
    positive: int | None
    scale: float
    columns: tuple[tuple[str, str], ...]
    vocabularies: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    id: str | None
    weight: str | None = None
    threshold: float | None = None

    def to_json(self) -> str:
        """Return the text of the archive's entry."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)


def read_description(path: Path) -> Description:
    """Read the entry of an artifact.

    Raises:
        ArtifactError: If the file is no artifact of hptune.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(ENTRY).file_size > _LARGEST_ENTRY_BYTES:
                raise ArtifactError(f"{path}: {ENTRY} is larger than hptune writes it")
            fields: dict[str, Any] = json.loads(archive.read(ENTRY))
        if fields.pop("format") != FORMAT:
            raise ArtifactError(f"{path}: written by another version of hptune; use that version")
        return Description(
            task=fields["task"],
            target=fields["target"],
            labels=tuple(fields["labels"]),
            positive=fields["positive"],
            scale=fields["scale"],
            columns=tuple((name, kind) for name, kind in fields["columns"]),
            vocabularies={column: tuple(words) for column, words in fields["vocabularies"].items()},
            missing=tuple(fields["missing"]),
            id=fields["id"],
            # Older artifacts know neither.
            weight=fields.get("weight"),
            threshold=fields.get("threshold"),
        )
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; name a run or its best/model.keras") from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: expected a model written by hptune, which holds {ENTRY}; got {type(error).__name__}; "
            "name a run or its best/model.keras"
        ) from error
