"""Files of other tools: what they say is said in our words, and what cannot be is named with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hptune.afterwards import convert
from hptune.errors import ExperimentError, UsageError
from hptune.foreign.source import Source
from hptune.spec import load_experiment
from hptune.spec.reader import parse_text

HPTUNE = str(Path(sys.executable).with_name("hptune"))

WANDB = """\
program: train.py
method: bayes
name: tabular
metric: {name: val_acc, goal: maximize}
run_cap: 40
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  optimizer: {values: [adam, sgd, lamb]}
  fc_layer_size: {values: [64, 128]}
  dropout: {min: 0.1, max: 0.5}
  epochs: {value: 12}
  learning_rate: {distribution: log_uniform_values, min: 0.0001, max: 0.1}
  weight_decay: {distribution: log_uniform, min: -9, max: -3}
  momentum: {distribution: normal, mu: 0.9, sigma: 0.02}
  n_trees: {min: 10, max: 20}
"""
LUDWIG = """\
input_features:
  - {name: age, type: number}
output_features:
  - {name: churned, type: binary}
trainer: {epochs: 30, early_stop: 5}
hyperopt:
  goal: maximize
  metric: roc_auc
  parameters:
    trainer.learning_rate: {space: loguniform, lower: 0.0005, upper: 0.05}
    combiner.num_fc_layers: {space: randint, lower: 1, upper: 5}
    trainer.batch_size: {space: choice, categories: [32, 64, 128]}
  search_alg: {type: hyperopt}
  executor: {type: ray, num_samples: 24}
"""
OPTUNA = json.dumps(
    {
        "study_name": "mine",
        "direction": "minimize",
        "sampler": "TPESampler",
        "n_trials": 60,
        "distributions": {
            "lr": {"name": "FloatDistribution", "attributes": {"step": None, "low": 1e-5, "high": 0.1, "log": True}},
            "n_layers": {"name": "IntDistribution", "attributes": {"log": False, "step": 1, "low": 1, "high": 4}},
            "activation": {"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "tanh"]}},
            "dropout": json.dumps(
                {"name": "FloatDistribution", "attributes": {"step": 0.1, "low": 0.0, "high": 0.5, "log": False}}
            ),
        },
    },
    indent=1,
)
DETERMINED = """\
name: mlp_search
entrypoint: python3 train.py
hyperparameters:
  global_batch_size: 64
  hidden_size: {type: int, minval: 32, maxval: 256}
  learning_rate: {type: log, base: 10, minval: -4, maxval: -1}
  dropout: {type: double, minval: 0.0, maxval: 0.6}
  activation: {type: categorical, vals: [relu, gelu]}
searcher:
  name: adaptive_asha
  metric: validation_loss
  smaller_is_better: true
  max_trials: 30
  max_length: {epochs: 27}
"""
KATIB = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {namespace: team, name: random-search}
spec:
  objective: {type: maximize, goal: 0.99, objectiveMetricName: Validation-accuracy}
  algorithm: {algorithmName: random}
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 3
  parameters:
    - name: lr
      parameterType: double
      feasibleSpace: {min: "0.01", max: "0.03"}
    - name: num-layers
      parameterType: int
      feasibleSpace: {min: "2", max: "5"}
    - name: optimizer
      parameterType: categorical
      feasibleSpace: {list: [sgd, adam, ftrl]}
"""
NNI = """\
experimentName: fit
searchSpace:
  lr: {_type: loguniform, _value: [0.0001, 0.1]}
  hidden_size: {_type: choice, _value: [128, 256]}
  num_layers: {_type: randint, _value: [1, 4]}
  dropout_rate: {_type: quniform, _value: [0.0, 0.5, 0.25]}
  noise: {_type: normal, _value: [0, 1]}
trialCommand: python3 model.py
trialConcurrency: 2
maxTrialNumber: 10
maxExperimentDuration: 2d
tuner: {name: GridSearch, classArgs: {optimize_mode: maximize}}
"""


def carry(folder: Path, text: str, tool: str) -> tuple[dict[str, Any], list[str], str]:
    """Return what the experiment says, the notes, and its text, having checked that our reader takes it."""
    path = folder / "theirs.yaml"
    path.write_text(text)
    made = convert(path, tool)
    load_experiment(Path("ours.yaml"), content=made.text.encode())
    return yaml.safe_load(made.text), [str(note) for note in made.notes], made.text


