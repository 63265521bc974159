"""How long the parts of a training take, measured in a worker on the real data: what `hptune plan` calculates with.

Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import tensorflow as tf

from hptune.training.devices import configure_runtime
from hptune.training.fitting import ENGINE as KERAS
from hptune.training.fitting import build_network, fit
from hptune.training.job import Job, Measured
from hptune.training.population import Population, Programs
from hptune.training.serving import Jobs, most_memory
from hptune.training.stacking import NotStackableError

# More than any measurement comes to, so that no trial ends before it is told to.
_ENDLESS = 1_000_000
# A step takes as long with any learning rate, but at a small one nothing diverges.
_RATE = 1e-6
_FEWEST_EPOCHS = 3
_ENOUGH = "measured"


def measure(
    worker: int, tasks: Sequence[tuple[int, Jobs]], seconds: float, seconds_each: float
) -> Iterator[Measured | int]:
    """Train each of several populations for a moment.

    Args:
        worker: The number of this worker.
        tasks: A number for each, and the trials that are trained side by side.
        seconds: After which no further one is begun.
        seconds_each: For how long one is trained after its first epoch.

    Yields:
        The bytes of this process once it is ready to train, then what was measured, in the order of the tasks.
    """
    configure_runtime(worker)
    programs = Programs()
    yield most_memory()
    began = time.monotonic()
    for number, jobs in tasks:
        yield _measure(number, [(trial, _endless(job)) for trial, job in jobs], programs, seconds_each)
        if time.monotonic() - began > seconds:
            return


def try_to_build(jobs: Sequence[Job]) -> list[str]:
    """Build networks and return for each what Keras has against it; empty where it can be built."""
    configure_runtime()
    faults = []
    for job in jobs:
        try:
            build_network(job, every_dropout=True)
        except (ValueError, TypeError, MemoryError, tf.errors.ResourceExhaustedError) as error:
            faults.append(str(error) or type(error).__name__)
        else:
            faults.append("")
        tf.keras.backend.clear_session()
    return faults


def _endless(job: Job) -> Job:
    settings = {
        **job.settings,
        "training.epochs": _ENDLESS,
        "training.early_stopping": None,
        "training.learning_rate": _RATE,
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    return replace(job, settings=settings)


def _measure(number: int, jobs: Jobs, programs: Programs, seconds: float) -> Measured:
    """Train a population, or by `fit` where that is how it would be trained."""
    watch = _Watch(seconds)
    first = jobs[0][1]
    built = 0.0
    try:
        if first.settings["training.engine"] == KERAS:
            raise NotStackableError(KERAS)
        population = Population(first, programs)
        population.admit(jobs, lambda _: watch.reason)
        built = watch.seconds
        while len(population):
            # The epoch after the last one that counts also ends the trials.
            population.advance()
            watch.note_epoch()
    except NotStackableError:
        jobs = jobs[:1]
        watch = _Watch(seconds)

        def on_epoch(epoch: int, score: float) -> str:
            del epoch, score
            watch.note_epoch()
            return watch.reason

        fit(first, on_epoch)
        watch.note_epoch()
    except (ValueError, TypeError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        return Measured(number, len(jobs), fault=str(error) or type(error).__name__)
    weights, rest = _files_of([job.folder for _, job in jobs])
    return Measured(
        number,
        len(jobs),
        built,
        max(watch.laps[0] - watch.epoch_s - built, 0.0),
        watch.epoch_s,
        max(watch.laps[-1] - watch.epoch_s, 0.0) / len(jobs),
        most_memory(),
        weights // len(jobs),
        rest // len(jobs),
    )


class _Watch:
    """Times epochs, and says when there are enough."""

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self._began = self._last = time.monotonic()
        self.laps: list[float] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def reason(self) -> str:
        """Why the epoch under way is the last one; nothing while more are wanted."""
        is_enough = len(self.laps) >= _FEWEST_EPOCHS and sum(self.laps[1:]) >= self._limit
        return _ENOUGH if is_enough else ""

    @property
    def epoch_s(self) -> float:
        """The usual epoch, without the first, which is traced, and the last, which writes files."""
        return median(self.laps[1:-1])

    def note_epoch(self) -> None:
        now = time.monotonic()
        self.laps.append(now - self._last)
        self._last = now


def _files_of(folders: Sequence[Path]) -> tuple[int, int]:
    """Return the bytes of weights and of predictions."""
    sizes = [0, 0]
    for folder in folders:
        for place, pattern in enumerate(("weights*", "predictions*")):
            sizes[place] += sum(path.stat().st_size for path in folder.glob(pattern))
    return sizes[0], sizes[1]
