"""The command line as a user runs it: in real processes, to the end or until something is on record.

A process that is to run to its end is forked from one that has imported what hptune imports, which takes ten seconds of
processor time otherwise. Those that are killed, and those of tests/test_readme.py, test_cli.py and test_docs.py, are
begun as the shell begins them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nursery import Child, shared_nursery

from hptune.run.journal import read_journal

ROOT = Path(__file__).parent.parent
HPTUNE = str(Path(sys.executable).with_name("hptune"))
LONGEST_S = 300
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def hptune(*words: str | Path, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, and expect an exit code and no traceback.

    Searches have one worker unless they say otherwise: results are the same, and every worker traces by itself.
    """
    given = [str(word) for word in words]
    if given[0] == "search" and "--workers" not in given:
        given += ["--workers", "1"]
    done = shared_nursery().run_hptune(given, folder, dict(os.environ), LONGEST_S)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done


def begin(*words: str | Path, folder: Path) -> tuple[Child, Path]:
    """Begin the command line in a folder, to be killed; return its process and the file of its standard output."""
    child, (said, _) = shared_nursery().begin_hptune([str(word) for word in words], folder, dict(os.environ))
    return child, said


def run_python(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, and expect that it succeeds; TensorFlow may have something to say aside."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**ENVIRONMENT, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done


_WITHOUT_HPTUNE = """
import csv, importlib.abc, json, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hptune":
            raise ImportError("hptune must not be needed")
sys.meta_path.insert(0, Refuse())
import keras, tensorflow as tf
model = keras.models.load_model(sys.argv[1])
assert "hptune" not in sys.modules
rows = list(csv.DictReader(open(sys.argv[2])))
number = lambda cell: float("nan") if cell in ("", "NA", "?") else float(cell)
text = lambda cell: "" if cell in ("", "NA", "?") else cell
given = {name: tf.constant([[number(row[name])] for row in rows], tf.float64) for name in ("age", "income", "visits")}
given |= {name: tf.constant([[text(row[name])] for row in rows]) for name in ("plan", "city", "region")}
known = model.predict(given, verbose=0)
given["region"] = tf.constant([["999"]] * len(rows))
print(json.dumps([known.tolist(), model.predict(given, verbose=0).tolist()]))
"""


def predict_without_hptune(model: Path, table: Path) -> tuple[list[list[float]], list[list[float]]]:
    """Let Keras alone predict the table of customers, and the same rows with a region that was never seen."""
    known, unseen = json.loads(run_python("-c", _WITHOUT_HPTUNE, model, table, folder=table.parent).stdout)
    return known, unseen


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
