"""What a user of KerasTuner writes where depth, width and batch size vary too, by the habits of its guide.

Usage: python mixed_keras_tuner.py STRATEGY TRIALS EPOCHS SECONDS [FOLDER]

STRATEGY is random, hyperband or bayesian; TRIALS is for random and bayesian; a search ends after SECONDS where they are
not 0. Prints the best validation accuracy whenever it rises, with the time of day in seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from networks import build_network, load_parts

BEGAN = time.monotonic()


class Model(keras_tuner.HyperModel):
    """The space; the guide's way to tune the batch size is to override `fit`."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self._features = features
        self._classes = classes

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build the model of one trial."""

        def number(name: str, low: float, high: float) -> float:
            return float(hp.Float(name, low, high, sampling="log" if low > 0 else "linear"))

        return build_network(self._features, self._classes, number, lambda name, values: int(hp.Choice(name, values)))

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Train with a batch size that may be tuned."""
        return model.fit(*args, batch_size=hp.Choice("batch_size", [32, 64]), **kwargs)


class Clock(keras.callbacks.Callback):
    """Says when the best score rises, and ends the process when its time is up."""

    best = 0.0

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the clock and at the score."""
        passed = time.monotonic() - BEGAN
        if self._seconds and passed > self._seconds:
            sys.exit(0)
        if logs and logs["val_accuracy"] > Clock.best:
            Clock.best = logs["val_accuracy"]
            print(f"best {time.time():.1f} {Clock.best:.6f}", flush=True)


def main() -> None:
    """Search, take the best model, score it."""
    strategy, seed = sys.argv[1].partition(":")[::2]
    trials, epochs, seconds = (int(word) for word in sys.argv[2:5])
    (x, y), validation, (x_test, y_test) = load_parts(Path(sys.argv[5]) if len(sys.argv) > 5 else None)
    model = Model(x.shape[1], int(y.max()) + 1)
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"seed": int(seed or 1), "directory": folder}
        if strategy == "hyperband":
            tuner = keras_tuner.Hyperband(model, "val_accuracy", max_epochs=epochs, factor=3, **given)
        elif strategy == "bayesian":
            tuner = keras_tuner.BayesianOptimization(model, "val_accuracy", max_trials=trials, **given)
        else:
            tuner = keras_tuner.RandomSearch(model, "val_accuracy", max_trials=trials, **given)
        more = {} if strategy == "hyperband" else {"epochs": epochs}
        tuner.search(x, y, validation_data=validation, callbacks=[Clock(seconds)], verbose=0, **more)
        best = tuner.get_best_models(1)[0]
        print("test accuracy", (best.predict(x_test, verbose=0).argmax(1) == y_test).mean())


if __name__ == "__main__":
    main()
