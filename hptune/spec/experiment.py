"""The experiment: pydantic models that are the one source of validation, canonical form and search space.

What a user may write is exactly what stands here and in the table of settings; an unknown key is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from hptune.objective import METRICS, Direction, Objective
from hptune.space import SearchSpace
from hptune.spec.conversion import first_values, parents_first, to_dimensions
from hptune.spec.dimensions import Written, parse
from hptune.spec.evaluation import EvaluationSpec
from hptune.spec.forms import setting_schema
from hptune.spec.problems import show, suggest
from hptune.spec.search import BudgetSpec, HyperbandSpec, StrategySpec
from hptune.spec.section import Section, Texts, refuse
from hptune.spec.settings import SETTINGS

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SEPARATORS = (",", ";", "\t", "|")


def _read_metric(value: Any) -> Any:
    if isinstance(value, str):
        name = value.removeprefix("val_")
        if name in METRICS:
            return name
    raise refuse(((), f"expected a metric, got {show(value)}; {suggest(value, tuple(METRICS))}"))


def _read_direction(value: Any) -> Any:
    known = {"max": "max", "min": "min", "maximize": "max", "minimize": "min"}
    if isinstance(value, str) and value in known:
        return known[value]
    raise refuse(((), f"expected max or min, got {show(value)}; {suggest(value, tuple(known))}"))


def _read_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise refuse(((), f"expected a fraction from 0 to below 1, got {show(value)}"))
    return float(value)


Metric = Annotated[str, BeforeValidator(_read_metric), WithJsonSchema({"enum": list(METRICS)})]
AnyDirection = Annotated[Direction, BeforeValidator(_read_direction)]
Fraction = Annotated[
    float,
    BeforeValidator(_read_fraction),
    WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
]


class ObjectiveSpec(Section):
    """What the search is for: a metric of the validation rows, and always its direction."""

    metric: Metric = Field(description="what is compared, on validation rows")
    direction: AnyDirection = Field(description="whether more or less is better")

    @property
    def aim(self) -> Objective:
        """The objective as a value."""
        return Objective(self.metric, self.direction)


class SourceFiles(Section):
    """A file for each part; parts without a file of their own are split from the training file."""

    train: str = Field(description="file of the training rows")
    validation: str | None = Field(default=None, description="file of the validation rows; else they are split off")
    test: str | None = Field(default=None, description="file of the test rows; else they are split off")


class ColumnsSpec(Section):
    """What is known of columns beforehand."""

    exclude: Texts = Field(default=(), description="columns that are not used")
    categorical: Texts = Field(default=(), description="numbers that are codes, such as postcodes")
    numeric: Texts = Field(default=(), description="columns that must be numbers")
    id: str | None = Field(default=None, description="names the row; copied beside predictions, never learned from")
    weight: str | None = Field(default=None, description="how much a row counts in loss and metrics; 0 or more")
    group: str | None = Field(default=None, description="rows of one group are never in two parts or folds")
    time: str | None = Field(
        default=None, description="number or date; later rows validate and test, earlier ones train"
    )


class SplitSpec(Section):
    """How rows become training, validation and test rows."""

    validation: Fraction = Field(default=0.2, description="share of the rows that choose among configurations")
    test: Fraction = Field(default=0.2, description="share of the rows that are scored once, at the end")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=0, description="of the split")
    stratify: Literal["auto"] | bool = Field(default="auto", description="whether parts have equal shares of classes")
    column: str | None = Field(default=None, description="column that says train, validation or test")


def _read_starts(value: Any) -> Any:
    """Read configurations by dotted name, or in sections as `best/hyperparameters.yaml` writes them."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, list):
        raise refuse(((), f"expected a list of configurations, such as - {{model.blocks: 2}}, got {show(value)}"))
    wrong = [
        ((index,), f"expected a configuration such as {{model.blocks: 2}}, got {show(entry)}")
        for index, entry in enumerate(value)
        if not isinstance(entry, dict)
    ]
    if wrong:
        raise refuse(*wrong)
    return tuple(dict(_flatten(entry, "")) for entry in value)


def _flatten(entry: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in entry.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and isinstance(value.get("per_block"), list):
            yield from ((f"{key}.{number}", inner) for number, inner in enumerate(value["per_block"], start=1))
        elif isinstance(value, dict) and key not in SETTINGS:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


Starts = Annotated[
    tuple[dict[str, Any], ...],
    BeforeValidator(_read_starts),
    WithJsonSchema({"type": "array", "items": {"type": "object"}}),
]


def _tunable(key: str) -> Any:
    """Return the type of a setting that may be a constant or a dimension."""
    setting = SETTINGS[key]

    def read(value: Any) -> Written:
        if isinstance(value, Written):
            return value
        written, found = parse(value, setting)
        if found:
            raise refuse(*found)
        return written

    default = Written(constant=setting.default)
    return Annotated[Any, BeforeValidator(read), WithJsonSchema(setting_schema(setting)), Field(default=default)]


def _section(name: str, prefix: str) -> type[Section]:
    """Make the model of a section from the table of settings."""
    keys = {key.removeprefix(prefix): key for key in SETTINGS if key.startswith(prefix)}
    namespace = {
        "__annotations__": {short: _tunable(key) for short, key in keys.items()},
        "__module__": __name__,
        "__doc__": f"Settings below `{prefix}`, each a constant or a dimension.",
    }
    return type(name, (Section,), namespace)


ModelSpec = _section("ModelSpec", "model.")
TrainingSpec = _section("TrainingSpec", "training.")
PreparationSpec = _section("PreparationSpec", "data.preparation.")


def _source_form(value: Any) -> str:
    return "parts" if isinstance(value, dict | SourceFiles) else "text"


class DataSpec(Section):
    """The table: where it is, what is predicted, how columns and rows are used."""

    source: Annotated[
        Annotated[str, Tag("text")] | Annotated[SourceFiles, Tag("parts")], Discriminator(_source_form)
    ] = Field(description="CSV, TSV, Parquet or NPZ, relative to this file; sklearn:NAME; or a file for each part")
    target: str = Field(description="column to predict")
    task: Literal["auto", "binary", "multiclass", "regression"] = Field(
        default="auto", description="what is predicted; hptune check says what was decided"
    )
    positive: str | None = Field(default=None, description="label that f1 and the like look for; else the rarer one")
    separator: Literal[",", ";", "\t", "|"] | None = Field(default=None, description="of a text table")
    columns: ColumnsSpec = Field(default=ColumnsSpec(), description="what is known of columns beforehand")
    missing: Texts = Field(default=("", "NA", "?"), description="texts that mean missing; an empty cell always does")
    split: SplitSpec = Field(default=SplitSpec(), description="how rows become training, validation and test rows")
    preparation: PreparationSpec = Field(  # type: ignore[valid-type]
        default=PreparationSpec(), description="how columns are prepared, fitted on training rows only"
    )


class OutputSpec(Section):
    """Where runs lie and what of them is kept."""

    runs: str = Field(default="runs", description="folder of the runs, relative to the current one")
    keep: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=50, description="trials that keep their weights; ensembles and confirmation choose among them"
    )
    predictions_mb: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=512, description="megabytes of validation predictions at most"
    )
    weights_mb: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=2048, description="megabytes of weights at most"
    )


