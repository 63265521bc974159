"""The live view of a search: a few lines that change in place, never more than the terminal has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from hptune.console.progress import Progress
from hptune.console.screen import aside, say
from hptune.objective import Objective
from hptune.reporting.words import format_number, format_value, printable
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan

_BAR_WIDTH = 60
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 40
_TOP = 5
_NEWEST = 4
# Below so many lines of a terminal, the best trials and the runners give way to the counts.
_ROOMY = 16


class LiveProgress(Progress):
    """Counts, pace and time left; the best so far as a sparkline; the top five; what runs."""

    def __init__(self, objective: Objective, plan: Plan, finished: Sequence[Trial]) -> None:
        self._running: dict[int, str] = {}
        self._top: list[Trial] = []
        self._best_scores: list[float] = []
        self._failures: Counter[str] = Counter()
        super().__init__(objective, plan, finished)
        self.console = aside()
        self._width = self.console.width
        self._live = Live(get_renderable=self.render, console=self.console, refresh_per_second=4, transient=True)

    def started(self, proposal: Proposal, worker: int) -> None:
        """Show the trial among those under way."""
        super().started(proposal, worker)
        self._running[proposal.trial] = "begins"

    def epoch(self, trial: int, epoch: int, score: float) -> None:
        """Show how far a trial is; the one that moved last stands last."""
        super().epoch(trial, epoch, score)
        self._running.pop(trial, None)
        self._running[trial] = f"epoch {epoch}, {self.objective.metric} {format_number(score)}"

    def finished(self, trial: Trial) -> None:
        """Take the trial away; say so where it failed."""
        super().finished(trial)
        self._running.pop(trial.number, None)
        if trial.has_failed:
            with suppress(OSError):
                say(self.console, f"trial {trial.number} {trial.outcome.value}: {trial.message}", "yellow")

    def take(self, trial: Trial) -> None:
        """Let a result count among failures, the top and the line of the best."""
        super().take(trial)
        if trial.has_failed:
            self._failures[trial.outcome.value] += 1
        if trial.score is None or trial.outcome is Outcome.INTERRUPTED:
            return
        # A trial that went on after a pause takes its own place again.
        others = [known for known in self._top if known.number != trial.number]
        ranked = sorted([*others, trial], key=lambda known: (self._sort_key(known), known.number))
        self._top = ranked[:_TOP]
        if self.best is not None and self.best.score is not None:
            self._best_scores.append(self.best.score)

    def _sort_key(self, trial: Trial) -> float:
        assert trial.score is not None
        return self.objective.sort_key(trial.score)

    def render(self) -> RenderableType:
        """Arrange what the terminal has room for."""
        if self.console.width < self._width:
            # A narrower terminal folds the lines that stand, so that nobody knows how many there are to replace.
            self.console.clear()
        self._width = self.console.width
        lines: list[RenderableType] = [_line(self._describe_counts())]
        if (share := self.share_done()) is not None:
            # The bar does not end its line; an empty text does.
            lines += [
                ProgressBar(total=1.0, completed=min(share, 1.0), width=min(_BAR_WIDTH, self.console.width - 1)),
                Text(""),
            ]
        lines.append(_line(f"{self.describe_best()}  {sparkline(self._best_scores, self.objective, _SPARK_WIDTH)}"))
        if self.console.height >= _ROOMY:
            lines += [_line(_describe_ranked(rank, trial), "dim") for rank, trial in enumerate(self._top, start=1)]
            lines += self._running_lines()
        return Group(*lines)

    def _describe_counts(self) -> str:
        failed = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._failures.items()))
        parts = [f"{self.describe_count()} done", self.describe_slots() or f"{len(self._running)} running", failed]
        return (
            ", ".join(filter(None, parts))
            + "; "
            + ", ".join(filter(None, (self.describe_pace(), self.describe_time())))
        )

    def _running_lines(self) -> list[RenderableType]:
        """Show the trials that moved last: a worker may train many side by side."""
        shown = list(self._running.items())[-_NEWEST:]
        lines: list[RenderableType] = [_line(f"  trial {number}: {state}") for number, state in sorted(shown)]
        if len(self._running) > len(shown):
            lines.append(_line(f"  and {len(self._running) - len(shown)} more", "dim"))
        return lines

    def __enter__(self) -> Progress:
        say(self.console, self.plan.words)
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        # A terminal that was closed takes no farewell.
        with suppress(OSError):
            self._live.__exit__(None, None, None)


def sparkline(scores: Sequence[float], objective: Objective, width: int) -> str:
    """Draw scores as a line of blocks, better is higher; of many, evenly chosen ones, the last among them.

    >>> sparkline([0.1, 0.5, 0.5, 0.9], Objective("accuracy", "max"), 40)
    '▁▄▄█'
    >>> sparkline([3.0, 1.0], Objective("rmse", "min"), 40)
    '▁█'
    """
    if len(scores) > width:
        scores = [scores[round(place * (len(scores) - 1) / (width - 1))] for place in range(width)]
    heights = [-objective.sort_key(score) for score in scores]
    low, high = min(heights, default=0.0), max(heights, default=0.0)
    steps = len(_SPARKS) - 1
    return "".join(_SPARKS[int(steps * (height - low) / (high - low)) if high > low else 0] for height in heights)


def _describe_ranked(rank: int, trial: Trial) -> str:
    values = ", ".join(
        f"{name.partition('.')[2]} {f'{value:.3g}' if isinstance(value, float) else format_value(value) or 'null'}"
        for name, value in trial.proposal.values.items()
    )
    return f"  {rank}. {format_number(trial.score)}  trial {trial.number}: {values}"


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, overflow="ellipsis", no_wrap=True)
