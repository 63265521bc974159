"""How values are put into words for people: short numbers, empty for missing, nothing that acts."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
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


def verdict_rows(verdict: Mapping[str, Any]) -> list[tuple[str, dict[str, float | None]]]:
    """Arrange final metrics: for each metric the score of validation, test, and the simple predictors on test rows.

    Returns:
        Metric names with scores by column name; a column without any score is left out.
    """
    sources: dict[str, Mapping[str, float]] = {"validation": verdict["validation"], "test": verdict["test"] or {}}
    sources.update({f"{name} (test)": scores for name, scores in verdict["baselines"].items()})
    columns = [name for name, scores in sources.items() if scores]
    return [(metric, {name: sources[name].get(metric) for name in columns}) for metric in verdict["validation"]]
