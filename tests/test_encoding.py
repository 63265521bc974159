"""What a Gaussian process sees of configurations."""

from __future__ import annotations

import numpy as np
import pytest

from hptune.space import Choice, Condition, Float, Int, SearchSpace, Value
from hptune.strategies.encoding import Encoding

SPACE = SearchSpace(
    (
        Choice("units", (16, 32, 64, 128)),
        Choice("norm", ("none", "before", "after")),
        Float("rate", 1e-4, 1e-1, log=True),
        Int("blocks", 1, 4),
        Float("decay", 0.0, 1.0, when=(Condition("norm", ("after",)),)),
    )
)


def features(**values: Value) -> list[float]:
    encoding = Encoding(SPACE)
    given = {"units": 16, "norm": "none", "rate": 1e-4, "blocks": 1, **values}
    return [float(number) for number in encoding.features(encoding.positions([given]))[0]]


def test_a_range_and_a_list_of_rising_numbers_are_one_number_and_words_one_each() -> None:
    assert len(features()) == 1 + 3 + 1 + 1 + 1
    assert [features(units=units)[0] for units in (16, 32, 64, 128)] == [0.125, 0.375, 0.625, 0.875]
    assert features(norm="before")[1:4] == pytest.approx([0, np.sqrt(0.5), 0])


@pytest.mark.parametrize("values", [(32, 16, 64), (0, False, 1), (None, 1, 2), ("1", "2", "3")])
def test_what_does_not_rise_or_is_no_number_has_no_order(values: tuple[Value, ...]) -> None:
    encoding = Encoding(SearchSpace((Choice("x", values),)))

    seen = encoding.features(encoding.positions([{"x": value} for value in values]))

    assert seen == pytest.approx(np.sqrt(0.5) * np.eye(3))


def test_what_is_inactive_makes_no_difference() -> None:
    assert features(norm="none", decay=0.9) == features(norm="none")
    assert features(norm="after", decay=0.9) != features(norm="after", decay=0.1)
