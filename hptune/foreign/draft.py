"""An experiment in the making: what a foreign file said, setting by setting, in the words of our dialect."""

from __future__ import annotations

from typing import Any

from hptune.foreign.source import KeyPath, Source
from hptune.foreign.vocabulary import metric_for, setting_for, translate_values
from hptune.objective import METRICS
from hptune.spec.settings import SETTINGS


class Draft:
    """Takes what is understood from a source, and leaves the rest there with a reason."""

    def __init__(self, source: Source) -> None:
        """Begin with an empty draft."""
        self.source = source
        self.settings: dict[str, Any] = {}
        self.metric: str | None = None
        self.direction: str | None = None
        self.strategy: dict[str, Any] = {}
        self.budget: dict[str, Any] = {}
        self.name: str | None = None
        self.target: str | None = None

    def add(self, path: KeyPath, parameter: str, written: Any) -> None:
        """Add a parameter.

        Args:
            path: Where it stands in the source; taken.
            parameter: As it is called there.
            written: Its values in our words; None where its kind is not known here.
        """
        key = setting_for(parameter)
        if key is None:
            self.source.leave(path, f"no setting of hptune is meant by {parameter}")
            return
        if key in self.settings:
            self.source.leave(path, f"{key} was set by another parameter before")
            return
        if written is None:
            self.source.leave(path, "a distribution of this kind does not exist here; write a range or a list")
            return
        value, lost = translate_values(key, _as_whole(key, written))
        if lost:
            self.source.leave(path, lost)
        if value is not None:
            self.source.take(*path)
            self.settings[key] = value

    def aim(self, path: KeyPath, metric: Any, direction: Any) -> None:
        """Set the objective; `direction` in any tool's word, None for the metric's own."""
        ours = metric_for(str(metric)) if metric is not None else None
        if ours is None:
            if metric is not None:
                self.source.leave(path, f"{metric} is no metric of hptune")
            return
        word = str(direction).lower()
        self.source.take(*path)
        self.metric = ours
        known = {"max": "max", "maximize": "max", "min": "min", "minimize": "min"}.get(word, METRICS[ours].direction)
        self.direction = known
        if known != METRICS[ours].direction:
            self.direction = METRICS[ours].direction
            self.source.leave(path, f"{ours} is better when it is {'larger' if self.direction == 'max' else 'smaller'}")

    def search_by(self, path: KeyPath, method: Any) -> None:
        """Set the strategy by the word of another tool; what is unknown becomes random search, with a note."""
        word = str(method).lower().replace("_", "").replace("-", "").removesuffix("sampler").removesuffix("tuner")
        ours = _STRATEGIES.get(word)
        if ours is None:
            self.source.leave(path, f"there is no strategy {method} here; random stands in its place")
            self.strategy = {"name": "random"}
            return
        self.source.take(*path)
        self.strategy = {"name": ours}
        if word in _NEAREST:
            self.source.leave(path, f"{ours} stands in the place of {method}")


def _as_whole(key: str, written: Any) -> Any:
    """Make ranges of whole settings whole where a tool wrote 1.0, and say their kind where it wrote whole bounds."""
    if not isinstance(written, dict) or "min" not in written:
        return written
    ends = {name: written[name] for name in ("min", "max", "step") if name in written}
    if SETTINGS[key].kind == "int":
        whole = {name: int(end) if isinstance(end, float) and end.is_integer() else end for name, end in ends.items()}
        return {**written, **whole, "type": "int"} if all(isinstance(end, int) for end in whole.values()) else written
    return {**written, **{name: float(end) for name, end in ends.items()}}


_STRATEGIES = {
    "random": "random",
    "randomsearch": "random",
    "quasirandom": "random",
    "sobol": "random",
    "qmc": "random",
    "variantgenerator": "random",
    "single": "random",
    "grid": "grid",
    "gridsearch": "grid",
    "bruteforce": "grid",
    "bayes": "bayesian",
    "bayesian": "bayesian",
    "bayesianoptimization": "bayesian",
    "gp": "bayesian",
    "metis": "bayesian",
    "skopt": "bayesian",
    "tpe": "bayesian",
    "multivariatetpe": "bayesian",
    "hyperopt": "bayesian",
    "optuna": "bayesian",
    "smac": "bayesian",
    "cmaes": "bayesian",
    "anneal": "bayesian",
    "hyperband": "hyperband",
    "bohb": "hyperband",
    "asha": "hyperband",
    "adaptiveasha": "hyperband",
    "asyncadaptive": "hyperband",
    "adaptive": "hyperband",
    "adaptivesimple": "hyperband",
    "asynchalving": "hyperband",
}
# Carried to what is closest, which is worth a word.
_NEAREST = frozenset(
    {"tpe", "multivariatetpe", "hyperopt", "optuna", "smac", "cmaes", "anneal", "metis", "bohb", "asha", "adaptiveasha",
     "asyncadaptive", "adaptive", "adaptivesimple", "asynchalving", "quasirandom", "sobol", "qmc", "single", "skopt"}
)  # fmt: skip
