"""The next experiment after a search: what its winners ask for, each change with its reason as a comment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hptune.errors import ExperimentError, InternalError, NoTrialCompletedError
from hptune.reporting.advice import Finding, advise
from hptune.reporting.importance import measure_importance
from hptune.reporting.recorded import experiment_of
from hptune.reporting.summary import leaderboard_of
from hptune.reporting.words import format_number, format_value, printable
from hptune.run.folder import RunFolder
from hptune.space import identity
from hptune.spec import Experiment, load_experiment
from hptune.spec.experiment import write_flow
from hptune.spec.search import BudgetSpec
from hptune.trial import Trial

_WINNERS = 3
_NUMBERED = re.compile(r"(.*)-(\d+)")
_LONGEST_NAME = 64
# Always written, also where they are what they would be anyway.
_ALWAYS = ("name", "data.source", "data.target", "objective.metric", "objective.direction", "strategy.name")


def write_sequel(folder: RunFolder, base: Path | None = None) -> tuple[str, str]:
    """Write the experiment that should follow a run.

    Args:
        folder: Of the run.
        base: Folder in which the experiment will lie, because its data paths are relative to there; None for the
            current one.

    Returns:
        The name of the new run, and the YAML.

    Raises:
        NoTrialCompletedError: If no trial has a score.
        RunDamagedError: If the run cannot be read.
    """
    history = folder.read()
    experiment = _with_budget(experiment_of(history.header, folder.name), folder, len(history.proposals))
    board = leaderboard_of(history)
    if not board.scored:
        raise NoTrialCompletedError("no trial has a score, so nothing says what to try next; see hptune report")
    space = experiment.space()
    importance = measure_importance(space, board.scored, board.objective)
    findings = advise(space, board.scored, board.objective, importance)
    name = next_name(experiment.name)
    plain = experiment.canonical()
    for finding in findings:
        _apply(plain, finding)
    plain["name"] = name
    # The winners stand behind the space that they are part of.
    del plain["start_from"]
    plain["strategy"]["seed"] += 1
    plain["data"]["source"] = _moved(plain["data"]["source"], Path(history.header.get("folder", ".")), base or Path())
    plain["start_from"] = _starts(Experiment.model_validate(plain), board.scored)
    text = "\n".join(_lines(plain, findings, folder.name, board.scored)) + "\n"
    try:
        load_experiment(Path(f"{name}.yaml"), content=text.encode())
    except ExperimentError as error:
        raise InternalError(f"the experiment after {folder.name} is not sound: {error}") from error
    return name, text


def next_name(name: str) -> str:
    """Count on from a name.

    >>> next_name("churn"), next_name("churn-2")
    ('churn-2', 'churn-3')
    """
    found = _NUMBERED.fullmatch(name)
    stem, number = (found[1], int(found[2]) + 1) if found else (name, 2)
    suffix = f"-{number}"
    return stem[: _LONGEST_NAME - len(suffix)] + suffix


def _with_budget(experiment: Experiment, folder: RunFolder, trials: int) -> Experiment:
    """Take budget, output and evaluation from the run's own copy: the journal does not repeat all of them.

    Where it cannot be read, as many trials as there were must do.
    """
    path = folder.path / "resolved.yaml"
    try:
        written = load_experiment(path).experiment if path.is_file() else None
    except ExperimentError:
        written = None
    if written is None:
        return experiment.model_copy(update={"budget": BudgetSpec(max_trials=max(trials, 1))})
    kept = {"budget": written.budget, "output": written.output, "evaluation": written.evaluation}
    return experiment.model_copy(update=kept)


def _apply(plain: dict[str, Any], finding: Finding) -> None:
    """Change a setting in canonical form."""
    *path, key = finding.name.split(".")
    section = plain
    for name in path:
        section = section[name]
    written = section[key]
    if finding.kind == "drop":
        section[key] = finding.value
    elif isinstance(written, Mapping) and "min" in written:
        section[key] = {**written, finding.end: finding.value}
    else:
        values = written["values"] if isinstance(written, Mapping) else written
        # The order of a list says what a configuration to start from takes: the new value goes to the end.
        values = [*values, finding.value]
        section[key] = {**written, "values": values} if isinstance(written, Mapping) else values


def _moved(source: Any, old: Path, new: Path) -> Any:
    """Name data files relative to another folder."""
    if isinstance(source, Mapping):
        return {part: file and _moved(file, old, new) for part, file in source.items()}
    is_bundled = str(source).startswith("sklearn:")
    return source if is_bundled else os.path.relpath(old / source, new)


def _starts(experiment: Experiment, scored: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the winners as configurations of the new space, each once."""
    space = experiment.space()
    starts: dict[str, dict[str, Any]] = {}
    for trial in scored:
        values = space.project(trial.proposal.values)
        completed = space.complete(values)
        if space.contains(completed):
            starts.setdefault(identity(completed), values)
        if len(starts) == _WINNERS:
            break
    return list(starts.values())


