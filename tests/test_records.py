from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptune.errors import RunDamagedError
from hptune.run.records import decode_proposal, decode_trial, encode_proposal, encode_trial, replay
from hptune.trial import Outcome, Proposal, StoredFile, Trial, Tries

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
proposals = st.builds(
    Proposal,
    trial=st.integers(0, 10**6),
    values=st.dictionaries(st.text(), scalars | st.lists(scalars)),
    seed=st.integers(1, 2**32 - 1),
    told=st.integers(0, 99),
    until=st.none() | st.integers(1, 99),
)


def with_type(fields: dict) -> dict:
    kinds = ("header", "propose", "start", "pause", "end", "test_look", "stop", "of tomorrow")
    return {**fields, "type": kinds[len(json.dumps(fields)) % len(kinds)], "trial": 0}


scores = st.floats(allow_nan=False, allow_infinity=False)
names = st.builds("trials/{:04d}/{}".format, st.integers(0, 99_999), st.sampled_from(["weights.npz", "curve.json"]))
trials = st.builds(
    Trial,
    proposal=proposals,
    outcome=st.sampled_from(Outcome),
    attempt=st.integers(1, 9),
    score=st.none() | scores,
    metrics=st.dictionaries(st.text(), scores),
    best_epoch=st.none() | st.integers(1, 99),
    epochs=st.integers(0, 99),
    weights=st.none() | st.integers(0, 10**9),
    engine=st.sampled_from(["", "keras"]),
    files=st.lists(st.builds(StoredFile, names, st.integers(0), st.text())).map(tuple),
    message=st.text(),
    seconds=st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000),
    worker=st.integers(0, 64),
    failures=st.integers(0, 9),
)


def through_json(fields: dict) -> dict:
    return json.loads(json.dumps(fields, allow_nan=False))


@given(proposals)
def test_a_proposal_survives_its_record(proposal: Proposal) -> None:
    assert decode_proposal(through_json(encode_proposal(proposal))) == proposal


@given(trials)
def test_a_trial_survives_its_record(trial: Trial) -> None:
    assert decode_trial(through_json(encode_trial(trial)), trial.proposal) == trial


def record(kind: str, **fields: object) -> dict:
    return {"type": kind, **fields}


def records_of(*ends: Trial) -> list[dict]:
    made = [record("header", format=1)]
    for end in ends:
        made += [
            record("propose", **encode_proposal(end.proposal)),
            record("start", trial=end.number, attempt=end.attempt),
            record("end", **encode_trial(end)),
        ]
    return made


def test_the_last_end_of_a_trial_counts() -> None:
    proposal = Proposal(0, {}, 1)

    history = replay(
        records_of(
            Trial(proposal, Outcome.CRASHED, attempt=1, failures=1),
            Trial(proposal, Outcome.COMPLETED, attempt=2, score=0.5, failures=1),
        )
    )

    assert history.ends[0].score == 0.5
    assert history.tries == {(0, ""): Tries(begun=2, failed=1)}


def test_an_attempt_that_a_killed_session_left_counts_as_begun_and_not_as_failed() -> None:
    crashed = Trial(Proposal(0, {}, 1), Outcome.CRASHED, attempt=1, failures=1)
    begun = [*records_of(crashed), record("start", trial=0, attempt=2), record("start", trial=0, attempt=3)]

    assert replay(begun).tries == {(0, ""): Tries(begun=3, failed=1)}


def test_journals_that_did_not_tell_failures_counted_every_attempt() -> None:
    made = records_of(Trial(Proposal(0, {}, 1), Outcome.CRASHED, attempt=2))
    del made[-1]["failures"]

    history = replay(made)

    assert history.ends[0].failures == 2
    assert list(history.finished(max_attempts=2)) == [0]


def test_interrupted_trials_and_crashes_with_attempts_left_are_not_finished() -> None:
    outcomes = (Outcome.INTERRUPTED, Outcome.CRASHED, Outcome.COMPLETED, Outcome.DIVERGED)

    ended = (Trial(Proposal(n, {}, 1), outcome, failures=int(n == 1)) for n, outcome in enumerate(outcomes))
    history = replay(records_of(*ended))

    assert list(history.finished(max_attempts=2)) == [2, 3]
    assert list(history.finished(max_attempts=1)) == [1, 2, 3]


