"""Where a run took place: versions, hardware, command. Recorded, because equality is promised on equal ground only."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
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


def describe_environment() -> dict[str, Any]:
    """Describe versions, machine and command."""
    return {
        "schema": 1,
        "versions": describe_versions(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": count_cores(),
        "command": sys.argv,
    }


def count_cores() -> int:
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
