"""The experiment after a search: wider where winners sit on an edge, without what does nothing, from the winners."""

from __future__ import annotations

import copy
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from nursery import shared_nursery
from synthetic import PLAIN, make_run

from hptune.afterwards import next_experiment
from hptune.errors import NoTrialCompletedError
from hptune.objective import Objective
from hptune.reporting.advice import advise
from hptune.reporting.importance import measure_importance
from hptune.reporting.summary import leaderboard_of
from hptune.run.folder import RunFolder
from hptune.spec import Experiment, load_experiment


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made runs need not survive a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def with_setting(key: str, written: Any) -> dict[str, Any]:
    plain = {name: copy.deepcopy(value) for name, value in PLAIN.items() if name not in ("model", "training")}
    section, _, name = key.partition(".")
    plain[section] = {name: written}
    return plain


def follow(folder: RunFolder) -> tuple[str, dict[str, Any]]:
    """Return the text after a run, and what it says, having checked that it is sound."""
    text = next_experiment(str(folder.path)).text
    load_experiment(Path("next.yaml"), content=text.encode())
    return text, yaml.safe_load(text)


@pytest.mark.parametrize(
    ("key", "written", "end", "expected"),
    [
        (
            "training.learning_rate",
            {"min": 1e-5, "max": 1e-3, "log": True},
            "max",
            {"min": 1e-5, "max": 0.01, "log": True},
        ),
        (
            "training.learning_rate",
            {"min": 1e-3, "max": 1e-1, "log": True},
            "min",
            {"min": 1e-4, "max": 0.1, "log": True},
        ),
        ("model.dropout", {"min": 0.0, "max": 0.4, "step": 0.1}, "max", {"min": 0.0, "max": 0.6, "step": 0.1}),
        ("model.dropout", {"min": 0.1, "max": 0.3}, "min", {"min": 0.0, "max": 0.3}),
        ("model.units", [32, 64, 128], "max", [32, 64, 128, 256]),
        ("model.units", [32, 64, 128], "min", [32, 64, 128, 16]),
        ("model.units", {"min": 16, "max": 64, "log": True}, "max", {"min": 16, "max": 128, "log": True}),
        ("model.blocks", {"min": 1, "max": 3}, "max", {"min": 1, "max": 4}),
        ("training.batch_size", {"values": [16, 32, 64]}, "max", [16, 32, 64, 128]),
    ],
)
def test_a_range_is_widened_where_the_winners_sit_on_its_end(
    tmp_path: Path, key: str, written: Any, end: str, expected: Any
) -> None:
    sign = 1 if end == "max" else -1

    def score(values: Mapping[str, Any], generator: random.Random) -> float:
        return 0.5 + sign * values[key] / 1e6 + generator.random() / 1e12

    folder = make_run(tmp_path / "made", 75, plain=with_setting(key, written), curves=False, score=score)

    text, plain = follow(folder)

    section, _, name = key.partition(".")
    assert plain[section][name] == expected
    before = text.split(f"  {name}:")[0].rstrip().splitlines()[-1]
    assert before.startswith(f"  # {end} moved to ")
    assert "best trials lie at the " in before


@pytest.mark.parametrize(
    ("key", "written", "end"),
    [
        ("model.dropout", {"min": 0.0, "max": 0.5}, "min"),
        ("model.l1", {"min": 0.0, "max": 1e-3}, "min"),
        ("model.units", {"min": 1, "max": 8}, "min"),
        ("model.batch_norm", ["none", "before", "after"], "max"),
    ],
)
def test_what_cannot_be_wider_stays(tmp_path: Path, key: str, written: Any, end: str) -> None:
    def score(values: Mapping[str, Any], generator: random.Random) -> float:
        value = values[key]
        number = ("none", "before", "after").index(value) if isinstance(value, str) else value
        return 0.5 + (1 if end == "max" else -1) * number / 1e6 + generator.random() / 1e12

    folder = make_run(tmp_path / "made", 75, plain=with_setting(key, written), curves=False, score=score)

    text, plain = follow(folder)

    section, _, name = key.partition(".")
    assert plain[section][name] == written
    assert "moved" not in text


def test_a_dimension_that_does_nothing_is_fixed_at_the_winners_value(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 300, curves=False)
    best = leaderboard_of(folder.read()).scored[0]

    text, plain = follow(folder)

    assert plain["model"]["l1"] == best.proposal.values["model.l1"]
    assert "# l1 no longer varies: its importance, " in text
    assert isinstance(plain["training"]["learning_rate"], dict)
    assert all("model.l1" not in start for start in plain["start_from"])


def test_it_starts_from_the_winners_with_another_seed_and_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 40, curves=False)
    winners = leaderboard_of(folder.read()).scored[:3]

    _, plain = follow(folder)

    assert plain["start_from"] == [dict(trial.proposal.values) for trial in winners]
    assert (plain["name"], plain["strategy"]["seed"]) == ("made-2", 1)
    assert list(plain)[-1] == "start_from"


def test_where_nothing_is_to_change_it_says_so(tmp_path: Path) -> None:
    text, plain = follow(make_run(tmp_path / "made", 8, curves=False))

    assert "# Nothing in its trials asks for a wider or a smaller space" in text
    assert plain["model"]["dropout"] == PLAIN["model"]["dropout"]


def test_a_run_without_a_score_has_no_sequel(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 0, is_finished=False)

    with pytest.raises(NoTrialCompletedError, match="no trial has a score, so nothing says what to try next"):
        next_experiment(str(folder.path))


def test_importance_finds_what_was_built_in() -> None:
    space = Experiment.model_validate(dict(PLAIN)).space()
    generator = random.Random(3)
    from synthetic import score_of

    from hptune.trial import Outcome, Proposal, Trial

    samples = [space.sample(generator) for _ in range(400)]
    trials = [
        Trial(Proposal(n, values, 1), Outcome.COMPLETED, score=score_of(values, generator))
        for n, values in enumerate(samples)
    ]
    objective = Objective("accuracy", "max")

    found = measure_importance(space, trials, objective)
    ranked = sorted(trials, key=lambda trial: -(trial.score or 0))
    dropped = {finding.name for finding in advise(space, ranked, objective, found) if finding.kind == "drop"}

    assert found[0].name == "training.learning_rate"
    assert found[0].is_told_from_chance
    assert found[0].low > 0.3
    assert sum(item.share for item in found) == pytest.approx(1)
    assert "model.l1" in dropped
    assert not dropped & {"training.learning_rate", "model.units"}
    assert measure_importance(space, trials, objective) == found


def test_the_command_writes_a_file_that_check_accepts_and_never_over_another(tmp_path: Path) -> None:
    (tmp_path / "made.csv").write_text("a,y\n" + "".join(f"{n},{'yn'[n % 2]}\n" for n in range(40)))
    (tmp_path / "elsewhere").mkdir()
    folder = make_run(tmp_path / "runs" / "made", 30, curves=False)
    words = ["next", "made", "--output", "elsewhere/next.yaml"]

    # The made run says that its data lies in the current folder.
    done = run(tmp_path, *words)
    checked = run(tmp_path, "check", "elsewhere/next.yaml")
    again = run(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("wrote elsewhere/next.yaml; ")
    assert "source: ../made.csv" in (tmp_path / "elsewhere" / "next.yaml").read_text()
    assert checked.returncode == 0, checked.stderr
    assert again.returncode == 2
    assert folder.journal.exists()


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return shared_nursery().run_hptune(words, folder, os.environ, timeout_s=60)
