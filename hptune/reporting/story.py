"""The verdict of a run in sentences: how good, how sure, how long, what next. It comes first on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hptune.reporting.advice import Finding
from hptune.reporting.summary import Summary
from hptune.reporting.words import describe_certainty, format_duration, format_interval, format_number
from hptune.trial import Outcome

_BASELINES = {
    "majority": "always saying the class shares",
    "mean": "always saying the mean",
    "linear": "a linear model",
}


@dataclass(frozen=True)
class Story:
    """What a reader wants first.

    Attributes:
        headline: The score of the best model, with its interval on other rows where that is known; what to say where
            there is none.
        basis: Of which rows it is.
        interval: Where the validation score would lie on other rows; empty where that is not known.
        baselines: How it stands against simple predictors.
        certainty: How sure it is that this trial is the best.
        effort: How much was tried, and how long it took.
        advice: What to do next, one sentence each.
    """

    headline: str
    basis: str
    interval: str
    baselines: tuple[str, ...]
    certainty: tuple[str, ...]
    effort: str
    advice: tuple[str, ...]


def tell_story(
    summary: Summary, active_s: float, workers: int, insight: Mapping[str, Any] | None, findings: Sequence[Finding]
) -> Story:
    """Put the verdict into words.

    Args:
        summary: The run.
        active_s: Seconds that the search has worked.
        workers: How many trials trained at a time.
        insight: `insight.json`; None where the search has not ended.
        findings: What the next search should change.
    """
    validation = (insight or {}).get("validation")
    return Story(
        headline=_headline(summary, validation),
        basis=_basis(summary),
        interval=_interval(validation),
        baselines=tuple(_against_baselines(summary)),
        certainty=tuple(_certainty(summary, validation)),
        effort=_effort(summary, active_s, workers),
        advice=tuple(_advice(summary, findings)),
    )


def _headline(summary: Summary, validation: Mapping[str, Any] | None) -> str:
    if summary.best is None:
        return "no trial has a score yet" if summary.proposed else "no trial yet"
    metric, own = summary.objective.metric, _of_test(summary)
    if own is None:
        bounds = None if validation is None or validation["low"] is None else (validation["low"], validation["high"])
        score, told = summary.best.score, validation
    else:
        told = (summary.verdict or {})["intervals"]
        score, bounds = own, told["scores"]["test"].get(metric)
    shown = "" if bounds is None or told is None else f" ({told['level']:.0%} interval {format_interval(bounds)})"
    return f"{metric} {format_number(score)}{shown}"


def _of_test(summary: Summary) -> float | None:
    """Return the test score of the model that is delivered, where its interval is known too."""
    verdict, best = summary.verdict or {}, summary.best
    if best is None or verdict.get("trial") != best.number or not verdict.get("intervals"):
        return None
    score: float | None = verdict["test"].get(summary.objective.metric)
    return score


def _basis(summary: Summary) -> str:
    if summary.best is None:
        return ""
    number, score = summary.best.number, format_number(summary.best.score)
    if _of_test(summary) is None:
        return f"on validation rows, trial {number}"
    rows = (summary.verdict or {})["rows"]["test"]
    return f"on {rows} test rows, scored after everything was chosen; trial {number}, {score} on validation rows"


def _interval(validation: Mapping[str, Any] | None) -> str:
    if validation is None or validation["low"] is None:
        return ""
    return (
        f"validation: {validation['level']:.0%} interval {format_number(validation['low'])} to "
        f"{format_number(validation['high'])}, from {validation['draws']} bootstrap draws of the "
        f"{validation['rows']} validation rows"
    )


def _against_baselines(summary: Summary) -> list[str]:
    verdict, objective = summary.verdict, summary.objective
    test = ((verdict or {}).get("test") or {}).get(objective.metric)
    if verdict is None or test is None:
        return []
    lines = []
    if _of_test(summary) is None:
        # The headline is of validation rows.
        rows = verdict["rows"]["test"]
        lines.append(f"{format_number(test)} on {rows} test rows, scored after everything was chosen.")
    for name, scores in verdict["baselines"].items():
        if (other := scores.get(objective.metric)) is None:
            continue
        word = "better than" if objective.is_better(test, other) else "worse than"
        word = "as good as" if other == test else word
        sure = _sure(verdict, name, objective.metric)
        lines.append(f"That is {word} {_BASELINES.get(name, name)}: {format_number(other)}{sure}.")
    return lines


def _sure(verdict: Mapping[str, Any], name: str, metric: str) -> str:
    """Say whether a difference to a simple predictor is beyond chance, from the paired interval."""
    bounds = ((verdict.get("intervals") or {}).get("gains") or {}).get(name, {}).get(metric)
    if bounds is None:
        return ""
    return ", within chance" if bounds[0] <= 0 <= bounds[1] else ", beyond chance"


def _certainty(summary: Summary, validation: Mapping[str, Any] | None) -> list[str]:
    lines = describe_certainty(summary.verdict) if summary.verdict is not None else []
    rivals = (validation or {}).get("rivals") or []
    best = (summary.verdict or {}).get("trial")
    if rivals:
        close = [str(rival["trial"]) for rival in rivals if rival["low"] <= 0]
        if close:
            more = "" if len(close) < len(rivals) else ", all that were compared"
            lines.append(
                f"On these rows trial {best} cannot be told from {len(close)} of the next {len(rivals)} trials{more}: "
                f"{', '.join(close)}. The smaller of them may serve as well."
            )
        else:
            lines.append(f"Trial {best} beats each of the next {len(rivals)} trials beyond the noise of these rows.")
    scored = len(summary.leaderboard.scored)
    if scored > 1:
        lines.append(f"The best of {scored} validation scores flatters; test rows tell the truth.")
    if summary.test_looks > 1:
        lines.append(f"The test rows were scored {summary.test_looks} times: they are no longer unseen.")
    return lines


def _effort(summary: Summary, active_s: float, workers: int) -> str:
    ended = sum(summary.outcomes.values())
    failed = sum(trial.has_failed for trial in summary.leaderboard.trials)
    epochs = sum(trial.epochs for trial in summary.leaderboard.trials)
    text = (
        f"{ended} trials and {epochs} epochs in {format_duration(active_s)} with {workers} worker{'s' * (workers != 1)}"
    )
    return text + (f"; {failed} failed" if failed else "")


def _advice(summary: Summary, findings: Sequence[Finding]) -> list[str]:
    lines = []
    if summary.best is None:
        return ["Look at the failures below; hptune.log in the run folder has the detail."] if summary.outcomes else []
    for finding in findings:
        verb = f"Move the {finding.end} of" if finding.kind == "widen" else "Fix"
        where = f" to {format_number(finding.value)}" if finding.kind == "widen" else ""
        lines.append(f"{verb} {finding.name}{where}: {finding.reason}.")
    if findings:
        lines.append(f"hptune next {summary.name} writes that experiment.")
    best = summary.best.number
    since = sum(trial.number > best for trial in summary.leaderboard.trials)
    ended = len(summary.leaderboard.trials)
    if since >= ended / 2 and ended >= 10:
        lines.append(f"The best trial is number {best}; {since} later ones did not beat it.")
    elif ended >= 10 and since <= ended / 10:
        lines.append("The best trial is among the last ones: a larger budget is likely to improve on it.")
    if summary.ensemble is None and len(summary.leaderboard.scored) > 2:
        lines.append(f"hptune ensemble {summary.name} averages the best trials, without training.")
    return lines


def count_failures(summary: Summary) -> list[tuple[str, str, int, str]]:
    """Sum up trials that did not complete: outcome, message, how many, which (the first ten)."""
    causes: Counter[tuple[str, str]] = Counter()
    numbers: dict[tuple[str, str], list[int]] = {}
    for trial in summary.leaderboard.trials:
        if trial.outcome not in (Outcome.COMPLETED, Outcome.PAUSED):
            cause = (trial.outcome.value, trial.message)
            causes[cause] += 1
            numbers.setdefault(cause, []).append(trial.number)
    rows = []
    for (outcome, message), count in causes.most_common():
        shown = ", ".join(map(str, sorted(numbers[outcome, message])[:10]))
        rows.append((outcome, message, count, shown + (", …" if count > 10 else "")))
    return rows
