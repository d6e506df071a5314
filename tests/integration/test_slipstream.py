"""What Slipstream documents and tests, one behaviour a test, against its own channels.

Sockets, synchronous use, GenServer's operations, configuration, messages and retries stand here;
those of its telemetry in `tests/test_telemetry.py`, those of its test kit in
`tests/testing/test_kit.py`. Where we differ on purpose the test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    ChannelClosed,
    ChannelCrashed,
    ClientActor,
    ClosedByClient,
    ClosedByPeer,
    Configuration,
    ConfigurationError,
    ConnectFailed,
    ConnectFailedError,
    From,
    HeartbeatTimeout,
    Ignore,
    JoinFailedError,
    JoinRefused,
    NeverJoinedError,
    Next,
    NotConfiguredError,
    NotJoinedError,
    Reply,
    Socket,
    StartIgnored,
    Stop,
    call,
    cast,
    connect,
    get_state,
    new_socket,
    reply,
    wait,
    whereis,
)
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Log, do, eventually, recording
from tests.support.raw_server import PING, PONG, Peer, RawServer, dead_uri, frame

GOOD, BAD = "test:good", "test:bad"
FLAG = "🏴‍☠️".encode()


@pytest.fixture
def socket(server: PhoenixServer) -> Iterator[Socket]:
    """A connected socket of this thread."""
    socket = connect(server.uri, rejoin_after_msec=[1], reconnect_after_msec=[1])
    yield socket.await_connect()
    socket.disconnect()


@pytest.fixture
def joined(socket: Socket) -> Socket:
    """One that has joined `test:good`."""
    return socket.join(GOOD).await_join(GOOD)


@pytest.fixture
def client(server: PhoenixServer) -> Iterator[tuple[Any, Log]]:
    """A client that is connected, and what its callbacks have noted since."""
    with recording(server.uri, rejoin_after_msec=[60_000]) as (ref, log):
        assert log.get(timeout=PATIENCE) == ("connect",)
        yield ref, log


def join(client: tuple[Any, Log]) -> tuple[Any, Log]:
    ref, log = client
    do(ref, lambda s: s.join(GOOD))
    assert log.get(timeout=PATIENCE) == ("join", GOOD, {})
    return client


def says_nothing(client: tuple[Any, Log]) -> bool:
    """Whether no callback has noted anything before a message that is sent now."""
    ref, log = client
    ref.tell("mark")
    return bool(log.get(timeout=PATIENCE) == ("info", "mark"))


# sockets


def test_a_fresh_socket_is_not_connected_and_shows_the_names_of_its_assigns() -> None:
    socket = new_socket().assign("key", "value").assign(other=1)
    assert repr(socket) == "<Socket new, assigns {key, other}>"
    assert not socket.connected
    assert socket.channel_pid is None
    assert socket.joins == {}


def test_an_update_of_a_key_that_is_not_there() -> None:
    socket = new_socket().assign(numbers=[1])
    assert socket.update("numbers", lambda numbers: [*numbers, 2]).assigns["numbers"] == [1, 2]
    with pytest.raises(KeyError):
        socket.update("letters", list)


def test_the_status_of_a_join_goes_from_none_over_requested_to_joined_and_closed(
    socket: Socket,
) -> None:
    assert socket.join_status(GOOD) is None
    asked = socket.join(GOOD)
    assert (asked.join_status(GOOD), asked.joined(GOOD)) == ("requested", False)
    there = asked.await_join(GOOD)
    assert (there.join_status(GOOD), there.joined(GOOD)) == ("joined", True)
    assert there.leave(GOOD).await_leave(GOOD).join_status(GOOD) == "closed"


def test_the_channel_pid_takes_commands_by_hand_and_shows_its_state(client: Any) -> None:
    ref, log = client
    pid = get_state(ref).socket.channel_pid
    assert get_state(pid).status == "connected"
    pid.tell(CloseConnection())
    assert log.get(timeout=PATIENCE)[0] == "disconnect"


def test_a_disconnect_that_is_sent_by_hand_is_taken_at_its_word(client: Any) -> None:
    ref, log = client
    ref.tell(ChannelClosed(ClosedByPeer(1001)))
    assert log.get(timeout=PATIENCE) == ("disconnect", ClosedByPeer(1001))
    assert log.get(timeout=PATIENCE) == ("connect",)


# connections


def test_a_refused_connect_tells_the_status(server: PhoenixServer) -> None:
    with pytest.raises(ConnectFailedError) as caught:
        connect(server.uri, params={"reject": "yes"}).await_connect()
    assert isinstance(caught.value.reason, ConnectFailed)
    assert (caught.value.reason.kind, caught.value.reason.status) == ("upgrade", 403)


def test_a_port_where_nobody_listens() -> None:
    with dead_uri() as uri, pytest.raises(ConnectFailedError) as caught:
        connect(uri).await_connect()
    assert isinstance(caught.value.reason, ConnectFailed)
    assert caught.value.reason.kind == "refused"


def test_a_path_that_is_no_websocket(server: PhoenixServer) -> None:
    with pytest.raises(ConnectFailedError) as caught:
        connect(server.uri.replace("/socket/websocket", "/nowhere")).await_connect()
    assert isinstance(caught.value.reason, ConnectFailed)
    assert (caught.value.reason.status, bool(caught.value.reason.headers)) == (404, True)


def test_heartbeats_are_answered(server: PhoenixServer) -> None:
    socket = connect(server.uri).await_connect()
    assert 0 < socket.ping() < PATIENCE
    socket.disconnect().await_disconnect()


def silent(peer: Peer) -> None:
    """Accept, and never answer."""
    peer.upgrade()
    peer.hold()


def test_heartbeats_that_are_not_answered_end_the_connection() -> None:
    options: dict[str, Any] = {"heartbeat_interval_msec": 20, "reconnect_after_msec": [60_000]}
    with RawServer(silent) as server, recording(server.uri, **options) as (_, log):
        assert log.get(timeout=PATIENCE) == ("connect",)
        assert log.get(timeout=PATIENCE) == ("disconnect", HeartbeatTimeout())


def test_a_connection_that_the_server_ends(server: PhoenixServer, client: Any) -> None:
    _, log = client
    server.drop()
    assert log.get(timeout=PATIENCE)[0] == "disconnect"


def test_a_ping_is_answered_with_a_pong() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(then=frame(PING, b"hi"))
        peer.serve()

    with RawServer(script) as server:
        socket = connect(server.uri).await_connect()
        assert server.next_frame(opcode=PONG).payload == b"hi"
        socket.disconnect().await_disconnect()


def test_our_own_disconnect(client: Any) -> None:
    """Slipstream's `:client_disconnect_requested`; its default would reconnect, ours stays away."""
    ref, log = join(client)
    do(ref, lambda s: s.disconnect())
    assert log.get(timeout=PATIENCE) == ("disconnect", ClosedByClient())
    assert says_nothing(client)


