"""`await_*`: in plain threads and in actors, with events sent by hand and with the embedded server.

What must not wait is given ten minutes: a test that hangs is a test that fails.
"""

from __future__ import annotations

import gc
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    ConnectFailedError,
    Disconnected,
    JoinFailedError,
    JoinRefused,
    JoinTimeout,
    MessageReceived,
    NeverJoinedError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
    Options,
    Ref,
    Reply,
    ReplyReceived,
    Socket,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
    connect,
    new_socket,
    wait,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.process import current, set_current
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic, LeaveTopic, PushMessage
from slipstream_actor.testing import PhoenixServer
from tests.client.test_client import InThread, Line
from tests.support.clients import PATIENCE, eventually, recording
from tests.support.interruptions import interrupted

URI = "ws://test.invalid/socket/websocket"
TOPIC = "rooms:lobby"
LONG = 600.0
CLOSED = ClosedByPeer(1012)
NO_SERVER = ConnectFailed("refused")


@pytest.fixture(autouse=True)
def own_mailbox() -> Iterator[None]:
    """Make the thread that runs the tests a new process: what others left is not in its mailbox."""
    current()
    set_current(None)
    yield
    current()
    set_current(None)
    current()


class Peer(Line):
    """The other end of a socket that belongs to the thread of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = current()

    def send(self, *events: Any) -> None:
        self.owner.tell(Burst(self, events))


def by_hand(*messages: Any) -> None:
    """Put messages into this thread's mailbox that belong to no connection."""
    for message in messages:
        current().tell(message)


def left() -> list[Any]:
    """Return what is left in this thread's mailbox."""
    messages: list[Any] = []
    mailbox = current().actor_inbox
    while mailbox.depth:
        message = mailbox.get().message
        messages.extend(message.events if isinstance(message, Burst) else [message])
    return messages


def online(peer: Peer) -> Socket:
    """Return a socket that is connected to `peer`."""
    socket = connect(URI, test_mode=True)
    by_hand(ChannelConnected(peer))
    return socket.await_connect(timeout=LONG)


def asked(peer: Peer, socket: Socket, topic: str = TOPIC) -> tuple[Socket, Any]:
    """Ask for a join; returns the socket and the join_ref."""
    socket = socket.join(topic)
    return socket, peer.told(JoinTopic).join_ref


def joined(peer: Peer, socket: Socket, topic: str = TOPIC) -> Socket:
    """Join, as a server would let it."""
    socket, join_ref = asked(peer, socket, topic)
    peer.send(TopicJoinSucceeded(topic, {"joined": topic}, join_ref))
    return socket.await_join(topic, timeout=LONG)


def drained(peer: Peer, socket: Socket) -> Socket:
    """Take note of a leave."""
    peer.told(LeaveTopic)
    return socket


def pushed(peer: Peer, socket: Socket) -> Ref:
    ref = socket.push(TOPIC, "echo", {})
    assert peer.told(PushMessage).ref == ref
    return ref


def message(event: str, payload: Any = None) -> MessageReceived:
    return MessageReceived(TOPIC, event, {} if payload is None else payload)


# await_connect


def test_await_connect_consumes_the_connection_and_no_more() -> None:
    peer = Peer()
    socket = connect(URI, test_mode=True)
    by_hand("another message", ChannelConnected(peer, {"server": "Cowboy"}), message("first"))
    socket = socket.await_connect(timeout=LONG)
    assert socket.connected
    assert socket.channel_pid is peer
    assert socket.response_headers == {"server": "Cowboy"}
    assert left() == ["another message", message("first")]


def test_await_connect_consumes_the_refusal() -> None:
    socket = connect(URI, test_mode=True)
    by_hand(ChannelConnectFailed(NO_SERVER))
    with pytest.raises(ConnectFailedError, match="awaited the connection") as raised:
        socket.await_connect(timeout=LONG)
    assert raised.value.reason == NO_SERVER
    assert raised.value.awaited == "the connection"
    assert left() == []
    # The socket that comes with it knows that there is nothing to wait for.
    socket = raised.value.socket.await_disconnect(timeout=LONG)
    assert socket.reconnect().reconnect_counter == 1


def test_await_connect_of_what_nobody_connects_ends_at_once() -> None:
    with pytest.raises(AwaitTimeoutError, match=r"for 0\.0 s: .* has never been asked to connect"):
        new_socket().await_connect(timeout=None)
    socket = connect(URI, test_mode=True)
    by_hand(ChannelConnectFailed(NO_SERVER))
    with pytest.raises(ConnectFailedError) as failed:
        socket.await_connect(timeout=LONG)
    with pytest.raises(AwaitTimeoutError, match="and does not try to"):
        failed.value.socket.await_connect(timeout=None)


def test_await_connect_of_what_is_connected() -> None:
    socket = online(Peer())
    assert socket.await_connect(timeout=LONG).connected


def test_await_connect_leaves_a_close() -> None:
    socket = connect(URI, test_mode=True)
    by_hand(ChannelClosed(ClosedByClient()))
    with pytest.raises(ConnectFailedError) as raised:
        socket.await_connect(timeout=LONG)
    assert raised.value.reason == ClosedByClient()
    assert left() == [ChannelClosed(ClosedByClient())]


def test_await_connect_sends_the_joins_that_were_asked_for_before() -> None:
    peer = Peer()
    socket = connect(URI, test_mode=True).join(TOPIC, {"n": 1}).join("another")
    by_hand(ChannelConnected(peer))
    socket = socket.await_connect(timeout=LONG)
    commands = [peer.told(JoinTopic), peer.told(JoinTopic)]
    assert [(c.topic, c.payload) for c in commands] == [(TOPIC, {"n": 1}), ("another", {})]
    assert [socket.joins[c.topic].join_ref for c in commands] == [c.join_ref for c in commands]


# await_disconnect


