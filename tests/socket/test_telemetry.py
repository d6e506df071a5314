"""What clients tell, as far as no connection is needed for it, and that each span ends once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from slipstream_actor import (
    ChannelEnded,
    ClosedByClient,
    Disconnected,
    NotConnectedError,
    NotJoinedError,
    Ref,
    Reply,
    Socket,
    connect,
    get_state,
    telemetry,
    wait,
)
from slipstream_actor.client import telemetry as client_telemetry
from slipstream_actor.client.defaults import CALLBACK_NAMES
from slipstream_actor.client.telemetry import callback
from slipstream_actor.connection import telemetry as connection_telemetry
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.socket import telemetry as instrumentation
from slipstream_actor.socket.telemetry import (
    CLIENT,
    abandon,
    apply_event,
    observed_push,
    push_ended,
)
from slipstream_actor.telemetry import dispatch
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Recorder, recording
from tests.support.telemetry_recorder import Observed, observing

pytestmark = pytest.mark.usefixtures("new_mailbox")

URI = "ws://localhost:4000/socket/websocket"
PREFIX = ("slipstream", "client")
T = "room:1"


@pytest.fixture
def told() -> Iterator[Observed]:
    with observing(PREFIX) as told:
        yield told


class FakeConnection:
    """A connection that is alive, and nothing else."""

    alive = True

    def is_alive(self) -> bool:
        return self.alive

    def tell(self, command: Any) -> None:
        pass


def connecting() -> Socket:
    """A socket whose connection the test is."""
    return connect(URI, test_mode=True)


def ends(told: Observed) -> list[str]:
    return [each.name for each in told.all if not each.name.endswith("start")]


# connects and joins


def test_what_is_under_way_is_remembered_by_its_times_alone(told: Observed) -> None:
    socket = connecting().join(T, {"a": 1})
    assert set(socket._open_spans) == {None, T}
    for begun in socket._open_spans.values():
        assert not any(isinstance(value, Socket) for value in begun.metadata().values())
    socket = apply_event(socket, ChannelConnected(None))
    assert set(socket._open_spans) == {T}
    socket = apply_event(socket, TopicJoinSucceeded(T, {"b": 2}))
    assert not socket._open_spans
    assert ends(told) == ["client.connect.stop", "client.join.stop"]


def test_a_span_ends_once_whatever_becomes_of_the_socket(told: Observed) -> None:
    """A callback that raises through a proxy leaves the socket as it was."""
    socket = connecting()
    for _ in range(2):
        assert not apply_event(socket, ChannelConnected(None))._open_spans
    apply_event(socket, ChannelClosed(ClosedByClient()))
    assert ends(told) == ["client.connect.stop"]


def test_a_recorded_join_that_is_left_or_asked_for_anew(told: Observed) -> None:
    socket = connecting().join(T, {"a": 1})
    socket = socket.join(T, {"a": 2})
    assert told.named("client.join.exception")[0].metadata["params"] == {"a": 1}
    socket = socket.leave(T)
    failures = told.named("client.join.exception")
    assert [each.metadata["params"] for each in failures] == [{"a": 1}, {"a": 2}]
    assert all(each.metadata["reason"] == ChannelEnded("left") for each in failures)
    assert set(socket._open_spans) == {None}


def test_params_that_are_callables_are_told_as_they_are(told: Observed) -> None:
    def params() -> dict[str, Any]:
        raise LookupError("called")

    socket = connecting().join(T, params)
    assert told.take("client.join.start").metadata["params"] is params
    assert T in socket._open_spans


def test_a_recorded_join_outlives_the_attempt_that_fails(told: Observed) -> None:
    socket = apply_event(connecting().join(T), ChannelClosed(ClosedByClient()))
    assert set(socket._open_spans) == {T}
    assert ends(told) == ["client.connect.exception"]


def test_a_connect_that_replaces_another(told: Observed) -> None:
    socket = connecting().connect(URI, test_mode=True)
    [failed] = told.named("client.connect.exception")
    assert failed.metadata["reason"] == ClosedByClient()
    assert set(socket._open_spans) == {None}


def test_when_its_owner_ends_all_is_over(told: Observed) -> None:
    abandon(connecting().join(T))
    reasons = {each.name: each.metadata.get("reason") for each in told.all[2:]}
    assert reasons == {
        "client.connect.exception": ClosedByClient(),
        "client.join.exception": Disconnected(ClosedByClient()),
    }


def test_a_reconnect_ends_what_the_connection_had_under_way(told: Observed) -> None:
    """The end of the connection has not been told yet."""
    seat = FakeConnection()
    socket = apply_event(connecting(), ChannelConnected(seat)).join(T)
    seat.alive = False
    socket = socket.reconnect()
    [failed] = told.named("client.join.exception")
    assert failed.metadata["reason"] == Disconnected(ClosedByClient())
    assert not apply_event(socket, ChannelConnected(FakeConnection()))._open_spans
    assert ends(told) == ["client.connect.stop", "client.join.exception", "client.reconnect"]


def test_a_join_that_something_else_ends_was_left(told: Observed) -> None:
    socket = connecting().join(T)
    joins = {T: replace(socket.joins[T], status="closed")}
    assert T not in apply_event(replace(socket, joins=joins), ChannelConnected(None))._open_spans
    [failed] = told.named("client.join.exception")
    assert failed.metadata["reason"] == ChannelEnded("left")


def test_a_new_socket_ends_what_the_former_had_under_way(told: Observed) -> None:
    class Anew(Recorder):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            return connect(URI, test_mode=True)

    with recording(URI, Anew, test_mode=True) as (ref, _):
        ref.proxy().do(lambda s: s.join(T)).get(timeout=PATIENCE)
        ref.tell("anew")
        told.take("client.connect.exception")
        told.take("client.join.exception")
        assert set(get_state(ref).socket._open_spans) == {None}


def test_a_handler_that_exits_at_the_end_of_a_client_leaves_nothing_behind(
    server: PhoenixServer,
) -> None:
    def leave(*_: Any) -> None:
        raise SystemExit

    telemetry.attach("exits", (*PREFIX, "join", "exception"), leave)
    try:
        with recording(server.uri) as (ref, log):
            log.take("connect")
            ref.proxy().do(lambda s: s.join("bench:1", {"delay": 60_000})).get(timeout=PATIENCE)
            connection = get_state(ref).connection
            ref.stop()
            assert wait(ref, PATIENCE) == "normal"
            assert connection is not None
            assert not connection.is_alive()
    finally:
        telemetry.detach("exits")


# pushes


def test_a_push_has_one_outcome(told: Observed) -> None:
    socket = connecting()
    ledger = socket.socket_pid.actor_inbox.ledger
    with observed_push(socket, T, "event", {}, "1", awaited=True):
        pass
    assert not ends(told)
    push_ended(ledger, "1", Reply("ok", {}))
    push_ended(ledger, "1", ChannelEnded("left"))
    push_ended(ledger, "2", Reply("ok", {}))
    assert ends(told) == ["client.push.stop"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (TopicLeft(T), ChannelEnded("left")),
        (ChannelClosed(ClosedByClient()), Disconnected(ClosedByClient())),
        (None, ChannelEnded("left")),
    ],
    ids=["left", "closed", "over"],
)
def test_an_await_that_learns_of_no_reply_ends_its_push(
    told: Observed, event: Any, reason: Any
) -> None:
    socket = apply_event(connecting().join(T), ChannelConnected(FakeConnection()))
    socket = apply_event(socket, TopicJoinSucceeded(T))
    owner = socket.socket_pid
    with observed_push(socket, T, "event", {}, "9", awaited=True):
        owner.tell(event)
    if event is None:
        socket = apply_event(socket, ChannelClosed(ClosedByClient()))
    with pytest.raises((NotJoinedError, NotConnectedError)):
        socket.await_reply(Ref("9", T, socket.joins[T].join_ref or "1"), timeout=PATIENCE)
    assert told.named("client.push.stop")[0].metadata["reason"] == reason


def test_of_a_push_that_raises_nothing_is_kept(told: Observed) -> None:
    socket = connecting()
    with pytest.raises(LookupError), observed_push(socket, T, "event", {}, "1", awaited=True):
        raise LookupError
    assert ends(told) == ["client.push.exception"]
    assert not socket.socket_pid.actor_inbox.ledger.open_spans


# callbacks


@pytest.mark.parametrize("name", CALLBACK_NAMES)
def test_each_callback_tells_what_it_raised(told: Observed, name: str) -> None:
    class Client:
        def __getattr__(self, wanted: str) -> Any:
            def raising(*_: Any) -> None:
                raise LookupError(wanted)

            return raising

    with pytest.raises(LookupError, match=name):
        callback(Client(), name)("an argument", "the socket")
    start, failed = told.all
    assert [each.name for each in told.all] == [f"client.{name}.start", f"client.{name}.exception"]
    assert start.metadata["client"] is Client
    assert start.metadata["arguments"] == ("an argument", "the socket")
    assert start.metadata["socket"] == (None if name == "init" else "the socket")
    assert failed.metadata["kind"] == "error"


def test_an_exit_is_told_as_one(told: Observed) -> None:
    class Client:
        def handle_info(self, message: Any, socket: Any) -> None:
            raise SystemExit

    with pytest.raises(SystemExit):
        callback(Client(), "handle_info")("message", None)
    assert told.all[-1].metadata["kind"] == "exit"


# the cost


def test_with_nothing_attached_nothing_is_made(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only looked up: neither a span nor an event, nor what would be told by them."""
    made: list[Any] = []
    for module, name in (
        (instrumentation, "open_span"),
        (client_telemetry, "observed"),
        (connection_telemetry, "open_span"),
        (dispatch, "execute"),
        (dispatch, "start_measurements"),
        (dispatch, "end_measurements"),
    ):
        monkeypatch.setattr(module, name, lambda *a, name=name, **k: made.append(name))
    assert not CLIENT
    with recording(server.uri) as (ref, log):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("bench:room")).get(timeout=PATIENCE)
        log.take("join")
        for terms in ({}, {"reply_timeout": PATIENCE}):
            client.do(lambda s, t=terms: s.push("bench:room", "echo", {}, **t)).get(
                timeout=PATIENCE
            )
            log.take("reply")
        server.broadcast("bench:room", "shout", {})
        log.take("message")
        client.do(Socket.disconnect).get(timeout=PATIENCE)
        log.take("disconnect")
    assert not made
