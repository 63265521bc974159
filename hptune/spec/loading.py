"""From a file, and what stands behind `--set`, to an experiment; every fault at once, each at its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hptune.errors import ExperimentError
from hptune.spec.agreement import find_disagreements, find_notes
from hptune.spec.dimensions import Found
from hptune.spec.experiment import SEPARATORS, Experiment
from hptune.spec.problems import Fault, Place, Source, render, show, suggest
from hptune.spec.reader import Entry, Node, parse_bytes, parse_text, read_file
from hptune.spec.search import STRATEGIES
from hptune.spec.section import FOUND
from hptune.spec.settings import SETTINGS
from hptune.spec.starts import find_start_faults

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment, where it came from, and what to say about it.

    Attributes:
        experiment: What was written.
        path: The file.
        content: Its bytes.
        root: Its nodes, overrides included.
        notes: What reads otherwise than somebody might have meant.
    """

    experiment: Experiment
    path: Path
    content: bytes
    root: Node
    notes: tuple[str, ...]

    def fault(self, key: str, message: str) -> ExperimentError:
        """Make an error at the place of a key that only the data contradicts."""
        return ExperimentError(render([_locate(self.root, tuple(key.split(".")), message)]))


def load_experiment(path: Path, overrides: Sequence[str] = (), content: bytes | None = None) -> LoadedExperiment:
    """Read an experiment.

    Args:
        path: The file.
        overrides: `key=value` pairs, read as YAML, that replace parts of it.
        content: What to read instead of the file; `path` then only names it.

    Raises:
        ExperimentError: With every fault, located, in the order of the file.
    """
    content = read_file(path) if content is None else content
    root, faults = parse_bytes(str(path), content)
    for override in overrides:
        root = _apply(root, override, faults)
    plain = root.plain()
    found: list[tuple[KeyPath, str]] = []
    try:
        experiment = Experiment.model_validate(plain)
    except ValidationError as error:
        found = list(_translate(error))
    else:
        # A configuration can only be held against a space that is sound.
        found = list(find_disagreements(experiment)) or list(find_start_faults(experiment))
    placed = {(fault.place.source.name, fault.place.line, fault.place.column) for fault in faults}
    for place, message in found:
        fault = _locate(root, place, message)
        # A scalar that cannot be read has been reported already, with the better word.
        if (fault.place.source.name, fault.place.line, fault.place.column) not in placed:
            faults.append(fault)
    if faults:
        raise ExperimentError(render(faults))
    return LoadedExperiment(experiment, path, content, root, find_notes(experiment, list(_bare_pairs(root))))


def _bare_pairs(root: Node) -> Iterator[str]:
    for key in SETTINGS:
        node: Node | None = root
        for name in key.split("."):
            entry = node.value.get(name) if node is not None and isinstance(node.value, dict) else None
            node = entry.node if entry is not None else None
        if node is not None and isinstance(node.value, tuple) and len(node.value) == 2:
            yield key


def _apply(root: Node, override: str, faults: list[Fault]) -> Node:
    """Replace one part by what stands behind `--set`."""
    key, separator, text = override.partition("=")
    source = Source("--set", (override,))
    names = key.strip().split(".")
    if not separator or not all(names):
        place = Place(source, 0, 0, len(override))
        faults.append(Fault(place, "", f"expected KEY=VALUE such as model.dropout=0.2, got {show(override)}"))
        return root
    node, more = parse_text("--set", text, column=len(key) + 1, shown=override)
    faults.extend(more)
    if names[:2] == ["data", "source"]:
        node = _from_current_folder(node)
    return _replaced(root, names, Place(source, 0, 0, len(key)), node)


def _from_current_folder(node: Node) -> Node:
    """Make paths absolute: those of a file are relative to it, those of the command line to the current folder."""
    if isinstance(node.value, dict):
        entries = {name: Entry(entry.place, _from_current_folder(entry.node)) for name, entry in node.value.items()}
        return Node(node.place, entries)
    if isinstance(node.value, str) and not node.value.startswith("sklearn:"):
        return Node(node.place, str(Path(node.value).absolute()), node.text)
    return node


def _replaced(node: Node, names: Sequence[str], place: Place, value: Node) -> Node:
    entries = dict(node.value) if isinstance(node.value, dict) else {}
    first, *rest = names
    if rest:
        below = entries[first].node if first in entries else Node(place, {})
        entries[first] = Entry(
            entries[first].place if first in entries else place, _replaced(below, rest, place, value)
        )
    else:
        entries[first] = Entry(place, value)
    return Node(node.place, entries)


