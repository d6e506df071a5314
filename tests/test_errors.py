"""Every exception: it travels between processes, and shows what a server chose in bounds."""

from __future__ import annotations

import copy
import enum
import pickle
import threading
from collections import UserDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import slipstream_actor as errors
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.errors import SlipstreamError, shown, shown_reason
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByPeer,
    ConnectFailed,
    ConnectionCrashed,
    Disconnected,
    JoinRefused,
    JoinTimeout,
)
from slipstream_actor.socket.socket import Socket, new_socket

SECRET = "what-nobody-may-see"
CRASHED = "Disconnected(reason=ConnectionCrashed(error=KeyError))"
HEADERS = MappingProxyType({"retry-after": "7"})
REFUSED = ConnectFailed("upgrade", "refused", status=429, headers=HEADERS, body="slow down")


def a_socket() -> Socket:
    """A socket as it is: with what cannot be pickled."""
    config = Configuration.validate("ws://localhost/socket/websocket", {"params": dict})
    return Socket(threading.Lock(), channel_config=config, metadata=MappingProxyType({}))


EXAMPLES: list[Callable[[], SlipstreamError]] = [
    lambda: errors.AlreadyStartedError("name", threading.Lock()),
    lambda: errors.AwaitTimeoutError("the join of 'a'", 5.0, socket=a_socket(), hint="!"),
    lambda: errors.AwaitTimeoutError("an answer", None),
    lambda: errors.CallbackReturnError("init: not a socket"),
    lambda: errors.CancelledError("a request"),
    lambda: errors.ClientEndedError("shutdown"),
    lambda: errors.ConfigurationError("vsn", "must be '2.0.0'"),
    lambda: errors.ConnectFailedError(REFUSED, socket=a_socket()),
    lambda: errors.ForkedError("a client"),
    lambda: errors.JoinFailedError("a", JoinRefused({"reason": "no"}), socket=a_socket()),
    lambda: errors.JoinFailedError("a", Disconnected(REFUSED), socket=a_socket()),
    lambda: errors.NeverJoinedError("rejoin: 'a' was never joined"),
    lambda: errors.NotConfiguredError("reconnect"),
    lambda: errors.NotConnectedError("no", reason=Disconnected(REFUSED), socket=a_socket()),
    lambda: errors.NotJoinedError("no", reason=ChannelEnded(ChannelCrashed({}))),
    lambda: errors.NotOwnerError("await_join"),
    lambda: errors.ReplyError(Reply("error", {"a": [1]})),
    lambda: errors.SendBufferFullError("full"),
    lambda: errors.SerializerError("no JSON"),
    lambda: errors.SlipstreamError("a", 1),
    lambda: errors.StartError(JoinTimeout()),
    lambda: errors.StartIgnored(errors.ClientActor),
]


def test_the_examples_have_every_exception() -> None:
    ours = {
        name
        for name in errors.__all__
        if isinstance(error := getattr(errors, name), type) and issubclass(error, SlipstreamError)
    }
    assert {type(make()).__name__ for make in EXAMPLES} == ours


