"""What the README says is what happens: its YAML, its commands, its Python, its tables."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from hptune.cli import app
from hptune.groundwork import lay_groundwork
from hptune.objective import METRICS
from hptune.spec import load_experiment
from hptune.spec.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [content for name, content in fenced if name == language]


def test_the_yaml_of_the_readme_is_the_config_it_names(tmp_path: Path) -> None:
    block = blocks("yaml")[0]
    (tmp_path / "experiment.yaml").write_text(block)

    assert load_experiment(tmp_path / "experiment.yaml").experiment == (
        load_experiment(ROOT / "configs" / "customers.yaml").experiment
    )


def test_the_table_of_customers_is_what_its_script_makes(tmp_path: Path) -> None:
    script = ROOT / "configs" / "data" / "make_customers.py"

    subprocess.run([sys.executable, script, tmp_path / "again.csv"], check=True)

    assert (tmp_path / "again.csv").read_bytes() == script.with_name("customers.csv").read_bytes()


def test_every_setting_and_metric_is_documented() -> None:
    for key in SETTINGS:
        assert f"`{key}`" in README or "data.preparation" in key, key
    assert all(metric in README for metric in METRICS)


def test_every_command_is_documented() -> None:
    for command in get_command(app).commands:
        assert re.search(rf"`hptune {command}[ `]", README), command


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = README[README.index("## Why each dependency") :]
    for requirement in project["dependencies"]:
        assert re.match(r"[a-z-]+", requirement)[0] in table


def test_the_error_of_the_readme_is_what_is_printed(tmp_path: Path) -> None:
    block = next(block for block in blocks("") if block.startswith("configs/churn.yaml"))
    folder = tmp_path / "configs"
    folder.mkdir()
    head = "name: churn\ndata:\n  source: churn.csv\n  target: churned\nobjective: {metric: accuracy, direction: max}\n"
    head += "strategy: {name: random}\nbudget: {max_trials: 9}\nmodel:\n"
    (folder / "churn.yaml").write_text(head + "  droput: {min: 0.0, max: 0.5}\ntraining:\n  epochs: 1e3\n")

    done = subprocess.run(
        [Path(sys.executable).with_name("hptune"), "check", "configs/churn.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr == "error: " + block


def test_the_comparison_is_with_what_the_benchmark_runs(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(blocks("yaml")[1])
    script = next(block for block in blocks("python") if "keras_tuner.RandomSearch" in block)

    ground = lay_groundwork(tmp_path / "digits.yaml")

    assert script in (ROOT / "benchmarks" / "plain_keras_tuner.py").read_text()
    assert [dimension.name.partition(".")[2] for dimension in ground.space.dimensions] == [
        name for name in ("dropout", "l1", "l2", "learning_rate") if f'"{name}"' in script
    ]


def test_the_picture_fetches_nothing() -> None:
    picture = (ROOT / "docs" / "search.svg").read_text()

    assert "(docs/search.svg)" in README
    assert "Leaderboard" in picture.replace("&#160;", " ")
    assert "@font-face" not in picture
    assert len(picture) < 64_000


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder as the README's commands expect it: the configs in it, hptune on the path."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def run(*command: str, folder: Path, code: int = 0) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": path}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.tensorflow
@pytest.mark.long
def test_the_python_of_the_readme_runs(workplace: Path) -> None:
    programs = [block for block in blocks("python") if block.startswith("import ")]

    answers = []
    for number, program in enumerate(programs):
        (workplace / f"program{number}.py").write_text(program)
        answers.append(run(sys.executable, f"program{number}.py", folder=workplace))

    search, predicted = answers
    assert "model.units" in search
    assert "prediction" in search
    assert len(re.findall(r"0\.\d+", predicted)) == 4


@pytest.mark.tensorflow
@pytest.mark.long
def test_the_gate_of_the_readme_lets_through_and_stops(workplace: Path) -> None:
    script = next(block for block in blocks("sh") if "--fail-under" in block)

    run("sh", "-c", script, folder=workplace)
    first = (workplace / "report.json").read_text()
    run("sh", "-c", script.replace("roc_auc=0.7", "roc_auc=0.9999"), folder=workplace, code=3)

    baseline = next(block for block in blocks("sh") if "--baseline" in block)
    run("sh", "-ec", baseline, folder=workplace)

    assert "not worse beyond noise" in (workplace / "report.md").read_text()
    assert 'failures="0"' in (workplace / "gate.xml").read_text()
    assert json.loads(first)["best"]["test"]["roc_auc"] >= 0.7
    assert (workplace / "report.json").read_text() == first
    assert (workplace / "report.md").read_text().startswith("# hptune: customers\n")


@pytest.mark.tensorflow
@pytest.mark.long
def test_the_first_commands_of_the_readme_run_on_a_table_of_ones_own(workplace: Path) -> None:
    script = next(block for block in blocks("sh") if "hptune init" in block)
    shutil.copy(ROOT / "configs" / "data" / "customers.csv", workplace)

    run("sh", "-ec", script.replace("search customers.yaml", "search customers.yaml --max-trials 1"), folder=workplace)

    assert (workplace / "runs" / "customers" / "best" / "model.keras").exists()
