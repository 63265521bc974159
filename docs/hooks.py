"""What mkdocs fills in: options from the command line itself, settings from their table, so that no page can lag."""

from __future__ import annotations

import re
from typing import Any

import typer

from hptune.cli import app
from hptune.objective import METRICS
from hptune.spec.settings import SETTINGS

_OPTIONS = re.compile(r"<!-- options: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by tables."""
    markdown = _OPTIONS.sub(lambda found: options_table(found[1]), markdown)
    markdown = markdown.replace("<!-- settings -->", settings_table())
    return markdown.replace("<!-- metrics -->", metrics_table())


def options_table(command: str) -> str:
    """List arguments and options of a command."""
    group = typer.main.get_command(app)
    rows = ["| argument or option | does |", "| --- | --- |"]
    for parameter in group.commands[command].params:  # type: ignore[attr-defined]
        names = ", ".join(f"`{name}`" for name in parameter.opts if name.startswith("-"))
        words = f"`{parameter.metavar}`" if parameter.metavar and parameter.param_type_name == "argument" else names
        value = f" `{parameter.metavar}`" if names and parameter.metavar else ""
        rows.append(f"| {words}{value} | {_cell(getattr(parameter, 'help', None) or '')} |")
    return "\n".join(rows)


def settings_table() -> str:
    """List every setting with its default."""
    rows = ["| key | means | default |", "| --- | --- | --- |"]
    rows += [f"| `{key}` | {_cell(setting.about)} | `{setting.default}` |" for key, setting in SETTINGS.items()]
    return "\n".join(rows)


def metrics_table() -> str:
    """List every metric with its direction and tasks."""
    rows = ["| metric | better is | for |", "| --- | --- | --- |"]
    for name, metric in METRICS.items():
        better = "more" if metric.direction == "max" else "less"
        rows.append(f"| `{name}` | {better} | {', '.join(sorted(metric.tasks))} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
