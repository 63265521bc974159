"""What the journal's records mean: proposals and trials to fields and back, and a whole journal to its history.

One file holds both directions, so that what is written is what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hptune.run.journal import Record
from hptune.trial import Outcome, Proposal, StoredFile, Trial


def encode_proposal(proposal: Proposal) -> dict[str, Any]:
    """Return the fields of a `propose` record."""
    return {
        "trial": proposal.trial,
        "values": dict(proposal.values),
        "seed": proposal.seed,
        "told": list(proposal.told),
    }


def decode_proposal(record: Record) -> Proposal:
    """Read a `propose` record."""
    return Proposal(record["trial"], record["values"], record["seed"], tuple(record["told"]))


def encode_trial(trial: Trial) -> dict[str, Any]:
    """Return the fields of an `end` record; the configuration stands in the `propose` record."""
    return {
        "trial": trial.number,
        "attempt": trial.attempt,
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
    """Read an `end` record."""
    return Trial(
        proposal=proposal,
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
        attempts: How often each trial was begun.
        ends: The last end of each trial, in the order of ending.
        stop: Why the search ended, as the last `stop` record says; None while it is under way or was killed.
        test_looks: Who scored the test rows.
    """

    header: Record = field(default_factory=dict)
    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, Trial] = field(default_factory=dict)
    stop: Record | None = None
    test_looks: tuple[Record, ...] = ()

    def finished(self, max_attempts: int) -> dict[int, Trial]:
        """Return the trials that need no further attempt, in the order of ending."""
        return {number: trial for number, trial in self.ends.items() if not needs_another_attempt(trial, max_attempts)}


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
    ends: dict[int, Trial] = {}
    stop: Record | None = None
    test_looks: list[Record] = []
    for record in records:
        match record["type"]:
            case "header":
                header = record
            case "propose":
                proposals[record["trial"]] = decode_proposal(record)
            case "start":
                attempts[record["trial"]] = record["attempt"]
                stop = None
            case "end":
                ends.pop(record["trial"], None)
                ends[record["trial"]] = decode_trial(record, proposals[record["trial"]])
            case "test_look":
                test_looks.append(record)
            case "stop":
                stop = record
    return History(header, proposals, attempts, ends, stop, tuple(test_looks))
