"""After a reconnect every topic that was joined or wanted is joined again, over real sockets."""

from __future__ import annotations

import itertools
import queue
from typing import Any

import pytest

from slipstream_actor import (
    ClosedByClient,
    ClosedByPeer,
    ConfigurationError,
    ConnectFailed,
    JoinFailedError,
    ParamsFailed,
    SerializerError,
    Socket,
    connect,
    get_state,
    wait,
)
from slipstream_actor.testing import Channel, PhoenixServer, RefuseJoin
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording

SOON = [1]


class Room(Channel):
    """Notes who joins with what, and refuses when it is told to."""

    joins: queue.Queue[Any]

    def join(self, params: Any) -> Any:
        self.joins.put((self.topic, params))
        if isinstance(params, dict) and params.get("refuse"):
            raise RefuseJoin({"reason": "no"})
        return {"params": params}

    def handle_in(self, event: str, payload: Any) -> Any:
        if event == "stop":
            self.stop()
        return "ok", payload


@pytest.fixture
def joins() -> queue.Queue[Any]:
    return queue.Queue()


@pytest.fixture
def server(joins: queue.Queue[Any]) -> Any:
    kind = type("Noting", (Room,), {"joins": joins})
    with PhoenixServer({"room:*": kind}) as server:
        yield server


def joined_again(joins: queue.Queue[Any], count: int) -> list[Any]:
    return [joins.get(timeout=PATIENCE) for _ in range(count)]


def test_topics_are_joined_again_with_their_params(
    server: PhoenixServer, joins: queue.Queue[Any]
) -> None:
    expected = [(f"room:{n}", {"n": n}) for n in range(3)]
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        log.take("connect")
        for topic, params in expected:
            do(ref, lambda s, topic=topic, params=params: s.join(topic, params))
            log.take("join", topic)
        assert joined_again(joins, 3) == expected
        server.drop()
        log.take("disconnect")
        log.take("connect")
        for topic, _ in expected:
            log.take("join", topic)
        assert joined_again(joins, 3) == expected


def test_again_and_again_however_it_ends(server: PhoenixServer) -> None:
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        do(ref, lambda s: s.join("room:1"))
        log.take("join")
        for _ in range(5):
            server.drop()
            log.take("join")
        server.stop()
        log.take("disconnect")
        assert get_state(ref).socket.join_status("room:1") == "closed"
        server.start()
        log.take("join")


def test_a_topic_that_was_left_stays_left(server: PhoenixServer, joins: queue.Queue[Any]) -> None:
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        for topic in ("room:stays", "room:left", "room:later"):
            do(ref, lambda s, topic=topic: s.join(topic))
            log.take("join", topic)
        do(ref, lambda s: s.leave("room:left"))
        log.take("leave", "room:left")
        server.stop()
        log.take("disconnect", ClosedByPeer(1012))
        # While there is no connection a topic is left too.
        do(ref, lambda s: s.leave("room:later"))
        joined_again(joins, 3)
        server.start()
        log.take("connect")
        log.take("join", "room:stays")
        do(ref, lambda s: s.join("room:last"))
        assert [topic for topic, _ in joined_again(joins, 2)] == ["room:stays", "room:last"]


def test_a_leave_that_was_under_way_is_one(server: PhoenixServer, joins: queue.Queue[Any]) -> None:
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        do(ref, lambda s: s.join("room:1").join("room:2"))
        log.take("join", "room:2")
        do(ref, lambda s: s.leave("room:1").disconnect() and s.leave("room:1"))
        log.take("disconnect", ClosedByClient())
        do(ref, lambda s: s.reconnect())
        log.take("join", "room:2")
        assert [topic for topic, _ in joined_again(joins, 3)][2:] == ["room:2"]


def test_what_the_server_closed_is_not_joined_again(
    server: PhoenixServer, joins: queue.Queue[Any]
) -> None:
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        do(ref, lambda s: s.join("room:1").join("room:2"))
        log.take("join", "room:2")
        do(ref, lambda s: s.push("room:1", "stop"))
        log.take("leave", "room:1")
        joined_again(joins, 2)
        server.drop()
        log.take("join", "room:2")
        assert [topic for topic, _ in joined_again(joins, 1)] == ["room:2"]
        assert joins.empty()


def test_a_join_that_was_not_answered_is_wanted(server: PhoenixServer) -> None:
    with PhoenixServer() as slow, recording(slow.uri, reconnect_after_msec=SOON) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("bench:1", {"delay": 300}))
        eventually(lambda: get_state(get_state(ref).connection).topics, "the join")
        slow.drop()
        log.take("disconnect")
        log.take("connect")
        log.take("join", "bench:1")


