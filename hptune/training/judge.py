"""How a trial does, epoch by epoch: scores, the best epoch, patience, divergence; the same for every engine.

Training rows are scored on a fixed sample, so that a large table does not pay for its learning curve. Metrics that need
the rows in order take longer than all others together; the curve has them only where they are the objective.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.errors import DataError
from hptune.metrics import RANKED, compute_metrics, missing_metric, reported_metric
from hptune.run.files import describe_file, write_file, write_text
from hptune.run.folder import CURVE, PREDICTIONS, WEIGHTS
from hptune.training.job import Fitted, Job, OnEpoch
from hptune.trial import Outcome, StoredFile

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Answers:
    """What predictions are held against.

    Attributes:
        truth: Targets in the user's unit, (rows,).
        weights: How much each row counts, (rows,); None where all count the same.
    """

    truth: npt.NDArray[Any]
    weights: npt.NDArray[np.float64] | None = None


@dataclass
class Memory:
    """What has been seen so far.

    Attributes:
        curve: Metrics of each epoch.
        best_score: The objective at the best epoch.
        best_epoch: From 1.
        best_predictions: For the validation rows.
        best_train_predictions: For the sample of training rows.
        best_for_patience: The score that the next epochs must beat by `min_delta`.
        waited: Epochs since then.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    best_predictions: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    best_train_predictions: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    best_for_patience: float | None = None
    waited: int = 0


@dataclass(frozen=True)
class Verdict:
    """What an epoch means for its trial.

    Attributes:
        is_best: Whether its weights are the ones to keep.
        is_over: Whether training ends with it.
    """

    is_best: bool = False
    is_over: bool = False


