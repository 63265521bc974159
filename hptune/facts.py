"""What `hptune check` tells: decisions taken about data, space and strategy, as plain values for screen and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hptune.data.split import part_sizes
from hptune.groundwork import Groundwork
from hptune.reporting.words import format_value
from hptune.schedule import Bracket
from hptune.space import Choice, Condition, Dimension

_SHOWN_VALUES = 12


def gather_facts(ground: Groundwork) -> dict[str, Any]:
    """Put everything that was decided into one mapping.

    Raises:
        DataError: If the rows cannot be split as demanded.
    """
    dataset, experiment = ground.dataset, ground.experiment
    return {
        "schema": 1,
        "name": experiment.name,
        "objective": {"metric": ground.objective.metric, "direction": ground.objective.direction},
        "data": {
            "task": dataset.task,
            "task_reason": dataset.task_reason,
            "target": dataset.target,
            "labels": list(dataset.labels),
            "positive": dataset.labels[dataset.positive] if dataset.positive is not None else None,
            "rows": _count_rows(ground),
            "roles": _roles(ground),
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "missing": column.missing,
                    "distinct": column.distinct,
                    "reason": column.reason,
                }
                for column in dataset.columns
            ],
        },
        "space": {
            "count": ground.count,
            "dimensions": [_describe_dimension(dimension) for dimension in ground.space.dimensions],
        },
        "strategy": {**experiment.strategy.model_dump(), **ground.strategy_options},
        "plan": describe_plan(ground),
        "schedule": [asdict(bracket) for bracket in ground.brackets],
        "brackets": describe_brackets(ground.brackets),
        "start_from": [dict(values) for values in ground.start_from],
        "notes": [*ground.loaded.notes, *dataset.notes],
    }


def _count_rows(ground: Groundwork) -> dict[str, int]:
    sizes = part_sizes(ground.dataset, ground.experiment.data.split)
    if ground.experiment.evaluation.folds is None:
        return sizes
    return {"train and validation": sizes["train"] + sizes["validation"], "test": sizes["test"]}


def _describe_parts(ground: Groundwork) -> str:
    evaluation = ground.experiment.evaluation
    words = [f"with {evaluation.repeats} seeds"] if evaluation.repeats > 1 else []
    words += [f"on {evaluation.folds} folds"] if evaluation.folds is not None else []
    return f", each {' '.join(words)}" if words else ""


def _roles(ground: Groundwork) -> dict[str, str]:
    """Name the columns that say something of a row and are never learned from."""
    columns = ground.experiment.data.columns
    named = {role: getattr(columns, role) for role in ("id", "weight", "group", "time")}
    return {role: name for role, name in named.items() if name is not None}


def describe_plan(ground: Groundwork) -> str:
    """Say what will run, and what ends it."""
    strategy, budget = ground.experiment.strategy, ground.experiment.budget
    count = ground.count
    is_endless = any(dimension.finite_values() is None for dimension in ground.space.dimensions)
    many = "infinitely many configurations" if is_endless else "more configurations than are worth counting"
    space = many if count is None else f"{count} configurations"
    options = ", ".join(f"{name} {value}" for name, value in ground.strategy_options.items() if value is not None)
    trials = "all of them" if ground.planned_trials is None else f"{ground.planned_trials} trials"
    if ground.planned_trials is None and budget.max_time is not None:
        trials = "as many trials as fit"
    if ground.planned_epochs is not None:
        trials += f" and at most {ground.planned_epochs} epochs"
    trials += _describe_parts(ground)
    ends = [
        f"{words} {value}"
        for words, value in (
            ("at most", budget.max_time),
            (f"until {ground.objective.metric} reaches", budget.target),
            ("no trial longer than", budget.trial_timeout),
            ("failures up to", budget.max_failures),
        )
        if value is not None
    ]
    named = f"{strategy.name} with seed {strategy.seed}" + (f" ({options})" if options else "")
    first = f", {len(ground.start_from)} of them given" if ground.start_from else ""
    return (
        f"{space}; {named} will train {trials}{first}{''.join(f', {end}' for end in ends)}, "
        f"at most {budget.max_attempts} attempts each; engine: {_describe_engine(ground)}"
    )


def _describe_engine(ground: Groundwork) -> str:
    engine: str = ground.space.constants["training.engine"]
    # Every layer of every model type has a rule for many slots.
    return {"auto": "population", "keras": "keras (one trial at a time)"}.get(engine, engine)


def describe_brackets(brackets: Iterable[Bracket]) -> list[str]:
    """Say for each bracket how many configurations are trained up to which epoch."""
    return [
        f"bracket {bracket.number}: "
        + ", then ".join(f"{rung.configurations} to epoch {rung.last_epoch}" for rung in bracket.rungs)
        + f"; {bracket.epochs} epochs"
        for bracket in brackets
    ]


def _describe_dimension(dimension: Dimension) -> dict[str, str]:
    return {
        "name": dimension.name,
        "kind": type(dimension).__name__.lower(),
        "range": _describe_range(dimension),
        "when": " and ".join(map(_describe_condition, dimension.when)),
    }


def _describe_range(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        return _list_values(dimension.values)
    text = f"{format_value(dimension.min)} to {format_value(dimension.max)}"
    if dimension.step is not None:
        text += f" in steps of {format_value(dimension.step)}"
    return text + (", log" if dimension.log else "")


def _describe_condition(condition: Condition) -> str:
    if condition.values is not None:
        return f"{condition.name} is {_list_values(condition.values, ' or ')}"
    bounds = [
        f"{word} {format_value(bound)}"
        for word, bound in (("at least", condition.min), ("at most", condition.max))
        if bound is not None
    ]
    return f"{condition.name} is " + " and ".join(bounds)


def _list_values(values: Iterable[Any], separator: str = ", ") -> str:
    shown = ["null" if value is None else format_value(value) for value in values]
    more = f"{separator}{len(shown) - _SHOWN_VALUES} more" if len(shown) > _SHOWN_VALUES else ""
    return separator.join(shown[:_SHOWN_VALUES]) + more
