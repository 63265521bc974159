"""Every setting that may vary: what it takes, and what it is when nobody says.

One table is the source of validation, of the search space, and of the words in messages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hptune.spec.problems import show, suggest

Kind = Literal["int", "float", "bool", "word", "embedding", "early_stopping", "class_weight"]

# The names that Keras knows as keras.activations; a test compares them. glu and threshold are not among them: the one
# halves the width, the other needs arguments.
ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
)


# Longer lists are not repeated where the nearest word is offered.
_SHOWN_WORDS = 8


@dataclass(frozen=True)
class Setting:
    """What a setting takes.

    Attributes:
        kind: Of its values.
        default: Where nobody says.
        about: One line for people.
        min: Least number.
        max: Largest number.
        below_max: Whether `max` itself is out.
        above_min: Whether `min` itself is out.
        words: What a word may be.
        nullable: Whether null is a value.
        per_block: Whether each block may have its own.
        constant: Whether it may not vary.
        needs: Optimizers that read it; empty for all.
    """

    kind: Kind
    default: Any
    about: str
    min: float = -math.inf
    max: float = math.inf
    below_max: bool = False
    above_min: bool = False
    words: tuple[str, ...] = ()
    nullable: bool = False
    per_block: bool = False
    constant: bool = False
    needs: tuple[str, ...] = field(default=())

    def fault(self, value: Any) -> str | None:
        """Say what is wrong with a value; None where nothing is."""
        if value is None:
            return None if self.nullable else f"expected {self.expected()}, got null"
        match self.kind:
            case "bool":
                return None if isinstance(value, bool) else self._not_a_boolean(value)
            case "word":
                return self._word_fault(value)
            case "embedding":
                return None if value == "auto" else self._number_fault(value)
            case "early_stopping" | "class_weight":
                return _STRUCTURED[self.kind](value)
            case _:
                return self._number_fault(value)

    def expected(self) -> str:
        """Say what the setting takes."""
        match self.kind:
            case "bool":
                return "true or false"
            case "word":
                return f"one of {', '.join(self.words)}"
            case "early_stopping":
                return "{patience: EPOCHS, min_delta: 0} or null"
            case "class_weight":
                return "none, balanced, or {values: [{LABEL: WEIGHT, ...}]}"
        number = "a whole number" if self.kind in ("int", "embedding") else "a number"
        bounds = []
        if self.min > -math.inf:
            bounds.append(f"{'above' if self.above_min else 'from'} {_plain(self.min)}")
        if self.max < math.inf:
            bounds.append(f"to {'below ' if self.below_max else ''}{_plain(self.max)}")
        text = " ".join([number, *bounds])
        if self.kind == "embedding":
            text += " or auto"
        return text + (" or null" if self.nullable else "")

    def _not_a_boolean(self, value: Any) -> str:
        meant = {"no": "false", "off": "false", "n": "false", "yes": "true", "on": "true", "y": "true"}
        cure = meant.get(str(value).lower())
        return f"expected true or false, got {show(value)}" + (f"; write {cure}" if cure else "")

    def _word_fault(self, value: Any) -> str | None:
        if value in self.words:
            return None
        expected = self.expected() if len(self.words) < _SHOWN_WORDS else self.about
        return f"expected {expected}, got {show(value)}; {suggest(value, self.words)}"

    def _number_fault(self, value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"expected {self.expected()}, got {show(value)}"
        if self.kind in ("int", "embedding") and not isinstance(value, int):
            return f"expected {self.expected()}, got {show(value)}"
        is_low = value < self.min or (self.above_min and value == self.min)
        is_high = value > self.max or (self.below_max and value == self.max)
        return f"expected {self.expected()}, got {show(value)}" if is_low or is_high else None


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _early_stopping_fault(value: Any) -> str | None:
    expected = "expected {patience: EPOCHS, min_delta: 0} or null"
    if not isinstance(value, Mapping):
        return f"{expected}, got {show(value)}"
    for name in value:
        if name not in ("patience", "min_delta"):
            return f"{expected}, got key {show(name)}; {suggest(name, ('patience', 'min_delta'))}"
    patience, delta = value.get("patience"), value.get("min_delta", 0.0)
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        return f"{expected} with patience from 1, got {show(patience)}"
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < math.inf:
        return f"{expected} with min_delta from 0, got {show(delta)}"
    return None


def _class_weight_fault(value: Any) -> str | None:
    if value in ("none", "balanced"):
        return None
    expected = "expected none, balanced, or {values: [{LABEL: WEIGHT, ...}]}"
    if not isinstance(value, Mapping) or not value:
        return f"{expected}, got {show(value)}"
    for label, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            return f"{expected}, got weight {show(weight)} for {show(label)}; expected a number from 0"
    return None


_STRUCTURED = {"early_stopping": _early_stopping_fault, "class_weight": _class_weight_fault}
_SGD = ("sgd",)
_DECAYING = ("adamw", "sgd")


def _share(about: str, default: float = 0.0, *, per_block: bool = False, needs: tuple[str, ...] = ()) -> Setting:
    """Make a setting that takes numbers from 0 to below 1."""
    return Setting("float", default, about, min=0, max=1, below_max=True, per_block=per_block, needs=needs)


SETTINGS: dict[str, Setting] = {
    "model.type": Setting("word", "mlp", "kind of network", words=("mlp",), constant=True),
    "model.input_batch_norm": Setting("bool", False, "batch norm on the numeric inputs"),
    "model.blocks": Setting("int", 2, "hidden blocks; 0 is a linear model", min=0, max=64),
    "model.units": Setting("int", 128, "width of a block", min=1, max=65_536, per_block=True),
    "model.activation": Setting("word", "relu", "a Keras activation", words=ACTIVATIONS),
    "model.batch_norm": Setting("word", "none", "place of batch norm in a block", words=("none", "before", "after")),
    "model.residual": Setting("bool", False, "blocks learn functions relative to their input"),
    "model.dropout": _share("share of units silenced while training", per_block=True),
    "model.input_dropout": _share("share of inputs silenced while training"),
    "model.l1": Setting("float", 0.0, "L1 on kernels; zeros are zeros", min=0),
    "model.l2": Setting("float", 0.0, "L2 on kernels", min=0),
    "model.bias_l2": Setting("float", 0.0, "L2 on biases", min=0),
    "model.embedding": Setting("embedding", "auto", "width of categorical embeddings", min=1, max=4096),
    "training.engine": Setting(
        "word",
        "auto",
        "population: many trials in one graph; keras: each by fit; auto: population where the network allows it",
        words=("auto", "population", "keras"),
        constant=True,
    ),
    "training.optimizer": Setting("word", "adam", "optimizer", words=("adam", "adamw", "sgd", "rmsprop")),
    "training.learning_rate": Setting("float", 1e-3, "learning rate", min=0, above_min=True),
    "training.momentum": _share("momentum of sgd", 0.9, needs=_SGD),
    "training.nesterov": Setting("bool", False, "Nesterov momentum of sgd", needs=_SGD),
    "training.weight_decay": Setting("float", 0.0, "decoupled weight decay", min=0, needs=_DECAYING),
    "training.clip_norm": Setting("float", None, "global norm of gradients", min=0, above_min=True, nullable=True),
    "training.batch_size": Setting("int", 64, "rows in a mini-batch", min=1, max=1_048_576),
    "training.epochs": Setting("int", 50, "epochs at most", min=1, max=1_000_000),
    "training.schedule": Setting("word", "constant", "learning rate over time", words=("constant", "cosine")),
    "training.warmup": _share("share of all steps over which the rate rises"),
    "training.early_stopping": Setting(
        "early_stopping",
        {"patience": 10, "min_delta": 0.0},
        "epochs without improvement of the objective",
        nullable=True,
        constant=True,
    ),
    "training.label_smoothing": _share("label smoothing"),
    "training.class_weight": Setting("class_weight", "none", "weights of classes in the loss"),
    "data.preparation.numeric": Setting(
        "word", "standard", "preparation of numbers", words=("standard", "quantile", "none")
    ),
    "data.preparation.categorical": Setting(
        "word", "one_hot", "preparation of categories", words=("one_hot", "embedding")
    ),
}
