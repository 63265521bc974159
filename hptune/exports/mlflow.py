"""A run as a file store of MLflow: an experiment whose runs are the trials, with parameters, curves and scores.

The store is plain text files; they are written without MLflow. Its newer versions want to be told that they may read
them; `mlflow migrate-filestore` puts them into a database.
"""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from hptune.exports.telling import ToldRun, ToldTrial
from hptune.reporting.recorded import format_choice
from hptune.trial import Outcome

# MLflow's numbers for the state of a run.
_FINISHED, _FAILED = 3, 4
# Its kind of source that is none of the others.
_LOCAL = 4
_LONGEST_VALUE = 6000


def write(run: ToldRun, folder: Path) -> str:
    """Write an experiment with a run for each trial, and say how to open it."""
    digest = hashlib.sha256(run.name.encode()).hexdigest()
    # Experiments are numbered; 18 digits are what MLflow gives them.
    number = str(10**17 + int(digest[:14], 16) % 10**17)
    place = folder / number
    place.mkdir()
    began = min((told.began for told in run.trials), default=datetime.fromtimestamp(0))
    ended = max((told.ended for told in run.trials), default=began)
    _write_yaml(
        place / "meta.yaml",
        {
            "artifact_location": place.absolute().as_uri(),
            "creation_time": _milliseconds(began),
            "experiment_id": number,
            "last_update_time": _milliseconds(ended),
            "lifecycle_stage": "active",
            "name": run.name,
        },
    )
    for told in run.trials:
        name = hashlib.sha256(f"{run.name}/{told.trial.number}".encode()).hexdigest()[:32]
        _write_trial(run, told, number, name, place / name)
    return f"open it with: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {folder}"


def _write_trial(run: ToldRun, told: ToldTrial, experiment: str, name: str, place: Path) -> None:
    trial = told.trial
    for part in ("params", "metrics", "tags", "artifacts"):
        (place / part).mkdir(parents=True)
    is_good = trial.outcome in (Outcome.COMPLETED, Outcome.PAUSED)
    _write_yaml(
        place / "meta.yaml",
        {
            "artifact_uri": (place / "artifacts").absolute().as_uri(),
            "end_time": _milliseconds(told.ended),
            "entry_point_name": "",
            "experiment_id": experiment,
            "lifecycle_stage": "active",
            "run_id": name,
            "run_name": f"trial {trial.number}",
            "run_uuid": name,
            "source_name": "",
            "source_type": _LOCAL,
            "source_version": "",
            "start_time": _milliseconds(told.began),
            "status": _FINISHED if is_good else _FAILED,
            "tags": [],
            "user_id": getpass.getuser(),
        },
    )
    for key, value in trial.proposal.values.items():
        text = repr(value) if isinstance(value, float) else format_choice(value)
        (place / "params" / key).write_text(text[:_LONGEST_VALUE], encoding="utf-8")
    tags = {"mlflow.runName": f"trial {trial.number}", "hptune.outcome": trial.outcome.value}
    for key, text in tags.items():
        (place / "tags" / key).write_text(text, encoding="utf-8")
    for key, points in _metrics(run, told):
        lines = [f"{when} {value!r} {step}" for when, value, step in points]
        (place / "metrics" / key).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _metrics(run: ToldRun, told: ToldTrial) -> Iterator[tuple[str, list[tuple[int, float, int]]]]:
    """Yield each metric with its points: time, value, epoch."""
    curves: dict[str, list[tuple[int, float, int]]] = {}
    for place, epoch in enumerate(told.epochs, start=1):
        # Nobody recorded when an epoch ended: they are spread evenly.
        when = told.began + (told.ended - told.began) * place / len(told.epochs)
        for key, value in epoch.items():
            if key != "epoch" and value is not None:
                curves.setdefault(key, []).append((_milliseconds(when), float(value), int(epoch["epoch"])))
    yield from curves.items()
    trial = told.trial
    if trial.score is not None:
        yield f"best_{run.objective.metric}", [(_milliseconds(told.ended), trial.score, trial.best_epoch or 0)]


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
