"""What a user of plain KerasTuner writes for the spaces of `against_peers.py`, by the habits of its guide.

Usage: python plain_keras_tuner.py TRIALS EPOCHS WIDTH BATCH
"""

from __future__ import annotations

import sys
import tempfile

import keras
import keras_tuner
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

WIDTH, BATCH = int(sys.argv[3]), int(sys.argv[4])
CLASSES = 10


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the model of one trial."""
    penalty = keras.regularizers.L1L2(
        hp.Float("l1", 1e-7, 1e-3, sampling="log"), hp.Float("l2", 1e-7, 1e-3, sampling="log")
    )
    dropout = hp.Float("dropout", 0.0, 0.6)
    inputs = keras.Input((64,))
    x = keras.layers.BatchNormalization()(inputs)
    for block in range(3):
        shortcut = x if block else keras.layers.Dense(WIDTH, use_bias=False, kernel_regularizer=penalty)(x)
        x = keras.layers.Dense(WIDTH, kernel_regularizer=penalty)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("relu")(x)
        x = keras.layers.Dropout(dropout)(x)
        x = keras.layers.Add()([shortcut, x])
    outputs = keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=penalty)(x)
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Search, take the best model, score it."""
    trials, epochs = (int(word) for word in sys.argv[1:3])
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x.astype("float32"), y, test_size=0.2, random_state=0, stratify=y)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(build, "val_accuracy", max_trials=trials, seed=1, directory=folder)
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=epochs, batch_size=BATCH, verbose=0)
        best = tuner.get_best_models(1)[0]
        print("test accuracy", (best.predict(x_test, verbose=0).argmax(1) == y_test).mean())


if __name__ == "__main__":
    main()
