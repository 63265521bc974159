"""How many workers there are, and how much memory each may use: one a processor core, or one a graphics processor."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hptune.training.capacity import share_of_memory
from hptune.training.workers import WarmProcesses

# Where none of these exists, TensorFlow need not be asked: NVIDIA's and AMD's drivers, and Windows' under Linux.
_DEVICES = Path("/dev")
_DRIVERS = ("nvidia[0-9]*", "kfd", "dxg")


@dataclass(frozen=True)
class Crew:
    """Who trains.

    Attributes:
        workers: How many at a time.
        memory_bytes: That each may use for the slots of a population.
    """

    workers: int
    memory_bytes: int


def gather_crew(wanted: int | None, cores: int, processes: WarmProcesses) -> Crew:
    """Choose as many workers as there are graphics processors that TensorFlow can use, or else cores.

    Args:
        wanted: How many the user asked for; None to choose.
        cores: Of the processor, that this process may use.
        processes: Where TensorFlow can be asked.
    """
    return choose_crew(wanted, cores, _find_gpus(processes))


def choose_crew(wanted: int | None, cores: int, gpus: Sequence[int]) -> Crew:
    """Share out the memory of the machine, or of its graphics processors.

    Args:
        wanted: How many the user asked for; None to choose.
        cores: Of the processor.
        gpus: Bytes of memory of each graphics processor.

    >>> choose_crew(None, 16, [80 << 30, 80 << 30]), choose_crew(3, 16, [80 << 30, 40 << 30])
    (Crew(workers=2, memory_bytes=42949672960), Crew(workers=3, memory_bytes=10737418240))
    """
    if not gpus:
        workers = wanted or cores
        return Crew(workers, share_of_memory(workers))
    workers = wanted or len(gpus)
    # A half, as of the machine's: a population needs more than its slots, and others may use the device too.
    return Crew(workers, min(gpus) // (2 * math.ceil(workers / len(gpus))))


def _find_gpus(processes: WarmProcesses) -> Sequence[int]:
    if not any(True for driver in _DRIVERS for _ in _DEVICES.glob(driver)):
        return ()
    with tempfile.TemporaryDirectory(prefix="hptune-") as scratch:
        return processes.call(_list_gpus, output=Path(scratch) / "output.txt")


def _list_gpus() -> Sequence[int]:
    from hptune.training.devices import list_gpus  # TensorFlow is imported in the worker only

    return list_gpus()