def test_a_disconnect_without_a_connection_does_nothing() -> None:
    socket = new_socket()
    assert socket.disconnect() is socket


# topics, in callbacks


def test_a_join_and_its_duplicate(client: Any) -> None:
    ref, _ = join(client)
    do(ref, lambda s: s.join(GOOD))
    assert says_nothing(client)


def test_a_leave_and_its_duplicate(client: Any) -> None:
    ref, log = join(client)
    do(ref, lambda s: s.leave(GOOD))
    assert log.get(timeout=PATIENCE) == ("leave", GOOD)
    do(ref, lambda s: s.leave(GOOD))
    assert says_nothing(client)


def test_a_leave_of_what_was_never_joined_does_nothing(socket: Socket) -> None:
    assert socket.leave("test:other") is socket


def test_a_push_to_what_is_not_joined(socket: Socket) -> None:
    with pytest.raises(NotJoinedError):
        socket.push(GOOD, "quicksand")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("push to me", ("foo", {"bar": "baz"})),
        ("broadcast", ("broadcast event", {"hello": "everyone!"})),
        ("binary broadcast", ("broadcast event", FLAG)),
    ],
)
def test_a_message_of_the_server(client: Any, event: str, message: tuple[str, Any]) -> None:
    ref, log = join(client)
    do(ref, lambda s: s.push(GOOD, event, {}))
    assert log.get(timeout=PATIENCE) == ("message", GOOD, *message)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("ping", Reply("ok", {"pong": "pong"})),
        ("error tuple", Reply("error", {"failure?": True})),
        ("ack", Reply("ok", {})),
    ],
)
def test_a_reply(client: Any, event: str, expected: Reply) -> None:
    """Slipstream's bare `:ok` is the response `{}` here, as on the wire."""
    ref, log = join(client)
    push = do(ref, lambda s: s.push(GOOD, event))
    assert log.get(timeout=PATIENCE) == ("reply", push, expected)


