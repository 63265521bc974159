"""The aim of a search: one metric and an explicit direction.

The direction is never inferred from the name while searching (KerasTuner infers `min` for F1 and R²);
the catalogue only knows which direction makes sense, so that a contradiction is refused before training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["max", "min"]
Task = Literal["binary", "multiclass", "regression"]

CLASSIFICATION: frozenset[Task] = frozenset({"binary", "multiclass"})
EVERY_TASK: frozenset[Task] = CLASSIFICATION | {"regression"}


@dataclass(frozen=True)
class Metric:
    """What is known of a metric before it is computed."""

    name: str
    direction: Direction
    tasks: frozenset[Task]

    @property
    def aim(self) -> Objective:
        """The metric as something to strive for."""
        return Objective(self.name, self.direction)


def _catalogue() -> dict[str, Metric]:
    binary: frozenset[Task] = frozenset({"binary"})
    regression: frozenset[Task] = frozenset({"regression"})
    metrics = (
        Metric("accuracy", "max", CLASSIFICATION),
        Metric("balanced_accuracy", "max", CLASSIFICATION),
        Metric("f1", "max", binary),
        Metric("f1_macro", "max", CLASSIFICATION),
        Metric("f1_weighted", "max", CLASSIFICATION),
        Metric("roc_auc", "max", CLASSIFICATION),
        Metric("average_precision", "max", CLASSIFICATION),
        Metric("log_loss", "min", CLASSIFICATION),
        Metric("brier", "min", CLASSIFICATION),
        Metric("loss", "min", EVERY_TASK),
        Metric("mse", "min", regression),
        Metric("rmse", "min", regression),
        Metric("mae", "min", regression),
        Metric("r2", "max", regression),
    )
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _catalogue()


def metrics_of(task: Task) -> tuple[str, ...]:
    """Name the metrics that a task can be judged by, in the order of the catalogue."""
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)


@dataclass(frozen=True)
class Objective:
    """A metric of the validation rows and the direction in which it improves."""

    metric: str
    direction: Direction

    def is_better(self, score: float, than: float | None, by: float = 0.0) -> bool:
        """Tell whether `score` improves on `than` by more than `by`; anything improves on None."""
        if than is None:
            return True
        return score > than + by if self.direction == "max" else score < than - by

    def gain(self, score: Any, over: Any) -> Any:
        """Return by how much a score is better than another, above 0 where it is; numbers, or arrays of them.

        >>> Objective("rmse", "min").gain(2.0, over=3.0), Objective("r2", "max").gain(0.5, over=0.75)
        (1.0, -0.25)
        """
        return score - over if self.direction == "max" else over - score

    def sort_key(self, score: float) -> float:
        """Return a number that sorts the best score first."""
        return -score if self.direction == "max" else score
