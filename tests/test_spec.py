"""What a user may write, what it means, and what is said where it is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.errors import ExperimentError
from hptune.space import Choice, Condition, Float, Int, identity
from hptune.spec import LoadedExperiment, load_experiment
from hptune.spec.reader import read_plain
from hptune.spec.settings import ACTIVATIONS, SETTINGS

ROOT = Path(__file__).parent.parent
BASE = """\
name: churn
data: {source: churn.csv, target: churned}
objective: {metric: accuracy, direction: max}
strategy: {name: random}
budget: {max_trials: 9}
"""


def golden() -> dict[str, tuple[str, str]]:
    """Read experiments and the errors they must give: each `=== name`, YAML, `--- error`, message."""
    cases = {}
    for section in (ROOT / "tests" / "golden" / "spec_faults.txt").read_text().split("=== ")[1:]:
        name, _, rest = section.partition("\n")
        written, _, error = rest.partition("\n--- error\n")
        cases[name] = (written + "\n", error.rstrip("\n"))
    return cases


GOLDEN = golden()


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str | bytes, *overrides: str) -> LoadedExperiment:
    Path("x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_experiment(Path("x.yaml"), overrides)


def error_of(text: str | bytes, *overrides: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        load(text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_fault_is_shown_at_its_place_with_the_cure(name: str) -> None:
    written, expected = GOLDEN[name]

    assert error_of(written) == expected


def test_the_golden_file_holds_what_was_meant_to_be_tested() -> None:
    assert len(GOLDEN) >= 50
    assert all("x.yaml:" in error for _, error in GOLDEN.values())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.0e3", 1e3),
        (".5", 0.5),
        ("+3", 3),
        ("-0", 0),
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1:30:00", "1:30:00"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x", "0x"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_are_read_by_yaml_1_2(text: str, value: Any) -> None:
    read, cure = read_plain(text)

    assert identity(read) == identity(value)
    assert cure == ""


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("012", "12"), ("-09", "-9"), ("1_000", "1000"), ("0o17", "15"), ("0xFF", "255"), ("0b11", "3")],
)
def test_numbers_that_readers_disagree_on_are_refused_with_the_decimal(text: str, decimal: str) -> None:
    _, cure = read_plain(text)

    assert f"write {decimal}" in cure


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17))
def test_every_number_that_python_writes_is_read_back(number: float) -> None:
    assert read_plain(repr(number)) == (number, "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[" * 100_000, "x.yaml:1:51: expected at most 50 levels, got more"),
        (b"a: \0b\n", "x.yaml:1:4: expected text, got the character U+0000"),
        (b"name: \xe9\n", "x.yaml:1:7: expected UTF-8, got byte 0xe9"),
        ("name: x".encode("utf-16"), "x.yaml:1:1: expected UTF-8, got UTF-16; save the file as UTF-8"),
        (b"a" * (1 << 20) + b"b", "x.yaml: expected at most 1048576 bytes, got more; an experiment is small"),
        (b"", "x.yaml:1:1: expected keys such as data, objective and strategy, got nothing"),
        (b"a: &a [*a]\n", "x.yaml:1:8: alias *a stands before its anchor is complete, or has none"),
    ],
)
def test_files_that_are_made_to_break_readers_are_refused(content: bytes, expected: str) -> None:
    assert error_of(content).splitlines()[0] == expected


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x]"]
    for level in range(1, 9):
        copies = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{copies}]")

    assert "expected at most 100000 values with aliases counted, got more" in error_of("\n".join(lines))


def test_a_hundred_aliases_are_enough() -> None:
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 101) + "]\n"

    assert "expected at most 100 aliases, got more" in error_of(text)


def test_a_long_number_is_refused_without_being_computed() -> None:
    assert "expected a number of at most 18 digits, got one of 5000" in error_of(
        BASE + f"model: {{units: {'9' * 5000}}}\n"
    )


def test_folders_pipes_and_missing_files_are_named() -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")

    for name, words in {"folder": "expected a file", "pipe": "expected a file", "gone": "no such file"}.items():
        with pytest.raises(ExperimentError, match=f"^{name}: {words}"):
            load_experiment(Path(name))


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    assert load(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode()).experiment == load(BASE).experiment


def test_the_forms_of_a_dimension() -> None:
    space = load(
        BASE
        + """
