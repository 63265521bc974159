"""I. Experiments, tables, run folders and models of somebody who means harm: nothing in them runs, nothing acts."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import HPTUNE, hptune, run_python
from invariants import check_message, snapshot, unchanged
from misfortunes import watch_and_sin, watch_for_code
from nursery import Nursery
from stand_in import Bench, make_bench
from test_page import Reader, read

from hptune.console.screen import out, show_summary
from hptune.errors import DataError, RunDamagedError
from hptune.groundwork import lay_groundwork
from hptune.reporting.machine import to_csv, to_json
from hptune.reporting.markdown import to_markdown
from hptune.reporting.page import render_page
from hptune.reporting.summary import summarize
from hptune.run.journal import encode_journal, read_journal

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def bench(ram: Path) -> Bench:
    made = make_bench(ram / "x")
    made.search()
    return made


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self._command,)


def plant(folder: Path, canary: Path) -> None:
    """Put everything into a folder that somebody might run, load or import by mistake; each would leave a canary."""
    command = f"touch {canary}"
    code = f"import os; os.system({command!r})\n"
    for name in ("model.pickle", "tuner.pkl", "trial.dill", "state.joblib", "weights.pt"):
        (folder / name).write_bytes(pickle.dumps(Bomb(command)))
    modules = ("conftest", "sitecustomize", "usercustomize", "json", "yaml", "numpy", "polars", "rich", "keras_tuner")
    for name in modules:
        (folder / f"{name}.py").write_text(code)
    (folder / "evil.pth").write_text(code)
    np.save(folder / "objects.npy", np.array([Bomb(command)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("../../escaped", "zip-slip")
        archive.writestr("config.json", json.dumps({"class_name": "Lambda", "module": "os", "config": {}}))


READING: list[list[str]] = [
    ["report", "x"],
    ["report", "x", "--format", "markdown"],
    ["report", "x", "--format", "json"],
    ["report", "x", "--format", "csv"],
    ["report", "x", "--trial", "1"],
    ["runs"],
    ["check", "x.yaml"],
    ["search", "x.yaml"],
    ["repair", "x"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_i01_i03_i08_nothing_planted_in_a_run_or_beside_it_runs_or_is_opened(
    words: list[str], bench: Bench, nursery: Nursery, ram: Path
) -> None:
    canary, report = ram / "canary", ram / "seen.txt"
    for folder in (bench.folder, bench.run.path, bench.run.best, bench.run.trial(0)):
        plant(folder, canary)
    before = snapshot(bench.folder, bench.run.path / "trials")

    code, output = nursery.hptune(words, bench.folder, prepare=partial(watch_for_code, str(bench.folder), str(report)))

    assert code == 0, output
    assert not report.exists(), report.read_text()
    assert not canary.exists()
    assert not (ram / "escaped").exists()
    if words[0] != "search":
        # A search collects garbage among its trials.
        assert snapshot(bench.folder, bench.run.path / "trials") == before


def test_i08_the_watch_sees_code_that_runs(bench: Bench, nursery: Nursery, ram: Path) -> None:
    plant(bench.folder, ram / "canary")

    nursery.call(watch_and_sin, str(bench.folder), str(ram / "seen.txt"))

    seen = (ram / "seen.txt").read_text()
    assert all(f"{event}: " in seen for event in ("open", "compile", "exec", "os.system", "pickle.find_class"))
    assert (ram / "canary").exists()


def test_i03_the_command_does_not_import_from_the_current_folder(bench: Bench, ram: Path) -> None:
    plant(bench.folder, ram / "canary")

    done = subprocess.run([HPTUNE, "check", "x.yaml"], cwd=bench.folder, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert not (ram / "canary").exists()


HOSTILE_TEXTS = {
    "markup": "[/x][bold]",
    "escape": "\x1b[2J\x1b]8;;http://evil\x07",
    "c1": "\x9b31m",
    "bidi": "\u202ecod.exe",
    "html": "<script>alert(1)</script>",
    "formula": "=HYPERLINK(1)",
    "at": "@SUM(1)",
    "pipe": "a|b\n|c",
}


def hostile_run(bench: Bench, text: str) -> None:
    """Rewrite the run so that a text of somebody else stands wherever text can stand."""
    records = []
    for record in read_journal(bench.run.journal).records:
        made = dict(record)
        if made["type"] == "header":
            made["dimensions"] = [*made["dimensions"], text]
        if made["type"] == "propose":
            made["values"] = {**made["values"], text: text}
        if made["type"] == "end":
            made["message"] = made["engine"] = text
            if made["trial"] == 1:
                made.update(outcome="crashed", score=None)
        if made["type"] == "stop":
            made["reason"] = text
        records.append(made)
    bench.run.journal.write_bytes(encode_journal(records))


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_i06_text_of_somebody_else_acts_neither_in_terminal_nor_markdown_nor_csv(
    name: str, bench: Bench, capsys: pytest.CaptureFixture[str], nursery: Nursery
) -> None:
    text = HOSTILE_TEXTS[name]
    hostile_run(bench, text)
    summary = summarize(bench.run)

    show_summary(out(), summary)
    terminal = capsys.readouterr().out
    markdown, table = to_markdown(summary), to_csv(summary)
    code, listed = nursery.hptune(["runs"], bench.folder)
    told, trial = nursery.hptune(["report", "x", "--trial", "1"], bench.folder)

    assert (code, told) == (0, 0)
    for shown in (terminal, markdown, listed, trial):
        assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "<script>" not in markdown
    assert "\n|c" not in markdown
    cells = [cell for line in table.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
    assert json.loads(to_json(summary))["trials"][0]["values"][text] == text


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_i06_text_of_somebody_else_adds_nothing_to_the_page_but_text(name: str, bench: Bench) -> None:
    journal = bench.run.journal.read_bytes()

    def page_with(text: str) -> Reader:
        bench.run.journal.write_bytes(journal)
        hostile_run(bench, text)
        return read(render_page(bench.run))

    harmless, hostile = page_with("harmless"), page_with(HOSTILE_TEXTS[name])

    def parts(page: Reader) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert parts(hostile) == parts(harmless)
    assert [tag for tag, _, _ in hostile.contents] == [tag for tag, _, _ in harmless.contents]
    assert not set(hostile.text) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_i06_what_is_shown_of_hostile_text_is_the_text(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    hostile_run(bench, "[/x]\x1b[31m=1+1")
    summary = summarize(bench.run)

    show_summary(out(), summary)

    assert "[/x]\\x1b[31m=1+1" in capsys.readouterr().out
    assert "\\[/x\\]\\\\x1b\\[31m=1\\+1" in to_markdown(summary)


def test_i05_a_journal_cannot_have_files_deleted_outside_the_run(bench: Bench, ram: Path) -> None:
    (ram / "letter").write_text("precious")
    records = [dict(record) for record in read_journal(bench.run.journal).records]
    for record in records:
        for file in record.get("artifacts", ()):
            file["name"] = "../../../letter"
    bench.run.journal.write_bytes(encode_journal(records))

    with unchanged(ram), pytest.raises(RunDamagedError) as caught:
        bench.search()

    assert "expected a file of the run, got '../../../letter'" in str(caught.value)


EXPERIMENTS = {
    "a tag": (
        "name: x",
        'name: !!python/object/apply:os.system ["touch canary"]',
        "tags are not read, got tag:yaml.org,2002:python/object/apply:os.system",
    ),
    "a command": ("source: table.csv", 'source: "$(touch canary)"', "no such file"),
    "a variable": ("source: table.csv", "source: $HOME/table.csv", "no such file"),
    "a home": ("source: table.csv", "source: ~/table.csv", "no such file"),
    "an address": ("source: table.csv", "source: https://127.0.0.1:1/table.csv", "no such file"),
    "a share": ("source: table.csv", "source: '\\\\server\\share\\table.csv'", "no such file"),
    "a module": ("target: y", "target: os:system", "expected a column of the table"),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_f05_f13_i08_an_experiment_runs_nothing_and_follows_nothing(name: str, ram: Path, nursery: Nursery) -> None:
    bench = make_bench(ram / "x")
    old, new, expected = EXPERIMENTS[name]
    config = bench.folder / "x.yaml"
    config.write_text(config.read_text().replace(old, new))
    report = ram / "seen.txt"

    for command in ("check", "search"):
        with unchanged(bench.folder):
            code, output = nursery.hptune(
                [command, "x.yaml"],
                bench.folder,
                prepare=partial(watch_for_code, str(bench.folder), str(report)),
            )
        assert code == 2
        check_message(output, expected)
    assert not report.exists()
    assert not (bench.folder / "canary").exists()


def packed(arrays: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return stream.getvalue()


def shape_bomb() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (1 << 46,)})
    return packed({"x.npy": stream.getvalue(), "y.npy": stream.getvalue()})


def pickled() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([Bomb("touch canary")], dtype=object), y=np.zeros(1))
    return stream.getvalue()


def lying_size() -> bytes:
    content = bytearray(packed({"x.npy": b"\0" * 100}))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(content)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a shape that no memory holds": shape_bomb,
    "objects": pickled,
    "zip-slip": lambda: packed({"../../escaped.npy": b"\x93NUMPY"}),
    "a wrong size": lying_size,
    "no arrays": lambda: packed({"letter.txt": b"precious"}),
    "no archive": lambda: b"PK\x03\x04 and nothing behind it",
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_i04_archives_made_to_do_harm_are_refused(name: str, ram: Path) -> None:
    bench = make_bench(ram / "x")
    (bench.folder / "table.npz").write_bytes(ARCHIVES[name]())
    config = bench.folder / "x.yaml"
    config.write_text(config.read_text().replace("table.csv", "table.npz"))

    with unchanged(ram), pytest.raises(DataError) as caught:
        lay_groundwork(config)

    assert str(caught.value).startswith(f"{bench.folder}/table.npz: expected a")


def test_i04_an_archive_that_claims_too_much_is_not_unpacked(ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(ram / "x")
    (bench.folder / "table.npz").write_bytes(packed({"x.npy": b"\0" * 4_000_000}))
    config = bench.folder / "x.yaml"
    config.write_text(config.read_text().replace("table.csv", "table.npz"))
    monkeypatch.setattr("hptune.data.formats._LARGEST_NPZ", 1_000_000)

    with pytest.raises(DataError) as caught:
        lay_groundwork(config)

    assert str(caught.value) == (
        f"{bench.folder}/table.npz: expected arrays of at most 1000000 bytes, got 4000000 bytes when unpacked"
    )


SAFE = "expected a model that Keras opens in safe mode, got "
TOO_LARGE = "expected a model that works within 4 GiB of memory, got ResourceExhaustedError; it is damaged, or was"
# What is wrong with each, and what Keras or TensorFlow has to say of it.
MODELS = {
    "code": f"{SAFE}ValueError: Requested the deserialization of a `Lambda` layer",
    "scratched": SAFE,
    "wide": TOO_LARGE,
    "long": TOO_LARGE,
    "external": SAFE,
    "link": SAFE,
    "virtual": SAFE,
    "bomb": SAFE,
}


@pytest.mark.long
def test_i01_i02_a_foreign_model_runs_no_code_fills_no_memory_and_reads_no_other_file(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    script = Path(__file__).with_name("hostile_models.py")
    run_python(script, tmp_path, f"touch {canary}", folder=tmp_path)
    (tmp_path / "rows.csv").write_text("x\n1\n2\n")
    canary.unlink(missing_ok=True)

    assert hptune("predict", "honest.keras", "rows.csv", folder=tmp_path).stdout.startswith("prediction\n")
    with unchanged(tmp_path):
        for name, expected in MODELS.items():
            done = hptune("predict", f"{name}.keras", "rows.csv", folder=tmp_path, code=2)
            check_message(done.stderr, f"error: {name}.keras: {expected}")

    assert not canary.exists()


def test_i02_weights_in_a_run_that_were_swapped_for_others_are_refused_by_their_hash(bench: Bench) -> None:
    trial = summarize(bench.run).best
    assert trial is not None
    path = bench.run.path / trial.file("weights.npz").name
    shutil.copyfile(bench.run.trial((trial.number + 1) % 5) / "weights.npz", path)

    with pytest.raises(RunDamagedError) as caught:
        bench.run.verified(trial.file("weights.npz"))

    assert str(caught.value).endswith("its SHA-256 is not what the journal recorded; it was altered or damaged")