class Experiment(Section):
    """All of it."""

    name: Annotated[str, Field(pattern=NAME, description="the run's default name")]
    data: DataSpec = Field(description="the table: where it is, what is predicted")
    objective: ObjectiveSpec = Field(description="what the search is for")
    strategy: StrategySpec = Field(description="how the space is searched")
    budget: BudgetSpec = Field(default=BudgetSpec(), description="when the search ends")
    model: ModelSpec = Field(default=ModelSpec(), description="the network")  # type: ignore[valid-type]
    training: TrainingSpec = Field(default=TrainingSpec(), description="its training")  # type: ignore[valid-type]
    evaluation: EvaluationSpec = Field(default=EvaluationSpec(), description="how configurations are judged")
    start_from: Starts = Field(default=(), description="configurations to try first, by dotted name")
    output: OutputSpec = Field(default=OutputSpec(), description="where runs lie and what of them is kept")

    def written(self) -> dict[str, Written]:
        """Return every setting in canonical form, by dotted name."""
        sections = {"model": self.model, "training": self.training, "data.preparation": self.data.preparation}
        return {key: getattr(sections[key.rpartition(".")[0]], key.rpartition(".")[2]) for key in SETTINGS}

    def space(self) -> SearchSpace:
        """Return the search space: dimensions, parents first; constants; defaults for what is inactive."""
        written = self.written()
        constants = {key: value.constant for key, value in written.items() if not value.varies}
        if isinstance(self.strategy, HyperbandSpec):
            constants["training.epochs"] = self.max_epochs()
        for key, value in written.items():
            constants |= {f"{key}.{number}": constant for number, constant in enumerate(value.blocks or (), start=1)}
        dimensions = [
            dimension
            for key, value in written.items()
            if value.varies
            for dimension in to_dimensions(key, value, self.most_blocks())
        ]
        return SearchSpace(
            tuple(parents_first(dimensions)),
            constants,
            defaults={key: setting.default for key, setting in SETTINGS.items()},
            first_values={name: first for key, value in written.items() for name, first in first_values(key, value)},
        )

    def max_epochs(self) -> int:
        """Return the most epochs of a trial under Hyperband."""
        assert isinstance(self.strategy, HyperbandSpec)
        epochs: int = self.strategy.max_epochs or self.written()["training.epochs"].constant
        return epochs

    def most_blocks(self) -> int:
        """Return the largest number of blocks that the space has."""
        largest: int = max(self.written()["model.blocks"].ends())
        return largest

    def canonical(self) -> dict[str, Any]:
        """Return plain data in the words of the dialect, defaults filled in."""
        plain = self.model_dump(mode="python", exclude={"model": True, "training": True})
        plain["data"]["preparation"] = {}
        plain |= {"model": {}, "training": {}}
        for key, value in self.written().items():
            *path, last = key.split(".")
            node = plain
            for name in path:
                node = node[name]
            node[last] = value.canonical()
        plain["data"]["missing"] = list(plain["data"]["missing"])
        for name in ("exclude", "categorical", "numeric"):
            plain["data"]["columns"][name] = list(plain["data"]["columns"][name])
        plain["start_from"] = [dict(entry) for entry in self.start_from]
        return plain

    def to_yaml(self) -> str:
        """Write the canonical form; it reads back as an equal experiment."""
        return write_yaml(self.canonical())


def write_yaml(plain: Mapping[str, Any]) -> str:
    """Write plain data as YAML that reads back as it is."""
    text: str = yaml.dump(
        dict(plain), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
    )
    return text


def write_flow(value: Any) -> str:
    """Write a value on one line, as it stands behind a key.

    >>> write_flow({"min": 1e-07, "max": 0.5}), write_flow("yes"), write_flow([None, 1])
    ('{min: 1.0e-07, max: 0.5}', "'yes'", '[null, 1]')
    """
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=math.inf
    )
    # What ends a document that is a lone scalar.
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """Writes scalars so that YAML 1.1 and 1.2 read the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    # PyYAML writes 1e-07 without a dot, which YAML 1.1 reads as text.
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _write_float)


def is_finite_number(value: Any) -> bool:
    """Tell whether a value is a number that can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
