"""Coming back: reconnects and rejoins on Slipstream's schedules, and what ends a connection or a
channel, over real sockets. No delay is measured: the tests note which delays are asked for."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    ChannelCrashed,
    ClientActor,
    ClosedByClient,
    ClosedByPeer,
    ConfigurationError,
    ConnectFailed,
    Ignore,
    JoinRefused,
    Next,
    Ref,
    Reply,
    Socket,
    StartIgnored,
    Timer,
    call,
    connect,
    get_state,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.testing import Channel, PhoenixServer, RefuseJoin
from tests.client.test_client import InThread
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording

TOPIC = "bench:room"
RECONNECTS = [10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000]
REJOINS = [100, 500, 1000, 2000, 5000, 10000]


class Schedule:
    """The delays that clients ask for, in milliseconds; none of them is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.delays: list[int] = []
        self.timers: list[Timer] = []
        self.hurry = True
        send_after = Inbox.send_after

        def note(inbox: Inbox, seconds: float, message: Any) -> Timer:
            timer = send_after(inbox, 0.0 if self.hurry else seconds, message)
            self.timers.append(timer)
            self.delays.append(round(seconds * 1000))
            return timer

        monkeypatch.setattr(Inbox, "send_after", note)

    def first(self, count: int) -> list[int]:
        """Return the first `count` delays, when there are as many."""
        eventually(lambda: len(self.delays) >= count, f"{count} delays")
        return self.delays[:count]


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    return Schedule(monkeypatch)


