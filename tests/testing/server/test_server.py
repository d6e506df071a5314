"""The embedded server from outside: its interface, its limits, its ends."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer, RefuseConnect
from slipstream_actor.testing.server import connection
from slipstream_actor.testing.server import server as server_module
from slipstream_actor.testing.server.endpoint import ConnectRequest
from tests.testing.server.raw_client import DEADLINE, Frame, RawClient, encode_frame

OK = {"response": {}, "status": "ok"}
HEARTBEAT: tuple[Any, ...] = (None, "h", "phoenix", "heartbeat", {})
HEARTBEAT_REPLY = Frame("text", [None, "h", "phoenix", "phx_reply", OK])
EOF = Frame("eof", None)


class Room(Channel):
    """Any channel."""


MAPPING = "channels must be a mapping of topic patterns to Channel classes, such as"


@pytest.mark.parametrize(
    ("channels", "text"),
    [
        (Room, f"{MAPPING} {{'rooms:*': Room}}, not the class Room"),
        (int, f"{MAPPING} {{'rooms:*': Room}}, not the class int"),
        ([("rooms:*", Room)], f"{MAPPING} {{'rooms:*': Room}}, not a list"),
        ({"rooms:*": 5}, "channels['rooms:*'] must be a Channel class, not a int"),
        ({"rooms:*": Room()}, "channels['rooms:*'] must be a Channel class, not a Room"),
        ({"rooms:*": int}, "channels['rooms:*'] must be a Channel class, not the class int"),
        ({5: Room}, "a topic pattern must be a str, not a int"),
    ],
)
def test_wrong_channels_are_told_at_the_call(channels: Any, text: str) -> None:
    with pytest.raises(TypeError) as raised:
        PhoenixServer(channels)
    assert str(raised.value) == text


@contextmanager
def connected(
    server: PhoenixServer, path: str = "/socket/websocket?vsn=2.0.0"
) -> Iterator[RawClient]:
    with RawClient(server.host, server.port) as client:
        assert client.upgrade(path).status == 101
        yield client


def join(client: RawClient, topic: str, params: Any = None, ref: str = "1") -> None:
    client.message(ref, ref, topic, "phx_join", {} if params is None else params)
    assert client.receive() == Frame("text", [ref, ref, topic, "phx_reply", OK])


# Life


def test_it_listens_as_soon_as_it_is_made_and_until_it_is_stopped() -> None:
    server = PhoenixServer()
    assert server.uri == f"ws://127.0.0.1:{server.port}/socket/websocket"
    with connected(server):
        assert server.connections == 1
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        RawClient(server.host, server.port)


def test_it_listens_on_the_same_port_again() -> None:
    server = PhoenixServer()
    port = server.port
    with connected(server) as client:
        server.stop()
        assert client.receive() == Frame("close", 1000)
        server.start()
        server.start()
        assert server.port == port
        with connected(server) as again:
            again.message(*HEARTBEAT)
            assert again.receive() == HEARTBEAT_REPLY
    server.stop()


def test_a_port_in_use_is_an_error() -> None:
    with PhoenixServer() as server:
        address = re.escape(f"'{server.host}:{server.port}'")
        with pytest.raises(OSError, match=address):
            PhoenixServer(port=server.port)
        with pytest.raises(OSError, match=address):
            FaultProxy(server.uri, port=server.port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", f"{'a' * 64}.invalid", "\udcff"])
def test_a_host_that_there_is_not_is_an_error(host: str) -> None:
    for make in (PhoenixServer, partial(FaultProxy, "ws://localhost:4000")):
        with pytest.raises(OSError) as raised:
            make(host=host)
        assert raised.value.filename == f"{host}:0"


@pytest.mark.parametrize("host", [None, 5, b"127.0.0.1"])
def test_a_host_is_text(host: Any) -> None:
    for make in (PhoenixServer, partial(FaultProxy, "ws://localhost:4000")):
        with pytest.raises(TypeError, match=f"^host must be a str, not {host!r}$"):
            make(host=host)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_there_is_not_is_an_error(port: int) -> None:
    for make in (PhoenixServer, partial(FaultProxy, "ws://localhost:4000")):
        with pytest.raises(ValueError, match=f"^port must be from 0 to 65535, not {port}$"):
            make(port=port)


def test_the_command_says_where_it_cannot_listen() -> None:
    command = [sys.executable, "-m", "slipstream_actor.testing.server", "--port"]
    with PhoenixServer() as server:
        for port in (server.port, 65_536):
            ended = subprocess.run(
                [*command, str(port)], capture_output=True, text=True, timeout=DEADLINE, check=False
            )
            assert ended.returncode == 1
            assert re.fullmatch(rf"cannot listen at 127\.0\.0\.1:{port}: .+\n", ended.stderr)


def test_stop_closes_as_sigterm_does(server: PhoenixServer) -> None:
    with connected(server) as joined, connected(server) as idle:
        join(joined, "bench:a")
        server.stop()
        assert [joined.receive(), joined.receive()] == [Frame("close", 1012), EOF]
        assert [idle.receive(), idle.receive()] == [Frame("close", 1000), EOF]


def test_stop_does_not_wait_for_who_is_still_asking(server: PhoenixServer) -> None:
    with RawClient(server.host, server.port) as client:
        client.send(b"GET /socket/websocket HTTP/1.1\r\nHost:")
        server.stop()
        assert client.receive() == EOF


def test_stop_ends_joins_and_callbacks_that_block(server: PhoenixServer) -> None:
    with connected(server) as joining, connected(server) as blocked, connected(server) as gone:
        joining.message("1", "1", "bench:a", "phx_join", {"delay": 60_000})
        for client in (blocked, gone):
            join(client, "bench:b")
            client.message("1", "2", "bench:b", "block", {"ms": 60_000})
        gone.close()
        assert gone.receive() == Frame("close", 1000)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 6
        assert joining.receive() == Frame("close", 1000)
        assert blocked.receive() == Frame("close", 1012)


BIG = 64_000_000
"""Bytes that no kernel buffers for one connection."""


@contextmanager
def deafened(server: PhoenixServer) -> Iterator[RawClient]:
    """A client that has read the start of a big frame; the server is stuck in the middle of it."""
    with connected(server) as client:
        join(client, "bench:a")
        client.message("1", "2", "bench:a", "bbig", {"size": BIG})
        client.buffer += client.socket.recv(2)
        assert client.buffer == b"\x82\x7f"
        yield client


def test_a_client_that_does_not_read_holds_up_nobody(server: PhoenixServer) -> None:
    with deafened(server), connected(server) as other:
        join(other, "bench:a")
        for n in range(100):
            other.message("1", "2", "bench:a", "broadcast", {"n": n})
            assert other.receive() == Frame("text", [None, None, "bench:a", "shout", {"n": n}])
            assert other.receive().value[3] == "phx_reply"
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 6


def test_a_client_that_reads_at_last_is_told_of_the_stop(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "GRACE", DEADLINE)
    with deafened(server) as client:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert len(client.receive().value) > BIG
        assert client.receive() == Frame("close", 1012)
        stopping.join()


def test_a_client_that_does_not_read_can_be_dropped_and_can_go(server: PhoenixServer) -> None:
    with deafened(server) as dropped, deafened(server) as gone:
        gone.disconnect()
        server.wait_for_connections(1)
        server.drop()
        server.wait_for_connections(0)
        with pytest.raises(EOFError):
            dropped.response()


MAIL = 1_000_000
"""Bytes that may wait for a client that does not read, here."""


@pytest.fixture
def small_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_MAIL_BYTES", MAIL)


@pytest.mark.parametrize("payload", ["x" * 20_000, "\u20ac" * 10_000, b"x" * 20_000, {"small": 1}])
@pytest.mark.usefixtures("small_mail")
def test_a_client_that_does_not_read_is_dropped_when_too_much_waits_for_it(
    server: PhoenixServer, caplog: pytest.LogCaptureFixture, payload: Any
) -> None:
    with deafened(server) as deaf, connected(server) as other:
        join(other, "bench:b")
        [connection_of_deaf] = [c for c in server._open if c._output == b"" and c._mailed]
        most, broadcasts = 0, 0
        while server.connections > 1:
            server.broadcast("bench:a", "shout", payload)
            broadcasts += 1
            most = max(most, connection_of_deaf._mailed - connection_of_deaf._taken)
            assert broadcasts < 2 * MAIL
        assert MAIL / 2 < most <= MAIL
        assert "a client that does not read is dropped" in caplog.text
        with pytest.raises(EOFError):
            deaf.response()
        assert not connection_of_deaf._inbox
        server.broadcast("bench:b", "shout", payload)
        assert other.receive().kind in ("text", "binary")
        server.wait_for_connections(1)


@pytest.mark.usefixtures("small_mail")
def test_pushes_of_a_channel_to_a_client_that_does_not_read_are_bounded_too(
    server: PhoenixServer,
) -> None:
    with connected(server) as deaf:
        join(deaf, "bench:a")
        flood = {"n": 300, "size": 100_000, "ahead": 1_000_000}
        deaf.message("1", "2", "bench:a", "flood", flood)
        server.wait_for_connections(0)


@pytest.mark.usefixtures("small_mail")
def test_one_message_may_be_bigger_than_what_may_wait(server: PhoenixServer) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        client.message("1", "2", "bench:a", "bbig", {"size": 3 * MAIL})
        assert len(client.receive().value) > 3 * MAIL
        assert client.silent()


@pytest.mark.usefixtures("small_mail")
def test_a_client_that_reads_is_not_dropped_whatever_it_gets_in_all(server: PhoenixServer) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        for n in range(30):
            server.broadcast("bench:a", "shout", {"n": n, "pad": "x" * 100_000})
            assert client.receive().value[4]["n"] == n
        assert client.silent()


def test_no_descriptor_is_left() -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("only Linux shows a process its descriptors")

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(3):
        with PhoenixServer() as server, ExitStack() as clients:
            for _ in range(20):
                join(clients.enter_context(connected(server)), "bench:a")
    assert count() == before


def test_it_is_quiet_when_nothing_happens(server: PhoenixServer) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        before = time.process_time()
        threading.Event().wait(0.5)
        assert time.process_time() - before < 0.1


# What it does to connections


def test_broadcast(server: PhoenixServer) -> None:
    with connected(server) as one, connected(server) as other:
        join(one, "bench:a")
        join(other, "bench:b")
        server.broadcast("bench:a", "news", {"n": 1})
        server.broadcast("bench:a", "news", b"\x00\xff")
        assert one.receive() == Frame("text", [None, None, "bench:a", "news", {"n": 1}])
        assert one.receive() == Frame("binary", b"\x02\x07\x04bench:anews\x00\xff")
        assert other.silent()


@pytest.mark.parametrize("payload", [object(), float("nan")])
def test_broadcast_of_what_is_no_json_raises(server: PhoenixServer, payload: Any) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        with pytest.raises((TypeError, ValueError)):
            server.broadcast("bench:a", "news", payload)
        assert client.silent()


@pytest.mark.parametrize("id", ["user_socket:u1", "u1"])
def test_disconnect(server: PhoenixServer, id: str) -> None:
    with (
        connected(server, "/socket/websocket?vsn=2.0.0&id=u1") as target,
        connected(server, "/socket/websocket?vsn=2.0.0&id=u2") as other,
    ):
        join(target, "bench:a")
        server.disconnect(id)
        assert [target.receive(), target.receive()] == [Frame("close", 1001), EOF]
        assert other.silent()
        server.wait_for_connections(1)


def test_drop(server: PhoenixServer) -> None:
    waiting = RawClient(server.host, server.port)
    with connected(server) as joined, connected(server) as joining, waiting:
        join(joined, "bench:a")
        joining.message("1", "1", "bench:a", "phx_join", {"delay": 60_000})
        waiting.send(waiting.request("/socket/websocket?vsn=2.0.0&connect_delay=60000"))
        server.drop()
        assert [joined.receive(), joining.receive(), waiting.receive()] == [EOF, EOF, EOF]
    with connected(server) as client:
        assert client.silent()


def test_wait_for_connections(server: PhoenixServer) -> None:
    with connected(server):
        server.wait_for_connections(1)
        with pytest.raises(TimeoutError):
            server.wait_for_connections(2, timeout=0.01)
    server.wait_for_connections(0)


# Connecting


def test_connect_can_be_overridden() -> None:
    class Guarded(PhoenixServer):
        def connect(self, request: ConnectRequest) -> str | None:
            if request.params.get("token") != "secret":
                raise RefuseConnect(401, b"who are you?", {"www-authenticate": "Token"})
            return "user:1"

    with Guarded() as server:
        with RawClient(server.host, server.port) as client:
            response = client.upgrade("/socket/websocket?vsn=2.0.0&token=wrong")
        assert (response.status, response.body) == (401, "who are you?")
        assert response.header("www-authenticate") == "Token"
        with connected(server, "/socket/websocket?vsn=2.0.0&token=secret") as client:
            server.disconnect("user:1")
            assert client.receive() == Frame("close", 1001)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), pytest.fail.Exception("no")])
def test_whatever_connect_raises_answers_500(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(PhoenixServer):
        def connect(self, _: ConnectRequest) -> str | None:
            raise error

    with Failing() as server, RawClient(server.host, server.port) as client:
        assert client.upgrade().status == 500
    assert "connecting to /socket/websocket crashed" in caplog.text


@pytest.mark.parametrize(
    ("reject", "status"),
    [("yes", 403), ("429", 429), ("401", 401), ("503", 503), ("302", 302), ("raise", 500)],
)
def test_a_refused_connection_stays_open(server: PhoenixServer, reject: str, status: int) -> None:
    with RawClient(server.host, server.port) as client:
        assert client.upgrade(f"/socket/websocket?vsn=2.0.0&reject={reject}").status == status
        assert client.upgrade().status == 101
        assert client.silent()


def test_connect_delay_delays_its_own_connection_only(server: PhoenixServer) -> None:
    with RawClient(server.host, server.port) as slow:
        begun = time.monotonic()
        slow.send(slow.request("/socket/websocket?vsn=2.0.0&connect_delay=2000"))
        with connected(server):
            assert time.monotonic() - begun < 2.0
        assert slow.response().status == 101
        assert time.monotonic() - begun >= 2.0


def test_frames_behind_the_request_are_lost(server: PhoenixServer) -> None:
    with RawClient(server.host, server.port) as client:
        early = b'["1","1","test:good","phx_join",{}]'
        client.send(client.request("/socket/websocket?vsn=2.0.0") + encode_frame("text", early))
        assert client.response().status == 101
        assert client.silent()


def test_a_body_is_skipped(server: PhoenixServer) -> None:
    with RawClient(server.host, server.port) as client:
        client.send(b"POST /socket/websocket HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert client.response().status == 400
        client.send(b"cde")
        assert client.upgrade().status == 101


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /socket/websocket HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 50 + b"\r\n", 431),
    ],
)
def test_bad_requests_end_the_connection(
    server: PhoenixServer, request_: bytes, status: int
) -> None:
    with RawClient(server.host, server.port) as client:
        client.send(request_)
        assert client.response().status == status
        assert client.receive() == EOF


# Limits


@pytest.mark.parametrize(("mount", "limit"), [("socket", 9_999_986), ("socket_small", 65_528)])
def test_frame_size(server: PhoenixServer, mount: str, limit: int) -> None:
    """Bandit counts the header (docs/protocol.md#note-36)."""
    with connected(server, f"/{mount}/websocket?vsn=2.0.0") as client:
        join(client, "bench:a")
        client.text(sink(limit))
        client.message("1", "3", "bench:a", "sunk", {})
        counted = {"response": {"count": 1}, "status": "ok"}
        assert client.receive() == Frame("text", ["1", "3", "bench:a", "phx_reply", counted])
        client.text(sink(limit + 1))
        assert [client.receive(), client.receive()] == [Frame("close", 1009), EOF]


def sink(size: int) -> str:
    head, tail = '["1","2","bench:a","sink",{"pad":"', '"}]'
    return head + "x" * (size - len(head) - len(tail)) + tail


def test_a_frame_that_is_too_big_is_refused_by_its_header(server: PhoenixServer) -> None:
    with connected(server) as client:
        client.message(*HEARTBEAT)
        client.send(encode_frame("text", b"x" * 10_000_000)[:14])
        assert client.receive() == HEARTBEAT_REPLY
        assert [client.receive(), client.receive()] == [Frame("close", 1009), EOF]


def test_fragments(server: PhoenixServer) -> None:
    with connected(server, "/socket_small/websocket?vsn=2.0.0") as client:
        join(client, "bench:a")
        data = sink(100_000).encode()
        client.frame("text", data[:50_000], fin=False)
        client.frame("ping", b"between")
        client.frame("continuation", data[50_000:])
        client.message("1", "3", "bench:a", "sunk", {})
        assert client.receive() == Frame("pong", b"between")
        assert client.receive().value[4]["response"] == {"count": 1}


def test_fragments_have_a_limit_of_their_own(server: PhoenixServer) -> None:
    with connected(server) as client:
        client.frame("text", b"x" * 7_000_000, fin=False)
        client.frame("continuation", b"x" * 1_000_001, fin=False)
        assert client.receive() == Frame("close", 1009)


def test_idle_timeout_is_reset_by_the_client_alone(server: PhoenixServer) -> None:
    """Pings count, the server's own messages do not (docs/protocol.md#note-34)."""
    server.mounts["/socket"] = replace(server.mounts["/socket"], timeout=0.4)
    with connected(server) as client, talking(server, "bench:idle"):
        join(client, "bench:idle")
        begun = time.monotonic()
        while time.monotonic() < begun + 0.6:
            assert client.receive().kind in ("text", "pong")
            client.frame("ping", b"")
        pinged = time.monotonic()
        while (frame := client.receive()).kind != "close":
            assert time.monotonic() < pinged + DEADLINE
        assert frame == Frame("close", 1002)
        assert time.monotonic() - pinged >= 0.35


@contextmanager
def talking(server: PhoenixServer, topic: str) -> Iterator[None]:
    """Broadcasts all the time."""
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.02):
            server.broadcast(topic, "e", {})

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        stop.set()
        talker.join()


