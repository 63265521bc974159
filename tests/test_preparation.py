"""Preparation: learned from training rows only, and the same in NumPy and in Keras."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.data.kinds import Column
from hptune.data.preparation import Preparation, fit_preparation, fit_target_scale

NUMBER = Column("number", "numeric", 0, 0, "")
WORD = Column("word", "categorical", 0, 0, "")
finite = st.floats(-1e30, 1e30, allow_nan=False)


def frame(numbers: list[float | None], words: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "number": pl.Series(numbers, dtype=pl.Float64),
            "word": pl.Series(words or ["a"] * len(numbers), dtype=pl.String),
        }
    )


def test_standard_numbers_have_mean_zero_and_spread_one() -> None:
    train = frame([1.0, 2.0, 3.0, 6.0])

    numeric, _ = fit_preparation(train, [NUMBER], "standard").transform(train)

    assert numeric.dtype == np.float32
    assert numeric.mean() == pytest.approx(0, abs=1e-7)
    assert numeric.std() == pytest.approx(1)


def test_a_gap_becomes_the_mean_with_an_indicator_beside_it() -> None:
    train = frame([1.0, None, 3.0])

    numeric, _ = fit_preparation(train, [NUMBER], "none").transform(train)

    assert numeric.tolist() == [[1, 0], [2, 1], [3, 0]]


def test_a_gap_that_training_never_had_becomes_the_mean_alone() -> None:
    preparation = fit_preparation(frame([1.0, 3.0]), [NUMBER], "none")

    assert preparation.transform(frame([None]))[0].tolist() == [[2]]


def test_unknown_and_missing_categories_have_buckets_of_their_own() -> None:
    preparation = fit_preparation(frame([0.0] * 3, ["b", "a", None]), [WORD], "standard")

    _, codes = preparation.transform(frame([0.0] * 4, ["a", "b", None, "z"]))

    assert codes[:, 0].tolist() == [2, 3, 1, 0]
    assert preparation.vocabulary_sizes == (4,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(finite, min_size=1, max_size=40), st.lists(finite, max_size=10), st.sampled_from(["standard", "quantile"])
)
def test_prepared_numbers_are_finite_whatever_their_scale(train: list[float], others: list[float], way: str) -> None:
    preparation = fit_preparation(frame(list(train)), [NUMBER], way)

    numeric, _ = preparation.transform(frame([*train]))

    assert np.isfinite(numeric).all()
    if way == "quantile":
        assert np.abs(preparation.transform(frame([*train, *others]))[0]).max() <= 3


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=2, max_size=40))
def test_quantiles_keep_the_order(train: list[float]) -> None:
    preparation = fit_preparation(frame(list(train)), [NUMBER], "quantile")

    numeric, _ = preparation.transform(frame(sorted(train)))

    assert (np.diff(numeric[:, 0]) >= -1e-6).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(finite | st.none(), min_size=1, max_size=20), st.sampled_from(["standard", "quantile", "none"]))
def test_a_preparation_survives_json(train: list[float | None], way: str) -> None:
    preparation = fit_preparation(
        frame(train, ["x", None] * (len(train) // 2) + ["y"] * (len(train) % 2)), [NUMBER, WORD], way
    )

    assert Preparation.from_dict(json.loads(json.dumps(preparation.to_dict()))) == preparation


def test_the_target_comes_back_in_its_own_unit() -> None:
    scale = fit_target_scale(pl.DataFrame({"y": [10.0, 20.0, 60.0]}), "y")

    standardized = scale.standardize(np.array([10.0, 20.0, 60.0]))

    assert standardized.mean() == pytest.approx(0, abs=1e-6)
    assert (standardized * scale.scale + scale.mean) == pytest.approx([10, 20, 60])


ODD_NAMES = ["a/b", " x ", "[/x]", "naïve ☃", "n" * 300, "x.y", "numeric", "codes"]


@pytest.mark.tensorflow
# Keras takes no slash in the name of an input and says so; the key of the dict is the column's name all the same.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
@pytest.mark.parametrize("way", ["standard", "quantile", "none"])
def test_keras_prepares_as_numpy_does_in_a_process_without_hptune(way: str, tmp_path: Path) -> None:
    import keras

    from hptune.data.graph import own_names, prepare, raw_inputs

    generator = np.random.default_rng(0)
    values = generator.normal(1.7e6, 3.0, (60, 4))
    values[:, 1] *= 1e-12
    values[::7, 2] = np.nan
    names, texts = ODD_NAMES[:4], ODD_NAMES[4:]
    table = {name: pl.Series(values[:, index]).fill_nan(None) for index, name in enumerate(names)}
    table |= {name: pl.Series(generator.choice(["a", "b", "ä"], 60)).cast(pl.String) for name in texts}
    whole = pl.DataFrame(table)
    columns = [Column(name, "numeric", 0, 0, "") for name in names] + [
        Column(name, "categorical", 0, 0, "") for name in texts
    ]
    preparation = fit_preparation(whole.slice(0, 40), columns, way)
    rows = whole.slice(30).with_columns(pl.lit("never seen").alias(texts[0]), pl.lit(None, pl.String).alias(texts[1]))
    rows = rows.with_columns(pl.Series(names[0], [None, *rows[names[0]][1:]], dtype=pl.Float64))
    inputs = raw_inputs(preparation, own_names(preparation))
    numeric, codes = prepare(preparation, inputs)
    keras.Model(inputs, [numeric, codes]).save(tmp_path / "model.keras")
    expected_numeric, expected_codes = preparation.transform(rows)
    np.savez(tmp_path / "expected.npz", numeric=expected_numeric, codes=expected_codes)
    given = {name: rows[name].fill_null(float("nan") if name in names else "").to_list() for name in ODD_NAMES}
    (tmp_path / "rows.json").write_text(json.dumps(given))

    program = """
import json, sys
sys.modules["hptune"] = None
import keras, numpy as np, tensorflow as tf
model = keras.models.load_model("model.keras", safe_mode=True)
given = json.load(open("rows.json"))
kind = lambda cells: tf.string if isinstance(cells[0], str) else tf.float64
tensors = {name: tf.constant([[cell] for cell in cells], kind(cells)) for name, cells in given.items()}
numeric, codes = model.predict(tensors, verbose=0)
expected = np.load("expected.npz")
assert np.array_equal(codes, expected["codes"])
assert np.abs(numeric - expected["numeric"]).max() <= 1e-6 * max(1, np.abs(expected["numeric"]).max())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr


BUNDLED = ["digits", "breast_cancer", "wine", "diabetes", "iris"]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_tables_are_those_of_scikit_learn(name: str) -> None:
    from sklearn import datasets

    from hptune.data.bundled import bundled_files, read_bundled

    options = {"scaled": False} if name == "diabetes" else {}
    theirs = getattr(datasets, f"load_{name}")(**options)

    ours = read_bundled(f"sklearn:{name}", tuple(path.read_bytes() for path in bundled_files(f"sklearn:{name}")))

    assert np.array_equal(ours.drop("target").to_numpy(), theirs.data)
    assert np.array_equal(ours["target"].to_numpy(), theirs.target)
    assert ours.columns[:-1] == list(theirs.feature_names)
