"""How a socket says that it stands: in its `repr`, and in the errors of its awaits and pushes."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from slipstream_actor import (
    AwaitTimeoutError,
    ClientActor,
    ConnectFailedError,
    JoinFailedError,
    NeverJoinedError,
    NotConnectedError,
    NotJoinedError,
    Socket,
    connect,
    new_socket,
)
from slipstream_actor.actors.process import current
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    TopicJoinFailed,
    TopicJoinSucceeded,
)
from slipstream_actor.protocol.reasons import ClosedByPeer, ConnectFailed, JoinRefused
from slipstream_actor.socket.apply_event import apply_event
from slipstream_actor.socket.standing import how_it_stands
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE

SECRET = "s3cr3t"
URI = f"ws://user:{SECRET}@localhost:4000/socket?key={SECRET}"
PLACE = "ws://localhost:4000/socket"
NOT_FOUND = ConnectFailed("upgrade", "the server answered 404", 404, {"set-cookie": SECRET}, SECRET)
NO_WEBSOCKET = (
    "the server answered 404 (hint: Phoenix's path ends in /websocket, and this URI's does not:"
)
ONE_DIGIT = re.compile(r"\d+\.\d")


def a_socket(**assigns: Any) -> Socket:
    """A socket that is about to connect, with secrets wherever there may be some."""
    options = {"test_mode": True, "params": {"token": SECRET}, "auth_token": SECRET}
    return connect(URI, **options).assign(assigns)  # type: ignore[arg-type]


def connected(socket: Socket) -> Socket:
    """The socket after the event of its connection, which is a double that takes commands."""
    return apply_event(socket, ChannelConnected(Wire(), {"set-cookie": SECRET}))


class Wire:
    """A connection that lives, and hears nothing."""

    def tell(self, command: Any) -> None:
        pass

    def is_alive(self) -> bool:
        return True


def refused(socket: Socket, topic: str, response: Any) -> Socket:
    ref = socket.joins[topic].join_ref
    return apply_event(socket, TopicJoinFailed(topic, JoinRefused(response), ref))


def masked(text: str) -> str:
    return ONE_DIGIT.sub("N", text)


def failed() -> Socket:
    return apply_event(a_socket(), ChannelConnectFailed(NOT_FOUND))


STATES: dict[str, tuple[Callable[[], Socket], str, str]] = {
    "new": (new_socket, "it has never been asked to connect", "<Socket new>"),
    "connecting": (
        a_socket,
        f"it is connecting to {PLACE}",
        f"<Socket connecting {PLACE}>",
    ),
    "connected": (
        lambda: connected(a_socket()),
        f"it is connected to {PLACE}",
        f"<Socket connected {PLACE}>",
    ),
    "disconnected": (
        failed,
        f"it is not connected to {PLACE}, and does not try to; the last failure: {NO_WEBSOCKET}",
        f"<Socket disconnected {PLACE}, last failure: the server answered 404>",
    ),
    "waiting": (
        lambda: failed().reconnect(),
        f"it is not connected, and tries {PLACE} again in N s, attempt 1;"
        f" the last failure: {NO_WEBSOCKET}",
        f"<Socket waiting {PLACE} again in N s, last failure: the server answered 404>",
    ),
    "connected again": (
        lambda: connected(failed().connect(URI, test_mode=True)),
        f"it is connected to {PLACE}",
        f"<Socket connected {PLACE}>",
    ),
    "lost": (
        lambda: apply_event(connected(a_socket()), ChannelClosed(ClosedByPeer(1012, "restart"))),
        f"it is not connected to {PLACE}, and does not try to; the last failure: the server closed"
        ' it (1012, "restart")',
        f'<Socket disconnected {PLACE}, last failure: the server closed it (1012, "restart")>',
    ),
}


@pytest.mark.parametrize(("make", "stands", "shape"), STATES.values(), ids=STATES)
def test_the_connection(make: Callable[[], Socket], stands: str, shape: str) -> None:
    socket = make()
    assert masked(how_it_stands(socket)).startswith(stands)
    assert masked(repr(socket)) == shape


def test_the_topics() -> None:
    secret = {"token": SECRET}
    socket = connected(a_socket())
    for topic in ("asked:1", "joined:1", "refused:1", "unmatched:1", "other:1"):
        socket = socket.join(topic, secret)
    joined = TopicJoinSucceeded("joined:1", secret, socket.joins["joined:1"].join_ref)
    socket = apply_event(socket, joined)
    socket = refused(socket, "refused:1", {"reason": "members only", "token": SECRET})
    socket = refused(socket, "unmatched:1", {"reason": "unmatched topic"}).rejoin("unmatched:1")
    socket = refused(socket, "other:1", secret)
    here = f"it is connected to {PLACE}; "
    unmatched = 'the server refused it: "unmatched topic"'
    for topic, stands in {
        "asked:1": "'asked:1' is requested",
        "joined:1": "'joined:1' is joined",
        "refused:1": "'refused:1' is closed: the server refused it: \"members only\"",
        "other:1": "'other:1' is closed: the server refused it: fields token",
        "never": "'never' was never asked for",
        "joind:1": "'joind:1' was never asked for, is it to be 'joined:1'?",
    }.items():
        assert how_it_stands(socket, topic) == here + stands
    text = masked(how_it_stands(socket, "unmatched:1"))
    assert text.startswith(f"{here}'unmatched:1' is closed: {unmatched} (hint: the server's socket")
    assert text.endswith("; it is asked for again in N s")
    assert repr(socket) == (
        f"<Socket connected {PLACE}, topics {{asked:1: requested, joined:1: joined,"
        ' refused:1: closed (the server refused it: "members only"),'
        f" unmatched:1: closed ({unmatched}),"
        " other:1: closed (the server refused it: fields token)}>"
    )


def test_a_topic_that_is_asked_for_again_has_the_last_answer() -> None:
    socket = connected(a_socket()).join("room:1")
    socket = refused(socket, "room:1", {"reason": "members only"}).join("room:1")
    socket = replace(
        socket,
        joins={"room:1": replace(socket.joins["room:1"], response={"reason": "members only"})},
    )
    assert how_it_stands(socket, "room:1").endswith(
        "'room:1' is requested, the last answer was: \"members only\""
    )


def test_nothing_is_shown_that_may_be_secret() -> None:
    socket = connected(a_socket(user=SECRET)).join("room:1", {"token": SECRET})
    socket = refused(socket, "room:1", {"token": SECRET})
    lost = apply_event(socket, ChannelConnectFailed(NOT_FOUND))
    for each in (socket, lost):
        for text in (repr(each), how_it_stands(each, "room:1")):
            assert SECRET not in text
    assert repr(socket).endswith("assigns {user}>")


def test_the_repr_of_thousands_of_topics_is_short() -> None:
    socket = a_socket(**{f"key{n}": n for n in range(50)})
    for n in range(2_000):
        socket = socket.join(f"room:{n}")
    text = repr(socket.join("x" * 100_000))
    assert "room:9: requested, … 1991 more}" in text
    assert "key9, … 40 more}" in text
    assert len(text) < 600


# errors


def test_a_timeout_names_the_client() -> None:
    class Kitchen(ClientActor):
        def init(self) -> Socket:
            return connect("ws://test.invalid/socket/websocket", test_mode=True)

        def try_to_join(self) -> None:
            self.socket.join("room:1").await_connect(timeout=0)

    ref = Kitchen.start(name="pantry")
    with pytest.raises(AwaitTimeoutError) as raised:
        ref.proxy().try_to_join().get(timeout=PATIENCE)
    ref.stop()
    assert str(raised.value) == (
        "awaited the connection for 0 s: Kitchen 'pantry' is connecting to"
        " ws://test.invalid/socket/websocket"
    )


def test_a_failed_await_has_the_hint() -> None:
    socket = a_socket()
    current().tell(ChannelConnectFailed(NOT_FOUND))
    with pytest.raises(ConnectFailedError) as raised:
        socket.await_connect(timeout=0)
    assert str(raised.value).startswith(f"awaited the connection: {NO_WEBSOCKET}")
    refusal = JoinRefused({"reason": "unmatched topic", "token": SECRET})
    text = str(JoinFailedError("room:1", refusal, socket=socket))
    assert text.startswith(
        "awaited the join of 'room:1': the server refused it: \"unmatched topic\" (hint: the"
    )
    assert SECRET not in text


def test_a_push_says_why_it_is_not_sent() -> None:
    with pytest.raises(NotConnectedError) as disconnected:
        failed().push("room:1", "order", {"card": SECRET})
    assert str(disconnected.value).startswith(
        f"push: 'order' on 'room:1' was not sent: the socket is not connected to {PLACE},"
        f" and does not try to; the last failure: {NO_WEBSOCKET}"
    )
    socket = refused(connected(a_socket()).join("room:1"), "room:1", {"reason": "full"})
    with pytest.raises(NotJoinedError) as unjoined:
        socket.push("room:1", "order", {"card": SECRET})
    assert str(unjoined.value) == (
        f"push: 'order' was not sent: the socket is connected to {PLACE};"
        " 'room:1' is closed: the server refused it: \"full\""
    )
    assert unjoined.value.reason == JoinRefused({"reason": "full"})


# what is misunderstood


def test_a_socket_never_changes(server: PhoenixServer) -> None:
    with connect(server.uri) as socket:
        lost = "was never asked for by this socket, which never changes: join returned another one"
        socket.join("room:1")
        for method in (socket.await_join, socket.await_leave, socket.rejoin, socket.forget):
            with pytest.raises(NeverJoinedError, match=rf"'room:1' {lost}"):
                method("room:1")
        with pytest.raises(NeverJoinedError, match=r"await_join: 'room:2' was never asked for, is"):
            socket.join("room:1").await_join("room:2")
        online = socket.await_connect()
        with pytest.raises(NotJoinedError, match=lost):
            online.push("room:1", "order")
        with pytest.raises(AwaitTimeoutError, match="await_connect returned another one, which is"):
            socket.await_connect(timeout=0)
        asked = online.join("rooms:lobby")
        asked.await_join("rooms:lobby")
        with pytest.raises(NotJoinedError, match="await_join returned another one, which is the"):
            asked.push("rooms:lobby", "order")


def test_nor_does_one_that_connects() -> None:
    socket = new_socket()
    socket.connect(URI, test_mode=True)
    with pytest.raises(NotConnectedError, match="connect returned another one, which is the one"):
        socket.await_message(timeout=0)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_belongs_to_this_process_cannot_be_sent_to_another(protocol: int) -> None:
    class Kitchen(ClientActor):
        pass

    ref = Kitchen.start(name="pantry")
    belongs = "belongs to this process and cannot be pickled: its threads and its connection"
    for what, name in (
        (ref, "Kitchen 'pantry'"),
        (ref.proxy(), "Kitchen 'pantry'"),
        (current(), "thread MainThread"),
        (a_socket(), "a socket"),
    ):
        with pytest.raises(TypeError, match=f"{name} {belongs}"):
            pickle.dumps({"what": what}, protocol)
    ref.stop()


def test_a_copy_of_a_socket_is_no_pickle() -> None:
    socket = a_socket(name="value")
    assert copy.copy(socket) == socket


def test_a_configuration_of_another_kind_has_a_path_too() -> None:
    config = Configuration.validate("ws://localhost/socket/websocket", {})
    text = how_it_stands(replace(failed(), channel_config=config))
    assert "(hint: the endpoint has no such socket" in text
