"""Bayesian optimization on KerasTuner's oracle: a Gaussian process and the lower confidence bound, in batches.

The oracle's process (Matérn 5/2 and a noise of `alpha`), its `beta` and its number of random points are kept. Three
things are not, because they cost seconds a proposal or a search that cannot be resumed:

* the process is fitted once a batch. Its likelihood has one parameter and often several peaks: it is looked at along
  the whole range of that parameter, and the highest peak is climbed, where KerasTuner climbs from 21 places;
* the bound is minimized over whole populations of valid configurations that are mutated where it is lowest, instead of
  by 50 searches with numeric gradients;
* a proposal depends on its number, the seed and the results of earlier batches alone, so that a resumed search goes on
  as the undisturbed one, whatever the number of workers;
* a failed trial counts as the worst result so far, so that its neighbourhood is left.

Reference:
    Srinivas et al., "Gaussian Process Optimization in the Bandit Setting", 2010, eq. 6, for the bound; Ginsbourger
    et al., "Kriging is well-suited to parallelize optimization", 2010, for what stands in for pending results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import numpy as np
import numpy.typing as npt
import threadpoolctl
from scipy.optimize import minimize_scalar
from sklearn.gaussian_process import GaussianProcessRegressor

from hptune.objective import Objective
from hptune.space import SearchSpace, Value
from hptune.strategies.draws import Draws
from hptune.strategies.encoding import Encoding, Floats
from hptune.strategies.oracles import QuietOracle, Translation, oracle_options
from hptune.trial import Exhausted, Proposal, Trial, Wait, derive_seed

# KerasTuner's rule for the random points before the first fit.
POINTS_PER_DIMENSION = 3
_FEWEST_POINTS = 3
# Of the results there are, a batch has one for so many, but no fewer than: one more of many results tells little, and
# trials of a batch train side by side. Measured: docs/how-it-works.md.
_RESULTS_PER_PROPOSAL = 4
_NARROWEST = 4
# Lengths over which results are alike, in shares of a range: from "nothing is known of a neighbour" to "nearly linear".
_LENGTHS = np.geomspace(0.01, 100.0, 32)
_CANDIDATES = 1024
_PARENTS = 12
_CHILDREN = 24
_PRECISION = {"xatol": 1e-3}
# Widths of the mutations, round by round, in shares of a range.
_WIDTHS = (0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.01, 0.005, 0.002)
# Below this width a mutation polishes, and moves all coordinates.
_FINE = 0.05


class BatchOracle(QuietOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """KerasTuner's Gaussian process; who asks it, and for what, is our matter."""

    def make_process(self) -> Any:
        """Return an unfitted process that looks for its length by itself."""
        return self._make_gpr().set_params(n_restarts_optimizer=0, optimizer=_find_length)


def _find_length(loss: Callable[..., float], theta: Floats, bounds: Floats) -> tuple[Floats, float]:
    """Minimize over the logarithm of a length, as scikit-learn asks an optimizer to; its start is of no use."""
    del theta, bounds
    grid = np.log(_LENGTHS)
    losses = [loss(np.array([place]), eval_gradient=False) for place in grid]
    best = int(np.argmin(losses))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda place: loss(np.array([place]), eval_gradient=False), bounds=around, method="bounded", options=_PRECISION
    )
    return (np.array([found.x]), found.fun) if found.fun < losses[best] else (grid[best : best + 1], losses[best])


def count_initial_points(space: SearchSpace, wanted: int | None) -> int:
    """Count the random points before the first fit."""
    return wanted or max(POINTS_PER_DIMENSION * len(space.dimensions), _FEWEST_POINTS)


