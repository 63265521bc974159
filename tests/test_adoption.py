"""What a changed experiment keeps of the run before: decided by settings, finished even where it is killed midway."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hptune.adoption import complete_adoption, step_aside
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.run.files import describe_file
from hptune.run.folder import CURVE, WEIGHTS, RunFolder
from hptune.run.journal import Journal, open_journal
from hptune.run.records import encode_proposal, encode_trial, replay
from hptune.trial import Outcome, Proposal, Trial

MODEL = "model: {blocks: {min: 1, max: 3}, units: [8, 16, 32], dropout: {min: 0.0, max: 0.5}}"
EXPERIMENT = f"""\
name: x
data: {{source: table.csv, target: y, split: {{validation: 0.2, test: 0.2}}}}
objective: {{metric: accuracy, direction: max}}
strategy: {{name: random, seed: 1}}
budget: {{max_trials: 9}}
{MODEL}
training: {{epochs: 5}}
"""
TRIALS = 12


def ground_of(folder: Path, *changes: tuple[str, str], rows: int = 40) -> Groundwork:
    text = EXPERIMENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "table.csv").write_text("x,y\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(rows)))
    (folder / "x.yaml").write_text(text)
    return lay_groundwork(folder / "x.yaml")


def begin(journal: Journal, ground: Groundwork, adopted: Mapping[str, Any] | None = None) -> None:
    journal.append(
        "header",
        format=2,
        experiment=ground.identity,
        data=[asdict(file) for file in ground.dataset.files],
        objective=asdict(ground.objective),
        dimensions=[],
        adopted=adopted,
    )


@pytest.fixture
def before(tmp_path: Path) -> RunFolder:
    """A finished run: real records and files, and a number for each trial in place of weights."""
    ground = ground_of(tmp_path)
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.create()
    generator = random.Random(5)
    with open_journal(folder.journal) as (journal, _):
        begin(journal, ground)
        for number in range(TRIALS):
            proposal = Proposal(number, ground.space.sample(generator), seed=100 + number)
            files = []
            for name in (WEIGHTS, CURVE):
                path = folder.trial(number) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{name} {number}")
                files.append(describe_file(path, folder.relative(path)))
            outcome = Outcome.DIVERGED if number == 3 else Outcome.COMPLETED
            score = None if number == 3 else number / 100
            journal.append("propose", **encode_proposal(proposal))
            journal.append("start", trial=number, attempt=1)
            journal.append("end", **encode_trial(Trial(proposal, outcome, score=score, files=tuple(files))))
    return folder


def adopt(folder: RunFolder, ground: Groundwork) -> dict[int, Trial]:
    """Do what a search does with `--accept-changes`, without the training."""
    adopted = step_aside(folder, ground)
    assert adopted is not None
    folder.create()
    with open_journal(folder.journal) as (journal, _):
        begin(journal, ground, adopted)
        complete_adoption(folder, journal, folder.read(), ground)
    return dict(folder.read().ends)


@pytest.mark.parametrize(
    ("change", "keeps"),
    [
        (("units: [8, 16, 32]", "units: [16, 64]"), lambda values: values["model.units"] == 16),
        (("units: [8, 16, 32]", "units: 8"), lambda values: values["model.units"] == 8),
        (("{min: 1, max: 3}", "{min: 2, max: 9}"), lambda values: values["model.blocks"] >= 2),
        (("max: 0.5", "max: 0.25"), lambda values: values["model.dropout"] <= 0.25),
        (("units: [8, 16, 32],", "units: [8, 16, 32], l2: [0.0, 0.1],"), lambda values: True),
        (("{name: random, seed: 1}", "{name: bayesian, seed: 9}"), lambda values: True),
        (("epochs: 5", "epochs: 6"), lambda values: False),
        (("epochs: 5", "epochs: [5, 6]"), lambda values: True),
        (("{name: random, seed: 1}", "{name: hyperband, factor: 2}"), lambda values: False),
        (("metric: accuracy", "metric: roc_auc"), lambda values: False),
        (("test: 0.2", "test: 0.3"), lambda values: False),
    ],
    ids=lambda change: change[1] if isinstance(change, tuple) else "",
)
def test_a_trial_is_kept_where_it_would_be_trained_alike(
    change: tuple[str, str], keeps: Any, before: RunFolder, tmp_path: Path
) -> None:
    old = before.read().ends
    ground = ground_of(tmp_path, change)

    new = adopt(before, ground)

    wanted = [trial for _, trial in sorted(old.items()) if keeps(trial.proposal.values)]
    assert [trial.proposal.seed for trial in new.values()] == [trial.proposal.seed for trial in wanted]
    assert list(new) == list(range(len(wanted)))
    for trial, source in zip(new.values(), wanted, strict=True):
        assert ground.space.contains(trial.proposal.values)
        assert (trial.score, trial.outcome) == (source.score, source.outcome)
        assert before.verified(trial.file(WEIGHTS)).read_text() == f"{WEIGHTS} {source.number}"


def test_changed_rows_keep_nothing_and_the_old_run_stays_as_it_is(before: RunFolder, tmp_path: Path) -> None:
    old = before.journal.read_bytes()
    ground = ground_of(tmp_path, rows=41)

    new = adopt(before, ground)

    assert new == {}
    assert (tmp_path / "runs" / "x.1" / "journal.jsonl").read_bytes() == old


def test_an_unchanged_run_is_not_moved(before: RunFolder, tmp_path: Path) -> None:
    ground = ground_of(tmp_path, ("max_trials: 9", "max_trials: 30"))

    assert step_aside(before, ground) is None
    assert before.exists()


@pytest.mark.parametrize("killed_after", range(1, 12))
def test_copying_goes_on_where_it_was_killed(killed_after: int, before: RunFolder, tmp_path: Path) -> None:
    ground = ground_of(tmp_path, ("max: 0.5", "max: 0.9"))
    adopted = step_aside(before, ground)
    before.create()
    with open_journal(before.journal) as (journal, _):
        begin(journal, ground, adopted)
        history = before.read()
        with pytest.raises(KeyboardInterrupt):
            complete_adoption(before, Dying(journal, killed_after), history, ground)  # type: ignore[arg-type]

    with open_journal(before.journal) as (journal, contents):
        complete_adoption(before, journal, replay(contents.records), ground)
        assert not complete_adoption(before, journal, before.read(), ground)

    ends = before.read().ends
    assert [trial.proposal.seed for _, trial in sorted(ends.items())] == [100 + number for number in range(TRIALS)]
    assert all(before.verified(trial.file(WEIGHTS)) for trial in ends.values())


class Dying:
    """A journal whose process dies before a record."""

    def __init__(self, journal: Journal, records: int) -> None:
        self._journal = journal
        self._left = records

    def append(self, kind: str, **fields: Any) -> None:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        self._journal.append(kind, **fields)


def test_a_run_that_died_between_two_names_is_still_found(before: RunFolder, tmp_path: Path) -> None:
    ground = ground_of(tmp_path, ("max: 0.5", "max: 0.9"))
    first = step_aside(before, ground)

    again = step_aside(before, ground)

    assert again == first
    assert first is not None
    assert first["run"] == "x.1"


def test_weights_that_were_deleted_are_not_missed(before: RunFolder, tmp_path: Path) -> None:
    (before.trial(2) / WEIGHTS).unlink()
    ground = ground_of(tmp_path, ("max: 0.5", "max: 0.9"))

    new = adopt(before, ground)

    assert not (before.path / new[2].file(WEIGHTS).name).exists()
    assert new[2].score == 0.02
