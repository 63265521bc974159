"""What a user of Optuna writes around Keras, by the habits of its guide.

Usage: python plain_optuna.py WORK TRIALS EPOCHS SECONDS [FOLDER]

WORK is narrow, wide, mixed, or hyperband (with Optuna's Hyperband pruner), `:SEED` behind it; a search ends after
SECONDS where they are not 0. Prints the best validation accuracy whenever it rises, with the time of day in seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import keras
import optuna
from networks import build_network, load_parts

BEGAN = time.monotonic()
FIXED = {
    "narrow": {"units": 32, "blocks": 3, "batch_size": 32},
    "wide": {"units": 128, "blocks": 3, "batch_size": 64},
}


class Report(keras.callbacks.Callback):
    """Tells Optuna each epoch's score, and stops where it prunes."""

    best = 0.0

    def __init__(self, trial: optuna.Trial, seconds: float) -> None:
        super().__init__()
        self._trial = trial
        self._seconds = seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report, print what is better, and look at the clock."""
        passed, score = time.monotonic() - BEGAN, float((logs or {})["val_accuracy"])
        if self._seconds and passed > self._seconds:
            sys.exit(0)
        if score > Report.best:
            Report.best = score
            print(f"best {time.time():.1f} {score:.6f}", flush=True)
        self._trial.report(score, epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def main() -> None:
    """Search, train the best again, score it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work, seed = sys.argv[1].partition(":")[::2]
    trials, epochs, seconds = (int(word) for word in sys.argv[2:5])
    (x, y), validation, (x_test, y_test) = load_parts(Path(sys.argv[5]) if len(sys.argv) > 5 else None)
    fixed = FIXED.get(work, {})

    def make(trial: Any) -> tuple[keras.Model, int]:
        def number(name: str, low: float, high: float) -> float:
            return float(trial.suggest_float(name, low, high, log=low > 0))

        def choose(name: str, values: list[int]) -> int:
            return fixed[name] if name in fixed else int(trial.suggest_categorical(name, values))

        return build_network(x.shape[1], int(y.max()) + 1, number, choose), choose("batch_size", [32, 64])

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        model, batch = make(trial)
        history = model.fit(
            x,
            y,
            validation_data=validation,
            epochs=epochs,
            batch_size=batch,
            callbacks=[Report(trial, seconds)],
            verbose=0,
        )
        return float(max(history.history["val_accuracy"]))

    pruner = optuna.pruners.HyperbandPruner(1, epochs, 3) if work == "hyperband" else optuna.pruners.NopPruner()
    sampler = optuna.samplers.TPESampler(seed=int(seed or 1))
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=trials)
    best, batch = make(optuna.trial.FixedTrial(study.best_params))
    best.fit(x, y, epochs=epochs, batch_size=batch, verbose=0)
    print("test accuracy", (best.predict(x_test, verbose=0).argmax(1) == y_test).mean())


if __name__ == "__main__":
    main()
