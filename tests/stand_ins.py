"""What workers run in place of training; without pytest, which a worker would need 0.1 s to import."""

from __future__ import annotations

import os
import signal
import time

from hptune.errors import DataError
from hptune.training.job import Fitted, OnEpoch
from hptune.trial import Outcome


def square(number: int, on_epoch: OnEpoch) -> Fitted:
    on_epoch(1, float(number))
    return Fitted(Outcome.COMPLETED, "stand-in", score=float(number**2), epochs=1)


def misbehave(number: int, on_epoch: OnEpoch) -> Fitted:
    if number == 0:
        print("about to fall", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 1:
        os._exit(0)
    return square(number, on_epoch)


def stumble(number: int, on_epoch: OnEpoch) -> Fitted:
    raise KeyError("a fault of ours")


def wait_long(number: int, on_epoch: OnEpoch) -> Fitted:
    on_epoch(1, 0.0)
    time.sleep(60)
    return square(number, on_epoch)


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    raise DataError("not this table")


def count_epochs(number: int, on_epoch: OnEpoch) -> Fitted:
    for epoch in range(1, 1000):
        if reason := on_epoch(epoch, 0.5):
            return Fitted(Outcome.TIMEOUT, "stand-in", score=0.5, epochs=epoch, message=reason)
        time.sleep(0.01)
    return Fitted(Outcome.COMPLETED, "stand-in", score=0.5, epochs=1000)


def hang(number: int, on_epoch: OnEpoch) -> Fitted:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
    return square(number, on_epoch)