@pytest.mark.parametrize("event", [ChannelClosed(CLOSED), ChannelConnectFailed(NO_SERVER)])
def test_await_disconnect_consumes_the_end_and_no_more(event: Any) -> None:
    peer = Peer()
    socket = joined(peer, online(peer)).disconnect()
    peer.told(CloseConnection)
    peer.send(message("late"), event)
    socket = socket.await_disconnect(timeout=LONG)
    assert not socket.connected
    assert socket.join_status(TOPIC) == "closed"
    assert left() == [message("late")]


def test_await_disconnect_of_what_is_not_connected() -> None:
    assert not new_socket().await_disconnect(timeout=LONG).connected
    peer = Peer()
    socket = online(peer)
    peer.send(ChannelClosed(CLOSED))
    closed = socket.await_disconnect(timeout=LONG)
    assert closed.await_disconnect(timeout=LONG) == closed
    assert closed.reconnect().await_disconnect(timeout=LONG).reconnect_counter == 1


# await_join


def test_await_join_consumes_the_join_and_no_more() -> None:
    peer = Peer()
    socket, other_ref = asked(peer, online(peer), "another")
    socket, join_ref = asked(peer, socket)
    other = TopicJoinSucceeded("another", {}, other_ref)
    peer.send(message("1"), other, TopicJoinSucceeded(TOPIC, {"a": 1}, join_ref), message("2"))
    socket = socket.await_join(TOPIC, timeout=LONG)
    assert socket.joins[TOPIC].response == {"a": 1}
    assert socket.join_status("another") == "requested"
    assert left() == [message("1"), other, message("2")]


REFUSALS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "refused": (
        lambda ref: TopicJoinFailed(TOPIC, JoinRefused({"no": "way"}), ref),
        JoinRefused({"no": "way"}),
    ),
    "timeout": (lambda ref: TopicJoinFailed(TOPIC, JoinTimeout(), ref), JoinTimeout()),
    "crash": (lambda ref: TopicJoinClosed(TOPIC, ChannelCrashed({}), ref), ChannelCrashed({})),
    "left": (lambda ref: TopicLeft(TOPIC, ref), ChannelEnded("left")),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_await_join_consumes_the_refusal(kind: str) -> None:
    event, reason = REFUSALS[kind]
    peer = Peer()
    socket, join_ref = asked(peer, online(peer))
    peer.send(message("1"), event(join_ref), message("2"))
    with pytest.raises(JoinFailedError, match=f"awaited the join of '{TOPIC}'") as raised:
        socket.await_join(TOPIC, timeout=LONG)
    assert raised.value.reason == reason
    assert raised.value.topic == TOPIC
    assert raised.value.socket.join_status(TOPIC) == "closed"
    assert left() == [message("1"), message("2")]


def test_await_join_leaves_a_disconnect() -> None:
    peer = Peer()
    socket, _ = asked(peer, online(peer))
    peer.send(ChannelClosed(CLOSED))
    with pytest.raises(JoinFailedError) as raised:
        socket.await_join(TOPIC, timeout=LONG)
    assert raised.value.reason == Disconnected(CLOSED)
    assert not raised.value.socket.await_disconnect(timeout=LONG).connected
    assert left() == []


def test_await_join_passes_over_a_former_join() -> None:
    peer = Peer()
    socket, former = asked(peer, online(peer))
    socket, join_ref = asked(peer, drained(peer, socket.leave(TOPIC)))
    late = [TopicJoinSucceeded(TOPIC, {}, former), TopicLeft(TOPIC, former)]
    peer.send(*late, TopicJoinSucceeded(TOPIC, {"n": 2}, join_ref))
    assert socket.await_join(TOPIC, timeout=LONG).joins[TOPIC].response == {"n": 2}
    assert left() == late


def test_await_join_takes_what_a_test_sends_at_its_word() -> None:
    peer = Peer()
    socket, _ = asked(peer, online(peer))
    by_hand(TopicJoinSucceeded(TOPIC, {"by": "hand"}))
    assert socket.await_join(TOPIC, timeout=LONG).joins[TOPIC].response == {"by": "hand"}


def test_await_join_of_what_is_joined() -> None:
    peer = Peer()
    assert joined(peer, online(peer)).await_join(TOPIC, timeout=LONG).joined(TOPIC)


def test_await_join_of_what_is_closed() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    join_ref = socket.joins[TOPIC].join_ref
    peer.send(TopicLeft(TOPIC, join_ref))
    socket = socket.leave(TOPIC).await_leave(TOPIC, timeout=LONG)
    with pytest.raises(JoinFailedError) as raised:
        socket.await_join(TOPIC, timeout=LONG)
    # What the server said when it accepted the join is no reason.
    assert raised.value.reason != {"joined": TOPIC}


def test_await_join_of_what_was_never_asked_for() -> None:
    for socket in (new_socket(), online(Peer())):
        with pytest.raises(NeverJoinedError, match=TOPIC):
            socket.await_join(TOPIC, timeout=LONG)


def test_await_join_without_a_connection_to_wait_for() -> None:
    with pytest.raises(NotConnectedError, match=TOPIC):
        new_socket().join(TOPIC).await_join(TOPIC, timeout=LONG)


def test_await_join_connects_first() -> None:
    peer = Peer()
    socket = connect(URI, test_mode=True).join(TOPIC)
    by_hand(ChannelConnected(peer), TopicJoinSucceeded(TOPIC, {"a": 1}))
    socket = socket.await_join(TOPIC, timeout=LONG)
    assert socket.connected
    assert socket.joined(TOPIC)
    assert peer.told(JoinTopic).topic == TOPIC
    assert left() == []


def test_await_join_when_the_connection_fails_first() -> None:
    socket = connect(URI, test_mode=True).join(TOPIC)
    by_hand(ChannelConnectFailed(NO_SERVER))
    with pytest.raises(JoinFailedError) as raised:
        socket.await_join(TOPIC, timeout=LONG)
    assert raised.value.reason == Disconnected(NO_SERVER)


# await_leave