@pytest.fixture
def silence() -> Iterator[sockets.socket]:
    """A server that takes connections and says nothing."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def until_mark(ref: Any, log: Log) -> list[Any]:
    """Return what is noted before a message that is sent now."""
    mark = object()
    ref.tell(mark)
    entries = []
    while (entry := log.get(timeout=PATIENCE)) != ("info", mark):
        entries.append(entry)
    return entries


# reconnects


def test_the_default_schedule_of_reconnects(server: PhoenixServer, schedule: Schedule) -> None:
    server.stop()
    with recording(server.uri) as (_, log):
        assert schedule.first(12) == [*RECONNECTS, 5000, 5000]
        assert log.take("disconnect")[1].kind == "refused"


def test_a_schedule_of_ones_own(server: PhoenixServer, schedule: Schedule) -> None:
    server.stop()
    with recording(server.uri, reconnect_after_msec=[0, 7, 3]):
        assert schedule.first(6) == [0, 7, 3, 3, 3, 3]


def test_a_connection_starts_the_count_anew(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri, stable_after_msec=0) as (ref, log):
        for _ in range(3):
            log.take("connect")
            server.drop()
        log.take("connect")
        assert schedule.delays == [10, 10, 10]
        assert get_state(ref).socket.reconnect_counter == 0


def test_a_connection_that_does_not_last_does_not(
    server: PhoenixServer, schedule: Schedule
) -> None:
    with recording(server.uri) as (_, log):
        for _ in range(4):
            log.take("connect")
            server.drop()
        assert schedule.first(4) == RECONNECTS[:4]


def test_the_server_comes_up_on_the_same_port(server: PhoenixServer, schedule: Schedule) -> None:
    server.stop()
    with recording(server.uri, stable_after_msec=0) as (_, log):
        schedule.first(3)
        server.start()
        log.take("connect")
        failures = len(schedule.delays)
        server.drop()
        log.take("connect")
        assert schedule.delays[failures:] == [10]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda server: server.disconnect("user_socket:7"), 1001),
        (lambda server: server.drop(), 1006),
        (lambda server: server.stop(), 1000),
    ],
    ids=["disconnect", "drop", "stop"],
)
def test_no_code_means_stay_away(
    server: PhoenixServer, schedule: Schedule, end: Any, code: int
) -> None:
    with recording(server.uri, params={"id": "7"}) as (_, log):
        log.take("connect")
        end(server)
        assert log.take("disconnect") == ("disconnect", ClosedByPeer(code))
        assert schedule.first(1) == [10]


def test_a_refused_upgrade_is_tried_again(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri, params={"reject": "custom"}) as (_, log):
        assert log.take("disconnect")[1].status == 418
        assert schedule.first(3) == RECONNECTS[:3]


@pytest.mark.parametrize(
    ("options", "delays"),
    [({}, [7000, 7000]), ({"max_retry_after_msec": 2000}, [2000, 2000])],
    ids=["as asked", "at most"],
)
def test_a_server_says_when_to_come_back(
    server: PhoenixServer, schedule: Schedule, options: Any, delays: list[int]
) -> None:
    with recording(server.uri, params={"reject": "429"}, **options):
        assert schedule.first(2) == delays


def test_what_a_server_says_may_be_passed_over(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri, params={"reject": "429"}, honor_retry_after=False):
        assert schedule.first(2) == RECONNECTS[:2]


def test_the_options_that_are_callables_are_asked_at_each_attempt(
    server: PhoenixServer, schedule: Schedule
) -> None:
    ids = iter(["first", "second"])
    with recording(server.uri, params=lambda: {"id": next(ids)}) as (_, log):
        log.take("connect")
        server.disconnect("user_socket:first")
        log.take("connect")
        server.disconnect("user_socket:second")
        # The third attempt has no id to give: the callable raises, and the attempt has failed.
        assert log.take("disconnect") == ("disconnect", ClosedByPeer(1001))
        assert log.take("disconnect")[1].kind == "io"


# our own disconnect


def test_after_our_own_disconnect_nobody_reconnects(
    server: PhoenixServer, schedule: Schedule
) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.disconnect())
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        assert until_mark(ref, log) == []
        assert schedule.delays == []
        server.wait_for_connections(0)


def test_a_disconnect_and_then_a_reconnect(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.disconnect())
        log.take("disconnect")
        do(ref, lambda s: s.reconnect())
        log.take("connect")
        assert schedule.delays == [10]


def test_a_disconnect_calls_a_scheduled_reconnect_off(
    server: PhoenixServer, schedule: Schedule
) -> None:
    schedule.hurry = False
    server.stop()
    with recording(server.uri, reconnect_after_msec=[60_000]) as (ref, log):
        log.take("disconnect")
        assert schedule.first(1) == [60_000]
        do(ref, lambda s: s.disconnect())
        assert schedule.timers[0].cancelled
        assert until_mark(ref, log) == []
        # And the next one is scheduled as if nothing had been.
        do(ref, lambda s: s.reconnect())
        assert schedule.delays == [60_000, 60_000]
        assert not schedule.timers[1].cancelled


def test_a_disconnect_ends_an_attempt_to_connect(
    silence: sockets.socket, schedule: Schedule
) -> None:
    port = silence.getsockname()[1]
    with recording(f"ws://127.0.0.1:{port}/socket/websocket") as (ref, log):
        connection, _ = silence.accept()
        with connection:
            do(ref, lambda s: s.disconnect())
            assert log.take("disconnect") == ("disconnect", ClosedByClient())
            connection.settimeout(PATIENCE)
            while connection.recv(4096):
                pass  # The request, and then the end.
        assert until_mark(ref, log) == []
        assert schedule.delays == []


def test_a_disconnect_that_crosses_the_servers(server: PhoenixServer) -> None:
    def disconnect_if_connected(socket: Socket) -> bool:
        return socket.connected and socket.disconnect() is not None

    for _ in range(20):
        with recording(server.uri, params={"id": "7"}, reconnect_after_msec=[1]) as (ref, log):
            log.take("connect")
            disconnecting = InThread(server.disconnect, "user_socket:7")
            if do(ref, disconnect_if_connected):
                # Whichever was first: the client stays away.
                log.take("disconnect", ClosedByClient())
                server.wait_for_connections(0)
                assert get_state(ref).connection is None
            else:
                log.take("disconnect", ClosedByPeer(1001))
                log.take("connect")
            disconnecting.outcome()


# connect replaces


def test_connect_replaces_the_connection(server: PhoenixServer, schedule: Schedule) -> None:
    with PhoenixServer() as other, recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.assign(kept=True).join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.connect(other.uri))
        assert log.get(timeout=PATIENCE) == ("disconnect", ClosedByClient())
        assert log.get(timeout=PATIENCE) == ("connect",)
        server.wait_for_connections(0)
        socket = get_state(ref).socket
        assert socket.assigns == {"kept": True}
        assert socket.join_status(TOPIC) == "closed"
        other.wait_for_connections(1)
        assert schedule.delays == []
        assert until_mark(ref, log) == []


def test_nothing_of_the_old_connection_reaches_the_new_one(server: PhoenixServer) -> None:
    with PhoenixServer() as other, recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 5000, "size": 100}))
        log.take("message")
        do(ref, lambda s: s.connect(other.uri))
        log.take("connect")
        do(ref, lambda s: s.join("test:good"))
        assert log.get(timeout=PATIENCE) == ("join", "test:good", {})
        assert until_mark(ref, log) == []


def test_a_new_socket_replaces_the_connection(server: PhoenixServer) -> None:
    """In a callback, and by an assignment in a method of the client's own."""

    class Moves(Recorder):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            if isinstance(message, str):
                return connect(message)
            return super().handle_info(message, socket)

        def move(self, uri: str) -> None:
            self.socket = connect(uri)

    with PhoenixServer() as other, recording(server.uri, Moves) as (ref, log):
        log.take("connect")
        ref.tell(other.uri)
        log.take("connect")
        server.wait_for_connections(0)
        ref.proxy().move(server.uri).get(timeout=PATIENCE)
        log.take("connect")
        other.wait_for_connections(0)
        assert until_mark(ref, log) == []


