"""What there is to tell about a run, gathered once for every format."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hptune.errors import RunDamagedError
from hptune.leaderboard import Confirmed, Leaderboard, rank
from hptune.objective import Objective
from hptune.parts import CONFIRMATION, REFIT, mean, natural_order, standard_error
from hptune.reporting.curves import read_curves
from hptune.run.files import read_file
from hptune.run.folder import INSIGHT, RunFolder
from hptune.run.records import History
from hptune.trial import Outcome, Trial


@dataclass(frozen=True)
class Summary:
    """A run as it stands.

    Attributes:
        name: Of the run.
        state: Finished and why, interrupted, or under way.
        header: What the run is, as it began.
        leaderboard: Every ended trial, ranked.
        verdict: `best/metrics.json`; None until the search has ended.
        outcomes: How many trials ended how.
        proposed: Trials proposed so far.
        test_looks: How often the test rows were scored.
        ensemble: `ensemble/ensemble.json`; None where no ensemble was made.
        insight: `insight.json`; None until the search has ended.
        parts: Folds, repeats and confirmations by trial, in order; nothing where trials have none.
    """

    name: str
    state: str
    header: Mapping[str, Any]
    leaderboard: Leaderboard
    verdict: Mapping[str, Any] | None
    outcomes: Mapping[str, int]
    proposed: int
    test_looks: int
    ensemble: Mapping[str, Any] | None = None
    insight: Mapping[str, Any] | None = None
    parts: Mapping[int, Sequence[Trial]] = field(default_factory=dict)

    @property
    def objective(self) -> Objective:
        """The aim of the search."""
        return self.leaderboard.objective

    @property
    def best(self) -> Trial | None:
        """The first trial of the leaderboard, where one completed; once confirmed, the one that is delivered."""
        scored = self.leaderboard.scored
        if self.leaderboard.confirmed and self.verdict is not None:
            scored = tuple(trial for trial in scored if trial.number == self.verdict["trial"]) or scored
        return scored[0] if scored else None


def summarize(folder: RunFolder, history: History | None = None) -> Summary:
    """Gather what there is to tell.

    Args:
        folder: Of the run.
        history: What its journal says, where the caller has read it; else it is read.

    Raises:
        UsageError: If the folder is no run.
        RunDamagedError: If a file is not what was written.
    """
    history = folder.read() if history is None else history
    return Summary(
        name=folder.name,
        state=_describe_state(history),
        header=history.header,
        leaderboard=leaderboard_of(history),
        verdict=_read_json(folder.best / "metrics.json"),
        outcomes=Counter(trial.outcome.value for trial in history.ends.values()),
        proposed=len(history.proposals),
        test_looks=len(history.test_looks),
        ensemble=_read_json(folder.ensemble / "ensemble.json"),
        insight=_read_json(folder.path / INSIGHT),
        parts=_parts_of(history),
    )


def leaderboard_of(history: History) -> Leaderboard:
    """Rank what has ended or paused; interrupted trials are not yet results.

    Where the search came to its end at a trial, later ones do not count: how many of them there are is chance.
    """
    try:
        objective, dimensions = Objective(**history.header["objective"]), history.header["dimensions"]
    except (KeyError, TypeError) as error:
        raise RunDamagedError(f"journal.jsonl: line 1: whole, but not a header that hptune writes: {error}") from None
    through = None if history.stop is None else history.stop.get("through")
    last = math.inf if through is None else through
    ended = (
        trial for number, trial in history.ends.items() if trial.outcome is not Outcome.INTERRUPTED and number <= last
    )
    return rank(ended, objective, dimensions, _confirmed(history))


def _confirmed(history: History) -> dict[int, Confirmed]:
    """Put together what candidates reached when they were trained again."""
    by_trial: dict[int, list[Trial]] = {}
    for (number, part), trial in history.parts.items():
        if part.startswith(CONFIRMATION):
            by_trial.setdefault(number, []).append(trial)
    return {number: _over_seeds(parts) for number, parts in sorted(by_trial.items())}


def _over_seeds(parts: Sequence[Trial]) -> Confirmed:
    scores, seeds = scores_of_seeds(parts), len(_by_seed(parts))
    if len(scores) < seeds:
        return Confirmed(None, None, seeds)
    return Confirmed(mean(scores), standard_error(scores), len(scores))


def scores_of_seeds(parts: Sequence[Trial]) -> list[float]:
    """Return the score of each fresh seed, the mean over its folds, of those whose trainings all have one."""
    return [
        mean([part.score for part in seed if part.score is not None])
        for seed in _by_seed(parts).values()
        if all(part.score is not None for part in seed)
    ]


def _by_seed(parts: Sequence[Trial]) -> dict[str, list[Trial]]:
    seeds: dict[str, list[Trial]] = {}
    for part in parts:
        seeds.setdefault("-".join(part.proposal.part.split("-")[:2]), []).append(part)
    return seeds


def _parts_of(history: History) -> dict[int, list[Trial]]:
    """Return the parts of each trial that have come to an end."""
    found: dict[int, list[Trial]] = {}
    keys = sorted(history.parts, key=lambda key: (key[0], natural_order(key[1])))
    for number, name in keys:
        part = history.parts[number, name]
        # The last training on all rows has no score that says anything.
        if part.outcome is not Outcome.INTERRUPTED and name != REFIT:
            found.setdefault(number, []).append(part)
    return found


def parts_table(history: History) -> tuple[list[str], list[list[Any]]]:
    """List every part of every trial: folds, repeats and what was trained again.

    Returns:
        Column names and rows, by trial and in the order of the parts.
    """
    columns = ["trial", "part", "status", "score", "best_epoch", "epochs", "weights", "engine"]
    rows = [
        [
            part.number,
            part.proposal.part,
            part.outcome.value,
            part.score,
            part.best_epoch,
            part.epochs,
            part.weights,
            part.engine or None,
        ]
        for parts in _parts_of(history).values()
        for part in parts
    ]
    return columns, rows


def _describe_state(history: History) -> str:
    if history.stop is None:
        return "under way or killed; hptune search with the same experiment goes on"
    reason: str = history.stop["reason"]
    return reason if reason == "interrupted" else f"finished: {reason}"


class _Document(dict[str, Any]):
    """An object of a file that hptune derives from a run, and that nobody's hash protects."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise RunDamagedError(f"{self._path}: expected the JSON that hptune wrote, missing {key!a}")


