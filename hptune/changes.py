"""What differs between the experiment a run began with and the one it is asked to go on with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hptune.trial import StoredFile

_ABSENT = "absent"


def describe_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name every field that differs, by dotted name, with both values.

    >>> describe_changes({"strategy": {"seed": 1}}, {"strategy": {"seed": 2}})
    ['strategy.seed: was 1, now 2']
    """
    before, after = dict(_flatten(then)), dict(_flatten(now))
    return [
        f"{name}: was {before.get(name, _ABSENT)}, now {after.get(name, _ABSENT)}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def describe_data_changes(then: Iterable[StoredFile], now: Iterable[StoredFile]) -> list[str]:
    """Name every data file whose bytes are not what they were."""
    before, after = ({file.name: file for file in files} for files in (then, now))
    changes = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            changes.append(f"{name}: was {_describe_file(old)}, now {_describe_file(new)}")
    return changes


def _describe_file(file: StoredFile | None) -> str:
    return f"{file.size} bytes with SHA-256 {file.sha256[:12]}…" if file else _ABSENT


def _flatten(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flatten(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(node, ensure_ascii=False)
