"""No case of the torture list is forgotten, and no test that it names is gone."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from register import CASES

TESTS = Path(__file__).parent.parent
# As many as the design has in each group.
COUNTS = {"A": 20, "B": 11, "C": 15, "D": 13, "E": 11, "F": 14, "G": 16, "H": 13, "I": 8}


@cache
def functions_of(file: str) -> dict[str, set[str]]:
    """The tests of a file with the markers that they carry."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {
        node.name: {ast.unparse(decorator) for decorator in node.decorator_list}
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_case_of_the_design_is_in_the_register() -> None:
    expected = [f"{group}{number:02d}" for group, count in COUNTS.items() for number in range(1, count + 1)]

    assert list(CASES) == expected
    assert len(CASES) == 121


@pytest.mark.parametrize("identifier", CASES)
def test_every_case_has_a_test_that_is_there_or_a_reason(identifier: str) -> None:
    case = CASES[identifier]

    assert case.tests or case.reason
    for test in case.tests:
        file, _, name = test.partition("::")
        assert name in functions_of(file), f"{identifier}: {test} is gone"


def test_the_promises_name_cases_that_are_held() -> None:
    text = (TESTS.parent / "README.md").read_text(encoding="utf-8")
    promises = text[text.index("## What it promises") : text.index("The numbers name ways")]
    sentences = re.split(r"^\d\. ", promises, flags=re.MULTILINE)[1:]

    assert len(sentences) == 5
    for sentence in sentences:
        named = re.findall(r"[A-I]\d\d", sentence)
        assert named
        assert all(CASES[identifier].tests for identifier in named)


@pytest.mark.parametrize("identifier", [identifier for identifier, case in CASES.items() if case.tier == "P"])
def test_cases_of_tier_p_do_not_wait_for_make_torture(identifier: str) -> None:
    tests = [test.partition("::") for test in CASES[identifier].tests]

    assert any("pytest.mark.torture" not in functions_of(file)[name] for file, _, name in tests)


@pytest.mark.parametrize("path", sorted(TESTS.glob("torture/test_*.py")), ids=lambda path: path.stem)
def test_every_test_that_is_named_after_a_case_is_in_the_register(path: Path) -> None:
    held = {test for case in CASES.values() for test in case.tests}

    for name in functions_of(f"torture/{path.name}"):
        named = name.split("_")[1]
        if named.upper() in CASES:
            assert f"torture/{path.name}::{name}" in held
