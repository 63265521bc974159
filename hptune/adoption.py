"""Trials of a run whose experiment was changed, taken over into the run that follows it.

A trial is kept where the changed space would train exactly the same: every setting is the same, and so are the rows and
the objective. The old run is moved aside to NAME.1 and stays as it is; the new run's header names the trials that it
takes from there, so that a search killed while it copies them goes on copying.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptune.changes import describe_changes, describe_data_changes
from hptune.errors import RunDamagedError
from hptune.groundwork import Groundwork
from hptune.parts import is_beside
from hptune.run.files import storage_errors, write_file
from hptune.run.folder import RunFolder
from hptune.run.journal import Journal, open_journal
from hptune.run.log import LOGGER
from hptune.run.records import History, encode_proposal, encode_trial, replay
from hptune.space import SearchSpace, Value
from hptune.spec import load_experiment
from hptune.spec.experiment import write_yaml
from hptune.trial import Proposal, StoredFile

_NUMBER = re.compile(r"^trials/\d+")
# Parts of an experiment that say which trials there are, not what a trial is.
_CHOOSING = ("model", "training", "strategy", "start_from", "budget")


def step_aside(folder: RunFolder, ground: Groundwork) -> Mapping[str, Any] | None:
    """Move a run aside if it began with another experiment or other data, and choose what the next one keeps of it.

    Where the run is gone already, because the process died before the next one began, the one that was moved aside last
    is looked at.

    Returns:
        What the header of the next run holds: `run`, the name of the one moved aside, `trials`, its trials that are
        kept, in the order of their numbers, and `of` how many; None where nothing has changed.

    Raises:
        RunInUseError: If a search works on the run.
        RunDamagedError: If its journal is not what was written.
    """
    if folder.exists():
        with open_journal(folder.journal) as (_, contents):
            history = replay(contents.records, folder.journal)
        if not find_changes(history, ground):
            return None
        aside = folder.move_aside()
    else:
        last = folder.last_aside()
        if last is None:
            return None
        aside, history = last.path, last.read()
    kept = _choose(history, ground)
    return {"run": aside.name, "trials": kept, "of": len(history.proposals)}


def find_changes(history: History, ground: Groundwork) -> list[str]:
    """Name what differs between the experiment and data that a run began with, and those it is asked to go on with."""
    header = history.header
    changes = describe_changes(header["experiment"], ground.identity)
    return changes + describe_data_changes((StoredFile(**file) for file in header["data"]), ground.dataset.files)


def describe_adoption(header: Mapping[str, Any]) -> list[str]:
    """Say in a line what a run has kept of another one; no line where it took over nothing."""
    adopted = header.get("adopted")
    return [f"kept {len(adopted['trials'])} of {adopted['of']} trials of {adopted['run']}"] if adopted else []


def complete_adoption(folder: RunFolder, journal: Journal, history: History, ground: Groundwork) -> bool:
    """Copy what the run's header says is kept and is not on record yet.

    Returns:
        Whether anything was copied.

    Raises:
        RunDamagedError: If the run that the trials come from, or one of their files, is gone or altered.
    """
    adopted = history.header.get("adopted")
    if adopted is None or len(history.ends) >= len(adopted["trials"]):
        return False
    LOGGER.info("; ".join(describe_adoption(history.header)))
    source = RunFolder(folder.path.with_name(adopted["run"]))
    if not source.exists():
        raise RunDamagedError(f"{source.path}: gone before its trials were copied; begin anew with --fresh")
    there = source.read()
    space = _space_of(there.header)
    for number, before in enumerate(adopted["trials"]):
        if number in history.ends:
            continue
        trial = there.ends[before]
        values = _translate(space.resolve(trial.proposal.values), ground.space)
        assert values is not None, "only such trials are kept"
        proposal = Proposal(number, values, trial.proposal.seed)
        files = tuple(_copy(source, file, folder, number) for file in trial.files)
        parts = [
            part for (owner, _), part in there.parts.items() if owner == before and not is_beside(part.proposal.part)
        ]
        if number not in history.proposals:
            journal.append("propose", **encode_proposal(proposal))
        for part in parts:
            own = replace(part, proposal=proposal.as_part(part.proposal.part), files=_renamed(part.files, number))
            journal.append("start", trial=number, part=own.proposal.part, attempt=own.attempt, adopted=before)
            journal.append("end", **encode_trial(own))
        journal.append("start", trial=number, attempt=trial.attempt, adopted=before)
        journal.append("end", **encode_trial(replace(trial, proposal=proposal, files=files)))
    return True


def _choose(history: History, ground: Groundwork) -> list[int]:
    """Choose the finished trials that the changed experiment would train as they were trained."""
    then, now = history.header["experiment"], ground.identity
    # Rungs compare the trials of one schedule; what they reached by then is no result elsewhere.
    if "hyperband" in (then["strategy"]["name"], now["strategy"]["name"]):
        return []
    if _fixed(then) != _fixed(now) or [StoredFile(**file) for file in history.header["data"]] != list(
        ground.dataset.files
    ):
        return []
    space = _space_of(history.header)
    finished = history.finished(ground.experiment.budget.max_attempts)
    return [
        number
        for number, trial in sorted(finished.items())
        if _translate(space.resolve(trial.proposal.values), ground.space) is not None
    ]


def _fixed(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of an experiment that every trial depends on."""
    data = {key: value for key, value in identity["data"].items() if key != "preparation"}
    return {**{key: value for key, value in identity.items() if key not in _CHOOSING}, "data": data}


def _space_of(header: Mapping[str, Any]) -> SearchSpace:
    """Make the space of a run again from what its journal recorded."""
    written = {"name": "before", "budget": {"max_trials": 1}, **header["experiment"]}
    return load_experiment(Path("experiment"), content=write_yaml(written).encode()).experiment.space()


def _translate(settings: Mapping[str, Value], space: SearchSpace) -> dict[str, Value] | None:
    """Find the configuration of a space that gives the same settings; None where it has none."""
    values = space.project({name: settings[name] for name in space.by_name if name in settings})
    if not space.contains(values):
        return None
    return values if _relevant(space.resolve(values)) == _relevant(settings) else None


def _relevant(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Leave out the values of blocks that do not exist, and the common one where each block has its own."""
    blocks = settings["model.blocks"]
    per_block = {name.rpartition(".")[0] for name in settings if name.rpartition(".")[2].isdigit()}
    relevant = {}
    for name, value in settings.items():
        number = name.rpartition(".")[2]
        if name not in per_block and not (number.isdigit() and int(number) > int(blocks)):
            relevant[name] = value
    return relevant


def _renamed(files: Iterable[StoredFile], number: int) -> tuple[StoredFile, ...]:
    """Name files as those of the trial that they now belong to."""
    return tuple(replace(file, name=_NUMBER.sub(f"trials/{number:04d}", file.name)) for file in files)


def _copy(source: RunFolder, file: StoredFile, folder: RunFolder, number: int) -> StoredFile:
    """Copy a recorded file to the folder of the trial that it now belongs to."""
    (renamed,) = _renamed([file], number)
    path = folder.path / renamed.name
    # Weights beyond `output.keep` were deleted; records go on naming them.
    if (source.path / file.name).exists():
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with source.verified(file).open("rb") as stream:
            write_file(path, lambda target: shutil.copyfileobj(stream, target))
    return renamed