def test_await_leave_consumes_the_leave_and_no_more() -> None:
    peer = Peer()
    socket = joined(peer, joined(peer, online(peer)), "another")
    refs = {topic: join.join_ref for topic, join in socket.joins.items()}
    socket = socket.leave(TOPIC)
    peer.told(LeaveTopic)
    other = TopicLeft("another", refs["another"])
    peer.send(other, TopicLeft(TOPIC, refs[TOPIC]), message("1"))
    socket = socket.await_leave(TOPIC, timeout=LONG)
    assert socket.join_status(TOPIC) == "closed"
    assert socket.joins[TOPIC].join_ref is None
    assert left() == [other, message("1")]


def test_await_leave_of_what_is_left() -> None:
    peer = Peer()
    socket = joined(peer, online(peer)).leave(TOPIC)
    peer.send(TopicLeft(TOPIC, socket.joins[TOPIC].join_ref))
    socket = socket.await_leave(TOPIC, timeout=LONG)
    assert socket.await_leave(TOPIC, timeout=LONG) == socket


def test_await_leave_of_a_join_that_never_went_out() -> None:
    socket = connect(URI, test_mode=True).join(TOPIC).leave(TOPIC)
    assert socket.await_leave(TOPIC, timeout=LONG).join_status(TOPIC) == "closed"


def test_await_leave_of_what_was_never_asked_for() -> None:
    with pytest.raises(NeverJoinedError, match=TOPIC):
        online(Peer()).await_leave(TOPIC, timeout=LONG)


def test_await_leave_leaves_a_disconnect() -> None:
    peer = Peer()
    socket = joined(peer, online(peer)).leave(TOPIC)
    peer.send(ChannelClosed(CLOSED))
    with pytest.raises(NotConnectedError, match=f"awaited the leave of '{TOPIC}'") as raised:
        socket.await_leave(TOPIC, timeout=LONG)
    assert raised.value.reason == Disconnected(CLOSED)
    assert left() == [ChannelClosed(CLOSED)]


def test_await_leave_of_a_topic_that_has_crashed() -> None:
    # The connection knows no such join any more, and sends nothing to leave it.
    peer = Peer()
    socket = joined(peer, online(peer))
    peer.send(TopicJoinClosed(TOPIC, ChannelCrashed({}), socket.joins[TOPIC].join_ref))
    socket = socket.leave(TOPIC).await_leave(TOPIC, timeout=LONG)
    assert socket.join_status(TOPIC) == "closed"


def test_await_leave_waits_for_this_leave() -> None:
    # The former one, of a leave and a join in one go, is still in the mailbox.
    peer = Peer()
    socket = joined(peer, online(peer))
    former = socket.joins[TOPIC].join_ref
    socket = joined(peer, drained(peer, socket.leave(TOPIC)))
    socket = socket.leave(TOPIC)
    peer.send(TopicLeft(TOPIC, former))
    with pytest.raises(AwaitTimeoutError):
        socket.await_leave(TOPIC, timeout=0.01)
    peer.send(TopicLeft(TOPIC, socket.joins[TOPIC].join_ref))
    assert socket.await_leave(TOPIC, timeout=LONG).joins[TOPIC].join_ref is None


def test_await_leave_of_a_leave_and_a_join_in_one_go() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    former = socket.joins[TOPIC].join_ref
    socket, join_ref = asked(peer, drained(peer, socket.leave(TOPIC)))
    peer.send(TopicJoinSucceeded(TOPIC, {}, join_ref), TopicLeft(TOPIC, former))
    socket = socket.await_leave(TOPIC, timeout=LONG)
    assert socket.join_status(TOPIC) == "requested"
    assert socket.await_join(TOPIC, timeout=LONG).joined(TOPIC)


def test_await_leave_of_what_the_server_ends() -> None:
    peer = Peer()
    socket = joined(peer, joined(peer, online(peer)), "another")
    refs = {topic: join.join_ref for topic, join in socket.joins.items()}
    other = TopicLeft("another", refs["another"])
    peer.send(other, TopicLeft(TOPIC, refs[TOPIC]))
    assert socket.await_leave(TOPIC, timeout=LONG).join_status(TOPIC) == "closed"
    assert left() == [other]


# await_reply


@pytest.mark.parametrize("status", ["ok", "error", "any other"])
def test_await_reply_consumes_this_reply(status: str) -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    first, second = pushed(peer, socket), pushed(peer, socket)
    others = [message("1"), ReplyReceived(TOPIC, first, Reply("ok", 1))]
    peer.send(*others, ReplyReceived(TOPIC, second, Reply(status, 2)))
    assert socket.await_reply(second, timeout=LONG) == Reply(status, 2)
    assert left() == others


def test_await_reply_takes_a_plain_string_too() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = str(pushed(peer, socket))
    peer.send(ReplyReceived(TOPIC, ref, Reply("ok", 1)))
    assert socket.await_reply(ref, timeout=LONG) == Reply("ok", 1)


ENDS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "crash": (
        lambda ref: TopicJoinClosed(TOPIC, ChannelCrashed({}), ref),
        ChannelEnded(ChannelCrashed({})),
    ),
    "left": (lambda ref: TopicLeft(TOPIC, ref), ChannelEnded("left")),
}


@pytest.mark.parametrize("hand", [False, True], ids=["by the connection", "by hand"])
@pytest.mark.parametrize("kind", ENDS)
def test_await_reply_fails_when_its_channel_ends(kind: str, hand: bool) -> None:
    event, reason = ENDS[kind]
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = pushed(peer, socket)
    end = event(None if hand else ref.join_ref)
    if hand:
        by_hand(end)
    else:
        peer.send(end)
    with pytest.raises(
        NotJoinedError, match=f"awaited the reply to '{ref}' on '{TOPIC}'"
    ) as raised:
        socket.await_reply(ref, timeout=LONG)
    assert raised.value.reason == reason
    assert left() == [end]