def test_a_channel_that_raises(client: Any) -> None:
    ref, log = join(client)
    do(ref, lambda s: s.push(GOOD, "raise"))
    assert log.get(timeout=PATIENCE) == (
        "topic_close",
        GOOD,
        ChannelCrashed({"reason": "channel_crash"}),
    )


def test_a_channel_that_stops(client: Any) -> None:
    ref, log = join(client)
    do(ref, lambda s: s.push(GOOD, "stop"))
    assert log.get(timeout=PATIENCE) == ("leave", GOOD)


@pytest.mark.parametrize(
    ("topic", "response"),
    [(BAD, {"bad": "join"}), ("test:other", {"reason": "join crashed"})],
)
def test_a_join_that_fails(client: Any, topic: str, response: Any) -> None:
    ref, log = client
    do(ref, lambda s: s.join(topic))
    assert log.get(timeout=PATIENCE) == ("topic_close", topic, JoinRefused(response))


# synchronous use


def test_join_and_leave_in_turn(socket: Socket) -> None:
    for _ in range(2):
        socket = socket.join(GOOD).await_join(GOOD)
        assert socket.joined(GOOD)
        socket = socket.leave(GOOD).await_leave(GOOD)
        assert not socket.joined(GOOD)


def test_a_join_that_fails_while_it_is_awaited(socket: Socket) -> None:
    with pytest.raises(JoinFailedError) as caught:
        socket.join(BAD).await_join(BAD)
    assert caught.value.reason == JoinRefused({"bad": "join"})


def test_disconnect_and_await_it(socket: Socket) -> None:
    assert not socket.disconnect().await_disconnect().connected


def test_garbage_collection_may_be_asked_for(socket: Socket) -> None:
    assert socket.collect_garbage() is socket
    assert socket.ping() > 0


@pytest.mark.parametrize(("sent", "heard"), [({}, {"bar": "baz"}), (b"\x00\x01", b"\x02\x03")])
def test_a_message_is_awaited(joined: Socket, sent: Any, heard: Any) -> None:
    joined.push(GOOD, "push to me", sent)
    assert joined.await_message(GOOD, "foo", heard).payload == heard


@pytest.mark.parametrize(("sent", "heard"), [({}, {"pong": "pong"}), (b"\x00\x01", b"\x02\x03")])
def test_a_reply_is_awaited(joined: Socket, sent: Any, heard: Any) -> None:
    assert joined.await_reply(joined.push(GOOD, "ping", sent)) == Reply("ok", heard)


def test_what_does_not_come_is_a_timeout(joined: Socket) -> None:
    push = joined.push(GOOD, "quicksand", {"a": "b"})
    with pytest.raises(AwaitTimeoutError):
        joined.await_reply(push, timeout=0.01)


# retries


def test_a_socket_that_was_never_connected_cannot_reconnect() -> None:
    with pytest.raises(NotConfiguredError):
        new_socket().reconnect()


def test_a_connection_comes_back_by_reconnect(socket: Socket) -> None:
    closed = socket.disconnect().await_disconnect()
    again = closed.reconnect()
    assert not again.connected
    again = again.await_connect()
    assert again.connected
    again.disconnect().await_disconnect()


def test_a_connected_socket_does_not_reconnect(socket: Socket) -> None:
    """Slipstream's `{:error, :connected}`; here the no-op returns the same socket."""
    assert socket.reconnect() is socket


def test_a_joined_topic_is_not_rejoined(joined: Socket) -> None:
    assert joined.rejoin(GOOD) is joined


