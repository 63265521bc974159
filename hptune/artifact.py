"""The artifact: one `.keras` file that takes raw columns and gives probabilities or values in the original unit.

It holds plain Keras layers only, so `keras.models.load_model(path)` is all it needs.
Everything here imports TensorFlow and runs in a worker process.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import polars as pl
import tensorflow as tf

from hptune.data.graph import numbered_names, own_names, prepare, raw_inputs
from hptune.data.preparation import Preparation
from hptune.description import ENTRY, Description
from hptune.errors import ArtifactError
from hptune.mix import AVERAGE, SMALLEST_PROBABILITY, Mix
from hptune.run.files import TEMPORARY_SUFFIX, write_file
from hptune.training.fitting import restore_model
from hptune.training.job import Job, Member
from hptune.training.predicting import Predictor, Rows

# Rows given to the model at a time; bounds memory, changes no result beyond rounding.
_PREDICT_ROWS = 1024
# The largest difference between the artifact and the training pipeline, relative to values above 1.
PARITY_TOLERANCE = 1e-5
_SHOWN_ERROR = 200

Floats = npt.NDArray[np.floating[Any]]


def build_artifact(members: Sequence[Member], path: Path, about: Description, mix: Mix = AVERAGE) -> None:
    """Join preparation, trained networks and output units, and save them as one file.

    Args:
        members: What was trained, with their shares.
        path: Where the file is to lie.
        about: Stored beside the networks.
        mix: How what several members predict becomes one prediction.
    """
    networks = [restore_model(member.job, member.weights) for member in members]
    some = Preparation.from_dict(members[0].preparation)
    try:
        model = _join(members, networks, own_names(some), mix)
    except ValueError as error:
        if "names should be unique" not in str(error):
            raise
        model = _join(members, networks, numbered_names(some), mix)
    save_artifact(model, path, about)


def save_artifact(model: keras.Model, path: Path, about: Description) -> None:
    """Save a model as one file, with its description inside."""
    # Keras wants its own ending.
    temporary = path.with_name(f"{path.stem}{TEMPORARY_SUFFIX}.keras")
    model.save(temporary)
    with zipfile.ZipFile(temporary, "a") as archive:
        archive.writestr(ENTRY, about.to_json())
    with temporary.open("rb") as source:
        write_file(path, lambda stream: shutil.copyfileobj(source, stream))
    temporary.unlink()


def _join(
    members: Sequence[Member], networks: Sequence[keras.Model], names: Mapping[str, str], mix: Mix
) -> keras.Model:
    """Put networks side by side on the same raw inputs; what they share in preparation is made once."""
    inputs = raw_inputs(Preparation.from_dict(members[0].preparation), names)
    prepared: dict[str, dict[str, Any]] = {}
    answers = []
    for number, (member, network) in enumerate(zip(members, networks, strict=True), start=1):
        # The networks of folds have each learned another preparation.
        key = json.dumps(member.preparation, sort_keys=True)
        if key not in prepared:
            suffix = f"_{len(prepared) + 1}" if prepared else ""
            numeric, codes = prepare(Preparation.from_dict(member.preparation), inputs, suffix=suffix)
            parts = {"numeric": numeric, "codes": codes}
            prepared[key] = {name: tensor for name, tensor in parts.items() if tensor is not None}
        if len(members) > 1:
            network.name = f"member_{number}"
        answers.append(_in_user_units(network(prepared[key]), member.job))
    answers, shares = _by_model(members, answers)
    is_plain = len(answers) == 1 and mix == AVERAGE
    together = answers[0] if is_plain else _mix(answers, shares, mix)
    return keras.Model(inputs, together, name="hptune")


def _mix(answers: Sequence[Any], shares: Sequence[float], mix: Mix) -> Any:
    """Make one prediction of several, as `Mix` does."""
    if mix.form == "log_linear":
        answers = [keras.ops.log(keras.ops.maximum(answer, SMALLEST_PROBABILITY)) for answer in answers]
    weighted = [keras.layers.Rescaling(share)(answer) for share, answer in zip(shares, answers, strict=True)]
    together = keras.layers.Add(name=mix.form)(weighted) if len(weighted) > 1 else weighted[0]
    if mix.offset:
        together = keras.ops.add(together, np.array([mix.offset], np.float32))
    return keras.layers.Activation("softmax")(together) if mix.form == "log_linear" else together


def _by_model(members: Sequence[Member], answers: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Average the answers of networks that are parts of one trial; return answers and shares of the trials."""
    several, shares = _by_trial(members, answers)
    averaged = [
        own[0] if len(own) == 1 else keras.layers.Average(name=f"parts_{number}")(own)
        for number, own in enumerate(several, start=1)
    ]
    return averaged, shares