def _locate(root: Node, path: KeyPath, message: str) -> Fault:
    """Find the place of a path; what is missing is placed at its nearest parent."""
    node, place, known = root, root.place, []
    for index, name in enumerate(path):
        if isinstance(node.value, dict) and name in node.value:
            entry = node.value[name]
            is_last = index == len(path) - 1
            # A fault of a scalar stands at the scalar, a fault of a key or a collection at its key.
            is_scalar = not isinstance(entry.node.value, dict | tuple)
            place = entry.node.place if is_last and is_scalar and not message.startswith("unknown key") else entry.place
            node = entry.node
        elif isinstance(node.value, tuple) and isinstance(name, int) and name < len(node.value):
            node = node.value[name]
            place = node.place
        known.append(str(name))
    return Fault(place, ".".join(known), message)


def _translate(error: ValidationError) -> Iterator[tuple[KeyPath, str]]:
    """Turn pydantic's findings into paths of keys and sentences."""
    for item in error.errors(include_url=False):
        path = _without_tags(item["loc"])
        kind, given, context = item["type"], item["input"], item.get("ctx", {})
        if kind == FOUND:
            found: Iterable[Found] = context["found"]
            yield from ((path + place, message) for place, message in found)
        elif kind == "extra_forbidden":
            yield path, f"unknown key; {suggest(path[-1], _known_keys(item['loc']))}"
        elif kind == "missing":
            yield path, f"missing; {_HINTS.get('.'.join(map(str, path)), 'write it')}"
        else:
            yield path, _sentence(kind, path, given, context)


_HINTS = {
    "name": "write the run's name, such as name: churn",
    "data": "write where the table is, such as data: {source: churn.csv, target: churned}",
    "data.source": "write the file, such as source: churn.csv",
    "data.target": "write the column to predict, such as target: churned",
    "objective": "write what to improve, such as objective: {metric: accuracy, direction: max}",
    "objective.metric": "write what to improve, such as metric: accuracy",
    "objective.direction": "write max or min",
    "strategy": "write strategy: {name: random}, or grid, bayesian or hyperband",
}
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a map",
    "model_type": "a map of keys",
    "model_attributes_type": "a map of keys",
}


def _sentence(kind: str, path: KeyPath, given: Any, context: Mapping[str, Any]) -> str:
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        if not isinstance(given, dict):
            return f"expected a map such as {{name: random}}, got {show(given)}"
        if "name" not in given:
            return f"expected a name, which is {' or '.join(STRATEGIES)}"
        return f"unknown strategy {show(given['name'])}; {suggest(given['name'], tuple(STRATEGIES))}"
    if kind == "string_pattern_mismatch":
        return (
            "expected 1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit, "
            f"got {show(given)}"
        )
    if path == ("evaluation", "confirm"):
        return f"expected auto, false or a map such as {{top: 5, seeds: 5}}, got {show(given)}"
    if path[-2:] == ("split", "stratify"):
        return f"expected auto, true or false, got {show(given)}"
    if kind == "literal_error":
        words = SEPARATORS if path[-1] == "separator" else ()
        expected = " or ".join(map(show, words)) if words else str(context.get("expected", "")).replace("'", "")
        return f"expected {expected}, got {show(given)}"
    bounds = {
        "greater_than_equal": ("ge", "of at least"),
        "less_than_equal": ("le", "of at most"),
        "less_than": ("lt", "below"),
    }
    if kind in bounds:
        name, word = bounds[kind]
        return f"expected a whole number {word} {context[name]}, got {show(given)}"
    expected = _TYPES.get(kind, "another value")
    cure = f'; write "{given}"' if kind == "string_type" and isinstance(given, int | float | bool) else ""
    return f"expected {expected}, got {show(given)}{cure}"


def _without_tags(loc: tuple[Any, ...]) -> KeyPath:
    """Leave out what pydantic puts between keys to tell the members of a union apart."""
    path = list(loc)
    if path[:1] == ["strategy"] and len(path) > 1 and path[1] in STRATEGIES:
        del path[1]
    if path[:2] == ["data", "source"] and len(path) > 2 and path[2] in ("text", "parts"):
        del path[2]
    if path[:3] == ["data", "split", "stratify"]:
        del path[3:]
    if path[:2] == ["evaluation", "confirm"] and len(path) > 2 and path[2] in ("word", "numbers"):
        del path[2]
    return tuple(path)


def _known_keys(loc: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the keys that may stand where an unknown one was found."""
    model: Any = Experiment
    for name in loc[:-1]:
        if name in STRATEGIES:
            model = STRATEGIES[name]
        elif name in ("parts", "numbers"):
            continue
        else:
            field = model.model_fields.get(name)
            if field is None:
                return ()
            model = _model_in(field.annotation) or model
    return tuple(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None
