"""What a failure shows of requests, patterns and values."""

from __future__ import annotations

import functools
import re

import pytest

from slipstream_actor import Ref
from slipstream_actor.testing.kit.expectations import Expectation, differences
from slipstream_actor.testing.kit.formatting import MOST_CHARACTERS, cut, describe, shown
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
)


def test_predicates_without_a_name() -> None:
    predicate = functools.partial(isinstance, 1)
    assert shown(predicate) == repr(predicate)


def test_requests_are_told_in_a_line_each() -> None:
    ref = Ref("1", "rooms:lobby", "2")
    assert describe(JoinRequest(None, "t", {"a": 1}, "1")) == ["join 't' {'a': 1}"]
    assert describe(LeaveRequest(None, "t", "1")) == ["leave 't'"]
    assert describe(PushRequest(None, "t", "e", b"x", ref)) == ["push 't' 'e' b'x'"]
    assert describe(DisconnectRequest(None)) == ["disconnect"]


def test_long_ones_are_laid_out() -> None:
    ref = Ref("1", "rooms:lobby", "2")
    payload = {"z": "x" * 60, "a": "y" * 40}
    lines = ["    {'z': '" + "x" * 60 + "',", "     'a': '" + "y" * 40 + "'}"]
    assert describe(PushRequest(None, "t", "e", payload, ref)) == ["push 't' 'e'", *lines]
    assert describe(JoinRequest(None, "t", payload, "1")) == ["join 't'", *lines]
    assert describe(LeaveRequest(None, "t" * 100, "1")) == [f"leave '{'t' * 100}'"]


def test_long_texts_lose_their_middle() -> None:
    text = "a" * (MOST_CHARACTERS // 2) + "b" * 7 + "c" * (MOST_CHARACTERS // 2)
    start, end = text[: MOST_CHARACTERS // 2], text[-MOST_CHARACTERS // 2 :]
    assert cut(text) == f"{start} … 7 characters … {end}"
    assert cut("a" * MOST_CHARACTERS) == "a" * MOST_CHARACTERS


LONG = "x" * 100_000
REF = Ref("1", "rooms:lobby", "2")


@pytest.mark.parametrize(
    "lines",
    [
        list(differences(1, LONG, "it")),
        list(differences([1], [LONG, LONG], "it")),
        list(differences({"a": LONG}, {}, "it")),
        list(differences(LONG, 1, "it")),
        list(differences(re.compile(LONG), 1, "it")),
        Expectation("push", PushRequest, {"payload": {"a": LONG}}).lines(),
        describe(PushRequest(None, "t", "e", {"a": LONG}, REF)),
        describe(PushRequest(None, "t", "e", {str(n): n for n in range(10_000)}, REF)),
        describe(PushRequest(None, LONG, LONG, {}, REF)),
        describe(LeaveRequest(None, LONG, "1")),
    ],
)
def test_no_value_is_shown_in_full(lines: list[str]) -> None:
    assert len("\n".join(lines)) < 2 * MOST_CHARACTERS
    assert any(" characters … " in line for line in lines)
