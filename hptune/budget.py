"""The limits of a search, and the trial at which they end it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hptune.objective import Objective
from hptune.trial import Trial

TARGET_REACHED = "target reached"
FAILURES = "too many failures"


@dataclass(frozen=True)
class Budget:
    """The limits of a search; None stands for no limit.

    Attributes:
        max_trials: Configurations; None also where the strategy's own plan keeps to it.
        max_attempts: Attempts at a trial that crashes.
        target: A score with which the search is content.
        max_failures: Trials without a result after which it is given up.
    """

    max_trials: int | None
    max_attempts: int = 2
    target: float | None = None
    max_failures: int | None = None

    def find_end(self, trials: Iterable[Trial], objective: Objective) -> tuple[str, int] | None:
        """Find the first trial at which the search has come to its end.

        Args:
            trials: Ended or paused, in the order of their numbers.
            objective: The direction of the target.

        Returns:
            Why, and the trial's number; None where the search goes on.
        """
        if self.target is None and self.max_failures is None:
            return None
        failures = 0
        for trial in trials:
            failures += trial.has_failed
            if (
                self.target is not None
                and trial.score is not None
                and not objective.is_better(self.target, trial.score)
            ):
                return f"{TARGET_REACHED}: {objective.metric} {trial.score:.6g} in trial {trial.number}", trial.number
            if self.max_failures is not None and failures >= self.max_failures:
                return f"{FAILURES}: {failures} trials failed", trial.number
        return None
