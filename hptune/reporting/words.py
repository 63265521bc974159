"""How values are put into words for people: short numbers, empty for missing, nothing that acts."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

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


def verdict_rows(verdict: Mapping[str, Any]) -> list[tuple[str, dict[str, float | None]]]:
    """Arrange final metrics: for each metric the score of validation, test, and the simple predictors on test rows.

    Returns:
        Metric names with scores by column name; a column without any score is left out.
    """
    sources: dict[str, Mapping[str, float]] = {"validation": verdict["validation"], "test": verdict["test"] or {}}
    sources.update({f"{name} (test)": scores for name, scores in verdict["baselines"].items()})
    columns = [name for name, scores in sources.items() if scores]
    return [(metric, {name: sources[name].get(metric) for name in columns}) for metric in verdict["validation"]]


def describe_ensemble(ensemble: Mapping[str, Any]) -> list[str]:
    """Say in sentences what an ensemble is made of, what it costs, and whether it helps."""
    metric = ensemble["objective"]["metric"]
    # The shares of a regression need not sum to 1.
    members = ", ".join(f"{member['trial']} ({member['share']:.0%})" for member in ensemble["members"])
    count = len(ensemble["members"])
    validation, test = ensemble["validation"], ensemble["test"]
    lines = [
        f"ensemble ({ensemble['method']}) of {count} trial{'s' if count > 1 else ''}: {members}",
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
