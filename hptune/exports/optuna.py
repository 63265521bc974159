"""A run as a study in an Optuna journal file: optuna-dashboard, and Optuna's own plots and importances, open it.

A journal file rather than SQLite: adding a trial takes 6 ms instead of 67.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from hptune.exports.telling import ToldRun, ToldTrial
from hptune.reporting.importance import in_silence, to_distribution
from hptune.space import Choice, Dimension
from hptune.trial import Outcome, Trial

FILE = "optuna.log"


def write(run: ToldRun, folder: Path) -> str:
    """Write `optuna.log`, and say how to open it."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / FILE
    with warnings.catch_warnings(), in_silence():
        # Journal storage is declared experimental; a test opens what was written.
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=run.name,
            direction="maximize" if run.objective.direction == "max" else "minimize",
        )
        study.set_metric_names([run.objective.metric])
        study.add_trials([_to_frozen(run, told) for told in run.trials])
    return f"open it with: optuna-dashboard {path}"


def _to_frozen(run: ToldRun, told: ToldTrial) -> Any:
    from optuna.trial import FrozenTrial, TrialState

    trial = told.trial
    values = {name: value for name, value in trial.proposal.values.items() if name in run.space.by_name}
    dimensions = {name: run.space.by_name[name] for name in values}
    is_complete = trial.outcome is Outcome.COMPLETED and trial.score is not None
    state = TrialState.COMPLETE if is_complete else TrialState.PRUNED if trial.score is not None else TrialState.FAIL
    metric = f"validation_{run.objective.metric}"
    curve = {int(epoch["epoch"]): float(epoch[metric]) for epoch in told.epochs if epoch.get(metric) is not None}
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=trial.score if is_complete else None,
        datetime_start=told.began.replace(tzinfo=None),
        datetime_complete=told.ended.replace(tzinfo=None),
        params={name: _plain(value) for name, value in values.items()},
        distributions={name: _distribution(dimension) for name, dimension in dimensions.items()},
        user_attrs=_attributes(trial),
        system_attrs={},
        intermediate_values=curve,
    )


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution([_plain(value) for value in dimension.values])
    return to_distribution(dimension)


def _plain(value: Any) -> Any:
    """Say lists and maps, which Optuna's choices do not know, as text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _attributes(trial: Trial) -> dict[str, Any]:
    facts = {"outcome": trial.outcome.value, "best_epoch": trial.best_epoch, "weights": trial.weights}
    return {**facts, "message": trial.message, **{f"metric.{name}": value for name, value in trial.metrics.items()}}