def test_await_reply_prefers_a_reply_that_came_before_the_end() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = pushed(peer, socket)
    left_event = TopicLeft(TOPIC, ref.join_ref)
    peer.send(ReplyReceived(TOPIC, ref, Reply("ok", 1)), left_event)
    assert socket.await_reply(ref, timeout=LONG) == Reply("ok", 1)


def test_await_reply_after_a_rejoin() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = pushed(peer, socket)
    former = ref.join_ref
    socket = joined(peer, drained(peer, socket.leave(TOPIC)))
    with pytest.raises(NotJoinedError):
        socket.await_reply(ref, timeout=LONG)
    # The new join's pushes are not concerned by the end of the former.
    peer.send(TopicLeft(TOPIC, former))
    ref = pushed(peer, socket)
    peer.send(ReplyReceived(TOPIC, ref, Reply("ok", 2)))
    assert socket.await_reply(ref, timeout=LONG) == Reply("ok", 2)


def test_await_reply_leaves_a_disconnect() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = pushed(peer, socket)
    peer.send(ChannelClosed(CLOSED))
    with pytest.raises(NotConnectedError) as raised:
        socket.await_reply(ref, timeout=LONG)
    assert raised.value.reason == Disconnected(CLOSED)
    socket = socket.await_disconnect(timeout=LONG)
    with pytest.raises(NotConnectedError):
        socket.await_reply(ref, timeout=LONG)


def test_await_reply_of_a_reply_that_came_before_the_disconnect() -> None:
    peer = Peer()
    socket = joined(peer, online(peer))
    ref = pushed(peer, socket)
    peer.send(ReplyReceived(TOPIC, ref, Reply("ok", 1)), ChannelClosed(CLOSED))
    peer.alive = False
    assert socket.await_reply(ref, timeout=LONG) == Reply("ok", 1)


# await_message


def test_await_message_takes_the_first_that_matches() -> None:
    peer = Peer()
    socket = online(peer)
    peer.send(message("1"), message("2", {"a": 1, "b": [1]}), message("2", {"a": 2}), message("3"))
    assert socket.await_message(TOPIC, "2", {"a": 2}, timeout=LONG) == message("2", {"a": 2})
    assert socket.await_message(timeout=LONG) == message("1")
    assert left() == [message("2", {"a": 1, "b": [1]}), message("3")]


MATCHING: dict[str, tuple[dict[str, Any], bool]] = {
    "anything": ({}, True),
    "topic": ({"topic": TOPIC}, True),
    "another topic": ({"topic": "rooms"}, False),
    "event": ({"event": "new:msg"}, True),
    "part of an event": ({"event": "new"}, False),
    "pattern": ({"topic": re.compile(r"rooms:\w+")}, True),
    "pattern of a part": ({"topic": re.compile("rooms")}, False),
    "subset": ({"payload": {"user": {"id": 1}}}, True),
    "nested value differs": ({"payload": {"user": {"id": 2}}}, False),
    "absent key": ({"payload": {"absent": 1}}, False),
    "list": ({"payload": {"tags": ["a", re.compile("b+")]}}, True),
    "shorter list": ({"payload": {"tags": ["a"]}}, False),
    "predicate": ({"payload": lambda payload: len(payload["tags"]) == 2}, True),
    "nested predicate": ({"payload": {"user": {"id": lambda n: n > 1}}}, False),
    "all of it": ({"topic": TOPIC, "event": "new:msg", "payload": {"tags": list}}, True),
    "one part differs": ({"topic": TOPIC, "event": "old:msg", "payload": {}}, False),
}


@pytest.mark.parametrize("kind", MATCHING)
def test_await_message_matches_by_pattern(kind: str) -> None:
    patterns, expected = MATCHING[kind]
    peer = Peer()
    socket = online(peer)
    sent = message("new:msg", {"user": {"id": 1, "name": "alice"}, "tags": ["a", "bb"]})
    peer.send(sent)
    if expected:
        assert socket.await_message(**patterns, timeout=LONG) == sent
    else:
        with pytest.raises(AwaitTimeoutError):
            socket.await_message(**patterns, timeout=0)
        assert left() == [sent]


@pytest.mark.parametrize("name", ["topic", "event"])
def test_a_payload_in_the_place_of_a_text_is_refused(name: str) -> None:
    socket, wrong = new_socket(), {name: {"n": 1}}
    for method in (socket.await_message, socket.messages):
        listen: Any = method
        with pytest.raises(TypeError, match=f"^{name} must be a text, ANY or a pattern for a text"):
            listen(**wrong)


def test_await_message_of_binary() -> None:
    peer = Peer()
    socket = online(peer)
    peer.send(message("1", b"\x01"), message("1", b"\x02"))
    assert socket.await_message(payload=b"\x02", timeout=LONG).payload == b"\x02"


def test_await_message_leaves_a_disconnect() -> None:
    peer = Peer()
    socket = online(peer)
    peer.send(ChannelClosed(CLOSED), message("of the next connection"))
    with pytest.raises(NotConnectedError, match="awaited a message") as raised:
        socket.await_message(timeout=LONG)
    assert raised.value.reason == Disconnected(CLOSED)
    assert left()[0] == ChannelClosed(CLOSED)


def test_await_message_when_there_is_no_connection_any_more() -> None:
    peer = Peer()
    socket = online(peer)
    peer.send(ChannelClosed(CLOSED))
    socket = socket.await_disconnect(timeout=LONG)
    with pytest.raises(NotConnectedError):
        socket.await_message(timeout=LONG)


# timeouts