def test_channels_have_no_limit_on_socket_many(server: PhoenixServer) -> None:
    with connected(server, "/socket_many/websocket?vsn=2.0.0") as client:
        for n in range(150):
            join(client, f"bench:{n}", ref=str(n))


def test_a_slow_join_holds_up_its_connection_and_no_other(server: PhoenixServer) -> None:
    with connected(server) as slow, connected(server) as other:
        slow.message("1", "1", "bench:a", "phx_join", {"delay": 2000})
        slow.message(*HEARTBEAT)
        begun = time.monotonic()
        other.message(*HEARTBEAT)
        assert other.receive() == HEARTBEAT_REPLY
        assert time.monotonic() - begun < 2.0
        assert slow.receive().value[1] == "1"
        assert slow.receive() == HEARTBEAT_REPLY


def test_a_half_closed_connection_ends(server: PhoenixServer) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive() == EOF
        server.wait_for_connections(0)


def test_what_was_pushed_before_the_end_is_still_handled(server: PhoenixServer) -> None:
    with connected(server) as leaving, connected(server) as staying:
        for client in (leaving, staying):
            join(client, "bench:a")
        leaving.message("1", "2", "bench:a", "broadcast", {"last": "words"})
        leaving.disconnect()
        assert staying.receive().value[4] == {"last": "words"}


