"""Where real data lies, and small tables that tests share."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nursery import Nursery, shared_nursery

from hptune.groundwork import Groundwork, lay_groundwork
from hptune.training.workers import WORKER_ENVIRONMENT

# As in workers, so that engines are held against each other with the products that searches use: oneDNN cuts those of
# few slots otherwise into the parts of several threads than those of many.
os.environ |= {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in os.environ}
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
ROOT = Path(__file__).parent.parent
TABLE = """\
id,age,income,city,grade,churned
1,34,1200.5,Bern,3,yes
2,51,NA,Como,1,no
3,,3100.0,Bern,2,no
4,29,900.25,,3,yes
5,47,2500.0,Como,1,no
6,38,1800.0,Bern,2,yes
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; they are not part of the project."""
    folder = Path(os.environ.get("HPTUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}; set HPTUNE_SHARED_DATA to their folder")
    return folder


@pytest.fixture
def ground(tmp_path: Path) -> Callable[..., Groundwork]:
    """Lay the groundwork for a table given as text, with a minimal experiment and extra `data` lines."""

    def lay(table: str = TABLE * 1, data: str = "", target: str = "churned", name: str = "table.csv") -> Groundwork:
        (tmp_path / name).write_bytes(table.encode() if isinstance(table, str) else table)
        config = tmp_path / "experiment.yaml"
        metric = "rmse, direction: min" if "regression" in data else "accuracy, direction: max"
        config.write_text(
            f"name: test\ndata:\n  source: {name}\n  target: {target}\n{data}"
            f"objective: {{metric: {metric}}}\nstrategy: {{name: random}}\nbudget: {{max_trials: 1}}\n"
        )
        return lay_groundwork(config)

    return lay


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: there a sync takes no time."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="hptune-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def nursery() -> Nursery:
    """Forks of a process that has imported keras_tuner."""
    return shared_nursery()


COUNTS = ("faults tried", "results equal", "announced trials kept", "announced trials lost", "files damaged outside")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Sum up what the tests in torture/ have counted."""
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            totals.update(
                dict(getattr(report, "user_properties", ())) if getattr(report, "when", "") == "teardown" else {}
            )
    if totals["faults tried"]:
        terminalreporter.section("torture")
        for name in COUNTS:
            terminalreporter.write_line(f"{name:<24}{totals[name]:>8}")