def test_connect_again_and_again(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        for _ in range(20):
            do(ref, lambda s: s.connect(server.uri).connect(server.uri))
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        server.wait_for_connections(1)
        assert "disconnect" not in [entry[0] for entry in until_mark(ref, log)]


def test_connect_from_a_thread_replaces_too(server: PhoenixServer) -> None:
    socket = connect(server.uri).join(TOPIC).await_join(TOPIC)
    socket = socket.connect(server.uri).await_connect()
    assert socket.join_status(TOPIC) == "closed"
    server.wait_for_connections(1)
    assert socket.join(TOPIC).await_join(TOPIC).joined(TOPIC)
    socket.disconnect().await_disconnect()


def test_connect_makes_a_reconnect_void_that_is_due_already(
    server: PhoenixServer, schedule: Schedule
) -> None:
    class Hasty(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            socket = socket.reconnect()
            try:
                # It is due now, and passed over.
                socket.await_message(timeout=0.05)
            except AwaitTimeoutError:
                return socket.connect(server.uri, params=attempt)
            raise AssertionError("there is nothing to await")

    def attempt() -> dict[str, Any]:
        attempts.append(len(attempts))
        return {}

    attempts: list[int] = []
    with recording(server.uri, Hasty, params=attempt) as (ref, log):
        log.take("connect")
        server.drop()
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        assert schedule.delays == [10]
        assert attempts == [0, 1]


# rejoins


class Moody(Channel):
    """Refuses as many joins as it is told, and crashes when it is told."""

    refusals: ClassVar[int] = 0
    joins: ClassVar[list[Any]] = []

    def join(self, params: Any) -> Any:
        """Note the params, and refuse."""
        Moody.joins.append(params)
        if Moody.refusals:
            Moody.refusals -= 1
            raise RefuseJoin({"mood": "bad"})
        return {"join": len(Moody.joins)}

    def handle_in(self, event: str, payload: Any) -> Any:
        """Crash."""
        raise RuntimeError(event)


@pytest.fixture
def moody() -> Iterator[PhoenixServer]:
    Moody.refusals = 0
    Moody.joins = []
    with PhoenixServer({"moody:*": Moody}) as server:
        yield server


def test_the_default_schedule_of_rejoins(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("test:bad"))
        assert schedule.first(8) == [*REJOINS, 10000, 10000]
        refused = ("topic_close", "test:bad", JoinRefused({"bad": "join"}))
        assert log.take("topic_close") == refused


def test_a_schedule_of_rejoins_of_ones_own(server: PhoenixServer, schedule: Schedule) -> None:
    with recording(server.uri, rejoin_after_msec=[4, 2]) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("test:bad"))
        assert schedule.first(4) == [4, 2, 2, 2]


def test_a_join_starts_the_count_anew(moody: PhoenixServer, schedule: Schedule) -> None:
    Moody.refusals = 3
    with recording(moody.uri, stable_after_msec=0) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("moody:1", {"n": 1}))
        log.take("join", "moody:1")
        assert schedule.delays == REJOINS[:3]
        for _ in range(2):
            assert get_state(ref).socket.joins["moody:1"].rejoin_counter == 0
            do(ref, lambda s: s.push("moody:1", "crash"))
            log.take("topic_close")
            log.take("join", "moody:1")
        assert schedule.delays == [*REJOINS[:3], 100, 100]
        assert Moody.joins == [{"n": 1}] * 6


