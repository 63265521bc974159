"""What an ensemble is chosen by was predicted by models that had not seen it, whatever the folds are made of."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.bootstrap import Guess
from hptune.candidates import Candidate, Jury, gather_candidates
from hptune.groundwork import lay_groundwork
from hptune.materials import Floats, Materials, place_of
from hptune.parts import REFIT, combine
from hptune.run.files import describe_file
from hptune.run.folder import PREDICTIONS, WEIGHTS, RunFolder
from hptune.run.records import History
from hptune.selection import METHODS, Wanted, choose
from hptune.trial import Outcome, Proposal, StoredFile, Trial

# Truth is far from anything that a model says of a row that it does not know.
FAR = 1000.0
TRIALS = 3


def make_materials(folder: Path, rows: int, folds: int | None, repeats: int, role: str, seed: int) -> Materials:
    """Lay out a run on a table whose rows belong together by a group, follow each other in time, or do neither."""
    generator = np.random.default_rng(seed)
    kinds = generator.permutation(np.arange(rows) % max(rows // 3, 2))
    lines = [f"{row % 7},{kinds[row]},{FAR + row}" for row in range(rows)]
    (folder / "table.csv").write_text("\n".join(["x,kind,y", *lines]) + "\n")
    experiment = {
        "name": "made",
        "data": {"source": "table.csv", "target": "y", "task": "regression"},
        "objective": {"metric": "rmse", "direction": "min"},
        "strategy": {"name": "random", "seed": seed},
        "budget": {"max_trials": 1},
        "evaluation": {"folds": folds, "repeats": repeats},
        "model": {"units": [8, 16]},
    }
    if role:
        experiment["data"]["columns"] = {role: "kind"}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    return Materials(lay_groundwork(folder / "experiment.yaml"), RunFolder(folder / "run"))


def knows(materials: Materials, part: str) -> np.ndarray:
    """Tell of every row of the table whether a model of this part may know its truth: from it, its group, its past."""
    train = materials.split_of(place_of(part)).train
    roles = materials.ground.dataset.roles
    known = np.isin(np.arange(materials.ground.dataset.frame.height), train)
    if roles.groups is not None:
        known |= np.isin(roles.groups, roles.groups[train])
    if roles.times is not None:
        known |= roles.times <= roles.times[train].max()
    return known


def train_by_heart(materials: Materials, number: int, part: str) -> Trial:
    """Make a part that says the truth where it may know it, and a number from 0 to 1 elsewhere."""
    rows = materials.split_of(place_of(part)).validation
    guess = np.random.default_rng([number, *part.encode()]).random(len(rows))
    truth = materials.ground.dataset.frame["y"].to_numpy()[rows]
    proposal = Proposal(number, {"model.units": 8}, seed=1).as_part(part)
    folder = materials.folder.trial(number, part=part)
    folder.mkdir(parents=True)
    return keep(materials.folder, proposal, folder, np.where(knows(materials, part)[rows], truth, guess))


def keep(run: RunFolder, proposal: Proposal, folder: Path, predictions: Floats) -> Trial:
    np.save(folder / PREDICTIONS, predictions.astype(np.float32))
    (folder / WEIGHTS).write_bytes(b"not looked at")
    files: tuple[StoredFile, ...] = tuple(
        describe_file(folder / name, run.relative(folder / name)) for name in (WEIGHTS, PREDICTIONS)
    )
    return Trial(proposal, Outcome.COMPLETED, score=1.0, best_epoch=1, weights=10, files=files)


def make_history(materials: Materials) -> History:
    """Train some trials by heart, and the first one again on all rows."""
    names = materials.ground.part_names
    header = {"objective": {"metric": "rmse", "direction": "min"}, "dimensions": ["model.units"]}
    ends, parts = {}, {}
    for number in range(TRIALS):
        trained = [train_by_heart(materials, number, name) for name in names]
        whole = trained[0]
        if names != ("",):
            parts |= {part.proposal.key: part for part in trained}
            whole = materials.join_predictions(
                combine(Proposal(number, {"model.units": 8}, seed=1), trained), trained, None
            )
        ends[number] = whole
    parts[0, REFIT] = train_by_heart(materials, 0, REFIT)
    return History(header=header, ends=ends, parts=parts)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(24, 70),
    folds=st.sampled_from([None, 2, 3, 5]),
    repeats=st.integers(1, 2),
    role=st.sampled_from(["", "group", "time"]),
    seed=st.integers(0, 1000),
)
def test_models_are_weighed_on_rows_that_they_have_not_seen(
    rows: int, folds: int | None, repeats: int, role: str, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        materials = make_materials(Path(name), rows, folds, repeats, role, seed)
        history = make_history(materials)
        jury = Jury(materials)

        candidates = gather_candidates(materials.folder, history)
        library = jury.library(candidates)

        # One row predicted by a model that knew it would stand out, even averaged over all parts.
        assert len(library.predictions) == TRIALS
        for predictions in library.predictions:
            assert predictions.shape == (len(materials.split.validation),)
            assert predictions.max() <= 1
        assert library.known.truth.min() >= FAR
        for method in METHODS:
            if method != "stacking":
                chosen = choose(method, library, Wanted(2))
                assert chosen.score > FAR - 1
        assert [one.is_refitted for one in candidates] == [True, False, False]
        # In the ensemble it stands with the one network that has seen every row, all the others with theirs.
        networks = (folds or 1) * repeats
        assert [one.built.n for one in candidates] == [1, networks, networks]
        assert [one.weights for one in candidates] == [10, 10 * networks, 10 * networks]


@pytest.mark.parametrize("role", ["", "group", "time"])
def test_a_score_is_the_mean_over_the_folds_as_that_of_a_trial(tmp_path: Path, role: str) -> None:
    materials = make_materials(tmp_path, 60, 3, 1, role, seed=4)
    history = make_history(materials)
    jury = Jury(materials)
    predicted = jury.library(gather_candidates(materials.folder, history)).predictions[1]

    by_fold = []
    for part in materials.ground.part_names:
        guess = materials.guess(history.parts[1, part])
        truth = materials.yardstick(materials.split.validation[guess.rows]).truth
        by_fold.append(float(np.sqrt(np.mean((guess.values.astype(np.float64) - truth) ** 2))))

    assert jury.score(predicted) == pytest.approx(np.mean(by_fold), rel=1e-12)
    assert jury.report(Guess(predicted)) == pytest.approx(np.mean(by_fold), rel=1e-12)


def test_what_was_not_kept_is_no_candidate(tmp_path: Path) -> None:
    materials = make_materials(tmp_path, 60, 3, 1, "", seed=4)
    history = make_history(materials)
    # The last fold's weights of the second trial are gone, and those of the last training too.
    (materials.folder.trial(1, part="fold-3") / WEIGHTS).unlink()
    (materials.folder.trial(0, part=REFIT) / WEIGHTS).unlink()

    candidates: list[Candidate] = gather_candidates(materials.folder, history)

    assert [one.trial.number for one in candidates] == [0, 2]
    assert not any(one.is_refitted for one in candidates)
