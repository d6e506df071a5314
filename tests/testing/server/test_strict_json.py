"""JSON as Elixir has it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.testing.server import strict_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"dup":1,"dup":2,"b":3}', {"dup": 1, "b": 3}),
        ("12345678901234567890123", 12345678901234567890123),
        ("1e2", 100.0),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud83d"', "\\ud83d"),
        (' [1 , "a"] ', [1, "a"]),
    ],
)
def test_decode(text: str, value: Any) -> None:
    decoded = strict_json.decode(text)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "ping", "{", "1e400", "-1e400", "NaN", "Infinity", "-Infinity", '"\\ud83d"',
        '"\\uDE00"', '{"\\ud83d":1}', '["\\ud83d\\ud83d"]', "01", "'a'", '"\t"', "[1,]", "[1] 2",
        pytest.param("[" * 100_000 + "]" * 100_000, id="deep"),
    ],
)  # fmt: skip
def test_what_phoenix_does_not_take(text: str) -> None:
    with pytest.raises(ValueError):
        strict_json.decode(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"é": "\u2028/\x7f"}, '{"é":"\u2028/\x7f"}'),
        ("\x01\n", '"\\u0001\\n"'),
        (100.0, "100.0"),
        ([1, None, True], "[1,null,true]"),
    ],
)
def test_encode(value: Any, text: str) -> None:
    assert strict_json.encode(value) == text


@pytest.mark.parametrize("value", [object(), math.nan, math.inf, b"", {1, 2}])
def test_what_is_no_json(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        strict_json.encode(value)


@given(VALUES)
def test_what_is_written_can_be_read(value: Any) -> None:
    text = strict_json.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert strict_json.decode(text) == value
    assert json.loads(text) == value
