"""The whole path over a real socket: connect, join, push, reply, broadcast, leave, disconnect."""

from __future__ import annotations

import threading

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ChannelCrashed,
    ClosedByClient,
    ClosedByPeer,
    NotConnectedError,
    Reply,
    connect,
    request,
    wait_until_joined,
)
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, recording

TOPIC = "bench:room"


def test_a_client_joins_pushes_and_gets_replies(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        client = ref.proxy()
        log.take("connect")
        client.do(lambda s: s.join(TOPIC, {"reply": {"a": 1}})).get()
        assert log.take("join") == ("join", TOPIC, {"a": 1})
        pushed = client.do(lambda s: s.push(TOPIC, "echo", {"text": "é"})).get()
        assert log.take("reply") == ("reply", pushed, Reply("ok", {"text": "é"}))
        pushed = client.do(lambda s: s.push(TOPIC, "bbig", {"size": 4})).get()
        assert len(log.take("reply", pushed)[2].response) == 4
        client.do(lambda s: s.push(TOPIC, "broadcast", {"to": "all"})).get()
        assert log.take("message") == ("message", TOPIC, "shout", {"to": "all"})
        client.do(lambda s: s.leave(TOPIC)).get()
        assert log.take("leave") == ("leave", TOPIC)
        client.do(lambda s: s.disconnect()).get()
        assert log.take("disconnect") == ("disconnect", ClosedByClient())


def test_text_of_a_subclass_is_text(server: PhoenixServer) -> None:
    """As what templates have escaped is; the ref of another push is one, too."""

    class Text(str):
        pass

    topic = Text(TOPIC)
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(topic, {"reply": {Text("a"): Text("b")}})).get()
        assert log.take("join") == ("join", TOPIC, {"a": "b"})
        pushed = ref.proxy().do(lambda s: s.push(topic, Text("echo"), {"text": Text("x")})).get()
        assert log.take("reply") == ("reply", pushed, Reply("ok", {"text": "x"}))
        asked = request(ref, topic, Text("echo"), {"ref": pushed})
        assert asked.get(timeout=PATIENCE) == Reply("ok", {"ref": str(pushed)})
        ref.proxy().do(lambda s: s.leave(topic)).get()
        assert log.take("leave") == ("leave", TOPIC)


def test_a_client_comes_back_after_a_disconnect_by_the_server(server: PhoenixServer) -> None:
    with recording(server.uri, params={"id": "7"}, reconnect_after_msec=[1]) as (_, log):
        log.take("connect")
        server.disconnect("user_socket:7")
        assert log.take("disconnect") == ("disconnect", ClosedByPeer(1001))
        log.take("connect")


def test_a_crashed_channel_is_rejoined(server: PhoenixServer) -> None:
    with recording(server.uri, rejoin_after_msec=[1]) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join("test:good")).get()
        log.take("join")
        ref.proxy().do(lambda s: s.push("test:good", "raise")).get()
        reason = ChannelCrashed({"reason": "channel_crash"})
        assert log.take("topic_close") == ("topic_close", "test:good", reason)
        wait_until_joined(ref, "test:good")


def test_a_thread_awaits_step_by_step(server: PhoenixServer) -> None:
    before = threading.active_count()
    socket = connect(server.uri).join("test:good").await_join("test:good")
    assert socket.connected
    assert socket.joined("test:good")
    assert threading.active_count() <= before + 3  # our one thread, and the server's two
    reply = socket.await_reply(socket.push("test:good", "error tuple"))
    assert reply == Reply("error", {"failure?": True})
    socket = socket.leave("test:good").await_leave("test:good")
    assert socket.join_status("test:good") == "closed"
    socket = socket.disconnect().await_disconnect()
    assert not socket.connected


def test_a_ping_measures_a_round_trip(server: PhoenixServer) -> None:
    socket = connect(server.uri).await_connect()
    assert 0 < socket.ping() < 5
    socket = socket.disconnect().await_disconnect()
    with pytest.raises(NotConnectedError) as raised:
        socket.ping()
    assert str(raised.value).startswith("ping: it was not sent: the socket is not connected to ws:")
    assert "phoenix" not in str(raised.value)


def test_a_ping_without_an_answer_tells_of_no_topic(proxy: FaultProxy) -> None:
    socket = connect(proxy.uri).await_connect()
    proxy.black_hole("down")
    with pytest.raises(AwaitTimeoutError) as raised:
        socket.ping(timeout=0.01)
    text = "awaited the answer to a heartbeat for 0.01 s: the socket is connected to ws:"
    assert str(raised.value).startswith(text)
    assert "phoenix" not in str(raised.value)
    proxy.cut()
    socket.close()


def test_a_ping_whose_connection_ends_tells_of_no_topic(proxy: FaultProxy) -> None:
    socket = connect(proxy.uri).await_connect()
    proxy.black_hole("down")
    before = proxy.bytes_up

    def cut() -> None:
        proxy.wait_for_bytes(before + 1, "up", PATIENCE)
        proxy.cut()

    cutting = threading.Thread(target=cut)
    cutting.start()
    with pytest.raises(NotConnectedError, match=r"\Aawaited the answer to a heartbeat: disc"):
        socket.ping(timeout=PATIENCE)
    cutting.join()
