"""Who trains, and on what; graphics processors are made up, because the machines that run these tests have none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hptune.training import crew
from hptune.training.capacity import share_of_memory
from hptune.training.crew import Crew, gather_crew
from hptune.training.workers import WORKER_ENVIRONMENT

GIB = 1 << 30


class Processes:
    """Answers what TensorFlow would say of its devices, and counts how often it is asked."""

    def __init__(self, gpus: Sequence[int]) -> None:
        self.gpus = gpus
        self.asked = 0

    def call(self, function: Any, output: Path) -> Sequence[int]:
        self.asked += 1
        return self.gpus


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(crew, "_DEVICES", tmp_path)
    return tmp_path


def gather(wanted: int | None, processes: Processes) -> Crew:
    return gather_crew(wanted, 16, processes)  # type: ignore[arg-type]


def test_a_machine_without_drivers_has_a_worker_a_core_and_is_not_asked(devices: Path) -> None:
    processes = Processes([80 * GIB])
    (devices / "nvidiactl").touch()

    assert gather(None, processes) == Crew(16, share_of_memory(16))
    assert gather(3, processes) == Crew(3, share_of_memory(3))
    assert processes.asked == 0


@pytest.mark.parametrize("driver", ["nvidia0", "kfd", "dxg"])
def test_a_machine_with_graphics_processors_has_a_worker_for_each(devices: Path, driver: str) -> None:
    (devices / driver).touch()

    assert gather(None, Processes([80 * GIB, 40 * GIB])) == Crew(2, 20 * GIB)
    assert gather(4, Processes([80 * GIB, 40 * GIB])) == Crew(4, 10 * GIB)


def test_a_driver_that_tensorflow_cannot_use_changes_nothing(devices: Path) -> None:
    (devices / "nvidia0").touch()
    processes = Processes([])

    assert gather(None, processes) == Crew(16, share_of_memory(16))
    assert processes.asked == 1


@pytest.mark.tensorflow
def test_workers_take_turns_with_the_graphics_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from hptune.training.devices import configure_runtime

    told: list[tuple[Any, ...]] = []
    experimental, threading = tf.config.experimental, tf.config.threading
    for place, name in (
        (threading, "set_intra_op_parallelism_threads"),
        (threading, "set_inter_op_parallelism_threads"),
        (experimental, "enable_op_determinism"),
    ):
        monkeypatch.setattr(place, name, lambda *given: None)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *given: told.append(("visible", *given)))
    monkeypatch.setattr(experimental, "enable_tensor_float_32_execution", lambda flag: told.append(("tf32", flag)))

    for worker in (0, 3):
        configure_runtime(worker)

    assert told == [entry for device in ("first", "second") for entry in (("visible", device, "GPU"), ("tf32", False))]
    # What they need of its memory is for the environment to say, before TensorFlow looks at the device.
    assert WORKER_ENVIRONMENT["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


@pytest.mark.tensorflow
def test_tensorflow_is_asked_for_its_graphics_processors() -> None:
    import tensorflow as tf

    from hptune.training.devices import list_gpus

    assert len(list_gpus()) == len(tf.config.list_physical_devices("GPU"))