def test_a_topic_that_was_never_joined_is_not_rejoined(socket: Socket) -> None:
    with pytest.raises(NeverJoinedError):
        socket.rejoin(GOOD)


def test_a_topic_that_was_left_is_rejoined_without_its_params(socket: Socket) -> None:
    left = socket.join(GOOD, {"a": "b"}).await_join(GOOD).leave(GOOD).await_leave(GOOD)
    again = left.rejoin(GOOD)
    assert (again.join_status(GOOD), again.joins[GOOD].params) == ("closed", {})
    assert again.await_join(GOOD).joined(GOOD)


# GenServer's operations


class GenServerLike(ClientActor):
    """Never connects; answers at once, and later."""

    def init(self, *arguments: Any) -> Any:
        return Next(self.socket.assign(heard=[], told=arguments), then="begin")

    def handle_continue(self, term: Any, socket: Socket) -> Any:
        return socket.update("heard", lambda heard: [*heard, ("continue", term)])

    def handle_info(self, message: Any, socket: Socket) -> Any:
        match message:
            case "answer", from_:
                reply(from_, "async")
                return None
            case "idle":
                return Next(socket, timeout=0.01)
        return socket.update("heard", lambda heard: [*heard, ("info", message)])

    def handle_cast(self, message: Any, socket: Socket) -> Any:
        if message == "stop":
            return Stop("normal", socket)
        return socket.update("heard", lambda heard: [*heard, ("cast", message)])

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Any:
        match message:
            case "later":
                self.actor_ref.tell(("answer", from_))
                return Next(socket)
            case "goodbye":
                return Stop("normal", socket, answer="bye")
        return Answer(socket.assigns["heard"], socket)


@pytest.fixture
def gen_server() -> Iterator[Any]:
    ref = GenServerLike.start("argument", name="gen_server")
    yield ref
    ref.stop()


@pytest.mark.usefixtures("gen_server")
def test_send_cast_and_call_by_name() -> None:
    ref = whereis("gen_server")
    assert ref is not None
    ref.tell("hello")
    cast("gen_server", "ping")
    heard = [("continue", "begin"), ("info", "hello"), ("cast", "ping")]
    assert call("gen_server", "heard") == heard
    assert ref.ask("heard") == heard


def test_a_call_that_is_answered_later(gen_server: Any) -> None:
    assert call(gen_server, "later") == "async"
    assert gen_server.ask("later") == "async"


def test_a_call_whose_answer_is_the_last(gen_server: Any) -> None:
    assert call(gen_server, "goodbye") == "bye"
    assert wait(gen_server, timeout=PATIENCE) == "normal"
    assert whereis("gen_server") is None


def test_a_cast_may_stop_it(gen_server: Any) -> None:
    cast(gen_server, "stop")
    assert wait(gen_server, timeout=PATIENCE) == "normal"
    cast(gen_server, "nobody hears this")


def test_a_time_of_idling(gen_server: Any) -> None:
    """A `get_state` meanwhile does not end it."""
    gen_server.tell("idle")
    eventually(
        lambda: ("info", "timeout") in get_state(gen_server).socket.assigns["heard"], "the timeout"
    )


def test_what_init_was_given(gen_server: Any) -> None:
    assert get_state(gen_server).socket.assigns["told"] == ("argument",)


def test_a_wrong_configuration_need_not_crash_who_starts_it() -> None:
    class Careful(ClientActor):
        def init(self, uri: str) -> Any:
            try:
                return connect(uri)
            except ConfigurationError:
                return Ignore()

    with pytest.raises(StartIgnored):
        Careful.start("http://example.invalid")


# configuration


def test_no_configuration_fails() -> None:
    with pytest.raises(ConfigurationError, match="uri"):
        Configuration.validate(None, {})


@pytest.mark.parametrize(("scheme", "port"), [("ws", 80), ("wss", 443)])
def test_the_port_follows_from_the_scheme(scheme: str, port: int) -> None:
    config = Configuration.validate(f"{scheme}://localhost/socket/websocket?foo=bar", {})
    assert (config.uri.scheme, config.port) == (scheme, port)


def test_http_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"must begin with ws:// in the place"):
        Configuration.validate("http://localhost/socket/websocket", {})
