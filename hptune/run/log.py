"""The log of a run: what no table shows, such as tracebacks and the last words of workers; for whoever mends things."""

from __future__ import annotations

import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hptune.errors import HptuneError, InternalError

LOGGER = logging.getLogger("hptune")


def log_to_screen() -> None:
    """Let the log go to the error stream as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)


class _LogFile(logging.FileHandler):
    """A log that stops nothing where it cannot be written; that is said once, on the error stream."""

    _has_complained = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of logging
        if not self._has_complained:
            self._has_complained = True
            words = f"warning: {self.baseFilename}: {sys.exc_info()[1]}; the search goes on without its log"
            logging.StreamHandler().emit(logging.makeLogRecord({"msg": words}))

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Let the log go to a file, which is made when there is something to say, and turn faults of ours into one line.

    Raises:
        InternalError: Where something else than an error meant for the user was raised; the traceback is in the file.
    """
    handler = _LogFile(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    except InternalError as error:
        LOGGER.error("%s", error)
        raise InternalError(_one_line(error.message.strip().splitlines()[-1], path)) from error
    except HptuneError:
        raise
    except Exception as error:
        LOGGER.exception("a fault of hptune")
        raise InternalError(_one_line(f"{type(error).__name__}: {error}", path)) from error
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


def _one_line(what: str, path: Path) -> str:
    return f"a fault of hptune, not of the experiment: {what}; the details are in {path}, please report them"


def save_traceback(error: Exception) -> InternalError:
    """Write the traceback of a fault outside any run to a file of its own, and return the line for the user."""
    with tempfile.NamedTemporaryFile("w", prefix="hptune-", suffix=".log", delete=False, encoding="utf-8") as stream:
        stream.write("".join(traceback.format_exception(error)))
    return InternalError(_one_line(f"{type(error).__name__}: {error}", Path(stream.name)))
