"""What to try next, read from where the winners of a search lie: ranges that end too early, dimensions that do nothing.

The report says it in words, `hptune next` writes it as an experiment; both take it from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hptune.objective import Objective
from hptune.reporting.importance import Importance
from hptune.reporting.recorded import active_trials, format_choice
from hptune.reporting.words import format_value
from hptune.space import Choice, Dimension, Int, SearchSpace
from hptune.spec.settings import SETTINGS, Setting
from hptune.trial import Trial

# With fewer trials, where the winners lie is chance.
FEWEST_TRIALS = 10
_FEWEST_WINNERS = 5
_WINNING_SHARE = 0.1
# Share of a continuous range, at either end, that counts as its edge.
_EDGE = 0.1
# Winners that would crowd at an edge by chance more rarely than this are there for a reason.
_DOUBT = 0.01
# With fewer trials a dimension that matters can look dead.
_FEWEST_TO_DROP = 50


@dataclass(frozen=True)
class Finding:
    """One thing to change.

    Attributes:
        kind: widen (the range ends where the winners are) or drop (the dimension does nothing).
        name: Of the setting; all blocks together where each has its own.
        value: The new end of the range, the value to add to a choice, or the constant to keep.
        end: Which end to move, for widen.
        reason: For people.
    """

    kind: Literal["widen", "drop"]
    name: str
    value: Any
    end: Literal["min", "max", ""]
    reason: str


def pick_winners(scored: Sequence[Trial]) -> Sequence[Trial]:
    """Return the best tenth of ranked trials, at least five and at most a third; none where there are too few."""
    if len(scored) < FEWEST_TRIALS:
        return ()
    return scored[: min(max(_FEWEST_WINNERS, round(_WINNING_SHARE * len(scored))), len(scored) // 2)]


def advise(
    space: SearchSpace, scored: Sequence[Trial], objective: Objective, importance: Sequence[Importance]
) -> tuple[Finding, ...]:
    """Find what the next search should change.

    Args:
        space: What was searched.
        scored: Trials with a score, best first.
        objective: What was searched for.
        importance: Of each dimension.
    """
    winners = pick_winners(scored)
    found = [finding for dimension in space.dimensions for finding in _look_at_edges(dimension, winners)]
    widened = {finding.name for finding in found}
    if len(scored) >= _FEWEST_TO_DROP:
        found += _find_dead(space, scored, objective, importance, widened)
    return tuple(found)


def _look_at_edges(dimension: Dimension, winners: Sequence[Trial]) -> list[Finding]:
    key, setting = setting_of(dimension.name)
    here = active_trials(winners, dimension)
    # A block that not all winners have would speak for a few of them only.
    if len(here) < _FEWEST_WINNERS or key != dimension.name:
        return []
    values = [trial.proposal.values[dimension.name] for trial in here]
    found = []
    for end in ("min", "max"):
        at_edge, base = _count_at_edge(dimension, values, end)
        if at_edge and _tail(at_edge, len(values), base) <= _DOUBT:
            moved = _move(dimension, setting, end)
            if moved is not None:
                edge = format_value(_edge_value(dimension, end))
                word = "smallest" if end == "min" else "largest"
                reason = (
                    f"{at_edge} of the {len(values)} best trials lie at the {word} value, {edge}; by chance "
                    f"{base * len(values):.1f} would"
                )
                found.append(Finding("widen", dimension.name, moved, end, reason))
    return found


def _ordered_numbers(dimension: Choice) -> list[float] | None:
    """Return a choice's values where they are different numbers."""
    numbers = [value for value in dimension.values if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numbers) if len(numbers) == len(dimension.values) > 1 else None


def _edge_value(dimension: Dimension, end: str) -> Any:
    if isinstance(dimension, Choice):
        numbers = _ordered_numbers(dimension)
        assert numbers is not None
        return numbers[0] if end == "min" else numbers[-1]
    return dimension.min if end == "min" else dimension.max


def _count_at_edge(dimension: Dimension, values: Sequence[Any], end: str) -> tuple[int, float]:
    """Count values at an end of a dimension, and return the share that even spreading would put there."""
    if isinstance(dimension, Choice) and _ordered_numbers(dimension) is None:
        return 0, 1.0
    finite = dimension.finite_values()
    if finite is not None and (len(finite) <= 1 / _EDGE or isinstance(dimension, Choice)):
        edge = _edge_value(dimension, end)
        return sum(value == edge for value in values), 1 / len(finite)
    places = [dimension.to_unit(value) for value in values]
    return sum(place <= _EDGE if end == "min" else place >= 1 - _EDGE for place in places), _EDGE


