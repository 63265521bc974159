"""One search, from the groundwork to a finished run folder; begun, or gone on with where an earlier session ended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hptune.adoption import complete_adoption, describe_adoption, find_changes
from hptune.budget import Budget
from hptune.changes import describe_changes
from hptune.clock import Clock
from hptune.confirmation import choose, plan_confirmation
from hptune.diagnosis import write_insight
from hptune.environment import describe_environment, describe_processor, describe_versions
from hptune.errors import ChangedError, HptuneError, NoTrialCompletedError
from hptune.facts import describe_brackets, describe_plan
from hptune.groundwork import Groundwork
from hptune.interruption import Interruption
from hptune.leaderboard import table_to_csv
from hptune.materials import Materials
from hptune.parts import Parts
from hptune.proposing import open_strategy
from hptune.reporting.summary import Summary, history_table, leaderboard_of, parts_table, summarize
from hptune.reporting.words import describe_failures
from hptune.run.files import holds_text, remove_folder, write_file, write_text
from hptune.run.filesystem import warn_of_sharing
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.journal import FORMAT, Journal, open_journal
from hptune.run.log import LOGGER, log_to
from hptune.run.recorder import RunRecorder
from hptune.run.records import History, replay
from hptune.strategies import Task
from hptune.training.crew import Crew
from hptune.training.workers import WarmProcesses
from hptune.tuner import INTERRUPTED, MakeObserver, Past, Plan, Tuner
from hptune.winner import deliver
from hptune.workshop import Workshop

_STRATEGY_OUTPUT = "strategy.part"


class Session:
    """One process working on one run."""

    def __init__(
        self,
        ground: Groundwork,
        folder: RunFolder,
        crew: Crew,
        interruption: Interruption,
        adopted: Mapping[str, Any] | None = None,
    ) -> None:
        """Set up.

        Args:
            ground: Experiment and data.
            folder: Of the run; made where it does not exist.
            crew: Who trains.
            interruption: Asked between trials, epochs and steps whether to stop.
            adopted: Trials that a run which begins now takes over from another one, as `step_aside` chose them.
        """
        self._ground = ground
        self._folder = folder
        self._crew = crew
        self._interruption = interruption
        self._adopted = adopted
        self._materials = Materials(ground, folder)
        # What the user should know of earlier sessions.
        self._notes: list[str] = []
        budget = ground.experiment.budget
        # Hyperband's plan keeps to the number of trials by itself.
        max_trials = None if ground.brackets else budget.max_trials
        self.budget = Budget(max_trials, budget.max_attempts, budget.target, budget.max_failures)

    def search(self, processes: WarmProcesses, observe: MakeObserver) -> Summary:
        """Train until the budget is used, then deliver the best model.

        Args:
            processes: Where workers come from.
            observe: Makes what watches.

        Raises:
            ChangedError: If the run began with another experiment or other data.
            RunInUseError: If another process works on the run.
            NoTrialCompletedError: If every trial failed.
            InterruptedSearchError: If a signal asked to stop; everything finished is on record.
        """
        is_new = not self._folder.path.exists()
        self._folder.create()
        with log_to(self._folder.log), open_journal(self._folder.journal) as (journal, contents):
            history = replay(contents.records, self._folder.journal)
            if history.header:
                self._refuse_changes(history)
            else:
                self._begin(journal)
                history = self._folder.read()
                if not is_new:
                    self._notes.append("an earlier session ended before it had recorded anything; the run begins anew")
            if complete_adoption(self._folder, journal, history, self._ground):
                history = self._folder.read()
            clock = Clock(history.active, self._ground.experiment.budget.max_seconds)
            recorder = self._recorder(journal, history, clock)
            if (warning := warn_of_sharing(self._folder.path)) is not None:
                self._notes.append(warning)
            if contents.torn_bytes:
                self._notes.append(f"cut {contents.torn_bytes} bytes of a record that was never finished")
            self._folder.collect_garbage(history)
            workshop = Workshop(self._materials, recorder, processes, self._crew, self._interruption)
            if not self._is_finished(history):
                self._train(history, workshop, clock, observe)
            # Also where a session was killed after its last record.
            self._write_tables()
            self._confirm(workshop, observe)
            self._deliver(workshop)
            remove_folder(self._folder.arrays)
        return summarize(self._folder)

    def _recorder(self, journal: Journal, history: History, clock: Clock) -> RunRecorder:
        return RunRecorder(
            self._folder,
            journal,
            history,
            self._ground.objective,
            keep=self._ground.experiment.output.model_dump(include={"keep", "weights_mb", "predictions_mb"}),
            epochs=lambda proposal: int(self._ground.space.resolve(proposal.values)["training.epochs"]),
            active=clock.active,
        )

    def _begin(self, journal: Journal) -> None:
        """Write what the run is, the header last: a run without header has not begun."""
        ground, path = self._ground, self._folder.path
        write_file(path / "experiment.yaml", lambda stream: stream.write(ground.loaded.content))
        write_text(path / "resolved.yaml", ground.experiment.to_yaml())
        versions = describe_versions()
        data = [asdict(file) for file in ground.dataset.files]
        seed = ground.experiment.strategy.seed
        environment = {**describe_environment(), "seed": seed, "data": data}
        write_text(path / "environment.json", json.dumps(environment, indent=1) + "\n")
        journal.append(
            "header",
            format=FORMAT,
            run=uuid.uuid4().hex,
            experiment_sha256=ground.identity_sha256,
            experiment=ground.identity,
            data=data,
            folder=str(ground.loaded.path.parent.absolute()),
            versions=versions,
            processor=describe_processor(),
            seed=seed,
            engine=ground.space.constants["training.engine"],
            task=ground.dataset.task,
            objective=asdict(ground.objective),
            dimensions=[dimension.name for dimension in ground.space.dimensions],
            adopted=self._adopted,
        )

    def _refuse_changes(self, history: History) -> None:
        changes = find_changes(history, self._ground)
        if changes:
            cure = (
                "undo the change, begin another run with --run NAME, move this one aside with --fresh, or go on "
                "with --accept-changes and keep the trials that are still valid"
            )
            if any(change.startswith("budget.max_trials:") for change in changes):
                cure = f"hyperband cannot be extended, its brackets are fixed when a run begins; {cure}"
            raise ChangedError(
                f"run {self._folder.name} began with another experiment or other data:\n  " + "\n  ".join(changes), cure
            )

    def _note_other_ground(self, history: History) -> None:
        """Say where equality with an undisturbed search can no longer be promised."""
        header = history.header
        if not header:
            return
        changes = describe_changes(header["versions"], describe_versions())
        # Runs of older versions did not say.
        changes += describe_changes({"processor": header.get("processor")}, {"processor": describe_processor()})
        if changes:
            self._notes.append(
                f"the run began on other ground, so its results may differ from an undisturbed search's: "
                f"{'; '.join(changes)}"
            )

    def _is_finished(self, history: History) -> bool:
        """Tell whether nothing is left to train; a larger budget extends a run."""
        if history.stop is None or history.stop["reason"] == INTERRUPTED:
            return False
        limit = self._ground.experiment.budget.max_seconds
        if limit is not None and history.active >= limit:
            return True
        trials = (trial for _, trial in sorted(history.ends.items()))
        if self.budget.find_end(trials, self._ground.objective) is not None:
            return True
        done = history.finished(self.budget.max_attempts)
        if len(done) < len(history.proposals):
            return False
        is_exhausted = history.stop["reason"].startswith(("space exhausted", "schedule complete"))
        return is_exhausted or (self.budget.max_trials is not None and len(done) >= self.budget.max_trials)

    def _train(
        self,
        history: History,
        workshop: Workshop,
        clock: Clock,
        observe: MakeObserver,
    ) -> None:
        ground, recorder = self._ground, workshop.recorder
        LOGGER.info("search with %d workers, %d trials on record", self._crew.workers, len(history.ends))
        self._note_other_ground(history)
        for note in self._notes:
            LOGGER.warning("%s", note)
        spec = ground.experiment.strategy
        task = Task(
            ground.space, ground.objective, spec.seed, ground.start_from, ground.strategy_options, ground.brackets
        )
        finished = history.finished(self.budget.max_attempts)
        past = Past(
            tuple(history.proposals.values()),
            history.told(self.budget.max_attempts),
            frozenset(finished),
            tuple(history.tries.items()),
        )
        is_stopping = self._interruption.is_requested
        materials, max_attempts = self._materials, self.budget.max_attempts
        parts = Parts(
            ground.part_names,
            history.settled(max_attempts),
            lambda whole, trained: materials.join_predictions(whole, trained, recorder.pauses.get(whole.proposal.key)),
        )
        plan = Plan(
            "\n".join(
                [
                    *self._notes,
                    *describe_adoption(history.header),
                    describe_plan(ground),
                    *describe_brackets(ground.brackets),
                ]
            ),
            ground.planned_trials,
            ground.planned_epochs,
            ground.trial_epochs,
            clock.left(),
        )
        try:
            with (
                observe(ground.objective, plan, tuple(finished.values())) as observer,
                workshop.open(ground.part_names, observer, clock) as trainer,
                open_strategy(spec.name, task, workshop.processes, self._folder.path / _STRATEGY_OUTPUT) as strategy,
            ):
                tuner = Tuner(strategy, recorder, observer, ground.objective, self.budget, past, parts)
                reason = tuner.run(trainer, is_stopping, clock.is_used_up)
        except BaseException:
            # What failed first is what the user must hear of, not that the tables cannot be written either.
            with suppress(HptuneError):
                self._write_tables()
            raise
        recorder.clear()
        if reason == INTERRUPTED:
            self._write_tables()
            self._interruption.check()

    def _confirm(self, workshop: Workshop, observe: MakeObserver) -> None:
        """Train the best candidates again with fresh seeds, where that is wanted."""
        # An earlier session may have been killed before it did.
        workshop.recorder.clear()
        history = self._folder.read()
        board = leaderboard_of(history)
        kept = [trial for trial in board.scored if self._folder.holds(trial, WEIGHTS, PREDICTIONS)]
        wanted = workshop.missing(plan_confirmation(self._ground, board, history, kept), history)
        if wanted:
            words = f"the best candidates are trained again with fresh seeds: {len(wanted)} trainings"
            with observe(self._ground.objective, Plan(words), board.scored):
                workshop.train_beside(wanted, history)
            self._write_tables()

    def _write_tables(self) -> None:
        """Derive the files for people and scripts from what is on record, where they are not there yet."""
        path = self._folder.path
        history = self._folder.read()
        board = leaderboard_of(history)
        rows = [
            (trial.number, trial.attempt, round(trial.seconds, 3), trial.worker)
            for trial in sorted(board.trials, key=lambda trial: trial.number)
        ]
        texts = {
            "leaderboard.csv": board.to_csv(),
            "leaderboard.json": board.to_json(),
            "timings.csv": table_to_csv(("trial", "attempt", "seconds", "worker"), rows),
        }
        columns, parts = parts_table(history)
        if parts:
            texts["folds.csv"] = table_to_csv(columns, parts)
        # The history comes first: where the others are those of this board, it need not be made again from thousands of
        # curves.
        if (path / "history.csv").is_file() and all(holds_text(path / name, text) for name, text in texts.items()):
            return
        write_text(path / "history.csv", table_to_csv(*history_table(self._folder, board.trials)))
        for name, text in texts.items():
            write_text(path / name, text)

    def _deliver(self, workshop: Workshop) -> None:
        """Make `best/` from the winner, unless it is there already."""
        self._interruption.check()
        history = self._folder.read()
        board = leaderboard_of(history)
        if not board.scored:
            raise NoTrialCompletedError(describe_failures(board.trials))
        choice = choose(self._materials, board, history)
        verdict = summarize(self._folder).verdict or {}
        wants_refit = self._ground.experiment.evaluation.refit
        if verdict.get("trial") != choice.winner.number or verdict.get("refit", False) != wants_refit:
            deliver(workshop, choice)
        write_insight(self._materials, board, choice.winner)
