"""Make models of somebody who means harm, each an artifact of hptune at first sight. Run as a script: FOLDER COMMAND.

`code.keras` runs the command where its code is allowed to run. The others run nothing: they would fill the memory, or
have files of the reader's machine read as weights.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

from hptune.description import ENTRY, Description

ABOUT = Description("regression", "y", (), None, 1.0, (("x", "numeric"),), {}, ("",), None)
KERNEL = "layers/dense/vars/0"
# No machine has room for the kernel between two layers of it.
WIDE = 2_000_000
LONG = 10**10


def pack(model: keras.Model, path: Path, change: Callable[[str, bytes], bytes] = lambda name, content: content) -> None:
    """Save a model, change the entries of its archive, and let it look like ours."""
    stream = io.BytesIO()
    plain = path.with_suffix(".plain.keras")
    model.save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(stream, "w") as target:
        for entry in source.infolist():
            target.writestr(entry.filename, change(entry.filename, source.read(entry)))
        target.writestr(ENTRY, ABOUT.to_json())
    plain.unlink()
    path.write_bytes(stream.getvalue())


def widened(name: str, content: bytes) -> bytes:
    """Claim layers of millions of units, whose weights a few kilobytes need not hold."""
    if name != "config.json":
        return content
    document = json.loads(content)
    first, second = (layer for layer in document["config"]["layers"] if layer["class_name"] == "Dense")
    for layer in (first, second):
        layer["config"]["units"] = WIDE
    second["build_config"] = {"input_shape": [None, WIDE]}
    return json.dumps(document).encode()


def with_weights(folder: Path, edit: Callable[[h5py.Group, str], object]) -> Callable[[str, bytes], bytes]:
    """Put something else in the place of a kernel."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(".h5"):
            return content
        path = folder / "weights.h5"
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            del file[KERNEL]
            place, _, last = KERNEL.rpartition("/")
            edit(file[place], last)
        edited = path.read_bytes()
        path.unlink()
        return edited

    return change


def main(folder: Path, command: str) -> None:
    inputs = keras.Input((1,), name="x")
    dense = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(3)(inputs)))
    pack(dense, folder / "honest.keras")
    pack(dense, folder / "scratched.keras", lambda name, content: b"scratched" if name.endswith(".h5") else content)
    pack(dense, folder / "wide.keras", widened)
    repeated = keras.layers.GlobalAveragePooling1D()(keras.layers.RepeatVector(LONG)(inputs))
    pack(keras.Model(inputs, repeated), folder / "long.keras")
    run = keras.layers.Lambda(lambda x: (__import__("os").system(command), x)[1], output_shape=(1,))
    pack(keras.Model(inputs, run(inputs)), folder / "code.keras")

    letter, other = folder / "letter", folder / "other.h5"
    letter.write_bytes(np.arange(3, dtype="<f4").tobytes())
    with h5py.File(other, "w") as file:
        file["letter"] = np.zeros((1, 3), "f4")
    layout = h5py.VirtualLayout((1, 3), "f4")
    layout[:] = h5py.VirtualSource(str(other), "letter", shape=(1, 3))
    edits: dict[str, Callable[[h5py.Group, str], object]] = {
        "external": lambda group, name: group.create_dataset(name, (1, 3), "<f4", external=[(str(letter), 0, 12)]),
        "link": lambda group, name: group.__setitem__(name, h5py.ExternalLink(str(other), "/letter")),
        "virtual": lambda group, name: group.create_virtual_dataset(name, layout),
        "bomb": lambda group, name: group.create_dataset(name, (1 << 20, 1 << 20), "<f4", chunks=(1024, 1024)),
    }
    for name, edit in edits.items():
        pack(dense, folder / f"{name}.keras", with_weights(folder, edit))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
