"""The writer of a run: what the tuner decides and the trainer achieves becomes durable here."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from hptune.leaderboard import rank
from hptune.objective import Objective
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder, beyond_limits
from hptune.run.journal import Journal
from hptune.run.records import History, encode_proposal, encode_trial
from hptune.trial import Outcome, Proposal, StoredFile, Trial

# Looking through all kept files after each trial would cost time that grows with the square of the trials.
_TRIALS_BETWEEN_CLEARINGS = 20


class RunRecorder:
    """Writes records and keeps the folder within its limits; the `Recorder` of the tuner."""

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        history: History,
        objective: Objective,
        keep: Mapping[str, int],
        last_epoch: Callable[[Proposal], int],
    ) -> None:
        """Set up.

        Args:
            folder: Where the files lie.
            journal: Open for writing.
            history: What the journal held when it was opened.
            objective: By which trials are ranked.
            keep: `keep` (trials), `weights_mb` and `predictions_mb`, as in `output` of the experiment.
            last_epoch: The epoch at which a proposal ends at the latest.
        """
        self._folder = folder
        self._journal = journal
        self._objective = objective
        self._keep = keep
        self._last_epoch = last_epoch
        self._ends = dict(history.ends)
        self._ended_since_clearing = 0
        self._deleted: set[str] = set()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The last end of every trial so far."""
        return tuple(self._ends.values())

    def begin(self, fields: Mapping[str, Any]) -> None:
        """Record the header: what the run is."""
        self._journal.append("header", **fields)

    def propose(self, proposal: Proposal) -> None:
        """Record a proposal."""
        self._journal.append("propose", **encode_proposal(proposal))

    def start(self, proposal: Proposal, attempt: int, worker: int) -> None:
        """Record that an attempt begins, in an empty folder."""
        self._folder.begin_attempt(proposal.trial)
        self._journal.append(
            "start",
            trial=proposal.trial,
            attempt=attempt,
            first_epoch=1,
            last_epoch=self._last_epoch(proposal),
            worker=worker,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def end(self, trial: Trial) -> None:
        """Record how an attempt ended; its files are on the disk already."""
        self._journal.append("end", **encode_trial(trial))
        self._ends[trial.number] = trial
        self._ended_since_clearing += 1
        if self._ended_since_clearing >= _TRIALS_BETWEEN_CLEARINGS:
            self.clear()

    def clear(self) -> None:
        """Delete the weights and predictions that need not be kept."""
        self._ended_since_clearing = 0
        completed = (trial for trial in self._ends.values() if trial.outcome is Outcome.COMPLETED)
        limits = {WEIGHTS: self._keep["weights_mb"] << 20, PREDICTIONS: self._keep["predictions_mb"] << 20}
        ranked = rank(completed, self._objective, ()).trials
        names = set(beyond_limits(ranked, limits, self._keep["keep"])) - self._deleted
        self._folder.delete(names)
        self._deleted |= names

    def look_at_test(self, who: str, trial: int, artifact: StoredFile) -> None:
        """Record that the test rows were scored, with the model that was scored."""
        self._journal.append("test_look", who=who, trial=trial, artifact=asdict(artifact))

    def stop(self, reason: str) -> None:
        """Record why the search ended."""
        self._journal.append("stop", reason=reason)
