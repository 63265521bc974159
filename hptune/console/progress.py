"""How a search shows where it stands: lines that change in place, one plain line a trial, JSON Lines, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from hptune.console.screen import aside, say, show_json
from hptune.objective import Objective
from hptune.report.machine import trial_record
from hptune.report.words import format_duration, format_number
from hptune.trial import Outcome, Proposal, Trial

_BAR_WIDTH = 60


class Progress:
    """What every way of showing progress keeps count of."""

    def __init__(self, objective: Objective, total: int | None, finished: Sequence[Trial]) -> None:
        """Start counting.

        Args:
            objective: By which the best is chosen.
            total: Trials to come to in all, where that is known.
            finished: Trials of earlier sessions.
        """
        self._objective = objective
        self._total = total
        self._began = time.monotonic()
        self._done_before = len(finished)
        self._done = len(finished)
        self._best: Trial | None = None
        for trial in finished:
            self._take(trial)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Nothing to count."""

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Nothing to count."""

    def finished(self, trial: Trial) -> None:
        """Count an ended trial."""
        if trial.outcome is not Outcome.INTERRUPTED:
            self._done += 1
            self._take(trial)

    def _take(self, trial: Trial) -> None:
        if trial.score is None or trial.outcome is not Outcome.COMPLETED:
            return
        if self._objective.is_better(trial.score, self._best.score if self._best else None):
            self._best = trial

    def _describe_best(self) -> str:
        if self._best is None:
            return "no score yet"
        return f"best {self._objective.metric} {format_number(self._best.score)} (trial {self._best.number})"

    def _describe_count(self) -> str:
        return f"{self._done}/{self._total}" if self._total is not None else str(self._done)

    def _seconds_left(self) -> float | None:
        fresh = self._done - self._done_before
        if self._total is None or not fresh:
            return None
        return (time.monotonic() - self._began) / fresh * max(self._total - self._done, 0)

    def _describe_time(self) -> str:
        left = self._seconds_left()
        passed = format_duration(time.monotonic() - self._began)
        return f"{passed} so far" + (f", {format_duration(left)} left" if left is not None else "")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class PlainProgress(Progress):
    """One plain line a trial: for pipes, logs and CI."""

    def finished(self, trial: Trial) -> None:
        """Print the trial."""
        super().finished(trial)
        result = f"{self._objective.metric} {format_number(trial.score)}" if trial.score is not None else trial.message
        line = f"trial {trial.number} {trial.outcome.value} {result}; {self._describe_best()}; "
        say(aside(), f"{line}{self._describe_count()} done, {self._describe_time()}")


class JsonProgress(PlainProgress):
    """JSON Lines on standard output, plain lines beside them."""

    def finished(self, trial: Trial) -> None:
        """Print the trial's record."""
        super().finished(trial)
        show_json(trial_record(trial))


class LiveProgress(Progress):
    """A few lines that change in place."""

    def __init__(self, objective: Objective, total: int | None, finished: Sequence[Trial]) -> None:
        super().__init__(objective, total, finished)
        self._running: dict[int, str] = {}
        self._live = Live(get_renderable=self._render, console=aside(), refresh_per_second=4, transient=True)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Show the trial among those under way."""
        self._running[proposal.trial] = "begins"

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Show how far a trial is."""
        self._running[trial] = f"epoch {epoch}, {self._objective.metric} {format_number(score)}"

    def finished(self, trial: Trial) -> None:
        """Take the trial away; say so where it failed."""
        super().finished(trial)
        self._running.pop(trial.number, None)
        if trial.outcome not in (Outcome.COMPLETED, Outcome.INTERRUPTED):
            say(self._live.console, f"trial {trial.number} {trial.outcome.value}: {trial.message}", "yellow")

    def _render(self) -> RenderableType:
        counts = f"{self._describe_count()} done, {len(self._running)} running; {self._describe_best()}; "
        lines: list[RenderableType] = [Text(counts + self._describe_time(), overflow="ellipsis", no_wrap=True)]
        if self._total:
            # The bar does not end its line; an empty text does.
            lines += [ProgressBar(total=self._total, completed=self._done, width=_BAR_WIDTH), Text("")]
        for number, state in sorted(self._running.items()):
            lines.append(Text(f"  trial {number}: {state}", style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines)

    def __enter__(self) -> Progress:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)


def choose_progress(
    objective: Objective, total: int | None, finished: Sequence[Trial], *, as_json: bool, quiet: bool
) -> Progress:
    """Choose how to show progress: as demanded, else by whether a terminal watches."""
    if as_json:
        return JsonProgress(objective, total, finished)
    if quiet:
        return Progress(objective, total, finished)
    if aside().is_terminal and not aside().is_dumb_terminal:
        return LiveProgress(objective, total, finished)
    return PlainProgress(objective, total, finished)
