from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hptune.run.records import decode_proposal, decode_trial, encode_proposal, encode_trial, replay
from hptune.trial import Outcome, Proposal, StoredFile, Trial

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
proposals = st.builds(
    Proposal,
    trial=st.integers(0, 10**6),
    values=st.dictionaries(st.text(), scalars | st.lists(scalars)),
    seed=st.integers(1, 2**32 - 1),
    told=st.lists(st.integers(0, 99)).map(tuple),
)
scores = st.floats(allow_nan=False, allow_infinity=False)
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
    files=st.lists(st.builds(StoredFile, st.text(), st.integers(0), st.text())).map(tuple),
    message=st.text(),
    seconds=st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000),
    worker=st.integers(0, 64),
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
            Trial(proposal, Outcome.CRASHED, attempt=1), Trial(proposal, Outcome.COMPLETED, attempt=2, score=0.5)
        )
    )

    assert history.ends[0].score == 0.5
    assert history.attempts == {0: 2}


def test_interrupted_trials_and_crashes_with_attempts_left_are_not_finished() -> None:
    outcomes = (Outcome.INTERRUPTED, Outcome.CRASHED, Outcome.COMPLETED, Outcome.DIVERGED)

    history = replay(records_of(*(Trial(Proposal(n, {}, 1), outcome) for n, outcome in enumerate(outcomes))))

    assert list(history.finished(max_attempts=2)) == [2, 3]
    assert list(history.finished(max_attempts=1)) == [1, 2, 3]


def test_a_search_that_goes_on_is_not_stopped() -> None:
    stopped = [*records_of(), record("stop", reason="interrupted")]

    assert replay(stopped).stop is not None
    assert replay([*stopped, record("start", trial=0, attempt=1)]).stop is None
