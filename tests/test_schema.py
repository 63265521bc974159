"""The JSON Schema of experiments: what it takes and refuses; the copy beside the configs is the one that is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import hptune
from hptune.spec import load_experiment
from hptune.spec.reader import parse_text
from hptune.spec.settings import SETTINGS

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(hptune.schema())


def experiment(**changes: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "data": {"source": "x.csv", "target": "y"},
        "objective": {"metric": "accuracy", "direction": "max"},
        "strategy": {"name": "random"},
        "budget": {"max_trials": 3},
        **changes,
    }


def plain(text: str) -> Any:
    """Read YAML as hptune and editors do, by the rules of YAML 1.2: `1e-3` is a number."""
    return parse_text("experiment.yaml", text)[0].plain()


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(hptune.schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_takes_every_config_as_written_and_in_canonical_form(path: Path) -> None:
    loaded = load_experiment(path)

    VALIDATOR.validate(plain(path.read_text()))
    VALIDATOR.validate(plain(loaded.experiment.to_yaml()))


@pytest.mark.parametrize(
    "changes",
    [
        {"bogus": 1},
        {"name": 7},
        {"objective": {"metric": "accuracy"}},
        {"objective": {"metric": "acuracy", "direction": "max"}},
        {"strategy": {"name": "random", "points": 3}},
        {"strategy": {"name": "genetic"}},
        {"budget": {"max_trials": 0}},
        {"budget": {"max_time": "soon"}},
        {"model": {"droput": 0.5}},
        {"model": {"dropout": 1.0}},
        {"model": {"dropout": {"min": 0.1}}},
        {"model": {"units": [16, 32.5]}},
        {"model": {"units": {"min": 1, "max": 9, "steps": 2}}},
        {"model": {"batch_norm": "sideways"}},
        {"model": {"residual": "yes"}},
        {"model": {"activation": {"min": 1, "max": 2}}},
        {"training": {"learning_rate": 0}},
        {"training": {"early_stopping": {"patience": 0}}},
        {"start_from": {"model.units": 3}},
    ],
    ids=json.dumps,
)
def test_it_refuses_what_the_reader_refuses(changes: dict[str, Any], tmp_path: Path) -> None:
    wrong = experiment(**changes)
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))

    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(hptune.HptuneError):
        load_experiment(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"units": {"values": [8, 16], "when": {"model.blocks": {"min": 2}}}, "blocks": [1, 2]}},
        {"model": {"units": {"min": 8, "max": 64, "log": True, "per_block": True}, "blocks": 3}},
        {"model": {"units": {"per_block": [64, 32]}, "blocks": 2}},
        {"training": {"clip_norm": [None, 1.0], "early_stopping": None}},
        {"training": {"class_weight": {"values": [{"a": 1, "b": 2}]}}},
        {"strategy": {"name": "bayesian", "beta": 1.5}, "budget": {"max_time": "2h30m"}},
        {"strategy": {"name": "hyperband", "factor": 4}, "training": {"epochs": 16}},
        {"data": {"source": {"train": "a.csv", "test": "b.csv"}, "target": "y", "split": {"seed": 4}}},
    ],
    ids=json.dumps,
)
def test_it_takes_what_the_reader_takes(changes: dict[str, Any], tmp_path: Path) -> None:
    right = experiment(**changes)
    path = tmp_path / "right.yaml"
    path.write_text(yaml.safe_dump(right))

    VALIDATOR.validate(right)
    load_experiment(path)


def test_every_key_has_a_text_to_hover() -> None:
    schema = hptune.schema()
    bare = [
        f"{name}.{key}"
        for name, part in {"experiment": schema, **schema["$defs"]}.items()
        for key, value in part.get("properties", {}).items()
        if "description" not in value and "$ref" not in value
    ]

    assert bare == []
    assert all(setting.about in json.dumps(schema, ensure_ascii=False) for setting in SETTINGS.values())


def test_the_schema_beside_the_configs_is_the_one_that_is_printed() -> None:
    kept = json.loads((ROOT / "configs" / "hptune.schema.json").read_text())

    assert kept == hptune.schema(), "make it again: hptune schema --output configs/hptune.schema.json"
    for path in CONFIGS:
        assert path.read_text().startswith("# yaml-language-server: $schema=hptune.schema.json\n")