def test_a_timeout_says_what_was_awaited() -> None:
    peer = Peer()
    waiting = connect(URI, test_mode=True)
    socket = joined(peer, online(peer))
    asking, _ = asked(peer, socket, "another")
    ref = pushed(peer, socket)
    awaits: list[tuple[Callable[[], Any], str, Socket]] = [
        (lambda: waiting.await_connect(timeout=0), "the connection", waiting),
        (lambda: socket.await_disconnect(timeout=0), "the disconnect", socket),
        (lambda: asking.await_join("another", timeout=0), "the join of 'another'", asking),
        (lambda: socket.await_leave(TOPIC, timeout=0), f"the leave of '{TOPIC}'", socket),
        (lambda: socket.await_reply(ref, timeout=0), f"the reply to '{ref}' on '{TOPIC}'", socket),
        (
            lambda: socket.await_message(TOPIC, "e", {"a": 1}, timeout=0),
            f"a message with topic '{TOPIC}', event 'e' and a payload that matches",
            socket,
        ),
    ]
    for await_it, awaited, as_it_was in awaits:
        with pytest.raises(AwaitTimeoutError) as raised:
            await_it()
        assert raised.value.awaited == awaited
        assert raised.value.socket == as_it_was
        assert raised.value.timeout == 0
        assert str(raised.value).startswith(f"awaited {awaited} for 0 s: the socket is connect")
        assert isinstance(raised.value, TimeoutError)


def test_a_timeout_leaves_everything_in_the_mailbox() -> None:
    peer = Peer()
    socket = online(peer)
    peer.send(message("1"), message("2"))
    by_hand("a message")
    with pytest.raises(AwaitTimeoutError):
        socket.await_message(event="3", timeout=0.01)
    assert left() == [message("1"), message("2"), "a message"]


def test_an_await_without_a_timeout_waits() -> None:
    peer = Peer()
    socket = online(peer)
    sending = threading.Timer(0.05, peer.send, [message("at last")])
    sending.start()
    assert socket.await_message(event="at last", timeout=None) == message("at last")
    sending.join()


def test_the_default_timeout_is_five_seconds() -> None:
    for method in ("connect", "disconnect", "join", "leave", "reply", "message"):
        function = getattr(Socket, f"await_{method}")
        assert function.__defaults__[-1] == 5.0


# the owner

OWNED: dict[str, Callable[[Socket], Any]] = {
    "await_connect": lambda s: s.await_connect(timeout=LONG),
    "await_disconnect": lambda s: s.await_disconnect(timeout=LONG),
    "await_join": lambda s: s.await_join(TOPIC, timeout=LONG),
    "await_leave": lambda s: s.await_leave(TOPIC, timeout=LONG),
    "await_reply": lambda s: s.await_reply("1", timeout=LONG),
    "await_message": lambda s: s.await_message(timeout=LONG),
    "rejoin": lambda s: s.rejoin("closed"),
    "reconnect": lambda s: s.reconnect(),
}


def owned() -> Socket:
    """Return a socket, not connected, for which each of `OWNED` would have something to do."""
    peer = Peer()
    socket = joined(peer, online(peer), "closed")
    peer.send(ChannelClosed(CLOSED))
    return socket.await_disconnect(timeout=LONG).join(TOPIC)


@pytest.mark.parametrize("method", OWNED)
def test_another_thread_is_told_at_once(method: str) -> None:
    socket = owned()
    error = InThread(OWNED[method], socket).outcome()
    assert isinstance(error, NotOwnerError)
    assert str(error).startswith(f"{method}: the socket belongs to {current()!r}")


@pytest.mark.parametrize("method", OWNED)
def test_an_actor_is_told_at_once_too(method: str) -> None:
    socket = owned()
    with recording(URI, test_mode=True) as (ref, _):
        with pytest.raises(NotOwnerError):
            ref.proxy().do(lambda _: OWNED[method](socket)).get(timeout=PATIENCE)
        # The other way round: the thread has no say over the actor's socket.
        with pytest.raises(NotOwnerError):
            OWNED["await_connect"](ref.proxy().socket.get(timeout=PATIENCE))


# two sockets in one thread


def test_two_sockets_of_one_thread_do_not_mix() -> None:
    one, two = Peer(), Peer()
    first, second = online(one), online(two)
    first, first_ref = asked(one, first)
    second, second_ref = asked(two, second)
    two.send(TopicJoinSucceeded(TOPIC, {"n": 2}, second_ref), message("2"))
    one.send(TopicJoinSucceeded(TOPIC, {"n": 1}, first_ref), message("1"))
    assert first.await_join(TOPIC, timeout=LONG).joins[TOPIC].response == {"n": 1}
    assert second.await_join(TOPIC, timeout=LONG).joins[TOPIC].response == {"n": 2}
    assert first.await_message(timeout=LONG) == message("1")
    two.send(ChannelClosed(CLOSED))
    with pytest.raises(AwaitTimeoutError):
        first.await_disconnect(timeout=0)
    assert second.await_message(timeout=LONG) == message("2")
    assert not second.await_disconnect(timeout=LONG).connected
    assert first.connected


def test_two_sockets_of_one_thread_and_one_server(server: PhoenixServer) -> None:
    first = connect(server.uri).join("bench:1").await_join("bench:1")
    second = connect(server.uri).join("bench:2").await_join("bench:2")
    refs = [
        (socket, socket.push(topic, "echo", n))
        for n in range(20)
        for socket, topic in ((first, "bench:1"), (second, "bench:2"))
    ]
    assert [socket.await_reply(ref).response for socket, ref in reversed(refs)] == [
        n for n in reversed(range(20)) for _ in range(2)
    ]
    first = first.disconnect().await_disconnect()
    assert not first.connected
    assert second.await_reply(second.push("bench:2", "echo", "alive")).ok
    second.disconnect().await_disconnect()


def test_two_sockets_of_one_thread_reconnect_each_on_its_own(server: PhoenixServer) -> None:
    pair = [connect(server.uri, reconnect_after_msec=[0]).await_connect() for _ in range(2)]
    server.drop()
    pair = [socket.await_disconnect(timeout=PATIENCE).reconnect() for socket in pair]
    pair = [socket.await_connect(timeout=PATIENCE) for socket in reversed(pair)]
    server.wait_for_connections(2)
    for socket in pair:
        socket.disconnect().await_disconnect()


