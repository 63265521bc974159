"""Exports open in the real tools: what was written is read back with their own libraries."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic import PLAIN, make_run

from hptune.afterwards import export
from hptune.errors import UsageError
from hptune.reporting.summary import leaderboard_of
from hptune.run.folder import RunFolder

HPTUNE = str(Path(sys.executable).with_name("hptune"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a choice among maps, a chosen null, and failures."""
    plain = copy.deepcopy(dict(PLAIN))
    plain["training"]["class_weight"] = {"values": ["none", {"a": 1.0, "b": 2.0}]}
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    made = make_run(tmp_path_factory.mktemp("runs") / "made", 30, plain=plain)
    patch.undo()
    return made


def test_optuna_opens_the_study_with_its_best_trial_curves_and_failures(tmp_path: Path, folder: RunFolder) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    made = export("optuna", str(folder.path), output=tmp_path / "out")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.load_study(
            study_name="made", storage=JournalStorage(JournalFileBackend(f"{made.folder}/optuna.log"))
        )
    board = leaderboard_of(folder.read())
    best = board.scored[0]
    assert made.trials == len(study.trials) == 30
    assert (study.best_trial.number, study.best_value) == (best.number, best.score)
    assert study.best_params["training.learning_rate"] == best.proposal.values["training.learning_rate"]
    assert study.direction.name == "MAXIMIZE"
    assert sum(trial.state.name == "FAIL" for trial in study.trials) == 1
    assert len(study.best_trial.intermediate_values) == 20
    assert {trial.params["training.clip_norm"] for trial in study.trials} == {None, 1.0}
    assert {trial.params["training.class_weight"] for trial in study.trials} == {"none", '{"a": 1.0, "b": 2.0}'}
    assert "model.residual" not in next(trial for trial in study.trials if trial.params["model.blocks"] == 1).params


