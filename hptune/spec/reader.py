"""Text to nodes that remember where they stand, with the scalars of YAML 1.2 and limits that no file can break.

PyYAML gives the events; what a scalar means is decided here, because PyYAML reads `1e-3` as text, `no` as false and
`012` as ten. Nothing is constructed: tags are refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hptune.errors import ExperimentError
from hptune.spec.problems import Fault, Place, Source, inert, render, show

MOST_BYTES = 1 << 20
DEEPEST = 50
MOST_ALIASES = 100
# Aliases may be few and still stand for each other's copies; this many nodes no experiment has.
MOST_NODES = 100_000
MOST_DIGITS = 18

_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_UNDERSCORES = re.compile(r"[-+]?[0-9]+(_[0-9]+)+(\.[0-9]+)?")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+|0b[01]+")


@dataclass(frozen=True)
class Node:
    """A value with its place.

    Attributes:
        place: Where it stands.
        value: A scalar, a tuple of nodes, or a dict of entries.
        text: How a plain scalar was written; None for quoted ones and collections.
        size: Nodes in it, copies by alias counted.
    """

    place: Place
    value: Any
    text: str | None = None
    size: int = 1

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: entry.node.plain() for name, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(frozen=True)
class Entry:
    """A key of a map, where it stands, and what it holds."""

    place: Place
    node: Node


def read_file(path: Path) -> bytes:
    """Read the bytes of an experiment.

    Raises:
        ExperimentError: If it is no regular file of at most 1 MiB.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ExperimentError([f"{path}: {(error.strerror or str(error)).lower()}"]) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ExperimentError([f"{path}: expected a file, got a folder or a device"])
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ExperimentError([f"{path}: expected at most {MOST_BYTES} bytes, got more; an experiment is small"])
    return content


