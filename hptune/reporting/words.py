"""How values are put into words for people: short numbers, empty for missing, nothing that acts."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hptune.trial import Trial

# Control, format (bidirectional marks among them), surrogate and private characters.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Show control and direction characters as escapes instead of letting them act.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(ascii(char)[1:-1] if unicodedata.category(char) in _UNSAFE_CATEGORIES else char for char in text)


def format_number(value: float | None) -> str:
    """Show a score with up to six digits.

    >>> format_number(0.98333333), format_number(None), format_number(12)
    ('0.983333', '', '12')
    """
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def format_value(value: Any) -> str:
    """Show a value of a dimension; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else format_number(value)


def format_duration(seconds: float) -> str:
    """Show a duration as a person says it.

    >>> format_duration(42), format_duration(150), format_duration(7260)
    ('42s', '2m30s', '2h01m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def format_age(utc: str) -> str:
    """Show how long ago a time was, in its largest unit."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(utc)).total_seconds(), 0)
    days = int(seconds // 86_400)
    return f"{days} day{'s' if days > 1 else ''}" if days else format_duration(seconds)


def verdict_rows(verdict: Mapping[str, Any]) -> list[tuple[str, dict[str, float | str | None]]]:
    """Arrange final metrics: for each metric the score of validation, test, and the simple predictors on test rows.

    Returns:
        Metric names with scores by column name, and the interval of the test score as text; a column without any score
        is left out.
    """
    sources: dict[str, Mapping[str, float | str]] = {"validation": verdict["validation"], "test": verdict["test"] or {}}
    if found := (verdict.get("intervals") or {}).get("scores", {}).get("test"):
        shown = {metric: format_interval(bounds) for metric, bounds in found.items()}
        sources[f"{verdict['intervals']['level']:.0%} interval"] = shown
    sources.update({f"{name} (test)": scores for name, scores in verdict["baselines"].items()})
    columns = [name for name, scores in sources.items() if scores]
    return [(metric, {name: sources[name].get(metric) for name in columns}) for metric in verdict["validation"]]


def format_interval(bounds: Sequence[float]) -> str:
    """Show an interval with as many digits as say something.

    >>> format_interval((0.98123456, 0.99012345))
    '0.9812 to 0.9901'
    """
    low, high = bounds
    return f"{format_brief(low)} to {format_brief(high)}"


def describe_certainty(verdict: Mapping[str, Any]) -> list[str]:
    """Say in sentences how sure the verdict is: the ranking, the winner's luck, thresholds, what it was trained on."""
    lines = []
    if sentence := (verdict.get("choice") or {}).get("sentence"):
        lines.append(sentence)
    if (drop := verdict.get("optimism")) is not None:
        metric, rows = verdict["objective"]["metric"], verdict["rows"]["test"]
        own, test = verdict["validation"][metric], verdict["test"][metric]
        what = f"{format_brief(abs(drop))} {'better' if drop > 0 else 'worse'}" if drop else "as good"
        than = "than" if drop else "as"
        lines.append(
            f"The winner's validation {metric} {format_brief(own)} is {what} {than} {format_brief(test)} on {rows} "
            "test rows, which chose nothing."
        )
    if (threshold := verdict.get("threshold")) is not None:
        lines.append(
            f"A row is taken for the positive class from probability {format_brief(threshold)} on, chosen on "
            "validation rows; every metric here is of such decisions."
        )
    if verdict.get("refit"):
        lines.append(
            "The delivered model was trained on training and validation rows together: no honest validation score "
            "exists for it, those shown are of the trial that won."
        )
    return lines


def format_brief(value: float) -> str:
    """Show a number within a sentence.

    >>> format_brief(0.12345678)
    '0.1235'
    """
    return f"{value:.4g}"


def describe_ensemble(ensemble: Mapping[str, Any]) -> list[str]:
    """Say in sentences what an ensemble is made of, what it costs, and whether it helps."""
    metric = ensemble["objective"]["metric"]
    # The shares of a regression need not sum to 1.
    members = ", ".join(f"{member['trial']} ({member['share']:.0%})" for member in ensemble["members"])
    count = len(ensemble["members"])
    validation, test = ensemble["validation"], ensemble["test"]
    lines = [
        f"ensemble ({ensemble['method']}) of {count} trial{'s' if count > 1 else ''}: {members}",
        *_describe_parts(ensemble),
        f"validation {metric} {format_number(validation['ensemble'])}, best single model "
        f"{format_number(validation['best'])}",
        # Files of older versions say less.
        *_describe_disagreement(ensemble.get("ambiguity"), ensemble.get("correlation")),
        *_describe_cost(ensemble.get("cost")),
    ]
    if ensemble["gain"] is not None:
        own, best = test["ensemble"][metric], test["best"][metric]
        verdict = _judge_gain(ensemble["gain"], ensemble.get("gain_interval"))
        lines.append(f"test {metric} {format_number(own)}, best single model {format_number(best)}; {verdict}")
    elif test is None:
        lines.append("there are no test rows: nothing says whether it helps on rows that it was not chosen by")
    return lines


def _describe_parts(ensemble: Mapping[str, Any]) -> list[str]:
    """Say what trials in several trainings are in an ensemble, and by which rows they were chosen."""
    by, members = ensemble.get("chosen_by") or {}, ensemble["members"]
    # Files of older versions do not say.
    networks = sum(member.get("networks", 1) for member in members)
    refits = [str(member["trial"]) for member in members if member.get("refit")]
    lines = []
    if by.get("folds"):
        lines.append(f"chosen by predictions for {by['rows']} rows, each by networks of the folds that did not see it")
    if networks > len(members):
        what = "folds" if by.get("folds") else "repeats"
        lines.append(f"trials are averages of their {what}, {networks} networks in all")
    if refits:
        lines.append(
            f"in the form that was trained on training and validation rows together: {', '.join(refits)}; they were "
            "chosen before that"
        )
    return lines


def _describe_disagreement(parts: Mapping[str, float] | None, correlation: Sequence[Sequence[Any]] | None) -> list[str]:
    lines = []
    if parts is not None:
        lines.append(
            f"squared error of validation rows {format_number(parts['ensemble'])}: the members' "
            f"{format_number(parts['members'])} less their disagreement {format_number(parts['disagreement'])}"
        )
    pairs = [value for place, row in enumerate(correlation or ()) for value in row[:place] if value is not None]
    if pairs:
        lines.append(f"the members' errors correlate by {sum(pairs) / len(pairs):.2f} on average")
    return lines


def _describe_cost(cost: Mapping[str, Any] | None) -> list[str]:
    if not cost:
        return []
    own, best = cost["ensemble"], cost["best"]
    return [
        f"it weighs {format_bytes(own['size_bytes'])} and takes {own['row_ms']:.3g} ms a row, the best single model "
        f"{format_bytes(best['size_bytes'])} and {best['row_ms']:.3g} ms"
    ]


def _judge_gain(gain: float, interval: Mapping[str, float] | None) -> str:
    if gain > 0:
        words = f"better by {format_number(gain)}"
    else:
        words = "no gain: use the best single model" if gain == 0 else "worse: use the best single model"
    if interval is None:
        return words
    between = f"{interval['level']:.0%} interval of the gain {interval['low']:.4g} to {interval['high']:.4g}"
    is_sure = interval["low"] > 0 or interval["high"] < 0
    return f"{words} ({between}: {'beyond' if is_sure else 'within'} noise)"


def format_bytes(size: int) -> str:
    """Show a size as a person says it.

    >>> format_bytes(512), format_bytes(3_400_000)
    ('512 B', '3.4 MB')
    """
    if size < 1000:
        return f"{size} B"
    power = min(int(math.log10(size)) // 3, 4)
    return f"{size / 1000**power:.1f} {'kMGT'[power - 1]}B"


def describe_failures(trials: Sequence[Trial]) -> str:
    """Sum up why nothing completed, one line a cause.

    >>> describe_failures([])
    'no trial ended before the search did; allow more, such as --set budget.max_time=10m'
    """
    if not trials:
        return "no trial ended before the search did; allow more, such as --set budget.max_time=10m"
    causes = Counter((trial.outcome.value, trial.message) for trial in trials)
    lines = [
        f"  {count} {outcome}: {message or 'no further word'}" for (outcome, message), count in causes.most_common(5)
    ]
    return f"no trial completed; {len(trials)} failed:\n" + "\n".join(lines)
