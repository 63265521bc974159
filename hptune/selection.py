"""Ensembles: which trials to average, chosen by their stored predictions for the validation rows.

Nothing is trained. Averaging reduces variance, so that models that err differently are better together than the best of
them alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.objective import Objective

METHODS = ("greedy", "top")

Floats = npt.NDArray[np.floating[Any]]
Score = Callable[[Floats], float]


@dataclass(frozen=True)
class Ensemble:
    """Members by their place in the list that they were chosen from.

    Attributes:
        shares: Share of each member in the average; all of them sum to 1.
        score: Of the average on the rows that it was chosen by.
    """

    shares: tuple[tuple[int, float], ...]
    score: float


def choose(method: str, predictions: Sequence[Floats], score: Score, objective: Objective, size: int) -> Ensemble:
    """Choose an ensemble.

    Args:
        method: `greedy` or `top`.
        predictions: Of each candidate for the same rows, best candidate first.
        score: Of predictions, in the objective's metric.
        objective: Whether more or less is better.
        size: The most members, counting repeats.
    """
    counts = _greedy(predictions, score, objective, size) if method == "greedy" else _top(predictions, size)
    total = sum(counts.values())
    shares = tuple((index, count / total) for index, count in sorted(counts.items()))
    together = sum(share * predictions[index].astype(np.float64) for index, share in shares)
    assert isinstance(together, np.ndarray)
    return Ensemble(shares, score(together))


def _top(predictions: Sequence[Floats], size: int) -> Counter[int]:
    """Take the best candidates, each once."""
    return Counter(range(min(size, len(predictions))))


def _greedy(predictions: Sequence[Floats], score: Score, objective: Objective, size: int) -> Counter[int]:
    """Add, one after the other, whichever candidate makes the average best; candidates may come again.

    It starts with the best candidate, and the average that was best on the way is taken, so that the result is never
    worse than the best candidate on the rows that it is chosen by. Ties go to the smaller ensemble and the better rank.

    Reference:
        Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", 2004, section 2.
    """
    chosen = [0]
    total = predictions[0].astype(np.float64)
    best, best_score = list(chosen), score(total)
    while len(chosen) < size:
        scores = [score((total + candidate) / (len(chosen) + 1)) for candidate in predictions]
        index = min(range(len(scores)), key=lambda index: objective.sort_key(scores[index]))
        chosen.append(index)
        total = total + predictions[index]
        if objective.is_better(scores[index], best_score):
            best, best_score = list(chosen), scores[index]
    return Counter(best)