def test_a_join_that_does_not_last_does_not(moody: PhoenixServer, schedule: Schedule) -> None:
    with recording(moody.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("moody:1"))
        for _ in range(4):
            log.take("join", "moody:1")
            do(ref, lambda s: s.push("moody:1", "crash"))
        log.take("join", "moody:1")
        assert schedule.delays == REJOINS[:4]
        do(ref, lambda s: s.leave("moody:1").join("moody:1"))  # One that asks anew.
        log.take("join", "moody:1")
        assert get_state(ref).socket.joins["moody:1"].rejoin_counter == 0


def test_each_topic_has_a_count_of_its_own(moody: PhoenixServer, schedule: Schedule) -> None:
    with recording(moody.uri) as (ref, log):
        log.take("connect")
        for topic in ("moody:1", "moody:2"):
            Moody.refusals = 2
            do(ref, lambda s, topic=topic: s.join(topic))
            log.take("join", topic)
        assert schedule.delays == [100, 500, 100, 500]


def test_a_rejoin_is_called_off_by_a_leave(moody: PhoenixServer, schedule: Schedule) -> None:
    class Leaving(Recorder):
        def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
            return socket.rejoin(topic).leave(topic)

    Moody.refusals = 1
    with recording(moody.uri, Leaving) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("moody:1"))
        eventually(lambda: schedule.delays == [100], "the rejoin")
        # It is due by now. Were it not called off, it would be sent before the last of these.
        for n in (2, 3):
            do(ref, lambda s, n=n: s.join(f"moody:{n}"))
            assert log.take("join") == ("join", f"moody:{n}", {"join": n})
        assert get_state(ref).socket.join_status("moody:1") == "closed"


def test_a_rejoin_takes_new_params(moody: PhoenixServer, schedule: Schedule) -> None:
    class Rejoiner(Recorder):
        def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
            return socket.rejoin(topic, {"try": socket.joins[topic].rejoin_counter + 1})

    Moody.refusals = 2
    with recording(moody.uri, Rejoiner) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("moody:1", {"try": 0}))
        log.take("join")
        assert Moody.joins == [{"try": 0}, {"try": 1}, {"try": 2}]


class Returning(Recorder):
    """Rejoins all its topics on connect: Slipstream's example."""

    def handle_connect(self, socket: Socket) -> Any:
        self.note("connect")
        for topic in socket.joins:
            socket = socket.rejoin(topic)
        return socket


def test_all_topics_are_rejoined_on_connect(moody: PhoenixServer, schedule: Schedule) -> None:
    with recording(moody.uri, Returning) as (ref, log):
        log.take("connect")
        for n in (1, 2):
            do(ref, lambda s, n=n: s.join(f"moody:{n}", {"n": n}))
            log.take("join")
        moody.drop()
        log.take("connect")
        log.take("join")
        log.take("join")
        assert sorted(join["n"] for join in Moody.joins) == [1, 1, 2, 2]
        socket = get_state(ref).socket
        assert {topic: join.status for topic, join in socket.joins.items()} == {
            "moody:1": "joined",
            "moody:2": "joined",
        }


def test_a_join_in_handle_connect_is_sent_once(moody: PhoenixServer) -> None:
    class Joiner(Recorder):
        def handle_connect(self, socket: Socket) -> Any:
            self.note("connect")
            return socket.join("moody:1", {"from": "handle_connect"})

    with recording(moody.uri, Joiner, reconnect_after_msec=[0]) as (ref, log):
        for count in (1, 2, 3):
            assert log.take("join") == ("join", "moody:1", {"join": count})
            moody.drop()
        log.take("join")
        assert Moody.joins == [{"from": "handle_connect"}] * 4
        assert ref.is_alive()


def test_joins_that_were_asked_for_before_are_sent_on_connect(moody: PhoenixServer) -> None:
    moody.stop()
    with recording(moody.uri, reconnect_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join("moody:1", {"n": 1}).join("moody:2", {"n": 2}))
        log.take("disconnect")
        moody.start()
        assert log.take("join")[1] == "moody:1"
        assert log.take("join")[1] == "moody:2"
        assert Moody.joins == [{"n": 1}, {"n": 2}]


# leaving and joining


