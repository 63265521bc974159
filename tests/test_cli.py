"""The command line: help, versions, check, and what is said where it cannot go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import make_run
from rich.console import Console

from hptune.console.progress import PlainProgress
from hptune.console.screen import show_summary, table
from hptune.leaderboard import rank
from hptune.objective import Objective
from hptune.reporting.markdown import to_markdown
from hptune.reporting.summary import Summary
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan

ROOT = Path(__file__).parent.parent
HPTUNE = str(Path(sys.executable).with_name("hptune"))


def hptune(
    *words: str | Path, folder: Path = ROOT, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    import os

    done = subprocess.run(
        [HPTUNE, *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_help_names_the_commands() -> None:
    text = hptune("--help").stdout

    assert all(command in text for command in ("check", "search", "report", "predict"))
    assert hptune("--version").stdout.startswith("hptune 0.")


@pytest.mark.parametrize("words", [("search",), ("nonsense",), ("check", "x.yaml", "--bogus")])
def test_a_wrong_command_line_ends_with_two(words: tuple[str, ...]) -> None:
    assert hptune(*words, code=2).stderr


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_check_tells_what_was_decided(config: Path) -> None:
    facts = json.loads(hptune("check", config, "--json").stdout)

    assert facts["name"] == config.stem
    assert sum(facts["data"]["rows"].values()) > 100
    assert facts["space"]["dimensions"]
    assert "Search space" in hptune("check", config).stdout


def test_check_resolved_prints_what_reads_back(tmp_path: Path) -> None:
    text = hptune("check", "configs/wine.yaml", "--resolved", "--set", "training.batch_size=8").stdout
    (tmp_path / "again.yaml").write_text(text)

    assert hptune("check", tmp_path / "again.yaml", "--resolved").stdout == text
    assert "batch_size: 8" in text


def test_every_fault_is_shown_and_the_code_is_two(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\ndata: {source: gone.csv, target: y}\nmodel:\n  droput: 1\n  units: 0\n")

    done = hptune("check", "x.yaml", folder=tmp_path, code=2)

    assert done.stderr == (
        "error: x.yaml:1:1: objective: missing; write what to improve, such as objective: {metric: accuracy, "
        "direction: max}\n"
        "   1 | name: x\n"
        "     | ^\n"
        "x.yaml:1:1: strategy: missing; write strategy: {name: random}, or grid, bayesian or hyperband\n"
        "   1 | name: x\n"
        "     | ^\n"
        "x.yaml:4:3: model.droput: unknown key; did you mean dropout?\n"
        "   4 |   droput: 1\n"
        "     |   ^^^^^^\n"
        "x.yaml:5:10: model.units: expected a whole number from 1 to 65536, got 0\n"
        "   5 |   units: 0\n"
        "     |          ^\n"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("objective={metric: rmse, direction: min}", "objective.metric: expected a metric of a binary task, got rmse"),
        (
            "training.class_weight={values: [{yes: 1, nein: 2}]}",
            'training.class_weight: expected a weight for each of "no", "yes", got unknown "nein"',
        ),
    ],
)
def test_what_the_data_contradicts_is_shown_at_its_line(override: str, expected: str) -> None:
    done = hptune("check", "configs/customers.yaml", "--set", override, code=2)

    assert expected in done.stderr
    assert "--set:1:" in done.stderr


def test_paths_of_overrides_are_relative_to_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes((ROOT / "configs" / "data" / "customers.csv").read_bytes())
    config = ROOT / "configs" / "customers.yaml"

    assert hptune("check", config, "--set", "data.source=mine.csv", folder=tmp_path).stdout.startswith("customers:")
    gone = hptune("check", config, "--set", "data.source=gone.csv", folder=tmp_path, code=2).stderr
    assert gone == f"error: {tmp_path}/gone.csv: no such file; did you mean mine.csv?\n"


def test_classification_settings_are_refused_for_a_regression() -> None:
    done = hptune("check", "configs/diabetes.yaml", "--set", "training.label_smoothing=0.1", code=2)

    assert "training.label_smoothing: expected only with classification, got a regression target" in done.stderr


def test_reports_of_nothing_say_so(tmp_path: Path) -> None:
    assert "no run here yet" in hptune("report", folder=tmp_path, code=2).stderr
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "journal.jsonl").write_text("damaged\n")
    assert "line 1, byte 0: damaged record" in hptune("report", "x", folder=tmp_path, code=6).stderr


def test_another_backend_is_refused() -> None:
    done = hptune("search", "configs/wine.yaml", code=2, KERAS_BACKEND="jax")

    assert done.stderr == 'error: KERAS_BACKEND: expected tensorflow, got "jax"; unset it for hptune\n'


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "x", [0.5] * 2000)

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{HPTUNE} report --format csv | head -1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout[:10], done.stderr) == (0, "rank,trial", "")


def summary(name: str = "x", dimension: str = "model.units", message: str = "") -> Summary:
    trials = [
        Trial(Proposal(0, {dimension: "[/red]\x1b[31m|"}, 1), Outcome.COMPLETED, score=0.5, best_epoch=1, weights=3),
        Trial(Proposal(1, {}, 1), Outcome.DIVERGED, message=message),
    ]
    board = rank(trials, Objective("accuracy", "max"), (dimension,))
    verdict = {
        "trial": 0,
        "validation": {"accuracy": 0.5},
        "test": {"accuracy": 0.4},
        "baselines": {"majority": {"accuracy": 0.3}},
    }
    return Summary(name, "finished: budget used", {}, board, verdict, {"completed": 1, "diverged": 1}, 2, 1)


def test_text_from_data_does_not_act_in_the_terminal() -> None:
    console = Console(width=100, record=True, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        show_summary(console, summary())
        console.print(table("[bold]t[/bold]", ("[/x]",), [("\u202e[red]",)]))

    text = captured.get()
    assert "\x1b[31m" not in text
    assert "[/red]\\x1b[31m|" in text
    assert "\\u202e[red]" in text


def test_text_from_data_does_not_act_in_markdown() -> None:
    text = to_markdown(summary(name="x|<script>"))

    assert "# hptune: x\\|\\<script\\>" in text
    assert "\\[/red\\]\\\\x1b\\[31m\\|" in text


def test_the_terminal_shows_what_fits() -> None:
    console = Console(width=60, record=True)
    with console.capture() as captured:
        show_summary(console, summary(dimension="model." + "very_long_" * 5))

    assert "1 further columns do not fit; they are in leaderboard.csv" in captured.get()


def test_plain_progress_prints_a_line_a_trial(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress(Objective("accuracy", "max"), Plan(trials=2), ())

    progress.finished(Trial(Proposal(0, {}, 1), Outcome.COMPLETED, score=0.5))
    progress.finished(Trial(Proposal(1, {}, 1), Outcome.DIVERGED, message="epoch 1: no \x1b[2J numbers"))

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("trial 0 completed accuracy 0.5; best accuracy 0.5 (trial 0); 1/2 done, ")
    assert second.startswith("trial 1 diverged epoch 1: no \\x1b[2J numbers; best accuracy 0.5 (trial 0); 2/2 done, ")
