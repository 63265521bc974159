"""How the space is searched and when the search ends: strategies with KerasTuner's own options, and the budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from hptune.spec.section import Duration, Section, Seed, seconds_of


class RandomSpec(Section):
    """Random search: configurations drawn evenly over every range, none twice."""

    name: Literal["random"] = Field(description="random, grid, bayesian or hyperband")
    seed: Seed = 0


class GridSpec(Section):
    """Every combination once; `points` for each range without step."""

    name: Literal["grid"] = Field(description="random, grid, bayesian or hyperband")
    seed: Seed = 0
    points: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="values of each range that has no step"
    )


class BayesianSpec(Section):
    """A Gaussian process that learns from results, and proposes where its confidence bound is best."""

    name: Literal["bayesian"] = Field(description="random, grid, bayesian or hyperband")
    seed: Seed = 0
    num_initial_points: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="random configurations before the first fit; by default three a dimension"
    )
    alpha: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = Field(
        default=1e-4, description="noise expected in standardized scores, as a variance"
    )
    beta: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = Field(
        default=2.6, description="how much exploring is worth; larger explores more"
    )
    batch: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="configurations proposed from the same results; by default a quarter of these, but at least 4",
    )


class HyperbandSpec(Section):
    """Many configurations for few epochs, the best of them for more, in brackets."""

    name: Literal["hyperband"] = Field(description="random, grid, bayesian or hyperband")
    seed: Seed = 0
    max_epochs: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="the most epochs of a trial; by default training.epochs"
    )
    factor: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=3, description="one in so many goes on, for so many times the epochs"
    )
    hyperband_iterations: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="how often all brackets are gone through"
    )


STRATEGIES: dict[str, type[Section]] = {
    "random": RandomSpec,
    "grid": GridSpec,
    "bayesian": BayesianSpec,
    "hyperband": HyperbandSpec,
}
StrategySpec = Annotated[RandomSpec | GridSpec | BayesianSpec | HyperbandSpec, Discriminator("name")]


class BudgetSpec(Section):
    """The limits of a search; the first one that is reached ends it."""

    max_trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="configurations in all"
    )
    max_time: Duration | None = Field(
        default=None, description="time of work, summed over all sessions, such as 20m or 2h30m"
    )
    target: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        default=None, description="a score of the objective that is good enough"
    )
    trial_timeout: Duration | None = Field(
        default=None, description="time after which a trial ends with its epoch and keeps what it reached"
    )
    max_failures: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="failed trials after which the search is given up"
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="attempts at a trial whose process crashes"
    )

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else seconds_of(self.max_time)

    @property
    def trial_seconds(self) -> float | None:
        """`trial_timeout` in seconds."""
        return None if self.trial_timeout is None else seconds_of(self.trial_timeout)