def test_a_sweep_of_wandb(tmp_path: Path) -> None:
    plain, notes, text = carry(tmp_path, WANDB, "wandb")

    assert plain["name"] == "tabular"
    assert plain["objective"] == {"metric": "accuracy", "direction": "max"}
    assert plain["strategy"] == {"name": "bayesian"}
    assert plain["budget"] == {"max_trials": 40}
    assert plain["model"] == {"units": [64, 128], "dropout": {"min": 0.1, "max": 0.5}}
    assert plain["training"] == {
        "optimizer": ["adam", "sgd"],
        "epochs": 12,
        "learning_rate": {"min": 0.0001, "max": 0.1, "log": True},
        "weight_decay": {"min": 0.00012341, "max": 0.0497871, "log": True, "when": {"training.optimizer": ["sgd"]}},
    }
    assert notes == [
        "line 1: program: no counterpart here; left out",
        "line 6: early_terminate: no counterpart here; left out",
        "line 8: parameters.optimizer: training.optimizer does not take lamb",
        "line 14: parameters.momentum: a distribution of this kind does not exist here; write a range or a list",
        "line 15: parameters.n_trees: no setting of hptune is meant by n_trees",
    ]
    assert all(f"#   {note}\n" in text for note in notes)


def test_a_configuration_of_ludwig(tmp_path: Path) -> None:
    plain, notes, _ = carry(tmp_path, LUDWIG, "ludwig")

    assert plain["data"]["target"] == "churned"
    assert plain["objective"] == {"metric": "roc_auc", "direction": "max"}
    assert plain["budget"] == {"max_trials": 24}
    assert plain["model"] == {"blocks": {"min": 1, "max": 4, "type": "int"}}
    assert plain["training"] == {
        "learning_rate": {"min": 0.0005, "max": 0.05, "log": True},
        "batch_size": [32, 64, 128],
        "epochs": 30,
        "early_stopping": {"patience": 5},
    }
    assert notes == [
        "line 1: input_features: no counterpart here; left out",
        "line 13: hyperopt.search_alg.type: bayesian stands in the place of hyperopt",
        "line 14: hyperopt.executor.type: no counterpart here; left out",
    ]


def test_distributions_of_optuna(tmp_path: Path) -> None:
    plain, notes, text = carry(tmp_path, OPTUNA, "optuna")

    assert plain["model"] == {
        "blocks": {"min": 1, "max": 4, "type": "int"},
        "activation": ["relu", "tanh"],
        "dropout": {"min": 0.0, "max": 0.5, "step": 0.1},
    }
    assert plain["training"] == {"learning_rate": {"min": 1e-05, "max": 0.1, "log": True}}
    assert plain["budget"] == {"max_trials": 60}
    assert plain["objective"] == {"metric": "loss", "direction": "min"}
    assert "# optuna names no metric of hptune; choose one" in text
    assert notes == ["line 4: sampler: bayesian stands in the place of TPESampler"]


def test_what_optuna_itself_writes_is_read(tmp_path: Path) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json

    space = {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "units": IntDistribution(16, 64, step=16),
        "optimizer": CategoricalDistribution(["adam", "rmsprop"]),
    }
    text = json.dumps({name: json.loads(distribution_to_json(one)) for name, one in space.items()})

    plain, notes, _ = carry(tmp_path, text, "optuna")

    assert plain["model"] == {"units": {"min": 16, "max": 64, "step": 16, "type": "int"}}
    assert plain["training"] == {
        "learning_rate": {"min": 1e-4, "max": 0.1, "log": True},
        "optimizer": ["adam", "rmsprop"],
    }
    assert notes == []


def test_an_experiment_of_determined(tmp_path: Path) -> None:
    plain, notes, _ = carry(tmp_path, DETERMINED, "determined")

    assert plain["strategy"] == {"name": "hyperband"}
    assert plain["objective"] == {"metric": "loss", "direction": "min"}
    assert plain["model"] == {
        "units": {"min": 32, "max": 256, "type": "int"},
        "dropout": {"min": 0.0, "max": 0.6},
        "activation": ["relu", "gelu"],
    }
    assert plain["training"] == {
        "batch_size": 64,
        "learning_rate": {"min": 0.0001, "max": 0.1, "log": True},
        "epochs": 27,
    }
    assert notes == [
        "line 2: entrypoint: no counterpart here; left out",
        "line 10: searcher.name: hyperband stands in the place of adaptive_asha",
    ]


