"""What calls refuse, and how they say so."""

from __future__ import annotations

import decimal
import fractions
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    ClientActor,
    Next,
    Ref,
    Stop,
    call,
    get_state,
    new_socket,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.configuration.arguments import require_delay, require_seconds, require_text


@functools.cache
def ended() -> Any:
    """Return the ref of a client that has ended."""
    ref = ClientActor.start()
    ref.stop()
    return ref


TAKES_SECONDS: dict[str, Callable[[Any], Any]] = {
    "await_connect": lambda value: new_socket().await_connect(timeout=value),
    "await_disconnect": lambda value: new_socket().await_disconnect(timeout=value),
    "await_join": lambda value: new_socket().join("t").await_join("t", timeout=value),
    "await_leave": lambda value: new_socket().await_leave("t", timeout=value),
    "await_reply": lambda value: new_socket().await_reply(Ref("1", "t", "1"), timeout=value),
    "ping": lambda value: new_socket().ping(timeout=value),
    "await_message": lambda value: new_socket().await_message(timeout=value),
    "call": lambda value: call("nobody", "hello", timeout=value),
    "wait": lambda value: wait("nobody", timeout=value),
    "get_state": lambda value: get_state("nobody", timeout=value),
    "a future": lambda value: Future().get(timeout=value),
    "ask": lambda value: ended().ask("hello", timeout=value),
    "stop": lambda value: ended().stop(timeout=value),
    "wait_until_joined": lambda value: wait_until_joined("nobody", "t", timeout=value),
}


@pytest.mark.parametrize("value", ["1", b"1", True, [1], object(), decimal.Decimal(1)])
@pytest.mark.parametrize("method", TAKES_SECONDS)
def test_a_timeout_that_is_no_number(method: str, value: Any) -> None:
    text = f"^timeout must be seconds or None, not {type(value).__name__}$"
    with pytest.raises(TypeError, match=text):
        TAKES_SECONDS[method](value)


@pytest.mark.parametrize("value", [math.nan, -math.nan])
@pytest.mark.parametrize("method", TAKES_SECONDS)
def test_a_timeout_of_nan(method: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be seconds or None, not NaN$"):
        TAKES_SECONDS[method](value)


@pytest.mark.parametrize("value", [None, 0, 5, -1, 0.5, -math.inf, fractions.Fraction(1, 3)])
def test_seconds(value: Any) -> None:
    assert require_seconds("timeout", value) is value


@pytest.mark.parametrize("value", [math.inf, 10**400, 1e300, fractions.Fraction(10**30)])
def test_seconds_that_are_for_ever(value: Any) -> None:
    assert require_seconds("timeout", value) is None
    with pytest.raises(ValueError, match=r"^seconds must be seconds that come to an end$"):
        require_delay("seconds", value)


@pytest.mark.parametrize("value", [0, 5, -1, 0.5, fractions.Fraction(1, 3)])
def test_delay(value: Any) -> None:
    assert require_delay("seconds", value) is value


@pytest.mark.parametrize("value", [None, "1", True, object()])
def test_a_delay_that_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=f"^seconds must be seconds, not {type(value).__name__}$"):
        require_delay("seconds", value)


@pytest.mark.parametrize("value", [0, -1, -0.5, -math.inf])
def test_a_delay_that_has_to_be_more(value: float) -> None:
    with pytest.raises(ValueError, match=r"^interval must be more than 0 seconds, not"):
        require_delay("interval", value, more_than_none=True)


@pytest.mark.parametrize("more_than_none", [True, False])
def test_a_delay_of_nan(more_than_none: bool) -> None:
    with pytest.raises(ValueError, match=r"^seconds must be seconds, not NaN$"):
        require_delay("seconds", math.nan, more_than_none=more_than_none)


@pytest.mark.parametrize("value", ["5", True])
def test_a_push_with_a_send_timeout_that_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^send_timeout must be seconds or None, not (str|bool)$"):
        new_socket().push("t", "e", {}, value)


@pytest.mark.parametrize("value", ["yes", 1, 0])
def test_a_push_with_a_buffer_that_is_no_truth(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^buffer must be True, False or None, not a (str|int)$"):
        new_socket().push("t", "e", {}, buffer=value)


@pytest.mark.parametrize(("event", "method"), [("phx_join", "join"), ("phx_leave", "leave")])
def test_a_push_of_the_protocols_own_events(event: str, method: str) -> None:
    with pytest.raises(ValueError, match=f"^push: '{event}' is the protocol's own: use {method}$"):
        new_socket().push("t", event)


def test_text() -> None:
    assert require_text("topic", "t") == "t"
    with pytest.raises(TypeError, match=r"^topic must be a str, not bytes$"):
        require_text("topic", b"t")


# what a callback returns


@pytest.mark.parametrize("result", [Next, lambda **given: Answer(1, **given)])
def test_an_idle_timeout(result: Callable[..., Any]) -> None:
    name = type(result()).__name__
    with pytest.raises(ValueError, match=f"^{name}: timeout must be seconds or None, not NaN$"):
        result(timeout=math.nan)
    with pytest.raises(TypeError, match=f"^{name}: timeout must be seconds or None, not str$"):
        result(timeout="1")
    assert result(timeout=math.inf) == result() == result(timeout=None)
    assert result(timeout=-1).timeout == -1


@pytest.mark.parametrize(
    "result", [Next, lambda **given: Answer(1, **given), lambda **g: Stop(1, **g)]
)
@pytest.mark.parametrize("socket", ["socket", 1, {}, ClientActor])
def test_the_socket_of_a_result(result: Callable[..., Any], socket: Any) -> None:
    with pytest.raises(TypeError, match="socket must be a Socket or None, not"):
        result(socket=socket)


# topics

TAKES_A_TOPIC: dict[str, Callable[[Any], Any]] = {
    "join": lambda topic: new_socket().join(topic),
    "rejoin": lambda topic: new_socket().rejoin(topic),
    "leave": lambda topic: new_socket().leave(topic),
    "push": lambda topic: new_socket().push(topic, "event"),
    "joined": lambda topic: new_socket().joined(topic),
    "join_status": lambda topic: new_socket().join_status(topic),
    "presences": lambda topic: new_socket().presences(topic),
    "await_join": lambda topic: new_socket().await_join(topic),
    "await_leave": lambda topic: new_socket().await_leave(topic),
    "wait_until_joined": lambda topic: wait_until_joined("nobody", topic),
}


@pytest.mark.parametrize("topic", [["t"], None, 1, b"t", {}, object(), ("t",)])
@pytest.mark.parametrize("method", TAKES_A_TOPIC)
def test_a_topic_that_is_no_text(method: str, topic: Any) -> None:
    with pytest.raises(TypeError, match=f"^topic must be a str, not {type(topic).__name__}$"):
        TAKES_A_TOPIC[method](topic)


@pytest.mark.parametrize("ref", [None, 1, ["1"], b"1"])
def test_a_ref_that_is_no_text(ref: Any) -> None:
    with pytest.raises(TypeError, match=r"^ref must be a str, not"):
        new_socket().await_reply(ref)
