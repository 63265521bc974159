"""The report page: one file that tells all, reaches nothing, and lets no text act."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic import PLAIN, make_run

from hptune.afterwards import report_page
from hptune.errors import RunDamagedError
from hptune.reporting.page import LIBRARY, render_page, to_script_json
from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder

ASSETS = Path(__file__).parent.parent / "hptune" / "reporting" / "assets"
# Of dist/echarts.min.js in the npm package echarts 6.1.0, as it was published.
LIBRARY_SHA256 = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
HOSTILE = "</script><img src=x onerror=alert(1)>{{7*7}}"


class Reader(HTMLParser):
    """Collects elements, their attributes, and the content of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.contents.append((*self._open, data))
        else:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def data_of(page: str) -> dict[str, Any]:
    found = [text for tag, attributes, text in read(page).contents if attributes.get("id") == "page-data"]
    return dict(json.loads("".join(found)))


@pytest.fixture(scope="module", autouse=True)
def quick_disk() -> Any:
    """Made runs need not survive a loss of power."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render_page(make_run(tmp_path_factory.mktemp("runs") / "made", 60))


def test_the_library_is_what_its_makers_published() -> None:
    content = (ASSETS / LIBRARY).read_bytes()

    assert hashlib.sha256(content).hexdigest() == LIBRARY_SHA256
    assert (ASSETS / "vendor" / "echarts.LICENSE").read_text().lstrip().startswith("Apache License")
    assert (ASSETS / "vendor" / "echarts.NOTICE").exists()
    assert LIBRARY_SHA256 in (ASSETS / "vendor" / "ORIGIN.md").read_text()


def test_the_policy_names_each_script_and_style_by_its_hash_and_allows_nothing_else(page: str) -> None:
    reader = read(page)
    policy = next(a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy") or ""
    code = [(tag, text) for tag, attributes, text in reader.contents if attributes.get("type") != "application/json"]

    directives = {words[0]: words[1:] for words in (part.split() for part in policy.split(";"))}

    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for t, text in code if t == tag]
        assert directives[kind] == [f"'sha256-{value}'" for value in hashes]
    assert directives["default-src"] == ["'none'"]
    assert "unsafe" not in policy


def test_the_page_names_no_address_to_fetch_from(page: str) -> None:
    reader = read(page)

    addresses = [
        value
        for _, attributes in reader.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset", "poster") and not (value or "").startswith("#")
    ]

    assert addresses == []
    assert not any(name.startswith("on") or name == "style" for _, a in reader.elements for name in a)


def test_the_verdict_comes_first(page: str) -> None:
    sections = re.findall(r'<section id="(\w+)"', page)

    assert sections[0] == "verdict"
    assert {"leaderboard", "curves", "history", "parallel", "importance", "slices", "distribution"} < set(sections)
    assert {"regularization", "timeline", "failures", "ensemble", "data", "experiment"} < set(sections)


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    plain = copy.deepcopy(dict(PLAIN))
    plain["data"] = {"source": f"{HOSTILE}.csv", "target": HOSTILE}
    folder = make_run(tmp_path / "made", 30, plain=plain, failure=HOSTILE, curves=False)
    (folder.path / "experiment.yaml").write_text(f"name: made # {HOSTILE}\n")
    validation = {"low": None, "rivals": [], "confusion": {"labels": [HOSTILE, "\u202eb"], "counts": [[1, 2], [3, 4]]}}
    insight = {"trial": 1, "data": None, "zeros": {}, "validation": validation}
    (folder.path / "insight.json").write_text(json.dumps(insight))

    reader = read(render_page(folder))

    assert [tag for tag, _ in reader.elements if tag == "img"] == []
    assert reader.text.count(HOSTILE) >= 4
    assert "\u202e" not in reader.text
    assert "\\u202eb" in reader.text


def test_json_cannot_leave_its_element() -> None:
    assert to_script_json({"<!--": "</script>\u2028"}) == '{"\\u003c!--":"\\u003c/script>\\u2028"}'


def test_every_trial_curve_and_attempt_is_on_the_page(page: str) -> None:
    data = data_of(page)

    assert sorted(data["trials"]["number"]) == list(range(60))
    assert data["trials"]["status"].count("out_of_memory") == 2
    assert len(data["curves"]) == 58
    assert all(len(curve["validation"]) == len(curve["train"]) == 20 for curve in data["curves"].values())
    assert sorted(bar[3] for bar in data["timeline"]) == list(range(60))
    assert {axis["label"] for axis in data["axes"]} > {"learning_rate", "dropout", "units"}
    scores = [score for score in data["trials"]["score"] if score is not None]
    assert scores == sorted(scores, reverse=True)


def test_an_inactive_dimension_has_no_value_and_a_chosen_null_has_one(page: str) -> None:
    data = data_of(page)
    labels = [axis["label"] for axis in data["axes"]]
    blocks, residual, clip = (
        data["trials"]["values"][labels.index(name)] for name in ("blocks", "residual", "clip_norm")
    )

    assert all((value is None) == (block == 1) for value, block in zip(residual, blocks, strict=True))
    assert data["axes"][labels.index("clip_norm")]["values"] == ["null", "1"]
    assert set(clip) == {0, 1}


def test_a_search_under_way_has_a_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 5, is_finished=False)
    with folder.journal.open("ab") as stream:
        stream.write(b'{"seq":99,"torn')

    page = render_page(folder)

    assert "under way or killed" in page
    assert len(data_of(page)["trials"]["number"]) == 5


def test_a_run_in_which_nothing_has_ended_has_a_page(tmp_path: Path) -> None:
    assert "no trial yet" in render_page(make_run(tmp_path / "made", 0, is_finished=False))


def test_a_damaged_curve_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 3)
    curve = folder.trial(1) / "curve.json"
    curve.write_text(curve.read_text().replace("0.", "1.", 1))

    with pytest.raises(RunDamagedError) as caught:
        render_page(folder)

    assert str(caught.value) == (f"{curve}: its SHA-256 is not what the journal recorded; it was altered or damaged")


def test_the_page_of_a_thousand_trials_stays_small(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 1000)

    size = len(render_page(folder).encode())

    assert size - (ASSETS / LIBRARY).stat().st_size < 2_000_000


def test_the_page_belongs_into_its_run_and_the_journal_stays_as_it_is(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 3)
    before = folder.journal.read_bytes()

    page = report_page("made", runs=tmp_path)

    assert page.path == tmp_path / "made" / "report.html"
    assert folder.journal.read_bytes() == before
    assert not page.path.exists()


def test_a_run_without_its_side_files_has_a_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "made", 3)
    (folder.path / "experiment.yaml").unlink()

    assert "Experiment and environment" in render_page(RunFolder(folder.path))


def test_dead_units_of_older_versions_are_told_as_what_they_were(tmp_path: Path) -> None:
    """They were those without incoming weights; what units say was not looked at."""
    folder = make_run(tmp_path / "made", 12)
    best = summarize(folder).best
    assert best is not None
    layer = {"name": "block_1_dense", "weights": 64, "zeros": 0.5, "norm": 1.0, "units": 8, "dead": 3}
    told = {"trial": best.number, "weights": 80, "weights_left": 48, "layers": [layer]}
    insight = {"trial": best.number, "data": None, "zeros": {}, "validation": None, "regularization": [told]}
    (folder.path / "insight.json").write_text(json.dumps(insight))

    page = render_page(folder)

    (row,) = re.findall(r'<th scope="row">block_1_dense</th>(.*?)</tr>', page)
    assert re.findall("<td>(.*?)</td>", row) == ["64", "0.5", "1", "8", "", "3"]
