"""What `hptune plan` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptune.console.screen import out, say, show_json, table
from hptune.reporting.words import format_bytes, format_value

_SHOWN_CORNERS = 10


def show_plan(plan: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a prediction for a person, or as one JSON document."""
    if as_json:
        show_json(plan)
        return
    console = out()
    say(console, f"{plan['name']}: {plan['plan']}")
    for bracket in plan["brackets"]:
        say(console, bracket)
    console.print()
    console.print(table("Prediction", ("what", "expected", "of which"), _rows(plan)))
    say(console, f"each within a factor of {plan['error_factor']:g}, if:")
    for assumption in plan["assumptions"]:
        say(console, f"  {assumption}")
    console.print()
    columns = ("model", "weights", "slots", "steps", "ms an epoch", "s before", "settings")
    rows = [
        (
            name,
            model["weights"],
            model["slots"],
            model["steps"],
            round(1000 * model["epoch_seconds"], 1),
            round(model["first_seconds"], 2),
            _list(model["values"]),
        )
        for name, model in plan["models"].items()
    ]
    console.print(table("Measured", columns, rows, columns[1:-1]))
    unbuildable = plan["corners"]["unbuildable"]
    if not unbuildable:
        say(console, f"each of {plan['corners']['tried']} corners of the space can be built")
        return
    say(console, f"{len(unbuildable)} of {plan['corners']['tried']} corners of the space cannot be built:", "yellow")
    for corner in unbuildable[:_SHOWN_CORNERS]:
        say(console, f"  {_list(corner['values'])}: {corner['reason']}", "yellow")
    if len(unbuildable) > _SHOWN_CORNERS:
        say(console, f"  and {len(unbuildable) - _SHOWN_CORNERS} more; --json shows all")


def _rows(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    seconds, epochs = plan["seconds"], plan["epochs"]
    parts = ", ".join(f"{name} {_duration(seconds[name])}" for name in ("start", "training", "end"))
    most = "" if seconds["most"] == seconds["expected"] else f"; at most {_duration(seconds['most'])}"
    most_epochs = "" if epochs["most"] == epochs["expected"] else f"; at most {epochs['most']}"
    return [
        ("trials", str(plan["trials"]), f"{plan['structures']} structures, {plan['traces']} to trace"),
        ("epochs", str(epochs["expected"]), most_epochs.removeprefix("; ")),
        ("wall time", _duration(seconds["expected"]), parts + most),
        ("memory", format_bytes(plan["memory_bytes"]), f"this process, the fork server and {plan['workers']} workers"),
        ("disk", format_bytes(plan["disk_bytes"]), "the run folder at the end"),
    ]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.split('.', 1)[-1]} {format_value(value)}" for name, value in values.items()) or "as given"
