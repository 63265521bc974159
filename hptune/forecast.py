"""What a search will take: costs fitted to a few measured populations, and the dispatcher's choices replayed with them.

Nothing here trains, measures or reads a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hptune.training.capacity import FEWEST_SLOTS, MOST_KEPT_WEIGHTS
from hptune.training.job import Measured
from hptune.training.queueing import Kind, choose_structure, fair_share

# Rough seconds of each feature, estimated by hand from two measured networks each of digits and diabetes: what few
# samples cannot tell apart is shared out like this, in the machine's own speed.
_USUAL_EPOCH = (5e-4, 2e-9, 1.2e-10, 1e-2, 2e-3)
_USUAL_TRACE = (0.2, 0.4)
_USUAL_BUILD = (0.05, 0.05)
# How much a usual share weighs beside a sample.
_TRUST = 0.3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """What the time of a step depends on.

    Attributes:
        layers: From the inputs to the outputs.
        weights: Of the network.
        batch: Rows of a mini-batch.
        rows: Training rows, and those that are scored.
    """

    layers: int
    weights: int
    batch: int
    rows: tuple[int, int]


@dataclass(frozen=True)
class Work:
    """A trial to train.

    Attributes:
        kind: With which others it is trained.
        size: Of its network and data.
        epochs: That it is trained for at the most.
        patience: Epochs without progress after which it ends; None without early stopping.
    """

    kind: Kind
    size: Size
    epochs: int
    patience: int | None = None

    def expected(self) -> Work:
        """Return the same with the epochs to expect: two thirds of the way from its patience to all of them."""
        if self.patience is None or self.patience >= self.epochs:
            return self
        return replace(self, epochs=max(round((self.patience + 2 * self.epochs) / 3), 1))


@dataclass(frozen=True)
class Sample:
    """A population that was measured."""

    work: Work
    measured: Measured


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of a search, from those that were measured.

    Attributes:
        samples: At least one.
    """

    samples: Sequence[Sample]
    _corrections: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _epoch_shares(self) -> Floats:
        shares = _fit(
            [_epoch_features(sample.work.size, sample.measured.slots) for sample in self.samples],
            [sample.measured.epoch_s for sample in self.samples],
            _USUAL_EPOCH,
        )
        for sample in self.samples:
            fitted = float(_epoch_features(sample.work.size, sample.measured.slots) @ shares)
            self._corrections[sample.work.kind.structure] = sample.measured.epoch_s / fitted
        return shares

    @cached_property
    def _trace_shares(self) -> Floats:
        new = list(self._traced.values())
        features = [_trace_features(sample.work.size) for sample in new]
        return _fit(features, [sample.measured.trace_s for sample in new], _USUAL_TRACE)

    @cached_property
    def _traced(self) -> Mapping[str, Sample]:
        """The sample of each trace that took longest: another one of its worker had it from the first."""
        longest: dict[str, Sample] = {}
        for sample in self.samples:
            known = longest.setdefault(sample.work.kind.trace, sample)
            if sample.measured.trace_s > known.measured.trace_s:
                longest[sample.work.kind.trace] = sample
        return longest

    @cached_property
    def _build_shares(self) -> Floats:
        return _fit(
            [_trace_features(sample.work.size) for sample in self.samples],
            [sample.measured.build_s for sample in self.samples],
            _USUAL_BUILD,
        )

    @property
    def end_s(self) -> float:
        """Seconds to conclude a trial."""
        return float(np.mean([sample.measured.end_s for sample in self.samples]))

    def epoch_s(self, work: Work, slots: int) -> float:
        """Predict an epoch of a population; exact where this structure was measured with as many slots."""
        fitted = float(_epoch_features(work.size, slots) @ self._epoch_shares)
        return fitted * self._corrections.get(work.kind.structure, 1.0)

    def build_s(self, work: Work) -> float:
        """Predict how long Keras builds the network."""
        return float(_trace_features(work.size) @ self._build_shares)

    def trace_s(self, work: Work) -> float:
        """Predict how much longer the first epoch takes, in which TensorFlow traces the graph."""
        known = self._traced.get(work.kind.trace)
        return known.measured.trace_s if known else float(_trace_features(work.size) @ self._trace_shares)

    def population_s(self, works: Sequence[Work]) -> float:
        """Predict how long trials that begin together train, from the first epoch to the end of the last of them."""
        seconds = self.end_s * len(works)
        before = 0
        for last in sorted({work.epochs for work in works}):
            slots = sum(work.epochs >= last for work in works)
            seconds += (last - before) * self.epoch_s(works[0], slots)
            before = last
        return seconds


