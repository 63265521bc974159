"""The words of others: what their parameters, metrics and methods are called here."""

from __future__ import annotations

import re
from typing import Any

from hptune.objective import METRICS
from hptune.spec.dimensions import parse
from hptune.spec.settings import SETTINGS

_PARAMETERS = {
    "training.learning_rate": ("lr", "learning_rate", "base_learning_rate", "initial_lr", "eta"),
    "training.batch_size": ("batch_size", "global_batch_size", "train_batch_size", "bs", "minibatch_size"),
    "training.epochs": ("epochs", "num_epochs", "n_epochs", "max_epochs", "train_epochs"),
    "training.optimizer": ("optimizer", "opt", "optim", "optimizer_type", "optimizer_name"),
    "training.momentum": ("momentum",),
    "training.nesterov": ("nesterov",),
    "training.weight_decay": ("weight_decay", "wd"),
    "training.clip_norm": ("clip_norm", "clipglobalnorm", "max_grad_norm", "gradient_clip_norm", "grad_clip"),
    "training.label_smoothing": ("label_smoothing",),
    "training.warmup": ("warmup", "warmup_fraction", "warmup_ratio"),
    "model.dropout": ("dropout", "dropout_rate", "dropout_prob", "drop_rate", "fc_dropout"),
    "model.input_dropout": ("input_dropout",),
    "model.units": (
        "units", "n_units", "num_units", "hidden_size", "hidden_units", "hidden_dim", "width", "fc_layer_size",
        "output_size", "fc_size", "num_hidden", "n_hidden", "layer_size", "dense_units",
    ),
    "model.blocks": (
        "blocks", "num_layers", "n_layers", "layers", "num_fc_layers", "num_blocks", "depth", "hidden_layers",
        "num_hidden_layers",
    ),
    "model.activation": ("activation", "act", "activation_fn"),
    "model.batch_norm": ("batch_norm", "batchnorm", "use_batch_norm", "batch_normalization", "norm"),
    "model.residual": ("residual", "use_residual", "skip_connections"),
    "model.l1": ("l1", "l1_reg", "l1_regularization", "l1_lambda"),
    "model.l2": ("l2", "l2_reg", "l2_regularization", "l2_lambda", "regularization_lambda"),
}  # fmt: skip
_KEY_OF = {word: key for key, words in _PARAMETERS.items() for word in words}
_METRICS = {
    "acc": "accuracy",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "rocauc": "roc_auc",
    "f1_score": "f1",
    "macro_f1": "f1_macro",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "r2_score": "r2",
    "logloss": "log_loss",
    "cross_entropy": "log_loss",
    "nll": "log_loss",
    "error": "loss",
    "pr_auc": "average_precision",
}
_OPTIMIZERS = {"momentum": "sgd", "nesterov": "sgd", "rms_prop": "rmsprop", "adam_w": "adamw"}
_PARTS = re.compile(r"^(val|valid|validation|test|eval|train|training)[_\-/. ]")


def setting_for(parameter: str) -> str | None:
    """Return the setting that a parameter means, by the last part of its name; None where there is none.

    >>> setting_for("--lr"), setting_for("trainer.learningRate"), setting_for("num_trees")
    ('training.learning_rate', 'training.learning_rate', None)
    """
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.split(r"[./:]", parameter.strip("-"))[-1])
    return _KEY_OF.get(word.lower().replace("-", "_"))


def metric_for(name: str) -> str | None:
    """Return the metric that a name means, whatever part of the rows it is of; None where there is none.

    >>> metric_for("val_acc"), metric_for("Validation-accuracy"), metric_for("default")
    ('accuracy', 'accuracy', None)
    """
    word = _PARTS.sub("", name.lower()).replace("-", "_").replace(" ", "_")
    word = _METRICS.get(word, word)
    return word if word in METRICS else None


def translate_values(key: str, written: Any) -> tuple[Any, str]:
    """Bring values into what a setting takes.

    Args:
        key: Of the setting.
        written: In the words of our dialect: a constant, a list, or a map.

    Returns:
        The value, None where nothing of it can be used; and what was left out, in words.
    """
    if isinstance(written, list):
        known = [(value, _translate_word(key, value)) for value in written]
        good = list(dict.fromkeys(ours for _, ours in known if _is_allowed(key, ours)))
        lost = [str(theirs) for theirs, ours in known if not _is_allowed(key, ours)]
        reason = f"{key} does not take {', '.join(lost)}" if lost else ""
        return (good if len(good) > 1 else good[0]) if good else None, reason
    if not isinstance(written, dict):
        written = _translate_word(key, written)
    _, found = parse(written, SETTINGS[key])
    return (None, f"{key}: {found[0][1]}") if found else (written, "")


def _translate_word(key: str, value: Any) -> Any:
    if key == "model.batch_norm":
        return {True: "after", False: "none", "batch": "after", None: "none"}.get(value, value)
    if isinstance(value, str):
        return _OPTIMIZERS.get(value.lower(), value.lower()) if key == "training.optimizer" else value.lower()
    if isinstance(value, float) and value.is_integer() and SETTINGS[key].kind == "int":
        return int(value)
    return value


def _is_allowed(key: str, value: Any) -> bool:
    return not isinstance(value, list | dict) and not parse(value, SETTINGS[key])[1]
