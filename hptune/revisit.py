"""Going back to a run: its experiment from its folder, and its data from where it lay when the search began."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hptune.changes import describe_data_changes
from hptune.data.bundled import is_bundled
from hptune.errors import ChangedError, RunDamagedError, UsageError
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.run.folder import RunFolder
from hptune.run.records import History
from hptune.spec import load_experiment
from hptune.trial import StoredFile


def revisit(folder: RunFolder, history: History, data_folder: Path | None = None) -> Groundwork:
    """Lay the groundwork of a run again.

    Args:
        folder: Of the run.
        history: What its journal says.
        data_folder: What the data paths of the experiment are relative to; by default the folder in which the
            experiment lay.

    Raises:
        UsageError: If the data is no longer there.
        ChangedError: If it is not what the search began with.
        RunDamagedError: If the run's own copy of the experiment was altered.
    """
    header = history.header
    # Format 1 did not say where the experiment lay.
    base = data_folder or Path(header.get("folder", "."))
    experiment = load_experiment(folder.path / "resolved.yaml").experiment
    # The tables of scikit-learn lie with it.
    if not is_bundled(experiment.data.source):
        for file in header["data"]:
            if not (base / file["name"]).is_file():
                raise UsageError(
                    f"{base / file['name']}: the run's data is no longer there; say with --data-folder where it is now"
                )
    ground = lay_groundwork(folder.path / "resolved.yaml", base=base)
    if hashlib.sha256(json.dumps(ground.identity, sort_keys=True).encode()).hexdigest() != header["experiment_sha256"]:
        raise RunDamagedError(f"{folder.path / 'resolved.yaml'}: not the experiment that the journal recorded")
    changes = describe_data_changes((StoredFile(**file) for file in header["data"]), ground.dataset.files)
    if changes:
        raise ChangedError(
            f"the data of run {folder.name} has changed since it began:\n  " + "\n  ".join(changes),
            "bring the old data back, or search again",
        )
    return ground
