"""What the stored validation predictions tell when a search ends: how sure the winner is, and where it errs.

Kept as `insight.json`, so that a report needs neither the data nor a model file. It depends on the trials and the seed
alone: equal searches give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.assembly import stored_predictions
from hptune.data.table import encode_target
from hptune.facts import gather_facts
from hptune.leaderboard import Leaderboard
from hptune.materials import Materials
from hptune.metrics import compute_metrics
from hptune.run.files import write_text
from hptune.run.folder import INSIGHT, PREDICTIONS, WEIGHTS
from hptune.trial import Trial, derive_seed

Floats = npt.NDArray[np.floating[Any]]

LEVEL = 0.95
# Trials that are held against the winner, and rows that may be scored in all: many rows take fewer draws, then fewer
# rivals, so that the end of a search stays a matter of seconds.
_RIVALS = 9
_SCORED_ROWS = 2_000_000
# Putting the rows in order for one class takes as long as this many times counting hits.
_RANKING_COST = 10
_FEWEST_DRAWS, _MOST_DRAWS = 50, 200
# More points than these show no more.
_MOST_RESIDUALS = 1000
_RANKED = ("roc_auc", "average_precision")


def write_insight(materials: Materials, board: Leaderboard) -> None:
    """Write `insight.json` for the first trial of the leaderboard, unless it is there already.

    Raises:
        RunDamagedError: If stored predictions are not what was recorded.
    """
    path = materials.folder.path / INSIGHT
    winner = board.scored[0]
    if _is_of(path.read_text() if path.is_file() else "", winner, len(board.trials)):
        return
    content = {
        "schema": 1,
        "trial": winner.number,
        "trials": len(board.trials),
        "data": gather_facts(materials.ground)["data"],
        "validation": _judge(materials, board.scored),
        "zeros": _shares_of_zeros(materials, board.scored),
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
    rows = len(materials.split.validation) * _cost_of_a_row(materials)
    compared = min(max(_SCORED_ROWS // (rows * _FEWEST_DRAWS), 2), _RIVALS + 1)
    kept = [trial for trial in scored[:compared] if (folder.path / trial.file(PREDICTIONS).name).is_file()]
    if not kept or kept[0] is not scored[0]:
        return None
    truth = encode_target(materials.rows(materials.split.validation), about.target, about.labels)
    predictions = [stored_predictions(folder, trial) for trial in kept]
    errors = _errors(about.labels, truth, predictions[0])
    draws = _draw_scores(materials, truth, predictions)
    if not draws.size:
        return {"rows": len(truth), "level": LEVEL, "draws": 0, "low": None, "high": None, "rivals": [], **errors}
    objective = materials.ground.objective
    sign = 1 if objective.direction == "max" else -1
    tail = (1 - LEVEL) / 2
    rivals = []
    for trial, scores in zip(kept[1:], draws[1:], strict=True):
        low, high = np.quantile(sign * (draws[0] - scores), (tail, 1 - tail))
        rivals.append({"trial": trial.number, "score": trial.score, "low": float(low), "high": float(high)})
    low, high = np.quantile(draws[0], (tail, 1 - tail))
    return {
        "rows": len(truth),
        "level": LEVEL,
        "draws": len(draws[0]),
        "low": float(low),
        "high": float(high),
        "rivals": rivals,
        **errors,
    }


def _cost_of_a_row(materials: Materials) -> int:
    """How long a row takes to be scored, in hits counted."""
    is_ranked = materials.ground.objective.metric in _RANKED
    return _RANKING_COST * len(materials.about.labels) if is_ranked else 1


def _draw_scores(materials: Materials, truth: npt.NDArray[Any], predictions: Sequence[Floats]) -> Floats:
    """Score predictions on rows drawn with replacement, the same rows for all of them.

    Returns:
        Scores in the objective's metric, (predictions, draws).

    Reference:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (paired, percentile).
    """
    about, metric = materials.about, materials.ground.objective.metric
    seed = derive_seed(materials.ground.experiment.strategy.seed, "insight")
    generator = np.random.default_rng(seed)
    cost = len(truth) * _cost_of_a_row(materials)
    count = min(max(_SCORED_ROWS // (cost * len(predictions)), _FEWEST_DRAWS), _MOST_DRAWS)
    draws: list[list[float]] = []
    for _ in range(count):
        rows = generator.integers(0, len(truth), len(truth))
        scores = [
            compute_metrics(
                about.task, truth[rows], predicted[rows], about.positive, about.scale, with_ranks=metric in _RANKED
            ).get(metric)
            for predicted in predictions
        ]
        # A draw in which a class is absent has no ROC AUC.
        if None not in scores:
            draws.append([float(score) for score in scores if score is not None])
    made: Floats = np.array(draws).reshape(-1, len(predictions)).T
    return made


def _errors(labels: Sequence[str], truth: npt.NDArray[Any], predicted: Floats) -> dict[str, Any]:
    """Return the confusion matrix (rows: truth), or true and predicted values."""
    if labels:
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        np.add.at(counts, (truth, predicted.argmax(axis=1)), 1)
        return {"confusion": {"labels": list(labels), "counts": counts.tolist()}}
    step = -(-len(truth) // _MOST_RESIDUALS)
    return {"residuals": {"truth": truth[::step].tolist(), "predicted": predicted[::step].astype(float).tolist()}}


def _shares_of_zeros(materials: Materials, scored: Sequence[Trial]) -> dict[str, float]:
    """Return which share of its kernel weights each trial has at exactly zero, where L1 may have put them there."""
    space = materials.ground.space
    if "model.l1" not in space.by_name and not space.constants.get("model.l1"):
        return {}
    shares = {}
    for trial in scored:
        path = materials.folder.path / trial.file(WEIGHTS).name
        if path.is_file():
            with np.load(materials.folder.verified(trial.file(WEIGHTS)), allow_pickle=False) as arrays:
                kernels = [arrays[name] for name in arrays.files if name.endswith("/kernel")]
            size = sum(kernel.size for kernel in kernels)
            if size:
                shares[str(trial.number)] = sum(int((kernel == 0).sum()) for kernel in kernels) / size
    return shares
