"""Ensembles: which models to put together, chosen by what they predicted for rows that none of them was trained on.

Nothing is trained, and everything here is arrays: the rows may be validation rows, or all rows out of fold. Putting
models together reduces variance, so that models that err differently are better together than the best of them alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hptune.mix import AVERAGE, Mix
from hptune.objective import Objective
from hptune.weighing import Known, Shares, stack, weigh

Floats = npt.NDArray[np.floating[Any]]
Score = Callable[[Floats], float]

# Of the candidates, how many each bag draws (Caruana et al. use a half).
_BAG_SHARE = 0.5


@dataclass(frozen=True)
class Library:
    """Candidates and what they predicted.

    Attributes:
        predictions: Of each candidate for the same rows, best candidate first: probabilities (rows, classes), or values
            (rows,). No candidate may have been trained on the rows.
        known: The rows: their truth, weights and groups.
        score: Of predictions, in the objective's metric.
        objective: Whether more or less is better.
    """

    predictions: Sequence[Floats]
    known: Known
    score: Score
    objective: Objective


@dataclass(frozen=True)
class Wanted:
    """What ensemble is wanted.

    Attributes:
        size: The most members; greedy counts repeats.
        bags: How often greedy chooses from a half of the candidates drawn at random; 1 chooses once from all of them.
        seed: Of bags, and of the folds by which stacking chooses its strength.
    """

    size: int
    bags: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Ensemble:
    """Members by their place in the list that they were chosen from.

    Attributes:
        shares: Share of each member; they sum to 1 unless the method is stacking.
        score: Of the mix on the rows that it was chosen by.
        mix: How predictions become one.
    """

    shares: tuple[tuple[int, float], ...]
    score: float
    mix: Mix = AVERAGE

    def predict(self, predictions: Sequence[Floats]) -> Floats:
        """Mix the predictions of all candidates for some rows."""
        return self.mix([predictions[index] for index, _ in self.shares], [share for _, share in self.shares])


def choose(method: str, library: Library, wanted: Wanted) -> Ensemble:
    """Choose an ensemble by one of `METHODS`."""
    shares, mix = METHODS[method](library, wanted)
    made = Ensemble(tuple(sorted(shares.items())), 0.0, mix)
    return Ensemble(made.shares, library.score(made.predict(library.predictions)), mix)


def _top(library: Library, wanted: Wanted) -> tuple[Shares, Mix]:
    """Take the best candidates, each once."""
    count = min(wanted.size, len(library.predictions))
    return dict.fromkeys(range(count), 1 / count), AVERAGE


def _greedy(library: Library, wanted: Wanted) -> tuple[Shares, Mix]:
    """Select with replacement, once from all candidates or in bags whose choices are averaged.

    A bag of few candidates cannot fit the rows as closely as all of them can. Where the bags choose more members
    together than are wanted, those with the largest shares stay.

    Reference:
        Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", 2004, section 2.3.
    """
    count = len(library.predictions)
    everybody = tuple(range(count))
    if wanted.bags == 1:
        drawn = [everybody]
    else:
        generator = np.random.default_rng(wanted.seed)
        held = max(round(_BAG_SHARE * count), 1)
        drawn = [tuple(sorted(generator.choice(count, held, replace=False).tolist())) for _ in range(wanted.bags)]
    shares: dict[int, float] = {}
    for bag in drawn:
        votes = _select(library, bag, wanted.size)
        for index, times in votes.items():
            shares[index] = shares.get(index, 0.0) + times / votes.total() / len(drawn)
    return _largest(shares, wanted.size), AVERAGE


def _select(library: Library, bag: Sequence[int], size: int) -> Counter[int]:
    """Add, one after the other, whichever candidate makes the average best; candidates may come again.

    It starts with the best candidate, and the average that was best on the way is taken, so that the result is never
    worse than the best candidate on the rows that it is chosen by. Ties go to the smaller ensemble and the better rank.

    Reference:
        Caruana et al., 2004, sections 2.1 and 2.2.
    """
    predictions, score, objective = library.predictions, library.score, library.objective
    chosen = [bag[0]]
    total = predictions[bag[0]].astype(np.float64)
    best, best_score = list(chosen), score(total)
    while len(chosen) < size:
        scores = {index: score((total + predictions[index]) / (len(chosen) + 1)) for index in bag}
        index = min(bag, key=lambda index: objective.sort_key(scores[index]))
        chosen.append(index)
        total = total + predictions[index]
        if objective.is_better(scores[index], best_score):
            best, best_score = list(chosen), scores[index]
    return Counter(best)


def _largest(shares: Shares, size: int) -> Shares:
    """Keep the members with the largest shares, so that they sum to 1 again."""
    kept = sorted(shares, key=lambda index: (-shares[index], index))[:size]
    if len(kept) == len(shares):
        return shares
    total = sum(shares[index] for index in kept)
    return {index: shares[index] / total for index in kept}


def _weighted(library: Library, wanted: Wanted) -> tuple[Shares, Mix]:
    """Weigh all candidates; where more than are wanted have a share, weigh those with the largest again."""
    found = weigh(library.predictions, library.known, range(len(library.predictions)))
    if len(found) > wanted.size:
        found = weigh(library.predictions, library.known, sorted(_largest(found, wanted.size)))
    return found, AVERAGE


def _stacking(library: Library, wanted: Wanted) -> tuple[Shares, Mix]:
    """Regress the truth on what the best candidates predicted."""
    return stack(library.predictions[: wanted.size], library.known, wanted.seed)


METHODS: Mapping[str, Callable[[Library, Wanted], tuple[Shares, Mix]]] = {
    "greedy": _greedy,
    "top": _top,
    "weighted": _weighted,
    "stacking": _stacking,
}
