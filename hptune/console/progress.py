"""How a search shows where it stands: lines that change in place, one plain line a trial, JSON Lines, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from hptune.console.screen import aside, say, show_json
from hptune.objective import Objective
from hptune.reporting.machine import trial_record
from hptune.reporting.words import format_duration, format_number
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan

_BAR_WIDTH = 60


class Progress:
    """What every way of showing progress keeps count of."""

    def __init__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> None:
        """Start counting.

        Args:
            objective: By which the best is chosen.
            plan: How much there is to do.
            finished: Trials of earlier sessions.
        """
        self._objective = objective
        self._plan = plan
        self._began = time.monotonic()
        self._done = len(finished)
        self._epochs = sum(trial.epochs for trial in finished)
        self._share_before = self._share_done()
        self._best: Trial | None = None
        for trial in finished:
            self._take(trial)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Nothing to count."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Count an epoch."""
        self._epochs += 1

    def finished(self, trial: Trial) -> None:
        """Count an ended trial."""
        if trial.outcome not in (Outcome.INTERRUPTED, Outcome.PAUSED):
            self._done += 1
        self._take(trial)

    def _take(self, trial: Trial) -> None:
        if trial.score is not None and self._objective.is_better(trial.score, self._best.score if self._best else None):
            self._best = trial

    def _describe_best(self) -> str:
        if self._best is None:
            return "no score yet"
        return f"best {self._objective.metric} {format_number(self._best.score)} (trial {self._best.number})"

    def _describe_count(self) -> str:
        return f"{self._done}/{self._plan.trials}" if self._plan.trials is not None else str(self._done)

    def _share_done(self) -> float | None:
        """Which share of the work is done: by epochs where they are planned, else by trials."""
        if self._plan.epochs is not None:
            return self._epochs / self._plan.epochs
        return self._done / self._plan.trials if self._plan.trials is not None else None

    def _seconds_left(self) -> float | None:
        passed = time.monotonic() - self._began
        share, left = self._share_done(), []
        if share is not None and self._share_before is not None and share > self._share_before:
            left.append(passed / (share - self._share_before) * max(1 - share, 0))
        if self._plan.seconds is not None:
            left.append(max(self._plan.seconds - passed, 0))
        return min(left, default=None)

    def _describe_time(self) -> str:
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
            say(aside(), self._plan.words)
        return self

    def finished(self, trial: Trial) -> None:
        """Print the trial, but not again where a pause turns out to have been its end."""
        super().finished(trial)
        if self._shown.get(trial.number) == trial.epochs:
            return
        self._shown[trial.number] = trial.epochs
        result = f"{self._objective.metric} {format_number(trial.score)}" if trial.score is not None else trial.message
        state = f"paused after epoch {trial.epochs}," if trial.outcome is Outcome.PAUSED else trial.outcome.value
        line = f"trial {trial.number} {state} {result}; {self._describe_best()}; "
        with suppress(OSError):
            say(aside(), f"{line}{self._describe_count()} done, {self._describe_time()}")


class JsonProgress(PlainProgress):
    """JSON Lines on standard output, plain lines beside them."""

    def finished(self, trial: Trial) -> None:
        """Print the trial's record."""
        super().finished(trial)
        with suppress(OSError):
            show_json(trial_record(trial))


class LiveProgress(Progress):
    """A few lines that change in place."""

    def __init__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> None:
        super().__init__(objective, plan, finished)
        self._running: dict[int, str] = {}
        self._live = Live(get_renderable=self._render, console=aside(), refresh_per_second=4, transient=True)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Show the trial among those under way."""
        self._running[proposal.trial] = "begins"

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Show how far a trial is."""
        super().epoch(trial, epoch, score)
        self._running[trial] = f"epoch {epoch}, {self._objective.metric} {format_number(score)}"

    def finished(self, trial: Trial) -> None:
        """Take the trial away; say so where it failed."""
        super().finished(trial)
        self._running.pop(trial.number, None)
        if trial.has_failed:
            with suppress(OSError):
                say(self._live.console, f"trial {trial.number} {trial.outcome.value}: {trial.message}", "yellow")

    def _render(self) -> RenderableType:
        counts = f"{self._describe_count()} done, {len(self._running)} running; {self._describe_best()}; "
        lines: list[RenderableType] = [Text(counts + self._describe_time(), overflow="ellipsis", no_wrap=True)]
        if (share := self._share_done()) is not None:
            # The bar does not end its line; an empty text does.
            lines += [ProgressBar(total=1.0, completed=min(share, 1.0), width=_BAR_WIDTH), Text("")]
        for number, state in sorted(self._running.items()):
            lines.append(Text(f"  trial {number}: {state}", style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines)

    def __enter__(self) -> Progress:
        say(self._live.console, self._plan.words)
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        # A terminal that was closed takes no farewell.
        with suppress(OSError):
            self._live.__exit__(None, None, None)


def choose_progress(
    objective: Objective, plan: Plan, finished: Sequence[Trial], *, as_json: bool, quiet: bool
) -> Progress:
    """Choose how to show progress: as demanded, else by whether a terminal watches."""
    if as_json:
        return JsonProgress(objective, plan, finished)
    if quiet:
        return Progress(objective, plan, finished)
    if aside().is_terminal and not aside().is_dumb_terminal:
        return LiveProgress(objective, plan, finished)
    return PlainProgress(objective, plan, finished)
