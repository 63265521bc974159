"""A foreign file as a tree that remembers which of its lines have been understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptune.errors import ExperimentError
from hptune.spec.problems import render
from hptune.spec.reader import Node, parse_bytes, read_file

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Note:
    """Something that could not be carried.

    Attributes:
        line: Of the foreign file, from 1.
        path: Dotted, as the foreign file names it.
        reason: For people.
    """

    line: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.reason}"


class Source:
    """A foreign file; whoever takes a value has understood it, and what nobody took becomes a note."""

    def __init__(self, root: Node) -> None:
        """Begin with nothing understood."""
        self._root = root
        self._taken: set[KeyPath] = set()
        self._notes: dict[KeyPath, str] = {}

    def find(self, *path: str | int) -> Any:
        """Look at the plain value at a path without taking it; None where there is none."""
        node = self._node(path)
        return None if node is None else node.plain()

    def take(self, *path: str | int) -> Any:
        """Return the plain value at a path, as understood; None where there is none."""
        self._taken.add(path)
        return self.find(*path)

    def take_first(self, *paths: KeyPath) -> Any:
        """Return the first value that is there."""
        for path in paths:
            if self.find(*path) is not None:
                return self.take(*path)
        return None

    def leave(self, path: KeyPath, reason: str) -> None:
        """Note why what stands at a path is not carried."""
        self._taken.add(path)
        self._notes[path] = reason

    def notes(self) -> tuple[Note, ...]:
        """Return what was left, and what nobody looked at, in the order of the file."""
        reasons = {**self._notes, **dict.fromkeys(self._untouched((), self._root), "no counterpart here; left out")}
        return tuple(sorted(Note(self._line(path), _dotted(path), reason) for path, reason in reasons.items()))

    def _untouched(self, path: KeyPath, node: Node) -> Iterator[KeyPath]:
        """Yield the highest places of which nothing was taken, and the lowest of which only a part was."""
        if path in self._taken:
            return
        if not any(taken[: len(path)] == path for taken in self._taken):
            yield path
            return
        if isinstance(node.value, dict):
            for name, entry in node.value.items():
                yield from self._untouched((*path, name), entry.node)
        elif isinstance(node.value, tuple):
            for index, inner in enumerate(node.value):
                yield from self._untouched((*path, index), inner)

    def _node(self, path: KeyPath) -> Node | None:
        node = self._root
        for name in path:
            if isinstance(node.value, dict) and name in node.value:
                node = node.value[name].node
            elif isinstance(node.value, tuple) and isinstance(name, int) and name < len(node.value):
                node = node.value[name]
            else:
                return None
        return node

    def _line(self, path: KeyPath) -> int:
        """Return the line on which the key of a path stands."""
        line, node = self._root.place.line, self._root
        for name in path:
            if isinstance(node.value, dict) and name in node.value:
                line, node = node.value[name].place.line, node.value[name].node
            elif isinstance(node.value, tuple) and isinstance(name, int) and name < len(node.value):
                node = node.value[name]
                line = node.place.line
        return line + 1


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path)) or "the file"


def read_source(path: Path) -> Source:
    """Read a foreign YAML or JSON file; nothing in it is executed.

    Raises:
        ExperimentError: If it cannot be read, or breaks the limits of our own files.
    """
    root, faults = parse_bytes(str(path), read_file(path))
    if faults:
        raise ExperimentError(render(faults))
    return Source(root)
