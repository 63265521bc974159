"""Faults of an experiment: where they stand, the line with a caret, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_SHOWN_WIDTH = 100
_SHOWN_VALUE = 60


@dataclass(frozen=True)
class Source:
    """A text that experiments are read from: a file, or what stands behind `--set`."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A stretch of one line; line and column count from 0 as YAML's marks do."""

    source: Source
    line: int
    column: int
    length: int = 1


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place."""

    place: Place
    key: str
    message: str

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts faults as a reader meets them."""
        return self.place.source.name, self.place.line, self.place.column

    def __str__(self) -> str:
        place = self.place
        head = f"{place.source.name}:{place.line + 1}:{place.column + 1}: "
        text = head + (f"{inert(self.key)}: " if self.key else "") + self.message
        if place.line >= len(place.source.lines):
            return text
        shown, column = _cut(place.source.lines[place.line], place.column)
        number = f"{place.line + 1:>4}"
        width = max(min(place.length, len(shown) - column), 1)
        return f"{text}\n{number} | {shown}\n{' ' * len(number)} | {' ' * column}{'^' * width}"


def _cut(line: str, column: int) -> tuple[str, int]:
    """Show a line without characters that act, cut around the column; return it with the column moved along."""
    start = max(0, column - _SHOWN_WIDTH // 2) if len(line) > _SHOWN_WIDTH else 0
    before, rest = inert(line[start:column]), inert(line[column : start + _SHOWN_WIDTH])
    mark = "..." if start else ""
    return (mark + before + rest).rstrip(), len(mark + before)


def inert(text: str) -> str:
    """Show characters that a terminal or an eye would act upon as escapes; a tab becomes a space."""
    return "".join(char if char.isprintable() else " " if char == "\t" else ascii(char)[1:-1] for char in text)


def render(faults: Iterable[Fault]) -> list[str]:
    """Put faults into words, in the order of the file, none twice."""
    return list(dict.fromkeys(str(fault) for fault in sorted(faults, key=lambda fault: fault.order)))


def show(value: object) -> str:
    """Show a value in a message: text between quotes, YAML's words for the rest, long ones cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_VALUE else value[: _SHOWN_VALUE - 3] + "..."
        return '"' + inert(cut.replace("\t", "\\t")) + '"'
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 3] + "..."


def suggest(word: object, known: Sequence[str], otherwise: str = "") -> str:
    """Offer the nearest known word, else the whole list."""
    near = get_close_matches(str(word).lower(), known, 1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else otherwise or f"expected one of {', '.join(known)}"
