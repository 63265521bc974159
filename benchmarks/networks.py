"""The tables and the network that the peers' scripts share: what a user of Keras writes for the spaces of the bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

Parts = tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]


def load_parts(folder: Path | None) -> Parts:
    """Return inputs and classes of training, validation and test rows; of digits where no folder of tables is given."""
    if folder is None:
        x, y = load_digits(return_X_y=True)
        x, x_test, y, y_test = train_test_split(x.astype("float32"), y, test_size=0.2, random_state=0, stratify=y)
        x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
        return (x, y), (x_val, y_val), (x_test, y_test)
    tables = [np.loadtxt(folder / f"{part}.csv", delimiter=",", skiprows=1) for part in ("train", "val", "test")]
    labels = np.unique(tables[0][:, -1])
    scaler = StandardScaler().fit(tables[0][:, :-1])
    train, validation, test = (
        (scaler.transform(table[:, :-1]).astype("float32"), np.searchsorted(labels, table[:, -1])) for table in tables
    )
    return train, validation, test


def build_network(
    features: int, classes: int, number: Callable[[str, float, float], float], choose: Callable[[str, list[int]], int]
) -> keras.Model:
    """Build and compile the network of one trial.

    Args:
        features: Of a row.
        classes: To tell apart.
        number: Suggests a number by name and range; a range that begins above 0 is logarithmic.
        choose: Suggests one of several whole numbers.
    """
    penalty = keras.regularizers.L1L2(number("l1", 1e-7, 1e-3), number("l2", 1e-7, 1e-3))
    dropout = number("dropout", 0.0, 0.6)
    width, blocks = choose("units", [32, 64, 128]), choose("blocks", [1, 2, 3, 4])
    inputs = keras.Input((features,))
    x = keras.layers.BatchNormalization()(inputs)
    for block in range(blocks):
        shortcut = x if block else keras.layers.Dense(width, use_bias=False, kernel_regularizer=penalty)(x)
        x = keras.layers.Dense(width, kernel_regularizer=penalty)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("relu")(x)
        x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Add()([shortcut, x])
    outputs = keras.layers.Dense(classes, activation="softmax", kernel_regularizer=penalty)(x)
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.Adam(number("learning_rate", 1e-4, 1e-1))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
