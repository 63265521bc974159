"""Learning curves of trials, averaged epoch by epoch where a trial has parts, and what else their files tell."""

from __future__ import annotations

import json
from typing import Any

from hptune.errors import RunDamagedError
from hptune.parts import mean, part_of_file
from hptune.run.folder import CURVE, RunFolder
from hptune.trial import Trial

Epochs = list[dict[str, Any]]


def read_curves(folder: RunFolder, trial: Trial) -> dict[str, Epochs]:
    """Read the curve of each part; that of a trial trained once has no name.

    Raises:
        RunDamagedError: If a curve is not what was recorded.
    """
    return {part: content["epochs"] for part, content in _read(folder, trial).items()}


def read_silent_units(folder: RunFolder, trial: Trial) -> dict[str, dict[str, int]]:
    """Read how many units of each layer say the same of every row, by part; empty in runs of older versions.

    Raises:
        RunDamagedError: If a curve is not what was recorded.
    """
    return {part: content.get("silent_units", {}) for part, content in _read(folder, trial).items()}


def _read(folder: RunFolder, trial: Trial) -> dict[str, dict[str, Any]]:
    curves: dict[str, dict[str, Any]] = {}
    for file in trial.files_named(CURVE):
        path = folder.verified(file)
        try:
            content = json.loads(path.read_text())
            curves[part_of_file(file.name)] = {**content, "epochs": list(content["epochs"])}
        except (ValueError, KeyError, TypeError) as error:
            raise RunDamagedError(f"{path}: expected the JSON that hptune wrote: {error}") from None
    return curves


def read_mean_curve(folder: RunFolder, trial: Trial) -> Epochs:
    """Average the curves of a trial's parts, each epoch over those that came so far; as `read_curves`."""
    curves = list(read_curves(folder, trial).values())
    if len(curves) < 2:
        return curves[0] if curves else []
    averaged: Epochs = []
    for number in range(max(map(len, curves))):
        reached = [curve[number] for curve in curves if number < len(curve)]
        names = [name for name in reached[0] if all(name in epoch for epoch in reached)]
        averaged.append({name: mean([epoch[name] for epoch in reached]) for name in names} | {"epoch": number + 1})
    return averaged