def _read_json(path: Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads(read_file(path), object_hook=partial(_Document, path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise RunDamagedError(f"{path}: expected the JSON that hptune wrote: {error}") from None
    if not isinstance(content, Mapping):
        raise RunDamagedError(f"{path}: expected the JSON that hptune wrote, got a {type(content).__name__}")
    return content


def told_of_layers(summary: Summary, trial: int) -> Mapping[str, Any] | None:
    """Return what regularization did to the layers of a trial, as `insight.json` tells; None where nobody knows."""
    told = (summary.insight or {}).get("regularization") or []
    found = next((entry for entry in told if entry["trial"] == trial), None)
    return None if found is None else {**found, "layers": [_of_this_version(layer) for layer in found["layers"]]}


def _of_this_version(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    # Older versions called a unit dead that has no incoming weights, and did not look at what it says.
    return layer if "unconnected" in layer else {**layer, "dead": None, "unconnected": layer["dead"]}


def history_table(folder: RunFolder, trials: Sequence[Trial]) -> tuple[list[str], list[list[Any]]]:
    """Read the learning curves of all trials: one row a trial and epoch, and a part where trials have several.

    Returns:
        Column names (trial, part where there are several, epoch, then every metric) and rows.
    """
    has_parts = any(trial.n > 1 for trial in trials)
    columns: dict[str, None] = dict.fromkeys(("trial", "part", "epoch") if has_parts else ("trial", "epoch"))
    entries: list[dict[str, Any]] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        for part, epochs in read_curves(folder, trial).items():
            named = {"part": part} if has_parts else {}
            for epoch in epochs:
                entries.append({"trial": trial.number, **named, **epoch})
                columns.update(dict.fromkeys(epoch))
    names = list(columns)
    return names, [[entry.get(name) for name in names] for entry in entries]
