"""Sockets of plain threads: blocks, `close`, `messages`, what is forgotten, what ends unseen, and
who may ask for what."""

from __future__ import annotations

import gc
import queue
import socket as sockets
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ChannelCrashed,
    ChannelEnded,
    ConfigurationError,
    ConnectFailedError,
    JoinFailedError,
    JoinRefused,
    NeverJoinedError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
    Ref,
    SerializerError,
    Socket,
    connect,
    get_state,
    new_socket,
)
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.client.test_client import InThread
from tests.integration.test_pairs import NEVER, socket_of
from tests.support.clients import PATIENCE, do, eventually, recording
from tests.support.raw_server import OK, Peer, RawServer, dead_port, message

TOPIC = "bench:room"


class OfTheBlockError(Exception):
    """Raised in a block."""


@contextmanager
def joined(server: PhoenixServer | FaultProxy, **options: Any) -> Iterator[Socket]:
    with connect(server.uri, **options).join(TOPIC) as socket:
        yield socket.await_join(TOPIC)


def crashed(server: PhoenixServer, socket: Socket) -> None:
    """Have the channel crash, and do not look."""
    socket.push(TOPIC, "no such event")
    inbox = socket.socket_pid.actor_inbox
    eventually(lambda: socket.joins[TOPIC].join_ref in inbox.ended_joins, "the crash")
    get_state(socket.channel_pid)  # Which it answers behind what it tells of that.


def connection_of(socket: Socket) -> Any:
    """The connection, also while it connects."""
    assert socket._link is not None
    return socket._link.connection


# blocks, and `close`


def test_a_block_closes_what_it_opened(server: PhoenixServer) -> None:
    with connect(server.uri) as socket:
        socket.await_connect()
        server.wait_for_connections(1)
    assert (socket.status, server.connections) == ("disconnected", 0)
    with pytest.raises(NotConnectedError):
        socket.push(TOPIC, "echo")


def test_the_exception_of_a_block_is_never_replaced(server: PhoenixServer) -> None:
    def fail() -> None:
        with connect(server.uri) as socket:
            socket.await_connect()
            raise OfTheBlockError

    with pytest.raises(OfTheBlockError) as raised:
        fail()
    assert raised.value.__context__ is None
    assert server.connections == 0


DESCENDANTS: dict[str, Callable[[Socket, str], Any]] = {
    "joins": lambda s, uri: s.join(TOPIC).await_join(TOPIC),
    "another connection": lambda s, uri: s.connect(uri).await_connect(),
    "an attempt": lambda s, uri: s.connect("ws://192.0.2.1/"),
    "a connection again": lambda s, uri: s.reconnect(delay=0).await_connect(),
    "a backoff": lambda s, uri: s.disconnect().await_disconnect().reconnect(),
    "a backoff by itself": lambda s, uri: s.disconnect().await_disconnect().reconnect(delay=60),
    "a disconnect": lambda s, uri: s.disconnect(),
    "an end": lambda s, uri: s.disconnect().await_disconnect(),
}


@pytest.mark.parametrize("name", DESCENDANTS)
def test_a_block_closes_what_descends_from_it(server: PhoenixServer, name: str) -> None:
    with connect(server.uri, **NEVER) as socket:
        descendant = DESCENDANTS[name](socket.await_connect(), server.uri)
    assert descendant.status == "disconnected"
    assert descendant.reconnect_in is None
    assert server.connections == 0
    socket.close()
    descendant.close()


def test_what_was_pushed_is_written_before_a_close(server: PhoenixServer) -> None:
    with connect(server.uri).join("bench:sink") as first:
        listener = first.await_join("bench:sink")
        with joined(server) as socket:
            for n in range(100):
                socket.push(TOPIC, "sink", {"n": n})
            both = socket.join("bench:sink").await_join("bench:sink")
            both.push("bench:sink", "broadcast", {"last": "words"})
        assert listener.await_message("bench:sink", "shout").payload == {"last": "words"}


def test_a_close_that_takes_too_long() -> None:
    """The wait is over, and the close goes on."""
    close = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.wait_for(close)
        peer.serve()

    with RawServer(script) as server:
        socket = connect(server.uri, close_timeout_msec=10_000).await_connect()
        with pytest.raises(AwaitTimeoutError, match="the end of connection of thread"):
            socket.close(timeout=0.02)
        closing = socket.status
        close.set()
        socket.close(timeout=PATIENCE)
        assert (closing, socket.status) == ("closing", "disconnected")
        socket.close(timeout=0)
        with pytest.raises(ValueError, match="timeout"):
            socket.close(timeout=float("nan"))