def _lines(plain: dict[str, Any], findings: Sequence[Finding], run: str, scored: Sequence[Trial]) -> Iterator[str]:
    """Write the experiment: what is not the default, with the reason of each change above it."""
    objective = plain["objective"]
    yield f"# What should follow the run {run}, whose best {objective['metric']} is {format_number(scored[0].score)}."
    if not findings:
        yield "# Nothing in its trials asks for a wider or a smaller space; it starts from the winners with a new seed."
    reasons = {finding.name: _reason(finding) for finding in findings if finding.kind == "drop"}
    for finding in findings:
        if finding.kind == "widen":
            reasons[finding.name] = "; ".join(filter(None, (reasons.get(finding.name), _reason(finding))))
    reasons["strategy.seed"] = "another seed, so that other configurations are drawn"
    reasons["start_from"] = f"the {len(plain['start_from'])} best trials of {run}, where they fit the new space"
    yield from _section(_brief(plain), "", reasons, 0)


def _section(tree: Mapping[str, Any], prefix: str, reasons: Mapping[str, str], depth: int) -> Iterator[str]:
    margin = "  " * depth
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if name in reasons:
            yield f"{margin}# {reasons[name]}"
        if name in ("data", "data.preparation", "model", "training", "strategy"):
            yield f"{margin}{key}:"
            yield from _section(value, f"{name}.", reasons, depth + 1)
        elif key == "start_from":
            yield f"{margin}{key}:"
            yield from (f"{margin}  - {write_flow(values)}" for values in value)
        else:
            yield f"{margin}{key}: {write_flow(value)}"


def _reason(finding: Finding) -> str:
    if finding.kind == "drop":
        return printable(f"{finding.name.rpartition('.')[2]} no longer varies: {finding.reason}")
    return printable(f"{finding.end} moved to {format_value(finding.value)}: {finding.reason}")


def _brief(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is the default anyway."""
    least = {
        "name": plain["name"],
        "data": {"source": plain["data"]["source"], "target": plain["data"]["target"]},
        "objective": plain["objective"],
        "strategy": {"name": plain["strategy"]["name"]},
    }
    return _difference(plain, Experiment.model_validate(least).canonical(), "")


def _difference(plain: Mapping[str, Any], default: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in plain.items():
        name = f"{prefix}{key}"
        other = default.get(key)
        if name in _ALWAYS:
            kept[key] = value
        elif isinstance(value, Mapping) and isinstance(other, Mapping) and _is_section(name):
            if inner := _difference(value, other, f"{name}."):
                kept[key] = inner
        elif identity(value) != identity(other):
            kept[key] = value
    return kept


def _is_section(name: str) -> bool:
    """Tell a section from a setting whose value is a map."""
    return not name.startswith(("model.", "training.", "data.preparation.", "start_from"))
