"""The test kit: `SocketTest`, and what a client in test mode sees of a test that is its server."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
from pykka import ActorDeadError

from slipstream_actor import (
    ANY,
    AwaitTimeoutError,
    ChannelConnectFailed,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    Disconnected,
    Down,
    HeartbeatTimeout,
    JoinRefused,
    NotConnectedError,
    NotJoinedError,
    PushTimeout,
    Ref,
    Reply,
    Socket,
    Stop,
    Supervisor,
    TopicJoinClosed,
    call,
    cast,
    connect,
    get_state,
    monitor,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.supervision.supervisor import ChildSpec
from slipstream_actor.testing import SocketTest
from slipstream_actor.testing.kit import kit
from tests.conftest import descriptors
from tests.support.clients import PATIENCE, Log, eventually
from tests.testing.kit.kit_client import URI, Joiner, KitClient, have

TOPIC = "rooms:lobby"
PARAMS = {"fizz": "buzz"}


@pytest.fixture
def server() -> Iterator[SocketTest]:
    """Patient where it must wait, since machines are busy; what is refuted is known by then."""
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.05) as server:
        yield server


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def client(server: SocketTest, log: Log) -> Any:
    """A client that waits for its connection."""
    return server.start(KitClient, log, name="client")


@pytest.fixture
def joined(server: SocketTest, client: Any, log: Log) -> Any:
    """A client that has joined the lobby."""
    client.tell("before")
    server.accept_connect(client)
    have(client, "join", TOPIC, PARAMS)
    server.assert_join(TOPIC, PARAMS)
    log.take("join", TOPIC)
    return client


# what Slipstream's own tests say of its kit


def test_the_client_connects(server: SocketTest, client: Any, log: Log) -> None:
    server.accept_connect("client")
    log.take("connect")


@pytest.mark.parametrize("name", [None, "foo", ("foo", 1)])
def test_an_unknown_name_is_no_client(server: SocketTest, name: Any) -> None:
    with pytest.raises(ActorDeadError, match=re.escape(f"no actor has the name {name!r}")):
        server.accept_connect(name)


DOINGS: dict[str, Any] = {
    "accept_connect": lambda server, client: server.accept_connect(client),
    "connect_and_assert_join": lambda server, client: server.connect_and_assert_join(client),
    "push": lambda server, client: server.push(client, TOPIC, "news"),
    "reply": lambda server, client: server.reply(client, "1"),
    "disconnect": lambda server, client: server.disconnect(client),
}


@pytest.mark.parametrize("name", DOINGS)
def test_a_dead_client_is_none(server: SocketTest, name: str) -> None:
    ref = KitClient.start(Log())
    ref.stop()
    with pytest.raises(ActorDeadError, match=r"KitClient .* is not alive"):
        DOINGS[name](server, ref)


ASSERTIONS: dict[str, Any] = {
    "assert_join": lambda server, **options: server.assert_join(**options),
    "refute_join": lambda server, **options: server.refute_join(**options),
    "assert_leave": lambda server, **options: server.assert_leave(**options),
    "refute_leave": lambda server, **options: server.refute_leave(**options),
    "assert_push": lambda server, **options: server.assert_push(**options),
    "refute_push": lambda server, **options: server.refute_push(**options),
    "assert_disconnect": lambda server, **options: server.assert_disconnect(**options),
    "refute_disconnect": lambda server, **options: server.refute_disconnect(**options),
}


@pytest.mark.parametrize("name", ASSERTIONS)
def test_an_assertion_of_an_unknown_client_is_a_mistake(server: SocketTest, name: str) -> None:
    with pytest.raises(ActorDeadError, match="no actor has the name 'foo'"):
        ASSERTIONS[name](server, client="foo")


def test_a_client_connects_and_joins_at_once(server: SocketTest, log: Log) -> None:
    client = server.start(Joiner, log)
    request = server.connect_and_assert_join(client, TOPIC, PARAMS, Reply("ok", {"id": 1}))
    assert (request.client, request.topic, request.params) == (client, TOPIC, PARAMS)
    log.take("connect")
    assert log.take("join") == ("join", TOPIC, {"id": 1})


def test_a_join_asked_for_before_the_connection_is_sent_with_it(
    server: SocketTest, client: Any
) -> None:
    have(client, "join", TOPIC, PARAMS)
    server.connect_and_assert_join(client, TOPIC, PARAMS)
    wait_until_joined(client, TOPIC, timeout=PATIENCE)


def test_a_join_is_refused(server: SocketTest, log: Log) -> None:
    client = server.start(Joiner, log)
    server.connect_and_assert_join(client, TOPIC, ANY, Reply("error", {"reason": "no"}))
    assert log.take("topic_close") == ("topic_close", TOPIC, JoinRefused({"reason": "no"}))


def test_the_server_disconnects(server: SocketTest, joined: Any, log: Log) -> None:
    server.disconnect(joined, HeartbeatTimeout())
    assert log.take("disconnect") == ("disconnect", HeartbeatTimeout())


def test_it_disconnects_as_phoenix_does_by_itself(
    server: SocketTest, joined: Any, log: Log
) -> None:
    server.disconnect(joined)
    assert log.take("disconnect") == ("disconnect", ClosedByPeer(1001))


def test_a_join_is_not_repeated(server: SocketTest, joined: Any) -> None:
    have(joined, "join", TOPIC, PARAMS)
    server.refute_join(TOPIC, PARAMS)


def test_the_client_disconnects_once(server: SocketTest, joined: Any, log: Log) -> None:
    have(joined, "disconnect")
    assert server.assert_disconnect().client is joined
    assert log.take("disconnect") == ("disconnect", ClosedByClient())
    have(joined, "disconnect")
    server.refute_disconnect()


def test_the_server_pushes(server: SocketTest, joined: Any, log: Log) -> None:
    server.push(joined, TOPIC, "msg:new", {"foo": "bar"})
    assert log.take("message") == ("message", TOPIC, "msg:new", {"foo": "bar"})


def test_a_push_is_replied_to(server: SocketTest, joined: Any, log: Log) -> None:
    have(joined, "push", TOPIC, "msg:new", {"foo": "bar"})
    server.assert_push(TOPIC, "msg:new", {"foo": "bar"})
    have(joined, "push", TOPIC, "msg:new", {"foo": "bar"})
    push = server.assert_push(TOPIC, "msg:new", {"foo": "bar"})
    assert (push.client, push.topic, push.event) == (joined, TOPIC, "msg:new")
    server.reply(joined, push.ref, Reply("odd", {"a": 1}))
    assert log.take("reply") == ("reply", push.ref, Reply("odd", {"a": 1}))
    server.refute_push(TOPIC, "msg:new")


def test_the_client_leaves_once(server: SocketTest, joined: Any, log: Log) -> None:
    have(joined, "leave", TOPIC)
    assert server.assert_leave().topic == TOPIC
    log.take("leave", TOPIC)
    server.refute_leave(TOPIC)


# selective receive


def test_an_assertion_passes_over_what_it_is_not_about(server: SocketTest, joined: Any) -> None:
    for number in range(3):
        have(joined, "push", TOPIC, "count", {"n": number})
    assert server.assert_push(TOPIC, "count", {"n": 2}).payload == {"n": 2}
    assert server.assert_push(TOPIC, "count").payload == {"n": 0}
    assert server.assert_push(TOPIC, "count").payload == {"n": 1}


PATTERNS: dict[str, tuple[Any, Any]] = {
    "anything": (ANY, {"other": 0}),
    "a subset": ({"a": {"b": 1}}, {"a": {"c": 1}}),
    "elementwise": ({"list": [ANY, 2]}, {"list": [1]}),
    "a pattern": ({"text": re.compile("h.*")}, {"text": re.compile("i")}),
    "a predicate": (lambda payload: payload["a"]["b"] == 1, lambda payload: False),
    "equality": ({"text": "hi", "list": [1, 2], "a": {"b": 1, "c": None}}, "hi"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_payloads_are_matched(server: SocketTest, joined: Any, name: str) -> None:
    pattern, other = PATTERNS[name]
    payload = {"text": "hi", "list": [1, 2], "a": {"b": 1, "c": None}}
    have(joined, "push", TOPIC, "event", payload)
    have(joined, "push", TOPIC, "behind")
    server.assert_push(event="behind")
    server.refute_push(TOPIC, re.compile("ev.*"), other, timeout=0)
    assert server.assert_push(re.compile("rooms:.*"), ANY, pattern).payload == payload


def test_joins_and_leaves_are_matched(server: SocketTest, client: Any) -> None:
    server.accept_connect(client)
    have(client, "join", "a", {"n": 1})
    have(client, "join", "b", {"n": 2})
    server.assert_join(re.compile("b|c"), {"n": lambda n: n > 1})
    server.refute_join("a", {"n": 2})
    server.assert_join("a")
    have(client, "leave", "a")
    have(client, "leave", "b")
    server.assert_leave("b")
    server.refute_leave("b")
    server.assert_leave("a")


def test_what_comes_later_is_waited_for(server: SocketTest, joined: Any) -> None:
    threading.Timer(0.05, have, (joined, "push", TOPIC, "later")).start()
    server.assert_push(TOPIC, "later")


# what goes over the wire


def test_payloads_are_what_the_server_sees(server: SocketTest, joined: Any) -> None:
    have(joined, "push", TOPIC, "tuple", {"pair": (1, 2), 3: None})
    server.assert_push(TOPIC, "tuple", lambda payload: payload == {"pair": [1, 2], "3": None})


def test_payloads_arrive_as_json_makes_them(server: SocketTest, joined: Any, log: Log) -> None:
    payload = {"pair": (1, 2)}
    server.push(joined, TOPIC, "tuple", payload)
    payload["pair"] = (3, 4)
    assert log.take("message")[-1] == {"pair": [1, 2]}


def test_binary_payloads(server: SocketTest, joined: Any, log: Log) -> None:
    have(joined, "push", TOPIC, "blob", bytearray(b"\x00\x01"))
    push = server.assert_push(TOPIC, "blob", b"\x00\x01")
    server.reply(joined, push, Reply("ok", b"\xff"))
    assert log.take("reply")[-1] == Reply("ok", b"\xff")
    server.push(joined, TOPIC, "blob", memoryview(b"abc"))
    assert log.take("message")[-1] == b"abc"


def test_v1(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, vsn="1.0.0")
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join()
    have(client, "push", TOPIC, "event", {"a": (1,)})
    server.assert_push(TOPIC, "event", {"a": [1]})


def test_the_response_headers_are_the_sockets(server: SocketTest, client: Any) -> None:
    server.accept_connect(client, response_headers={"server": "test"})
    assert call(client, lambda socket: socket.response_headers) == {"server": "test"}


@pytest.mark.parametrize("name", ["assert_join", "connect_and_assert_join", "reply"])
def test_a_reply_is_a_reply(server: SocketTest, client: Any, name: str) -> None:
    calls: dict[str, Any] = {
        "assert_join": lambda: server.assert_join(TOPIC, {}, "ok"),  # type: ignore[arg-type]
        "connect_and_assert_join": lambda: server.connect_and_assert_join(client, TOPIC, {}, {}),  # type: ignore[arg-type]
        "reply": lambda: server.reply(client, "1", None),  # type: ignore[arg-type]
    }
    with pytest.raises(TypeError, match=r"reply must be a Reply, not (str|dict|NoneType)"):
        calls[name]()


# the client's operations work as with a connection


def test_awaits_inside_of_callbacks(server: SocketTest, joined: Any) -> None:
    def ask(socket: Socket) -> Socket:
        reply = socket.await_reply(socket.push(TOPIC, "ask"), timeout=PATIENCE)
        return socket.assign(answer=reply.unwrap())

    cast(joined, ask)
    server.reply(joined, server.assert_push(TOPIC, "ask"), Reply("ok", 42))
    assert call(joined, lambda socket: socket.assigns["answer"]) == 42


def test_awaits_of_every_kind(server: SocketTest, client: Any) -> None:
    def walk(socket: Socket) -> Socket:
        socket = socket.await_connect(timeout=PATIENCE).join(TOPIC)
        socket = socket.await_join(TOPIC, timeout=PATIENCE)
        socket.await_message(TOPIC, "go", timeout=PATIENCE)
        socket = socket.leave(TOPIC).await_leave(TOPIC, timeout=PATIENCE)
        return socket.disconnect().await_disconnect(timeout=PATIENCE).assign(done=True)

    cast(client, walk)
    server.connect_and_assert_join(client, TOPIC)
    server.push(client, TOPIC, "go")
    server.assert_leave(TOPIC)
    server.assert_disconnect()
    assert call(client, lambda socket: socket.assigns["done"], timeout=PATIENCE)


def test_a_plain_thread_is_a_client_too(server: SocketTest) -> None:
    socket = connect(URI, test_mode=True).join(TOPIC)
    server.accept_connect(socket.socket_pid)
    socket = socket.await_connect()
    server.assert_join(TOPIC, client=socket)
    socket = socket.await_join(TOPIC)
    ref = socket.push(TOPIC, "ask", {"n": 1})
    server.reply(socket, server.assert_push(TOPIC, "ask"), Reply("ok", {"n": 2}))
    assert socket.await_reply(ref).unwrap() == {"n": 2}
    server.push(socket, TOPIC, "news")
    assert socket.await_message(TOPIC).event == "news"
    server.disconnect(socket, HeartbeatTimeout())
    socket = socket.await_disconnect()
    assert not socket.connected
    with pytest.raises(NotConnectedError):
        socket.push(TOPIC, "ask")


def test_a_script_in_another_thread(server: SocketTest) -> None:
    sockets: list[Socket] = []
    made, outcome = threading.Event(), Log()

    def script() -> None:
        sockets.append(connect(URI, test_mode=True).join(TOPIC))
        made.set()
        socket = sockets[0].await_connect(timeout=PATIENCE).await_join(TOPIC, timeout=PATIENCE)
        outcome.put(("reply", socket.await_reply(socket.push(TOPIC, "ask"), timeout=PATIENCE)))

    thread = threading.Thread(target=script)
    thread.start()
    assert made.wait(PATIENCE)
    server.connect_and_assert_join(sockets[0].socket_pid, TOPIC)
    push = server.assert_push(TOPIC, "ask", client=sockets[0])
    server.reply(sockets[0], push)
    assert outcome.take("reply") == ("reply", Reply("ok"))
    thread.join(PATIENCE)


def test_pings_are_answered_and_are_no_pushes(server: SocketTest, joined: Any) -> None:
    assert call(joined, lambda socket: socket.ping()) >= 0
    server.refute_push()


def test_a_reconnect_waits_for_no_delay(server: SocketTest, log: Log) -> None:
    client = server.start(Joiner, log, reconnect_after_msec=[3_600_000])
    server.connect_and_assert_join(client, TOPIC)
    server.disconnect(client)
    server.connect_and_assert_join(client, TOPIC)
    wait_until_joined(client, TOPIC, timeout=PATIENCE)
    log.take("connect")
    log.take("disconnect")
    log.take("connect")


def test_topics_are_joined_again(server: SocketTest, joined: Any, log: Log) -> None:
    server.disconnect(joined)
    server.connect_and_assert_join(joined, TOPIC, PARAMS, Reply("ok", {"again": True}))
    assert log.take("join") == ("join", TOPIC, {"again": True})


def test_not_without_rejoin_on_reconnect(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, rejoin_on_reconnect=False)
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join(TOPIC)
    server.disconnect(client)
    server.accept_connect(client)
    call(client, lambda socket: None)
    server.refute_join()


def test_a_topic_is_joined_again_after_its_crash(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, rejoin_after_msec=[0])
    server.accept_connect(client)
    have(client, "join", TOPIC, {"n": 1})
    server.assert_join(TOPIC)
    client.tell(TopicJoinClosed(TOPIC, ChannelCrashed({})))
    server.assert_join(TOPIC, {"n": 1})
    wait_until_joined(client, TOPIC, timeout=PATIENCE)


def test_an_attempt_to_connect_fails_by_hand(server: SocketTest, client: Any, log: Log) -> None:
    client.tell(ChannelConnectFailed(ConnectFailed("refused")))
    log.take("disconnect", ConnectFailed("refused"))
    server.accept_connect(client)
    log.take("connect")


def test_leave_and_join_in_one_go(server: SocketTest, joined: Any) -> None:
    have(joined, "leave", TOPIC)
    have(joined, "join", TOPIC, {"second": True})
    server.assert_join(TOPIC, {"second": True})
    server.assert_leave(TOPIC)
    assert call(joined, lambda socket: socket.joined(TOPIC))


def test_buffered_pushes_come_after_the_join(server: SocketTest, client: Any) -> None:
    server.accept_connect(client)

    def early(socket: Socket) -> Socket:
        socket = socket.join(TOPIC)
        socket.push(TOPIC, "early", {"n": 1}, buffer=True)
        return socket

    cast(client, early)
    join = server.assert_join(TOPIC)
    assert server.assert_push(TOPIC, "early").ref.join_ref == join.join_ref


def test_a_push_that_is_not_answered_in_time_fails(
    server: SocketTest, joined: Any, log: Log
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=0.01) and None)
    push = server.assert_push(TOPIC, "ask")
    assert log.take("push_failed") == ("push_failed", push.ref, PushTimeout())


def test_a_client_in_test_mode_opens_no_socket(server: SocketTest, log: Log) -> None:
    before = descriptors()
    client = server.start(KitClient, log)
    server.accept_connect(client)
    log.take("connect")
    assert descriptors() == before
    assert not isinstance(get_state(client).connection, pykka.ActorRef)


def test_a_connect_is_refused(server: SocketTest, client: Any, log: Log) -> None:
    server.refuse_connect(client)
    assert log.take("disconnect") == ("disconnect", ConnectFailed("refused"))
    assert get_state(client).socket.reconnect_counter == 1
    server.refuse_connect("client", ConnectFailed("upgrade", status=403))
    assert log.take("disconnect") == ("disconnect", ConnectFailed("upgrade", status=403))
    server.accept_connect(client)
    log.take("connect")
    client.stop()
    with pytest.raises(ActorDeadError):
        server.refuse_connect(client)


def test_a_push_of_null_and_of_nothing(server: SocketTest, joined: Any, log: Log) -> None:
    server.push(joined, TOPIC, "null", None)
    assert log.take("message") == ("message", TOPIC, "null", None)
    server.push(joined, TOPIC, "nothing")
    assert log.take("message") == ("message", TOPIC, "nothing", {})


def test_pushes_in_flight_fail_with_the_leave(server: SocketTest, joined: Any, log: Log) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=60) and None)
    push = server.assert_push(TOPIC, "ask")
    have(joined, "leave", TOPIC)
    server.assert_leave(TOPIC)
    assert log.take("push_failed") == ("push_failed", push.ref, ChannelEnded("left"))


def test_pushes_in_flight_fail_with_the_connection(
    server: SocketTest, joined: Any, log: Log
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=60) and None)
    push = server.assert_push(TOPIC, "ask")
    server.disconnect(joined, HeartbeatTimeout())
    failed = ("push_failed", push.ref, Disconnected(HeartbeatTimeout()))
    assert log.take("push_failed") == failed


def test_what_the_client_does_before_it_hears_of_the_end_still_comes(
    server: SocketTest, joined: Any
) -> None:
    release = threading.Event()

    def late(socket: Socket) -> None:
        assert release.wait(PATIENCE)
        socket.push(TOPIC, "late")

    cast(joined, late)
    server.disconnect(joined)
    release.set()
    server.assert_push(TOPIC, "late")


def test_a_push_after_the_end_is_refused(server: SocketTest, joined: Any) -> None:
    def push(socket: Socket) -> str:
        with pytest.raises((NotConnectedError, NotJoinedError)) as caught:
            socket.push(TOPIC, "late")
        return type(caught.value).__name__

    server.disconnect(joined)
    assert call(joined, push) == "NotConnectedError"


def test_pushes_from_other_threads(server: SocketTest, joined: Any, log: Log) -> None:
    socket = get_state(joined).socket
    ref = socket.push(TOPIC, "from outside", reply_timeout=0.01)
    assert isinstance(ref, Ref)
    server.assert_push(TOPIC, "from outside")
    log.take("push_failed", ref, PushTimeout())


def test_monitors_hear_of_the_end(server: SocketTest, joined: Any, log: Log) -> None:
    watcher = server.start(KitClient, log)
    call(watcher, lambda socket: [monitor(joined)])
    joined.stop()
    entry = log.take("info")
    assert isinstance(entry[1], Down)


def test_a_client_that_ends_disconnects(server: SocketTest, joined: Any) -> None:
    cast(joined, lambda socket: Stop("normal", socket))
    server.assert_disconnect(client="client")
    assert wait(joined, timeout=PATIENCE) == "normal"


class Polite(KitClient):
    """Says goodbye, and waits for the answer."""

    def terminate(self, reason: Any, socket: Socket) -> None:
        reply = socket.await_reply(socket.push(TOPIC, "bye"), timeout=PATIENCE)
        self.note("terminate", reply)


def test_a_client_that_ends_is_still_answered(server: SocketTest, log: Log) -> None:
    client = server.start(Polite, log)
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join()
    log.take("join")
    stopped = client.stop(block=False)
    server.reply(client, server.assert_push(TOPIC, "bye"))
    assert log.take("terminate") == ("terminate", Reply("ok"))
    stopped.get(timeout=PATIENCE)
    server.assert_disconnect()


def test_garbage_is_no_request(server: SocketTest, joined: Any) -> None:
    have(joined, "collect_garbage")
    have(joined, "push", TOPIC, "behind")
    server.assert_push()
    assert re.search(r"what has come since the connect \(2\)", failure(server, timeout=0))


# what a former connection said is nobody's


def test_a_new_connection_begins_anew(server: SocketTest, joined: Any) -> None:
    have(joined, "join", "other")
    have(joined, "push", TOPIC, "old")
    server.assert_push(TOPIC, "old")
    server.disconnect(joined)
    server.accept_connect(joined)
    first, second = server.assert_join("other"), server.assert_join(TOPIC)
    assert int(second.join_ref or 0) > 2
    assert int(first.join_ref or 0) > 3
    wait_until_joined(joined, "other", timeout=PATIENCE)


def test_a_client_that_connects_anew_leaves_its_connection(server: SocketTest, log: Log) -> None:
    client = server.start(Joiner, log)
    server.connect_and_assert_join(client, TOPIC)
    cast(client, lambda socket: socket.connect(URI, test_mode=True))
    server.assert_disconnect()
    server.connect_and_assert_join(client, TOPIC)
    wait_until_joined(client, TOPIC, timeout=PATIENCE)
    assert not [entry for entry in log.queue if entry[0] == "disconnect"]


# several clients


def test_each_assertion_may_be_of_one_client(server: SocketTest) -> None:
    logs = [Log(), Log()]
    one, two = (server.start(Joiner, log) for log in logs)
    server.accept_connect(one)
    server.accept_connect(two)
    assert server.assert_join(client=two).client is two
    assert server.assert_join(client=one.proxy()).client is one
    have(one, "push", TOPIC, "hello", {"from": "one"})
    have(two, "push", TOPIC, "hello", {"from": "two"})
    assert server.assert_push(client=two).payload == {"from": "two"}
    server.refute_push(client=two)
    assert server.assert_push().client is one
    have(two, "leave", TOPIC)
    server.refute_leave(client=one)
    server.assert_leave(client=two)
    have(two, "disconnect")
    server.refute_disconnect(client=one)
    server.assert_disconnect(client=two)


def test_a_message_says_whose_each_request_is(server: SocketTest, log: Log) -> None:
    for name in ("alice", None, None):
        client = server.start(KitClient, log, name=name)
        server.accept_connect(name or client)
        have(client, "join", TOPIC)
        server.assert_join(client=client)
    assert failure(server, timeout=0).splitlines()[-3:] == [
        "  1. alice: join 'rooms:lobby' {}  (taken)",
        "  2. KitClient: join 'rooms:lobby' {}  (taken)",
        "  3. KitClient 2: join 'rooms:lobby' {}  (taken)",
    ]


def failure(server: SocketTest, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        server.assert_push("no such topic", **options)
    return str(caught.value)


# crashes


def test_a_crash_fails_a_waiting_assertion_at_once(server: SocketTest, joined: Any) -> None:
    started = time.monotonic()
    threading.Timer(0.05, server.push, (joined, TOPIC, "raise", {"text": "oh"})).start()
    with pytest.raises(AssertionError, match=r"\Aclient crashed: RuntimeError\('oh'\)\n") as caught:
        server.assert_push(timeout=60)
    assert time.monotonic() - started < PATIENCE
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("name", ASSERTIONS)
def test_a_crash_fails_every_assertion(server: SocketTest, joined: Any, name: str) -> None:
    server.push(joined, TOPIC, "raise", {"text": "oh"})
    wait(joined, timeout=PATIENCE)
    with pytest.raises(AssertionError, match=r"\Aclient crashed: RuntimeError\('oh'\)\n"):
        ASSERTIONS[name](server, client="client")


def test_what_came_before_the_crash_counts(server: SocketTest, joined: Any) -> None:
    def push_and_raise(socket: Socket) -> None:
        socket.push(TOPIC, "last words")
        raise RuntimeError("oh")

    cast(joined, push_and_raise)
    wait(joined, timeout=PATIENCE)
    server.assert_push(TOPIC, "last words")


def test_a_stop_for_another_reason_is_told_too(server: SocketTest, joined: Any) -> None:
    cast(joined, lambda socket: Stop("out of order", socket))
    wait(joined, timeout=PATIENCE)
    with pytest.raises(AssertionError, match=r"\Aclient ended, for 'out of order'\n") as caught:
        server.assert_push(timeout=60)
    assert caught.value.__cause__ is None


def test_a_normal_end_ends_the_wait(server: SocketTest, joined: Any) -> None:
    joined.stop()
    server.refute_push(timeout=60)
    with pytest.raises(AssertionError, match=r"client ended, for 'normal'\Z"):
        server.assert_push(timeout=60)


def test_the_others_are_still_waited_for(server: SocketTest, joined: Any, log: Log) -> None:
    other = server.start(KitClient, log)
    server.accept_connect(other)
    have(other, "join", TOPIC)
    server.assert_join(client=other)
    server.push(joined, TOPIC, "raise", {"text": "oh"})
    wait(joined, timeout=PATIENCE)
    server.refute_push()
    have(other, "push", TOPIC, "here I am")
    server.assert_push(TOPIC, "here I am")


def test_a_client_that_is_restarted_has_its_name(server: SocketTest, log: Log) -> None:
    supervisor = Supervisor.start([ChildSpec(Joiner, log, name="chat")])
    try:
        server.connect_and_assert_join("chat", TOPIC)
        first = whereis("chat")
        have("chat", "push", TOPIC, "unheard")
        server.push("chat", TOPIC, "raise", {"text": "oh"})
        second = eventually(lambda: (ref := whereis("chat")) is not first and ref)
        assert server.connect_and_assert_join("chat", TOPIC).client is second
        server.refute_push(TOPIC, "unheard")
    finally:
        supervisor.stop()


# without a connection


def test_what_is_told_by_hand_is_taken_at_its_word(
    server: SocketTest, client: Any, log: Log
) -> None:
    server.push(client, TOPIC, "news", {"a": (1,)})
    assert log.take("message") == ("message", TOPIC, "news", {"a": [1]})
    server.reply(client, "7", Reply("ok", 1))
    assert log.take("reply") == ("reply", "7", Reply("ok", 1))
    server.disconnect(client, HeartbeatTimeout())
    log.take("disconnect", HeartbeatTimeout())


def test_an_assertion_says_that_nobody_was_accepted(server: SocketTest, client: Any) -> None:
    assert failure(server, timeout=0).splitlines()[-2:] == [
        "nothing has come",
        "it was not accepted: accept_connect(client) comes first",
    ]


# the context manager


def test_a_predicate_that_cannot_deal_with_a_push_passes_it_over(
    server: SocketTest, joined: Any
) -> None:
    have(joined, "push", TOPIC, "ask", [])
    have(joined, "push", TOPIC, "ask", {"n": 1})
    assert server.assert_push(TOPIC, "ask", lambda p: p["n"] == 1).payload == {"n": 1}
    with pytest.raises(AssertionError, match=r"got \[\], which raised TypeError"):
        server.assert_push(TOPIC, "ask", lambda p: p["n"] == 2, timeout=0)


def test_a_client_that_ends_may_await_its_disconnect(server: SocketTest, log: Log) -> None:
    class Polite(KitClient):
        def terminate(self, reason: Any, socket: Socket) -> None:
            socket = socket.disconnect().await_disconnect(PATIENCE)
            self.note("connected", socket.connected)

    client = server.start(Polite, log)
    server.accept_connect(client)
    log.take("connect")
    stopped = client.stop(block=False)
    server.assert_disconnect()
    assert log.take("connected") == ("connected", False)
    stopped.get(timeout=PATIENCE)
    server.refute_disconnect()


def test_a_thread_keeps_nothing_of_the_servers_that_it_had() -> None:
    socket = connect(URI, test_mode=True)
    with SocketTest() as server:
        server.accept_connect(socket)
    former = weakref.ref(server)
    del server
    gc.collect()
    assert former() is None


def test_the_end_stops_what_it_started_and_disconnects_the_others(log: Log) -> None:
    guest = KitClient.start(log)
    with SocketTest() as server:
        own = server.start(KitClient, Log())
        server.accept_connect(own)
        server.accept_connect(guest)
        log.take("connect")
    assert not own.is_alive()
    log.take("disconnect", ClosedByPeer(1001, "closed_by_test"))
    with SocketTest() as server:
        server.accept_connect(guest)
        log.take("connect")
    log.take("disconnect")
    guest.stop()


def test_the_end_stops_what_was_started_meanwhile(log: Log) -> None:
    """However it was started, accepted or not; what was there before goes on."""
    guest = KitClient.start(log)
    with SocketTest() as server:
        left, unasked = KitClient.start(Log()), KitClient.start(Log())
        supervisor = Supervisor.start([ChildSpec(KitClient, Log(), name="supervised")])
        server.accept_connect(left)
        server.accept_connect("supervised")
        supervised = whereis("supervised")
    assert supervised is not None
    assert not any(ref.is_alive() for ref in (left, unasked, supervisor, supervised))
    assert guest.is_alive()
    guest.stop()


def test_a_connection_that_a_thread_did_not_take_is_taken_back() -> None:
    with SocketTest() as server:
        server.accept_connect(connect(URI, test_mode=True))
        socket = connect(URI, test_mode=True)
        server.accept_connect(socket)
    with pytest.raises(AwaitTimeoutError):
        socket.await_connect(timeout=0)


def test_one_that_it_did_take_is_closed() -> None:
    with SocketTest() as server:
        server.accept_connect(socket := connect(URI, test_mode=True))
        socket = socket.await_connect()
    with pytest.raises(NotConnectedError, match="closed_by_test"):
        socket.await_message(timeout=0)
    assert not socket.await_disconnect().connected


def test_those_of_other_servers_stay() -> None:
    with SocketTest() as other:
        other.accept_connect(socket := connect(URI, test_mode=True))
        with SocketTest() as server:
            server.accept_connect(socket)
        socket = socket.await_connect(timeout=0)
        other.disconnect(socket)
        socket.await_disconnect(timeout=0)


def test_the_end_names_a_client_that_does_not_stop(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "STOP_SECONDS", 0.01)
    release = threading.Event()
    server = SocketTest()
    stuck = server.start(KitClient, log)
    cast(stuck, lambda socket: release.wait(PATIENCE) and None)
    other = server.start(KitClient, Log())
    with pytest.raises(AssertionError, match=r"in 0.01 s these did not stop: KitClient \(urn:"):
        server.close()
    release.set()
    for ref in (stuck, other):
        wait(ref, timeout=PATIENCE)


def test_it_may_be_used_again(server: SocketTest, joined: Any, log: Log) -> None:
    server.close()
    assert failure(server, timeout=0).splitlines()[-2] == "nothing has come"
    client = server.start(Joiner, log)
    server.connect_and_assert_join(client, TOPIC)


def test_timeouts_are_the_arguments_or_its_own_or_the_class() -> None:
    assert (SocketTest().assert_timeout, SocketTest().refute_timeout) == (1.0, 0.1)
    server = SocketTest(assert_timeout=0.0, refute_timeout=0.25)
    assert "expected a push within 0.0 s" in failure(server)
    assert "expected a push within 0.01 s" in failure(server, timeout=0.01)
    started = time.monotonic()
    server.refute_push()
    assert time.monotonic() - started >= 0.25