def test_leave_and_join_in_one_go(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, {"reply": {"n": -1}}))
        log.take("join")
        for n in range(50):
            do(ref, lambda s, n=n: s.leave(TOPIC).join(TOPIC, {"reply": {"n": n}}))
            assert log.take("join") == ("join", TOPIC, {"n": n})
            assert get_state(ref).socket.joined(TOPIC)
        pushed = do(ref, lambda s: s.push(TOPIC, "echo", "still here"))
        assert log.take("reply") == ("reply", pushed, Reply("ok", "still here"))
        channel = get_state(get_state(ref).connection)
        assert {topic: state.status for topic, state in channel.topics.items()} == {TOPIC: "joined"}


def test_a_duplicate_join_is_not_sent(moody: PhoenixServer) -> None:
    with recording(moody.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("moody:1", {"n": 1}).join("moody:1", {"n": 2}))
        assert log.take("join") == ("join", "moody:1", {"join": 1})
        do(ref, lambda s: s.join("moody:1", {"n": 3}))
        do(ref, lambda s: s.join("moody:2"))
        assert log.get(timeout=PATIENCE) == ("join", "moody:2", {"join": 2})
        assert Moody.joins == [{"n": 1}, {}]


def test_a_topic_is_left_once(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.leave(TOPIC).leave(TOPIC))
        assert log.get(timeout=PATIENCE) == ("leave", TOPIC)
        do(ref, lambda s: s.leave(TOPIC))
        do(ref, lambda s: s.join("test:good"))
        assert log.get(timeout=PATIENCE) == ("join", "test:good", {})


@pytest.mark.parametrize(
    ("topic", "response"),
    [
        ("test:bad", {"bad": "join"}),
        ("test:no such clause", {"reason": "join crashed"}),
        ("nowhere", {"reason": "unmatched topic"}),
    ],
)
@pytest.mark.parametrize("vsn", ["2.0.0", "1.0.0"])
def test_a_refused_join(server: PhoenixServer, topic: str, response: Any, vsn: str) -> None:
    with recording(server.uri, vsn=vsn) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(topic))
        assert log.take("topic_close") == ("topic_close", topic, JoinRefused(response))
        assert get_state(ref).socket.joins[topic].response == response


STOPS = ["normal", "shutdown", "shutdown_tuple"]
LAST_WORDS = {"reply": {"last": "words"}}


def stop_channel(ref: Any, log: Log, **how: Any) -> Any:
    """Have the server stop a channel; returns the ref of the push that asked for it."""
    log.take("connect")
    do(ref, lambda s: s.join("control:1"))
    log.take("join")
    return do(ref, lambda s: s.push("control:1", "stop_with", how))


@pytest.mark.parametrize("reason", STOPS)
def test_a_channel_that_stops_is_left(
    server: PhoenixServer, schedule: Schedule, reason: str
) -> None:
    with recording(server.uri) as (ref, log):
        stop_channel(ref, log, reason=reason)
        assert log.get(timeout=PATIENCE) == ("leave", "control:1")
        assert until_mark(ref, log) == []
        assert schedule.delays == []
        assert get_state(ref).socket.join_status("control:1") == "closed"


@pytest.mark.parametrize("reason", ["boom", "kill"])
def test_a_channel_that_crashes_is_rejoined(
    server: PhoenixServer, schedule: Schedule, reason: str
) -> None:
    with recording(server.uri) as (ref, log):
        stop_channel(ref, log, reason=reason)
        crashed = ChannelCrashed({"reason": "channel_crash"})
        assert log.get(timeout=PATIENCE) == ("topic_close", "control:1", crashed)
        assert log.get(timeout=PATIENCE) == ("join", "control:1", {})
        assert schedule.delays == [100]


@pytest.mark.parametrize(
    ("reason", "callback"), [*((stop, "leave") for stop in STOPS), ("boom", "topic_close")]
)
def test_the_last_reply_of_a_channel_comes_before_its_end(
    server: PhoenixServer, reason: str, callback: str
) -> None:
    with recording(server.uri) as (ref, log):
        pushed = stop_channel(ref, log, reason=reason, **LAST_WORDS)
        assert log.get(timeout=PATIENCE) == ("reply", pushed, Reply("ok", {"last": "words"}))
        assert log.get(timeout=PATIENCE)[:2] == (callback, "control:1")


# V1


