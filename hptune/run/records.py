"""What the journal's records mean: proposals and trials to fields and back, and a whole journal to its history.

One file holds both directions, so that what is written is what is read. A journal may come from somebody else: what is
read is checked, so that no name in it leads out of the run folder and nothing in it is taken for what it is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hptune.errors import RunDamagedError
from hptune.objective import METRICS
from hptune.parts import PATTERN, WHOLE, is_beside
from hptune.run.journal import Record
from hptune.trial import Key, Outcome, Proposal, StoredFile, Trial, Tries

# Files that a record may name, relative to the run; they are read, and deleted where they need not be kept.
_FILE_NAME = re.compile(rf"(trials/\d{{4,}}(-{PATTERN})?(-from-\d{{4,}})?|best|ensemble)/[A-Za-z0-9][A-Za-z0-9._-]*")
_PART = re.compile(f"({PATTERN})?")


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
    values = _expect(record["values"], dict)
    until = _expect(record.get("until"), int, type(None))
    return Proposal(_expect(record["trial"], int), values, _expect(record["seed"], int), count, until)


def encode_trial(trial: Trial) -> dict[str, Any]:
    """Return the fields of an `end` or `pause` record; the configuration stands in the `propose` record."""
    return {
        "trial": trial.number,
        "part": trial.proposal.part,
        "attempt": trial.attempt,
        "failures": trial.failures,
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
        "std_error": trial.std_error,
        "n": trial.n,
    }


def decode_trial(record: Record, proposal: Proposal) -> Trial:
    """Read an `end` or `pause` record."""
    std_error = record.get("std_error")
    outcome, attempt = Outcome(record["outcome"]), _expect(record["attempt"], int)
    return Trial(
        proposal=replace(proposal.as_part(_part(record)), until=_expect(record.get("until"), int, type(None))),
        outcome=outcome,
        attempt=attempt,
        # Older journals counted every attempt that was begun.
        failures=_expect(record.get("failures", attempt if outcome.is_breakdown else 0), int),
        score=None if record["score"] is None else _finite(record["score"]),
        metrics={name: _finite(value) for name, value in record["metrics"].items()},
        best_epoch=_expect(record["best_epoch"], int, type(None)),
        epochs=_expect(record["epochs"], int),
        weights=_expect(record["weights"], int, type(None)),
        engine=_expect(record["engine"], str),
        files=tuple(decode_file(file) for file in record["artifacts"]),
        message=_expect(record["message"], str),
        seconds=_finite(record["seconds"]),
        worker=_expect(record["worker"], int),
        std_error=None if std_error is None else _finite(std_error),
        n=_expect(record.get("n", 1), int),
    )


def _part(record: Record) -> str:
    """Read which part of a trial a record is of; older journals know whole trials only."""
    part: str = _expect(record.get("part", WHOLE), str)
    if _PART.fullmatch(part) is None:
        raise ValueError(f"a part of a trial, got {part!a}")
    return part


def decode_file(fields: Mapping[str, Any]) -> StoredFile:
    """Read the description of a file.

    Raises:
        ValueError: If its name leads anywhere but into the run's own folders.
    """
    file = StoredFile(**fields)
    if _FILE_NAME.fullmatch(file.name) is None:
        raise ValueError(f"a file of the run, got {file.name!a}")
    return file


def _expect(value: Any, *kinds: type) -> Any:
    # True is an int to Python, and none to us.
    if type(value) not in kinds:
        raise TypeError(f"{' or '.join(kind.__name__ for kind in kinds)}, got {value!a}")
    return value


def _finite(value: Any) -> Any:
    if not math.isfinite(_expect(value, float, int)):
        raise ValueError(f"a finite number, got {value}")
    return value


def _check_header(header: Record) -> None:
    """Make sure that what every report reads is there and is what it should be."""
    for file in header.get("data", ()):
        StoredFile(**file)
    for section in ("strategy", "data", "objective"):
        _expect(_expect(header.get("experiment", {}), dict).get(section, {}), dict)
    if "objective" in header:
        metric, direction = header["objective"]["metric"], header["objective"]["direction"]
        if metric not in METRICS or direction not in ("max", "min"):
            raise ValueError(f"a known metric and direction, got {metric!a} and {direction!a}")
    for name in header.get("dimensions", ()):
        _expect(name, str)


@dataclass(frozen=True)
class History:
    """What a journal says has happened.

    Attributes:
        header: The first record; empty where there is none yet.
        proposals: By trial number, in the order of proposing.
        tries: The attempts at each trial or part since it last paused.
        results: Every pause, and every end of an attempt, in the order of ending; of whole trials.
        ends: The last state of each whole trial that has paused or ended, in the order of reaching it.
        parts: The last state of each part that has paused or ended.
        pauses: Where the next attempt at a trial or part goes on.
        stop: Why the search ended, as the last `stop` record says; None while it is under way or was killed.
        test_looks: Who scored the test rows.
        active: Seconds that all sessions have worked, as the last record that tells says.
    """

    header: Record = field(default_factory=dict)
    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    tries: Mapping[Key, Tries] = field(default_factory=dict)
    results: tuple[Trial, ...] = ()
    ends: Mapping[int, Trial] = field(default_factory=dict)
    parts: Mapping[Key, Trial] = field(default_factory=dict)
    pauses: Mapping[Key, Trial] = field(default_factory=dict)
    stop: Record | None = None
    test_looks: tuple[Record, ...] = ()
    active: float = 0.0

    def told(self, max_attempts: int) -> tuple[Trial, ...]:
        """Return what the strategy learned, in that order."""
        return tuple(trial for trial in self.results if not trial.needs_another_attempt(max_attempts))

    def settled(self, max_attempts: int) -> tuple[Trial, ...]:
        """Return the parts that need no further attempt."""
        return tuple(part for part in self.parts.values() if not part.needs_another_attempt(max_attempts))

    @property
    def files(self) -> dict[str, StoredFile]:
        """Every file that is recorded and not replaced, by name."""
        own = [part for part in self.parts.values() if not self._is_taken_over(part)]
        states = (*self.ends.values(), *own, *self.pauses.values())
        return {file.name: file for trial in states for file in trial.files}

    def _is_taken_over(self, part: Trial) -> bool:
        """Tell whether a part's trial has ended: it names all that is needed of its parts."""
        whole = self.ends.get(part.number)
        return not is_beside(part.proposal.part) and whole is not None and whole.outcome is not Outcome.PAUSED

    def look_at(self, artifact: str) -> Record | None:
        """Return the last record of test rows scored with an artifact, by its name relative to the run."""
        looks = [look for look in self.test_looks if look["artifact"]["name"] == artifact]
        return looks[-1] if looks else None

    def finished(self, max_attempts: int) -> dict[int, Trial]:
        """Return the trials that need no further attempt and will not go on, in the order of ending."""
        return {
            number: trial
            for number, trial in self.ends.items()
            if trial.outcome is not Outcome.PAUSED and not trial.needs_another_attempt(max_attempts)
        }


