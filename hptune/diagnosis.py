"""What the stored validation predictions tell when a search ends: how sure the winner is, and where it errs.

Kept as `insight.json`, so that a report needs neither the data nor a model file. It depends on the trials and the seed
alone: equal searches give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.assembly import stored_predictions
from hptune.bootstrap import DRAWN_ROWS, FEWEST_DRAWS, Guess, Yardstick, draw_scores
from hptune.calibration import measure_calibration
from hptune.facts import gather_facts
from hptune.leaderboard import Leaderboard
from hptune.materials import Materials
from hptune.regularization import tell_regularization
from hptune.resampling import LEVEL, percentiles
from hptune.run.files import write_text
from hptune.run.folder import INSIGHT, PREDICTIONS
from hptune.trial import Trial, derive_seed

Floats = npt.NDArray[np.floating[Any]]

# Trials that are held against the winner; fewer where there are many rows.
_RIVALS = 9
# More points than these show no more.
_MOST_RESIDUALS = 1000


def write_insight(materials: Materials, board: Leaderboard, winner: Trial) -> None:
    """Write `insight.json` for the trial that is delivered, unless it is there already.

    Raises:
        RunDamagedError: If stored predictions are not what was recorded.
    """
    path = materials.folder.path / INSIGHT
    if _is_of(path.read_text() if path.is_file() else "", winner, len(board.trials)):
        return
    told = tell_regularization(materials.folder, board.scored, materials.ground.objective.metric)
    content = {
        "schema": 1,
        "trial": winner.number,
        "trials": len(board.trials),
        "data": gather_facts(materials.ground)["data"],
        "validation": _judge(materials, [winner, *(trial for trial in board.scored if trial is not winner)]),
        "zeros": _shares_of_zeros(materials, told),
        "regularization": told,
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _is_of(text: str, winner: Trial, trials: int) -> bool:
    try:
        known = json.loads(text)
    except ValueError:
        return False
    return bool(known["trial"] == winner.number and known["trials"] == trials)


def _judge(materials: Materials, scored: Sequence[Trial]) -> dict[str, Any] | None:
    """Hold the winner against chance, its rivals and the truth; None where its predictions were not kept."""
    about, folder = materials.about, materials.folder
    yardstick = materials.yardstick(materials.split.validation)
    compared = min(max(DRAWN_ROWS // (len(yardstick.truth) * FEWEST_DRAWS), 2), _RIVALS + 1)
    kept = [trial for trial in scored[:compared] if folder.holds(trial, PREDICTIONS)]
    if not kept or kept[0] is not scored[0]:
        return None
    truth = yardstick.truth
    own = stored_predictions(folder, kept[0])
    errors = _errors(about.labels, truth, own)
    if (calibration := measure_calibration(yardstick, own)) is not None:
        errors["calibration"] = calibration
    draws = _draw_scores(materials, yardstick, [materials.guesses(trial) for trial in kept])
    if not draws.size:
        return {"rows": len(truth), "level": LEVEL, "draws": 0, "low": None, "high": None, "rivals": [], **errors}
    objective = materials.ground.objective
    rivals = []
    for trial, scores in zip(kept[1:], draws[1:], strict=True):
        low, high = percentiles(objective.gain(draws[0], over=scores))
        rivals.append({"trial": trial.number, "score": trial.score, "low": low, "high": high})
    low, high = percentiles(draws[0])
    return {
        "rows": len(truth),
        "level": LEVEL,
        "draws": len(draws[0]),
        "low": low,
        "high": high,
        "rivals": rivals,
        **errors,
    }


def _draw_scores(materials: Materials, yardstick: Yardstick, models: Sequence[Sequence[Guess]]) -> Floats:
    """Score models in the objective's metric on rows drawn with replacement, (models, draws)."""
    seed = derive_seed(materials.ground.experiment.strategy.seed, "insight")
    return draw_scores(yardstick, models, materials.ground.objective.metric, seed)


def _errors(labels: Sequence[str], truth: npt.NDArray[Any], predicted: Floats) -> dict[str, Any]:
    """Return the confusion matrix (rows: truth), or true and predicted values."""
    if labels:
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        np.add.at(counts, (truth, predicted.argmax(axis=1)), 1)
        return {"confusion": {"labels": list(labels), "counts": counts.tolist()}}
    step = -(-len(truth) // _MOST_RESIDUALS)
    return {"residuals": {"truth": truth[::step].tolist(), "predicted": predicted[::step].astype(float).tolist()}}


def _shares_of_zeros(materials: Materials, told: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return which share of its kernel weights each trial has at exactly zero, where L1 may have put them there."""
    space = materials.ground.space
    if "model.l1" not in space.by_name and not space.constants.get("model.l1"):
        return {}
    shares = {}
    for trial in told:
        size = sum(layer["weights"] for layer in trial["layers"])
        if size:
            zeros = sum(round(layer["weights"] * layer["zeros"]) for layer in trial["layers"])
            shares[str(trial["trial"])] = zeros / size
    return shares