def training_seconds(rounds: Iterable[Sequence[Work]], workers: int, costs: Costs) -> float:
    """Replay which worker would train what, with the costs as the clock.

    Args:
        rounds: Trials that may be trained in any order; the next round waits for all of the one before.
        workers: How many.
        costs: Of each population.
    """
    free = [0.0] * workers
    traces: list[set[str]] = [set() for _ in free]
    networks: list[set[str]] = [set() for _ in free]
    traces_of: dict[str, str] = {}
    working = [""] * workers
    # How many trials each has begun, and how long these take.
    under_way = [(0, 1.0)] * workers
    for round_ in rounds:
        free = [max(free)] * workers
        waiting: dict[str, list[Work]] = {}
        for work in round_:
            waiting.setdefault(work.kind.structure, []).append(work)
            traces_of[work.kind.structure] = work.kind.trace
        while waiting:
            worker = free.index(min(free))
            now = free[worker]
            taken = {working[other] for other in range(workers) if free[other] > now}
            elsewhere = {trace for other in range(workers) if other != worker for trace in traces[other]}
            structure = choose_structure(waiting, traces_of.__getitem__, traces[worker], elsewhere, taken)
            loads = [
                count * max(free[other] - now, 0.0) / seconds
                for other, (count, seconds) in enumerate(under_way)
                if other != worker and (free[other] <= now or working[other] == structure)
            ]
            share = fair_share(0.0, loads, len(waiting[structure]))
            count = min(waiting[structure][0].kind.capacity, share)
            together, left = waiting[structure][:count], waiting[structure][count:]
            if left:
                waiting[structure] = left
            else:
                del waiting[structure]
            first = together[0]
            seconds = costs.population_s(together)
            if structure not in networks[worker]:
                seconds += costs.build_s(first)
            if first.kind.trace not in traces[worker]:
                seconds += costs.trace_s(first)
            free[worker], under_way[worker] = now + seconds, (len(together), seconds)
            traces[worker].add(first.kind.trace)
            if first.size.weights <= MOST_KEPT_WEIGHTS:
                networks[worker].add(structure)
            working[worker] = structure
    return max(free)


def _epoch_features(size: Size, slots: int) -> Floats:
    trained, scored = size.rows
    places = max(slots, FEWEST_SLOTS)
    steps = math.ceil(trained / size.batch)
    return np.array(
        [
            steps * size.layers,  # operations
            steps * places * size.weights,  # updates
            places * (3 * trained + scored) * size.weights,  # products
            1.0,
            slots,  # scores
        ]
    )


def _trace_features(size: Size) -> Floats:
    return np.array([1.0, size.layers])


def _fit(features: Sequence[Floats], seconds: Sequence[float], usual: Sequence[float]) -> Floats:
    """Fit shares of no less than zero such that relative errors are small and shares are like the usual ones.

    Reference:
        Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", 1970; here towards the
        usual shares instead of zero, and with Lawson and Hanson's nonnegative least squares.
    """
    from scipy.optimize import nnls

    least = 1e-6
    rows = np.array(features, dtype=np.float64) * np.array(usual)
    measured = np.maximum(np.array(seconds, dtype=np.float64), least)
    speed = float(np.median(measured / rows.sum(axis=1)))
    # In multiples of the usual shares at this speed, so that all of them are about 1.
    relative = rows * speed / measured[:, None]
    ridge = _TRUST * np.eye(len(usual))
    multiples, _ = nnls(np.vstack([relative, ridge]), np.concatenate([np.ones(len(rows)), ridge.diagonal()]))
    return np.asarray(multiples * speed * np.array(usual), dtype=np.float64)
