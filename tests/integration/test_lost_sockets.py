"""A method or a callback that forgets its socket: what it asked for was not sent or is taken back,
and client and server agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    CallbackReturnError,
    ChannelEnded,
    ClosedByClient,
    Ignore,
    JoinFailedError,
    JoinRefused,
    LeftByClient,
    Socket,
    StartError,
    StartIgnored,
    Stop,
    cast,
    connect,
    debug,
    get_state,
    new_socket,
    wait,
)
from slipstream_actor.socket import joining, sending
from slipstream_actor.testing import PhoenixServer
from tests.integration.test_pairs import NEVER, socket_of, until, until_mark
from tests.support.clients import PATIENCE, Log, Recorder, Staying, do, eventually, recording

TOPIC, OTHER = "bench:room", "bench:other"
SOON = 5.0


class Forgetful(Staying):
    """Asks for things with its socket, and forgets what came of it."""

    def forget(self, ask: Callable[[Socket], Any]) -> None:
        ask(self.socket)

    def fail(self, ask: Callable[[Socket], Any]) -> None:
        ask(self.socket)
        raise LookupError("of its own")

    def handle_cast(self, message: Any, socket: Socket) -> None:
        message(socket)


Lose = Callable[[Any, Callable[[Socket], Any]], None]


def forgets(ref: Any, ask: Callable[[Socket], Any]) -> None:
    with pytest.raises(CallbackReturnError):
        ref.proxy().forget(ask).get(timeout=PATIENCE)


def fails(ref: Any, ask: Callable[[Socket], Any]) -> None:
    with pytest.raises(LookupError):
        ref.proxy().fail(ask).get(timeout=PATIENCE)


each_way = pytest.mark.parametrize("lose", [forgets, fails])


def joined(ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC, {"token": "SECRET"}))
    log.take("join")


def require_agreement(server: PhoenixServer, ref: Any, connections: int = 1) -> None:
    """Soon the client says what the server knows, in topics and in connections."""

    def agree() -> bool:
        socket = socket_of(ref)
        if int(socket.connected) != connections or server.connections != connections:
            return False
        if not socket.connected:
            return True
        ours = {topic for topic, join in socket.joins.items() if join.status == "joined"}
        topics = get_state(get_state(ref).connection).topics
        return ours == {t for t, state in topics.items() if state.status == "joined"} == set(topics)

    begun = time.monotonic()
    eventually(agree, "that client and server agree")
    assert time.monotonic() - begun < SOON


@each_way
@pytest.mark.parametrize(
    "params", [{}, {"delay": 50}, {"error": {}}], ids=["ok", "slow", "refused"]
)
def test_a_join_that_is_lost(server: PhoenixServer, lose: Lose, params: Any) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        lose(ref, lambda s: s.join(OTHER, params))
        require_agreement(server, ref)
        assert OTHER not in socket_of(ref).joins
        assert do(ref, lambda s: s.await_reply(s.push(TOPIC, "echo"))).ok
        assert until_mark(ref, log) == []


@each_way
def test_a_join_that_is_lost_fails_what_was_buffered_for_it(
    server: PhoenixServer, lose: Lose
) -> None:
    pushes: list[Any] = []
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        lose(ref, lambda s: pushes.append(s.join(OTHER).push(OTHER, "echo", buffer=True)))
        begun = time.monotonic()
        failed = log.take("push_failed")
        assert failed == ("push_failed", pushes[0], ChannelEnded("left"))
        assert time.monotonic() - begun < SOON
        require_agreement(server, ref)


@pytest.mark.parametrize("way", ["returns nothing", "fails", "a callback"])
def test_a_leave_that_is_lost_has_been_made(server: PhoenixServer, way: str) -> None:
    """The server was told: it is no mistake to return nothing."""
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        if way == "fails":
            fails(ref, lambda s: s.leave(TOPIC))
        elif way == "a callback":
            ref.proxy().handle_cast(lambda s: s.leave(TOPIC), socket_of(ref)).get(timeout=PATIENCE)
        else:
            ref.proxy().forget(lambda s: s.leave(TOPIC)).get(timeout=PATIENCE)
        assert do(ref, lambda s: s.join_status(TOPIC)) == "closed", "at once"
        log.take("leave", TOPIC)
        join = socket_of(ref).joins[TOPIC]
        assert (join.status, join.reason, join.params) == ("closed", LeftByClient(), {})
        require_agreement(server, ref)
        do(ref, lambda s: s.reconnect(delay=0))
        log.take("connect")
        require_agreement(server, ref)
        assert until_mark(ref, log) == []


def test_a_leave_that_is_lost_and_answered_at_once(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's answer is there before the method that asked has gone on."""
    told = sending.tell

    def tell_and_be_answered(connection: Any, command: Any) -> bool:
        depth = debug.get_status(ref)["mailbox"]["depth"]
        made = told(connection, command)
        eventually(lambda: debug.get_status(ref)["mailbox"]["depth"] > depth, "the server's answer")
        return made

    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        monkeypatch.setattr(joining, "tell", tell_and_be_answered)
        ref.proxy().forget(lambda s: s.leave(TOPIC)).get(timeout=PATIENCE)
        log.take("leave", TOPIC)
        assert socket_of(ref).joins[TOPIC].reason == LeftByClient()
        assert until_mark(ref, log) == []


