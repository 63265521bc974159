"""A run as one web page that needs nothing else: no network, no server, no other file.

Scripts and styles are named by their hashes in the page's content security policy, so that nothing but them runs,
whatever stands in the data. Text is escaped by the template, and drawn on canvas or set as text by the scripts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from hptune.reporting.advice import advise
from hptune.reporting.importance import measure_importance
from hptune.reporting.page_data import gather_data
from hptune.reporting.recorded import experiment_of
from hptune.reporting.story import count_failures, tell_story
from hptune.reporting.summary import Summary, summarize, told_of_layers
from hptune.reporting.words import describe_ensemble, format_bytes, format_number, printable, verdict_rows
from hptune.run.files import write_text
from hptune.run.folder import PAGE, RunFolder
from hptune.run.records import replay

LIBRARY = "vendor/echarts.min.js"
SCRIPTS = ("theme.js", "figures.js", "spaces.js", "table.js", "page.js")
_STYLE = "page.css"
_TEMPLATE = "page.html.j2"
# Shades of a confusion matrix's cells.
_SHADES = 9
_LARGEST_MATRIX = 30
_SHOWN_COLUMNS = 200


def write_page(folder: RunFolder) -> None:
    """Write `report.html` into the run folder.

    Raises:
        RunDamagedError: If a file of the run is not what was written.
        StorageError: If the file system refuses.
    """
    write_text(folder.path / PAGE, render_page(folder))


def render_page(folder: RunFolder) -> str:
    """Make the page of a run as it stands; a search under way does no harm.

    Raises:
        UsageError: If the folder is no run.
        RunDamagedError: If a file of the run is not what was written.
    """
    # Read once: a search under way goes on writing.
    records = folder.records()
    history = replay(records)
    summary = summarize(folder, history)
    experiment = experiment_of(history.header, folder.name)
    space = experiment.space()
    insight = summary.insight
    scored = summary.leaderboard.scored
    importance = measure_importance(space, scored, summary.objective)
    findings = advise(space, scored, summary.objective, importance)
    data = gather_data(folder, records, summary, space, importance, insight)
    workers = len({bar[0] for bar in data["timeline"]})
    validation = (insight or {}).get("validation") or {}
    assets = {name: _read_asset(name) for name in (LIBRARY, *SCRIPTS, _STYLE)}
    return _fill(
        {
            "summary": summary,
            "story": tell_story(summary, history.active, workers, insight, findings),
            "verdict": _verdict_table(summary),
            "failures": count_failures(summary),
            "confusion": _shade(validation.get("confusion")),
            "ensemble": summary.ensemble and describe_ensemble(summary.ensemble),
            "card": (insight or {}).get("data"),
            "shown_columns": _SHOWN_COLUMNS,
            "files": history.header["data"],
            "environment": _read_environment(folder),
            "experiment": _read_text(folder, "experiment.yaml"),
            "layers": summary.best and told_of_layers(summary, summary.best.number),
            "calibration": validation.get("calibration"),
            "has_zeros": any(share is not None for share in data["trials"]["zeros"]),
            "data": data,
            "style": assets[_STYLE],
            "scripts": [assets[name] for name in (LIBRARY, *SCRIPTS)],
            "policy": _policy(assets),
        }
    )


def _fill(content: Mapping[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "printable": lambda text: printable(str(text)),
        "number": lambda value: format_number(value),
        "bytes": format_bytes,
        "script_json": lambda value: Markup(to_script_json(value)),  # noqa: S704 - it cannot leave its element
    }
    page: str = environment.get_template(_TEMPLATE).render(**content)
    return page


def to_script_json(value: Any) -> str:
    r"""Write JSON that cannot leave the script element it stands in.

    >>> to_script_json("</script>")
    '"\\u003c/script>"'
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _policy(assets: Mapping[str, str]) -> str:
    """Allow the page's own scripts and style by their hashes, and nothing else: no address is ever reached."""
    scripts = " ".join(_hash(assets[name]) for name in (LIBRARY, *SCRIPTS))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(assets[_STYLE])}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read_asset(name: str) -> str:
    return resources.files("hptune.reporting").joinpath("assets", name).read_text(encoding="utf-8")


def _read_environment(folder: RunFolder) -> Mapping[str, Any] | None:
    """Return what `environment.json` says, with the command as a shell would take it."""
    try:
        content: dict[str, Any] = json.loads(_read_text(folder, "environment.json"))
        command = [str(word) for word in content["command"]]
    except (ValueError, KeyError, TypeError):
        return None
    words = ["hptune", *command[1:]] if command and command[0].endswith("hptune") else command
    return {**content, "command": shlex.join(words)}


def _read_text(folder: RunFolder, name: str) -> str:
    """Return a file of the run; empty where it is not there, which a page must survive."""
    path = folder.path / name
    if path.is_symlink() or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _verdict_table(summary: Summary) -> Mapping[str, Any] | None:
    rows = verdict_rows(summary.verdict) if summary.verdict is not None else []
    if not rows:
        return None
    return {"columns": list(rows[0][1]), "rows": [(name, list(scores.values())) for name, scores in rows]}


def _shade(confusion: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Give each cell of a confusion matrix a shade by its share of its row; very large ones are left out."""
    if confusion is None or len(confusion["labels"]) > _LARGEST_MATRIX:
        return None
    return {"labels": confusion["labels"], "rows": [_shade_row(row) for row in confusion["counts"]]}


def _shade_row(counts: Sequence[int]) -> list[tuple[int, int, float]]:
    total = sum(counts) or 1
    return [(count, round(_SHADES * count / total), count / total) for count in counts]
