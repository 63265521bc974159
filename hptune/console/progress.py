"""How a search shows where it stands: live, one plain line a trial, JSON Lines, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from hptune.console.screen import aside, say, show_json
from hptune.objective import Objective
from hptune.reporting.machine import trial_record
from hptune.reporting.words import format_duration, format_number
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan


class Progress:
    """What every way of showing progress keeps count of."""

    def __init__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> None:
        """Start counting.

        Args:
            objective: By which the best is chosen.
            plan: How much there is to do.
            finished: Trials of earlier sessions.
        """
        self.objective = objective
        self.plan = plan
        self._began = time.monotonic()
        self._done_before = len(finished)
        self._done = len(finished)
        self._epochs = sum(trial.epochs for trial in finished)
        self._share_before = self.share_done()
        self.best: Trial | None = None
        for trial in finished:
            self.take(trial)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Nothing to count."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Count an epoch."""
        self._epochs += 1

    def finished(self, trial: Trial) -> None:
        """Count an ended trial."""
        if trial.outcome not in (Outcome.INTERRUPTED, Outcome.PAUSED):
            self._done += 1
        self.take(trial)

    def take(self, trial: Trial) -> None:
        """Let a result count, of this session or an earlier one."""
        if trial.score is not None and self.objective.is_better(trial.score, self.best.score if self.best else None):
            self.best = trial

    def describe_best(self) -> str:
        """Say which score is the best so far."""
        if self.best is None:
            return "no score yet"
        return f"best {self.objective.metric} {format_number(self.best.score)} (trial {self.best.number})"

    def describe_count(self) -> str:
        """Say how many trials are done, of how many."""
        return f"{self._done}/{self.plan.trials}" if self.plan.trials is not None else str(self._done)

    def share_done(self) -> float | None:
        """Which share of the work is done: by epochs where they are planned, else by trials."""
        if self.plan.epochs is not None:
            return self._epochs / self.plan.epochs
        return self._done / self.plan.trials if self.plan.trials is not None else None

    def _seconds_left(self) -> float | None:
        passed = time.monotonic() - self._began
        share, left = self.share_done(), []
        if share is not None and self._share_before is not None and share > self._share_before:
            left.append(passed / (share - self._share_before) * max(1 - share, 0))
        if self.plan.seconds is not None:
            left.append(max(self.plan.seconds - passed, 0))
        return min(left, default=None)

    def describe_pace(self) -> str:
        """Say how many trials end in a minute; empty before that is known."""
        passed = time.monotonic() - self._began
        done = self._done - self._done_before
        return f"{60 * done / passed:.1f} trials a minute" if done and passed > 1 else ""

    def describe_time(self) -> str:
        """Say how long it has taken, and how long it will."""
        left = self._seconds_left()
        passed = format_duration(time.monotonic() - self._began)
        return f"{passed} so far" + (f", {format_duration(left)} left" if left is not None else "")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class PlainProgress(Progress):
    """One plain line a trial: for pipes, logs and CI. Where nobody reads any more, the search goes on in silence."""

    def __init__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> None:
        super().__init__(objective, plan, finished)
        self._shown: dict[int, int] = {}

    def __enter__(self) -> Progress:
        with suppress(OSError):
            say(aside(), self.plan.words)
        return self

    def finished(self, trial: Trial) -> None:
        """Print the trial, but not again where a pause turns out to have been its end."""
        super().finished(trial)
        if self._shown.get(trial.number) == trial.epochs:
            return
        self._shown[trial.number] = trial.epochs
        result = f"{self.objective.metric} {format_number(trial.score)}" if trial.score is not None else trial.message
        state = f"paused after epoch {trial.epochs}," if trial.outcome is Outcome.PAUSED else trial.outcome.value
        line = f"trial {trial.number} {state} {result}; {self.describe_best()}; "
        with suppress(OSError):
            say(aside(), f"{line}{self.describe_count()} done, {self.describe_time()}")


class JsonProgress(PlainProgress):
    """JSON Lines on standard output, plain lines beside them."""

    def finished(self, trial: Trial) -> None:
        """Print the trial's record."""
        super().finished(trial)
        with suppress(OSError):
            show_json(trial_record(trial))


def choose_progress(
    objective: Objective, plan: Plan, finished: Sequence[Trial], *, as_json: bool, quiet: bool
) -> Progress:
    """Choose how to show progress: as demanded, else by whether a terminal watches."""
    if as_json:
        return JsonProgress(objective, plan, finished)
    if quiet:
        return Progress(objective, plan, finished)
    if _is_watched():
        from hptune.console.live import LiveProgress

        return LiveProgress(objective, plan, finished)
    return PlainProgress(objective, plan, finished)


def _is_watched() -> bool:
    """Tell whether lines may change in place: a terminal that can, and no log of a continuous integration."""
    # rich takes FORCE_COLOR for a terminal, also in a pipe, where control characters would be rubbish.
    return sys.stderr.isatty() and not aside().is_dumb_terminal and not os.environ.get("CI")
