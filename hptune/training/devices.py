"""The devices that TensorFlow computes on; in a worker process, before its first operation."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.python.client import device_lib


def list_gpus() -> Sequence[int]:
    """Return the bytes of memory that TensorFlow may use of each graphics processor it sees."""
    return [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]


def configure_runtime(worker: int = 0) -> None:
    """Make this process compute with one thread and reproducibly, on one graphics processor where there are some.

    Args:
        worker: The number of this worker; they take turns with the graphics processors.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    if gpus := tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices(gpus[worker % len(gpus)], "GPU")
        # Ten bits of a product are too few for an artifact that is held against the search to five digits.
        tf.config.experimental.enable_tensor_float_32_execution(False)
