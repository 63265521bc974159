"""The winner: its artifact, checked against the search, scored on test rows, and its settings to paste.

`best/metrics.json` is written last: without it there is no best model yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import yaml

from hptune.assembly import assemble, stored_predictions
from hptune.bootstrap import Guess
from hptune.card import MODEL_CARD, card_of_best
from hptune.confirmation import Choice
from hptune.errors import NoTrialCompletedError
from hptune.materials import Materials
from hptune.objective import Objective
from hptune.parts import REFIT
from hptune.run.files import describe_file, write_text
from hptune.space import Value
from hptune.testrows import TEST_ROWS
from hptune.threshold import choose_threshold
from hptune.trial import Trial, derive_seed
from hptune.workshop import Workshop

_TRAIN = "train_"


def deliver(workshop: Workshop, choice: Choice) -> None:
    """Write `best/`: model, model card, metrics, hyperparameters, test rows; from a last training where that is wanted.

    Raises:
        ArtifactError: If the artifact does not predict what the search predicted.
        RunDamagedError: If the winner's weights or predictions are not what was recorded.
    """
    materials, processes, winner = workshop.materials, workshop.processes, choice.winner
    folder, ground = materials.folder, materials.ground
    built = _refit(workshop, winner) if ground.experiment.evaluation.refit else winner
    validation = _judge_validation(materials, winner)
    test = materials.split.test
    model, judged = assemble(
        materials,
        [(built, 1.0)],
        folder.best,
        processes,
        threshold=validation["threshold"],
        then=_judging(materials, validation["threshold"]) if len(test) else _judge_nothing,
    )
    if len(test):
        workshop.recorder.look_at_test("search", winner.number, describe_file(model, folder.relative(model)))
    settings = materials.job(winner.proposal).settings
    write_text(folder.best / "hyperparameters.yaml", hyperparameters_yaml(settings))
    content = _metrics(materials, choice, validation, judged)
    write_text(folder.best / MODEL_CARD, card_of_best(materials, content, hyperparameters_yaml(settings)))
    write_text(folder.best / "metrics.json", json.dumps(content, indent=1) + "\n")


def _judge_validation(materials: Materials, winner: Trial) -> dict[str, Any]:
    """Choose the threshold on validation rows, where task and metric ask for one.

    Returns:
        `threshold`, None for a half; `metrics`, of the decisions that the model then makes.
    """
    metric = materials.ground.objective.metric
    yardstick = materials.yardstick(materials.split.validation)
    guess = Guess(stored_predictions(materials.folder, winner))
    threshold = choose_threshold(yardstick, guess, metric)
    if threshold is not None:
        return {"threshold": threshold, "metrics": yardstick.report(replace(guess, threshold=threshold))}
    metrics = {name: value for name, value in winner.metrics.items() if not name.startswith(_TRAIN)}
    return {"threshold": None, "metrics": metrics}


def _refit(workshop: Workshop, winner: Trial) -> Trial:
    """Train the winner on training and validation rows, for as many epochs as were best for it.

    Raises:
        NoTrialCompletedError: If that comes to nothing.
    """
    folder = workshop.materials.folder
    proposal = replace(winner.proposal.as_part(REFIT), until=winner.best_epoch)
    history = folder.read()
    workshop.train_beside(workshop.missing([proposal], history), history)
    refit = folder.read().parts[proposal.key]
    if refit.score is None:
        raise NoTrialCompletedError(
            f"trial {winner.number} could not be trained on training and validation rows together: "
            f"{refit.outcome.value} {refit.message}"
        )
    return refit


def _metrics(
    materials: Materials, choice: Choice, validation: Mapping[str, Any], judged: Mapping[str, Any]
) -> dict[str, Any]:
    """Arrange the content of `best/metrics.json`."""
    winner, split, objective = choice.winner, materials.split, materials.ground.objective
    scores = judged.get("scores", {})
    return {
        "schema": 1,
        "trial": winner.number,
        "objective": asdict(objective),
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        "train": {
            name.removeprefix(_TRAIN): value for name, value in winner.metrics.items() if name.startswith(_TRAIN)
        },
        "validation": validation["metrics"],
        "test": scores.get("test"),
        "baselines": {name: values for name, values in scores.items() if name != "test"},
        # Of the test scores; and by how much the model is better than each simple predictor, on the same drawn rows.
        "intervals": judged.get("intervals"),
        "optimism": _optimism(objective, validation["metrics"], scores.get("test")),
        "threshold": validation["threshold"],
        "calibration": judged.get("calibration"),
        "std_error": winner.std_error,
        "n": winner.n,
        "choice": choice.to_dict(),
        "refit": materials.ground.experiment.evaluation.refit,
    }


def _optimism(objective: Objective, validation: Mapping[str, float], test: Mapping[str, float] | None) -> float | None:
    """Say by how much the winner's validation score flatters: above 0 where test rows are worse."""
    metric = objective.metric
    if test is None or metric not in test or metric not in validation:
        return None
    flattery: float = objective.gain(validation[metric], over=test[metric])
    return flattery


def hyperparameters_yaml(settings: Mapping[str, Value]) -> str:
    """Write settings as the sections of an experiment, so that they can be pasted into one."""
    by_block: dict[str, list[Value]] = {}
    for name in sorted(settings, key=lambda name: (len(name), name)):
        key, _, number = name.rpartition(".")
        if number.isdigit() and int(number) <= settings["model.blocks"]:
            by_block.setdefault(key, []).append(settings[name])
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, key = name.split(".")
        if key.isdigit():
            continue
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = {"per_block": by_block[name]} if name in by_block else value
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def _judging(materials: Materials, threshold: float | None) -> Callable[[Any], dict[str, Any]]:
    """Return what a worker does with the model to score it on test rows, with simple predictors and intervals."""
    ground, split = materials.ground, materials.split
    return partial(
        _judge_in_worker,
        about=replace(materials.about, threshold=threshold),
        columns=ground.dataset.columns,
        train=materials.rows(split.train),
        test=materials.rows(split.test),
        groups=ground.dataset.roles.of(split.test).groups,
        seed=derive_seed(ground.experiment.strategy.seed, "test"),
        kept=materials.folder.best / TEST_ROWS,
    )


def _judge_in_worker(model: Any, **given: Any) -> dict[str, Any]:
    from hptune.verdict import judge_test_rows

    return judge_test_rows(model, **given)


def _judge_nothing(model: Any) -> dict[str, Any]:
    """Say nothing of the model: there are no test rows."""
    del model
    return {}
