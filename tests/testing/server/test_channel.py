"""What a `Channel` of one's own can do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from slipstream_actor.testing import Channel, PhoenixServer, RefuseJoin
from slipstream_actor.testing.server.channel import Reply
from tests.testing.server.raw_client import DEADLINE, Frame, RawClient

CRASH = {"reason": "channel_crash"}


class Room(Channel):
    """Does what it is told, and keeps a record of its ends."""

    intercept = ("secret",)
    ends: queue.SimpleQueue[Any]

    def join(self, params: Any) -> Any:
        match params:
            case {"refuse": response}:
                raise RefuseJoin(response)
            case {"push": payload}:
                self.push("early", payload)
            case {"exit": _}:
                raise SystemExit
            case {"assign": value}:
                self.socket.assigns["value"] = value
            case {"after": payload}:
                self.send(payload)
        return params.get("answer")

    def handle_in(self, event: str, payload: Any) -> Reply:
        handler = getattr(self, f"on_{event}", None)
        return super().handle_in(event, payload) if handler is None else handler(payload)

    def handle_out(self, event: str, payload: Any) -> None:
        self.push(f"told {event}", payload)

    def handle_info(self, message: Any) -> None:
        if message == "crash":
            raise RuntimeError(message)
        self.push("info", message)

    def terminate(self, reason: Any) -> None:
        self.ends.put(reason if isinstance(reason, str | tuple) else type(reason))

    def on_status(self, payload: Any) -> Reply:
        return str(payload)

    def on_bad_reply(self, payload: Any) -> Any:
        return payload

    def on_assigns(self, payload: Any) -> Reply:
        return "ok", self.socket.assigns

    def on_later(self, payload: Any) -> Reply:
        ref = self.socket_ref()
        threading.Timer(0.01, lambda: self.reply(ref, "later", payload)).start()
        return None

    def on_after(self, payload: Any) -> Reply:
        for seconds, message in payload:
            self.send_after(seconds, message)
        return None

    def on_stop(self, payload: Any) -> Reply:
        reason = tuple(payload) if isinstance(payload, list) else payload
        self.stop(reason, reply=("ok", {"bye": 1}))
        return None

    def on_exit(self, payload: Any) -> Reply:
        raise SystemExit

    def on_broadcast(self, payload: Any) -> Reply:
        self.broadcast(payload["event"], payload["payload"])
        return None


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    Room.ends = queue.SimpleQueue()
    with PhoenixServer({"rooms:*": Room}) as server:
        yield server


@pytest.fixture
def connect(server: PhoenixServer) -> Iterator[Any]:
    with ExitStack() as stack:

        def connect(vsn: str = "2.0.0") -> RawClient:
            client = stack.enter_context(RawClient(server.host, server.port))
            assert client.upgrade(f"/socket/websocket?vsn={vsn}").status == 101
            return client

        yield connect


@pytest.fixture
def client(connect: Any) -> RawClient:
    client: RawClient = connect()
    return client


def join(client: RawClient, params: Any = None, ref: str = "1", topic: str = "rooms:a") -> Any:
    """→ the payload of the reply."""
    client.message(ref, ref, topic, "phx_join", params or {})
    return reply_to(client, ref)


def push(client: RawClient, ref: str | None, event: str, payload: Any = None) -> None:
    client.message("1", ref, "rooms:a", event, payload)


def reply_to(client: RawClient, ref: str) -> Any:
    frame = client.receive()
    assert frame.kind == "text"
    assert frame.value[1] == ref
    assert frame.value[3] == "phx_reply"
    return frame.value[4]


def ended_with() -> Any:
    return Room.ends.get(timeout=DEADLINE)


def message(event: str, payload: Any, join_ref: Any = "1", ref: Any = None) -> Frame:
    return Frame("text", [join_ref, ref, "rooms:a", event, payload])


def test_a_join_is_answered_with_what_it_returns(client: RawClient) -> None:
    assert join(client, {"answer": {"a": [1, None]}}) == {
        "status": "ok",
        "response": {"a": [1, None]},
    }
    assert join(client, {}, "2", "rooms:b") == {"status": "ok", "response": {}}


def test_a_join_can_be_refused(client: RawClient) -> None:
    refusal = join(client, {"refuse": {"reason": "full"}})
    assert refusal == {"status": "error", "response": {"reason": "full"}}
    push(client, "2", "status", "ok")
    assert client.receive().value[4]["response"] == {"reason": "unmatched topic"}


@pytest.mark.parametrize("params", [{"push": 1}, {"exit": True}, [1, 2]])
def test_a_join_that_crashes(client: RawClient, params: Any) -> None:
    """A push before the reply is a crash too, as it is in Phoenix."""
    crashed = {"status": "error", "response": {"reason": "join crashed"}}
    assert join(client, params) == crashed
    assert client.silent()


def test_a_message_to_oneself_in_a_join_comes_after_the_reply(client: RawClient) -> None:
    join(client, {"after": {"a": 1}})
    assert client.receive() == message("info", {"a": 1})


def test_assigns_belong_to_the_connection(connect: Any) -> None:
    one, other = connect(), connect()
    join(one, {"assign": 7}, "9", "rooms:b")
    join(one)
    join(other)
    for client, assigns in ((one, {"value": 7}), (other, {})):
        push(client, "2", "assigns")
        assert reply_to(client, "2") == {"status": "ok", "response": assigns}


@pytest.mark.parametrize("status", ["ok", "error", "any string"])
def test_a_status_alone_is_a_reply(client: RawClient, status: str) -> None:
    join(client)
    push(client, "2", "status", status)
    assert reply_to(client, "2") == {"status": status, "response": {}}


@pytest.mark.parametrize("reply", [1, [1, {}], ["ok"], {"a": 1}])
def test_what_is_no_reply_crashes(client: RawClient, reply: Any) -> None:
    join(client)
    push(client, "2", "bad_reply", reply)
    assert client.receive() == message("phx_error", CRASH, "1", "1")


def test_a_reply_can_come_later_and_from_another_thread(client: RawClient) -> None:
    join(client)
    push(client, "2", "later", [1])
    push(client, "3", "status", "first")
    assert reply_to(client, "3")["status"] == "first"
    assert reply_to(client, "2") == {"status": "later", "response": [1]}


def test_who_has_no_ref_cannot_be_replied_to_later(client: RawClient) -> None:
    join(client)
    push(client, None, "later", [1])
    assert client.receive() == message("phx_error", CRASH, "1", "1")


def test_messages_to_oneself_come_in_the_order_of_their_times(client: RawClient) -> None:
    join(client)
    push(client, "2", "after", [[0.03, "third"], [0.01, "second"], [0, "first"]])
    assert [client.receive().value[4] for _ in range(3)] == ["first", "second", "third"]


def test_an_intercepted_broadcast_is_a_push(connect: Any) -> None:
    one, other = connect(), connect()
    join(one)
    join(other)
    push(one, "2", "broadcast", {"event": "secret", "payload": {"a": 1}})
    for client in (one, other):
        assert client.receive() == message("told secret", {"a": 1})


@pytest.mark.parametrize(
    ("reason", "event", "ref_payload"),
    [
        ("normal", "phx_close", {}),
        ("shutdown", "phx_close", {}),
        (["shutdown", "x"], "phx_close", {}),
        ("other", "phx_error", CRASH),
        (["other"], "phx_error", CRASH),
    ],
)
def test_stop(client: RawClient, reason: Any, event: str, ref_payload: Any) -> None:
    join(client)
    push(client, "2", "stop", reason)
    assert reply_to(client, "2") == {"status": "ok", "response": {"bye": 1}}
    assert client.receive() == message(event, ref_payload, "1", "1")
    assert ended_with() == (tuple(reason) if isinstance(reason, list) else reason)
    push(client, "3", "status", "ok")
    assert client.receive().value[4]["response"] == {"reason": "unmatched topic"}


def test_a_crash_in_handle_info(client: RawClient) -> None:
    join(client)
    push(client, "2", "after", [[0, "crash"]])
    assert client.receive() == message("phx_error", CRASH, "1", "1")
    assert ended_with() is RuntimeError


def test_even_an_exit_is_a_crash_of_its_channel_alone(client: RawClient) -> None:
    join(client)
    join(client, {}, "5", "rooms:b")
    push(client, "2", "exit")
    assert client.receive() == message("phx_error", CRASH, "1", "1")
    client.message("5", "6", "rooms:b", "status", "alive")
    assert reply_to(client, "6")["status"] == "alive"


def test_terminate_runs_when_the_client_leaves_and_when_it_is_gone(client: RawClient) -> None:
    join(client)
    push(client, "2", "phx_leave")
    assert reply_to(client, "2") == {"status": "ok", "response": {}}
    assert client.receive() == message("phx_close", {}, "1", "1")
    assert ended_with() == ("shutdown", "left")
    join(client, {}, "3")
    client.disconnect()
    assert ended_with() == ("shutdown", "closed")


def test_terminate_runs_when_the_server_stops(server: PhoenixServer, client: RawClient) -> None:
    join(client)
    server.stop()
    assert ended_with() == "killed"


def test_a_channel_can_be_stopped_from_another_thread(
    server: PhoenixServer, client: RawClient
) -> None:
    channels: queue.SimpleQueue[Channel] = queue.SimpleQueue()

    class Known(Channel):
        def join(self, params: Any) -> Any:
            channels.put(self)

    with PhoenixServer({"rooms:*": Known}) as server, RawClient(server.host, server.port) as client:
        client.upgrade()
        join(client)
        channel = channels.get(timeout=DEADLINE)
        channel.push("from", {"outside": True})
        channel.stop()
        assert client.receive() == message("from", {"outside": True})
        assert client.receive() == message("phx_close", {}, "1", "1")


def test_version_1(connect: Any) -> None:
    client = connect("1.0.0")
    client.text('{"topic":"rooms:a","event":"phx_join","payload":{"after":{"a":1}},"ref":"1"}')
    reply = {
        "event": "phx_reply",
        "payload": {"response": {}, "status": "ok"},
        "ref": "1",
        "topic": "rooms:a",
    }
    assert client.receive() == Frame("text", reply)
    info = {"event": "info", "payload": {"a": 1}, "ref": None, "topic": "rooms:a"}
    assert client.receive() == Frame("text", info)


@pytest.mark.parametrize("missing", ["topic", "event", "payload", "ref"])
def test_version_1_needs_all_its_keys(connect: Any, missing: str) -> None:
    client = connect("1.0.0")
    fields = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
    client.text(str({k: v for k, v in fields.items() if k != missing}).replace("'", '"'))
    assert client.receive() == Frame("close", 1011)


@pytest.mark.parametrize("topic", [None, 1, ["a"], {"a": 1}, ""])
@pytest.mark.parametrize("event", ["phx_join", "e"])
def test_a_topic_may_be_anything_and_matches_nothing(
    client: RawClient, topic: Any, event: str
) -> None:
    client.message("1", "2", topic, event, {})
    answer = {"response": {"reason": "unmatched topic"}, "status": "error"}
    assert client.receive() == Frame("text", [None, "2", topic, "phx_reply", answer])


@pytest.mark.parametrize("join_ref", [1, 1.0, "1.0", True, ""])
def test_join_refs_are_compared_strictly(client: RawClient, join_ref: Any) -> None:
    join(client)
    client.message(join_ref, "2", "rooms:a", "status", "ok")
    assert client.silent()
    client.message(None, "3", "rooms:a", "status", "ok")
    assert reply_to(client, "3")["status"] == "ok"


def test_refs_come_back_as_they_were(client: RawClient) -> None:
    join(client)
    for ref in (7, 2.5, 12345678901234567890123, [1], {"a": None}, False):
        client.message("1", ref, "rooms:a", "status", "ok")
        frame = client.receive()
        assert frame.value[1] == ref
        assert type(frame.value[1]) is type(ref)


# a join without a join_ref: docs/protocol.md#note-6


@pytest.fixture
def null_joined(client: RawClient) -> RawClient:
    """A client whose join had the ref "5", and no join_ref."""
    client.message(None, "5", "rooms:a", "phx_join", {"after": "hello"})
    answer = {"response": {}, "status": "ok"}
    assert client.receive() == message("phx_reply", answer, None, "5")
    assert client.receive() == message("info", "hello", "5")
    return client


def test_what_follows_a_join_without_a_join_ref_has_the_ref_of_the_join(
    null_joined: RawClient,
) -> None:
    null_joined.message(None, "6", "rooms:a", "status", "ok")
    answer = {"response": {}, "status": "ok"}
    assert null_joined.receive() == message("phx_reply", answer, "5", "6")
    null_joined.message(None, None, "rooms:a", "broadcast", {"event": "secret", "payload": 1})
    assert null_joined.receive() == message("told secret", 1, "5")
    null_joined.message(None, None, "rooms:a", "broadcast", {"event": "plain", "payload": 1})
    assert null_joined.receive() == message("plain", 1, None)


@pytest.mark.parametrize("join_ref", ["5", "", 5, False])
def test_after_a_join_without_a_join_ref_one_with_it_is_dropped(
    null_joined: RawClient, join_ref: Any
) -> None:
    null_joined.message(join_ref, "6", "rooms:a", "status", "ok")
    null_joined.message(join_ref, "7", "rooms:a", "phx_leave", {})
    assert null_joined.silent()


def test_a_leave_after_a_join_without_a_join_ref(null_joined: RawClient) -> None:
    null_joined.message(None, "6", "rooms:a", "phx_leave", {})
    answer = {"response": {}, "status": "ok"}
    assert null_joined.receive() == message("phx_reply", answer, "5", "6")
    assert null_joined.receive() == message("phx_close", {}, None, None)


def test_a_crash_after_a_join_without_a_join_ref(null_joined: RawClient) -> None:
    null_joined.message(None, "6", "rooms:a", "exit", {})
    crash = {"reason": "channel_crash"}
    assert null_joined.receive() == message("phx_error", crash, None, None)


def test_a_join_without_a_join_ref_that_is_replaced(null_joined: RawClient) -> None:
    null_joined.message("8", "8", "rooms:a", "phx_join", {})
    answer = {"response": {}, "status": "ok"}
    assert null_joined.receive() == message("phx_reply", answer, "8", "8")
    assert null_joined.receive() == message("phx_close", {}, None, None)


def test_a_join_without_any_ref(client: RawClient) -> None:
    client.message(None, None, "rooms:a", "phx_join", {"after": "hello"})
    answer = {"response": {}, "status": "ok"}
    assert client.receive() == message("phx_reply", answer, None, None)
    assert client.receive() == message("info", "hello", None)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["send_after", "sleep"])
def test_times_come_to_an_end(method: str, seconds: float) -> None:
    arguments = (seconds, "message") if method == "send_after" else (seconds,)
    with pytest.raises(ValueError, match="seconds must be seconds that come to an end"):
        getattr(Channel(), method)(*arguments)


def test_a_wait_for_connections_has_a_timeout_that_is_a_number(server: PhoenixServer) -> None:
    with pytest.raises(ValueError, match="timeout must be seconds"):
        server.wait_for_connections(0, timeout=float("nan"))
    server.wait_for_connections(0, timeout=float("inf"))
