"""What the README says is what happens: its YAML, its commands, its Python, its tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hptune.cli import app
from hptune.objective import METRICS
from hptune.spec import load_experiment
from hptune.spec.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [content for name, content in fenced if name == language]


def test_the_yaml_of_the_readme_is_the_config_it_names(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
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
    for command in app.registered_commands:
        assert f"`hptune {command.name or command.callback.__name__} " in README


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


@pytest.mark.tensorflow
def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = blocks("python")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    search = [Path(sys.executable).with_name("hptune"), "search", ROOT / "configs" / "customers.yaml", "--quiet"]
    small = ["--max-trials", "1", "--set", "training.epochs=2"]
    subprocess.run([*search, *small], cwd=tmp_path, check=True, timeout=120, env=environment)

    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment
    )

    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"0\.\d+", done.stdout)) == 4
