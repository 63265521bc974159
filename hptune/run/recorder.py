"""The writer of a run: what the tuner decides and the trainer achieves becomes durable here."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptune.leaderboard import rank
from hptune.objective import Objective
from hptune.parts import CONFIRMATION
from hptune.run.folder import PREDICTIONS, STATE, WEIGHTS, RunFolder, beyond_limits
from hptune.run.journal import Journal
from hptune.run.log import LOGGER
from hptune.run.records import History, encode_proposal, encode_trial, take_state
from hptune.trial import Key, Outcome, Proposal, StoredFile, Trial

# Looking through all kept files after each trial would cost time that grows with the square of the trials.
_TRIALS_BETWEEN_CLEARINGS = 20
# What a library says may be of any length; the journal is read whole.
_LONGEST_MESSAGE = 4000


class RunRecorder:
    """Writes records and keeps the folder within its limits; the `Recorder` of the tuner."""

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        history: History,
        objective: Objective,
        keep: Mapping[str, int],
        epochs: Callable[[Proposal], int],
        active: Callable[[], float],
    ) -> None:
        """Set up.

        Args:
            folder: Where the files lie.
            journal: Open for writing.
            history: What the journal held when it was opened.
            objective: By which trials are ranked.
            keep: `keep` (trials), `weights_mb` and `predictions_mb`, as in `output` of the experiment.
            epochs: The epoch at which a proposal ends at the latest.
            active: Seconds that the search has worked in all its sessions.
        """
        self._folder = folder
        self._journal = journal
        self._objective = objective
        self._keep = keep
        self._epochs = epochs
        self._active = active
        wholes = {trial.proposal.key: trial for trial in history.ends.values()}
        self._states: dict[Key, Trial] = {**wholes, **history.parts}
        self.pauses: dict[Key, Trial] = dict(history.pauses)
        self._ended_since_clearing = 0
        self._deleted: set[str] = set()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The last end of every trial so far."""
        return tuple(trial for trial in self._states.values() if not trial.proposal.part)

    def propose(self, proposal: Proposal) -> None:
        """Record a proposal."""
        self._journal.append("propose", **encode_proposal(proposal))

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        """Record that an attempt begins, in an empty folder."""
        first_epoch = self.first_epoch(proposal.key)
        self._folder.begin_attempt(proposal.trial, first_epoch, proposal.part)
        self._append(
            "start",
            trial=proposal.trial,
            part=proposal.part,
            attempt=attempt,
            first_epoch=first_epoch,
            last_epoch=proposal.until or self._epochs(proposal),
            worker=worker,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def first_epoch(self, key: Key) -> int:
        """Return the epoch with which the next attempt begins: after the last pause, else the first."""
        return self.pauses[key].epochs + 1 if key in self.pauses else 1

    def pause(self, trial: Trial) -> None:
        """Record how far a trial came; its files are on the disk already."""
        self._append("pause", **encode_trial(trial))
        self._take(trial)

    def end(self, trial: Trial) -> None:
        """Record how an attempt ended; its files are on the disk already."""
        # Parts that wait for another attempt at their trial's crashed one go on from their states.
        needless: tuple[str, ...] = () if trial.outcome.may_be_tried_again else (STATE,)
        if trial.proposal.part.startswith(CONFIRMATION):
            # A candidate that is trained again is only judged: nobody will build a model of it.
            needless = (STATE, WEIGHTS)
        files = tuple(file for file in trial.files if Path(file.name).name not in needless)
        needed = {file.name for file in files}
        message = trial.message
        if len(message) > _LONGEST_MESSAGE:
            LOGGER.warning("trial %d %s: %s", trial.number, trial.outcome.value, message)
            message = (
                f"{message[:_LONGEST_MESSAGE]}... and {len(message) - _LONGEST_MESSAGE} more characters, see the log"
            )
        left = [file.name for file in trial.files if file.name not in needed]
        trial = dataclasses.replace(trial, files=files, message=message)
        self._append("end", **encode_trial(trial))
        self._take(trial)
        self._folder.delete(left)
        self._ended_since_clearing += 1
        if self._ended_since_clearing >= _TRIALS_BETWEEN_CLEARINGS:
            self.clear()

    def _take(self, trial: Trial) -> None:
        """Let a trial's last state be this one, and delete the files that only the one before has named."""
        before = self._named(trial)
        take_state(self._states, self.pauses, trial)
        # The whole trial names the files of its parts until it has come as far as they have.
        if not trial.proposal.part:
            self._folder.delete(before - self._named(trial))

    def _named(self, trial: Trial) -> set[str]:
        """Name the files that a trial has on record."""
        key = trial.proposal.key
        states = (known[key] for known in (self._states, self.pauses) if key in known)
        return {file.name for state in states for file in state.files}

    def _append(self, kind: str, **fields: Any) -> None:
        self._journal.append(kind, **fields, active=round(self._active(), 3))

    def clear(self) -> None:
        """Delete the weights and predictions that need not be kept."""
        self._ended_since_clearing = 0
        # A paused trial keeps its files: it may go on.
        ended = (trial for trial in self.trials if trial.outcome is not Outcome.PAUSED)
        scored = (trial for trial in ended if trial.score is not None)
        limits = {WEIGHTS: self._keep["weights_mb"] << 20, PREDICTIONS: self._keep["predictions_mb"] << 20}
        ranked = rank(scored, self._objective, ()).trials
        names = set(beyond_limits(ranked, limits, self._keep["keep"])) - self._deleted
        self._folder.delete(names)
        self._deleted |= names

    def look_at_test(self, who: str, trial: int, artifact: StoredFile) -> None:
        """Record that the test rows were scored, with the model that was scored."""
        self._journal.append("test_look", who=who, trial=trial, artifact=asdict(artifact))

    def stop(self, reason: str, through: int | None) -> None:
        """Record why the search ended, and the last trial that counts where not all do."""
        self._append("stop", reason=reason, through=through)
