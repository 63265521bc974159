"""The parts of a trial, trained one by one: folds, repeats with fresh seeds; and what they come to together.

A part is named by what it is, such as `fold-2`, `repeat-1` or `repeat-1-fold-2`; a trial that is trained once has one
part without a name, which is the trial itself. Beside the search there are `confirm-1` and so on, with which candidates
are trained again, and `refit`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product

from hptune.trial import Key, Outcome, Proposal, Trial

WHOLE = ""
REFIT = "refit"
CONFIRMATION = "confirm"
# As it stands in names of folders and files.
PATTERN = r"(?:refit|(?:confirm|repeat)-\d+(?:-fold-\d+)?|fold-\d+)"
_FOLD = re.compile(r"fold-(\d+)\Z")


def name_parts(folds: int | None, repeats: int, run: str = "repeat") -> tuple[str, ...]:
    """Name the parts of a trial, in order.

    >>> name_parts(None, 1), name_parts(2, 1), name_parts(2, 2)[1:3]
    (('',), ('fold-1', 'fold-2'), ('repeat-1-fold-2', 'repeat-2-fold-1'))
    """
    is_once = repeats == 1 and run == "repeat"
    runs = [WHOLE] if is_once else [f"{run}-{number}" for number in range(1, repeats + 1)]
    places = [WHOLE] if folds is None else [f"fold-{number}" for number in range(1, folds + 1)]
    return tuple("-".join(filter(None, pair)) for pair in product(runs, places))


def fold_of(part: str) -> int | None:
    """Return the number of the fold that a part trains on, from 1; None where it trains on all training rows."""
    match = _FOLD.search(part)
    return None if match is None else int(match[1])


def part_of_file(name: str) -> str:
    """Return the part of which a file is, by its name relative to the run.

    >>> part_of_file("trials/0007-fold-2-from-0004/curve.json"), part_of_file("trials/0007/curve.json")
    ('fold-2', '')
    """
    match = re.match(rf"trials/\d+-({PATTERN})", name)
    return match[1] if match else WHOLE


def natural_order(part: str) -> tuple[tuple[str, int], ...]:
    """Return what sorts parts by their numbers, not by their digits.

    >>> sorted(["fold-10", "fold-9"], key=natural_order)
    ['fold-9', 'fold-10']
    """
    return tuple((word, int(number or 0)) for word, number in re.findall(r"([a-z]+)(?:-(\d+))?", part))


def is_beside(part: str) -> bool:
    """Tell whether a part belongs to what follows a search, and is none of its trials' own."""
    return part.startswith((REFIT, CONFIRMATION))


def combine(proposal: Proposal, parts: Sequence[Trial]) -> Trial:
    """Put the parts of a trial together: means of their metrics, and how much these scatter.

    A trial fails where a part does: a mean over the parts that went well would flatter.

    Args:
        proposal: Of the trial.
        parts: In order, each settled.
    """
    failed = next((part for part in parts if part.score is None), None)
    outcomes = {part.outcome for part in parts}
    told = failed or next((part for part in parts if part.message), parts[0])
    whole = Trial(
        proposal,
        outcome=next((one for one in (Outcome.PAUSED, Outcome.TIMEOUT) if one in outcomes), Outcome.COMPLETED),
        attempt=max(part.attempt for part in parts),
        epochs=max(part.epochs for part in parts),
        weights=max((part.weights for part in parts if part.weights is not None), default=None),
        engine=parts[0].engine,
        files=tuple(file for part in parts for file in part.files),
        message=f"{told.proposal.part}: {told.message}" if told.message else "",
        seconds=math.fsum(part.seconds for part in parts),
        worker=parts[0].worker,
        n=len(parts),
    )
    if failed is not None:
        return replace(whole, outcome=failed.outcome, attempt=failed.attempt, failures=failed.failures)
    scores = [part.score for part in parts if part.score is not None]
    shared = [name for name in parts[0].metrics if all(name in part.metrics for part in parts)]
    return replace(
        whole,
        score=mean(scores),
        std_error=standard_error(scores),
        metrics={name: mean([part.metrics[name] for part in parts]) for name in shared},
        best_epoch=round(mean([part.best_epoch or 1 for part in parts])),
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean, the same for any order."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean; None of a single value.

    >>> standard_error([1.0, 3.0]), standard_error([1.0])
    (1.0, None)
    """
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1) / len(values))


# Adds to a whole trial what only its parts together have, such as predictions of all rows, before it goes on record.
Finish = Callable[[Trial, Sequence[Trial]], Trial]


class Parts:
    """Which parts of the trials under way have come to their end."""

    def __init__(
        self,
        names: Sequence[str] = (WHOLE,),
        settled: Iterable[Trial] = (),
        finish: Finish | None = None,
    ) -> None:
        """Begin.

        Args:
            names: Of the parts of every trial.
            settled: Parts on record that need no further attempt.
            finish: Adds to a whole trial what only its parts together have.
        """
        self._names = tuple(names)
        self._finish = finish
        self._settled: dict[Key, Trial] = {part.proposal.key: part for part in settled}

    def missing(self, proposal: Proposal) -> list[Proposal]:
        """Return the parts of a trial that are still to be trained, to the end that the proposal says."""
        parts = [proposal.as_part(name) for name in self._names]
        return [part for part in parts if not self._is_done(part)]

    def _is_done(self, part: Proposal) -> bool:
        state = self._settled.get(part.key)
        # What has stopped early or failed would not change with more epochs.
        return state is not None and (state.outcome is not Outcome.PAUSED or state.proposal.until == part.until)

    def take(self, part: Trial) -> None:
        """Take note of a part that needs no further attempt."""
        self._settled[part.proposal.key] = part

    def join(self, proposal: Proposal) -> Trial:
        """Return the whole trial, of which no part is missing."""
        parts = [self._settled[proposal.as_part(name).key] for name in self._names]
        whole = combine(proposal, parts)
        return whole if self._finish is None else self._finish(whole, parts)
