"""What `hptune plan` tells: wall time, memory and disk of a search, from its own proposals and a few seconds of work.

The proposals are those that the search will train where they depend on nothing but the seed. They are sorted as the
dispatcher would sort them; the smallest and the largest network and as many structures as there is time for are trained
for a moment in as many processes as the search would have; the rest is interpolated and replayed.
"""

from __future__ import annotations

import itertools
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hptune.corners import find_corners, weights_of
from hptune.errors import NoTrialCompletedError
from hptune.facts import describe_brackets, describe_plan
from hptune.forecast import Costs, Sample, Size, Work, training_seconds
from hptune.groundwork import Groundwork
from hptune.interruption import Interruption
from hptune.machine import memory_of_machine
from hptune.materials import Materials, place_of
from hptune.parts import WHOLE
from hptune.proposing import open_strategy
from hptune.rehearsal import Rehearsal, rehearse
from hptune.run.folder import RunFolder
from hptune.schedule import stages
from hptune.space import Value
from hptune.strategies import Task
from hptune.training.capacity import bytes_of_a_lone_trial
from hptune.training.crew import Crew
from hptune.training.dials import is_dial
from hptune.training.job import Job
from hptune.training.queueing import Kind
from hptune.training.workers import WarmProcesses
from hptune.trial import Proposal

# By which a prediction may miss, either way; tests hold it against searches.
ERROR_FACTOR = 1.5
# Seconds in which populations are measured, and for each.
_MEASURING_S, _EACH_S = 10.0, 0.5
# Proposals that are sorted; a longer search goes on like these.
_MOST_DRAWN = 2000
_DRAWN_WITHOUT_LIMIT = 256
_NUMBER_BYTES = 4
_OUTPUT = "plan.part"


@dataclass(frozen=True)
class Wish:
    """What to plan.

    Attributes:
        ground: Experiment and data.
        overrides: With which the experiment was read.
        crew: Who would train.
        began: When the command began, by the monotonic clock.
        interruption: Asked whether to stop.
    """

    ground: Groundwork
    overrides: Sequence[str]
    crew: Crew
    began: float
    interruption: Interruption


def make_plan(wish: Wish, processes: WarmProcesses) -> dict[str, Any]:
    """Predict a search, in a scratch folder that is removed.

    Raises:
        NoTrialCompletedError: If no network that was tried can be built.
    """
    with tempfile.TemporaryDirectory(prefix="hptune-plan-") as folder:
        return _Planner(wish, processes, Path(folder)).plan()