def parse_bytes(name: str, content: bytes) -> tuple[Node, list[Fault]]:
    """Read an experiment's bytes.

    Returns:
        The map at the root, and the faults of its scalars and keys.

    Raises:
        ExperimentError: If the text is no YAML, or breaks a limit.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ExperimentError([f"{name}:1:1: expected UTF-8, got UTF-16; save the file as UTF-8"])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        byte = content[error.start]
        raise ExperimentError([f"{name}:{line}:{column}: expected UTF-8, got byte 0x{byte:02x}"]) from None
    node, faults = parse_text(name, text)
    if not isinstance(node.value, dict):
        what = "nothing" if node.value is None else show(node.plain())
        raise ExperimentError([f"{name}:1:1: expected keys such as data, objective and strategy, got {what}"])
    return node, faults


def parse_text(name: str, text: str, column: int = 0, shown: str | None = None) -> tuple[Node, list[Fault]]:
    """Read one YAML document.

    Args:
        name: Of the source, for messages.
        text: The document.
        column: Added to columns of the first line, where the text stands behind something else.
        shown: The line to show, where it is more than the text.
    """
    lines = tuple(re.split(r"\r\n|\r|\n", shown if shown is not None else text))
    return _Reader(Source(name, lines), column).read(text)


class _Reader:
    """Reads the events of one document."""

    def __init__(self, source: Source, column: int) -> None:
        self._source = source
        self._column = column
        self._faults: list[Fault] = []
        self._anchors: dict[str, Node] = {}
        self._aliases = 0

    def read(self, text: str) -> tuple[Node, list[Fault]]:
        try:
            events = (event for event in yaml.parse(text, Loader=yaml.SafeLoader))
            node = self._document(events)
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            place = Place(self._source, before.count("\n"), len(before) - before.rfind("\n") - 1)
            raise self._refusal(place, f"expected text, got the character U+{ord(text[error.position]):04X}") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            place = Place(self._source, line, column + (self._column if line == 0 else 0))
            problem = error.problem or error.context or "unreadable"
            if "'\\t'" in problem:
                problem = "a tab cannot indent YAML; use spaces"
            raise self._refusal(place, f"not YAML: {problem}") from None
        return node, self._faults

    def _refusal(self, place: Place, message: str) -> ExperimentError:
        return ExperimentError(render([Fault(place, "", message)]))

    def _document(self, events: Iterator[yaml.Event]) -> Node:
        node = Node(Place(self._source, 0, 0), None)
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refusal(self._place(event), "expected one document, got a second one behind ---")
                node = self._node(next(events), events, 1)
        return node

    def _place(self, event: yaml.Event) -> Place:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        length = end.column - start.column if end.line == start.line else 1
        return Place(self._source, start.line, start.column + (self._column if start.line == 0 else 0), max(length, 1))

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        place = self._place(event)
        if depth > DEEPEST:
            raise self._refusal(place, f"expected at most {DEEPEST} levels, got more")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise self._refusal(place, f"tags are not read, got {inert(str(tag))}; write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(place, events, depth)
        else:
            node = self._map(place, events, depth)
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, place: Place) -> Node:
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            raise self._refusal(place, f"expected at most {MOST_ALIASES} aliases, got more")
        target = self._anchors.get(str(event.anchor))
        if target is None:
            raise self._refusal(place, f"alias *{event.anchor} stands before its anchor is complete, or has none")
        return target

    def _grown(self, place: Place, size: int) -> int:
        if size > MOST_NODES:
            raise self._refusal(place, f"expected at most {MOST_NODES} values with aliases counted, got more")
        return size

    def _list(self, place: Place, events: Iterator[yaml.Event], depth: int) -> Node:
        nodes: list[Node] = []
        size = 1
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            nodes.append(self._node(event, events, depth + 1))
            size = self._grown(place, size + nodes[-1].size)
        return Node(place, tuple(nodes), size=size)

    def _map(self, place: Place, events: Iterator[yaml.Event], depth: int) -> Node:
        entries: dict[str, Entry] = {}
        size = 1
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            size = self._grown(place, size + value.size + 1)
            if isinstance(key.value, dict | tuple):
                self._faults.append(Fault(key.place, "", "expected a word as key, got a collection"))
                continue
            name = key.text if key.text is not None else str(key.value)
            if name == "<<":
                self._faults.append(Fault(key.place, "", "merge keys are not read; write the keys out"))
            elif name in entries:
                first = entries[name].place.line + 1
                self._faults.append(Fault(key.place, "", f"key {inert(name)} stands twice, first in line {first}"))
            else:
                entries[name] = Entry(key.place, value)
        return Node(place, entries, size=size)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        if event.style is not None:
            return Node(place, event.value)
        text = event.value
        value, cure = read_plain(text)
        if cure:
            self._faults.append(Fault(place, "", cure))
        return Node(place, value, text)


def read_plain(text: str) -> tuple[Any, str]:
    """Read an unquoted scalar by YAML 1.2.

    Returns:
        The value, and a fault if it is written so that readers of YAML disagree.
    """
    for pattern, constant in ((_NULL, None), (_TRUE, True), (_FALSE, False)):
        if pattern.fullmatch(text):
            return constant, ""
    if _WHOLE.fullmatch(text):
        if len(text) > MOST_DIGITS + 1:
            return 0, f"expected a number of at most {MOST_DIGITS} digits, got one of {len(text.lstrip('+-'))}"
        return int(text), ""
    if _LEADING_ZERO.fullmatch(text):
        return int(text), f'{text} is {_octal(text)} in some readers of YAML; write {int(text)}, or "{text}" for text'
    if _UNDERSCORES.fullmatch(text):
        decimal = text.replace("_", "")
        return decimal, f'{text} is text in some readers of YAML; write {decimal}, or "{text}" for text'
    if _OTHER_BASE.fullmatch(text):
        decimal = str(int(text, 0))
        return int(text, 0), f'{text} is read differently by readers of YAML; write {decimal}, or "{text}" for text'
    if _REAL.fullmatch(text):
        number = float(text)
        if abs(number) == float("inf"):
            return 0.0, f"{text} is larger than any floating point number"
        return number, ""
    if special := _SPECIAL.fullmatch(text):
        return float("nan") if special[3] else float(f"{special[1]}inf"), ""
    return text, ""


def _octal(text: str) -> str:
    try:
        return str(int(text, 8))
    except ValueError:
        return "text"
