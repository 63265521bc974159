"""A baseline lets noise pass and stops losses; what CI is told is inert."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from made_runs import make_run

from hptune.afterwards import compare, make_baseline
from hptune.api import report
from hptune.description import ENTRY, Description
from hptune.errors import GateError, UsageError
from hptune.metrics import reported_metrics
from hptune.reporting.gates import Check, check_comparison, demand, to_junit
from hptune.reporting.machine import to_json
from hptune.reporting.markdown import to_markdown
from hptune.testrows import TestRows, hash_rows, load_baseline, load_test_rows

ROWS = 400
LABELS = ("no", "yes")
ABOUT = Description("binary", "y", LABELS, 1, 1.0, (("x", "numeric"),), {}, ("",), None)


def finish(
    folder: Path,
    skill: float,
    *,
    rows: str = "same",
    seed: int = 1,
    about: Description = ABOUT,
    groups: Any = None,
    by_groups: Any = None,
) -> Path:
    """Make a run whose best model knows a share of the truth; `seed` is of what it errs in, row by row or in groups."""
    truth = np.random.default_rng(0).integers(0, 2, ROWS)
    score = np.random.default_rng(seed).random(ROWS)
    if by_groups is not None:
        score = score[by_groups]
    positive = np.where(score < skill, 0.9 * truth + 0.05, 0.95 - 0.9 * truth)
    prediction = np.stack([1 - positive, positive], axis=1).astype(np.float32)
    make_run(folder, [0.5], "budget used", metric="accuracy")
    (folder / "best").mkdir()
    with zipfile.ZipFile(folder / "best" / "model.keras", "w") as archive:
        archive.writestr(ENTRY, about.to_json())
    TestRows(truth, prediction, rows, groups=groups).save(folder / "best" / "test_rows.npz")
    scores = reported_metrics("binary", truth, prediction, 1)
    verdict = {"trial": 0, "validation": scores, "test": scores, "baselines": {}, "rows": {}}
    (folder / "best" / "metrics.json").write_text(json.dumps(verdict))
    return folder


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    path.write_text(make_baseline(str(finish(tmp_path / "before", 0.8))))
    return path


def test_a_loss_beyond_noise_is_stopped_and_one_within_noise_is_not(tmp_path: Path, baseline: Path) -> None:
    same = compare(baseline, str(finish(tmp_path / "same", 0.8)))
    little = compare(baseline, str(finish(tmp_path / "little", 0.79)))
    worse = compare(baseline, str(finish(tmp_path / "worse", 0.6)))
    better = compare(baseline, str(finish(tmp_path / "better", 0.95)))

    assert [one.is_worse for one in (same, little, worse, better)] == [False, False, True, False]
    assert same.decisive.gain == 0
    assert same.verdict.endswith("not worse beyond noise (gain 0, 95% interval 0 to 0; the same test rows)")
    assert little.decisive.gain < 0
    assert better.decisive.gain > 0
    losses = {change.metric: change.gain for change in worse.changes}
    # Above 0 is better, whatever the direction of the metric.
    assert losses["log_loss"] < 0
    assert losses["accuracy"] < 0
    with pytest.raises(GateError, match=r"^gate failed: test accuracy 0\.\d+, baseline 0\.\d+: worse beyond noise "):
        demand([check_comparison(worse)])
    demand([check_comparison(better)])


def test_other_test_rows_are_compared_with_less_certainty_and_it_is_said(tmp_path: Path, baseline: Path) -> None:
    paired = compare(baseline, str(finish(tmp_path / "paired", 0.74)))
    other = compare(baseline, str(finish(tmp_path / "other", 0.74, rows="others")))

    assert "other test rows than the baseline's" in other.verdict
    assert paired.decisive.gain == other.decisive.gain
    first, second = paired.decisive.interval, other.decisive.interval
    assert first is not None
    assert second is not None
    assert second.high - second.low > first.high - first.low
    brier = next(change for change in other.changes if change.metric == "brier")
    assert brier.interval is not None
    assert brier.interval.low < brier.gain < brier.interval.high


def test_markdown_json_and_junit_tell_the_same(tmp_path: Path, baseline: Path) -> None:
    folder = finish(tmp_path / "worse", 0.6)
    comparison = replace(compare(baseline, str(folder)), baseline="<b>|[x](y)\x1b")
    summary = report(str(folder))

    markdown = to_markdown(summary, comparison)
    document = json.loads(to_json(summary, comparison))
    junit = ElementTree.fromstring(to_junit("a\x00<&", [Check("one"), check_comparison(comparison)]))

    assert "❌ Against \\<b\\>\\|\\[x\\]\\(y\\)\\\\x1b: test accuracy" in markdown
    assert re.search(r"\| accuracy \\\(decides\\\) \| 0\.\d+ \| 0\.\d+ \| -0\.\d+ \| .* \| worse \|", markdown)
    assert document["baseline"]["is_worse"] is True
    assert junit.attrib == {"tests": "2", "failures": "1", "errors": "0"}
    suite = junit[0]
    assert suite.attrib["name"] == "hptune a\\x00<&"
    assert [case.find("failure") is not None for case in suite] == [False, True]


def test_a_baseline_comes_back_as_it_was_and_what_is_none_is_refused(tmp_path: Path, baseline: Path) -> None:
    kept = load_test_rows(tmp_path / "before" / "best" / "test_rows.npz")
    found = load_baseline(baseline)

    assert (found.rows.prediction == kept.prediction).all()
    assert (found.rows.truth == kept.truth).all()
    assert (found.run, found.labels, found.rows.sha256) == ("before", LABELS, "same")
    content = json.loads(baseline.read_text())
    for change in ({"type": "x"}, {"rows": {}}, {"labels": ["no"]}, {"rows": {**content["rows"], "count": 3}}):
        baseline.write_text(json.dumps(content | change))
        with pytest.raises(UsageError, match=r"expected a baseline as hptune report --format baseline writes it"):
            load_baseline(baseline)
    with pytest.raises(UsageError, match=r"no such file; make one with: hptune report RUN --format baseline"):
        load_baseline(tmp_path / "none.json")


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, baseline: Path) -> None:
    other = finish(tmp_path / "other", 0.8, about=replace(ABOUT, labels=("a", "b")))
    bare = make_run(tmp_path / "bare", [0.5], "budget used")

    with pytest.raises(UsageError, match="expected a baseline of a binary task with the same labels, got binary"):
        compare(baseline, str(other))
    with pytest.raises(UsageError, match="the run has no test rows on record"):
        compare(baseline, str(bare))


def test_rows_of_a_group_are_drawn_together_and_a_loss_in_few_groups_is_noise(tmp_path: Path) -> None:
    """Twenty groups err and succeed as one: what is certain over 400 rows is not over 20 groups."""
    groups = np.arange(ROWS) // 20
    runs = {}
    for name, known in (("rows", None), ("groups", groups)):
        before, after = (
            finish(tmp_path / f"{name}-{skill}", skill, seed=2, groups=known, by_groups=groups) for skill in (0.8, 0.6)
        )
        path = tmp_path / f"{name}.json"
        path.write_text(make_baseline(str(before)))
        runs[name] = path, after
    blind, honest = (compare(path, str(after)) for path, after in runs.values())
    # The baseline alone knows the groups, then the run alone.
    before_alone = compare(runs["groups"][0], str(runs["rows"][1]))
    after_alone = compare(runs["rows"][0], str(runs["groups"][1]))

    kept = load_baseline(runs["groups"][0]).rows.groups
    assert kept is not None
    assert (kept == groups).all()
    first, second = blind.decisive.interval, honest.decisive.interval
    assert first is not None
    assert second is not None
    assert second.high - second.low > 2 * (first.high - first.low)
    assert blind.is_worse
    assert before_alone.decisive.interval == after_alone.decisive.interval == second
    assert honest.verdict.endswith("the same test rows, drawn in whole groups)")
    assert blind.verdict.endswith("the same test rows)")


def test_rows_are_known_by_their_content() -> None:
    def frame(**changes: Any) -> pl.DataFrame:
        return pl.DataFrame({"a": [1.0, None], "b": ["x", None], **changes})

    assert hash_rows(frame()) == hash_rows(frame())
    others = [frame(a=[1.0, 2.0]), frame(b=["x", ""]), frame(b=[None, "x"]), frame().rename({"a": "c"}), frame()[::-1]]
    assert len({hash_rows(one) for one in (frame(), *others)}) == 6
