"""The dialect as JSON Schema 2020-12, made from the models that validate it: completion and hover texts for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from hptune.spec.dimensions import Written
from hptune.spec.experiment import Experiment

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _AsWritten(GenerateJsonSchema):
    """Shows the default of a setting as a user would write it."""

    def encode_default(self, dft: Any) -> Any:
        """Return a default as plain data."""
        return dft.canonical() if isinstance(dft, Written) else super().encode_default(dft)


def make_schema() -> dict[str, Any]:
    """Return the schema of an experiment."""
    made = _without_titles(Experiment.model_json_schema(mode="validation", schema_generator=_AsWritten))
    return {"$schema": _DIALECT, "title": "hptune experiment", **made}


def _without_titles(node: Any) -> Any:
    """Leave out the titles that pydantic makes from names: they stand before each description and say nothing."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_titles(value) for name, value in node.items() if not (name == "title" and isinstance(value, str))
    }
