"""What a user of plain KerasTuner writes where depth, width and batch size vary too, by the habits of its guide.

Usage: python mixed_keras_tuner.py TRIALS EPOCHS
"""

from __future__ import annotations

import sys
import tempfile

import keras
import keras_tuner
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES = 10


class Model(keras_tuner.HyperModel):
    """The space; the guide's way to tune the batch size is to override `fit`."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build the model of one trial."""
        penalty = keras.regularizers.L1L2(
            hp.Float("l1", 1e-7, 1e-3, sampling="log"), hp.Float("l2", 1e-7, 1e-3, sampling="log")
        )
        dropout = hp.Float("dropout", 0.0, 0.6)
        width = hp.Choice("units", [32, 64, 128])
        blocks = hp.Int("blocks", 1, 4)
        inputs = keras.Input((64,))
        x = keras.layers.BatchNormalization()(inputs)
        for block in range(blocks):
            shortcut = x if block else keras.layers.Dense(width, use_bias=False, kernel_regularizer=penalty)(x)
            x = keras.layers.Dense(width, kernel_regularizer=penalty)(x)
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.Activation("relu")(x)
            x = keras.layers.Dropout(dropout)(x)
            x = keras.layers.Add()([shortcut, x])
        outputs = keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=penalty)(x)
        model = keras.Model(inputs, outputs)
        optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"))
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: object, **kwargs: object) -> object:
        """Train with a batch size that may be tuned."""
        return model.fit(*args, batch_size=hp.Choice("batch_size", [32, 64]), **kwargs)


def main() -> None:
    """Search, take the best model, score it."""
    trials, epochs = (int(word) for word in sys.argv[1:3])
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x.astype("float32"), y, test_size=0.2, random_state=0, stratify=y)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(Model(), "val_accuracy", max_trials=trials, seed=1, directory=folder)
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=epochs, verbose=0)
        best = tuner.get_best_models(1)[0]
        print("test accuracy", (best.predict(x_test, verbose=0).argmax(1) == y_test).mean())


if __name__ == "__main__":
    main()
