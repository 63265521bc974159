"""A run as event files: TensorBoard's scalars show the learning curves, its HParams tab the table of trials.

The events are written with TensorBoard's own records and protocol buffers, without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hptune.exports.telling import ToldRun, ToldTrial
from hptune.reporting.recorded import format_choice
from hptune.space import Choice, Dimension
from hptune.trial import Outcome

_PARTS = ("validation", "train")


def write(run: ToldRun, folder: Path) -> str:
    """Write a folder of events for each trial, and say how to open them."""
    _write_events(folder / "events.out.tfevents.0.hptune", _describe_experiment(run))
    for told in run.trials:
        # TensorBoard sorts runs by name.
        place = folder / f"trial_{told.trial.number:05d}"
        place.mkdir()
        _write_events(place / f"events.out.tfevents.{int(told.began.timestamp())}.hptune", _tell_trial(run, told))
    return f"open it with: tensorboard --logdir {folder}"


def _write_events(path: Path, events: Iterator[Any]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("wb") as stream:
        writer = RecordWriter(stream)
        writer.write(Event(wall_time=0, file_version="brain.Event:2").SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def _describe_experiment(run: ToldRun) -> Iterator[Any]:
    """Declare dimensions and metrics, so that the HParams tab knows their kinds."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    metric = api_pb2.MetricInfo(name=api_pb2.MetricName(tag=_score_tag(run)), display_name=run.objective.metric)
    experiment = api_pb2.Experiment(
        name=run.name, hparam_infos=[_describe(dimension) for dimension in run.space.dimensions], metric_infos=[metric]
    )
    held = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    yield _summary(metadata.EXPERIMENT_TAG, held, 0)


def _describe(dimension: Dimension) -> Any:
    from tensorboard.plugins.hparams import api_pb2

    if isinstance(dimension, Choice) and not _is_of_numbers(dimension):
        info = api_pb2.HParamInfo(name=dimension.name, type=api_pb2.DATA_TYPE_STRING)
        info.domain_discrete.extend([format_choice(value) for value in dimension.values])
        return info
    if isinstance(dimension, Choice):
        info = api_pb2.HParamInfo(name=dimension.name, type=api_pb2.DATA_TYPE_FLOAT64)
        info.domain_discrete.extend(dimension.values)
        return info
    interval = api_pb2.Interval(min_value=dimension.min, max_value=dimension.max)
    return api_pb2.HParamInfo(name=dimension.name, type=api_pb2.DATA_TYPE_FLOAT64, domain_interval=interval)


def _is_of_numbers(choice: Choice) -> bool:
    """Tell whether a choice can be drawn on an axis of numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.values)


def _tell_trial(run: ToldRun, told: ToldTrial) -> Iterator[Any]:
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    trial, began, ended = told.trial, told.began.timestamp(), told.ended.timestamp()
    start = plugin_data_pb2.SessionStartInfo(group_name=f"trial {trial.number}", start_time_secs=began)
    for name, value in trial.proposal.values.items():
        dimension = run.space.by_name.get(name)
        if isinstance(dimension, Choice) and not _is_of_numbers(dimension):
            start.hparams[name].string_value = format_choice(value)
        elif dimension is not None:
            start.hparams[name].number_value = value
    yield _summary(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start), began)
    for place, epoch in enumerate(told.epochs, start=1):
        # Nobody recorded when an epoch ended: they are spread evenly.
        when = began + (ended - began) * place / len(told.epochs)
        yield _scalars(_curve(epoch), int(epoch["epoch"]), when)
    if trial.score is not None:
        yield _scalars({_score_tag(run): trial.score}, trial.best_epoch or 0, ended)
    is_good = trial.outcome in (Outcome.COMPLETED, Outcome.PAUSED)
    status = api_pb2.STATUS_SUCCESS if is_good else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    yield _summary(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end), ended)


def _score_tag(run: ToldRun) -> str:
    return f"best/{run.objective.metric}"


def _curve(epoch: Mapping[str, float]) -> dict[str, float]:
    """Name metrics so that validation and training rows share a chart group."""
    named = {}
    for name, value in epoch.items():
        part, _, metric = name.partition("_")
        if part in _PARTS and value is not None:
            named[f"{metric}/{part}"] = value
    return named


def _summary(tag: str, held: Any, when: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(held), tensor=metadata.NULL_TENSOR)
    return Event(wall_time=when, summary=Summary(value=[value]))


def _scalars(values: Mapping[str, float], step: int, when: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    held = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return Event(wall_time=when, step=step, summary=Summary(value=held))