@pytest.mark.parametrize("make", EXAMPLES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_exception_travels(make: Callable[[], SlipstreamError], protocol: int) -> None:
    """To another process, say; without its socket, which is of use in its own process alone."""
    error = make()
    error.add_note("on the way")
    came = pickle.loads(pickle.dumps(error, protocol))
    assert type(came) is type(error)
    assert (str(came), came.args) == (str(error), error.args)
    assert came.__notes__ == ["on the way"]
    left = {"socket": None, "ref": None}
    assert vars(came) == {name: left.get(name, value) for name, value in vars(error).items()}


def test_a_reason_travels() -> None:
    assert pickle.loads(pickle.dumps(REFUSED)) == REFUSED
    assert copy.deepcopy(REFUSED) == REFUSED


class Own(errors.ReplyError):
    """One of a user's, with state of its own."""

    def __init__(self, reply: Reply, *, kept: Any, lost: Any) -> None:
        super().__init__(reply)
        self.kept, self.lost = kept, lost


def test_an_exception_of_a_users_travels() -> None:
    came = pickle.loads(pickle.dumps(Own(Reply("no"), kept=[1], lost=lambda: 1)))
    assert (came.status, came.kept, came.lost) == ("no", [1], None)


# what is shown


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 1_000_000, id="text"),
        pytest.param(b"x" * 1_000_000, id="bytes"),
        pytest.param(list(range(100_000)), id="list"),
        pytest.param({str(n): n for n in range(100_000)}, id="map"),
        pytest.param(10**4000, id="number"),
        pytest.param(nested(100_000), id="deep"),
    ],
)
def test_what_a_server_chose_is_shown_in_bounds(value: Any) -> None:
    for thing in (value, Reply("no", value), JoinRefused({"reason": value})):
        assert 0 < len(shown(thing)) < 500
    for error in (
        errors.ReplyError(Reply("no", value)),
        errors.JoinFailedError("a", ChannelEnded(ChannelCrashed(value)), socket=new_socket()),
    ):
        assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"reason": "card refused", "token": SECRET, "user": {"email": SECRET}}, '"card refused"'),
        ({"token": SECRET, "detail": {"pin": SECRET}}, "fields token, detail"),
        ({"reason": {"why": SECRET}}, "fields reason"),
        ({}, "no fields"),
        (SECRET, "str"),
        ([SECRET], "list"),
        (SECRET.encode(), "bytes"),
    ],
)
def test_a_reply_says_as_little_as_a_refused_join(response: Any, said: str) -> None:
    """And keeps all of it."""
    error = errors.ReplyError(Reply("error", response))
    assert str(error) == f"the reply has the status 'error': {said}"
    refused = errors.JoinFailedError("a", JoinRefused(response), socket=new_socket())
    assert str(refused).endswith(f": {said}")
    for one in (error, refused):
        assert SECRET not in f"{one!r} {one.args}"
    assert (error.status, error.response, error.reply) == ("error", response, error.reply)
    assert error.reply == Reply("error", response)


@pytest.mark.parametrize(
    "value",
    [
        {"reason": "unmatched topic"},
        JoinRefused({"reason": ["a", 1, None]}),
        REFUSED,
        None,
        b"\x00",
    ],
)
def test_what_is_short_is_shown_as_it_is(value: Any) -> None:
    assert shown(value) == repr(value)


class Kitchen(enum.Enum):
    CLOSED = SECRET


class Named(NamedTuple):
    why: str
    token: str


class Lazy(UserDict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise LookupError(SECRET)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("no kitchen", "'no kitchen'"),
        (ValueError("burnt toast"), "ValueError('burnt toast')"),
        (("shutdown", {"token": SECRET}), "('shutdown', fields token)"),
        (("failed_to_start_child", 7, None), "('failed_to_start_child', 7, None)"),
        ({"reason": "closed", "token": SECRET}, '"closed"'),
        (Named("no kitchen", SECRET), "Named"),
        (Lazy(), "Lazy"),
        ([SECRET], "list"),
        (SECRET.encode(), "bytes"),
        (Kitchen.CLOSED, "Kitchen.CLOSED"),
        (Reply("error", SECRET), "Reply"),
        (JoinTimeout(), "JoinTimeout()"),
        (ClosedByPeer(4001, f"Bearer {SECRET}"), "ClosedByPeer(code=4001, reason='…')"),
        (REFUSED, repr(REFUSED)),
        (JoinRefused({"reason": "no", "k": SECRET}), 'JoinRefused(response="no")'),
        (
            ChannelEnded(ChannelCrashed(SECRET)),
            "ChannelEnded(reason=ChannelCrashed(payload=str))",
        ),
        (Disconnected(ConnectionCrashed(KeyError(SECRET))), CRASHED),
    ],
)
def test_an_end_is_told_without_what_its_reason_holds(reason: Any, said: str) -> None:
    assert shown_reason(reason) == said
    assert str(errors.ClientEndedError(reason)) == f"the client has ended: {said}"
    assert str(errors.StartError(reason)) == f"not started: {said}"


def test_a_reason_keeps_every_field() -> None:
    reason = ConnectFailed("io", "x", 403, {"a": "b"}, "body", retryable=False)
    assert pickle.loads(pickle.dumps(reason)) == reason
