"""D. The run folder is not what was written: it is named, nothing is skipped, and what is whole can be copied."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from invariants import check_clean, check_message, results_of, snapshot, unchanged
from nursery import Nursery
from stand_in import Bench, make_bench, write_experiment

from hptune.api import repair
from hptune.errors import RunDamagedError, StorageError
from hptune.reporting.overview import list_overview
from hptune.reporting.summary import summarize
from hptune.run.folder import RunFolder
from hptune.run.journal import read_journal
from hptune.run.records import replay

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("finished") / "x")
    bench.search()
    return bench


@pytest.fixture
def bench(finished: Bench, ram: Path) -> Bench:
    """A copy of a finished run, free to be damaged."""
    shutil.copytree(finished.folder, ram / "x")
    return Bench(ram / "x", finished.ground)


def damage_of(run: RunFolder) -> str:
    """What every reader says of a damaged run; none of them changes a byte."""
    with unchanged(run.path):
        with pytest.raises(RunDamagedError) as caught:
            summarize(run)
        (line,) = list_overview(run.path.parent)
    assert (line.state, line.detail) == ("damaged", caught.value.message)
    return str(caught.value).replace(f"{run.path}/", "")


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.torture), 41])
def test_d01_a_flipped_bit_anywhere_in_the_journal_is_found(step: int, bench: Bench) -> None:
    content = bench.run.journal.read_bytes()
    chance = random.Random(step)

    for place in range(0, len(content) - 1, step):
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.randrange(8)
        bench.run.journal.write_bytes(flipped)
        line = content[:place].count(b"\n")
        start = content.rfind(b"\n", 0, place) + 1
        with pytest.raises(RunDamagedError, match=rf"line {line + 1}, byte {start}: |of format 2 or older"):
            summarize(bench.run)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.torture), pytest.param(61, marks=pytest.mark.long)])
def test_d02_a_journal_cut_at_any_length_goes_on_to_the_same_end(step: int, finished: Bench, ram: Path) -> None:
    content = finished.run.journal.read_bytes()
    meant = results_of(finished.run)
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    place = ram / "x"

    for length in range(0, len(content), step):
        shutil.copytree(finished.folder, place)
        bench = Bench(place, finished.ground)
        bench.run.journal.write_bytes(content[:length])
        assert len(read_journal(bench.run.journal).records) == sum(end <= length for end in ends)
        bench.search()
        assert results_of(bench.run) == meant, f"cut at {length}"
        check_clean(bench.run)
        shutil.rmtree(place)


GARBAGE = {
    "text": b"thesis, chapter 1",
    "NULs": b"\0" * 512,
    "half a record": b'{"seq":21,"prev":"0123',
    "bits": b"\xff\xfe",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_d03_garbage_without_a_line_end_is_cut_and_with_one_it_is_damage(name: str, bench: Bench) -> None:
    content, meant = bench.run.journal.read_bytes(), results_of(bench.run)
    bench.run.journal.write_bytes(content + GARBAGE[name])

    assert summarize(bench.run).outcomes == {"completed": 5}
    bench.search()
    assert results_of(bench.run) == meant
    assert bench.run.journal.read_bytes() == content
    bench.run.journal.write_bytes(content + GARBAGE[name] + b"\n")

    lines = content.count(b"\n") + 1
    assert damage_of(bench.run) == (
        f"journal.jsonl: line {lines}, byte {len(content)}: damaged record; nothing before it is lost, copy what is "
        "whole with hptune repair, or begin another run with --fresh"
    )
    repaired = repair(str(bench.run.path))
    assert repaired.lost == (f"journal.jsonl: damaged at line {lines}, byte {len(content)}",)
    assert repaired.trials == 5


def lines_removed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], *lines[5:]]


def lines_doubled(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[4:]]


def lines_swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


@pytest.mark.parametrize("change", [lines_removed, lines_doubled, lines_swapped])
def test_d04_lines_that_were_moved_are_found(change: Callable[[list[bytes]], list[bytes]], bench: Bench) -> None:
    lines = bench.run.journal.read_bytes().splitlines(keepends=True)
    bench.run.journal.write_bytes(b"".join(change(lines)))

    number, got = (6, 4) if change is lines_doubled else (5, 5)
    start = sum(map(len, change(lines)[: number - 1]))
    assert damage_of(bench.run).startswith(
        f"journal.jsonl: line {number}, byte {start}: record {got} does not follow the record before it; copy what"
    )


def gzipped(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content, mtime=0)


TRAVELLED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "merge conflict": (lambda content: b"<<<<<<< HEAD\n" + content, "line 1, byte 0: the mark of a merge conflict"),
    "CRLF": (
        lambda content: content.replace(b"\n", b"\r\n"),
        "line 1, byte 0: line ends of another system, as from a checkout that converts them",
    ),
    "CR": (
        lambda content: content.replace(b"\n", b"\r"),
        "line 1, byte 0: line ends of another system, as from a checkout that converts them",
    ),
    "BOM": (
        lambda content: b"\xef\xbb\xbf" + content,
        "line 1, byte 0: a byte order mark, which an editor has put there",
    ),
    "gzip": (gzipped, "line 1, byte 0: a gzip archive, unpack it"),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), "line 1, byte 0: damaged record"),
    "one long line": (lambda content: b"x" * (17 << 20), "line 1, byte 0: a line longer than any record"),
}


@pytest.mark.parametrize("name", TRAVELLED)
def test_d05_what_befalls_files_that_travel_is_recognized_and_nothing_is_cut(name: str, bench: Bench) -> None:
    change, expected = TRAVELLED[name]
    changed = change(bench.run.journal.read_bytes())
    bench.run.journal.write_bytes(changed)

    assert damage_of(bench.run).startswith(f"journal.jsonl: {expected}; nothing before it is lost")
    with pytest.raises(RunDamagedError):
        bench.search()

    assert bench.run.journal.read_bytes() == changed


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.torture), 3])
def test_d06_a_flipped_byte_in_weights_is_found_before_anybody_reads_them(step: int, bench: Bench) -> None:
    trial = summarize(bench.run).best
    assert trial is not None
    path = bench.run.verified(trial.file("weights.npz"))
    content = path.read_bytes()

    for place in range(0, len(content), step):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(RunDamagedError) as caught:
            bench.run.verified(trial.file("weights.npz"))
    assert str(caught.value) == (f"{path}: its SHA-256 is not what the journal recorded; it was altered or damaged")


def test_d07_missing_and_swapped_weights_are_named_and_the_ranking_still_shown(bench: Bench, nursery: Nursery) -> None:
    first, second = (bench.run.trial(number) / "weights.npz" for number in (0, 1))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.unlink()
    write_experiment(bench.folder)

    code, output = nursery.hptune(["report", "x"], bench.folder)
    assert code == 0
    assert "5 of 5 trials completed" in output
    assert first.read_bytes() != kept

    repaired = repair(str(bench.run.path))
    assert repaired.folder is not None
    assert "trials/0000/weights.npz: not what was recorded; trial 0: it is trained again" in repaired.lost


def test_d08_d09_a_changed_experiment_or_table_is_refused_with_the_difference(bench: Bench, nursery: Nursery) -> None:
    config = bench.folder / "x.yaml"
    config.write_text(config.read_text().replace("seed: 3", "seed: 4"))

    with unchanged(bench.run.path):
        code, output = nursery.hptune(["search", "x.yaml"], bench.folder)
        assert (code, output) == (
            8,
            "error: run x began with another experiment or other data:\n"
            "  strategy.seed: was 3, now 4\n"
            "undo the change, begin another run with --run NAME, move this one aside with --fresh, or go on with "
            "--accept-changes and keep the trials that are still valid\n",
        )
        config.write_text(config.read_text().replace("seed: 4", "seed: 3"))
        (bench.folder / "table.csv").write_text((bench.folder / "table.csv").read_text().replace("6,a", "5,a"))
        code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 8
    assert "  table.csv: was 230 bytes with SHA-256 " in output


@pytest.mark.parametrize(
    ("versions", "writer"), [({"hptune": "7.1"}, "7.1"), ({}, "of another version"), (["7.1"], "of another version")]
)
def test_d10_a_journal_of_a_newer_version_names_it_and_is_left_alone(
    versions: object, writer: str, bench: Bench
) -> None:
    from hptune.run.journal import encode_journal

    header = dict(read_journal(bench.run.journal).records[0]) | {"format": 99, "versions": versions}
    bench.run.journal.write_bytes(encode_journal([header]))

    assert damage_of(bench.run) == (
        f"journal.jsonl: expected a journal of format 2 or older, got 99; it was written by hptune {writer}, "
        "use that version"
    )


FIXTURES = Path(__file__).parent / "journals"


@pytest.mark.parametrize("name", ["format1", "format2"])
def test_d11_journals_of_older_versions_are_read_with_the_ranks_they_had(name: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / name)
    run.path.mkdir()
    shutil.copyfile(FIXTURES / f"{name}.jsonl", run.journal)

    board = summarize(run).leaderboard.to_csv()

    assert board == (FIXTURES / f"{name}.csv").read_text()


def as_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("change", [as_folder, as_pipe, as_link])
@pytest.mark.parametrize("name", ["journal.jsonl", "best/metrics.json", "holder.json", "hptune.log"])
def test_d12_c15_what_is_no_plain_file_is_refused_and_nothing_hangs(
    name: str, change: Callable[[Path], None], bench: Bench, nursery: Nursery
) -> None:
    path = bench.run.path / name
    change(path)
    before = Path("/etc/hostname").read_bytes()

    reported, words = nursery.hptune(["report", "x"], bench.folder)
    listed, _ = nursery.hptune(["runs"], bench.folder)
    searched, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert listed == 0
    if name in ("journal.jsonl", "best/metrics.json"):
        assert reported == 6
        check_message(words, f"{path.relative_to(bench.folder)}: expected a regular file")
    if name in ("journal.jsonl", "best/metrics.json") or change is not as_folder:
        assert searched == 6
        check_message(output, f"{path.name}: expected a ")
    assert Path("/etc/hostname").read_bytes() == before


@pytest.mark.parametrize("name", ["journal.jsonl", "best/metrics.json"])
def test_d12_empty_files_are_no_results(name: str, bench: Bench, nursery: Nursery) -> None:
    (bench.run.path / name).write_bytes(b"")

    code, output = nursery.hptune(["report", "x"], bench.folder)

    assert code == (2 if name == "journal.jsonl" else 6)
    check_message(output)


@pytest.mark.parametrize("key", ["rows", "baselines", "validation", "trial"])
def test_d12_a_result_without_what_belongs_in_it_is_named(key: str, bench: Bench, nursery: Nursery) -> None:
    path = bench.run.best / "metrics.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))

    codes = {}
    for kind in ("terminal", "html"):
        words = ["--format", kind, "--output", str(bench.folder / "page.html")] if kind == "html" else []
        codes[kind], output = nursery.hptune(["report", "x", *words], bench.folder)
        assert "Traceback" not in output
        if codes[kind]:
            check_message(output, f"metrics.json: expected the JSON that hptune wrote, missing '{key}'")

    assert set(codes.values()) <= {0, 6}
    assert 6 in codes.values()


@pytest.mark.parametrize("folder", ["trials", "best", "trials/0001"])
def test_c15_links_that_lead_out_of_the_run_are_refused(folder: str, bench: Bench, nursery: Nursery, ram: Path) -> None:
    home = ram / "home"
    home.mkdir()
    (home / "0001").mkdir()
    (home / "letter").write_text("precious")
    shutil.rmtree(bench.run.path / folder)
    (bench.run.path / folder).symlink_to(home)

    with unchanged(home):
        code, output = nursery.hptune(["search", "x.yaml"], bench.folder)

    assert code == 6
    check_message(output, f"runs/x/{folder}: expected a file or folder of ours, got a link, a pipe or a device")


@pytest.mark.parametrize("kind", ["propose", "start", "end"])
def test_repair_keeps_everything_but_the_trial_whose_record_is_damaged(kind: str, bench: Bench) -> None:
    meant = results_of(bench.run)
    lines = bench.run.journal.read_bytes().splitlines(keepends=True)
    records = read_journal(bench.run.journal).records
    number = next(n for n, record in enumerate(records) if record["type"] == kind and record["trial"] == 2)
    lines[number] = lines[number].replace(b'"trial":2', b'"trial":9')
    bench.run.journal.write_bytes(b"".join(lines))
    before = snapshot(bench.folder)

    repaired = repair(str(bench.run.path))

    assert {name: before[name] for name in before} == {name: snapshot(bench.folder)[name] for name in before}
    assert repaired.folder == bench.run.path.with_name("x-repaired")
    gone = "2, 3, 4" if kind == "propose" else "2"
    offset = sum(map(len, lines[:number]))
    assert repaired.lost[0] == f"journal.jsonl: damaged at line {number + 1}, byte {offset}"
    assert repaired.trials == (2 if kind == "propose" else 4)
    if kind != "end":
        assert repaired.lost[1:] == (f"trials that had ended and will be trained again: {gone}",)
    again = Repaired(bench, repaired.folder)
    again.search()
    assert results_of(again.run) == meant
    check_clean(again.run)


class Repaired(Bench):
    """A bench whose run is the copy."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        super().__init__(bench.folder, bench.ground)
        object.__setattr__(self, "_run", RunFolder(folder))

    @property
    def run(self) -> RunFolder:
        run: RunFolder = self.__dict__["_run"]
        return run


