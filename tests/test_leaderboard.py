from __future__ import annotations

import csv
import io
import json
import random

from hypothesis import given
from hypothesis import strategies as st

from hptune.leaderboard import rank
from hptune.objective import Objective
from hptune.trial import Outcome, Proposal, Trial

MAXIMIZE = Objective("accuracy", "max")


def trial(number: int, score: float | None, outcome: Outcome = Outcome.COMPLETED, **values: object) -> Trial:
    return Trial(Proposal(number, values, seed=1), outcome, score=score, best_epoch=3, epochs=5, weights=10)


def test_the_best_score_stands_first_and_ties_go_by_number() -> None:
    trials = [trial(3, 0.9), trial(1, 0.9), trial(0, 0.5), trial(2, 0.95)]

    assert [ranked.number for ranked in rank(trials, MAXIMIZE, ()).trials] == [2, 1, 3, 0]
    assert [ranked.number for ranked in rank(trials, Objective("loss", "min"), ()).trials] == [0, 1, 3, 2]


def test_trials_without_a_score_stand_last_without_a_rank() -> None:
    board = rank([trial(0, None, Outcome.DIVERGED), trial(1, 0.1)], MAXIMIZE, ())

    assert [(row["rank"], row["trial"], row["status"], row["score"]) for row in board.rows()] == [
        (1, 1, "completed", 0.1),
        (None, 0, "diverged", None),
    ]


def test_csv_leaves_inactive_dimensions_empty_and_names_a_chosen_null() -> None:
    board = rank(
        [trial(0, 0.5, **{"training.clip_norm": None}), trial(1, 0.25, **{"model.units": 64})],
        MAXIMIZE,
        ("model.units", "training.clip_norm"),
    )

    assert board.to_csv() == (
        "rank,trial,status,score,std_error,n,best_epoch,epochs,weights,engine,model.units,training.clip_norm\n"
        "1,0,completed,0.5,,1,3,5,10,,,null\n"
        "2,1,completed,0.25,,1,3,5,10,,64,\n"
    )


def test_json_leaves_inactive_dimensions_out() -> None:
    board = rank([trial(0, 0.5, **{"training.clip_norm": None})], MAXIMIZE, ("model.units", "training.clip_norm"))

    document = json.loads(board.to_json())

    assert document["objective"] == {"metric": "accuracy", "direction": "max"}
    assert document["trials"][0]["values"] == {"training.clip_norm": None}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20), st.randoms())
def test_the_files_do_not_depend_on_the_order_of_ending(scores: list[float], generator: random.Random) -> None:
    trials = [trial(number, score) for number, score in enumerate(scores)]
    shuffled = generator.sample(trials, len(trials))

    assert rank(trials, MAXIMIZE, ()).to_csv() == rank(shuffled, MAXIMIZE, ()).to_csv()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_scores_are_written_with_full_precision(scores: list[float]) -> None:
    board = rank([trial(number, score) for number, score in enumerate(scores)], MAXIMIZE, ())

    rows = list(csv.DictReader(io.StringIO(board.to_csv())))

    assert [float(row["score"]) for row in rows] == sorted(scores, reverse=True)
