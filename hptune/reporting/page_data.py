"""The numbers behind a report page, gathered without any library: columns of trials, curves, the timeline.

Everything is plain data that becomes one JSON document inside the page; numbers keep six digits, so that a page of ten
thousand trials stays small. Full precision is in the run folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hptune.reporting.curves import read_mean_curve
from hptune.reporting.importance import Importance
from hptune.reporting.recorded import coordinates, describe_axis, shorten
from hptune.reporting.summary import Summary
from hptune.reporting.words import printable
from hptune.run.folder import RunFolder
from hptune.run.journal import Record
from hptune.space import SearchSpace
from hptune.trial import Trial

# A curve has two lines of so many numbers; the best trials come first, the others evenly over the ranks.
_MOST_CURVE_NUMBERS = 250_000
_BEST_CURVES = 100
_CURVE_DIGITS = 5
# Metrics at the best epoch that panels draw, beside the objective's.
_LOSS = "loss"


def gather_data(
    folder: RunFolder,
    records: Sequence[Record],
    summary: Summary,
    space: SearchSpace,
    importance: Sequence[Importance],
    insight: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Gather what the panels draw.

    Args:
        folder: Of the run.
        records: Of its journal.
        summary: What they come to.
        space: What varied.
        importance: Of its dimensions, the most important first.
        insight: `insight.json`; None where the search has not ended.
    """
    trials = summary.leaderboard.trials
    metric = summary.objective.metric
    validation = (insight or {}).get("validation") or {}
    return {
        "metric": metric,
        "direction": summary.objective.direction,
        "axes": [{**describe_axis(dimension), "label": _short(dimension.name)} for dimension in space.dimensions],
        "trials": {
            "number": [trial.number for trial in trials],
            "status": [trial.outcome.value for trial in trials],
            "score": [shorten(trial.score) for trial in trials],
            "epochs": [trial.epochs for trial in trials],
            "best_epoch": [trial.best_epoch for trial in trials],
            "weights": [trial.weights for trial in trials],
            "seconds": [round(trial.seconds, 2) for trial in trials],
            "train_score": [shorten(trial.metrics.get(f"train_{metric}")) for trial in trials],
            "gap": [_loss_gap(trial) for trial in trials],
            "zeros": [_zeros(insight, trial) for trial in trials],
            "values": [coordinates(dimension, trials) for dimension in space.dimensions],
        },
        **_of_parts(summary),
        "progress": _best_over_time(records),
        "timeline": _timeline(records),
        "curves": _curves(folder, trials, metric),
        "importance": [
            {
                "name": _short(item.name),
                "share": shorten(item.share, 4),
                "low": shorten(item.low, 4),
                "high": shorten(item.high, 4),
                "chance": shorten(item.chance, 4),
            }
            for item in importance
        ],
        "residuals": _residuals(validation),
    }


def _of_parts(summary: Summary) -> dict[str, list[float | None] | None]:
    """List standard errors, and scores with fresh seeds; None where no trial has any."""
    board = summary.leaderboard
    has_parts = any(trial.n > 1 for trial in board.scored)
    confirmed = {number: shorten(found.score) for number, found in board.confirmed.items()}
    return {
        "std_error": [shorten(trial.std_error) for trial in board.trials] if has_parts else None,
        "confirmed": [confirmed.get(trial.number) for trial in board.trials] if confirmed else None,
    }


def _short(name: str) -> str:
    """Leave out the section: the keys below it are unique."""
    return printable(name.partition(".")[2])


def _loss_gap(trial: Trial) -> float | None:
    """How much larger the loss is on validation rows than on training rows; neither holds a penalty."""
    own, train = trial.metrics.get(_LOSS), trial.metrics.get(f"train_{_LOSS}")
    return None if own is None or train is None else shorten(own - train)


def _zeros(insight: Mapping[str, Any] | None, trial: Trial) -> float | None:
    return shorten(((insight or {}).get("zeros") or {}).get(str(trial.number)), 4)


def _residuals(validation: Mapping[str, Any]) -> list[list[float | None]] | None:
    found = validation.get("residuals")
    if found is None:
        return None
    return [[shorten(truth), shorten(guess)] for truth, guess in zip(found["truth"], found["predicted"], strict=True)]


def _best_over_time(records: Iterable[Record]) -> list[list[Any]]:
    """List (active seconds, trial, score) of every result, in the order of ending."""
    return [
        [round(record["active"], 1), record["trial"], shorten(record["score"])]
        for record in records
        if record["type"] in ("end", "pause")
        and record["score"] is not None
        and "active" in record
        and not record.get("part")
    ]


def _timeline(records: Iterable[Record]) -> list[list[Any]]:
    """List (worker, start, end, trial, outcome) of every attempt, in active seconds; the end is None while it runs."""
    begun: dict[tuple[int, str], Record] = {}
    bars: list[list[Any]] = []
    last = 0.0
    for record in records:
        last = record.get("active", last)
        if record["type"] == "start" and "active" in record:
            begun[_key(record)] = record
        elif record["type"] in ("end", "pause") and (start := begun.pop(_key(record), None)) is not None:
            bars.append([start["worker"], start["active"], last, record["trial"], record["outcome"]])
    # What has no end is running, or its process died; nobody can tell from here.
    bars += [[start["worker"], start["active"], None, start["trial"], "no end"] for start in begun.values()]
    return [
        [worker, round(start, 1), end if end is None else round(end, 1), *rest] for worker, start, end, *rest in bars
    ]


def _key(record: Record) -> tuple[int, str]:
    return record["trial"], record.get("part", "")


def _curves(folder: RunFolder, trials: Sequence[Trial], metric: str) -> dict[str, Any]:
    """Read learning curves, of all trials or of as many as fit.

    Returns:
        By trial number: `first`, the first epoch, and the objective on `validation` and `train` rows.
    """
    found: dict[str, Any] = {}
    room = _MOST_CURVE_NUMBERS
    for trial in _best_and_evenly(trials):
        if room <= 0:
            break
        epochs = read_mean_curve(folder, trial)
        lines = {
            part: [shorten(epoch.get(f"{part}_{metric}"), _CURVE_DIGITS) for epoch in epochs]
            for part in ("validation", "train")
        }
        if epochs:
            room -= 2 * len(epochs)
            found[str(trial.number)] = {"first": epochs[0]["epoch"], **lines}
    return found


def _best_and_evenly(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials so that every beginning of the list has the best, and the others evenly over the ranks."""
    best, others = list(trials[:_BEST_CURVES]), trials[_BEST_CURVES:]
    step = 1 << max(len(others) - 1, 0).bit_length()
    seen: set[int] = set()
    while step >= 1 and others:
        for index in range(0, len(others), step):
            if index not in seen:
                seen.add(index)
                best.append(others[index])
        step //= 2
    return best
