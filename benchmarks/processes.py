"""How much memory processes have, as Linux's /proc tells it; what is gone has none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def memory_mib(process: int) -> float:
    """Return the proportional set size of a process: what it shares with others counts once among them."""
    return _read_mib(process, "smaps_rollup", "Pss:")


def peak_mib(process: int) -> float:
    """Return the most memory that a process has had resident, shared pages included."""
    return _read_mib(process, "status", "VmHWM:")


def _read_mib(process: int, file: str, name: str) -> float:
    with suppress(OSError):
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
    return 0.0


def workers_of(search: int) -> list[int]:
    """List what the fork server, a child of the search, has forked, in that order: its strategy, then its workers."""
    return [worker for child in _children_of(search) for worker in _children_of(child)]


def _children_of(process: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def family_memory_mib(root: int) -> float:
    """Sum the proportional memory of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    total, pending = 0.0, [root]
    while pending:
        process = pending.pop()
        pending.extend(children.get(process, ()))
        total += memory_mib(process)
    return total