def test_flood_is_complete_and_in_order(server: PhoenixServer) -> None:
    with connected(server) as client:
        join(client, "bench:a")
        client.message("1", "2", "bench:a", "flood", {"n": 20_000, "size": 10})
        for i in range(1, 20_001):
            assert client.receive().value[4]["i"] == i
        assert client.receive().value[3] == "flood_done"


def test_many_connections_at_once(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(50)]
        for client in clients:
            join(client, "bench:a")
        server.broadcast("bench:a", "all", {})
        for client in clients:
            assert client.receive().value[3] == "all"


def test_the_most_exact_pattern_wins() -> None:
    class Named(Channel):
        name = ""

        def join(self, params: Any) -> Any:
            return {"name": self.name}

    def named(name: str) -> type[Channel]:
        return type(name, (Named,), {"name": name})

    patterns = ["*", "rooms:*", "rooms:a:*", "rooms:a"]
    with PhoenixServer({p: named(p) for p in patterns}) as server, connected(server) as client:
        for topic, wanted in [
            ("rooms:a", "rooms:a"),
            ("rooms:a:1", "rooms:a:*"),
            ("rooms:b", "rooms:*"),
            ("other", "*"),
        ]:
            client.message("1", "1", topic, "phx_join", {})
            assert client.receive().value[4]["response"] == {"name": wanted}


def test_a_pattern_with_a_star_in_the_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="end"):
        PhoenixServer({"a:*:b": Channel})
