"""Whole searches on the disk whose trials are squared numbers: everything but training is real.

The session, the strategies, the journal, the run folder and the command line are hptune's; only who trains and who
builds the best model stand in, so that a search takes a twentieth of a second.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import hptune.session
import hptune.training.crew
import hptune.training.workers
import hptune.workshop
from hptune.confirmation import Choice
from hptune.errors import StorageError
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.interruption import Interruption
from hptune.leaderboard import Leaderboard
from hptune.materials import Materials
from hptune.run.files import describe_file, make_folder, write_file, write_text
from hptune.run.folder import CURVE, PREDICTIONS, STATE, WEIGHTS, RunFolder
from hptune.session import Session
from hptune.strategies import AnyStrategy, Task, create_strategy
from hptune.training.crew import Crew
from hptune.trial import Key, Outcome, Proposal, Trial, derive_seed
from hptune.tuner import Silence

TABLE = "x,group,y\n" + "".join(f"{n % 7},{'ab'[n % 2]},{'no' if n % 3 else 'yes'}\n" for n in range(30))
CEILING = 9
STRATEGIES = {
    "random": "strategy: {name: random, seed: 3}\nbudget: {max_trials: 5}\n",
    "grid": "strategy: {name: grid, points: 2}\nbudget: {max_trials: 8}\n",
    "bayesian": "strategy: {name: bayesian, num_initial_points: 3, batch: 2, seed: 3}\nbudget: {max_trials: 7}\n",
    "hyperband": "strategy: {name: hyperband, factor: 3, hyperband_iterations: 1, seed: 3}\nbudget: {max_trials: 14}\n",
    "folds": "strategy: {name: hyperband, factor: 3, hyperband_iterations: 1, seed: 3}\nbudget: {max_trials: 14}\n"
    "evaluation: {folds: 2, confirm: {top: 2, seeds: 2}}\n",
}
_MODEL = {
    "grid": "model: {units: [16, 32], dropout: {min: 0.0, max: 0.5}}\n",
}
_ANY_MODEL = "model: {units: [16, 32, 64], dropout: {min: 0.0, max: 0.5}, blocks: {min: 1, max: 3}}\n"


def write_experiment(folder: Path, strategy: str = "random", *, name: str = "x", extra: str = "") -> Path:
    """Write a table and an experiment beside it."""
    (folder / "table.csv").write_text(TABLE)
    config = folder / "x.yaml"
    config.write_text(
        f"name: {name}\ndata: {{source: table.csv, target: y}}\nobjective: {{metric: accuracy, direction: max}}\n"
        + STRATEGIES[strategy]
        + _MODEL.get(strategy, _ANY_MODEL)
        + f"training: {{epochs: {CEILING}, learning_rate: {{min: 1e-4, max: 1e-1, log: true}}}}\n".replace(
            ", learning_rate: {min: 1e-4, max: 1e-1, log: true}" if strategy == "grid" else "\0", ""
        )
        + extra
    )
    return config


def score_of(proposal: Proposal) -> float:
    """A score that depends on values and epochs alone, with ties."""
    text = json.dumps(dict(proposal.values), sort_keys=True) + proposal.part
    return (derive_seed("score", text) % 10) ** 2 / 100 + (proposal.until or 0) / 1000


Ending = Callable[[Proposal, int], Outcome]


def all_complete(proposal: Proposal, attempt: int) -> Outcome:
    return Outcome.COMPLETED


@dataclass
class SquaringTrainer:
    """Holds as many trials as there are slots and ends them, oldest first; the `Trainer` of the tuner.

    Attributes:
        folder: Of the run.
        is_stopping: As the worker's trainer has it.
        slots: Trials under way at a time.
        ending: How the nth beginning of a trial in this process ends.
    """

    folder: RunFolder
    is_stopping: Callable[[], bool]
    slots: int = 1
    ending: Ending = all_complete
    begun: dict[Key, int] = field(default_factory=dict)

    def __enter__(self) -> SquaringTrainer:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def train(self, proposals: Iterable[Proposal], starting: Callable[[Proposal, int], bool]) -> Iterator[Trial]:
        source, running = iter(proposals), []
        while not self.is_stopping():
            while len(running) < self.slots and (proposal := next(source, None)) is not None:
                if not starting(proposal, len(running)):
                    continue
                self.begun[proposal.key] = self.begun.get(proposal.key, 0) + 1
                running.append(proposal)
            if not running:
                return
            yield self._end(running.pop(0))
        for proposal in running:
            yield Trial(proposal, Outcome.INTERRUPTED, message="stopped by a signal")

    def _end(self, proposal: Proposal) -> Trial:
        outcome = self.ending(proposal, self.begun[proposal.key])
        if outcome is Outcome.COMPLETED and proposal.until is not None and proposal.until < CEILING:
            outcome = Outcome.PAUSED
        if outcome not in (Outcome.COMPLETED, Outcome.PAUSED):
            return Trial(proposal, outcome, message="as told")
        score, epochs = score_of(proposal), proposal.until or CEILING
        metrics = {"accuracy": score, "train_accuracy": 1.0}
        files = self._write(proposal, score, epochs, with_state=outcome is Outcome.PAUSED)
        facts = {"score": score, "metrics": metrics, "best_epoch": 1, "epochs": epochs, "weights": 3}
        return Trial(proposal, outcome, engine="stand-in", files=files, **facts)

    def _write(self, proposal: Proposal, score: float, epochs: int, *, with_state: bool) -> tuple[Any, ...]:
        # The recorder has made the folder of this attempt; what goes on after a pause has the last one.
        first = self.folder.trial(proposal.trial, part=proposal.part)
        places = [path for path in (first, *sorted(first.parent.glob(f"{first.name}-from-*"))) if path.is_dir()]
        if not places:
            raise StorageError(f"{self.folder.trial(proposal.trial)}: no such file or directory")
        place = places[-1]
        curve = {"schema": 1, "epochs": [{"epoch": n + 1, "validation_accuracy": score} for n in range(epochs)]}
        words = f"of trial {proposal.trial}{proposal.part} with {score}"
        contents = {WEIGHTS: f"weights {words}", PREDICTIONS: f"predictions {words}", CURVE: json.dumps(curve)}
        if with_state:
            contents[STATE] = f"state {words}"
        for name, text in contents.items():
            write_text(place / name, text)
        return tuple(describe_file(place / name, self.folder.relative(place / name)) for name in contents)


def deliver(workshop: Any, choice: Any) -> None:
    """Write a best model that is no model, in the order in which the real one is written."""
    folder: RunFolder = workshop.materials.folder
    winner: Trial = choice.winner
    make_folder(folder.best)
    model = folder.best / "model.keras"
    write_file(model, lambda stream: stream.write(f"model of trial {winner.number}".encode()))
    workshop.recorder.look_at_test("search", winner.number, describe_file(model, folder.relative(model)))
    write_text(folder.best / "hyperparameters.yaml", json.dumps(dict(winner.proposal.values)) + "\n")
    scores = {"accuracy": winner.score}
    verdict = {"schema": 1, "trial": winner.number, "validation": scores, "test": scores, "baselines": {}}
    verdict["rows"] = {"train": 18, "validation": 6, "test": 6}
    write_text(folder.best / "metrics.json", json.dumps(verdict) + "\n")


def choose(materials: Any, board: Leaderboard, history: Any) -> Choice:
    """Choose by what was confirmed alone; how far predictions scatter is not asked."""

    def rank(trial: Trial) -> tuple[float, int]:
        found = board.confirmed.get(trial.number)
        score = trial.score if found is None else found.score
        return -(score or 0), trial.number

    candidates = [trial for trial in board.scored if trial.number in board.confirmed] or board.scored[:1]
    return Choice(min(candidates, key=rank), (), bool(board.confirmed), "")


def keep_apart(materials: Any, whole: Trial, parts: Any, before: Any) -> Trial:
    """Leave the predictions of parts as they are: words."""
    return whole


class NoProcesses:
    """In place of the fork server of workers, which would import TensorFlow."""

    def __init__(self, interruption: Interruption) -> None: ...
    def __enter__(self) -> NoProcesses:
        return self

    def __exit__(self, *exception: object) -> None: ...


def open_strategy_here(name: str, task: Task, *given: Any) -> AbstractContextManager[AnyStrategy]:
    """Make a strategy in this process."""
    return nullcontext(create_strategy(name, task))


@contextmanager
def installed(slots: int = 1, ending: Ending = all_complete) -> Iterator[None]:
    """Let the stand-ins take the places of who trains and who builds the best model."""

    class Standing(Session):
        def search(self, *given: Any) -> Any:
            def make(*unused: Any, **named: Any) -> SquaringTrainer:
                return SquaringTrainer(self._folder, self._interruption.is_requested, slots, ending)

            with mock.patch.object(hptune.workshop, "WorkerTrainer", make):
                return super().search(*given)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(hptune.session, "Session", Standing))
        stack.enter_context(mock.patch.object(hptune.session, "deliver", deliver))
        stack.enter_context(mock.patch.object(hptune.session, "choose", choose))
        stack.enter_context(mock.patch.object(Materials, "join_predictions", keep_apart))
        # It reads predictions, and those of the stand-in are words.
        stack.enter_context(mock.patch.object(hptune.session, "write_insight", return_value=None))
        stack.enter_context(mock.patch.object(hptune.training.workers, "WarmProcesses", NoProcesses))
        crew = Crew(slots, 1 << 30)
        stack.enter_context(mock.patch.object(hptune.training.crew, "gather_crew", return_value=crew))
        # There is nobody of whom a process could be had.
        stack.enter_context(mock.patch.object(hptune.session, "open_strategy", open_strategy_here))
        yield


@dataclass
class Announcements(Silence):
    """An observer that writes down, outside the run folder, every trial that it is shown as finished."""

    path: Path

    def finished(self, trial: Trial) -> None:
        if trial.outcome not in (Outcome.INTERRUPTED, Outcome.PAUSED):
            with self.path.open("a") as stream:
                stream.write(json.dumps([trial.number, trial.outcome.value, trial.score]) + "\n")


@dataclass(frozen=True)
class Bench:
    """A folder with an experiment, in which searches of this process run.

    Attributes:
        folder: Holds table, experiment, runs and what was announced.
        ground: Of the experiment.
        ending: How trials end.
        slots: Trials under way at a time.
    """

    folder: Path
    ground: Groundwork
    ending: Ending = all_complete
    slots: int = 1

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder / "runs" / "x")

    @property
    def announced(self) -> Path:
        return self.folder.with_suffix(".announced")

    def search(self) -> None:
        """Begin a search, or go on with it."""

        def observe(*given: Any) -> AbstractContextManager[Announcements]:
            return nullcontext(Announcements(self.announced))

        with installed(self.slots, self.ending):
            session = hptune.session.Session(self.ground, self.run, Crew(self.slots, 1 << 30), Interruption())
            session.search(None, observe)


def make_bench(folder: Path, strategy: str = "random", **options: Any) -> Bench:
    """Write an experiment and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    return Bench(folder, lay_groundwork(write_experiment(folder, strategy)), **options)


def command_line(words: Sequence[str], folder: str, output: str, options: dict[str, Any]) -> None:
    """Run hptune's command line with the stand-ins, in a process of its own; never returns.

    Args:
        words: The arguments.
        folder: The current folder.
        output: A file for everything printed.
        options: `slots`, `ending`; `user` to be; `prepare`, called first.
    """
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    options = dict(options)
    prepare = options.pop("prepare", None)
    if prepare is not None:
        prepare()
    # The template's own streams are those of the nursery.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    sys.argv = ["hptune", *words]
    from hptune.cli import main

    with installed(**options):
        main()