def test_a_join_in_handle_connect_takes_the_place_of_the_rejoin(
    server: PhoenixServer, joins: queue.Queue[Any]
) -> None:
    class Joins(Recorder):
        turn = 0

        def handle_connect(self, socket: Socket) -> Any:
            self.turn += 1
            return socket.join("room:1", {"turn": self.turn}).leave("room:2")

    with recording(server.uri, Joins, reconnect_after_msec=SOON) as (ref, log):
        log.take("join", "room:1")
        do(ref, lambda s: s.join("room:2"))
        log.take("join", "room:2")
        server.drop()
        log.take("join", "room:1")
        do(ref, lambda s: s.join("room:3"))
        log.take("join", "room:3")
    assert list(joins.queue) == [
        ("room:1", {"turn": 1}),
        ("room:2", {}),
        ("room:1", {"turn": 2}),
        ("room:3", {}),
    ]


def test_without_the_option_nobody_joins_again(
    server: PhoenixServer, joins: queue.Queue[Any]
) -> None:
    options: dict[str, Any] = {"reconnect_after_msec": SOON, "rejoin_on_reconnect": False}
    with recording(server.uri, **options) as (ref, log):
        do(ref, lambda s: s.join("room:1"))
        log.take("join", "room:1")
        server.drop()
        log.take("disconnect")
        log.take("connect")
        assert get_state(ref).socket.join_status("room:1") == "closed"
        do(ref, lambda s: s.join("room:2"))
        log.take("join", "room:2")
        assert [topic for topic, _ in joined_again(joins, 2)] == ["room:1", "room:2"]


def test_a_refused_rejoin_is_a_topic_close(server: PhoenixServer) -> None:
    refuse = {"refuse": False}
    options: dict[str, Any] = {"reconnect_after_msec": SOON, "rejoin_after_msec": SOON}
    with recording(server.uri, **options) as (ref, log):
        do(ref, lambda s: s.join("room:1", lambda: dict(refuse)))
        log.take("join", "room:1")
        refuse["refuse"] = True
        server.drop()
        assert log.take("topic_close", "room:1")[2].response == {"reason": "no"}
        refuse["refuse"] = False
        log.take("join", "room:1")


def test_a_thread_joins_again_too(server: PhoenixServer) -> None:
    socket = connect(server.uri, reconnect_jitter_msec=0).join("room:1", {"a": 1})
    socket = socket.await_join("room:1")
    server.drop()
    socket = socket.await_disconnect()
    assert socket.join_status("room:1") == "closed"
    socket = socket.reconnect().await_connect()
    assert socket.join_status("room:1") == "requested"
    socket = socket.await_join("room:1")
    assert socket.joins["room:1"].response == {"params": {"a": 1}}
    socket.disconnect().await_disconnect()


# params that are called


def test_params_are_called_at_each_join(server: PhoenixServer, joins: queue.Queue[Any]) -> None:
    tokens = itertools.count(1)
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        do(ref, lambda s: s.join("room:all", lambda: {"token": next(tokens)}))
        log.take("join", "room:all")
        do(ref, lambda s: s.join("room:one", {"token": lambda: next(tokens), "plain": True}))
        log.take("join", "room:one")
        server.drop()
        log.take("join", "room:all")
        log.take("join", "room:one")
    assert list(joins.queue) == [
        ("room:all", {"token": 1}),
        ("room:one", {"token": 2, "plain": True}),
        ("room:all", {"token": 3}),
        ("room:one", {"token": 4, "plain": True}),
    ]


