"""Model cards: what stands beside a model, so that who finds it knows what it is, how good, and where from.

Reference:
    Mitchell et al., "Model Cards for Model Reporting", 2019. Text from data shows as it is and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hptune.environment import describe_versions
from hptune.facts import gather_facts
from hptune.materials import Materials
from hptune.reporting.markdown import escape_markdown, markdown_table
from hptune.reporting.words import describe_certainty, describe_ensemble, format_number, printable, verdict_rows

MODEL_CARD = "model_card.md"
# A card is read by people; the experiment and `hptune check` list all.
_SHOWN_COLUMNS = 200


@dataclass(frozen=True)
class _Chapter:
    """A heading and the lines below it."""

    title: str
    lines: Sequence[str]


def card_of_best(materials: Materials, metrics: Mapping[str, Any], hyperparameters: str) -> str:
    """Write the card of the best single model.

    Args:
        materials: Of its search.
        metrics: The content of `best/metrics.json`.
        hyperparameters: Its settings as YAML.
    """
    about = _line(f"Trial {metrics['trial']} of the search {materials.ground.experiment.name}, one network.")
    chapters = [
        _Chapter("Metrics", list(_metrics(materials, metrics))),
        _Chapter("Hyperparameters", _fence(hyperparameters, "yaml")),
    ]
    return _write(materials, about, chapters)


def card_of_ensemble(materials: Materials, content: Mapping[str, Any], hyperparameters: Mapping[int, str]) -> str:
    """Write the card of an ensemble.

    Args:
        materials: Of its search.
        content: The content of `ensemble/ensemble.json`.
        hyperparameters: Settings of the members as YAML, by trial.
    """
    about = _line(f"Several trials of the search {materials.ground.experiment.name} as one network.")
    test = content["test"] or {}
    rows = [(name, *(scores.get(name) for scores in test.values())) for name in next(iter(test.values()), {})]
    lines = [f"* {escape_markdown(line)}" for line in describe_ensemble(content)]
    if rows:
        lines += ["", *markdown_table(("metric of test rows", *test), rows)]
    settings = [
        line for trial, text in hyperparameters.items() for line in (f"Trial {trial}:", "", *_fence(text, "yaml"))
    ]
    return _write(materials, about, [_Chapter("Metrics", lines), _Chapter("Hyperparameters", settings)])


def _write(materials: Materials, about: str, chapters: Sequence[_Chapter]) -> str:
    facts = gather_facts(materials.ground)
    data = facts["data"]
    wanted = f"It predicts {data['target']}: {data['task']}"
    if data["labels"]:
        wanted += f", the probabilities of {', '.join(data['labels'])}"
    seed = materials.ground.experiment.strategy.seed
    again = f"hptune search resolved.yaml --run {materials.ground.experiment.name}-again"
    versions = describe_versions()
    all_chapters = [
        _Chapter("Data", list(_data(materials, data))),
        *chapters,
        _Chapter("Versions", markdown_table(("package", "version"), list(versions.items()))),
        _Chapter(
            "Made again",
            [
                "Put `resolved.yaml` of the run where the experiment lay (data paths are relative to it) and run",
                "",
                *_fence(again, "sh"),
                f"Seed {seed}; equal experiment, data, versions and type of processor give equal results.",
            ],
        ),
    ]
    lines = [
        f"# Model card: {escape_markdown(materials.ground.experiment.name)}",
        "",
        about,
        "",
        _line(f"{wanted}."),
        "",
    ]
    lines += [
        "`model.keras` loads with `keras.models.load_model` alone. It takes raw columns, one (rows, 1) tensor each: "
        'numbers with NaN where missing, text with "" where missing.',
        "",
    ]
    for chapter in all_chapters:
        lines += [f"## {chapter.title}", "", *chapter.lines, ""]
    return "\n".join(lines).rstrip() + "\n"


def _line(text: str) -> str:
    return escape_markdown(text)


def _data(materials: Materials, data: Mapping[str, Any]) -> Iterator[str]:
    parts = ", ".join(f"{count} {part}" for part, count in data["rows"].items())
    yield _line(f"Rows: {parts}.")
    yield ""
    columns = [(column["name"], column["kind"], column["missing"], column["distinct"]) for column in data["columns"]]
    yield from markdown_table(("column", "kind", "missing", "distinct"), columns[:_SHOWN_COLUMNS])
    if len(columns) > _SHOWN_COLUMNS:
        yield f"and {len(columns) - _SHOWN_COLUMNS} further columns."
    yield ""
    files = [(file.name, file.size, file.sha256) for file in materials.ground.dataset.files]
    yield from markdown_table(("file", "bytes", "SHA-256"), files)


def _metrics(materials: Materials, metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = verdict_rows(metrics)
    yield from markdown_table(("metric", *rows[0][1]), [(name, *scores.values()) for name, scores in rows])
    yield ""
    metric = materials.ground.objective.metric
    intervals = metrics.get("intervals")
    if intervals and metric in intervals["scores"]["test"]:
        low, high = intervals["scores"]["test"][metric]
        rows_of_test = metrics["rows"]["test"]
        yield _line(
            f"Test {metric}: {intervals['level']:.0%} interval {format_number(low)} to {format_number(high)}, "
            f"by the bootstrap over {rows_of_test} test rows."
        )
    yield from (_line(sentence) for sentence in describe_certainty(metrics))
    yield "The validation scores are those of the best of many trials, and flatter."


def _fence(text: str, language: str) -> list[str]:
    """Put text into a block of code that nothing in it can close."""
    shown = [printable(line) for line in text.rstrip("\n").split("\n")]
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(longest + 1, 3)
    return [f"{fence}{language}", *shown, fence, ""]
