"""The list of runs: the state of each as its journal and its process tell it, and none hides the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import hptune
from hptune.cli import complete_run
from hptune.run.journal import open_journal

HEADER = {
    "format": 2,
    "objective": {"metric": "rmse", "direction": "min"},
    "dimensions": [],
    "task": "regression",
    "versions": {},
}
END = {
    "attempt": 1,
    "until": None,
    "outcome": "completed",
    "metrics": {},
    "best_epoch": 1,
    "epochs": 1,
    "weights": 1,
    "engine": "keras",
    "artifacts": [],
    "message": "",
    "seconds": 1.0,
    "worker": 0,
}


def make_run(folder: Path, scores: tuple[float, ...] = (), stop: str | None = None) -> Path:
    folder.mkdir(parents=True)
    with open_journal(folder / "journal.jsonl") as (journal, _):
        journal.append("header", **HEADER)
        for number, score in enumerate(scores):
            journal.append("propose", trial=number, values={}, seed=1, told=0, until=None)
            journal.append("start", trial=number, attempt=1)
            journal.append("end", **END, trial=number, score=score)
        if stop is not None:
            journal.append("stop", reason=stop, through=None)
    return folder


def hold(run: Path, pid: int) -> None:
    (run / "holder.json").write_text(json.dumps({"host": os.uname().nodename, "pid": pid, "since": "now"}))


def test_each_run_is_told_with_its_state_and_best_score(tmp_path: Path) -> None:
    make_run(tmp_path / "done", (0.5, 0.25), "budget used")
    make_run(tmp_path / "stopped", (0.5,), "interrupted")
    hold(make_run(tmp_path / "working", (0.75,)), os.getpid())
    make_run(tmp_path / "killed", ())
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "journal.jsonl").write_text("not ours\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "journal.jsonl").touch()
    (tmp_path / "elsewhere").mkdir()

    lines = {line.name: line for line in hptune.runs(tmp_path)}

    told = {name: (line.state, line.trials, line.metric, line.score) for name, line in lines.items()}
    assert told == {
        "done": ("finished", 2, "rmse", 0.25),
        "stopped": ("interrupted", 1, "rmse", 0.5),
        "working": ("running", 1, "rmse", 0.75),
        "killed": ("killed", 0, "rmse", None),
        "damaged": ("damaged", 0, "", None),
        "empty": ("empty", 0, "", None),
    }
    assert lines["done"].detail == "budget used"
    assert "line 1, byte 0: damaged record" in lines["damaged"].detail
    assert lines["done"].size_bytes == (tmp_path / "done" / "journal.jsonl").stat().st_size


def test_the_latest_run_comes_first(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        journal = make_run(tmp_path / name) / "journal.jsonl"
        os.utime(journal, (1e9 - age, 1e9 - age))

    lines = hptune.runs(tmp_path)

    assert [line.name for line in lines] == ["new", "middle", "old"]
    assert lines[0].changed == "2001-09-09T01:46:40Z"


def test_the_shell_completes_names_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alpha", "alps", "beta"):
        make_run(tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)

    assert complete_run("al") == ["alpha", "alps"]
    assert complete_run("") == ["alpha", "alps", "beta"]
