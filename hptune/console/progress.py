"""How a search shows where it stands: live, one plain line a trial, JSON Lines, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hptune.console.screen import aside, say, show_json
from hptune.objective import Objective
from hptune.reporting.machine import trial_record
from hptune.reporting.words import format_duration, format_number
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan, Slots


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
        self._slots = Slots()
        # By number: a trial that crashed may be tried again, and one that paused may turn out to have ended.
        self._done = {trial.number for trial in finished}
        self._done_before = len(self._done)
        self._epochs = sum(trial.epochs for trial in finished)
        # Epochs of the trials that have not ended, by number.
        self._begun: Counter[int] = Counter()
        self._share_before = self.share_done()
        self.best: Trial | None = None
        for trial in finished:
            self.take(trial)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Count a trial that is tried again as under way."""
        self._done.discard(proposal.trial)

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Count an epoch."""
        self._epochs += 1
        self._begun[trial] += 1

    def filled(self, slots: Slots) -> None:
        """Take note of how full the workers are."""
        self._slots = slots

    def finished(self, trial: Trial) -> None:
        """Count an ended trial."""
        if trial.outcome not in (Outcome.INTERRUPTED, Outcome.PAUSED):
            self._done.add(trial.number)
            self._begun.pop(trial.number, None)
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
        return f"{len(self._done)}/{self.plan.trials}" if self.plan.trials is not None else str(len(self._done))

    def share_done(self) -> float | None:
        """Which share of the work is done: by epochs where it is known how many there will be, else by trials.

        A trial that stopped early has done its whole part, so that the share ends at 1.
        """
        if self.plan.epochs is not None:
            return self._epochs / self.plan.epochs
        if self.plan.trials is None:
            return None
        if not self.plan.trial_epochs:
            return len(self._done) / self.plan.trials
        most = self.plan.trial_epochs
        begun = sum(min(epochs, most) for epochs in self._begun.values())
        return (len(self._done) + begun / most) / self.plan.trials

    def _seconds_passed(self) -> float:
        return time.monotonic() - self._began

    def _seconds_left(self) -> float | None:
        passed = self._seconds_passed()
        share, left = self.share_done(), []
        if share is not None and self._share_before is not None and share > self._share_before:
            left.append(passed / (share - self._share_before) * max(1 - share, 0))
        if self.plan.seconds is not None:
            left.append(max(self.plan.seconds - passed, 0))
        return min(left, default=None)

    def _trials_a_minute(self) -> float | None:
        done, passed = len(self._done) - self._done_before, self._seconds_passed()
        return 60 * done / passed if done > 0 and passed > 1 else None

    def describe_slots(self) -> str:
        """Say how full the workers are; empty where none trains."""
        slots = self._slots
        workers = f"{slots.workers} worker{'s' if slots.workers > 1 else ''}"
        return f"{slots.taken} of {slots.total} slots of {workers}" if slots.workers else ""

    def describe_pace(self) -> str:
        """Say how many trials end in a minute; empty before that is known."""
        pace = self._trials_a_minute()
        return f"{pace:.1f} trials a minute" if pace is not None else ""

    def describe_time(self) -> str:
        """Say how long it has taken, and how long it will."""
        left = self._seconds_left()
        passed = format_duration(self._seconds_passed())
        return f"{passed} so far" + (f", {format_duration(left)} left" if left is not None else "")

    def record(self) -> dict[str, Any]:
        """Where the search stands, for programs; null where nothing is known."""
        pace, left = self._trials_a_minute(), self._seconds_left()
        return {
            "done": len(self._done),
            "planned": self.plan.trials,
            "slots": asdict(self._slots),
            "trials_a_minute": None if pace is None else round(pace, 1),
            "seconds_passed": round(self._seconds_passed(), 1),
            "seconds_left": None if left is None else round(left, 1),
        }

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
            parts = (f"{self.describe_count()} done", self.describe_slots(), self.describe_pace(), self.describe_time())
            say(aside(), line + ", ".join(filter(None, parts)))


class JsonProgress(PlainProgress):
    """JSON Lines on standard output, plain lines beside them."""

    def finished(self, trial: Trial) -> None:
        """Print the trial's record, and where the search stands."""
        super().finished(trial)
        with suppress(OSError):
            show_json({**trial_record(trial), "progress": self.record()})


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
