"""How the kit tells what is not as expected."""

from __future__ import annotations

import re
from typing import Any

import pytest

from slipstream_actor import ANY
from slipstream_actor.testing.kit.expectations import differences


def is_even(number: Any) -> bool:
    return bool(number % 2 == 0)


DIFFERENCES: list[tuple[Any, Any, list[str]]] = [
    (ANY, 1, []),
    (1, 1, []),
    (1, 2, ["it: expected 1, got 2"]),
    ({"a": 1}, {"a": 1, "b": 2}, []),
    ({"a": 1}, [], ["it: expected {'a': 1}, got []"]),
    ({"a": 1}, {"b": 3}, ["it['a']: expected 1, and it is missing"]),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["it['b']: expected 2, got 3"]),
    ([1, {"a": 1}], [2, {"a": 2}], ["it[0]: expected 1, got 2", "it[1]['a']: expected 1, got 2"]),
    ([1], [1, 2], ["it: expected 1 items, got 2: [1, 2]"]),
    ([1], "1", ["it: expected [1], got '1'"]),
    (re.compile("a+"), "b", ["it: expected 'a+' (a pattern), got 'b'"]),
    (is_even, 1, ["it: expected is_even (a predicate), got 1"]),
    (is_even, "1", [
        "it: expected is_even (a predicate), got '1', which raised"
        " TypeError('not all arguments converted during string formatting')"
    ]),
    ({"a": is_even}, {"a": 1}, ["it['a']: expected is_even (a predicate), got 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "value", "lines"), DIFFERENCES)
def test_each_place_is_named(pattern: Any, value: Any, lines: list[str]) -> None:
    assert list(differences(pattern, value, "it")) == lines
