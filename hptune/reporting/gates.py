"""Gates: demands on metrics, and a baseline that a model must not fall behind; told in Markdown and JUnit XML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hptune.description import read_description
from hptune.errors import GateError, UsageError
from hptune.objective import METRICS, Objective
from hptune.reporting.summary import Summary
from hptune.reporting.words import format_number, printable
from hptune.resampling import Figure, Interval, apart, better_by, interval, is_lost, metric_statistics
from hptune.run.folder import RunFolder
from hptune.testrows import TEST_ROWS, Baseline, load_baseline, load_test_rows
from hptune.trial import derive_seed


@dataclass(frozen=True)
class Check:
    """One gate.

    Attributes:
        name: What is demanded.
        failure: Why it is not met; empty where it is.
    """

    name: str
    failure: str = ""


@dataclass(frozen=True)
class Change:
    """A metric of the baseline and of this run, on test rows.

    Attributes:
        metric: Its name.
        before, after: Of the baseline, of this run.
        gain: Above 0 where this run is better, whatever the direction of the metric.
        interval: Of the gain.
    """

    metric: str
    before: float
    after: float
    gain: float
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """A run beside a baseline.

    Attributes:
        baseline: Name of the other run.
        metric: The objective, which alone decides.
        is_paired: Whether both were scored on the same rows.
        changes: Of every metric.
        is_grouped: Whether rows were drawn in whole groups.
    """

    baseline: str
    metric: str
    is_paired: bool
    changes: tuple[Change, ...]
    is_grouped: bool = False

    @property
    def decisive(self) -> Change:
        """The change of the objective."""
        return next(change for change in self.changes if change.metric == self.metric)

    @property
    def is_worse(self) -> bool:
        """Whether this run is worse beyond noise."""
        return is_lost(self.decisive.interval)

    @property
    def verdict(self) -> str:
        """One sentence."""
        change = self.decisive
        word = "worse beyond noise" if self.is_worse else "not worse beyond noise"
        if change.interval is None:
            word = "no interval can be drawn, so that nothing is demanded"
        rows = "the same test rows" if self.is_paired else "other test rows than the baseline's, so less is certain"
        rows += ", drawn in whole groups" if self.is_grouped else ""
        return (
            f"test {self.metric} {format_number(change.after)}, baseline {format_number(change.before)}: {word} "
            f"(gain {format_number(change.gain)}{_between(change.interval)}; {rows})"
        )


def _between(found: Interval | None) -> str:
    return "" if found is None else f", {found.level:.0%} interval {found.low:.4g} to {found.high:.4g}"


def baseline_of(folder: RunFolder, summary: Summary) -> Baseline:
    """Make a baseline of a run.

    Raises:
        UsageError: If the run has no test rows on record.
    """
    rows = load_test_rows(folder.best / TEST_ROWS)
    about = read_description(folder.best / "model.keras")
    metrics = (summary.verdict or {}).get("test") or {}
    return Baseline(summary.name, about.task, about.labels, about.positive, about.scale, metrics, rows)


def compare(folder: RunFolder, summary: Summary, path: Path) -> Comparison:
    """Hold a run against a baseline, by the paired bootstrap over test rows where they are the same rows.

    Args:
        folder: Of the run.
        summary: Of the run.
        path: The baseline.

    Raises:
        UsageError: If the baseline cannot be read, or predicts something else.
    """
    before, after = load_baseline(path), baseline_of(folder, summary)
    if (before.task, before.labels) != (after.task, after.labels):
        raise UsageError(
            f"{path}: expected a baseline of a {after.task} task with the same labels, got {before.task} of run "
            f"{before.run!a}"
        )
    metric = summary.objective.metric
    is_paired = before.rows.sha256 == after.rows.sha256
    seed = derive_seed("baseline", after.rows.sha256)
    # One standard deviation for both, so that `loss` is in one unit.
    old, new = (
        metric_statistics(
            task=model.task,
            truth=model.rows.truth,
            prediction=model.rows.prediction,
            positive=after.positive,
            scale=after.scale,
            weights=model.rows.weights,
            threshold=model.rows.threshold,
        )
        for model in (before, after)
    )
    # Either run may be the one that says which rows belong together.
    groups = after.rows.groups if after.rows.groups is not None else before.rows.groups
    changes = []
    for name in after.metrics:
        if name not in before.metrics or name not in new:
            continue
        aim, count = METRICS[name].aim, len(after.rows.truth)
        if is_paired:
            found = interval(Figure(better_by(new[name], old[name], aim), count, groups), seed)
        else:
            own, other = (
                Figure(figures[name], len(model.rows.truth), model.rows.groups)
                for figures, model in ((new, after), (old, before))
            )
            found = apart(own, other, aim, seed)
        gain = aim.gain(after.metrics[name], over=before.metrics[name])
        changes.append(Change(name, before.metrics[name], after.metrics[name], gain, found))
    if metric not in {change.metric for change in changes}:
        raise UsageError(f"{path}: expected the metric {metric}, which the run was searched by, got none in it")
    return Comparison(before.run, metric, is_paired, tuple(changes), groups is not None)


def check_comparison(comparison: Comparison) -> Check:
    """Return the gate that a baseline is."""
    name = f"test {comparison.metric} is not worse than the baseline's beyond noise"
    return Check(name, comparison.verdict if comparison.is_worse else "")


def check_summary(summary: Summary, demands: Sequence[str]) -> list[Check]:
    """Hold final metrics against `METRIC=VALUE` demands; `validation:METRIC=VALUE` takes validation rows.

    Raises:
        UsageError: If a demand cannot be read or names a metric that was not computed.
    """
    return check_scores({part: (summary.verdict or {}).get(part) or {} for part in ("test", "validation")}, demands)


def check_scores(scores: Mapping[str, Mapping[str, float]], demands: Sequence[str]) -> list[Check]:
    """Hold metrics against demands.

    Args:
        scores: Metrics by part of the rows; the first part is meant where a demand names none.
        demands: `METRIC=VALUE`, or `PART:METRIC=VALUE`.

    Raises:
        UsageError: If a demand cannot be read or names a metric that was not computed.
    """
    checks = []
    for demand in demands:
        part, metric, least = _parse_demand(demand, tuple(scores))
        words = f"{part} " if part else ""
        if metric not in scores[part]:
            known = ", ".join(scores[part]) or "none, because no trial completed or there are no such rows"
            raise UsageError(f"--fail-under {demand}: expected one of the {words}metrics, which are: {known}")
        direction, got = METRICS[metric].direction, scores[part][metric]
        is_met = not Objective(metric, direction).is_better(least, got)
        bound = f"{words}{metric}: expected at {_bound(direction)} {least}"
        checks.append(Check(bound, "" if is_met else f"{bound}, got {got}"))
    return checks


def demand(checks: Sequence[Check]) -> None:
    """Let what is not met end the command.

    Raises:
        GateError: If a gate is not met; names each one.
    """
    failures = [check.failure for check in checks if check.failure]
    if failures:
        raise GateError("gate failed: " + "; ".join(failures))


def _bound(direction: str) -> str:
    return "least" if direction == "max" else "most"


def _parse_demand(demand: str, parts: tuple[str, ...]) -> tuple[str, str, float]:
    name, separator, value = demand.partition("=")
    part, _, metric = name.rpartition(":")
    try:
        least = float(value)
        if not separator or part not in ("", *parts) or metric not in METRICS or not math.isfinite(least):
            raise ValueError
    except ValueError:
        forms = " or ".join(("METRIC=VALUE", *(f"{other}:METRIC=VALUE" for other in parts[1:])))
        raise UsageError(f"--fail-under {demand}: expected {forms} with one of {', '.join(METRICS)}") from None
    return part or parts[0], metric, least


def to_junit(name: str, checks: Sequence[Check]) -> str:
    """Write gates as JUnit XML, which CI systems show as tests; text from data is shown as it is and does nothing."""
    failures = sum(bool(check.failure) for check in checks)
    counts = {"tests": str(len(checks)), "failures": str(failures), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": printable(f"hptune {name}"), **counts})
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "hptune", "name": printable(check.name)})
        if check.failure:
            failure = ElementTree.SubElement(case, "failure", {"message": printable(check.failure)})
            failure.text = printable(check.failure)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
