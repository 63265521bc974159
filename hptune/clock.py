"""Active time: the seconds that a search has worked in all its sessions, by a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Counts on from what earlier sessions have used."""

    def __init__(self, used: float, limit: float | None, now: Callable[[], float] = time.monotonic) -> None:
        """Start.

        Args:
            used: Active seconds of earlier sessions.
            limit: Active seconds after which the search ends; None for no limit.
            now: A clock that never goes back, in seconds.
        """
        self._used = used
        self._limit = limit
        self._now = now
        self._began = now()

    def active(self) -> float:
        """Seconds of all sessions so far."""
        return self._used + self._now() - self._began

    def left(self) -> float | None:
        """Seconds until the limit; None without limit."""
        return None if self._limit is None else max(self._limit - self.active(), 0.0)

    def is_used_up(self) -> bool:
        """Tell whether the limit has been reached."""
        return self._limit is not None and self.active() >= self._limit