@pytest.mark.parametrize("strategy", ["bayesian", "hyperband"])
def test_repair_ends_history_at_the_damage_where_proposals_depend_on_results(strategy: str, ram: Path) -> None:
    bench = make_bench(ram / "x", strategy)
    bench.search()
    meant = results_of(bench.run)
    lines = bench.run.journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"scratched\n"
    bench.run.journal.write_bytes(b"".join(lines))

    repaired = repair(str(bench.run.path))

    assert repaired.folder is not None
    assert len(read_journal(RunFolder(repaired.folder).journal).records) == len(lines) // 2 + 1
    again = Repaired(bench, repaired.folder)
    again.search()
    assert results_of(again.run) == meant


def test_repair_of_a_whole_run_copies_nothing_and_of_a_lost_header_cannot(bench: Bench, nursery: Nursery) -> None:
    assert nursery.hptune(["repair", "x"], bench.folder) == (0, "nothing is damaged; 5 trials have ended\n")
    bench.run.journal.write_bytes(b"x" + bench.run.journal.read_bytes())

    code, output = nursery.hptune(["repair", "x"], bench.folder)

    assert code == 6
    check_message(output, "nothing to copy: its first record, which says what the run is, is damaged")
    assert sorted(path.name for path in bench.run.path.parent.iterdir()) == ["x"]