def _by_trial(members: Sequence[Member], answers: Iterable[Any]) -> tuple[list[list[Any]], list[float]]:
    """Put what networks answer together by the trials that they are parts of; return answers and shares of these."""
    several: dict[int, list[Any]] = {}
    for member, answer in zip(members, answers, strict=True):
        several.setdefault(member.trial, []).append(answer)
    shares = {member.trial: member.share for member in members}
    return list(several.values()), [shares[trial] for trial in several]


def _in_user_units(output: Any, job: Job) -> Any:
    match job.task:
        case "regression":
            assert job.target_scale is not None
            mean, scale = job.target_scale
            return keras.layers.Rescaling(scale, mean)(output)
        case "binary":
            # As in training: 1 - sigmoid(x) would be exactly 0 from x = 17 on.
            return keras.ops.concatenate([keras.ops.sigmoid(-output), keras.ops.sigmoid(output)], axis=-1)
        case _:
            return keras.layers.Activation("softmax")(output)


def load_artifact(path: Path) -> keras.Model:
    """Load an artifact with Keras alone, in safe mode, so that nothing in it runs code.

    Raises:
        ArtifactError: If Keras refuses the file: it is damaged, or it would run code.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, MemoryError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path}: expected a model that Keras opens in safe mode, got {type(error).__name__}: "
            f"{_first_line(error)}; it is damaged, or was not written by hptune"
        ) from None


def predict_with(model: keras.Model, rows: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> Floats:
    """Predict with a loaded artifact.

    Args:
        model: As `load_artifact` gives it.
        rows: Raw rows: numbers as Float64, categories as text, null where missing.
        columns: Name and kind of each input.

    Returns:
        (rows, classes) probabilities, or (rows,) values in the original unit.
    """
    parts = [
        np.asarray(model(raw_tensors(rows.slice(first, _PREDICT_ROWS), columns), training=False))
        for first in range(0, max(rows.height, 1), _PREDICT_ROWS)
    ]
    predictions = np.concatenate(parts)
    return predictions[:, 0] if predictions.shape[1] == 1 else predictions


def predict_members(
    members: Sequence[Member],
    rows: pl.DataFrame,
    held_out: Sequence[tuple[Path, npt.NDArray[np.int64]]],
    mix: Mix = AVERAGE,
) -> Floats:
    """Predict rows with trained networks as training did, and mix what they say.

    Args:
        members: What was trained.
        rows: Raw rows.
        held_out: For each member what it predicted in training, and for which of the rows.
        mix: How what several trials predict becomes one prediction.

    Raises:
        ArtifactError: If a member does not predict what it predicted in training.
    """
    answers = []
    for member, (stored, places) in zip(members, held_out, strict=True):
        numeric, codes = Preparation.from_dict(member.preparation).transform(rows)
        given = {"numeric": numeric, "codes": codes}
        inputs = {name: tf.constant(array) for name, array in given.items() if array.shape[1]}
        unknown = np.zeros(rows.height)
        prepared = Rows(inputs, unknown, None, unknown, None)
        predicted = Predictor(restore_model(member.job, member.weights), member.job)(prepared)
        _refuse_difference(predicted[places], np.load(stored, allow_pickle=False), member.weights)
        answers.append(predicted.astype(np.float64))
    several, shares = _by_trial(members, answers)
    return mix([np.mean(own, axis=0) for own in several], shares)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no further word")[:_SHOWN_ERROR]


def raw_tensors(rows: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Give raw rows as an artifact takes them: (rows, 1) each, NaN and "" where missing."""
    tensors = {}
    for name, kind in columns:
        series = rows[name]
        if kind == "numeric":
            tensors[name] = tf.constant(series.fill_null(float("nan")).to_numpy().reshape(-1, 1), tf.float64)
        else:
            tensors[name] = tf.reshape(tf.constant(series.fill_null("").to_list(), tf.string), (-1, 1))
    return tensors


def load_checked(path: Path, rows: pl.DataFrame, columns: Sequence[tuple[str, str]], expected: Path) -> keras.Model:
    """Load the artifact, and compare it on raw rows with what the search predicted for them.

    Args:
        path: The artifact.
        rows: Raw validation rows.
        columns: Name and kind of each input.
        expected: The search's predictions for the same rows, as it stored them.

    Raises:
        ArtifactError: If a prediction differs by more than 1e-5, relative to values above 1.
    """
    model = load_artifact(path)
    _refuse_difference(predict_with(model, rows, columns), np.load(expected, allow_pickle=False), path)
    return model


def _refuse_difference(predicted: Floats, stored: Floats, path: Path) -> None:
    difference = np.abs(predicted - stored) / np.maximum(np.abs(stored), 1)
    worst = float(difference.max())
    # Written so that NaN fails too.
    if not worst <= PARITY_TOLERANCE:
        raise ArtifactError(
            f"{path}: its predictions differ from the search's by {worst:.2g}, expected at most {PARITY_TOLERANCE:g}; "
            "this is a fault of hptune, please report it with hptune.log"
        )
