"""What the machine has: memory, also where a container may not use all of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What limits a container stands in the first, that of older systems in the second.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_OWN_PAGES = Path("/proc/self/statm")
_COUNTS = Path("/proc/vmstat")


def memory_of_machine() -> int:
    """Return the bytes of memory that this process and its children may use."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _CONTAINER_LIMITS:
        # No such file, or `max`: no limit.
        with suppress(OSError, ValueError):
            limits.append(int(file.read_text()))
    return min(limits)


def memory_of(process: int | None) -> int:
    """Return the bytes of memory that a process has now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def count_out_of_memory_kills() -> int:
    """Return how many processes the system has killed because memory was short; 0 where it does not tell."""
    try:
        counts = dict(line.split() for line in _COUNTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


@contextmanager
def limited_memory(more_bytes: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has, and no more; on systems that can limit it.

    Asking for more is then an error of the operation that asks, and not the end of whatever process the system chooses.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError, IndexError):
        size = int(_OWN_PAGES.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + more_bytes
        lowest = min((limit for limit in before if limit != resource.RLIM_INFINITY), default=size)
        resource.setrlimit(resource.RLIMIT_AS, (min(size, lowest), before[1]))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, before)