def test_a_leave_that_is_lost_while_the_join_is_answered(server: PhoenixServer) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, {"delay": 30}))
        ref.proxy().forget(lambda s: s.leave(TOPIC)).get(timeout=PATIENCE)
        assert [entry[0] for entry in until(log, "leave")] == ["leave"]
        assert socket_of(ref).joins[TOPIC].reason == LeftByClient()
        require_agreement(server, ref)


@each_way
@pytest.mark.parametrize("leaving", [True, False], ids=["leave", "rejoin"])
def test_a_topic_that_waits_for_its_rejoin_goes_on_waiting(
    server: PhoenixServer, lose: Lose, leaving: bool
) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, {"error": {}}))
        log.take("topic_close")
        do(ref, lambda s: s.rejoin(TOPIC, {}, delay=0.2))
        due = socket_of(ref).joins[TOPIC]._details.rejoin
        assert due is not None
        lose(ref, lambda s: s.leave(TOPIC) if leaving else s.rejoin(TOPIC, delay=600))
        join = socket_of(ref).joins[TOPIC]
        assert join.reason == JoinRefused({})
        assert join.rejoin_in is not None
        assert [entry[0] for entry in until(log, "join")] == ["join"], "and no handle_leave"
        assert time.monotonic() >= due.due
        require_agreement(server, ref)


@each_way
@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.disconnect(),
        lambda s: s.reconnect(delay=600),
        lambda s: s.reconnect(delay=0),
        lambda s: s.connect("ws://192.0.2.1/"),
    ],
    ids=["disconnect", "reconnect later", "reconnect", "connect"],
)
def test_a_backoff_goes_on(server: PhoenixServer, lose: Lose, ask: Any) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        server.drop()
        log.take("disconnect")
        do(ref, lambda s: s.reconnect(delay=0.2))
        lose(ref, ask)
        assert socket_of(ref).status in ("waiting", "connecting")
        assert [entry[0] for entry in until(log, "join")] == ["connect", "join"]
        require_agreement(server, ref)
        assert until_mark(ref, log) == []


@each_way
@pytest.mark.parametrize("method", ["connect", "reconnect"])
def test_a_connection_that_is_lost(server: PhoenixServer, lose: Lose, method: str) -> None:
    """The first has been let go, and the second is nobody's."""
    asks: dict[str, Any] = {
        "connect": lambda s: s.connect(server.uri),
        "reconnect": lambda s: s.reconnect(delay=0),
    }
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        lose(ref, asks[method])
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        require_agreement(server, ref, connections=0)
        do(ref, lambda s: s.reconnect(delay=0))
        assert [entry[0] for entry in until(log, "join")] == ["connect", "join"]
        require_agreement(server, ref)
        assert until_mark(ref, log) == []