class Judge:
    """Follows one trial."""

    def __init__(self, job: Job, engine: str, answers: Mapping[str, Answers], on_epoch: OnEpoch) -> None:
        """Begin.

        Args:
            job: What is trained.
            engine: What trains it.
            answers: Of `validation` rows and of the sample of `train` rows.
            on_epoch: Told of each epoch; says why training has to end now, or nothing.
        """
        self.job = job
        self.memory = Memory()
        self._engine = engine
        self._answers = answers
        self._on_epoch = on_epoch
        self._trouble = ""
        self._ended_by = ""
        self._may_go_on = False

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return len(self.memory.curve)

    def judge(self, predictions: Mapping[str, Floats], trained_loss: float) -> Verdict:
        """Score the epoch that has just been trained.

        Args:
            predictions: float32 probabilities (rows, classes) or values (rows,) by part: train and validation.
            trained_loss: Mean loss of its mini-batches.
        """
        number = self.epochs + 1
        if not all(np.isfinite(values).all() for values in predictions.values()):
            return self._diverge(f"epoch {number}: predictions are not finite; a smaller learning rate may help")
        metric = self.job.objective.metric
        scores = {part: self._score(part, values) for part, values in predictions.items()}
        if metric not in scores["validation"]:
            raise DataError(missing_metric(scores["validation"], metric))
        score = scores["validation"][metric]
        if not (math.isfinite(score) and math.isfinite(trained_loss)):
            return self._diverge(f"epoch {number}: the loss is {trained_loss}, {metric} is {score}")
        memory = self.memory
        memory.curve.append(
            {"epoch": number}
            | {f"{part}_{name}": value for part in ("train", "validation") for name, value in scores[part].items()}
        )
        is_best = self.job.keeps_last or self.job.objective.is_better(score, memory.best_score)
        if is_best:
            memory.best_score, memory.best_epoch = score, number
            # Copies, because a slot's predictions are a part of those of the whole population.
            memory.best_predictions = predictions["validation"].copy()
            memory.best_train_predictions = predictions["train"].copy()
        is_content = self._is_content(score)
        is_last = number == self.job.last_epoch
        self._may_go_on = is_last and not is_content and number < self.job.epochs and not self.job.keeps_last
        # What is asked for at the last epoch would have happened anyway.
        self._ended_by = self._on_epoch(number, score)
        if is_last:
            self._ended_by = ""
        return Verdict(is_best, is_over=is_last or is_content or bool(self._ended_by))

    @property
    def has_diverged(self) -> bool:
        """Whether it reached NaN or infinity; nothing but its curve is kept then."""
        return bool(self._trouble)

    @property
    def is_paused(self) -> bool:
        """Whether it may go on later, and must keep its state."""
        return not self._trouble and not self._ended_by and self._may_go_on

    def conclude(
        self, weights: Mapping[str, npt.NDArray[Any]], silent: Mapping[str, int], state: StoredFile | None = None
    ) -> Fitted:
        """Write what is kept of the trial, each file whole or not at all, and say how it went.

        Args:
            weights: Of the best epoch, by the paths of the network's variables.
            silent: How many units of each layer then say the same of every row that the curve is made of.
            state: The file from which it can go on, where it is paused.
        """
        job, memory = self.job, self.memory
        count = sum(array.size for array in weights.values())
        curve = {"schema": 1, "epochs": memory.curve, "silent_units": dict(silent)}
        write_text(job.folder / CURVE, json.dumps(curve) + "\n")
        fitted = Fitted(Outcome.DIVERGED, self._engine, epochs=self.epochs, weights=count, message=self._trouble)
        if self._trouble:
            # Its best epoch was on the way to infinity: only the curve is kept.
            return replace(fitted, files=self._describe(CURVE))
        write_file(job.folder / WEIGHTS, lambda stream: np.savez(stream, allow_pickle=False, **dict(weights)))
        write_file(job.folder / PREDICTIONS, lambda stream: np.save(stream, memory.best_predictions))
        files = self._describe(CURVE, WEIGHTS, PREDICTIONS) + ((state,) if state is not None else ())
        train = self._score("train", memory.best_train_predictions, with_ranks=True)
        metrics = {f"train_{name}": value for name, value in train.items()}
        metrics |= self._score("validation", memory.best_predictions, with_ranks=True)
        # What trials are ranked by is scikit-learn's own figure; all of them would take longer than many trainings.
        metric = job.objective.metric
        metrics[metric] = reported_metric(metric, *self._given("validation", memory.best_predictions))
        outcome = Outcome.PAUSED if state is not None else Outcome.COMPLETED
        message = f"stopped after epoch {self.epochs}: {self._ended_by}" if self._ended_by else ""
        return replace(
            fitted,
            outcome=Outcome.TIMEOUT if message else outcome,
            score=metrics[metric],
            metrics=metrics,
            best_epoch=memory.best_epoch,
            files=files,
            message=message,
        )

    @property
    def _scale(self) -> float:
        return self.job.target_scale[1] if self.job.target_scale else 1.0

    def _score(self, part: str, predictions: Floats, *, with_ranks: bool = False) -> dict[str, float]:
        job = self.job
        with_ranks = with_ranks or (part == "validation" and job.objective.metric in RANKED)
        return compute_metrics(*self._given(part, predictions), with_ranks=with_ranks)

    def _given(self, part: str, predictions: Floats) -> tuple[Any, ...]:
        answers = self._answers[part]
        return self.job.task, answers.truth, predictions, self.job.positive, self._scale, answers.weights

    def _is_content(self, score: float) -> bool:
        """Tell whether patience is at its end."""
        rule = self.job.settings["training.early_stopping"]
        if rule is None:
            return False
        memory = self.memory
        if self.job.objective.is_better(score, memory.best_for_patience, by=rule["min_delta"]):
            memory.best_for_patience, memory.waited = score, 0
            return False
        memory.waited += 1
        return bool(memory.waited >= rule["patience"])

    def _diverge(self, trouble: str) -> Verdict:
        self._trouble = trouble
        return Verdict(is_over=True)

    def _describe(self, *names: str) -> tuple[StoredFile, ...]:
        return tuple(describe_file(self.job.folder / name, f"{self.job.prefix}/{name}") for name in names)
