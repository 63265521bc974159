"""Where a run took place: versions, hardware, command. Recorded, because equality is promised on equal ground only."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from hptune import __version__

_PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "polars", "scikit-learn", "scipy")


def describe_versions() -> dict[str, str]:
    """Name the versions that numbers depend on."""
    return {
        "hptune": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def describe_processor() -> str:
    """Name the type of processor, whose arithmetic numbers depend on in their last digits."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def describe_environment() -> dict[str, Any]:
    """Describe versions, machine and command."""
    return {
        "schema": 1,
        "versions": describe_versions(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": describe_processor(),
        "cores": count_cores(),
        "command": sys.argv,
    }


def count_cores() -> int:
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