def test_repair_tells_what_to_do_next_and_for_a_machine_as_json(bench: Bench, nursery: Nursery) -> None:
    with bench.run.journal.open("ab") as stream:
        stream.write(b"scratched\n")

    code, output = nursery.hptune(["repair", "x", "--json"], bench.folder)
    again, words = nursery.hptune(["repair", "x"], bench.folder)

    document = json.loads(output)
    assert (code, again) == (0, 0)
    assert (document["schema"], document["trials"], len(document["lost"])) == (1, 5, 1)
    assert words.splitlines()[0].endswith("runs/x-repaired-2: 5 trials that have ended; lost:")
    assert words.splitlines()[-1] == "go on with: hptune search CONFIG --run x-repaired-2"
    assert nursery.hptune(["search", "x.yaml", "--run", "x-repaired-2"], bench.folder)[0] == 0


def test_runs_tells_damaged_interrupted_and_finished_runs_apart(bench: Bench, nursery: Nursery) -> None:
    runs = bench.run.path.parent
    for name in ("damaged", "interrupted", "killed", "empty"):
        shutil.copytree(bench.run.path, runs / name)
    lines = bench.run.journal.read_bytes().splitlines(keepends=True)
    (runs / "damaged" / "journal.jsonl").write_bytes(b"".join([*lines[:4], *lines[5:]]))
    (runs / "killed" / "journal.jsonl").write_bytes(b"".join(lines[:8]))
    (runs / "empty" / "journal.jsonl").write_bytes(b"")
    from hptune.run.journal import encode_journal

    records = [*read_journal(bench.run.journal).records[:7], {"type": "stop", "reason": "interrupted", "active": 1.0}]
    (runs / "interrupted" / "journal.jsonl").write_bytes(encode_journal(records))

    code, output = nursery.hptune(["runs", "--json"], bench.folder)

    states = {line["name"]: line["state"] for line in json.loads(output)["runs"]}
    assert code == 0
    assert states == {
        "x": "finished",
        "damaged": "damaged",
        "interrupted": "interrupted",
        "killed": "killed",
        "empty": "empty",
    }