class _Planner:
    def __init__(self, wish: Wish, processes: WarmProcesses, scratch: Path) -> None:
        self._wish = wish
        self._ground = wish.ground
        self._processes = processes
        self._scratch = scratch
        self._materials = Materials(wish.ground, RunFolder(scratch / "measured"))
        self._memory_bytes = wish.crew.memory_bytes
        self._numbers = itertools.count()

    def plan(self) -> dict[str, Any]:
        """Measure, and put what follows from it into one mapping."""
        ground = self._ground
        self._materials.folder.create()
        self._materials.write_arrays([WHOLE, *ground.part_names])
        corners = self._proposals(find_corners(self._materials))
        fitting, unbuildable = self._fit_into_memory(corners)
        proposals, _ = self._fit_into_memory(self._drawn)
        start_s, server_bytes, samples = self._measure([*_ends(fitting), *self._representatives(proposals)])
        unbuildable += self._try(fitting)
        if not samples or not proposals:
            raise NoTrialCompletedError(f"no network of the space can be built: {unbuildable[0]['reason']}")
        works = [self._work(proposal) for proposal in proposals]
        costs = Costs([sample for _, sample in samples])
        # The middle one is like most.
        by_size = sorted(samples, key=lambda pair: weights_of(self._materials, pair[0].values))
        place = RunFolder(self._scratch / "rehearsal")
        typical = by_size[len(by_size) // 2][0].values
        given = (place, self._processes, self._wish.crew, self._wish.interruption)
        rehearsal = rehearse(ground, self._wish.overrides, typical, *given)
        expected, most = (self._load(works, costs, is_expected=flag) for flag in (True, False))
        besides = start_s + rehearsal.end_s
        peak = max(sample.measured.memory_bytes for _, sample in samples)
        return {
            "schema": 1,
            "name": ground.experiment.name,
            "plan": describe_plan(ground),
            "schedule": [asdict(bracket) for bracket in ground.brackets],
            "brackets": describe_brackets(ground.brackets),
            "workers": self._wish.crew.workers,
            "trials": expected.trials,
            "epochs": {"expected": expected.epochs, "most": most.epochs},
            "structures": len({work.kind.structure for work in works}),
            "traces": len({work.kind.trace for work in works}),
            "error_factor": ERROR_FACTOR,
            "seconds": {
                "expected": besides + expected.seconds,
                "most": besides + most.seconds,
                "start": start_s,
                "training": expected.seconds,
                "end": rehearsal.end_s,
            },
            # The strategy's process is a fork of the server that has little of its own.
            "memory_bytes": _own_memory() + 2 * server_bytes + self._wish.crew.workers * peak,
            "disk_bytes": self._disk(works, most, [sample for _, sample in samples], rehearsal),
            "models": {"smallest": self._describe(*by_size[0]), "largest": self._describe(*by_size[-1])},
            "measured": len(samples),
            "corners": {"tried": len(corners), "unbuildable": unbuildable},
            "assumptions": self._assumptions(works),
        }

    @cached_property
    def _drawn(self) -> list[Proposal]:
        """Draw what the search will train, or what stands for it; the parts of a configuration one after the other."""
        ground = self._ground
        spec = ground.experiment.strategy
        name = "grid" if spec.name == "grid" else "random"
        task = Task(ground.space, ground.objective, spec.seed, ground.start_from, ground.strategy_options)
        with open_strategy(name, task, self._processes, self._scratch / _OUTPUT) as strategy:
            answer = strategy.ask(min(ground.planned_trials or _DRAWN_WITHOUT_LIMIT, _MOST_DRAWN))
        assert isinstance(answer, list), "no space is empty"
        return [proposal.as_part(part) for proposal in answer for part in ground.part_names]

    @property
    def _parts(self) -> int:
        """How often each configuration is trained."""
        return len(self._ground.part_names)

    def _proposals(self, configurations: Sequence[Mapping[str, Value]]) -> list[Proposal]:
        return [Proposal(number, values, seed=number + 1) for number, values in enumerate(configurations)]

    def _fit_into_memory(self, corners: Sequence[Proposal]) -> tuple[list[Proposal], list[dict[str, Any]]]:
        """Set aside the corners whose weights alone are more than the machine has memory for."""
        memory = memory_of_machine()
        fitting, beyond = [], []
        for corner in corners:
            settings = self._ground.space.resolve(corner.values)
            wanted = bytes_of_a_lone_trial(settings, self._materials.extent(settings))
            if wanted <= memory:
                fitting.append(corner)
            else:
                reason = f"training takes about {wanted / 2**30:.0f} GiB, the machine has {memory / 2**30:.0f} GiB"
                beyond.append({"values": dict(corner.values), "reason": reason})
        return fitting, beyond

    def _try(self, corners: Sequence[Proposal]) -> list[dict[str, Any]]:
        """Build every corner, and name those that cannot be built with the reason."""
        jobs = [self._materials.job(corner) for corner in corners]
        faults = self._processes.call(try_in_worker, jobs, output=self._scratch / _OUTPUT)
        return [
            {"values": dict(corner.values), "reason": fault}
            for corner, fault in zip(corners, faults, strict=True)
            if fault
        ]

    def _representatives(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """One proposal for each structure: those of other traces first, of these the most frequent."""
        counts = Counter(self._kind(proposal).structure for proposal in proposals)
        firsts: dict[str, Proposal] = {}
        for proposal in proposals:
            firsts.setdefault(self._kind(proposal).structure, proposal)
        frequent = sorted(firsts, key=lambda structure: -counts[structure])
        seen: set[str] = set()
        ranked: list[tuple[bool, int]] = []
        for place, structure in enumerate(frequent):
            trace = self._kind(firsts[structure]).trace
            ranked.append((trace in seen, place))
            seen.add(trace)
        return [firsts[frequent[place]] for _, place in sorted(ranked)]

    def _measure(self, proposals: Sequence[Proposal]) -> tuple[float, int, list[tuple[Proposal, Sample]]]:
        """Train populations in as many processes as the search would have.

        Returns:
            Seconds until all processes were ready, bytes of a process that is, and what was measured.
        """
        workers = min(self._wish.crew.workers, len(proposals))
        tasks = [[(number, self._slots_of(proposals[number])) for number in range(worker, len(proposals), workers)]
                 for worker in range(workers)]  # fmt: skip
        given = (_MEASURING_S, _EACH_S)
        outputs = [self._scratch / f"worker-{number}.part" for number in range(workers)]
        streams = [
            self._processes.stream(measure_in_worker, number, task, *given, output=outputs[number])
            for number, task in enumerate(tasks)
        ]
        ready = [next(stream) for stream in streams]
        start_s = time.monotonic() - self._wish.began
        samples = [
            (proposals[measured.number], Sample(self._work(proposals[measured.number]), measured))
            for measured in itertools.chain.from_iterable(streams)
            if not measured.fault
        ]
        return start_s, max(ready, default=0), samples

    def _slots_of(self, proposal: Proposal) -> list[tuple[int, Any]]:
        """Return jobs for as many slots as this structure is likely to have."""
        kind = self._kind(proposal)
        count = min(kind.capacity, max(self._together[kind.structure], 1))
        seated = [replace(proposal, trial=next(self._numbers), seed=seed + 1) for seed in range(count)]
        return [(slot.trial, replace(self._materials.job(slot), until=None)) for slot in seated]

    @cached_property
    def _together(self) -> Counter[str]:
        """How many of each structure there are."""
        return Counter(self._kind(proposal).structure for proposal in self._drawn)

    def _kind(self, proposal: Proposal) -> Kind:
        return self._materials.kind(proposal, self._memory_bytes)

    def _work(self, proposal: Proposal) -> Work:
        settings = self._ground.space.resolve(proposal.values)
        extent = self._materials.extent(settings, place_of(proposal.part))
        size = Size(
            layers=settings["model.blocks"] + 1,
            weights=weights_of(self._materials, proposal.values),
            batch=settings["training.batch_size"],
            rows=(extent.trained, extent.scored),
        )
        rule = settings["training.early_stopping"]
        return Work(self._kind(proposal), size, settings["training.epochs"], None if rule is None else rule["patience"])

    def _load(self, works: Sequence[Work], costs: Costs, *, is_expected: bool) -> _Load:
        """Replay the search with all epochs, or with those that are expected."""
        rounds = [[work.expected() if is_expected else work for work in round_] for round_ in self._rounds(works)]
        seconds = training_seconds(rounds, self._wish.crew.workers, costs)
        epochs = sum(work.epochs for round_ in rounds for work in round_)
        limit = self._ground.experiment.budget.max_seconds
        planned = self._ground.planned_trials
        configurations = len(works) / self._parts
        scale = planned / configurations if planned is not None else (limit or seconds) / seconds
        if limit is not None:
            scale = min(scale, limit / seconds)
        return _Load(seconds * scale, round(epochs * scale), round(configurations * scale))

    def _rounds(self, works: Sequence[Work]) -> list[list[Work]]:
        """Say which trials may be trained in any order: all of them, or a stage or a batch at a time."""
        ground = self._ground
        rounds: list[list[Work]] = []
        if ground.brackets:
            firsts = [0, *itertools.accumulate(bracket.configurations for bracket in ground.brackets)]
            for stage in stages(ground.brackets):
                rounds.append([])
                for place, rung in stage:
                    epochs = rung.last_epoch - rung.first_epoch + 1
                    chosen = works[firsts[place] * self._parts : (firsts[place] + rung.configurations) * self._parts]
                    rounds[-1] += [replace(work, epochs=epochs) for work in chosen]
            return rounds
        options = ground.strategy_options
        if "batch" not in options:
            return [list(works)]
        from hptune.strategies.bayesian import batch_starts, count_initial_points  # imports keras_tuner

        initial = count_initial_points(ground.space, options["num_initial_points"])
        starts = batch_starts(len(works) // self._parts, initial, options["batch"])
        firsts = [*(start * self._parts for start in starts), len(works)]
        return [list(works[first:last]) for first, last in itertools.pairwise(firsts)]

    def _disk(self, works: Sequence[Work], load: _Load, samples: Sequence[Sample], rehearsal: Rehearsal) -> int:
        """Predict the run folder at its end, kept files within the limits of `output`."""
        output = self._ground.experiment.output
        trials = load.trials
        besides = [sample.measured.weights_bytes - _NUMBER_BYTES * sample.work.size.weights for sample in samples]
        mean = sum(_NUMBER_BYTES * work.size.weights for work in works) / len(works) + sum(besides) / len(besides)
        predictions = max(sample.measured.predictions_bytes for sample in samples)
        weights = min(min(trials, output.keep) * self._parts * mean, output.weights_mb << 20)
        kept = weights + min(trials * predictions, output.predictions_mb << 20)
        records = trials * rehearsal.trial_bytes + load.epochs * rehearsal.epoch_bytes
        return round(rehearsal.folder_bytes + kept + records)

    def _describe(self, proposal: Proposal, sample: Sample) -> dict[str, Any]:
        measured, size = sample.measured, sample.work.size
        return {
            "values": {name: value for name, value in proposal.values.items() if not is_dial(name)},
            "weights": size.weights,
            "slots": measured.slots,
            "steps": -(-size.rows[0] // size.batch),
            "epoch_seconds": measured.epoch_s,
            "first_seconds": measured.build_s + measured.trace_s,
            "memory_bytes": measured.memory_bytes,
        }

    def _assumptions(self, works: Sequence[Work]) -> list[str]:
        """Say what was taken for granted."""
        found = []
        strategy, budget = self._ground.experiment.strategy.name, self._ground.experiment.budget
        if any(work.patience is not None for work in works):
            found.append("a trial with early stopping ends two thirds of the way from its patience to all its epochs")
        if strategy in ("bayesian", "hyperband"):
            found.append(f"{strategy} proposes like random draws; the time in which it proposes is not counted")
        if budget.target is not None or budget.max_failures is not None:
            found.append("neither the target nor the limit of failures ends the search")
        found.append("nothing else works on this machine, and no trial has to be tried again")
        return found


@dataclass(frozen=True)
class _Load:
    """What training comes to."""

    seconds: float
    epochs: int
    trials: int


def _ends(corners: Sequence[Proposal]) -> list[Proposal]:
    return [*corners[:1], *corners[1:][-1:]]


def _own_memory() -> int:
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak << 10)


def measure_in_worker(*given: Any) -> Iterator[Any]:
    """Measure populations; what a worker runs."""
    from hptune.training.measuring import measure  # TensorFlow is imported in the worker only

    return measure(*given)


def try_in_worker(jobs: Sequence[Job]) -> list[str]:
    """Build networks; what a worker runs."""
    from hptune.training.measuring import try_to_build

    return try_to_build(jobs)
