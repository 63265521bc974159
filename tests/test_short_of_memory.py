"""Training where memory is short: fewer trials side by side, the same results."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, hptune
from nursery import shared_nursery
from stand_ins import search_short_of_memory

from hptune.run.journal import read_journal

pytestmark = [pytest.mark.tensorflow, pytest.mark.torture]

SEARCH = (
    "search",
    str(ROOT / "configs" / "digits.yaml"),
    *("--max-trials", "12"),
    *("--set", "strategy={name: random, seed: 4}"),
    *("--set", "model={blocks: 2, units: 8, batch_norm: after, dropout: {min: 0.0, max: 0.5}}"),
    *("--set", "training={learning_rate: {min: 1e-3, max: 3e-2, log: true}, batch_size: 128, epochs: 3}"),
    "--quiet",
)


def contents(run: Path) -> dict[str, str]:
    """Everything that equal searches have in common: ranks, curves, weights, predictions, the best model's figures."""

    def content(path: Path) -> bytes:
        if path.suffix != ".npz":
            return path.read_bytes()
        # An archive also says when it was written.
        with np.load(path) as arrays:
            return b"".join(name.encode() + arrays[name].tobytes() for name in arrays.files)

    names = ["leaderboard.csv", "leaderboard.json", "history.csv", "best/hyperparameters.yaml"]
    files = [*(run / name for name in names), *sorted(run.glob("trials/*/*"))]
    return {str(path.relative_to(run)): hashlib.sha256(content(path)).hexdigest() for path in files}


def test_a_search_whose_workers_are_short_of_memory_ends_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "short").mkdir()
    hptune(*SEARCH, "--workers", "1", folder=tmp_path / "whole")

    outputs = [str(tmp_path / name) for name in ("out", "error")]
    child = shared_nursery().start(
        search_short_of_memory, (*SEARCH, "--workers", "1"), str(tmp_path / "short"), outputs
    )

    assert child.wait(timeout_s=120).code == 0, (tmp_path / "error").read_text()
    run = tmp_path / "short" / "runs" / "digits"
    assert contents(run) == contents(tmp_path / "whole" / "runs" / "digits")
    # Twelve at once, then six, then three: most have begun three times.
    kinds = Counter(record["type"] for record in read_journal(run / "journal.jsonl").records)
    assert kinds["end"] == 12
    assert kinds["start"] == 12 + 12 + 6
