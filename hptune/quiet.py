"""Silence while a library is imported: TensorFlow greets on the error stream whatever its log level is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ERROR_STREAM = 2


@contextmanager
def quiet_errors() -> Iterator[None]:
    """Let what is written to the error stream, also by C++ code and by processes started inside, go nowhere."""
    kept = os.dup(_ERROR_STREAM)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _ERROR_STREAM)
        yield
    finally:
        os.dup2(kept, _ERROR_STREAM)
        os.close(kept)
        os.close(nowhere)