def test_a_search_that_goes_on_is_not_stopped() -> None:
    stopped = [*records_of(Trial(Proposal(0, {}, 1), Outcome.INTERRUPTED)), record("stop", reason="interrupted")]

    assert replay(stopped).stop is not None
    assert replay([*stopped, record("start", trial=0, attempt=2)]).stop is None


def test_a_trial_that_paused_goes_on_from_there() -> None:
    proposal = Proposal(0, {}, 1, until=3)
    paused = Trial(proposal, Outcome.PAUSED, score=0.5, epochs=3)
    start = record("start", trial=0, attempt=1)
    records = [
        record("header", format=1),
        record("propose", **encode_proposal(proposal)),
        start,
        record("pause", **encode_trial(paused)),
    ]

    history = replay([*records, start, record("end", **encode_trial(Trial(proposal, Outcome.INTERRUPTED)))])

    assert history.ends == {0: paused}
    assert history.pauses == {(0, ""): paused}
    assert history.told(2) == (paused,)
    assert history.finished(2) == {}


def test_an_end_that_no_training_came_to_is_not_told_again() -> None:
    proposal = Proposal(0, {}, 1, until=3)
    paused = Trial(proposal, Outcome.PAUSED, score=0.5, epochs=3)
    halted = Trial(proposal, Outcome.COMPLETED, score=0.5, epochs=3)
    records = [
        record("header", format=1),
        record("propose", **encode_proposal(proposal)),
        record("start", trial=0, attempt=1),
        record("pause", **encode_trial(paused)),
        record("end", **encode_trial(halted)),
    ]

    history = replay(records)

    assert history.told(2) == (paused,)
    assert history.ends == history.finished(2) == {0: halted}
    assert history.pauses == {}


def test_active_time_is_that_of_the_last_record_that_tells() -> None:
    records = [record("header"), record("stop", reason="x", active=7.5), record("stop", reason="y")]

    assert replay(records).active == 7.5


@pytest.mark.parametrize(
    "name",
    [
        "../../home/letter",
        "/etc/passwd",
        "trials/../../letter",
        "journal.jsonl",
        "trials/0000/../letter",
        "best/.x",
        "",
    ],
)
def test_a_record_cannot_name_a_file_outside_of_what_a_run_may_delete(name: str) -> None:
    trial = Trial(Proposal(0, {}, 1), Outcome.COMPLETED, score=0.5, files=(StoredFile(name, 1, ""),))

    with pytest.raises(RunDamagedError) as caught:
        replay(records_of(trial), Path("x/journal.jsonl"))

    assert str(caught.value) == (
        f"x/journal.jsonl: line 4: whole, but not a record that hptune writes: expected a file of the run, got {name!a}"
    )


@pytest.mark.parametrize("part", ["../x", "fold-", "fold-1-repeat-1", "Fold-1", 3])
def test_a_record_cannot_be_of_a_part_that_there_is_not(part: object) -> None:
    start = record("start", trial=0, part=part, attempt=1)

    with pytest.raises(RunDamagedError, match="whole, but not a record that hptune writes"):
        replay([record("header"), record("propose", **encode_proposal(Proposal(0, {}, 1))), start])


def test_parts_are_told_apart_from_their_trial_and_from_what_follows_a_search() -> None:
    proposal = Proposal(0, {}, 1)
    names = ("fold-1", "fold-2", "confirm-1-fold-1")
    parts = {name: Trial(proposal.as_part(name), Outcome.COMPLETED, score=0.25) for name in names}
    whole = Trial(proposal, Outcome.COMPLETED, score=0.25, std_error=0.125, n=2)
    records = [record("header"), record("propose", **encode_proposal(proposal))]
    for name in names[:2]:
        records.append(record("start", trial=0, part=name, attempt=1))
        records.append(record("end", **encode_trial(parts[name])))
    assert replay(records).told(2) == ()

    records += [record("end", **encode_trial(whole)), record("stop", reason="budget used")]
    records += [record("start", trial=0, part=names[2], attempt=1), record("end", **encode_trial(parts[names[2]]))]
    history = replay(records)

    assert history.told(2) == (whole,)
    assert history.ends == {0: whole}
    assert history.parts == {(0, name): part for name, part in parts.items()}
    assert history.stop is not None


@given(st.lists(st.dictionaries(st.text(), st.none() | scalars | st.lists(scalars)).map(with_type), max_size=9))
def test_records_of_somebody_else_end_in_an_error_for_the_user(records: list[dict]) -> None:
    with suppress(RunDamagedError):
        replay(records)
