"""What workers run in place of training; without pytest, which a worker would need 0.1 s to import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from hptune.errors import DataError
from hptune.training.job import Fitted, OnEpoch
from hptune.training.workers import Mailbox
from hptune.trial import Outcome


def serve(mailbox: Mailbox, worker: int) -> None:
    """Do jobs, each a function and its number, all those given at a time one after the other."""
    while True:
        for trial, (function, number) in mailbox.next_jobs(wait=True):

            def on_epoch(epoch: int, score: float, trial: int = trial) -> str:
                mailbox.send("epochs", [(trial, epoch, score)])
                return mailbox.reason_to_end(trial)

            mailbox.send("ended", (trial, function(number, on_epoch), 0))


def serve_two_at_most(mailbox: Mailbox, worker: int) -> None:
    """Find it too crowded for more than two trials."""
    while True:
        jobs = mailbox.next_jobs(wait=True)
        if len(jobs) > 2:
            mailbox.send("crowded", [trial for trial, _ in jobs])
            continue
        for trial, (function, number) in jobs:
            mailbox.send("ended", (trial, function(number, lambda epoch, score: ""), 0))


def serve_where_three_are_killed(mailbox: Mailbox, worker: int) -> None:
    """Be killed, as a system short of memory kills, where there are more than two trials at a time."""
    while True:
        jobs = mailbox.next_jobs(wait=True)
        if len(jobs) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        for trial, (function, number) in jobs:
            mailbox.send("ended", (trial, function(number, lambda epoch, score: ""), 0))


def serve_short_of_memory(mailbox: Mailbox, worker: int) -> None:
    """Train for real; more than four trials in their second epoch ask for more memory than any machine has."""
    import tensorflow as tf

    from hptune.training.population import Population
    from hptune.training.serving import serve as serve_for_real

    advance = Population.advance

    def advance_if_there_is_room(self: Population) -> object:
        if len(self) > 4 and self.last_epochs:
            tf.zeros([1 << 45])  # A ResourceExhaustedError of TensorFlow's own allocator.
        return advance(self)

    Population.advance = advance_if_there_is_room  # type: ignore[method-assign,assignment]
    serve_for_real(mailbox, worker)


def search_short_of_memory(words: Sequence[str], folder: str, outputs: Sequence[str]) -> None:
    """Be the process of a search whose workers are short of memory; never returns."""
    from nursery import run_command_line

    import hptune.workshop

    hptune.workshop.serve_in_worker = serve_short_of_memory
    run_command_line(words, folder, outputs, dict(os.environ))


def wait_for_end(mailbox: Mailbox) -> None:
    mailbox.send("epochs", [])
    time.sleep(60)


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


def shout(number: int, on_epoch: OnEpoch) -> Fitted:
    """Print a hundred megabytes and die, or fail with a message of ten."""
    if number == 1:
        return Fitted(Outcome.INFEASIBLE, "stand-in", message="x" * (10 << 20))
    for _ in range(100):
        os.write(1, b"x" * (1 << 20))
    os.write(1, b" and that was all")
    os._exit(3)


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


def hang_at_two(number: int, on_epoch: OnEpoch) -> Fitted:
    return hang(number, on_epoch) if number == 2 else square(number, on_epoch)