def replay(records: Iterable[Record], source: Path | None = None) -> History:
    """Rebuild the history from the records, by sequence and never by clock.

    Args:
        records: In order.
        source: The journal, for messages.

    Raises:
        RunDamagedError: If a record, though whole, is not one that hptune writes.
    """
    so_far = _Replay()
    for number, record in enumerate(records, start=1):
        try:
            so_far.take(record)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else f"expected {error}"
            raise RunDamagedError(
                f"{source or 'journal'}: line {number}: whole, but not a record that hptune writes: {what}"
            ) from None
    return so_far.history()


@dataclass
class _Replay:
    """The history as it grows, record by record."""

    header: Record = field(default_factory=dict)
    proposals: dict[int, Proposal] = field(default_factory=dict)
    tries: dict[Key, Tries] = field(default_factory=dict)
    results: list[Trial] = field(default_factory=list)
    states: dict[Key, Trial] = field(default_factory=dict)
    pauses: dict[Key, Trial] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    stop: Record | None = None
    test_looks: list[Record] = field(default_factory=list)
    active: float = 0.0

    def take(self, record: Record) -> None:
        """Let a record take effect."""
        self.active = _finite(record.get("active", self.active))
        match record["type"]:
            case "header":
                _check_header(record)
                self.header = record
            case "propose":
                proposal = decode_proposal(record)
                self.proposals[proposal.trial] = proposal
            case "start":
                number, part = self.proposals[record["trial"]].trial, _part(record)
                failed = self.tries.get((number, part), Tries()).failed
                self.tries[number, part] = Tries(_expect(record["attempt"], int), failed)
                if not is_beside(part):
                    self.under_way.add(number)
                    self.stop = None
            case "end" | "pause":
                self._take_trial(decode_trial(record, self.proposals[record["trial"]]))
            case "test_look":
                decode_file(record["artifact"])
                self.test_looks.append(record)
            case "stop":
                _expect(record["reason"], str)
                _expect(record.get("through"), int, type(None))
                self.stop = record

    def _take_trial(self, trial: Trial) -> None:
        # An end without a start before it is what the strategy decided on a trial that had paused.
        if trial.number in self.under_way and not trial.proposal.part:
            self.results.append(trial)
            self.under_way.discard(trial.number)
        take_state(self.states, self.pauses, trial)
        if trial.outcome is Outcome.PAUSED:
            self.tries.pop(trial.proposal.key, None)
        else:
            self.tries[trial.proposal.key] = Tries.through(trial)

    def history(self) -> History:
        """Return what the records say so far."""
        return History(
            self.header,
            self.proposals,
            self.tries,
            tuple(self.results),
            {number: trial for (number, part), trial in self.states.items() if not part},
            {key: trial for key, trial in self.states.items() if key[1]},
            self.pauses,
            self.stop,
            tuple(self.test_looks),
            self.active,
        )


def take_state(states: dict[Key, Trial], pauses: dict[Key, Trial], trial: Trial) -> None:
    """Let the state of a trial or part be its last one: where it stands, and where its next attempt goes on.

    Args:
        states: The last state of each; changed.
        pauses: The last pause of each that may go on; changed.
        trial: What has just ended.
    """
    key = trial.proposal.key
    if trial.outcome is Outcome.PAUSED:
        pauses[key] = trial
    elif not trial.outcome.may_be_tried_again:
        # With a trial, all its parts have come to their end.
        for other in [other for other in pauses if other == key or (not key[1] and other[0] == key[0])]:
            del pauses[other]
    states.pop(key, None)
    # What was interrupted after a pause still has what it reached before.
    states[key] = pauses.get(key, trial) if trial.outcome is Outcome.INTERRUPTED else trial
