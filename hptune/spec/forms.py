"""The written forms of a setting as JSON Schema, so that an editor completes and explains what the reader takes.

Only the dialect's own words are offered; other tools' words are read too, and an editor's underline leads away from
them.
"""

from __future__ import annotations

import math
from typing import Any

from hptune.spec.settings import SETTINGS, Setting

_EARLY_STOPPING = {
    "type": "object",
    "properties": {
        "patience": {"type": "integer", "minimum": 1, "description": "epochs without improvement of the objective"},
        "min_delta": {"type": "number", "minimum": 0, "description": "what counts as an improvement"},
    },
    "required": ["patience"],
    "additionalProperties": False,
}
_CLASS_WEIGHT = {
    "anyOf": [
        {"enum": ["none", "balanced"]},
        {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}, "minProperties": 1},
    ]
}


def setting_schema(setting: Setting) -> dict[str, Any]:
    """Return the schema of everything that may stand behind a setting's key."""
    scalar = _scalar(setting)
    described = {"description": _describe(setting), "default": setting.default}
    if setting.constant:
        return {**scalar, **described}
    forms = [scalar, {"type": "array", "items": scalar, "minItems": 1, "description": "choose one of these"}]
    if setting.kind in ("int", "float", "embedding"):
        forms.append(_range(scalar, setting))
    forms.append(_choice(scalar, setting))
    if setting.per_block:
        forms.append(_object({"per_block": {"type": "array", "items": scalar, "minItems": 1}}, "per_block"))
    return {"anyOf": forms, **described}


def _describe(setting: Setting) -> str:
    needs = f"; read by {' and '.join(setting.needs)}" if setting.needs else ""
    return f"{setting.about}{needs}; {setting.expected()}"


def _scalar(setting: Setting) -> dict[str, Any]:
    match setting.kind:
        case "bool":
            plain: dict[str, Any] = {"type": "boolean"}
        case "word":
            plain = {"enum": list(setting.words)}
        case "early_stopping":
            plain = _EARLY_STOPPING
        case "class_weight":
            plain = _CLASS_WEIGHT
        case "embedding":
            plain = {"anyOf": [_number(setting), {"const": "auto"}]}
        case _:
            plain = _number(setting)
    return {"anyOf": [plain, {"enum": [None, "none"]}]} if setting.nullable else plain


def _number(setting: Setting) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "number" if setting.kind == "float" else "integer"}
    if setting.min > -math.inf:
        made["exclusiveMinimum" if setting.above_min else "minimum"] = setting.min
    if setting.max < math.inf:
        made["exclusiveMaximum" if setting.below_max else "maximum"] = setting.max
    return made


def _range(scalar: dict[str, Any], setting: Setting) -> dict[str, Any]:
    number = _number(setting)
    properties = {
        "min": {**number, "description": "lower end, reachable"},
        "max": {**number, "description": "upper end, reachable"},
        "step": {"type": number["type"], "exclusiveMinimum": 0, "description": "distance of neighbouring values"},
        "log": {"type": "boolean", "description": "spread evenly over orders of magnitude"},
        "type": {"enum": ["int", "float"]},
        **_extras(scalar, setting),
    }
    return _object(properties, "min", "max")


def _choice(scalar: dict[str, Any], setting: Setting) -> dict[str, Any]:
    values = {"type": "array", "items": scalar, "minItems": 1, "description": "choose one of these"}
    return _object({"values": values, **_extras(scalar, setting)}, "values")


def _extras(scalar: dict[str, Any], setting: Setting) -> dict[str, Any]:
    extras: dict[str, Any] = {
        "default": {**scalar, "description": "what start_from takes where it does not name this"},
        "when": {
            "type": "object",
            "description": "active only where each named setting has one of these values",
            "propertyNames": {"enum": list(SETTINGS)},
            "minProperties": 1,
        },
    }
    if setting.per_block:
        extras["per_block"] = {"type": "boolean", "description": "a value of its own for each block"}
    return extras


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