model:
  blocks: {min: 1, max: 3}
  units: {values: [32, 64], per_block: true}
  residual: {values: [true, false], when: {model.blocks: {min: 2}}}
  dropout: {min: 0.0, max: 0.5, step: 0.1}
training:
  clip_norm: [null, 1]
  learning_rate: {min: 1e-4, max: 1e-1, log: true}
  epochs: 7
"""
    ).experiment.space()

    exists = [Condition("model.blocks", min=number) for number in (1, 2, 3)]
    assert space.dimensions == (
        Int("model.blocks", 1, 3),
        Choice("model.units.1", (32, 64), (exists[0],)),
        Choice("model.units.2", (32, 64), (exists[1],)),
        Choice("model.units.3", (32, 64), (exists[2],)),
        Choice("model.residual", (True, False), (exists[1],)),
        Float("model.dropout", 0.0, 0.5, 0.1),
        Float("training.learning_rate", 1e-4, 1e-1, log=True),
        Choice("training.clip_norm", (None, 1.0)),
    )
    assert space.constants["training.epochs"] == 7
    assert "model.units" not in space.constants
    assert space.defaults["model.units"] == 128


@pytest.mark.parametrize(
    "written",
    [
        "{lower: 1e-4, upper: 1e-1, log: true}",
        "{low: 1e-4, high: 1e-1, log: true}",
        "{minval: 1e-4, maxval: 1e-1, log: true}",
        "{min_value: 1e-4, max_value: 1e-1, sampling: log}",
        "{min: 1e-4, max: 1e-1, distribution: log_uniform_values}",
        "{min: 1e-4, max: 1e-1, log: true, type: float}",
    ],
)
def test_other_tools_words_are_taken(written: str) -> None:
    ours = load(BASE + "training: {learning_rate: {min: 1e-4, max: 1e-1, log: true}}\n").experiment

    assert load(BASE + f"training: {{learning_rate: {written}}}\n").experiment == ours


def test_other_tools_choices_metrics_and_directions_are_taken() -> None:
    theirs = BASE.replace("accuracy, direction: max", "val_accuracy, direction: maximize")

    assert load(theirs + "model: {units: {choices: [1, 2, 3]}}\n").experiment == (
        load(BASE + "model: {units: [1, 2, 3]}\n").experiment
    )


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_canonical_form_reads_back_as_the_same_experiment(path: Path) -> None:
    experiment = load_experiment(path).experiment

    canonical = experiment.to_yaml()

    assert load(canonical).experiment == experiment
    # Readers of YAML 1.1 read the same values.
    assert yaml.safe_load(canonical) == experiment.canonical()


def a_value(key: str) -> st.SearchStrategy[Any]:
    """Draw values that a setting takes."""
    setting = SETTINGS[key]
    match setting.kind:
        case "bool":
            return st.booleans()
        case "word":
            return st.sampled_from(setting.words)
        case "int" | "embedding":
            return st.integers(max(int(setting.min), -100), int(min(setting.max, 100)))
        case "early_stopping":
            return st.none() | st.fixed_dictionaries({"patience": st.integers(1, 99)})
        case "class_weight":
            return st.sampled_from(["none", "balanced"])
    return st.floats(0.001, 0.999)


@pytest.mark.parametrize("key", SETTINGS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_every_setting_is_read(key: str, data: st.DataObject) -> None:
    value = data.draw(a_value(key))
    enabling = "training.optimizer=sgd" if SETTINGS[key].needs else "data.preparation.categorical=embedding"
    text = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("...").strip()
    if isinstance(value, float):
        text = repr(value)
    overrides = [enabling, f"{key}={text}"] if key != "data.preparation.categorical" else [f"{key}={text}"]

    space = load(BASE, *overrides).experiment.space()

    expected = {**value, "min_delta": 0.0} if isinstance(value, dict) else value
    assert space.constants[key] == expected


@pytest.mark.parametrize("key", [key for key, setting in SETTINGS.items() if not setting.constant])
def test_every_setting_that_may_vary_becomes_a_dimension(key: str) -> None:
    written = {
        "bool": "[true, false]",
        "embedding": "[auto, 3]",
        "class_weight": "[none, balanced]",
        "word": f"[{', '.join(SETTINGS[key].words[:2])}]",
        "int": "{min: 1, max: 3}",
        "float": "{min: 0.1, max: 0.5}",
    }[SETTINGS[key].kind]
    overrides = [f"{key}={written}"]
    if SETTINGS[key].needs:
        overrides.insert(0, "training.optimizer=sgd")
    if key == "model.embedding":
        overrides.insert(0, "data.preparation.categorical=embedding")

    space = load(BASE, *overrides).experiment.space()

    assert [dimension.name for dimension in space.dimensions] == [key]
    assert key not in space.constants


def test_parents_stand_before_those_that_depend_on_them() -> None:
    space = load(
        BASE
        + "model: {activation: {values: [relu, gelu], when: {training.optimizer: sgd}}}\n"
        + "training: {optimizer: {values: [sgd, adam], when: {training.epochs: [5]}}, epochs: [5, 6]}\n"
    ).experiment.space()

    names = [dimension.name for dimension in space.dimensions]
    assert names == ["training.epochs", "training.optimizer", "model.activation"]


def test_a_list_of_two_numbers_is_told_apart_from_a_range() -> None:
    notes = load(BASE + "model: {units: [32, 256]}\n").notes

    assert notes == ("model.units: [32, 256] chooses one of the two; a range is written {min: 32, max: 256}",)


def test_blocks_may_have_constants_of_their_own() -> None:
    space = load(BASE + "model: {blocks: 2, units: {per_block: [64, 32]}}\n").experiment.space()

    assert space.resolve({})["model.units.1"] == 64
    assert space.resolve({})["model.units.2"] == 32
    message = error_of(BASE + "model: {blocks: 3, units: {per_block: [64, 32]}}\n")
    assert "model.units.per_block: expected a value for each of 3 blocks, got 2" in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.dropout=abc", '--set:1:15: model.dropout: expected a number from 0 to below 1, got "abc"'),
        ("model.droput=0.1", "--set:1:1: model.droput: unknown key; did you mean dropout?"),
        ("nonsense", '--set:1:1: expected KEY=VALUE such as model.dropout=0.2, got "nonsense"'),
        ("model.units=012", '--set:1:13: 012 is 10 in some readers of YAML; write 12, or "012" for text'),
        ("strategy.seed=[", "--set:1:16: not YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_overrides_are_located_like_the_file(override: str, expected: str) -> None:
    assert error_of(BASE, override).splitlines()[0] == expected


def test_overrides_replace_parts_and_hide_no_other_fault() -> None:
    assert load(BASE, "model.units=[1, 2, 3]", "budget.max_trials=2").experiment.budget.max_trials == 2
    message = error_of(BASE + "model: {droput: 1, units: 3}\n", "model.units=0")
    assert "x.yaml:6:9: model.droput: unknown key" in message
    assert "--set:1:13: model.units: expected a whole number from 1 to 65536, got 0" in message


def test_a_fault_that_only_the_data_shows_is_located_too() -> None:
    fault = load(BASE).fault("objective.metric", "expected another")

    assert str(fault).splitlines()[0] == "x.yaml:3:21: objective.metric: expected another"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_written_ends_in_an_error_for_the_user(text: str) -> None:
    error_of(BASE + text + "\n: :")


@pytest.mark.tensorflow
def test_the_activations_are_those_of_keras() -> None:
    import keras

    known = {
        name
        for name in dir(keras.activations)
        if name.islower()
        and callable(getattr(keras.activations, name))
        and name not in {"get", "serialize", "deserialize"}
    }

    # glu halves the width, so a block would not have the width that was asked for; threshold needs arguments.
    assert set(ACTIVATIONS) == known - {"glu", "threshold"}