def test_an_experiment_of_katib(tmp_path: Path) -> None:
    plain, notes, _ = carry(tmp_path, KATIB, "katib")

    assert plain["name"] == "random-search"
    assert plain["objective"] == {"metric": "accuracy", "direction": "max"}
    assert plain["budget"] == {"target": 0.99, "max_trials": 12, "max_failures": 3}
    assert plain["model"] == {"blocks": {"min": 2, "max": 5, "type": "int"}}
    assert plain["training"] == {"learning_rate": {"min": 0.01, "max": 0.03}, "optimizer": ["sgd", "adam"]}
    assert notes == [
        "line 3: metadata.namespace: no counterpart here; left out",
        "line 7: spec.parallelTrialCount: say it on the command line: hptune search --workers N",
        "line 17: spec.parameters.2: training.optimizer does not take ftrl",
    ]


def test_an_experiment_of_nni(tmp_path: Path) -> None:
    plain, notes, _ = carry(tmp_path, NNI, "nni")

    assert plain["strategy"] == {"name": "grid", "points": 5}
    assert plain["objective"] == {"metric": "accuracy", "direction": "max"}
    assert plain["budget"] == {"max_trials": 10, "max_time": "48h"}
    assert plain["model"] == {
        "units": [128, 256],
        "blocks": {"min": 1, "max": 3, "type": "int"},
        "dropout": {"min": 0.0, "max": 0.5, "step": 0.25},
    }
    assert notes == [
        "line 7: searchSpace.noise: no setting of hptune is meant by noise",
        "line 8: trialCommand: no counterpart here; left out",
        "line 9: trialConcurrency: say it on the command line: hptune search --workers N",
    ]


def test_a_bare_search_space_of_nni_is_read(tmp_path: Path) -> None:
    plain, notes, _ = carry(tmp_path, '{"lr": {"_type": "uniform", "_value": [0.001, 0.1]}}', "nni")

    assert plain["training"] == {"learning_rate": {"min": 0.001, "max": 0.1}}
    assert notes == []


def test_a_file_without_any_known_parameter_says_what_it_found(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text("method: grid\nparameters:\n  n_trees: {values: [1, 2]}\n")

    with pytest.raises(UsageError) as caught:
        convert(path, "wandb")

    assert str(caught.value) == (
        f"{path}: found no parameter of wandb that hptune has a setting for:\n"
        "  line 3: parameters.n_trees: no setting of hptune is meant by n_trees"
    )


@pytest.mark.parametrize("tool", ["wandb", "ludwig", "optuna", "determined", "katib", "nni"])
@pytest.mark.parametrize(
    "text", ["a: 1\n", "parameters: [1]\n", "spec: {parameters: 3}\nhyperparameters: 3\n", "- 1\n", "a: &x [*x]\n"]
)
def test_a_file_in_another_form_is_refused_with_a_sentence(tmp_path: Path, tool: str, text: str) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(text)

    with pytest.raises((UsageError, ExperimentError)) as caught:
        convert(path, tool)

    assert str(path) in str(caught.value)


def test_an_unknown_tool_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        convert(tmp_path / "x.yaml", "excel")

    assert str(caught.value) == "--from: expected determined, katib, ludwig, nni, optuna, wandb, got 'excel'"


leaves = st.one_of(st.integers(-5, 5), st.booleans(), st.sampled_from(["a", "b"]))
trees = st.dictionaries(
    st.sampled_from("pqrs"),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1)),
    min_size=1,
)


def _paths(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return (
        [path]
        if not isinstance(tree, dict)
        else [found for name in tree for found in _paths(tree[name], (*path, name))]
    )


@given(trees, st.data())
def test_every_leaf_is_either_taken_or_noted(tree: dict[str, Any], data: st.DataObject) -> None:
    root, _ = parse_text("theirs", yaml.safe_dump(tree))
    source, leaves = Source(root), _paths(tree)
    taken = data.draw(st.sets(st.sampled_from(leaves)))

    for path in taken:
        source.take(*path)
    noted = [tuple(note.path.split(".")) for note in source.notes() if note.path != "the file"]
    noted += [()] if any(note.path == "the file" for note in source.notes()) else []

    for leaf in leaves:
        covered = sum(leaf[: len(path)] == path for path in noted)
        assert covered == (0 if leaf in taken else 1)


def test_the_command_writes_a_file_and_says_what_was_lost(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(WANDB)
    words = ["convert", "sweep.yaml", "--from", "wandb", "--data", "t.csv", "--target", "y"]

    done = subprocess.run([HPTUNE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("wrote tabular.yaml; ")
    assert "warning: sweep.yaml: line 6: early_terminate: no counterpart here; left out" in done.stderr
    assert "  source: t.csv\n  target: y\n" in (tmp_path / "tabular.yaml").read_text()