def test_a_whole_conversation_in_v1(server: PhoenixServer) -> None:
    with recording(server.uri, vsn="1.0.0", params={"id": "7"}, rejoin_after_msec=[1]) as (
        ref,
        log,
    ):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, {"reply": {"a": 1}}))
        assert log.take("join") == ("join", TOPIC, {"a": 1})
        pushed = do(ref, lambda s: s.push(TOPIC, "echo", {"text": "é"}))
        assert log.take("reply") == ("reply", pushed, Reply("ok", {"text": "é"}))
        do(ref, lambda s: s.push(TOPIC, "broadcast", {"to": "all"}))
        assert log.take("message") == ("message", TOPIC, "shout", {"to": "all"})
        do(ref, lambda s: s.push(TOPIC, "no such event"))
        crashed = ChannelCrashed({"reason": "channel_crash"})
        assert log.take("topic_close") == ("topic_close", TOPIC, crashed)
        assert log.take("join") == ("join", TOPIC, {"a": 1})
        for n in range(10):
            do(ref, lambda s, n=n: s.leave(TOPIC).join(TOPIC, {"reply": {"n": n}}))
            assert log.take("join") == ("join", TOPIC, {"n": n})
        # What is still on its way of the joins before must not close this one.
        pushed = do(ref, lambda s: s.push(TOPIC, "echo", 1))
        assert log.take("reply") == ("reply", pushed, Reply("ok", 1))
        do(ref, lambda s: s.leave(TOPIC))
        eventually(lambda: get_state(ref).socket.joins[TOPIC].join_ref is None, "the leave")
        do(ref, lambda s: s.disconnect())
        assert log.take("disconnect") == ("disconnect", ClosedByClient())


def test_awaits_in_v1(server: PhoenixServer) -> None:
    socket = connect(server.uri, vsn="1.0.0").join("test:good").await_join("test:good")
    assert socket.await_reply(socket.push("test:good", "ping")).unwrap() == {"pong": "pong"}
    socket.push("test:good", "push to me")
    assert socket.await_message("test:good", "foo").payload == {"bar": "baz"}
    socket = socket.leave("test:good").await_leave("test:good")
    assert not socket.disconnect().await_disconnect().connected


# binary


def test_binary_both_ways(server: PhoenixServer) -> None:
    data = bytes(range(256)) * 10
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("test:good").join(TOPIC))
        wait_until_joined(ref, TOPIC)
        pushed = do(ref, lambda s: s.push(TOPIC, "echo", data))
        assert log.take("reply") == ("reply", pushed, Reply("ok", data))
        pushed = do(ref, lambda s: s.push("test:good", "ping", b"\x00"))
        assert log.take("reply") == ("reply", pushed, Reply("ok", b"\x02\x03"))
        do(ref, lambda s: s.push("test:good", "push to me", b""))
        assert log.take("message") == ("message", "test:good", "foo", b"\x02\x03")
        do(ref, lambda s: s.push("test:good", "binary broadcast"))
        assert log.take("message")[3].decode() == "🏴\u200d☠️"
        server.broadcast(TOPIC, "from outside", b"\xff")
        assert log.take("message") == ("message", TOPIC, "from outside", b"\xff")


def test_a_flood_of_binary_comes_in_order(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "bflood", {"n": 2000, "size": 50}))
        numbers = [int.from_bytes(log.take("message")[3][:4], "big") for _ in range(2000)]
        assert numbers == list(range(1, 2001))
        assert log.take("message") == ("message", TOPIC, "flood_done", {"n": 2000})


# several clients, and clients used from many threads


def test_three_clients_in_one_process(server: PhoenixServer) -> None:
    ids = ["a", "b", "c"]
    with (
        recording(server.uri, params={"id": "a"}, reconnect_after_msec=[1]) as first,
        recording(server.uri, params={"id": "b"}) as second,
        recording(server.uri, params={"id": "c"}) as third,
    ):
        clients = [first, second, third]
        for (ref, log), name in zip(clients, ids, strict=True):
            log.take("connect")
            do(ref, lambda s, name=name: s.join("params:1", {"name": name}).join(TOPIC))
            response = log.take("join", "params:1")[2]
            assert response["socket_id"] == f"user_socket:{name}"
            assert response["join"] == {"name": name}
            log.take("join", TOPIC)
        server.broadcast(TOPIC, "hello", {"to": "all"})
        for _, log in clients:
            assert log.take("message") == ("message", TOPIC, "hello", {"to": "all"})
        server.disconnect("user_socket:a")
        first[1].take("connect")
        second[0].stop()
        pushed = do(third[0], lambda s: s.push(TOPIC, "echo", 1))
        assert third[1].take("reply") == ("reply", pushed, Reply("ok", 1))
        server.wait_for_connections(2)


