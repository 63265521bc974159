"""What a training worker does all day: takes trials of one structure at a time and trains them side by side.

Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from hptune.training.devices import configure_runtime
from hptune.training.fitting import ENGINE as KERAS
from hptune.training.fitting import fit, infeasible
from hptune.training.job import Fitted, Job
from hptune.training.population import ENGINE as POPULATION
from hptune.training.population import Population, Programs
from hptune.training.stacking import NotStackableError
from hptune.training.workers import Mailbox, remove_generated_files
from hptune.trial import Key, Outcome

Jobs = Sequence[tuple[Key, Job]]


def serve(mailbox: Mailbox, worker: int) -> None:
    """Train what is asked for, until the parent ends this process, as the worker of a number.

    It sends `epochs` (trial, epoch, score for each slot), `ended` (trial, how it went, most memory used in bytes), and
    `crowded` (trials) where they do not fit into memory side by side.
    """
    configure_runtime(worker)
    programs = Programs()
    population: Population | None = None
    while True:
        jobs = mailbox.next_jobs(wait=True)
        if population is None or not population.suits(jobs[0][1]):
            population = _populate(mailbox, jobs, programs)
        if population is not None and not _train(mailbox, jobs, population):
            population = None


def _populate(mailbox: Mailbox, jobs: Jobs, programs: Programs) -> Population | None:
    """Make a population for trials of one structure; None where they have been dealt with in another way."""
    first = jobs[0][1]
    if first.settings["training.engine"] == KERAS:
        _train_one_by_one(mailbox, jobs)
        return None
    try:
        return Population(first, programs)
    except NotStackableError:
        _train_one_by_one(mailbox, jobs)
    except (ValueError, TypeError) as error:
        _end_all(mailbox, jobs, infeasible(error, POPULATION))
    except (MemoryError, tf.errors.ResourceExhaustedError):
        _make_room(mailbox, [trial for trial, _ in jobs])
    return None


def _train(mailbox: Mailbox, jobs: Jobs, population: Population) -> bool:
    """Train trials until none is left; tell whether the population can go on with more of them."""
    under_way = {trial for trial, _ in jobs}
    try:
        population.admit(jobs, mailbox.reason_to_end)
        while under_way:
            ended = population.advance()
            mailbox.send("epochs", population.last_epochs)
            for trial, fitted in ended:
                under_way.discard(trial)
                _end(mailbox, trial, fitted)
            # Where none is left, what comes next may be of another structure.
            if under_way and (jobs := mailbox.next_jobs(wait=False)):
                under_way.update(trial for trial, _ in jobs)
                population.admit(jobs, mailbox.reason_to_end)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        _make_room(mailbox, sorted(under_way))
        return False
    return True


def _train_one_by_one(mailbox: Mailbox, jobs: Jobs) -> None:
    for trial, job in jobs:

        def on_epoch(epoch: int, score: float, trial: Key = trial) -> str:
            mailbox.send("epochs", [(trial, epoch, score)])
            return mailbox.reason_to_end(trial)

        fitted = fit(job, on_epoch)
        remove_generated_files()
        _end(mailbox, trial, fitted)


def _end_all(mailbox: Mailbox, jobs: Jobs, fitted: Fitted) -> None:
    for trial, _ in jobs:
        _end(mailbox, trial, fitted)


def _make_room(mailbox: Mailbox, trials: Sequence[Key]) -> None:
    """Ask for fewer trials at a time; a trial that does not fit alone is out of memory."""
    if len(trials) > 1:
        mailbox.send("crowded", list(trials))
    else:
        message = "network and mini-batch do not fit into memory"
        _end(mailbox, trials[0], Fitted(Outcome.OUT_OF_MEMORY, POPULATION, message=message))


def _end(mailbox: Mailbox, trial: Key, fitted: Fitted) -> None:
    mailbox.send("ended", (trial, fitted, most_memory()))


def most_memory() -> int:
    """Return the most bytes that this process has had in memory."""
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak << 10)
