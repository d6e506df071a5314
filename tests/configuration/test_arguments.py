"""What calls refuse, and how they say so."""

from __future__ import annotations

import decimal
import fractions
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import Ref, call, new_socket, wait, wait_until_joined
from slipstream_actor.configuration.arguments import require_seconds, require_text

TAKES_SECONDS: dict[str, Callable[[Any], Any]] = {
    "await_connect": lambda value: new_socket().await_connect(timeout=value),
    "await_reply": lambda value: new_socket().await_reply(Ref("1", "t", "1"), timeout=value),
    "await_message": lambda value: new_socket().await_message(timeout=value),
    "call": lambda value: call("nobody", "hello", timeout=value),
    "wait": lambda value: wait("nobody", timeout=value),
    "wait_until_joined": lambda value: wait_until_joined("nobody", "t", timeout=value),
}


@pytest.mark.parametrize("value", ["1", b"1", True, [1], object(), decimal.Decimal(1)])
@pytest.mark.parametrize("method", TAKES_SECONDS)
def test_a_timeout_that_is_no_number(method: str, value: Any) -> None:
    text = f"^timeout must be seconds or None, not {type(value).__name__}$"
    with pytest.raises(TypeError, match=text):
        TAKES_SECONDS[method](value)


@pytest.mark.parametrize("value", [None, 0, 5, -1, 0.5, fractions.Fraction(1, 3)])
def test_seconds(value: Any) -> None:
    assert require_seconds("timeout", value) is value


@pytest.mark.parametrize("value", ["5", True])
def test_a_push_with_a_send_timeout_that_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^send_timeout must be seconds or None, not (str|bool)$"):
        new_socket().push("t", "e", {}, value)


@pytest.mark.parametrize("value", ["yes", 1, 0])
def test_a_push_with_a_buffer_that_is_no_truth(value: Any) -> None:
    with pytest.raises(TypeError, match=f"^buffer must be True, False or None, not {value!r}$"):
        new_socket().push("t", "e", {}, buffer=value)


@pytest.mark.parametrize(("event", "method"), [("phx_join", "join"), ("phx_leave", "leave")])
def test_a_push_of_the_protocols_own_events(event: str, method: str) -> None:
    with pytest.raises(ValueError, match=f"^push: '{event}' is the protocol's own: use {method}$"):
        new_socket().push("t", event)


def test_text() -> None:
    assert require_text("topic", "t") == "t"
    with pytest.raises(TypeError, match=r"^topic must be a str, not bytes$"):
        require_text("topic", b"t")