@pytest.mark.parametrize("option", ["params", "auth_token"])
@pytest.mark.parametrize("result", ["a token", LookupError("no token")])
def test_a_callable_that_does_not_return_holds_up_no_close(option: str, result: Any) -> None:
    called, go_on, returned = threading.Event(), threading.Event(), threading.Event()

    def hang() -> Any:
        called.set()
        go_on.wait(PATIENCE)
        returned.set()
        if isinstance(result, Exception):
            raise result
        return {"token": result} if option == "params" else result

    with sockets.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        options: dict[str, Any] = {option: hang}
        with connect(uri, close_timeout_msec=20, **options) as socket:
            assert called.wait(PATIENCE)
            connection = connection_of(socket)
        assert not returned.is_set()
        assert connection.is_alive()
        socket.close()
        with pytest.raises(AwaitTimeoutError, match="the end of connection of thread"):
            socket.close(timeout=0)
        go_on.set()
        socket.close(timeout=PATIENCE)
        eventually(lambda: not connection.is_alive(), "its end")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_callable_that_returns_in_time_is_waited_for(server: PhoenixServer) -> None:
    called, connections = threading.Event(), queue.Queue[Any]()

    def token() -> str:
        called.set()
        inbox = connections.get(timeout=PATIENCE).actor_inbox
        eventually(lambda: inbox.close_requested, "the close")
        return "a token"

    socket = connect(server.uri, close_timeout_msec=60_000, auth_token=token)
    connection = connection_of(socket)
    assert called.wait(PATIENCE)
    connections.put(connection)
    socket.close()
    assert not connection.is_alive()
    assert server.connections == 0


def test_a_close_of_what_was_never_connected() -> None:
    with new_socket() as socket:
        socket.join(TOPIC)
    socket.close()
    with dead_port() as port, connect(f"ws://127.0.0.1:{port}/") as socket:
        with pytest.raises(ConnectFailedError) as failed:
            socket.await_connect()
        again = failed.value.socket.reconnect(delay=60)
    assert again.status == "disconnected"
    socket.close(timeout=0)


def test_after_a_close_it_may_begin_anew(server: PhoenixServer) -> None:
    with joined(server) as socket:
        pass
    with socket.connect(server.uri).join(TOPIC) as again:
        assert again.await_join(TOPIC).joined(TOPIC)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("wait", "error"),
    [
        (lambda s: s.await_connect(timeout=None), AwaitTimeoutError),
        (lambda s: s.await_join(TOPIC, timeout=None), AwaitTimeoutError),
        (lambda s: s.await_message(TOPIC, timeout=None), NotConnectedError),
        (lambda s: next(s.messages(TOPIC)), NotConnectedError),
    ],
    ids=["await_connect", "await_join", "await_message", "messages"],
)
def test_after_a_close_nothing_is_waited_for(
    server: PhoenixServer, wait: Any, error: type[Exception]
) -> None:
    with joined(server) as socket:
        socket.close()
        with pytest.raises(error, match=r"is not connected to .*, and does not try to"):
            wait(socket)


# `messages`


def test_messages_are_what_await_message_would_return(server: PhoenixServer) -> None:
    with joined(server) as socket:
        socket.push(TOPIC, "flood", {"n": 3})
        server.broadcast(TOPIC, "other", {"n": 4})
        ticks = socket.messages(TOPIC, "tick", {"i": lambda i: i > 1}, timeout=PATIENCE)
        assert [next(ticks).payload["i"] for _ in range(2)] == [2, 3]
        # What does not match was left for others.
        left = {m.event for m in socket.messages(timeout=0.05)}
        assert left == {"tick", "flood_done", "other"}
        assert list(socket.messages(timeout=0)) == []


def test_the_end_of_what_messages_come_from(server: PhoenixServer) -> None:
    with joined(server) as socket:
        server.broadcast(TOPIC, "said", {"n": 1})
        of_topic = socket.messages(TOPIC)
        assert next(of_topic).payload == {"n": 1}
        socket.push(TOPIC, "no such event")
        with pytest.raises(NotJoinedError) as left:
            next(of_topic)
        assert isinstance(left.value.reason, ChannelEnded)
        of_all = socket.messages()
        server.drop()
        with pytest.raises(NotConnectedError):
            next(of_all)


@pytest.mark.parametrize("timeout", [float("nan"), "1"])
def test_the_times_of_messages_are_looked_at_when_asked(
    server: PhoenixServer, timeout: Any
) -> None:
    with joined(server) as socket, pytest.raises((ValueError, TypeError), match="timeout"):
        socket.messages(timeout=timeout)


