"""The experiment of a run as its journal recorded it, and trials as numbers: what every drawing starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hptune.errors import RunDamagedError
from hptune.reporting.words import format_value
from hptune.space import Choice, Dimension, identity
from hptune.spec import Experiment
from hptune.trial import Trial


def experiment_of(header: Mapping[str, Any], name: str) -> Experiment:
    """Read the experiment that a journal's header holds.

    Args:
        header: The journal's first record.
        name: Of the run; a header does not repeat it.

    Raises:
        RunDamagedError: If it is no experiment of this version.
    """
    try:
        return Experiment.model_validate({**header["experiment"], "name": name})
    except ValueError as error:
        raise RunDamagedError(
            f"run {name}: the experiment in its journal cannot be read by this version of hptune: {error}"
        ) from None


def active_trials(trials: Sequence[Trial], dimension: Dimension) -> list[Trial]:
    """Return the trials with a score in which a dimension has a value of its range."""
    return [
        trial
        for trial in trials
        if trial.score is not None
        and dimension.name in trial.proposal.values
        and dimension.contains(trial.proposal.values[dimension.name])
    ]


def describe_axis(dimension: Dimension) -> dict[str, Any]:
    """Say how a dimension is drawn: as categories, or as numbers on a plain or logarithmic axis."""
    if isinstance(dimension, Choice):
        return {"name": dimension.name, "kind": "choice", "values": list(map(format_choice, dimension.values))}
    return {
        "name": dimension.name,
        "kind": type(dimension).__name__.lower(),
        "min": dimension.min,
        "max": dimension.max,
        "log": dimension.log,
    }


def format_choice(value: Any) -> str:
    """Show a value that can be chosen; null is a value too."""
    return "null" if value is None else format_value(value)


def coordinates(dimension: Dimension, trials: Sequence[Trial]) -> list[float | None]:
    """Place trials on a dimension's axis: the number itself, or the index of a choice; None where inactive."""
    places: dict[str, float] = {}
    if isinstance(dimension, Choice):
        places = {identity(value): index for index, value in enumerate(dimension.values)}
    found: list[float | None] = []
    for trial in trials:
        value = trial.proposal.values.get(dimension.name, _INACTIVE)
        if value is _INACTIVE:
            found.append(None)
        elif isinstance(dimension, Choice):
            found.append(places.get(identity(value)))
        else:
            # A journal of somebody else may say anything.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            found.append(shorten(value) if is_number else None)
    return found


_INACTIVE = object()


def shorten(value: float | None, digits: int = 6) -> float | None:
    """Round to significant digits, so that a page of ten thousand trials stays small; None where it is no number.

    >>> shorten(0.123456789), shorten(float("nan")), shorten(12)
    (0.123457, None, 12)
    """
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{digits}g}")
