"""The documentation: it builds, every command has its page, and what it shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from command_line import hptune

from hptune.cli import app
from hptune.spec import load_experiment

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BIN = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [content for name, content in fenced if name == language]


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ hptune ")]


def test_every_command_has_a_page_that_shows_it_and_lists_its_options() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")

    assert {page.stem for page in (DOCS / "commands").glob("*.md")} == set(group.commands)
    for name in group.commands:
        page = DOCS / "commands" / f"{name}.md"
        assert page.read_text().startswith(f"# hptune {name}\n")
        assert f"<!-- options: {name} -->" in page.read_text()
        assert any(words[0] == name for words in commands(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_line_that_is_shown_can_be_read(page: Path) -> None:
    group = typer.main.get_command(app)

    for name, *words in commands(page):
        group.commands[name].make_context(name, list(words), resilient_parsing=False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_experiment_that_is_shown_is_sound(page: Path) -> None:
    for block in blocks(page, "yaml"):
        load_experiment(Path("shown.yaml"), content=block.encode())


def test_the_site_builds_and_reaches_for_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "commands" / "search.html").read_text()
    assert "--fail-under" in page
    assert "options:" not in page
    fetched = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]*)"', page)
    assert fetched == []


@pytest.mark.tensorflow
@pytest.mark.long
def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    shutil.copy(ROOT / "configs" / "data" / "customers.csv", tmp_path)

    for words in commands(DOCS / "tutorial.md"):
        hptune(*words, folder=tmp_path)

    assert (tmp_path / "predictions.csv").read_text().count("\n") > 500
    assert "Content-Security-Policy" in (tmp_path / "customers.html").read_text()
    assert (tmp_path / "runs" / "customers" / "ensemble" / "ensemble.json").exists()