def test_d13_a_reader_of_random_bytes_gives_only_errors_for_the_user(bench: Bench) -> None:
    chance = random.Random(13)
    content = bench.run.journal.read_bytes()

    for _ in range(300):
        made = bytearray(content)
        for _ in range(chance.randrange(1, 6)):
            place, length = chance.randrange(len(made)), chance.randrange(1, 40)
            made[place : place + length] = chance.randbytes(chance.randrange(0, 40))
        bench.run.journal.write_bytes(made)
        try:
            replay(read_journal(bench.run.journal).records)
        except (RunDamagedError, StorageError):
            continue


# An hour, as the design has it: HPTUNE_FUZZING_S=3600.
FUZZING_S = float(os.environ.get("HPTUNE_FUZZING_S", "60"))


@pytest.mark.torture
def test_d13_records_whose_checksums_are_right_and_whose_fields_are_not(bench: Bench) -> None:
    from hptune.run.journal import encode_journal

    chance = random.Random(14)
    records = [dict(record) for record in read_journal(bench.run.journal).records]
    values = [None, True, -1, 1e308, "", "../x", [], {}, [[]], {"a": 1}, "x" * 999]

    until = time.monotonic() + FUZZING_S
    while time.monotonic() < until:
        made = [dict(record) for record in records]
        for _ in range(chance.randrange(1, 4)):
            record = made[chance.randrange(len(made))]
            name = chance.choice([name for name in record if name not in ("seq", "prev", "crc")])
            record[name] = chance.choice(values)
            if chance.random() < 0.2:
                del record[name]
        bench.run.journal.write_bytes(encode_journal(made))
        try:
            summarize(bench.run)
        except RunDamagedError:
            continue
