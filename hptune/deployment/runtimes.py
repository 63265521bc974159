"""The formats of other runtimes: how each is written, and how its runtime predicts from it.

Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import polars as pl
import tensorflow as tf

from hptune.artifact import save_artifact
from hptune.data.preparation import FIRST_CODE, MISSING_CODE, UNKNOWN_CODE
from hptune.deployment.reshaping import in_single_precision, input_names, make_function, without_text
from hptune.description import Description

Floats = npt.NDArray[np.floating[Any]]
Predict = Callable[[Mapping[str, npt.NDArray[Any]]], Floats]

_ONNX_OPSET = 18


@dataclass(frozen=True)
class Runtime:
    """A format.

    Attributes:
        write: Writes a model into an empty folder.
        open: Opens what was written with the runtime that will serve it: a function from arrays by input name (float32,
            or bytes in objects for text, (rows, 1)) to predictions.
    """

    write: Callable[[keras.Model, Description, Path], None]
    open: Callable[[Path, Description], Predict]


def raw_arrays(rows: pl.DataFrame, about: Description) -> dict[str, npt.NDArray[Any]]:
    """Give raw rows as every runtime takes them, by input name: NaN and "" where missing."""
    names = input_names(about)
    made: dict[str, npt.NDArray[Any]] = {}
    for column, kind in about.columns:
        if kind == "numeric":
            made[names[column]] = rows[column].fill_null(float("nan")).to_numpy().astype(np.float32).reshape(-1, 1)
        else:
            texts = [text.encode() for text in rows[column].fill_null("")]
            made[names[column]] = np.array(texts, dtype=object).reshape(-1, 1)
    return made


def _write_keras(model: keras.Model, about: Description, folder: Path) -> None:
    save_artifact(model, folder / "model.keras", about)


def _open_keras(folder: Path, about: Description) -> Predict:
    model = keras.models.load_model(folder / "model.keras", compile=False, safe_mode=True)
    names = input_names(about)
    return lambda arrays: np.asarray(
        model({column: tf.constant(arrays[name]) for column, name in names.items()}, training=False)
    )


def _write_savedmodel(model: keras.Model, about: Description, folder: Path) -> None:
    function, signature = make_function(model, about)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", function.python_function, input_signature=signature)
    archive.write_out(str(folder), verbose=False)


def _open_savedmodel(folder: Path, _about: Description) -> Predict:
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda arrays: served(**{name: tf.constant(array) for name, array in arrays.items()})["prediction"].numpy()


def _write_litert(model: keras.Model, about: Description, folder: Path) -> None:
    # The converter finds vocabularies in a SavedModel only.
    with tempfile.TemporaryDirectory(prefix="hptune-") as scratch:
        _write_savedmodel(in_single_precision(model), about, Path(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
        content = converter.convert()
    (folder / "model.tflite").write_bytes(content)


def _open_litert(folder: Path, _about: Description) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(folder / "model.tflite")).get_signature_runner("serving_default")

    def predict(arrays: Mapping[str, npt.NDArray[Any]]) -> Floats:
        predicted: Floats = runner(**arrays)["prediction"]
        return predicted

    return predict


def _write_onnx(model: keras.Model, about: Description, folder: Path) -> None:
    import onnx
    import tf2onnx

    function, signature = make_function(without_text(model, about), about, text=tf.int64)
    made, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_ONNX_OPSET)
    _put_vocabularies_before(made, about)
    onnx.checker.check_model(made)
    onnx.save(made, folder / "model.onnx")


def _put_vocabularies_before(made: Any, about: Description) -> None:
    """Let text be looked up within the graph: tf2onnx cannot carry TensorFlow's tables, ONNX has its own."""
    from onnx import TensorProto, helper

    names = input_names(about)
    by_name = {given.name: given for given in made.graph.input}
    lookups = []
    for column, words in about.vocabularies.items():
        name = names[column]
        if name not in by_name:
            continue
        codes = f"{name}__codes"
        for node in made.graph.node:
            for place, given in enumerate(node.input):
                if given == name:
                    node.input[place] = codes
        by_name[name].type.tensor_type.elem_type = TensorProto.STRING
        lookups.append(
            helper.make_node(
                "LabelEncoder",
                [name],
                [codes],
                domain="ai.onnx.ml",
                keys_strings=["", *words],
                values_int64s=[MISSING_CODE, *range(FIRST_CODE, FIRST_CODE + len(words))],
                default_int64=UNKNOWN_CODE,
            )
        )
    if lookups:
        nodes = [*lookups, *made.graph.node]
        del made.graph.node[:]
        made.graph.node.extend(nodes)
        made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))


def _open_onnx(folder: Path, _about: Description) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}

    def predict(arrays: Mapping[str, npt.NDArray[Any]]) -> Floats:
        given = {name: _text(array) for name, array in arrays.items() if name in wanted}
        predicted: Floats = session.run(["prediction"], given)[0]
        return predicted

    return predict


def _text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """ONNX Runtime takes text, not bytes."""
    if array.dtype != object:
        return array
    return np.array([cell.decode() for cell in array[:, 0]], dtype=object).reshape(-1, 1)


RUNTIMES: Mapping[str, Runtime] = {
    "keras": Runtime(_write_keras, _open_keras),
    "savedmodel": Runtime(_write_savedmodel, _open_savedmodel),
    "onnx": Runtime(_write_onnx, _open_onnx),
    "litert": Runtime(_write_litert, _open_litert),
}
