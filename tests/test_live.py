"""The live view: what it shows of a search, and that it keeps to any terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.console import Console

from hptune.console.live import LiveProgress, sparkline
from hptune.console.progress import choose_progress
from hptune.objective import Objective
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan, Slots

ACCURACY = Objective("accuracy", "max")
SEARCH = """
import time
from hptune.console.progress import choose_progress
from hptune.objective import Objective
from hptune.trial import Outcome, Proposal, Trial
from hptune.tuner import Plan

plan = Plan("three trials", trials=3)
with choose_progress(Objective("accuracy", "max"), plan, (), as_json=False, quiet=False) as progress:
    for number in range(3):
        proposal = Proposal(number, {"model.units": 64}, 1)
        progress.started(proposal, 0)
        progress.epoch(number, 1, 0.5)
        time.sleep(0.4)
        progress.finished(Trial(proposal, Outcome.COMPLETED, score=0.5 + number / 10, epochs=1))
print("end", flush=True)
"""


def trial(number: int, score: float | None, **values: object) -> Trial:
    outcome = Outcome.CRASHED if score is None else Outcome.COMPLETED
    return Trial(Proposal(number, values, 1), outcome, score=score, message="" if score is not None else "fell over")


def shown(progress: LiveProgress, width: int = 100, height: int = 30) -> list[str]:
    """What the view shows on a terminal of such a size."""
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    progress.console = console
    with console.capture() as capture:
        console.print(progress.render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_it_shows_counts_failures_the_best_and_the_top_five() -> None:
    progress = LiveProgress(ACCURACY, Plan("", trials=20), ())
    for number, score in enumerate([0.5, 0.7, None, 0.6, 0.8, 0.4, 0.3]):
        progress.finished(trial(number, score, **{"model.units": 64, "training.learning_rate": 0.00123456}))

    lines = shown(progress)

    assert lines[0].startswith("7/20 done, 0 running, 1 crashed; ")
    assert lines[2] == "best accuracy 0.8 (trial 4)  ▁▅▅███"
    assert lines[3:] == [
        "  1. 0.8  trial 4: units 64, learning_rate 0.00123",
        "  2. 0.7  trial 1: units 64, learning_rate 0.00123",
        "  3. 0.6  trial 3: units 64, learning_rate 0.00123",
        "  4. 0.5  trial 0: units 64, learning_rate 0.00123",
        "  5. 0.4  trial 5: units 64, learning_rate 0.00123",
    ]


def test_of_many_running_trials_it_shows_those_that_moved_last() -> None:
    progress = LiveProgress(ACCURACY, Plan("", trials=20), ())
    for number in range(16):
        progress.started(Proposal(number, {}, 1), number % 2)
    progress.epoch(3, 7, 0.25)

    lines = shown(progress)

    assert "16 running" in lines[0]
    assert "slots" not in lines[0]
    assert lines[-5:] == [
        "  trial 3: epoch 7, accuracy 0.25",
        "  trial 13: begins",
        "  trial 14: begins",
        "  trial 15: begins",
        "  and 12 more",
    ]


def test_it_says_how_full_the_workers_are_how_fast_it_goes_and_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = LiveProgress(ACCURACY, Plan("", trials=20, trial_epochs=10), [trial(0, 0.5)])
    progress.filled(Slots(taken=12, total=64, workers=2))
    for number in range(1, 7):
        progress.started(Proposal(number, {}, 1), 0)
        for epoch in range(1, 6):
            progress.epoch(number, epoch, 0.5)
    now = 130.0

    # Six of twenty trials are half done, beside one that an earlier session trained.
    assert shown(progress)[0] == "1/20 done, 12 of 64 slots of 2 workers; 30s so far, 2m40s left"
    assert progress.record()["trials_a_minute"] is None

    for number in range(1, 7):
        progress.finished(trial(number, 0.6))
    # What was tried twice is counted once.
    progress.finished(trial(7, None))
    progress.started(Proposal(7, {}, 1), 0)
    progress.finished(trial(7, None))
    now = 142.0

    assert shown(progress)[0] == (
        "8/20 done, 12 of 64 slots of 2 workers, 2 crashed; 10.0 trials a minute, 42s so far, 1m12s left"
    )
    assert progress.record() == {
        "done": 8,
        "planned": 20,
        "slots": {"taken": 12, "total": 64, "workers": 2},
        "trials_a_minute": 10.0,
        "seconds_passed": 42.0,
        "seconds_left": 72.0,
    }
    assert progress.share_done() == 0.4


def test_the_time_left_ends_with_the_budget() -> None:
    progress = LiveProgress(ACCURACY, Plan("", trials=1000, seconds=90.0), ())

    assert 89 < progress.record()["seconds_left"] <= 90


@pytest.mark.parametrize(("width", "height"), [(20, 5), (40, 10), (200, 60)])
def test_it_never_shows_more_than_the_terminal_has(width: int, height: int) -> None:
    progress = LiveProgress(ACCURACY, Plan("", trials=20), [trial(n, 0.1 * n, **{"model.units": 64}) for n in range(8)])
    for number in range(8, 20):
        progress.started(Proposal(number, {}, 1), 0)

    lines = shown(progress, width, height)
    lines[0] = lines[0].removeprefix("\x1b[2J\x1b[H")

    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_the_sparkline_of_a_long_search_is_as_wide_as_it_may_be_and_ends_with_the_best() -> None:
    line = sparkline([number / 1000 for number in range(1000)], ACCURACY, 40)

    assert len(line) == 40
    assert (line[0], line[-1]) == ("▁", "█")
    assert list(line) == sorted(line)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CI": "true"}, {}])
def test_without_a_terminal_that_can_it_prints_plain_lines(environment: dict[str, str]) -> None:
    text = watch({"TERM": "xterm", **environment}, is_terminal=bool(environment))

    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("trial ")][-1].startswith(
        "trial 2 completed accuracy 0.7; "
    )


def test_a_forced_colour_does_not_make_a_pipe_a_terminal() -> None:
    assert "trial 2 completed accuracy 0.7" in watch({"FORCE_COLOR": "1", "TERM": "xterm"}, is_terminal=False)


def test_no_color_is_obeyed_by_the_live_view() -> None:
    text = watch({"NO_COLOR": "1", "TERM": "xterm-256color"}, is_terminal=True)

    assert "best accuracy" in text
    assert "\x1b[38" not in text
    assert "\x1b[3" not in text.replace("\x1b[3A", "")


def test_the_live_view_survives_a_terminal_that_shrinks() -> None:
    text = watch({"TERM": "xterm"}, is_terminal=True, sizes=((100, 30), (30, 8), (12, 3)))

    assert text.rstrip().endswith("end")
    assert "Traceback" not in text


def watch(environment: dict[str, str], *, is_terminal: bool, sizes: tuple[tuple[int, int], ...] = ((100, 30),)) -> str:
    """Run a made search in a process of its own, and return what its screen was sent."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "FORCE_COLOR", "TERM")}
    command = [sys.executable, "-c", SEARCH]
    if not is_terminal:
        done = subprocess.run(
            command, env={**kept, **environment}, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stderr + done.stdout
    ours, theirs = pty.openpty()
    resize(theirs, *sizes[0])
    with subprocess.Popen(command, env={**kept, **environment}, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        received, until, waiting = b"", time.monotonic() + 30, list(sizes[1:])
        while time.monotonic() < until:
            if not select.select([ours], [], [], 0.3)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break  # The other end is closed.
            if not piece:
                break
            received += piece
            if waiting and b"best accuracy" in received:
                resize(ours, *waiting.pop(0))
        os.close(ours)
        assert process.wait(timeout=10) == 0, received.decode()
    return received.decode()


def resize(descriptor: int, columns: int, lines: int) -> None:
    ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def test_quiet_and_json_come_before_the_terminal(tmp_path: Path) -> None:
    assert type(choose_progress(ACCURACY, Plan(), (), as_json=False, quiet=True)).__name__ == "Progress"
    assert type(choose_progress(ACCURACY, Plan(), (), as_json=True, quiet=False)).__name__ == "JsonProgress"