class Echo(ClientActor):
    """Has its public method answer with what the server replies."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Connect."""
        self.waiting: dict[str, Future[Any]] = {}
        return connect(uri, **options)

    def handle_connect(self, socket: Socket) -> Socket:
        """Join, each time."""
        return socket.join(TOPIC)

    def echo(self, payload: Any) -> Future[Any]:
        """Push, and return what the reply will complete."""
        future = self.waiting[self.socket.push(TOPIC, "echo", payload)] = Future[Any]()
        return future

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        """Answer who asked."""
        self.waiting.pop(ref).set(reply.unwrap())


def test_twenty_threads_use_one_client_through_proxies(server: PhoenixServer) -> None:
    def ask(thread: int) -> list[Any]:
        proxy = ref.proxy()
        return [proxy.echo([thread, n]).get(timeout=PATIENCE) for n in range(25)]

    ref = Echo.start(server.uri)
    wait_until_joined(ref, TOPIC)
    threads = [InThread(ask, thread) for thread in range(20)]
    for number, thread in enumerate(threads):
        assert thread.outcome() == [[number, n] for n in range(25)]
    ref.stop()


def test_pushes_of_one_thread_are_answered_while_another_waits(server: PhoenixServer) -> None:
    ref = Echo.start(server.uri)
    wait_until_joined(ref, TOPIC)
    proxy = ref.proxy()
    futures = [proxy.echo(n) for n in range(200)]
    assert [future.get(timeout=PATIENCE) for future in futures] == list(range(200))
    ref.stop()


# Slipstream's examples


def test_a_call_that_is_answered_with_a_reply(server: PhoenixServer) -> None:
    class Remote(Recorder):
        def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
            return Answer(socket.await_reply(socket.push(TOPIC, "echo", message)))

    with recording(server.uri, Remote) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        assert call(ref, {"a": 1}) == Reply("ok", {"a": 1})
        assert ref.ask(b"bytes", timeout=PATIENCE) == Reply("ok", b"bytes")
        assert until_mark(ref, log) == []  # The replies were awaited.


def test_a_client_that_connects_step_by_step(server: PhoenixServer) -> None:
    class Synchronous(Recorder):
        def init(self, uri: str, log: Any, **options: Any) -> Any:
            return Next(super().init(uri, log, **options), then="join")

        def handle_continue(self, term: Any, socket: Socket) -> Socket:
            socket = socket.await_connect().join(TOPIC).await_join(TOPIC)
            pong = socket.await_reply(socket.push(TOPIC, "echo", "ping"))
            return socket.assign(pong=pong.unwrap())

    with recording(server.uri, Synchronous) as (ref, log):
        assert get_state(ref).socket.assigns == {"pong": "ping"}
        assert get_state(ref).socket.joined(TOPIC)
        assert until_mark(ref, log) == []


def test_a_client_whose_configuration_is_wrong_may_be_ignored() -> None:
    class Graceful(ClientActor):
        def init(self, uri: str) -> Any:
            try:
                return connect(uri)
            except ConfigurationError:
                return Ignore()

    with pytest.raises(StartIgnored):
        Graceful.start("http://not.a.websocket")