def batch_starts(count: int, initial: int, width: int | None) -> list[int]:
    """Number the first of each batch among so many configurations; the random points before the first fit are a batch.

    >>> batch_starts(59, 12, None), batch_starts(11, 5, 3)
    ([0, 12, 16, 20, 25, 31, 38, 47, 58], [0, 5, 8])
    """
    starts, end = [0], initial
    while end < count:
        starts.append(end)
        end += width or max(end // _RESULTS_PER_PROPOSAL, _NARROWEST)
    return starts


class BayesianStrategy:
    """Draws the initial points, then proposes batches that lie where the confidence bound is best."""

    works_in_batches = True

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        seed: int,
        draws: Draws,
        options: Mapping[str, Value],
    ) -> None:
        """Set up.

        Args:
            space: What varies.
            objective: The aim.
            seed: Of every proposal.
            draws: For the initial points.
            options: `num_initial_points`, `alpha`, `beta` as KerasTuner has them, and `batch`, the proposals a fit, or
                None for batches that grow.
        """
        self._objective = objective
        self._seed = seed
        self._draws = draws
        self._initial = count_initial_points(space, options["num_initial_points"])
        self._width: int | None = options["batch"]
        self._encoding = Encoding(space)
        self._oracle = BatchOracle(
            **oracle_options(Translation(space), objective, seed), alpha=options["alpha"], beta=options["beta"]
        )
        # To find the libraries that have threads takes as long as a fifth of a proposal.
        self._pools = threadpoolctl.ThreadpoolController()
        self._values: list[Mapping[str, Value]] = []
        self._results: dict[int, Trial] = {}
        self._fitted: tuple[int, Any] = (-1, None)

    def ask(self, count: int) -> list[Proposal] | Wait | Exhausted:
        """Propose up to `count` configurations of the batch under way; wait where it is complete but not yet told."""
        proposals: list[Proposal] = []
        batch = self._told_to(len(self._values))
        if any(earlier not in self._results for earlier in range(batch)):
            return Wait()
        while len(proposals) < count:
            number = len(self._values)
            told = self._told_to(number)
            if told != batch:
                break
            values = self._propose(number, told)
            if values is None:
                return proposals or self._draws.exhausted()
            self._values.append(values)
            proposals.append(Proposal(number, values, derive_seed(self._seed, "trial", number), told))
        return proposals

    def tell(self, trial: Trial) -> None:
        """Learn a result."""
        self._results[trial.number] = trial

    def recall(self, proposal: Proposal) -> None:
        """Count a configuration as proposed."""
        self._draws.take(proposal.values)
        self._values.append(proposal.values)

    def halted(self) -> list[int]:
        """Name no trial: none is ever paused."""
        return []

    def _told_to(self, number: int) -> int:
        """Count the results that a proposal is made from: those of all batches before its own."""
        return batch_starts(number + 1, self._initial, self._width)[-1]

    def _propose(self, number: int, told: int) -> dict[str, Value] | None:
        scores = self._scores(told)
        if number < self._initial or len({score for score in scores if score is not None}) < 2:
            return self._draws.draw(number)
        # One thread, so that equal histories give equal proposals to the bit.
        with self._pools.limit(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = self._minimize_bound(number, told, scores)
        if values is None:
            return self._draws.draw(number)
        self._draws.take(values)
        return values

    def _scores(self, told: int) -> list[float | None]:
        """Return results as numbers to be minimized; None for a trial that failed."""
        scores = (self._results[number].score for number in range(told))
        return [None if score is None else self._objective.sort_key(score) for score in scores]

    def _minimize_bound(self, number: int, told: int, scores: list[float | None]) -> dict[str, Value] | None:
        """Return the best new configuration found, or None where only tried ones were."""
        positions = self._encoding.positions(self._values[:number])
        worst = max(score for score in scores if score is not None)
        known = np.array([worst if score is None else score for score in scores])
        process = self._process(positions, known, told)
        generator = np.random.default_rng(derive_seed(self._seed, "acquisition", number))
        beta = self._oracle.beta

        def bound(candidates: Floats) -> Floats:
            mean, deviation = process.predict(self._encoding.features(candidates), return_std=True)
            lowest: Floats = mean - beta * deviation
            return lowest

        best = positions[:told][np.argsort(known, kind="stable")[: _PARENTS // 2]]
        found = _search(bound, best, self._encoding.width, generator)
        candidates = (self._encoding.configuration(position) for position in found)
        return next((values for values in candidates if self._draws.is_new(values)), None)

    def _process(self, positions: Floats, known: Floats, told: int) -> Any:
        """Return the process fitted to what was told, which takes its own guess for what is pending.

        A worse guess, as KerasTuner makes it, drives the rest of a batch away from where the best is expected.
        """
        features = self._encoding.features(positions)
        batch, fitted = self._fitted
        if batch != told:
            fitted = self._oracle.make_process().fit(features[:told], known)
            self._fitted = told, fitted
        if len(features) == told:
            return fitted
        pending = GaussianProcessRegressor(
            kernel=fitted.kernel_, optimizer=None, normalize_y=True, alpha=self._oracle.alpha
        )
        return pending.fit(features, np.concatenate([known, fitted.predict(features[told:])]))


def _search(bound: Any, best: Floats, width: int, generator: np.random.Generator) -> Floats:
    """Minimize a bound over [0, 1]^width: many random points, then mutations of the lowest; lowest first."""
    candidates = np.concatenate([generator.random((_CANDIDATES, width)), best])
    values = bound(candidates)
    # Mutating a third of the coordinates at a time, at least one, lets choices change while the rest stays.
    some = max(1 / 3, 1 / width)
    for reach in _WIDTHS:
        parents = candidates[np.argsort(values, kind="stable")[:_PARENTS]]
        children = _mutate(np.repeat(parents, _CHILDREN, axis=0), 1.0 if reach < _FINE else some, reach, generator)
        candidates = np.concatenate([candidates, children])
        values = np.concatenate([values, bound(children)])
    ordered: Floats = candidates[np.argsort(values, kind="stable")]
    return ordered


def _mutate(parents: Floats, share: float, reach: float, generator: np.random.Generator) -> Floats:
    is_changed: npt.NDArray[np.bool_] = generator.random(parents.shape) < share
    # Every tenth change is a jump: what has no order has no neighbours either.
    is_jump = generator.random(parents.shape) < 0.1
    moved = np.clip(parents + generator.normal(0.0, reach, parents.shape), 0.0, 1.0)
    fresh = np.where(is_jump, generator.random(parents.shape), moved)
    return np.where(is_changed, fresh, parents)
