"""A method of a client that raises behind an await, and the client lives: what the await has taken
of the connection and its joins is told as if nobody had awaited it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    ConnectFailedError,
    JoinFailedError,
    JoinRefused,
    Next,
    NotJoinedError,
    Socket,
    debug,
    events,
    get_state,
    invoke,
    new_socket,
)
from slipstream_actor.testing import PhoenixServer
from tests.integration.test_lost_sockets import require_agreement
from tests.integration.test_pairs import NEVER, socket_of, until, until_mark
from tests.support.clients import PATIENCE, Log, Staying, do, eventually, recording
from tests.support.raw_server import (
    PING,
    PONG,
    Peer,
    RawServer,
    broadcast,
    dead_port,
    frame,
    message,
)

TOPIC, OTHER = "bench:room", "bench:other"
REFUSING = {"error": {"reason": "no"}}


class Failing(Staying):
    """Connects when it is told to, and does what its methods are given before they raise."""

    def init(self, uri: str, log: queue.Queue[Any], **options: Any) -> Socket:
        self.uri, self.log, self.options = uri, log, options
        return new_socket()

    def connected(self) -> Socket:
        return self.socket.connect(self.uri, **self.options)

    def fail(self, step: Callable[[Failing], Any]) -> None:
        step(self)
        raise LookupError

    @property
    def failing(self) -> Any:
        return self.fail(self.step)

    def prepare(self, step: Callable[[Failing], Any]) -> None:
        self.step = step

    def handle_call(self, asked: Any, from_: Any, socket: Socket) -> Next:
        asked(self)
        if from_ is not None:
            raise LookupError
        return Next()


class Continuing(Failing):
    """Raises in the continuation of what it was asked."""

    def handle_call(self, asked: Any, from_: Any, socket: Socket) -> Next:
        return Next(then=asked)

    def handle_continue(self, asked: Any, socket: Socket) -> None:
        self.fail(asked)


def by_proxy(ref: Any, step: Any) -> None:
    ref.proxy().fail(step).get(timeout=PATIENCE)


def by_ask(ref: Any, step: Any) -> None:
    ref.ask(step, timeout=PATIENCE)


def by_invoke(ref: Any, step: Any) -> None:
    invoke(ref, Failing.fail, step).get(timeout=PATIENCE)


def by_property(ref: Any, step: Any) -> None:
    ref.proxy().prepare(step).get(timeout=PATIENCE)
    ref.proxy().failing.get(timeout=PATIENCE)


Way = Callable[[Any, Any], None]
each_way = pytest.mark.parametrize("way", [by_proxy, by_ask, by_invoke, by_property])


def failing(server: Any, kind: type[Failing] = Failing) -> Any:
    return recording(server.uri, kind, **NEVER)


def fails(ref: Any, step: Any, way: Way = by_proxy, kind: type[Exception] = LookupError) -> None:
    with pytest.raises(kind):
        way(ref, step)


def connect(ref: Any, log: Log, *topics: str) -> None:
    do(ref, lambda s: ref._actor_weakref().connected())
    log.take("connect")
    for topic in topics:
        do(ref, lambda s, topic=topic: s.join(topic))
        log.take("join", topic)


def await_connection(client: Failing) -> None:
    client.socket = client.connected()
    client.socket.await_connect(PATIENCE)


def await_join(client: Failing) -> None:
    client.socket = client.socket.join(TOPIC)
    client.socket.await_join(TOPIC, PATIENCE)


def await_disconnect(client: Failing) -> None:
    client.socket.disconnect().await_disconnect(PATIENCE)


def await_leave(client: Failing) -> None:
    client.socket = client.socket.leave(TOPIC)
    client.socket.await_leave(TOPIC, PATIENCE)


def heard(ref: Any, log: Log) -> list[Any]:
    """What has been told by now, without what is told with it."""
    return [entry[:2] for entry in until_mark(ref, log)]


@each_way
def test_a_connection(server: PhoenixServer, way: Way) -> None:
    with failing(server) as (ref, log):
        fails(ref, await_connection, way)
        assert heard(ref, log) == [("connect",)]
        assert socket_of(ref).status == "connected"
        do(ref, lambda s: s.disconnect())
        assert log.get(timeout=PATIENCE) == ("disconnect", ClosedByClient())
        do(ref, lambda s: s.reconnect(delay=0))
        log.take("connect")
        told = debug.report()["clients"]
        [client] = [c for c in told if c["id"] == ref.actor_urn]
        assert client["reconnects"] == 1
        assert [p["what"] for p in client["history"]] == ["connected", "closed", "connected"]


@each_way
def test_a_join(server: PhoenixServer, way: Way) -> None:
    with failing(server) as (ref, log):
        connect(ref, log)
        fails(ref, await_join, way)
        assert heard(ref, log) == [("join", TOPIC)]
        assert socket_of(ref).joined(TOPIC)


@each_way
def test_a_disconnect(server: PhoenixServer, way: Way) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)
        fails(ref, await_disconnect, way)
        assert heard(ref, log) == [("disconnect", ClosedByClient())]
        assert socket_of(ref).status == "disconnected"
        do(ref, lambda s: s.reconnect(delay=0))
        assert [e[0] for e in until(log, "join")] == ["connect", "join"]


@each_way
def test_a_leave(server: PhoenixServer, way: Way) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)
        fails(ref, await_leave, way)
        assert heard(ref, log) == [("leave", TOPIC)]


def test_a_continuation(server: PhoenixServer) -> None:
    with failing(server, Continuing) as (ref, log):
        fails(ref, await_connection, by_ask)
        assert heard(ref, log) == [("connect",)]


def test_a_leave_that_is_lost(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)
        fails(ref, lambda c: c.socket.leave(TOPIC).await_leave(TOPIC, PATIENCE))
        assert heard(ref, log) == [("leave", TOPIC)]
        require_agreement(server, ref)


def test_a_leave_of_which_the_server_knows_nothing(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        fails(ref, await_leave)
        assert heard(ref, log) == [("leave", TOPIC)]
        do(ref, lambda s: s.join(TOPIC))
        fails(ref, lambda c: c.socket.leave(TOPIC).await_leave(TOPIC, PATIENCE))
        assert heard(ref, log) == []
        connect(ref, log)
        log.take("join", TOPIC)


def test_the_leaves_that_an_awaited_end_owes(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)

        def leave_and_disconnect(client: Failing) -> None:
            client.socket = client.socket.leave(TOPIC)
            client.socket.disconnect().await_disconnect(PATIENCE)

        fails(ref, leave_and_disconnect)
        assert heard(ref, log) == [("leave", TOPIC), ("disconnect", ClosedByClient())]


def test_an_end_that_nobody_has_asked_for(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log)

        def drop(client: Failing) -> None:
            server.drop()
            client.socket.await_disconnect(PATIENCE)

        fails(ref, drop)
        [(_, reason)] = heard(ref, log)
        assert isinstance(reason, ClosedByPeer)


def test_a_whole_life(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):

        def live(client: Failing) -> None:
            client.socket = client.connected().join(TOPIC)
            socket = client.socket.await_connect(PATIENCE).await_join(TOPIC, PATIENCE)
            socket.disconnect().await_disconnect(PATIENCE)

        fails(ref, live)
        told = until_mark(ref, log)
        assert [entry[0] for entry in told] == ["connect", "disconnect"]
        server.wait_for_connections(0)


class Asking(Failing):
    """Awaits a reply in the callback of a message."""

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        ref = socket.push(TOPIC, "echo")
        with pytest.raises(NotJoinedError):
            socket.await_reply(ref, PATIENCE)
        self.note("not joined")


def test_the_end_of_a_join_ends_awaits_of_replies_though_it_was_awaited(
    server: PhoenixServer,
) -> None:
    def hear_and_leave(client: Failing) -> None:
        depth = client.actor_inbox.depth
        server.broadcast(OTHER, "shout", {})
        eventually(lambda: client.actor_inbox.depth > depth, "the message")
        client.socket.leave(TOPIC).await_leave(TOPIC, PATIENCE)

    with failing(server, Asking) as (ref, log):
        connect(ref, log, TOPIC, OTHER)
        begun = time.monotonic()
        fails(ref, hear_and_leave)
        assert heard(ref, log) == [("not joined",), ("leave", TOPIC)]
        assert time.monotonic() - begun < PATIENCE / 2


# what an await refuses is told by its error, and what its method had is as before


def test_an_attempt_that_fails() -> None:
    with (
        dead_port() as port,
        recording(f"ws://127.0.0.1:{port}/", Failing, **NEVER) as (ref, log),
    ):
        fails(ref, await_connection, kind=ConnectFailedError)
        [(_, reason)] = heard(ref, log)
        assert isinstance(reason, ConnectFailed)
        assert socket_of(ref).last_failure == reason


def test_a_join_that_is_refused(server: PhoenixServer) -> None:
    def refused(client: Failing) -> None:
        client.socket = client.socket.join(TOPIC, REFUSING)
        client.socket.await_join(TOPIC, PATIENCE)

    with failing(server) as (ref, log):
        connect(ref, log)
        fails(ref, refused, kind=JoinFailedError)
        assert heard(ref, log) == [("topic_close", TOPIC)]
        assert socket_of(ref).joins[TOPIC].reason == JoinRefused({"reason": "no"})


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_refusal_whose_socket_it_goes_on_with(server: PhoenixServer, by_hand: bool) -> None:
    def go_on(client: Failing) -> None:
        client.socket = client.socket.join(TOPIC, {"delay": 60_000} if by_hand else REFUSING)
        if by_hand:
            client.actor_ref.tell(events.TopicJoinFailed(TOPIC, JoinRefused({})))
        try:
            client.socket.await_join(TOPIC, PATIENCE)
        except JoinFailedError as error:
            client.socket = error.socket

    with failing(server) as (ref, log):
        connect(ref, log)
        fails(ref, go_on)
        assert heard(ref, log) == []
        assert socket_of(ref).join_status(TOPIC) == "closed"


def test_an_await_that_a_disconnect_ends_has_taken_nothing(server: PhoenixServer) -> None:
    def drop(client: Failing) -> None:
        client.socket = client.socket.join(TOPIC, {"delay": 60_000})
        server.drop()
        client.socket.await_join(TOPIC, PATIENCE)

    with failing(server) as (ref, log):
        connect(ref, log)
        fails(ref, drop, kind=JoinFailedError)
        assert [name for name, *_ in heard(ref, log)] == ["disconnect"]


# what is due


def test_a_reconnect_that_was_due(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)
        do(ref, lambda s: s.reconnect(delay=0.02))
        do(ref, lambda s: s.disconnect())
        log.take("disconnect")
        do(ref, lambda s: s.reconnect(delay=0.02))
        fails(ref, lambda c: c.socket.await_connect(PATIENCE))
        assert [e[0] for e in until(log, "join")] == ["connect", "join"]
        require_agreement(server, ref)
        assert heard(ref, log) == []


def test_a_rejoin_that_was_due(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log)
        do(ref, lambda s: s.join(TOPIC, REFUSING))
        log.take("topic_close")
        do(ref, lambda s: s.rejoin(TOPIC, {}, delay=0.02))
        fails(ref, lambda c: c.socket.await_join(TOPIC, PATIENCE))
        assert [e[0] for e in until(log, "join")] == ["join"]
        require_agreement(server, ref)
        assert heard(ref, log) == []


# the socket that stands


def assigns(await_it: Callable[[Failing], Socket]) -> Callable[[Failing], None]:
    def step(client: Failing) -> None:
        client.socket = await_it(client)

    return step


@each_way
def test_what_its_socket_knows_of_is_not_told_again(server: PhoenixServer, way: Way) -> None:
    with failing(server) as (ref, log):
        for step in (
            lambda c: c.connected().await_connect(PATIENCE),
            lambda c: c.socket.join(TOPIC).await_join(TOPIC, PATIENCE).assign(n=1),
            lambda c: c.socket.leave(TOPIC).await_leave(TOPIC, PATIENCE),
            lambda c: c.socket.join(OTHER).await_join(OTHER, PATIENCE),
            lambda c: c.socket.disconnect().await_disconnect(PATIENCE),
            lambda c: c.socket.join(TOPIC).leave(TOPIC).await_leave(TOPIC, PATIENCE),
            lambda c: c.socket.reconnect(delay=0).await_connect(PATIENCE),
        ):
            fails(ref, assigns(step), way)
            assert socket_of(ref)._awaited is None
        told = until(log, "join", OTHER)[:-1] + heard(ref, log)
        assert told == []
        assert socket_of(ref).status == "connected"


def test_only_what_its_socket_does_not_know_of_is_told(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log)

        def siblings(client: Failing) -> None:
            client.socket = client.socket.join(TOPIC).join(OTHER)
            client.socket.await_join(TOPIC, PATIENCE)
            client.socket = client.socket.await_join(OTHER, PATIENCE)

        fails(ref, siblings)
        assert heard(ref, log) == [("join", TOPIC)]
        assert socket_of(ref).joined(TOPIC)
        assert socket_of(ref).joined(OTHER)


def test_a_connection_that_its_socket_has_never_known(server: PhoenixServer) -> None:
    """It is closed, as is one whose event comes by itself."""
    with failing(server) as (ref, log):
        fails(ref, lambda c: c.connected().await_connect(PATIENCE))
        require_agreement(server, ref, connections=0)
        server.wait_for_connections(0)
        assert heard(ref, log) == []


def test_a_join_that_its_socket_has_never_known(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        connect(ref, log, OTHER)
        fails(ref, lambda c: c.socket.join(TOPIC).await_join(TOPIC, PATIENCE))
        require_agreement(server, ref)
        assert heard(ref, log) == []
        assert TOPIC not in socket_of(ref).joins


def test_a_connection_with_what_was_asked_for_before_it_came(server: PhoenixServer) -> None:
    """The await has sent the join; it is sent once more, and told once."""
    with failing(server) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        fails(ref, await_connection)
        assert [e[0] for e in until(log, "join")] == ["connect", "join"]
        require_agreement(server, ref)
        assert heard(ref, log) == []


def test_a_method_that_returns_keeps_what_it_has_awaited(server: PhoenixServer) -> None:
    with failing(server) as (ref, log):
        do(ref, lambda s: ref._actor_weakref().connected().await_connect(PATIENCE))
        do(ref, lambda s: s.join(TOPIC).await_join(TOPIC, PATIENCE))
        assert heard(ref, log) == []
        assert socket_of(ref)._awaited is None


# its order, among what is told besides


def answered(peer: Peer, *, in_one_go: bool) -> None:
    """Say all when everything was asked: at once, or each when the client has read the last."""
    peer.upgrade()
    peer.join()
    asked = {came[2]: came for came in (peer.expect("phx_join"), peer.expect("phx_join"))}
    asked["room"] = peer.expect("hello")
    a, b, reply = (
        message(
            asked[topic][0], asked[topic][1], topic, "phx_reply", {"status": "ok", "response": {}}
        )
        for topic in ("a", "b", "room")
    )
    m0, m1, m2, m3, m4 = (broadcast(f"m{n}") for n in range(5))
    said = [m0, m1, a, m2, reply, b, m3, m4]
    for data in [b"".join(said)] if in_one_go else said:
        peer.send(data + frame(PING))
        while peer.frame().opcode != PONG:
            pass
    peer.serve()


def await_some(client: Failing) -> None:
    """Await all but two messages, in another order than they come in."""
    socket = client.socket = client.socket.join("a").join("b")
    ref = socket.push("room", "hello")
    socket.await_message(event="m4", timeout=PATIENCE)
    socket.await_join("b", PATIENCE)
    socket.await_message(event="m1", timeout=PATIENCE)
    assert socket.await_reply(ref, PATIENCE).ok
    socket.await_join("a", PATIENCE)
    socket.await_message(event="m3", timeout=PATIENCE)


@each_way
@pytest.mark.parametrize("in_one_go", [True, False])
def test_it_is_told_where_it_came(way: Way, in_one_go: bool) -> None:
    """What was awaited besides, messages and replies, is not told."""
    with (
        RawServer(lambda peer: answered(peer, in_one_go=in_one_go)) as server,
        failing(server) as (ref, log),
    ):
        connect(ref, log, "room")
        fails(ref, await_some, way)
        assert [entry[:3] for entry in until_mark(ref, log)] == [
            ("message", "room", "m0"),
            ("join", "a", {}),
            ("message", "room", "m2"),
            ("join", "b", {}),
        ]
        state = get_state(get_state(ref).connection)
        assert (state.undelivered, state.undelivered_bytes) == (0, 0)


def test_awaits_of_replies_and_messages_are_not_noted(server: PhoenixServer) -> None:
    def await_both(client: Failing) -> None:
        inbox = client.actor_inbox
        socket = client.socket
        assert socket.await_reply(socket.push(TOPIC, "broadcast"), PATIENCE).ok
        socket.await_message(event="shout", timeout=PATIENCE)
        assert inbox.awaited == ()
        assert inbox.taken is None

    with failing(server) as (ref, log):
        connect(ref, log, TOPIC)
        fails(ref, await_both)
        assert heard(ref, log) == []