def _tail(hits: int, draws: int, share: float) -> float:
    """Probability of at least so many hits."""
    return sum(
        math.comb(draws, count) * share**count * (1 - share) ** (draws - count) for count in range(hits, draws + 1)
    )


def _move(dimension: Dimension, setting: Setting, end: str) -> Any:
    """Return a new end beyond the old one, within what the setting allows; None where it allows nothing."""
    edge = _edge_value(dimension, end)
    if isinstance(dimension, Choice):
        numbers = _ordered_numbers(dimension)
        assert numbers is not None
        first, second = (numbers[0], numbers[1]) if end == "min" else (numbers[-1], numbers[-2])
        grows_by_factor = min(numbers) > 0
        moved = first * (first / second) if grows_by_factor else first + (first - second)
    elif dimension.log:
        moved = edge / 10 if end == "min" else edge * 10
        if isinstance(dimension, Int):
            moved = edge // 2 if end == "min" else edge * 2
    else:
        span = dimension.max - dimension.min
        steps = max(round(span / 2 / dimension.step), 1) * dimension.step if dimension.step else span / 2
        if isinstance(dimension, Int):
            steps = max(int(steps), 1)
        moved = edge - steps if end == "min" else edge + steps
    is_int = isinstance(dimension, Int) or (isinstance(dimension, Choice) and isinstance(edge, int))
    moved = round(moved) if is_int else _rounded(moved, edge)
    return _within(
        setting,
        moved,
        edge,
        end,
        has_step=getattr(dimension, "step", None) is not None,
        log=getattr(dimension, "log", False),
    )


def _rounded(moved: float, edge: float) -> float:
    """Round as a person would write it; what sums of binary fractions leave beside zero is zero."""
    return 0.0 if abs(moved) < abs(edge) * 1e-9 else float(f"{moved:.6g}")


def _within(setting: Setting, moved: Any, edge: Any, end: str, *, has_step: bool, log: bool) -> Any:
    """Bring a new end back into what the setting allows."""
    low, high = setting.min, setting.max
    if end == "min" and low is not None and (moved <= low if setting.above_min or log else moved < low):
        # A step must still lead from one end to the other.
        if has_step or setting.above_min or log or low >= edge:
            return None
        moved = low
    if end == "max" and high is not None and (moved >= high if setting.below_max else moved > high):
        if has_step or setting.below_max or high <= edge:
            return None
        moved = high
    return moved if moved != edge else None


def _find_dead(
    space: SearchSpace,
    scored: Sequence[Trial],
    objective: Objective,
    importance: Sequence[Importance],
    widened: set[str],
) -> list[Finding]:
    """Find dimensions that no more than chance speaks for; each keeps the value of the best trial that has one."""
    parents = {condition.name for dimension in space.dimensions for condition in dimension.when}
    found = []
    for item in importance:
        dimension = space.by_name[item.name]
        key, _ = setting_of(item.name)
        is_alone = key == item.name and item.name not in parents and item.name not in widened and not dimension.when
        here = active_trials(scored, dimension)
        # What cannot be told from chance may still matter; what also has less than half its even part hardly does.
        is_dead = not item.is_told_from_chance and item.share < 0.5 / len(importance)
        if not is_dead or not is_alone or not here:
            continue
        best = min(here, key=lambda trial: (objective.sort_key(trial.score or 0.0), trial.number))
        value = best.proposal.values[item.name]
        if isinstance(value, list | dict):
            continue  # Only a choice can hold it.
        reason = (
            f"its importance, {item.share:.1%}, cannot be told from that of a dimension without effect, "
            f"up to {item.chance:.1%}; "
            f"kept at {format_choice(value)}, the value of trial {best.number}"
        )
        found.append(Finding("drop", item.name, value, "", reason))
    return found


def setting_of(name: str) -> tuple[str, Setting]:
    """Return the key of a dimension and what is known of its setting; `model.units.1` belongs to `model.units`."""
    key = name if name in SETTINGS else name.rpartition(".")[0]
    return key, SETTINGS[key]