# a socket that is gone


def test_what_keeps_a_connection_and_what_does_not(server: PhoenixServer) -> None:
    def warned() -> list[str]:
        gc.collect()
        return [str(warning.message) for warning in caught]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        first = connect(server.uri).join(TOPIC)
        socket = first.await_join(TOPIC)
        connection, ref = socket.channel_pid, socket.push(TOPIC, "echo")
        messages = socket.messages()
        server.broadcast(TOPIC, "said", {})
        del first, socket
        assert next(messages).event == "said", "the iterator keeps it"
        assert warned() == []
        del messages
        [text] = warned()
        assert text.startswith("the last socket of connection of thread")
        assert isinstance(ref, Ref)
        assert connection is not None
        server.wait_for_connections(0)
        eventually(lambda: not connection.is_alive(), "its end")


def test_a_warning_that_is_an_error_closes_the_connection_too(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda unraisable: raised.append(unraisable.exc_type)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        socket = connect(server.uri).await_connect()
        del socket
        gc.collect()
        server.wait_for_connections(0)
    assert raised == [ResourceWarning]


@pytest.mark.parametrize("end", ["close", "disconnect", "with"])
def test_what_was_closed_goes_in_silence(server: PhoenixServer, end: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        socket = connect(server.uri).await_connect()
        if end == "with":
            with socket:
                pass
        else:
            getattr(socket, end)()
        del socket
        gc.collect()
        server.wait_for_connections(0)


def test_the_end_of_a_delay_goes_with_its_socket(server: PhoenixServer) -> None:
    now: dict[str, Any] = {"reconnect_after_msec": [0], "rejoin_after_msec": [0]}
    with joined(server, reconnect_jitter_msec=0, rejoin_jitter_msec=0, **now) as socket:
        lost = socket.disconnect().await_disconnect()
        for _ in range(200):
            lost.reconnect()
            lost.rejoin(TOPIC)
        kept = lost.rejoin(TOPIC).reconnect()
        again = kept.await_connect().await_join(TOPIC)
        assert again.joined(TOPIC)
        assert again.socket_pid.actor_inbox.depth < 150


# what is forgotten


def test_forget_drops_what_is_closed(proxy: FaultProxy) -> None:
    with joined(proxy) as socket:
        with pytest.raises(ValueError, match="is joined: leave it first"):
            socket.forget(TOPIC)
        proxy.delay(60)
        leaving = socket.leave(TOPIC)
        assert leaving.joins[TOPIC].params == {}
        with pytest.raises(ValueError, match="not answered yet"):
            leaving.forget(TOPIC)
        proxy.heal()
        gone = leaving.await_leave(TOPIC).forget(TOPIC)
        assert TOPIC not in gone.joins
        assert gone.join_status(TOPIC) is None
        for ask in (gone.forget, gone.rejoin, gone.await_join, gone.await_leave):
            with pytest.raises(NeverJoinedError):
                ask(TOPIC)
        proxy.delay(60)
        asked = gone.join(TOPIC)
        with pytest.raises(ValueError, match="is requested"):
            asked.forget(TOPIC)
        proxy.heal()
        assert asked.await_join(TOPIC).joined(TOPIC)


def test_a_leave_is_answered_with_those_before_it(server: PhoenixServer) -> None:
    with joined(server) as first:
        again = first
        for _ in range(20):
            again = again.leave(TOPIC).join(TOPIC).await_join(TOPIC)
            assert len(again.joins[TOPIC]._details.leaving) < 3
        inbox = again.socket_pid.actor_inbox
        assert again.leave(TOPIC).await_leave(TOPIC).forget(TOPIC).joins == {}
        assert inbox.ended_joins == {}


def test_what_is_forgotten_does_not_come_back(server: PhoenixServer) -> None:
    with recording(server.uri, reconnect_after_msec=[1], rejoin_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join(TOPIC, {"error": {}}))
        log.take("topic_close")

        def forget(socket: Socket) -> Any:
            return socket.forget(TOPIC) if socket.joins[TOPIC].status == "closed" else None

        eventually(lambda: do(ref, forget) is None and TOPIC not in socket_of(ref).joins, "it")
        server.drop()
        log.take("connect")
        do(ref, lambda s: s.ping() and None)
        assert socket_of(ref).joins == {}
        assert get_state(get_state(ref).connection).topics == {}


# what ends unseen


def test_a_channel_that_has_crashed_is_closed_as_soon_as_one_looks(server: PhoenixServer) -> None:
    with joined(server) as socket:
        crashed(server, socket)
        assert not socket.joined(TOPIC)
        assert socket.join_status(TOPIC) == "closed"
        with pytest.raises(NotJoinedError):
            socket.push(TOPIC, "echo")


@pytest.mark.parametrize(
    "again",
    [
        lambda s: s.await_join(TOPIC),
        lambda s: s.rejoin(TOPIC, delay=0).await_join(TOPIC),
        lambda s: s.join(TOPIC).await_join(TOPIC),
        lambda s: s.leave(TOPIC).join(TOPIC).await_join(TOPIC),
        lambda s: s.reconnect(delay=0).await_join(TOPIC),
        lambda s: (
            s.disconnect().await_disconnect().reconnect(delay=0).join(TOPIC).await_join(TOPIC)
        ),
    ],
    ids=["await_join", "rejoin", "join", "leave and join", "reconnect", "disconnect and join"],
)
def test_what_has_crashed_unseen_is_joined_anew(server: PhoenixServer, again: Any) -> None:
    with joined(server, **NEVER) as socket:
        crashed(server, socket)
        rejoined = again(socket)
        assert rejoined.joined(TOPIC)
        assert rejoined.await_reply(rejoined.push(TOPIC, "echo", {"n": 1})).ok
        # Of the end that was not looked at nothing is left.
        assert not rejoined.socket_pid.actor_inbox.ended_joins


@pytest.mark.parametrize(
    "use",
    [
        lambda other, uri: connect(uri),
        lambda other, uri: other.reconnect(delay=0),
        lambda other, uri: other.connect(uri),
    ],
    ids=["a new one", "reconnect", "connect"],
)
def test_another_socket_of_the_thread_takes_no_end(server: PhoenixServer, use: Any) -> None:
    with connect(server.uri).await_connect() as other, joined(server) as socket:
        crashed(server, socket)
        with use(other, server.uri).await_connect():
            assert not socket.joined(TOPIC)
            again = socket.join(TOPIC).await_join(TOPIC)
            assert again.await_reply(again.push(TOPIC, "echo", {"n": 1})).ok


@pytest.mark.parametrize("end", ["phx_close", "phx_error"])
def test_a_join_that_is_over_when_its_success_is_taken(end: str) -> None:
    """A channel that ends right behind its join: the success takes no note of the end with it."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        ref = peer.expect("phx_join")[0]
        answer = message(ref, ref, "room", "phx_reply", OK)
        peer.send(answer + message(ref, ref, "room", end))
        peer.serve()

    with RawServer(script) as server, connect(server.uri) as first:
        asked = first.await_connect().join("room")
        inbox, ref = asked.socket_pid.actor_inbox, asked.joins["room"].join_ref
        eventually(lambda: ref in inbox.ended_joins, "the end")
        with pytest.raises(JoinFailedError) as raised:
            asked.await_join("room", timeout=PATIENCE)
        over = raised.value.socket
        assert isinstance(over, Socket)
        assert over.join_status("room") == "closed"
        with pytest.raises(NotJoinedError):
            over.push("room", "echo")
        again = over.join("room").await_join("room")
        assert again.await_reply(again.push("room", "echo", {"n": 1})).response == {"n": 1}


def test_a_leave_of_what_has_crashed_unseen(server: PhoenixServer) -> None:
    with joined(server) as socket:
        crashed(server, socket)
        left = socket.leave(TOPIC)
        assert isinstance(left.joins[TOPIC].reason, ChannelCrashed), "there was nothing to leave"
        assert left.await_leave(TOPIC, timeout=0).forget(TOPIC).joins == {}


@pytest.mark.parametrize("seen", [True, False], ids=["before", "meanwhile"])
def test_what_has_crashed_is_left(server: PhoenixServer, seen: bool) -> None:
    with joined(server) as socket:
        if seen:
            crashed(server, socket)
        else:
            socket.push(TOPIC, "no such event")
        left = socket.await_leave(TOPIC)
        assert isinstance(left.joins[TOPIC].reason, ChannelCrashed)
        assert left.join(TOPIC).await_join(TOPIC).joined(TOPIC)


@pytest.mark.parametrize(
    ("option", "ask", "error"),
    [
        ({}, lambda s: s.join(TOPIC, {"no JSON": object()}), SerializerError),
        ({}, lambda s: s.rejoin(TOPIC, {"no JSON": object()}), SerializerError),
        ({"rejoin_after_msec": lambda _: "soon"}, lambda s: s.rejoin(TOPIC), ConfigurationError),
    ],
    ids=["join", "rejoin", "a policy"],
)
def test_what_is_refused_takes_no_end(
    server: PhoenixServer, option: Any, ask: Any, error: type[Exception]
) -> None:
    with joined(server, **option) as socket:
        crashed(server, socket)
        with pytest.raises(error):
            ask(socket)
        assert not socket.joined(TOPIC)
        assert socket.await_join(TOPIC).joined(TOPIC)


def test_a_buffered_push_fails_with_its_topic(server: PhoenixServer) -> None:
    with connect(server.uri).join(TOPIC, {"error": {"reason": "no"}, "delay": 50}) as first:
        socket = first.await_connect()
        ref = socket.push(TOPIC, "echo", {}, buffer=True)
        for _ in range(2):  # Whoever asks again is told the same.
            with pytest.raises(NotJoinedError) as failed:
                socket.await_reply(ref, timeout=PATIENCE)
            assert failed.value.reason == ChannelEnded(JoinRefused({"reason": "no"}))


# whose it is

COMMANDS: dict[str, Callable[[Socket], Any]] = {
    "__enter__": lambda s: s.__enter__(),
    "await_connect": lambda s: s.await_connect(),
    "await_disconnect": lambda s: s.await_disconnect(),
    "await_join": lambda s: s.await_join(TOPIC),
    "await_leave": lambda s: s.await_leave(TOPIC),
    "await_message": lambda s: s.await_message(),
    "await_reply": lambda s: s.await_reply(Ref("1", TOPIC, "1")),
    "close": lambda s: s.close(),
    "collect_garbage": lambda s: s.collect_garbage(),
    "connect": lambda s: s.connect("ws://192.0.2.1/"),
    "disconnect": lambda s: s.disconnect(),
    "forget": lambda s: s.forget("bench:left"),
    "join": lambda s: s.join("bench:other"),
    "leave": lambda s: s.leave(TOPIC),
    "messages": lambda s: s.messages(),
    "ping": lambda s: s.ping(),
    "reconnect": lambda s: s.reconnect(delay=0),
    "rejoin": lambda s: s.rejoin("bench:left"),
    "track_presence": lambda s: s.track_presence(TOPIC),
}
# What asks for nothing, and what may be asked for in every thread.
ANYWHERE = {"assign", "update", "join_status", "joined", "presences", "push"}


def test_every_method_is_of_its_owner_or_of_everybody() -> None:
    public = {name for name in dir(Socket) if not name.startswith("_")} - set(
        Socket.__struct_fields__
    )
    methods = {name for name in public if callable(getattr(Socket, name))}
    assert methods == (set(COMMANDS) | ANYWHERE) - {"__enter__"}


def raises_not_owner(command: Callable[[Socket], Any], socket: Socket, method: str) -> bool:
    """Whether it says so, and whose it is."""
    try:
        command(socket)
    except NotOwnerError as error:
        return method.strip("_") in str(error) or method == "__enter__"
    return False


@pytest.mark.parametrize("method", COMMANDS)
def test_a_socket_is_its_owners(server: PhoenixServer, method: str) -> None:
    """Of a client's nothing is asked for by a thread, of a thread's nothing by another or by a
    client; and nothing has happened."""
    command = COMMANDS[method]
    with recording(server.uri) as (ref, log), joined(server) as socket:
        do(ref, lambda s: s.join(TOPIC).join("bench:left"))
        log.take("join", "bench:left")
        do(ref, lambda s: s.leave("bench:left"))
        log.take("leave")
        theirs = socket_of(ref)
        assert raises_not_owner(command, theirs, method)
        assert InThread(raises_not_owner, command, theirs, method).outcome() is True
        assert InThread(raises_not_owner, command, socket, method).outcome() is True
        assert do(ref, lambda _: raises_not_owner(command, socket, method)) is True
        for each in (socket, socket_of(ref)):
            assert each.status == "connected"
            assert each.joined(TOPIC)
        assert socket.await_reply(socket.push(TOPIC, "echo", {"n": 1})).ok
        assert InThread(theirs.push, TOPIC, "echo").outcome() == log.take("reply")[1]


def test_waits_of_threads_are_for_no_callback(server: PhoenixServer) -> None:
    def enter(socket: Socket) -> None:
        with socket:
            pass

    with recording(server.uri) as (ref, log):
        log.take("connect")
        for method, ask in {
            "with": enter,
            "close": lambda s: s.close(),
        }.items():
            with pytest.raises(NotOwnerError, match=method):
                do(ref, ask)
        assert socket_of(ref).connected