# reconnecting and rejoining in a plain thread


def test_a_reconnect_on_the_way_is_let_be() -> None:
    socket = connect(URI, test_mode=True)
    assert socket.reconnect() is socket


CHANGES: dict[str, Callable[[Socket], Socket]] = {
    "connect": lambda s: s.connect(URI, test_mode=True),
    "reconnect": lambda s: s.reconnect(),
}


@pytest.mark.parametrize("method", CHANGES)
def test_what_the_former_connection_has_said_is_forgotten(method: str) -> None:
    peer, other = Peer(), Peer()
    socket = online(peer)
    peer.send(message("1"), ChannelClosed(CLOSED))
    peer.alive = False
    other.send(message("of another socket"))
    CHANGES[method](socket)
    assert left() == [message("of another socket")]


def test_a_reconnect_in_a_thread_connects_at_the_next_await_connect(server: PhoenixServer) -> None:
    socket = connect(server.uri, reconnect_after_msec=[0, 1]).await_connect()
    server.drop()
    socket = socket.await_disconnect(timeout=PATIENCE).reconnect()
    assert not socket.connected
    server.wait_for_connections(0)
    assert socket.reconnect() == socket
    socket = socket.await_connect(timeout=PATIENCE)
    assert socket.connected
    assert socket.reconnect_counter == 0
    assert socket.reconnect() == socket
    socket.disconnect().await_disconnect()


def test_a_reconnect_in_a_thread_can_be_called_off(server: PhoenixServer) -> None:
    socket = connect(server.uri, reconnect_after_msec=[0]).await_connect()
    server.drop()
    socket = socket.await_disconnect(timeout=PATIENCE).reconnect().disconnect()
    with pytest.raises(AwaitTimeoutError):
        socket.await_connect(timeout=0.05)
    server.wait_for_connections(0)


def test_a_timeout_while_reconnecting_gives_the_socket_to_go_on_with(server: PhoenixServer) -> None:
    delays = iter(["0", "1000"])
    options: Options = {
        "reconnect_after_msec": [0],
        "params": lambda: {"connect_delay": next(delays)},
    }
    socket = connect(server.uri, **options).await_connect()
    server.drop()
    socket = socket.await_disconnect(timeout=PATIENCE).reconnect()
    with pytest.raises(AwaitTimeoutError) as raised:
        socket.await_connect(timeout=0.05)
    assert raised.value.socket is not None
    socket = raised.value.socket.await_connect(timeout=PATIENCE)
    assert socket.connected
    socket.disconnect().await_disconnect()


def test_a_rejoin_in_a_thread_is_sent_at_the_next_await_join(server: PhoenixServer) -> None:
    socket = connect(server.uri, rejoin_after_msec=[0]).join("bench:1", {"reply": {"n": 1}})
    socket = socket.await_join("bench:1").leave("bench:1").await_leave("bench:1")
    socket = socket.rejoin("bench:1", {"reply": {"n": 1}})
    assert socket.join_status("bench:1") == "closed"
    assert socket.joins["bench:1"].rejoin_in is not None
    socket = socket.await_join("bench:1", timeout=PATIENCE)
    assert socket.joins["bench:1"].response == {"n": 1}
    socket = socket.leave("bench:1").await_leave("bench:1")
    socket = socket.rejoin("bench:1", {"reply": {"n": 2}}).await_join("bench:1", timeout=PATIENCE)
    assert socket.joins["bench:1"].response == {"n": 2}
    socket.disconnect().await_disconnect()


def test_a_thread_comes_back_to_a_channel_that_crashed(server: PhoenixServer) -> None:
    socket = connect(server.uri).join("test:good").await_join("test:good")
    ref = socket.push("test:good", "raise")
    with pytest.raises(NotJoinedError) as raised:
        socket.await_reply(ref, timeout=PATIENCE)
    assert raised.value.reason == ChannelEnded(ChannelCrashed({"reason": "channel_crash"}))
    socket = socket.leave("test:good").join("test:good").await_join("test:good")
    assert socket.await_reply(socket.push("test:good", "ping")).ok
    socket.disconnect().await_disconnect()


# in plain threads, against the server


def test_a_refused_connection(server: PhoenixServer) -> None:
    with pytest.raises(ConnectFailedError) as raised:
        connect(server.uri, params={"reject": "yes"}).await_connect()
    assert (raised.value.reason.kind, raised.value.reason.status) == ("upgrade", 403)


def test_nothing_listens(server: PhoenixServer) -> None:
    server.stop()
    with pytest.raises(ConnectFailedError) as raised:
        connect(server.uri).await_connect()
    assert raised.value.reason.kind == "refused"


def test_a_path_that_is_no_socket(server: PhoenixServer) -> None:
    with pytest.raises(ConnectFailedError) as raised:
        connect(server.uri.replace("/socket/websocket", "/socket")).await_connect()
    assert (raised.value.reason.kind, raised.value.reason.status) == ("upgrade", 404)


def test_a_topic_is_joined_and_left_again_and_again(server: PhoenixServer) -> None:
    socket = connect(server.uri).await_connect()
    for _ in range(3):
        socket = socket.join("test:good").await_join("test:good")
        assert socket.joined("test:good")
        socket = socket.leave("test:good").await_leave("test:good")
        assert not socket.joined("test:good")
    socket.disconnect().await_disconnect()


@pytest.mark.parametrize(
    ("payload", "pushed_back", "replied"),
    [({}, {"bar": "baz"}, {"pong": "pong"}), (b"\x00\x01", b"\x02\x03", b"\x02\x03")],
    ids=["text", "binary"],
)
def test_messages_and_replies(
    server: PhoenixServer, payload: Any, pushed_back: Any, replied: Any
) -> None:
    socket = connect(server.uri).join("test:good").await_join("test:good")
    for _ in range(2):
        socket.push("test:good", "push to me", payload)
        got = socket.await_message("test:good", "foo", pushed_back)
        assert got == MessageReceived("test:good", "foo", pushed_back)
        ref = socket.push("test:good", "ping", payload)
        assert socket.await_reply(ref) == Reply("ok", replied)
    socket.disconnect().await_disconnect()


