"""The list of runs: the state of each as its journal and its process tell it, and none hides the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from made_runs import make_run

import hptune
from hptune.cli import complete_run


def hold(run: Path, pid: int) -> None:
    (run / "holder.json").write_text(json.dumps({"host": os.uname().nodename, "pid": pid, "since": "now"}))


def test_each_run_is_told_with_its_state_and_best_score(tmp_path: Path) -> None:
    make_run(tmp_path / "done", (0.5, 0.25), "budget used", "rmse", "min")
    make_run(tmp_path / "stopped", (0.5,), "interrupted", "rmse", "min")
    hold(make_run(tmp_path / "working", (0.75,), None, "rmse", "min"), os.getpid())
    make_run(tmp_path / "killed", (), None, "rmse", "min")
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
