"""How much each dimension matters for a good score, and how sure that is.

Optuna's PED-ANOVA asks where the best trials lie on a dimension, compared with all trials; it needs no model of the
scores and knows conditional dimensions. Half-samples tell how far the figure would move with other trials, shuffled
scores what it would be if a dimension did nothing at all.

Reference:
    Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces", IJCAI 2023; half-samples: McCarthy, "Pseudo-Replication: Half Samples", 1969.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hptune.objective import Objective
from hptune.reporting.recorded import active_trials
from hptune.space import Choice, Dimension, Float, SearchSpace, identity
from hptune.trial import Trial

FEWEST_TRIALS = 10
_MOST_TRIALS = 1000
_HALF_SAMPLES = 20
_SHUFFLES = 20
# PED-ANOVA wants at least five trials among the best.
_FEWEST_BEST = 5
_BEST_SHARE = 0.1


@dataclass(frozen=True)
class Importance:
    """How much a dimension matters.

    Attributes:
        name: Of the dimension.
        share: Of all importance, from 0 to 1.
        low: 5 % quantile of the share over half-samples.
        high: 95 % quantile.
        chance: What a dimension without effect would reach in one case of twenty, on the same scale; with few trials
            that may be more than the whole.
    """

    name: str
    share: float
    low: float
    high: float
    chance: float

    @property
    def is_told_from_chance(self) -> bool:
        """Whether the dimension matters more than one that does nothing would seem to."""
        return self.share > self.chance


def measure_importance(space: SearchSpace, trials: Sequence[Trial], objective: Objective) -> tuple[Importance, ...]:
    """Measure every dimension that varied, the most important first.

    Args:
        space: What could vary.
        trials: With a score; of more than a thousand, a thousand drawn with a fixed seed are used.
        objective: Which direction is better.

    Returns:
        Nothing where fewer than ten trials have a score, or all scores are equal.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if len(scored) < FEWEST_TRIALS or len({trial.score for trial in scored}) == 1:
        return ()
    generator = random.Random(0)
    if len(scored) > _MOST_TRIALS:
        scored = generator.sample(scored, _MOST_TRIALS)
    names = [dimension.name for dimension in space.dimensions if active_trials(scored, dimension)]
    # PED-ANOVA takes less for better.
    losses = [objective.sort_key(trial.score) for trial in scored if trial.score is not None]
    measure = _measurer(space, scored)
    raw = measure(losses)
    total = sum(raw.values())
    if not total:
        return ()
    halves, shuffled = [], []
    for _ in range(_HALF_SAMPLES):
        half = set(generator.sample(range(len(losses)), len(losses) // 2))
        halves.append(_shares(measure([loss if index in half else float("nan") for index, loss in enumerate(losses)])))
    for _ in range(_SHUFFLES):
        shuffled.append(measure(generator.sample(losses, len(losses))))
    found = [
        Importance(
            name,
            raw.get(name, 0.0) / total,
            _quantile([half.get(name, 0.0) for half in halves], 0.05),
            _quantile([half.get(name, 0.0) for half in halves], 0.95),
            _quantile([chance.get(name, 0.0) for chance in shuffled], 0.95) / total,
        )
        for name in names
    ]
    return tuple(sorted(found, key=lambda item: (-item.share, item.name)))


def _measurer(space: SearchSpace, trials: Sequence[Trial]) -> Callable[[Sequence[float]], Mapping[str, float]]:
    """Return a function from losses, in the order of the trials and NaN for absent, to a divergence by dimension."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    distributions = {dimension.name: to_distribution(dimension) for dimension in space.dimensions}
    with warnings.catch_warnings(), in_silence():
        warnings.simplefilter("ignore")
        study = optuna.create_study()
        study.add_trials([_to_optuna(space, distributions, trial) for trial in trials])

    def measure(losses: Sequence[float]) -> Mapping[str, float]:
        present = sum(loss == loss for loss in losses)
        best = min(max(_BEST_SHARE, _FEWEST_BEST / present), 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
            measured: Mapping[str, float] = evaluator.evaluate(study, target=lambda trial: losses[trial.number])
        return measured

    return measure


def _shares(raw: Mapping[str, float]) -> Mapping[str, float]:
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()} if total else {}


@contextmanager
def in_silence() -> Iterator[None]:
    """Let Optuna not announce its study."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def to_distribution(dimension: Dimension) -> Any:
    """Return a dimension as Optuna's distribution; a choice as the index of its value, for values of any kind."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(range(len(dimension.values)))
    if isinstance(dimension, Float):
        return FloatDistribution(dimension.min, dimension.max, log=dimension.log, step=dimension.step)
    # Optuna has no steps on a logarithmic axis, where a whole number's step is 1 anyway.
    return IntDistribution(dimension.min, dimension.max, log=dimension.log, step=dimension.step or 1)


def _to_optuna(space: SearchSpace, distributions: Mapping[str, Any], trial: Trial) -> Any:
    from optuna.trial import create_trial

    values = {}
    for name, value in trial.proposal.values.items():
        dimension = space.by_name.get(name)
        if dimension is None or not dimension.contains(value):
            continue
        if isinstance(dimension, Choice):
            value = [identity(known) for known in dimension.values].index(identity(value))
        values[name] = value
    used = {name: distributions[name] for name in values}
    return create_trial(params=values, distributions=used, value=trial.score)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return an order statistic, without interpolation."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
