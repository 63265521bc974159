"""Runs that the tests in this folder share or begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_in import Bench, make_bench


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A search that nothing disturbed."""
    bench = make_bench(tmp_path_factory.mktemp("whole") / "x")
    bench.search()
    return bench


@pytest.fixture
def bench(ram: Path) -> Bench:
    """An experiment that nobody has searched yet."""
    return make_bench(ram / "x")