class Moody:
    """Raises what it is told to raise, once each."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def __call__(self) -> Any:
        outcome = self.outcomes.pop(0) if self.outcomes else {}
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_params_that_raise_fail_the_join_and_are_asked_again(server: PhoenixServer) -> None:
    error = OSError("the token service is down")
    params = Moody(error, {"not JSON": object()})
    with recording(server.uri, rejoin_after_msec=SOON) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1", params))
        assert log.take("topic_close", "room:1")[2] == ParamsFailed(error)
        second = log.take("topic_close", "room:1")[2].error
        assert isinstance(second, SerializerError)
        assert log.take("join", "room:1")[2] == {"params": {}}
        assert "token" not in repr(ParamsFailed(error))


def test_params_that_raise_fail_an_await(server: PhoenixServer) -> None:
    error = KeyError("token")
    socket = connect(server.uri).join("room:1", Moody(error)).await_connect()
    with pytest.raises(JoinFailedError) as failed:
        socket.await_join("room:1")
    assert failed.value.reason == ParamsFailed(error)
    socket = failed.value.socket.join("room:1").await_join("room:1")
    socket.disconnect().await_disconnect()


# policies


def test_policies_are_asked_with_the_number_of_the_attempt(server: PhoenixServer) -> None:
    asked: queue.Queue[Any] = queue.Queue()

    def reconnects(attempt: int) -> int:
        asked.put(("reconnect", attempt))
        return 1

    def rejoins(attempt: int) -> int:
        asked.put(("rejoin", attempt))
        return 1

    options: dict[str, Any] = {"reconnect_after_msec": reconnects, "rejoin_after_msec": rejoins}
    with recording(server.uri, **options) as (ref, log):
        do(ref, lambda s: s.join("room:1", Moody(ValueError(), ValueError())))
        log.take("join", "room:1")
        assert [asked.get(timeout=PATIENCE) for _ in range(2)] == [("rejoin", 1), ("rejoin", 2)]
        server.stop()
        numbers = [asked.get(timeout=PATIENCE) for _ in range(4)]
        assert numbers == [("reconnect", n) for n in (1, 2, 3, 4)]
        server.start()
        log.take("join", "room:1")
        assert get_state(ref).socket.reconnect_counter == 0


def test_a_policy_that_returns_nonsense_ends_the_client(server: PhoenixServer) -> None:
    options: dict[str, Any] = {"reconnect_after_msec": lambda attempt: "soon"}
    with recording(server.uri, **options) as (ref, log):
        log.take("connect")
        server.drop()
        error = wait(ref, timeout=PATIENCE)
        assert isinstance(error, ConfigurationError)
        assert error.option == "reconnect_after_msec"


def test_the_number_of_a_failed_attempt(server: PhoenixServer) -> None:
    numbers: queue.Queue[int] = queue.Queue()

    class Counting(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            numbers.put(socket.reconnect_counter)
            return super().handle_disconnect(reason, socket)

    with recording(server.uri, Counting, reconnect_after_msec=SOON) as (_, log):
        log.take("connect")
        server.stop()
        assert [numbers.get(timeout=PATIENCE) for _ in range(4)] == [0, 1, 2, 3]


# what no other attempt will mend


@pytest.mark.parametrize(
    "options",
    [
        {"params": lambda: "not a mapping"},
        {"auth_token": lambda: 5},
        {"sockopt": [("not", "a", "number")]},
    ],
    ids=["params", "auth_token", "sockopt"],
)
def test_a_configuration_error_is_not_tried_again(
    server: PhoenixServer, options: dict[str, Any]
) -> None:
    with recording(server.uri, reconnect_after_msec=SOON, **options) as (ref, log):
        reason = log.take("disconnect")[1]
        assert isinstance(reason, ConnectFailed)
        assert not reason.retryable
        assert next(iter(options)) in reason.detail
        ref.tell("mark")
        assert log.get(timeout=PATIENCE) == ("info", "mark")
        assert get_state(ref).connection is None


def test_unless_the_user_says_so(server: PhoenixServer) -> None:
    params = Moody("not a mapping", {})

    class Stubborn(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            self.note("disconnect", reason)
            return socket.reconnect()

    with recording(server.uri, Stubborn, reconnect_after_msec=SOON, params=params) as (_, log):
        log.take("disconnect")
        log.take("connect")


def test_a_403_is_tried_again_with_a_new_token(server: PhoenixServer) -> None:
    with PhoenixServer() as picky:
        answers = iter([{"reject": "yes"}, {"reject": "yes"}])
        params = lambda: next(answers, {})  # noqa: E731 - one line says it best
        with recording(picky.uri, reconnect_after_msec=SOON, params=params) as (_, log):
            assert log.take("disconnect")[1].status == 403
            assert log.take("disconnect")[1].status == 403
            log.take("connect")


def test_connect_begins_anew(server: PhoenixServer, joins: queue.Queue[Any]) -> None:
    log: Log
    with recording(server.uri, reconnect_after_msec=SOON) as (ref, log):
        do(ref, lambda s: s.join("room:1"))
        log.take("join", "room:1")
        do(ref, lambda s: s.connect(server.uri, reconnect_jitter_msec=0))
        log.take("connect")
        do(ref, lambda s: s.join("room:2"))
        log.take("join", "room:2")
        assert [topic for topic, _ in joined_again(joins, 2)] == ["room:1", "room:2"]
