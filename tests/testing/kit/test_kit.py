"""The test kit: `SocketTest`, and what a client in test mode sees of a test that is its server."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from pykka import ActorDeadError

from slipstream_actor import (
    ANY,
    ClosedByClient,
    ClosedByPeer,
    HeartbeatTimeout,
    JoinRefused,
    Reply,
    cast,
    wait_until_joined,
)
from slipstream_actor.testing import SocketTest
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import (
    ASSERTIONS,
    PARAMS,
    TOPIC,
    URI,
    Joiner,
    KitClient,
    failure,
    have,
)

# what Slipstream's own tests say of its kit


def test_the_client_connects(server: SocketTest, client: Any, log: Log) -> None:
    server.accept_connect("client")
    log.take("connect")


@pytest.mark.parametrize("name", [None, "foo", ("foo", 1)])
def test_an_unknown_name_is_no_client(server: SocketTest, name: Any) -> None:
    with pytest.raises(ActorDeadError, match=re.escape(f"no client has the name {name!r}")):
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
    with pytest.raises(ActorDeadError, match=r"KitClient-\d+ is not alive: it has ended, 'normal'"):
        DOINGS[name](server, ref)


@pytest.mark.parametrize("name", ASSERTIONS)
def test_an_assertion_of_an_unknown_client_is_a_mistake(server: SocketTest, name: str) -> None:
    with pytest.raises(ActorDeadError, match="no client has the name 'foo'"):
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
    assert log.take("disconnect") == ("disconnect", ClosedByClient())
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
