"""Signals as a request: the first asks a search to stop and keep its state, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hptune.errors import InterruptedSearchError

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether, and by which signal, the search was asked to stop.

    Args:
        resume_command: Told to the user, who wants to go on later.
    """

    def __init__(self, resume_command: str = "") -> None:
        self.signal_number: int | None = None
        self._resume_command = resume_command

    def is_requested(self) -> bool:
        """Tell whether a signal has arrived."""
        return self.signal_number is not None

    def check(self) -> None:
        """Raise where a signal has arrived.

        Raises:
            InterruptedSearchError: With the command that resumes, and 128 plus the signal as exit code.
        """
        if self.signal_number is not None:
            name = signal.Signals(self.signal_number).name
            hint = f"; go on with: {self._resume_command}" if self._resume_command else ""
            raise InterruptedSearchError(f"stopped by {name}, everything finished is kept{hint}", self.signal_number)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take over the signals for as long as a search runs; in another thread than the main one they are not ours."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._note) for number in WATCHED}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal_number is not None:
            # Workers see the closed pipe and end; the journal needs no farewell.
            os._exit(128 + number)
        self.signal_number = number
