"""Every key of the schema is read: changing it changes what happens. A key that does nothing would be a lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import hptune
from pydantic import BaseModel

from hptune.data.split import split_rows
from hptune.groundwork import Groundwork, lay_groundwork
from hptune.interruption import Interruption
from hptune.run.folder import RunFolder
from hptune.session import Session
from hptune.spec.experiment import Experiment, SourceFiles
from hptune.spec.search import STRATEGIES
from hptune.spec.settings import SETTINGS
from hptune.training.crew import Crew

ROOT = Path(__file__).parent.parent
CUSTOMERS = ROOT / "configs" / "customers.yaml"
TABLE = ROOT / "configs" / "data" / "customers.csv"


def leaf_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key that holds no further keys."""
    for name, field in model.model_fields.items():
        below = {"data.source": SourceFiles, "strategy": None}.get(f"{prefix}{name}", field.annotation)
        if f"{prefix}{name}" == "strategy":
            yield from sorted({f"strategy.{key}" for spec in STRATEGIES.values() for key in spec.model_fields})
        elif isinstance(below, type) and issubclass(below, BaseModel):
            yield from leaf_keys(below, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def columns(ground: Groundwork) -> Any:
    return [(column.name, column.kind) for column in ground.dataset.columns]


def rows(ground: Groundwork) -> Any:
    split = split_rows(ground.dataset, ground.experiment.data.split)
    return [part.tolist() for part in (split.train, split.validation, split.test)]


def weights(ground: Groundwork) -> Any:
    found = ground.dataset.roles.weights
    return None if found is None else found.tolist()


def session(ground: Groundwork) -> Session:
    return Session(ground, RunFolder(Path("x")), Crew(1, 1 << 30), Interruption())


# What is looked at, and the override that must change it. `output` is tested by a search below.
EFFECTS: dict[str, tuple[Callable[[Groundwork], Any], tuple[str, ...]]] = {
    "name": (lambda ground: ground.experiment.name, ("name=other",)),
    "data.source.train": (lambda ground: ground.dataset.files, (f"data.source={{train: {TABLE}}}",)),
    "data.source.validation": (rows, (f"data.source={{train: {TABLE}, validation: {TABLE}}}",)),
    "data.source.test": (rows, (f"data.source={{train: {TABLE}, test: {TABLE}}}",)),
    "data.target": (columns, ("data.target=plan", "data.positive=null", "objective.metric=accuracy")),
    "data.task": (lambda ground: ground.dataset.task_reason, ("data.task=binary",)),
    "data.positive": (lambda ground: ground.dataset.positive, ("data.positive=no",)),
    "data.separator": (lambda ground: len(ground.dataset.columns), ('data.separator=";"',)),
    "data.columns.exclude": (columns, ("data.columns.exclude=[city]",)),
    "data.columns.categorical": (columns, ("data.columns.categorical=[]",)),
    "data.columns.numeric": (columns, ("data.columns={numeric: [region], id: customer}",)),
    "data.columns.id": (lambda ground: ground.dataset.id, ("data.columns.id=plan",)),
    "data.columns.weight": (weights, ("data.columns={weight: visits, id: customer, categorical: [region]}",)),
    "data.columns.group": (rows, ("data.columns={group: visits, id: customer}",)),
    "data.columns.time": (rows, ("data.columns={time: visits, id: customer}",)),
    "data.missing": (lambda ground: [column.missing for column in ground.dataset.columns], ('data.missing=["", "?"]',)),
    "data.split.validation": (rows, ("data.split.validation=0.3",)),
    "data.split.test": (rows, ("data.split.test=0.3",)),
    "data.split.seed": (rows, ("data.split.seed=2",)),
    "data.split.stratify": (rows, ("data.split.stratify=false",)),
    "data.split.column": (rows, ("data.split.column=plan",)),
    "evaluation.folds": (lambda ground: ground.part_names, ("evaluation.folds=3",)),
    "evaluation.repeats": (lambda ground: ground.part_names, ("evaluation.repeats=3",)),
    "objective.metric": (lambda ground: ground.objective, ("objective.metric=accuracy",)),
    "objective.direction": (
        lambda ground: ground.objective.is_better(0.1, 0.2),
        ("objective.metric=log_loss", "objective.direction=min"),
    ),
    "strategy.name": (lambda ground: ground.count, ("strategy={name: grid, points: 2}",)),
    "strategy.points": (lambda ground: ground.count, ("strategy={name: grid, points: 3}",)),
    "strategy.seed": (lambda ground: ground.identity_sha256, ("strategy.seed=6",)),
    "budget.max_trials": (lambda ground: (ground.planned_trials, session(ground).budget), ("budget.max_trials=3",)),
    "budget.max_time": (lambda ground: ground.experiment.budget.max_seconds, ("budget.max_time=20m",)),
    "budget.trial_timeout": (lambda ground: ground.experiment.budget.trial_seconds, ("budget.trial_timeout=90s",)),
    "budget.target": (lambda ground: session(ground).budget, ("budget.target=0.9",)),
    "budget.max_failures": (lambda ground: session(ground).budget, ("budget.max_failures=3",)),
    "start_from": (lambda ground: ground.start_from, ("start_from=[{model.blocks: 2}]",)),
    "budget.max_attempts": (lambda ground: session(ground).budget, ("budget.max_attempts=5",)),
}
# Each option of a strategy changes what its strategy is given.
OPTIONS = {
    "strategy.num_initial_points": "bayesian, num_initial_points: 3",
    "strategy.alpha": "bayesian, alpha: 0.01",
    "strategy.beta": "bayesian, beta: 1",
    "strategy.batch": "bayesian, batch: 2",
    "strategy.max_epochs": "hyperband, max_epochs: 27",
    "strategy.factor": "hyperband, factor: 4",
    "strategy.hyperband_iterations": "hyperband, hyperband_iterations: 2",
}
TESTED_BY_A_SEARCH = {"output.runs", "output.keep", "output.weights_mb", "output.predictions_mb"}
# In tests/test_evaluation.py.
TESTED_BY_A_SEARCH |= {"evaluation.confirm", "evaluation.refit"}


def test_every_key_is_proven() -> None:
    assert set(leaf_keys(Experiment)) == set(EFFECTS) | set(OPTIONS) | TESTED_BY_A_SEARCH | set(SETTINGS)


@pytest.mark.parametrize("key", [key for key in EFFECTS if key not in ("data.separator", "data.split.column")])
def test_changing_a_key_changes_what_happens(key: str) -> None:
    look, overrides = EFFECTS[key]

    assert look(lay_groundwork(CUSTOMERS, overrides)) != look(lay_groundwork(CUSTOMERS))


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_reaches_its_strategy(key: str) -> None:
    def given(strategy: str) -> Any:
        overrides = (f"strategy={{name: {strategy}}}", "training.epochs=50", "budget.max_trials=null")
        ground = lay_groundwork(CUSTOMERS, (*overrides, "budget.max_time=1h"))
        return ground.strategy_options, ground.brackets

    (options, brackets), (plain_options, plain_brackets) = given(OPTIONS[key]), given(OPTIONS[key].partition(",")[0])

    assert options.keys() == plain_options.keys()
    assert options[key.partition(".")[2]] != plain_options[key.partition(".")[2]]
    assert (brackets != plain_brackets) == OPTIONS[key].startswith("hyperband")


@pytest.mark.parametrize(
    ("override", "expected"),
    [('data.separator=";"', "commas"), ("data.split.column=plan", "expected train, validation or test")],
)
def test_keys_that_the_table_contradicts_are_read_too(override: str, expected: str) -> None:
    with pytest.raises(Exception, match=expected):
        lay_groundwork(CUSTOMERS, (override,))


@pytest.mark.tensorflow
@pytest.mark.long
def test_what_is_kept_and_where_follows_the_experiment(tmp_path: Path) -> None:
    words = ["search", str(CUSTOMERS), "--quiet", "--max-trials", "3", "--set", "training.epochs=2"]
    limits = {"keep": "{runs: elsewhere, keep: 1}", "megabytes": "{weights_mb: 0, predictions_mb: 0}"}

    for name, output in limits.items():
        hptune(*words, "--run", name, "--set", f"output={output}", folder=tmp_path)

    def kept(run: str, name: str) -> int:
        return len(list((tmp_path / run / "trials").glob(f"*/{name}")))

    assert (kept("elsewhere/keep", "weights.npz"), kept("elsewhere/keep", "predictions.npy")) == (1, 3)
    assert (kept("runs/megabytes", "weights.npz"), kept("runs/megabytes", "predictions.npy")) == (1, 1)
    assert kept("runs/megabytes", "curve.json") == 3