def test_collect_garbage_leaves_the_conversation_alone(server: PhoenixServer) -> None:
    socket = connect(server.uri).join("bench:1").await_join("bench:1").collect_garbage()
    assert socket.await_reply(socket.push("bench:1", "echo", "still here")).unwrap() == "still here"
    socket.disconnect().await_disconnect()


class SlowToTell(logging.Handler):
    """Holds up a connection that has ended before it tells of it, until somebody waits for that."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ending, self.is_awaited = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "has lost its connection" in record.getMessage():
            self.is_ending.set()
            assert self.is_awaited.wait(PATIENCE)


def test_a_connection_that_is_about_to_tell_of_its_end(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dead a moment before."""
    socket = connect(server.uri).join("bench:1").await_join("bench:1")
    connection: Any = socket.channel_pid
    ref = socket.push("bench:1", "never")
    socket.await_reply(socket.push("bench:1", "echo"))
    slow, logger = SlowToTell(), logging.getLogger("slipstream_actor")
    wait = Future.wait

    def note(future: Future[Any], timeout: float | None = None) -> bool:
        if future is connection.actor_inbox.ended:
            slow.is_awaited.set()
        return wait(future, timeout)

    monkeypatch.setattr(Future, "wait", note)
    logger.addHandler(slow)
    try:
        server.drop()
        assert slow.is_ending.wait(PATIENCE)
        assert not connection.is_alive()
        with pytest.raises(NotConnectedError) as raised:
            socket.await_reply(ref, timeout=PATIENCE)
    finally:
        slow.is_awaited.set()
        logger.removeHandler(slow)
    assert raised.value.reason == Disconnected(ClosedByPeer(1006))


def test_pushes_in_flight_fail_when_the_connection_is_dropped(server: PhoenixServer) -> None:
    socket = connect(server.uri).join("bench:1").await_join("bench:1")
    ref = socket.push("bench:1", "never")
    socket.await_reply(socket.push("bench:1", "echo"))
    server.drop()
    with pytest.raises(NotConnectedError) as raised:
        socket.await_reply(ref, timeout=PATIENCE)
    assert raised.value.reason == Disconnected(ClosedByPeer(1006))
    socket.await_disconnect()


def test_an_await_after_the_connection_was_lost_unseen(server: PhoenixServer) -> None:
    socket = connect(server.uri).join("bench:1").await_join("bench:1")
    ref = socket.push("bench:1", "echo", 1)
    assert socket.await_reply(ref).ok
    server.drop()
    closed = socket.await_disconnect(timeout=PATIENCE)
    assert closed.await_disconnect(timeout=LONG) == closed
    assert closed.await_leave("bench:1", timeout=LONG) == closed
    with pytest.raises(NotConnectedError):
        closed.await_reply(ref, timeout=LONG)
    with pytest.raises((JoinFailedError, NotConnectedError)):
        closed.await_join("bench:1", timeout=LONG)


# in an actor


def test_an_actor_that_awaits_its_connection_is_not_called_for_it() -> None:
    peer = Peer()
    with recording(URI, test_mode=True) as (ref, log):
        connecting = ref.proxy().do(lambda s: s.await_connect(timeout=LONG))
        ref.tell("a message")
        ref.tell(ChannelConnected(peer))
        connecting.get(timeout=PATIENCE)
        assert log.get(timeout=PATIENCE) == ("info", "a message")
        ref.tell("another")
        assert log.get(timeout=PATIENCE) == ("info", "another")


def test_an_actor_that_awaits_a_join_is_not_called_for_it(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join("test:good").await_join("test:good")).get(timeout=PATIENCE)
        ref.proxy().do(lambda s: s.leave("test:good").await_leave("test:good")).get()
        ref.tell("then")
        assert log.get(timeout=PATIENCE) == ("info", "then")


def test_an_actor_that_awaits_a_recorded_join_is_called_for_the_connection() -> None:
    peer = Peer()
    with recording(URI, test_mode=True) as (ref, log):
        joining = ref.proxy().do(lambda s: s.join(TOPIC).await_join(TOPIC, timeout=LONG))
        ref.tell(ChannelConnected(peer))
        join_ref = peer.told(JoinTopic).join_ref
        ref.tell(Burst(peer, [TopicJoinSucceeded(TOPIC, {}, join_ref)]))
        joining.get(timeout=PATIENCE)
        assert log.get(timeout=PATIENCE) == ("connect",)
        assert ref.proxy().socket.get(timeout=PATIENCE).joined(TOPIC)
        assert peer.commands.empty()  # The join is sent once.


def test_an_actor_whose_connection_fails_while_it_awaits_a_join() -> None:
    with recording(URI, test_mode=True) as (ref, log):
        joining = ref.proxy().do(lambda s: s.join(TOPIC).await_join(TOPIC, timeout=LONG))
        ref.tell(ChannelConnectFailed(NO_SERVER))
        with pytest.raises(JoinFailedError) as raised:
            joining.get(timeout=PATIENCE)
        assert raised.value.reason == Disconnected(NO_SERVER)
        assert log.get(timeout=PATIENCE) == ("disconnect", NO_SERVER)


AWAITS: dict[str, tuple[Callable[[Socket], Any], type[Exception]]] = {
    "await_join": (lambda s: s.join("new").await_join("new", timeout=LONG), JoinFailedError),
    "await_leave": (lambda s: s.await_leave(TOPIC, timeout=LONG), NotConnectedError),
    "await_reply": (lambda s: s.await_reply("1", timeout=LONG), NotConnectedError),
    "await_message": (lambda s: s.await_message(timeout=LONG), NotConnectedError),
}