def test_a_client_that_gets_a_new_token(server: PhoenixServer, schedule: Schedule) -> None:
    class Refreshing(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            self.note("disconnect", reason)
            if isinstance(reason, ConnectFailed) and reason.status == 401:
                return socket.connect(server.uri, params={"id": "new"}, reconnect_jitter_msec=0)
            return socket.reconnect()

    with recording(server.uri, Refreshing, params={"reject": "401"}) as (ref, log):
        log.take("disconnect")
        log.take("connect")
        server.disconnect("user_socket:new")
        log.take("disconnect", ClosedByPeer(1001))
        log.take("connect")  # By `reconnect`, and with what the last `connect` was given.
        do(ref, lambda s: s.join("params:1"))
        assert log.take("join")[2]["socket_id"] == "user_socket:new"
        assert schedule.delays == [10]


def test_a_client_that_repeats_what_it_hears(server: PhoenixServer) -> None:
    class Repeater(Recorder):
        def handle_connect(self, socket: Socket) -> Any:
            return socket.join("bench:source").join("bench:sink")

        def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
            if topic == "bench:source":
                socket.push("bench:sink", "broadcast", payload)

    listener = connect(server.uri).join("bench:sink").await_join("bench:sink")
    with recording(server.uri, Repeater) as (ref, _):
        wait_until_joined(ref, "bench:source")
        wait_until_joined(ref, "bench:sink")
        server.broadcast("bench:source", "said", {"n": 1})
        server.broadcast("bench:source", "said", b"\x02")
        assert listener.await_message("bench:sink").payload == {"n": 1}
        assert listener.await_message("bench:sink").payload == b"\x02"
    listener.disconnect().await_disconnect()


# waiting from outside


def test_wait_until_joined(server: PhoenixServer) -> None:
    class Joining(Recorder):
        def handle_connect(self, socket: Socket) -> Any:
            return socket.join(TOPIC)

    options = {"params": {"connect_delay": "50"}, "reconnect_after_msec": [1]}
    with recording(server.uri, Joining, **options) as (ref, log):
        waiting = [InThread(wait_until_joined, ref, TOPIC, PATIENCE) for _ in range(3)]
        assert [waiter.outcome() for waiter in waiting] == [None] * 3
        log.take("join")
        wait_until_joined(ref, TOPIC, timeout=PATIENCE)  # It is.
        server.drop()
        log.take("disconnect")
        wait_until_joined(ref, TOPIC, timeout=PATIENCE)
        assert get_state(ref).socket.joined(TOPIC)
        with pytest.raises(AwaitTimeoutError, match="joining 'elsewhere'"):
            wait_until_joined(ref, "elsewhere", timeout=0.01)


# the end of a client


@pytest.mark.parametrize(
    "end",
    [
        lambda ref: ref.stop(),
        lambda ref: ref.tell("boom"),
        lambda ref: ref.tell("exit"),
    ],
    ids=["stop", "crash", "exit"],
)
def test_the_end_of_a_client_closes_its_connection(server: PhoenixServer, end: Any) -> None:
    class Ending(Recorder):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            raise SystemExit(3) if message == "exit" else ValueError(message)

    with recording(server.uri, Ending) as (ref, log):
        log.take("connect")
        connection = get_state(ref).connection
        end(ref)
        wait(ref, timeout=PATIENCE)
        assert connection is not None
        assert not connection.is_alive()
        server.wait_for_connections(0)


@pytest.mark.parametrize("disconnect", [False, True], ids=["as it is", "and disconnects"])
def test_the_last_words_of_a_client_arrive(server: PhoenixServer, disconnect: bool) -> None:
    class Polite(Recorder):
        def terminate(self, reason: Any, socket: Socket) -> None:
            socket.push(TOPIC, "broadcast", {"last": reason})
            if disconnect:
                socket.disconnect()

    listener = connect(server.uri).join(TOPIC).await_join(TOPIC)
    with recording(server.uri, Polite) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        ref.stop()
        assert listener.await_message(TOPIC, "shout").payload == {"last": "normal"}
    listener.disconnect().await_disconnect()


@pytest.mark.filterwarnings("ignore:the last socket:ResourceWarning")
def test_a_thread_that_ends_closes_its_connection(server: PhoenixServer) -> None:
    def forget() -> bool:
        return connect(server.uri).await_connect().connected

    assert InThread(forget).outcome() is True
    server.wait_for_connections(0)


def test_the_end_of_a_connection_that_a_failed_callback_replaced_is_told(
    server: PhoenixServer,
) -> None:
    def lose(socket: Socket) -> None:
        connection: Any = socket.channel_pid
        connection.tell(CloseConnection())
        wait(connection, PATIENCE)
        socket.connect(server.uri)
        raise ValueError("boom")

    with recording(server.uri) as (ref, log):
        log.take("connect")
        with pytest.raises(ValueError, match="boom"):
            do(ref, lose)
        assert log.take("disconnect") == ("disconnect", ClosedByClient())


def test_a_method_that_loses_its_connection_does_not_keep_it(server: PhoenixServer) -> None:
    def lose(socket: Socket) -> None:
        socket.connect(server.uri)
        raise ValueError("boom")

    with recording(server.uri) as (ref, log):
        log.take("connect")
        with pytest.raises(ValueError, match="boom"):
            do(ref, lose)
        # `connect` has let go of the first connection, and nobody knows the second one.
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        server.wait_for_connections(0)
        assert until_mark(ref, log) == []
