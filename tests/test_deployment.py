"""Exported models answer in their own runtimes what the artifact answers, from raw columns, text included."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT, hptune, run_python

from hptune.deployment import delivery
from hptune.deployment.delivery import refuse_missing_packages
from hptune.errors import UsageError
from hptune.reporting.words import format_bytes

TABLE = ROOT / "configs" / "data" / "customers.csv"
CUSTOMERS = ROOT / "configs" / "customers.yaml"
NUMBERS = ("age", "income", "visits")
TEXTS = ("plan", "city", "region")
EXPORTED = {"best": ("savedmodel", "onnx", "litert"), "ensemble": ("onnx", "litert")}
EXPORT = f"""
from hptune.afterwards import export
if __name__ == "__main__":
    for name, forms in {EXPORTED!r}.items():
        for form in forms:
            print(*export(form, f"runs/customers/{{name}}/model.keras", output=f"{{name}}-{{form}}").sentences)
    print(*export("keras", prune=True, output="pruned").sentences)
"""
SERVE = """
import sys, numpy as np, tensorflow as tf
given = dict(np.load(sys.argv[2], allow_pickle=True))
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
np.save(sys.argv[3], served(**{name: tf.constant(array) for name, array in given.items()})["prediction"].numpy())
"""


def read_raw_rows() -> dict[str, Any]:
    """Raw rows as runtimes take them; one city and one region were never seen."""
    table = list(csv.DictReader(TABLE.read_text().splitlines()))[:300]
    missing = ("", "NA", "?")
    given: dict[str, Any] = {}
    for name in NUMBERS:
        cells = [[float("nan" if row[name] in missing else row[name])] for row in table]
        given[name] = np.array(cells, np.float32)
    for name in TEXTS:
        given[name] = np.array([["" if row[name] in missing else row[name]] for row in table], object)
    given["city"][0, 0], given["region"][1, 0] = "Atlantis", "999"
    return given


def predict_with_the_artifact(folder: Path, name: str, rows: dict[str, Any]) -> Any:
    lines = [",".join(rows)]
    cells = zip(*(column[:, 0].tolist() for column in rows.values()), strict=True)
    lines += [",".join("" if cell != cell else str(cell) for cell in row) for row in cells]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    answer = hptune("predict", f"runs/customers/{name}/model.keras", "rows.csv", folder=folder).stdout
    return np.array([[float(row["p_no"]), float(row["p_yes"])] for row in csv.DictReader(answer.splitlines())])


def predict_with_tensorflow(folder: Path, rows: dict[str, Any]) -> Any:
    np.savez(folder / "rows.npz", allow_pickle=True, **rows)
    run_python("-c", SERVE, folder, folder / "rows.npz", folder / "served.npy", folder=folder)
    return np.load(folder / "served.npy")


def predict_with_onnx_runtime(folder: Path, rows: dict[str, Any]) -> Any:
    session = pytest.importorskip("onnxruntime").InferenceSession(folder / "model.onnx")
    assert {given.name: given.type for given in session.get_inputs()} == {
        **dict.fromkeys(NUMBERS, "tensor(float)"),
        **dict.fromkeys(TEXTS, "tensor(string)"),
    }
    return session.run(["prediction"], rows)[0]


def predict_with_litert(folder: Path, rows: dict[str, Any]) -> Any:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(folder / "model.tflite"))
    given = {
        name: array if array.dtype != object else np.array([cell.encode() for cell in array[:, 0]], object)[:, None]
        for name, array in rows.items()
    }
    return interpreter.get_signature_runner()(**given)["prediction"]


RUNTIMES = {
    "savedmodel": predict_with_tensorflow,
    "onnx": predict_with_onnx_runtime,
    "litert": predict_with_litert,
}


def _size(path: Path) -> str:
    return format_bytes(path.stat().st_size)


# One test, because one search serves it all, and workers of pytest do not share.
@pytest.mark.tensorflow
@pytest.mark.long
def test_every_runtime_answers_from_raw_columns_what_the_artifact_does(tmp_path: Path) -> None:
    # Numbers are prepared in two ways, and L1 drives weights to zero.
    settings = ("data.preparation.numeric=[standard, quantile]", "model.l1=1.0", "training.epochs=4", "model.blocks=2")
    words = [word for setting in settings for word in ("--set", setting)]
    hptune("search", CUSTOMERS, "--max-trials", "3", "--quiet", *words, folder=tmp_path)
    hptune("ensemble", "--method", "stacking", "--size", "3", folder=tmp_path)
    (tmp_path / "program.py").write_text(EXPORT)
    said = run_python("program.py", folder=tmp_path).stdout
    rows = read_raw_rows()

    for name, forms in EXPORTED.items():
        expected = predict_with_the_artifact(tmp_path, name, rows)
        for form in forms:
            predicted = RUNTIMES[form](tmp_path / f"{name}-{form}", rows)
            assert predicted == pytest.approx(expected, abs=1e-5), (name, form)

    assert "wrote best-onnx (" in said
    assert "on 160 rows it predicts what runs/customers/best/model.keras does, " in said
    inputs = json.loads((tmp_path / "best-onnx" / "inputs.json").read_text())
    assert inputs["labels"] == ["no", "yes"]
    age = {"input": "age", "column": "age", "type": "float32", "shape": ["rows", 1], "missing": "NaN"}
    assert inputs["inputs"][0] == age
    assert int(said.split("pruned: ")[1].split(" of ")[0]) > 0
    before, after = said.split("did nothing; ")[1].split(" weights became ")
    assert int(after.split(",")[0]) < int(before)
    assert f", {_size(tmp_path / 'runs/customers/best/model.keras')} became " in after
    assert hptune("predict", "pruned/model.keras", TABLE, folder=tmp_path).stdout.count("\n") == 801

    stray = tmp_path / "model.keras"
    shutil.copy(tmp_path / "runs/customers/best/model.keras", stray)
    alone = hptune("export", stray, "--format", "onnx", folder=tmp_path, code=2).stderr
    tool = hptune("export", "--format", "optuna", "--prune", folder=tmp_path, code=2).stderr
    assert alone == f"error: {stray}: expected a model in the folder of its run, on whose rows it is checked\n"
    assert tool == "error: --prune: expected only with a model, got --format optuna; leave one of them out\n"


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "find_spec", lambda name: None if name != "onnx" else object())

    with pytest.raises(UsageError) as two:
        refuse_missing_packages("onnx")
    with pytest.raises(UsageError) as one:
        refuse_missing_packages("litert")

    assert str(two.value) == (
        "--format onnx: expected the packages tf2onnx, onnxruntime, which are not installed; "
        "install with: pip install 'hptune[onnx]'"
    )
    assert str(one.value) == (
        "--format litert: expected the package ai-edge-litert, which is not installed; "
        "install with: pip install 'hptune[litert]'"
    )
    refuse_missing_packages("savedmodel")