@pytest.mark.parametrize("burst", [False, True], ids=["by hand", "by the connection"])
@pytest.mark.parametrize("method", AWAITS)
def test_a_disconnect_fails_the_await_and_is_still_delivered(method: str, burst: bool) -> None:
    await_it, error = AWAITS[method]
    peer = Peer()
    closed = ChannelClosed(CLOSED)
    with recording(URI, test_mode=True) as (ref, log):
        ref.tell(ChannelConnected(peer))
        ref.tell(TopicJoinSucceeded(TOPIC))
        log.take("join")
        awaiting = ref.proxy().do(await_it)
        ref.tell(Burst(peer, [closed]) if burst else closed)
        with pytest.raises(error):
            awaiting.get(timeout=PATIENCE)
        assert log.get(timeout=PATIENCE) == ("disconnect", CLOSED)
        assert ref.proxy().socket.get(timeout=PATIENCE).reconnect_counter == 1


def test_a_crash_fails_the_await_of_a_reply_and_is_still_delivered(server: PhoenixServer) -> None:
    def crash(socket: Socket) -> None:
        socket.await_reply(socket.push("test:good", "raise"), timeout=LONG)

    with recording(server.uri, rejoin_after_msec=[0]) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join("test:good")).get(timeout=PATIENCE)
        log.take("join")
        with pytest.raises(NotJoinedError) as raised:
            ref.proxy().do(crash).get(timeout=PATIENCE)
        crashed = ChannelCrashed({"reason": "channel_crash"})
        assert raised.value.reason == ChannelEnded(crashed)
        assert log.get(timeout=PATIENCE) == ("topic_close", "test:good", crashed)
        assert log.get(timeout=PATIENCE)[:2] == ("join", "test:good")


def test_an_actor_that_awaits_its_disconnect_is_not_called_for_it(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.disconnect().await_disconnect()).get(timeout=PATIENCE)
        ref.tell("then")
        assert log.get(timeout=PATIENCE) == ("info", "then")
        ref.proxy().do(lambda s: s.reconnect().await_connect()).get(timeout=PATIENCE)
        ref.tell("and then")
        assert log.get(timeout=PATIENCE) == ("info", "and then")


def test_a_reconnect_that_is_awaited_happens_once(server: PhoenixServer) -> None:
    with recording(server.uri, reconnect_after_msec=[0]) as (ref, log):
        log.take("connect")
        server.drop()
        log.take("disconnect")
        log.take("connect")
        server.wait_for_connections(1)
        assert ref.proxy().do(lambda s: s.await_connect().connected).get(timeout=PATIENCE)
        server.wait_for_connections(1)


def come_and_go(server: PhoenixServer) -> weakref.ref[Any]:
    """Connect, push, take no notice of what comes of it, and disconnect."""
    socket = connect(server.uri).await_connect().join(TOPIC).await_join(TOPIC)
    socket.push(TOPIC, "quicksand", reply_timeout=PATIENCE)
    connection = socket.channel_pid
    assert connection is not None
    socket.disconnect()
    wait(connection, timeout=PATIENCE)
    eventually(lambda: not connection.is_alive())
    return weakref.ref(connection)


def test_a_thread_that_comes_and_goes_keeps_nothing_of_its_connections(
    server: PhoenixServer,
) -> None:
    # Nobody has awaited what they have said, and nobody can any more.
    former = [come_and_go(server) for _ in range(3)]
    socket = connect(server.uri).await_connect()
    # Their threads let go of them a moment after they have ended.
    eventually(lambda: gc.collect() >= 0 and not any(ref() for ref in former))
    inbox = current().actor_inbox
    assert (inbox.depth, inbox.former, inbox.ledger.settle_all()) == (0, [], [])
    socket.disconnect().await_disconnect()


def test_a_new_connection_drops_nothing_that_can_be_awaited(server: PhoenixServer) -> None:
    one = connect(server.uri).await_connect().disconnect()
    server.wait_for_connections(0)
    other = connect(server.uri).await_connect().disconnect()
    assert not one.await_disconnect().connected
    assert not other.await_disconnect().connected


# signals


class Alarm(Exception):
    """What a signal handler raises."""


def ring() -> None:
    raise Alarm


INTERRUPTED: dict[str, tuple[Callable[[Socket], Any], list[Any]]] = {
    "a message": (
        lambda socket: socket.await_message(TOPIC, "2", timeout=LONG),
        [MessageReceived(TOPIC, str(n)) for n in range(4)],
    ),
    "a reply": (
        lambda socket: socket.await_reply("7", timeout=LONG),
        [MessageReceived(TOPIC, "1"), ReplyReceived(TOPIC, Ref("7", TOPIC, None), Reply("ok", {}))],
    ),
    "a leave": (
        lambda socket: socket.await_leave(TOPIC, timeout=LONG),
        [MessageReceived(TOPIC, "1"), TopicLeft(TOPIC), MessageReceived(TOPIC, "2")],
    ),
    "a disconnect": (
        lambda socket: socket.await_disconnect(timeout=LONG),
        [MessageReceived(TOPIC, "1"), ChannelClosed(CLOSED)],
    ),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_exception_in_an_await_loses_no_event(name: str) -> None:
    """Whatever it has done with the event already: it can be awaited again."""
    function, events = INTERRUPTED[name]
    seen: list[Any] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        current()
        set_current(None)
        peer = Peer()
        socket = joined(peer, online(peer))
        if name == "a leave":
            socket = socket.leave(TOPIC)
        peer.send(*events[:1])
        peer.send(*events[1:])
        seen[:] = [socket]
        return (lambda: function(socket)), ring

    moments = 0
    for result in interrupted(prepare):
        moments += 1
        if not isinstance(result, Alarm):
            assert not isinstance(result, BaseException), repr(result)
            assert len(left()) == len(events) - 1
            continue
        assert current().actor_inbox.taken is None
        function(seen[0])  # It is there still, and so are the others.
        assert len(left()) == len(events) - 1
    assert moments > 20
