"""Patterns: what `await_message` and the test kit match with."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.protocol.matching import ANY, matches, require_text_pattern


class Markup(str):
    __slots__ = ()


class Equal:
    """Is equal to everything."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (ANY, None),
        (ANY, {"a": 1}),
        (1, 1),
        ("a", "a"),
        (None, None),
        (b"a", b"a"),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ({"a": ANY}, {"a": None}),
        ([], []),
        ([1, ANY, {"a": 1}], [1, 2, {"a": 1, "b": 2}]),
        ((1, 2), (1, 2)),
        (re.compile("room:.*"), "room:1"),
        (re.compile(b"a+"), b"aaa"),
        ({"a": re.compile(r"\d+")}, {"a": "12"}),
        (lambda value: value > 1, 2),
        ([str.isdigit], ["1"]),
        (lambda value: "truthy", 1),
    ],
)
def test_what_matches(pattern: Any, value: Any) -> None:
    assert matches(pattern, value) is True


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (1, 2),
        ("a", "A"),
        (None, False),
        ({}, []),
        ({}, None),
        ({"a": 1}, {}),
        ({"a": None}, {}),
        ({"a": ANY}, {"b": 1}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
        ({"a": 1}, [("a", 1)]),
        ([], [1]),
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ([1], (1,)),
        ([1], 1),
        ((1,), [1]),
        # In full, and only text.
        (re.compile("room"), "room:1"),
        (re.compile("oom"), "room"),
        (re.compile("1"), 1),
        (re.compile("a"), b"a"),
        (re.compile(b"a"), "a"),
        (lambda value: False, 1),
        (lambda value: None, 1),
    ],
)
def test_what_does_not_match(pattern: Any, value: Any) -> None:
    assert matches(pattern, value) is False


@given(JSON)
def test_every_value_matches_itself_and_anything(value: Any) -> None:
    assert matches(value, copy.deepcopy(value))
    assert matches(ANY, value)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_a_dict_matches_what_has_more(part: dict[str, Any], more: dict[str, Any]) -> None:
    assert matches(part, {**more, **part})
    assert matches(dict.fromkeys(part, ANY), {**more, **part})
    missing = {key: ANY for key in more if key not in part}
    assert matches(missing, part) is not bool(missing)


@given(JSON, JSON)
def test_matching_raises_nothing(pattern: Any, value: Any) -> None:
    if matches(pattern, value) and not isinstance(pattern, dict | list):
        assert pattern == value


def test_an_error_of_a_predicate_is_the_caller_s() -> None:
    with pytest.raises(KeyError):
        matches(lambda value: value["missing"], {})


def test_anything_is_shown_by_its_name() -> None:
    assert repr({"a": ANY}) == "{'a': ANY}"


@pytest.mark.parametrize("pattern", [ANY, "a", re.compile("a"), str.islower, Markup("a"), Equal()])
def test_what_a_text_may_match(pattern: Any) -> None:
    require_text_pattern("event", pattern)
    assert matches(pattern, "a")


@pytest.mark.parametrize(
    "pattern", [{"a": 1}, ["a"], ("a",), {"a"}, b"a", re.compile(b"a"), None, 1, 1.5]
)
def test_what_no_text_matches(pattern: Any) -> None:
    assert not matches(pattern, "a")
    with pytest.raises(TypeError, match=r"^event must be a .*for a text, not "):
        require_text_pattern("event", pattern)
