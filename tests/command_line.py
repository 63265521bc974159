"""The command line as a user runs it: in real processes, to the end or until something is on record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hptune.run.journal import read_journal

ROOT = Path(__file__).parent.parent
HPTUNE = str(Path(sys.executable).with_name("hptune"))
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def hptune(*words: str | Path, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, and expect an exit code and no traceback."""
    done = subprocess.run(
        [HPTUNE, *map(str, words)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done


def start(*words: str | Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [HPTUNE, *map(str, words)],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_records(run: Path, kind: str, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journal = run / "journal.jsonl"
        if journal.exists() and sum(record["type"] == kind for record in read_journal(journal).records) >= count:
            return
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    pytest.fail(f"no {count} records of {kind} in time")