def test_optuna_can_go_on_with_the_study(tmp_path: Path, folder: RunFolder) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    made = export("optuna", str(folder.path), output=tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.load_study(
            study_name="made", storage=JournalStorage(JournalFileBackend(f"{made.folder}/optuna.log"))
        )
        trial = study.ask({"training.learning_rate": study.best_trial.distributions["training.learning_rate"]})
        study.tell(trial, 0.5)

    assert len(study.trials) == 31


@pytest.mark.tensorflow
def test_tensorboard_reads_curves_and_hyperparameters(tmp_path: Path, folder: RunFolder) -> None:
    made = export("tensorboard", str(folder.path), output=tmp_path / "out")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = _read_with_tensorboard(made.folder)

    best = leaderboard_of(folder.read()).scored[0]
    assert len(told["sessions"]) == 30
    own = told["sessions"][f"trial_{best.number:05d}"]
    assert own["hparams"]["training.learning_rate"] == best.proposal.values["training.learning_rate"]
    assert own["hparams"]["model.units"] == best.proposal.values["model.units"]
    assert own["hparams"]["training.clip_norm"] in ("null", "1")
    assert own["score"] == pytest.approx(best.score)
    assert own["curve"] == list(range(1, 21))
    assert {info.name for info in told["experiment"].hparam_infos} > {"model.units", "training.learning_rate"}
    assert told["experiment"].metric_infos[0].name.tag == "best/accuracy"
    assert sum(session["status"] == "STATUS_FAILURE" for session in told["sessions"].values()) == 1


def _read_with_tensorboard(folder: Path) -> dict[str, Any]:
    """Read events as the HParams tab does."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import api_pb2, metadata

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    sessions, experiment = {}, None
    for run, tags in multiplexer.PluginRunToTagToContent(metadata.PLUGIN_NAME).items():
        if metadata.EXPERIMENT_TAG in tags:
            experiment = metadata.parse_experiment_plugin_data(tags[metadata.EXPERIMENT_TAG])
            continue
        start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        end = metadata.parse_session_end_info_plugin_data(tags[metadata.SESSION_END_INFO_TAG])
        scalars = multiplexer.GetAccumulator(run).Tags()["tensors"] + multiplexer.GetAccumulator(run).Tags()["scalars"]
        sessions[run] = {
            "hparams": {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()},
            "status": api_pb2.Status.Name(end.status),
            "score": _values(multiplexer, run, "best/accuracy")[-1][1] if "best/accuracy" in scalars else None,
            "curve": [step for step, _ in _values(multiplexer, run, "accuracy/validation")]
            if "accuracy/validation" in scalars
            else [],
        }
    return {"sessions": sessions, "experiment": experiment}


def _values(multiplexer: Any, run: str, tag: str) -> list[tuple[int, float]]:
    from tensorboard.util import tensor_util

    if tag in multiplexer.GetAccumulator(run).Tags()["scalars"]:
        return [(event.step, event.value) for event in multiplexer.Scalars(run, tag)]
    return [
        (event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in multiplexer.Tensors(run, tag)
    ]


def test_mlflow_finds_a_run_for_each_trial(tmp_path: Path, folder: RunFolder) -> None:
    made = export("mlflow", str(folder.path), output=tmp_path / "out")

    best = leaderboard_of(folder.read()).scored[0]
    (experiment,) = made.folder.iterdir()
    told = yaml.safe_load((experiment / "meta.yaml").read_text())
    runs = {}
    for place in experiment.iterdir():
        if place.is_dir():
            runs[yaml.safe_load((place / "meta.yaml").read_text())["run_name"]] = place
    own = runs[f"trial {best.number}"]
    assert (told["name"], told["experiment_id"]) == ("made", experiment.name)
    assert len(runs) == 30
    rate = (own / "params" / "training.learning_rate").read_text()
    assert float(rate) == best.proposal.values["training.learning_rate"]
    lines = [line.split(" ") for line in (own / "metrics" / "validation_accuracy").read_text().splitlines()]
    assert [int(step) for _, _, step in lines] == list(range(1, 21))
    assert float((own / "metrics" / "best_accuracy").read_text().split(" ")[1]) == best.score
    statuses = [yaml.safe_load((place / "meta.yaml").read_text())["status"] for place in runs.values()]
    assert sorted(statuses) == [3] * 29 + [4]


def test_mlflow_itself_reads_the_store(tmp_path: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow brings 40 packages: too many for these tests")
    made = export("mlflow", str(folder.path), output=tmp_path / "out")

    client = tracking.MlflowClient(made.folder.as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "made"]
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.best_accuracy DESC"])

    best = leaderboard_of(folder.read()).scored[0]
    assert len(runs) == 30
    assert runs[0].info.run_name == f"trial {best.number}"
    assert runs[0].data.metrics["best_accuracy"] == best.score
    assert len(client.get_metric_history(runs[0].info.run_id, "validation_accuracy")) == 20


def test_the_writers_need_no_tensorflow(tmp_path: Path, folder: RunFolder) -> None:
    program = (
        "import sys; from hptune.afterwards import export; "
        f"export('tensorboard', {str(folder.path)!r}, output={str(tmp_path / 'out')!r}); "
        "print('tensorflow' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "False\n"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, folder: RunFolder) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(UsageError) as caught:
        export("optuna", str(folder.path), output=tmp_path)

    assert str(caught.value) == f"{tmp_path}: expected an empty folder or none, got something; choose another --output"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path, folder: RunFolder) -> None:
    with pytest.raises(UsageError) as caught:
        export("excel", str(folder.path), output=tmp_path)

    assert str(caught.value) == (
        "--format: expected one of mlflow, optuna, tensorboard, keras, savedmodel, onnx, litert, got 'excel'"
    )


def test_the_command_says_how_to_open_it(tmp_path: Path, folder: RunFolder) -> None:
    words = ["export", str(folder.path), "--format", "optuna"]

    done = subprocess.run([HPTUNE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ("wrote 30 trials to made-optuna; open it with: optuna-dashboard made-optuna/optuna.log\n")