def test_a_disconnect_that_is_lost_has_been_made(server: PhoenixServer) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        ref.proxy().forget(lambda s: s.disconnect()).get(timeout=PATIENCE)
        assert not socket_of(ref).connected
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        require_agreement(server, ref, connections=0)


def test_a_push_whose_ref_is_lost_has_been_made(server: PhoenixServer) -> None:
    with recording(server.uri, Forgetful, **NEVER) as (ref, log):
        joined(ref, log)
        ref.proxy().forget(lambda s: s.push(TOPIC, "echo", {"n": 1})).get(timeout=PATIENCE)
        fails(ref, lambda s: s.push(TOPIC, "echo", {"n": 2}, reply_timeout=60))
        assert [log.take("reply")[2].response["n"] for _ in range(2)] == [1, 2]
        assert until_mark(ref, log) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.join(OTHER),
        lambda s: s.leave(TOPIC).join(TOPIC),
        lambda s: s.connect("ws://192.0.2.1/"),
        lambda s: s.disconnect().reconnect(delay=0),
    ],
    ids=["join", "leave and join", "connect", "disconnect and reconnect"],
)
def test_a_callback_that_forgets_ends_its_client(server: PhoenixServer, ask: Any) -> None:
    """And the connection with it."""

    class Casting(Forgetful):
        def handle_info(self, message: Any, socket: Socket) -> None:
            ask(socket)

    with recording(server.uri, Casting, **NEVER) as (ref, log):
        joined(ref, log)
        ref.tell("forget")
        assert isinstance(wait(ref, timeout=PATIENCE), CallbackReturnError)
        server.wait_for_connections(0, SOON)


class Beginning(Recorder):
    """Ends in `init`, behind its connection, of which its socket knows nothing."""

    def init(self, uri: str, log: Any, **options: Any) -> Any:
        self.log, how = log, options.pop("how")
        how(socket := connect(uri, **options).await_connect(PATIENCE))
        return {stops: Stop("no", socket), ignores: Ignore()}.get(how)

    def terminate(self, reason: Any, socket: Socket) -> None:
        raise AssertionError("it has never begun")


def refuses(socket: Socket) -> None:
    socket.join(TOPIC, {"error": {}}).await_join(TOPIC, PATIENCE)


def meets_another(socket: Socket) -> None:
    another = new_socket().connect(socket.channel_config.uri.geturl())  # type: ignore[union-attr]
    another.await_connect(PATIENCE)
    raise LookupError


def stops(socket: Socket) -> None:
    """Return `Stop`."""


def ignores(socket: Socket) -> None:
    """Return `Ignore`."""


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (refuses, JoinFailedError),
        (meets_another, LookupError),
        (stops, StartError),
        (ignores, StartIgnored),
    ],
)
def test_a_client_that_does_not_begin_closes_what_it_has_awaited(
    server: PhoenixServer, how: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Beginning.start(server.uri, Log(), how=how)
    server.wait_for_connections(0, SOON)


def test_a_client_that_ends_closes_what_it_has_awaited(server: PhoenixServer) -> None:
    class Meeting(Forgetful):
        def handle_cast(self, message: Any, socket: Socket) -> None:
            connect(server.uri).await_connect(PATIENCE)
            server.wait_for_connections(2, SOON)
            raise LookupError

    with recording(server.uri, Meeting, **NEVER) as (ref, log):
        joined(ref, log)
        cast(ref, "meet")
        assert isinstance(wait(ref, timeout=PATIENCE), LookupError)
        server.wait_for_connections(0, SOON)
