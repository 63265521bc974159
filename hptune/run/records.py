"""What the journal's records mean: proposals and trials to fields and back, and a whole journal to its history.

One file holds both directions, so that what is written is what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hptune.run.journal import Record
from hptune.trial import Outcome, Proposal, StoredFile, Trial


def encode_proposal(proposal: Proposal) -> dict[str, Any]:
    """Return the fields of a `propose` record."""
    return {
        "trial": proposal.trial,
        "values": dict(proposal.values),
        "seed": proposal.seed,
        "told": proposal.told,
        "until": proposal.until,
    }


def decode_proposal(record: Record) -> Proposal:
    """Read a `propose` record."""
    told = record["told"]
    # Format 1 listed them.
    count = told if isinstance(told, int) else len(told)
    return Proposal(record["trial"], record["values"], record["seed"], count, record.get("until"))


def encode_trial(trial: Trial) -> dict[str, Any]:
    """Return the fields of an `end` or `pause` record; the configuration stands in the `propose` record."""
    return {
        "trial": trial.number,
        "attempt": trial.attempt,
        "until": trial.proposal.until,
        "outcome": trial.outcome.value,
        "score": trial.score,
        "metrics": dict(trial.metrics),
        "best_epoch": trial.best_epoch,
        "epochs": trial.epochs,
        "weights": trial.weights,
        "engine": trial.engine,
        "artifacts": [asdict(file) for file in trial.files],
        "message": trial.message,
        "seconds": round(trial.seconds, 3),
        "worker": trial.worker,
    }


def decode_trial(record: Record, proposal: Proposal) -> Trial:
    """Read an `end` or `pause` record."""
    return Trial(
        proposal=replace(proposal, until=record.get("until")),
        outcome=Outcome(record["outcome"]),
        attempt=record["attempt"],
        score=record["score"],
        metrics=record["metrics"],
        best_epoch=record["best_epoch"],
        epochs=record["epochs"],
        weights=record["weights"],
        engine=record["engine"],
        files=tuple(StoredFile(**file) for file in record["artifacts"]),
        message=record["message"],
        seconds=record["seconds"],
        worker=record["worker"],
    )


@dataclass(frozen=True)
class History:
    """What a journal says has happened.

    Attributes:
        header: The first record; empty where there is none yet.
        proposals: By trial number, in the order of proposing.
        attempts: How often each trial was begun since it last paused.
        results: Every pause, and every end of an attempt, in the order of ending.
        ends: The last state of each trial that has paused or ended, in the order of reaching it.
        pauses: Where the next attempt at a trial goes on.
        stop: Why the search ended, as the last `stop` record says; None while it is under way or was killed.
        test_looks: Who scored the test rows.
        active: Seconds that all sessions have worked, as the last record that tells says.
    """

    header: Record = field(default_factory=dict)
    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    results: tuple[Trial, ...] = ()
    ends: Mapping[int, Trial] = field(default_factory=dict)
    pauses: Mapping[int, Trial] = field(default_factory=dict)
    stop: Record | None = None
    test_looks: tuple[Record, ...] = ()
    active: float = 0.0

    def told(self, max_attempts: int) -> tuple[Trial, ...]:
        """Return what the strategy learned, in that order."""
        return tuple(trial for trial in self.results if not needs_another_attempt(trial, max_attempts))

    def look_at(self, artifact: str) -> Record | None:
        """Return the last record of test rows scored with an artifact, by its name relative to the run."""
        looks = [look for look in self.test_looks if look["artifact"]["name"] == artifact]
        return looks[-1] if looks else None

    def finished(self, max_attempts: int) -> dict[int, Trial]:
        """Return the trials that need no further attempt and will not go on, in the order of ending."""
        return {
            number: trial
            for number, trial in self.ends.items()
            if trial.outcome is not Outcome.PAUSED and not needs_another_attempt(trial, max_attempts)
        }


def needs_another_attempt(trial: Trial, max_attempts: int) -> bool:
    """Tell whether a trial is to be tried again: interrupted always, crashes while attempts are left."""
    if trial.outcome is Outcome.INTERRUPTED:
        return True
    return trial.outcome.may_be_tried_again and trial.attempt < max_attempts


def replay(records: Iterable[Record]) -> History:
    """Rebuild the history from the records, by sequence and never by clock."""
    header: Record = {}
    proposals: dict[int, Proposal] = {}
    attempts: dict[int, int] = {}
    results: list[Trial] = []
    ends: dict[int, Trial] = {}
    pauses: dict[int, Trial] = {}
    under_way: set[int] = set()
    stop: Record | None = None
    test_looks: list[Record] = []
    active = 0.0
    for record in records:
        active = record.get("active", active)
        match record["type"]:
            case "header":
                header = record
            case "propose":
                proposals[record["trial"]] = decode_proposal(record)
            case "start":
                attempts[record["trial"]] = record["attempt"]
                under_way.add(record["trial"])
                stop = None
            case "end" | "pause":
                number = record["trial"]
                trial = decode_trial(record, proposals[number])
                # An end without a start before it is what the strategy decided on a trial that had paused.
                if number in under_way:
                    results.append(trial)
                    under_way.discard(number)
                take_state(ends, pauses, trial)
                if trial.outcome is Outcome.PAUSED:
                    attempts.pop(number, None)
            case "test_look":
                test_looks.append(record)
            case "stop":
                stop = record
    return History(header, proposals, attempts, tuple(results), ends, pauses, stop, tuple(test_looks), active)


def take_state(ends: dict[int, Trial], pauses: dict[int, Trial], trial: Trial) -> None:
    """Let a trial's state be its last one: where it stands, and where its next attempt goes on.

    Args:
        ends: The last state of each trial; changed.
        pauses: The last pause of each trial that may go on; changed.
        trial: What has just ended.
    """
    number = trial.number
    if trial.outcome is Outcome.PAUSED:
        pauses[number] = trial
    elif not trial.outcome.may_be_tried_again:
        pauses.pop(number, None)
    ends.pop(number, None)
    # What was interrupted after a pause still has what it reached before.
    ends[number] = pauses.get(number, trial) if trial.outcome is Outcome.INTERRUPTED else trial
