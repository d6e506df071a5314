"""Every push that asks for an outcome has exactly one, over real sockets."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    Disconnected,
    NotConnectedError,
    NotJoinedError,
    Options,
    PushTimeout,
    Ref,
    Reply,
    SendBufferFullError,
    SerializerError,
    Socket,
    Stop,
    cast,
    connect,
    get_state,
    new_socket,
    wait_until_joined,
)
from slipstream_actor.testing import Channel, PhoenixServer, RefuseJoin
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording

TOPIC = "bench:room"


class Held(Channel):
    """Its joins and its answers wait until the test lets them go; what it hears it tells."""

    gate: threading.Event
    heard: queue.Queue[Any]

    def join(self, params: Any) -> Any:
        assert self.gate.wait(PATIENCE)
        if params == {"refuse": True}:
            raise RefuseJoin({"reason": "no"})
        return {}

    def handle_in(self, event: str, payload: Any) -> Any:
        self.heard.put((event, payload))
        return ("ok", payload) if event == "say" else None


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def heard() -> queue.Queue[Any]:
    return queue.Queue()


@pytest.fixture
def held(gate: threading.Event, heard: queue.Queue[Any]) -> Iterator[PhoenixServer]:
    """A server whose channels are `Held`."""
    gated = type("Gated", (Held,), {"gate": gate, "heard": heard})
    with PhoenixServer({"room:*": gated}) as server:
        yield server
        gate.set()  # The server waits for its channels.


def joined(server: PhoenixServer, topic: str = TOPIC, **options: Any) -> Socket:
    return connect(server.uri, **options).join(topic).await_join(topic)


def settled(ref: Any) -> bool:
    """Whether nothing of any push is left, in the client and in its connection."""
    state = get_state(ref)
    inbox = ref.actor_inbox
    refs = get_state(state.connection).refs if state.connection is not None else {}
    return not inbox.ledger.settle_all() and not len(inbox.buffer) and not refs


# with a time for the reply


def test_a_reply_is_the_outcome(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "echo", {"n": 1}, reply_timeout=PATIENCE))
        assert log.take("reply") == ("reply", push, Reply("ok", {"n": 1}))
        assert settled(ref)


def test_no_reply_in_time(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=0.05))
        assert log.take("push_failed") == ("push_failed", push, PushTimeout())
        assert settled(ref)


def test_the_option_is_for_every_push(server: PhoenixServer) -> None:
    with recording(server.uri, reply_timeout_msec=50) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never"))
        assert log.take("push_failed") == ("push_failed", push, PushTimeout())


def test_a_reply_that_comes_too_late_is_no_second_outcome(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        slow = do(ref, lambda s: s.push(TOPIC, "slow", {"ms": 150}, reply_timeout=0.05))
        assert log.take("push_failed") == ("push_failed", slow, PushTimeout())
        before = get_state(get_state(ref).connection).counters.dropped
        eventually(
            lambda: get_state(get_state(ref).connection).counters.dropped > before, "the late reply"
        )
        last = do(ref, lambda s: s.push(TOPIC, "echo"))
        assert log.get(timeout=PATIENCE)[:2] == ("reply", last)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda s: s.push(TOPIC, "raise_unknown") and None, ChannelCrashed),
        (lambda s: s.leave(TOPIC), None),
    ],
    ids=["crash", "leave"],
)
def test_the_end_of_the_topic_fails_what_is_under_way(
    server: PhoenixServer, end: Any, reason: Any
) -> None:
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        do(ref, end)
        failed = log.take("push_failed")
        assert failed[1] == push
        assert isinstance(failed[2], ChannelEnded)
        if reason is None:
            assert failed[2] == ChannelEnded("left")
        else:
            assert isinstance(failed[2].reason, reason)


def test_the_end_of_the_connection_fails_what_is_under_way(server: PhoenixServer) -> None:
    with recording(server.uri, reconnect_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        pushes = [do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60)) for _ in range(5)]
        server.drop()
        for push in pushes:
            entry = log.take("push_failed")
            assert entry[1] == push
            assert isinstance(entry[2], Disconnected)
        log.take("join")
        assert settled(ref)


def test_a_connection_that_is_replaced_fails_what_is_under_way(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        do(ref, lambda s: s.connect(server.uri))
        assert log.take("push_failed") == ("push_failed", push, Disconnected(ClosedByClient()))


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_the_end_of_the_client_fails_what_is_under_way(server: PhoenixServer, how: str) -> None:
    class Ending(Recorder):
        def handle_cast(self, message: Any, socket: Socket) -> Any:
            if message == "crash":
                raise ValueError
            return Stop("shutdown")

    with recording(server.uri, Ending) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        cast(ref, how)
        assert log.take("push_failed") == ("push_failed", push, Disconnected(ClosedByClient()))
        assert log.get(timeout=PATIENCE)[0] == "terminate"


def test_while_a_client_ends_no_push_is_lost_in_silence(server: PhoenixServer) -> None:
    ending, let_go = threading.Event(), threading.Event()

    class Farewell(Recorder):
        def terminate(self, reason: Any, socket: Socket) -> None:
            self.note("own", socket.push(TOPIC, "never", reply_timeout=60))
            ending.set()
            assert let_go.wait(PATIENCE)

    with recording(server.uri, Farewell) as (ref, log):
        do(ref, lambda s: s.join(TOPIC).join("bench:2", {"delay": 60_000}))
        log.take("join", TOPIC)
        socket = do(ref, lambda s: (s,))[0]
        stopped = ref.stop(block=False)
        assert ending.wait(PATIENCE)
        # Of another thread: nobody would tell of their outcome.
        for topic, buffer in ((TOPIC, False), ("bench:2", True)):
            with pytest.raises(NotConnectedError):
                socket.push(topic, "echo", {}, reply_timeout=60, buffer=buffer)
        socket.push(TOPIC, "sink")
        let_go.set()
        stopped.get(timeout=PATIENCE)
        own = log.take("own")[1]
        assert log.take("push_failed") == ("push_failed", own, Disconnected(ClosedByClient()))
        inbox: Any = ref.actor_inbox
        assert not inbox.ledger.settle_all()
        assert not len(inbox.buffer)


def test_pushes_about_failed_pushes_end_with_their_client(server: PhoenixServer) -> None:
    class Complains(Recorder):
        def handle_push_failed(
            self, ref: Ref, topic: str, event: str, reason: Any, socket: Socket
        ) -> None:
            self.note("push_failed", event)
            try:
                socket.push(topic, f"{event}!", reply_timeout=60)
            except NotConnectedError:
                self.note("not_sent", f"{event}!")

    with recording(server.uri, Complains) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "never", reply_timeout=60))
        ref.stop()
        assert log.take("push_failed") == ("push_failed", "never")
        assert log.take("push_failed") == ("push_failed", "never!")
        assert log.take("not_sent") == ("not_sent", "never!!")
        inbox: Any = ref.actor_inbox
        assert not inbox.ledger.settle_all()


@pytest.mark.parametrize("connection", ["alive", "dead"])
def test_a_client_that_crashes_tells_first_of_what_it_has_given_up(
    server: PhoenixServer, connection: str
) -> None:
    class Careless(Recorder):
        def handle_cast(self, message: Any, socket: Socket) -> Any:
            connection = socket.channel_pid
            assert connection is not None
            if message == "dead":
                connection.stop()
            socket.connect(server.uri)
            raise ValueError

    with recording(server.uri, Careless) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        cast(ref, connection)
        assert log.take("push_failed") == ("push_failed", push, Disconnected(ClosedByClient()))
        assert log.get(timeout=PATIENCE)[0] == "terminate"


def test_a_plain_push_leaves_nothing_behind(server: PhoenixServer) -> None:
    with recording(server.uri, reconnect_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "never"))
        assert settled(ref)
        server.drop()
        log.take("join")
        ref.tell("mark")
        assert log.get(timeout=PATIENCE) == ("info", "mark")


def test_pushes_of_many_threads_and_a_server_that_comes_and_goes(server: PhoenixServer) -> None:
    """Each push of a thousand has one outcome: an error, a reply, or a failure."""
    errors = (NotConnectedError, NotJoinedError)
    count, threads = 250, 4
    with recording(server.uri, reconnect_after_msec=[1], rejoin_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        refs: queue.Queue[str | None] = queue.Queue()

        def pusher(client: Any) -> None:
            for n in range(count):
                socket = client.socket.get()
                try:
                    refs.put(socket.push(TOPIC, "echo", {"n": n}, reply_timeout=PATIENCE))
                except errors:
                    refs.put(None)

        workers = [threading.Thread(target=pusher, args=(ref.proxy(),)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            server.drop()
            threading.Event().wait(0.02)
        for worker in workers:
            worker.join(PATIENCE)
        pushed = [push for push in (refs.get_nowait() for _ in range(count * threads)) if push]
        assert len(set(pushed)) == len(pushed) > 0
        outcomes: list[str] = []
        while len(outcomes) < len(pushed):
            entry = log.get(timeout=PATIENCE)
            if entry[0] in ("reply", "push_failed"):
                outcomes.append(str(entry[1]))
        assert sorted(outcomes) == sorted(map(str, pushed))
        wait_until_joined(ref, TOPIC, PATIENCE)
        assert settled(ref)


# awaited


def test_what_an_await_raises(server: PhoenixServer) -> None:
    socket = joined(server)
    push = socket.push(TOPIC, "never", reply_timeout=0.05)
    with pytest.raises(AwaitTimeoutError, match="the server did not answer in time"):
        socket.await_reply(push, timeout=PATIENCE)
    push = socket.push(TOPIC, "never", reply_timeout=60)
    server.drop()
    with pytest.raises(NotConnectedError) as lost:
        socket.await_reply(push)
    assert isinstance(lost.value.reason, Disconnected)
    socket.await_disconnect()


def test_an_await_that_is_answered(server: PhoenixServer) -> None:
    socket = joined(server, reply_timeout_msec=5000)
    assert socket.await_reply(socket.push(TOPIC, "echo", {"n": 1})).unwrap() == {"n": 1}
    socket.disconnect().await_disconnect()


def test_an_await_in_a_callback_takes_the_failure(server: PhoenixServer) -> None:
    class Awaiting(Recorder):
        def handle_cast(self, message: Any, socket: Socket) -> None:
            push = socket.push(TOPIC, "never", reply_timeout=0.05)
            with pytest.raises(AwaitTimeoutError):
                socket.await_reply(push, timeout=PATIENCE)
            self.note("awaited")

    with recording(server.uri, Awaiting) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        cast(ref, "go")
        log.take("awaited")
        ref.tell("mark")
        assert log.get(timeout=PATIENCE) == ("info", "mark")


# buffered


def test_buffered_pushes_are_sent_after_the_join_in_order(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    class Greets(Recorder):
        def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
            self.note("join", topic)
            socket.push(topic, "say", "last")

    with recording(held.uri, Greets) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        pushes = [
            do(ref, lambda s, n=n: s.push("room:1", "say", {"n": n}, buffer=True)) for n in range(5)
        ]
        assert [push.join_ref for push in pushes] == [None] * 5
        assert heard.empty()
        gate.set()
        said = [heard.get(timeout=PATIENCE) for _ in range(6)]
        assert said == [*(("say", {"n": n}) for n in range(5)), ("say", "last")]
        assert [log.take("reply")[1] for _ in range(5)] == pushes
        assert pushes[0].join_ref is not None
        assert settled(ref)


def test_what_becomes_of_the_payload_meanwhile_does_not_show(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    payload = {"list": [1]}
    with recording(held.uri, buffer_pushes=True) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        do(ref, lambda s: s.push("room:1", "say", payload))
        payload["list"].append(2)
        gate.set()
        assert heard.get(timeout=PATIENCE) == ("say", {"list": [1]})


def test_buffered_pushes_survive_the_connection(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    gate.set()
    with recording(held.uri, reconnect_after_msec=[1]) as (ref, log):
        do(ref, lambda s: s.join("room:1"))
        log.take("join")
        held.stop()
        log.take("disconnect", ClosedByPeer(1012))
        with pytest.raises(NotConnectedError):
            do(ref, lambda s: s.push("room:1", "say", "plain"))
        pushes = [
            do(ref, lambda s, n=n: s.push("room:1", "say", {"n": n}, buffer=True)) for n in range(3)
        ]
        held.start()
        assert [log.take("reply")[1] for _ in range(3)] == pushes
        assert [heard.get(timeout=PATIENCE)[1]["n"] for _ in range(3)] == [0, 1, 2]
        assert heard.empty()


def test_too_many_buffered_pushes(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    with recording(held.uri, buffer_pushes=True, buffer_max_pushes=3) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        pushes = [do(ref, lambda s, n=n: s.push("room:1", "say", {"n": n})) for n in range(5)]
        for push in pushes[:2]:
            assert log.take("push_failed") == ("push_failed", push, BufferOverflow())
        gate.set()
        assert [log.take("reply")[1] for _ in range(3)] == pushes[2:]


def test_too_many_buffered_bytes(held: PhoenixServer, gate: threading.Event) -> None:
    with recording(held.uri, buffer_pushes=True, buffer_max_bytes=1000) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        pushes = [do(ref, lambda s: s.push("room:1", "say", "x" * 400)) for _ in range(3)]
        assert log.take("push_failed") == ("push_failed", pushes[0], BufferOverflow())
        with pytest.raises(SendBufferFullError, match="buffer_max_bytes is 1000: "):
            do(ref, lambda s: s.push("room:1", "say", "x" * 1000))
        with pytest.raises(SendBufferFullError, match=r"has 1[0-9]{3} bytes"):
            do(ref, lambda s: s.push("room:1", "say", "\u00e9" * 500))
        with pytest.raises(SerializerError):
            do(ref, lambda s: s.push("room:1", "say", object()))
        gate.set()
        assert [log.take("reply")[1] for _ in range(2)] == pushes[1:]


def test_buffered_pushes_expire(held: PhoenixServer, gate: threading.Event) -> None:
    with recording(held.uri, buffer_pushes=True, buffer_max_age_msec=50) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        first = do(ref, lambda s: s.push("room:1", "say", 1))
        assert log.take("push_failed") == ("push_failed", first, BufferExpired())
        second = do(ref, lambda s: s.push("room:1", "say", 2))
        assert log.take("push_failed") == ("push_failed", second, BufferExpired())
        gate.set()
        log.take("join")
        assert settled(ref)


def test_a_leave_fails_what_is_buffered(held: PhoenixServer) -> None:
    with recording(held.uri, buffer_pushes=True) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1").join("room:2"))
        one = do(ref, lambda s: s.push("room:1", "say", 1))
        do(ref, lambda s: s.push("room:2", "say", 2))
        do(ref, lambda s: s.leave("room:1"))
        assert log.take("push_failed") == ("push_failed", one, ChannelEnded("left"))
        with pytest.raises(NotJoinedError):
            do(ref, lambda s: s.push("room:1", "say", 1))
        with pytest.raises(NotJoinedError):
            do(ref, lambda s: s.push("room:3", "say", 1))


def test_a_refusal_fails_what_is_buffered_unless_there_is_a_rejoin(
    held: PhoenixServer, gate: threading.Event
) -> None:
    class Resigned(Recorder):
        def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
            self.note("topic_close", topic, reason)
            return socket.rejoin(topic, {}) if topic == "room:again" else socket

    options: dict[str, Any] = {"buffer_pushes": True, "rejoin_after_msec": [1]}
    with recording(held.uri, Resigned, **options) as (ref, log):
        log.take("connect")
        refused: list[Ref] = []
        for topic in ("room:given up", "room:again"):
            do(ref, lambda s, topic=topic: s.join(topic, {"refuse": True}))
            refused.append(do(ref, lambda s, topic=topic: s.push(topic, "say", topic)))
        gate.set()
        failed = log.take("push_failed")
        assert failed[1] == refused[0]
        assert failed[2].reason.response == {"reason": "no"}
        assert log.take("reply")[1] == refused[1]


def test_another_threads_pushes_are_buffered_too(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    with recording(held.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        socket = get_state(ref).socket
        assert socket.join_status("room:1") == "requested"
        socket.push("room:1", "say", 1, buffer=True)
        gate.set()
        log.take("join")
        assert heard.get(timeout=PATIENCE) == ("say", 1)
        # The socket that this thread has is an old one.
        socket.push("room:1", "say", 2, buffer=True)
        assert heard.get(timeout=PATIENCE) == ("say", 2)


def test_a_thread_buffers_and_awaits(held: PhoenixServer, gate: threading.Event) -> None:
    socket = connect(held.uri).await_connect().join("room:1")
    one, two = (socket.push("room:1", "say", n, buffer=True) for n in (1, 2))
    gate.set()
    assert socket.await_reply(two).response == 2
    socket = socket.await_join("room:1")
    assert socket.await_reply(one).response == 1
    socket.disconnect().await_disconnect()


def test_a_thread_is_told_when_it_awaits(held: PhoenixServer, gate: threading.Event) -> None:
    options: Options = {
        "buffer_max_pushes": 1,
        "buffer_max_age_msec": 50,
        "buffer_pushes": True,
    }
    socket = connect(held.uri, **options).await_connect().join("room:1")
    dropped, old = (socket.push("room:1", "say", n) for n in (1, 2))
    with pytest.raises(SendBufferFullError):
        socket.await_reply(dropped)
    with pytest.raises(AwaitTimeoutError, match="it waited too long in the buffer"):
        socket.await_reply(old)
    socket = socket.leave("room:1").join("room:2")
    left = socket.push("room:2", "say", 3)
    socket = socket.leave("room:2")
    with pytest.raises(NotJoinedError):
        socket.await_reply(left)
    gate.set()
    socket.disconnect().await_disconnect()


def test_what_has_expired_is_not_sent_at_the_join(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    """A plain thread has no timer that would have dropped it before."""
    options: Options = {"buffer_pushes": True, "buffer_max_age_msec": 50}
    socket = connect(held.uri, **options).await_connect().join("room:1")
    old = socket.push("room:1", "say", "old")
    expiry = socket.socket_pid.actor_inbox.buffer.expiry()
    eventually(lambda: time.monotonic() > expiry, "the end of its time")
    gate.set()
    socket = socket.await_join("room:1")
    assert socket.await_reply(socket.push("room:1", "say", "new")).response == "new"
    assert heard.get(timeout=PATIENCE) == ("say", "new")
    with pytest.raises(AwaitTimeoutError, match="it waited too long in the buffer"):
        socket.await_reply(old)
    socket.disconnect().await_disconnect()


def test_a_push_that_is_kept_may_be_sent_after_its_await(
    held: PhoenixServer, gate: threading.Event
) -> None:
    socket = connect(held.uri, buffer_pushes=True).await_connect().join("room:1")
    push = socket.push("room:1", "say", 1)
    with pytest.raises(AwaitTimeoutError, match="it is kept, and may be sent yet"):
        socket.await_reply(push, timeout=0.01)
    gate.set()
    assert socket.await_reply(push).response == 1
    socket.disconnect().await_disconnect()


def test_a_push_that_is_kept_before_the_connection_is_sent_by_await_join(
    held: PhoenixServer, gate: threading.Event
) -> None:
    gate.set()
    socket = connect(held.uri).join("room:1")
    push = socket.push("room:1", "say", 1, buffer=True)
    with pytest.raises(AwaitTimeoutError, match=r"may be sent yet, by await_join\('room:1'\)"):
        socket.await_reply(push, timeout=0.01)
    socket = socket.await_join("room:1")
    assert socket.await_reply(push).response == 1
    socket.disconnect().await_disconnect()


@pytest.mark.parametrize("is_view", [False, True])
def test_bytes_that_are_kept_are_as_they_were_at_the_call(
    held: PhoenixServer, gate: threading.Event, is_view: bool
) -> None:
    socket = connect(held.uri, buffer_pushes=True).await_connect().join("room:1")
    audio = bytearray(b"one")
    push = socket.push("room:1", "say", memoryview(audio) if is_view else audio)
    audio[:] = b"two"
    gate.set()
    assert socket.await_reply(push).response == b"one"
    socket.disconnect().await_disconnect()


class Uncopied(dict[str, Any]):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no")


def test_a_payload_that_cannot_be_kept(held: PhoenixServer) -> None:
    socket = connect(held.uri).await_connect().join("room:1")
    with pytest.raises(SerializerError, match="cannot be copied: no"):
        socket.push("room:1", "say", Uncopied(), buffer=True)
    socket.disconnect().await_disconnect()


def test_a_log_line_tells_of_a_failure(
    server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    log: Log
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "never", {"secret": 1}, reply_timeout=0.01))
        log.take("push_failed")
        get_state(ref)
    [line] = [r.getMessage() for r in caplog.records if "failed" in r.getMessage()]
    assert "a push of 'never' on 'bench:room' failed: the server did not answer in time" in line
    assert "secret" not in line


def test_what_an_await_has_raised_is_not_told_again(server: PhoenixServer) -> None:
    """The end of the topic waits in the mailbox while a callback pushes and awaits."""

    class Late(Recorder):
        def handle_info(self, message: Any, socket: Socket) -> None:
            socket.push(TOPIC, "raise_unknown")
            eventually(lambda: get_state(socket.channel_pid).topics == {}, "the end of the topic")
            with pytest.raises(NotJoinedError):
                socket.await_reply(socket.push(TOPIC, "never", reply_timeout=60))
            self.note("raised")

    with recording(server.uri, Late, rejoin_after_msec=[60_000]) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        ref.tell("go")
        log.take("raised")
        log.take("topic_close")
        get_state(ref)
        assert log.empty()


def test_a_buffered_push_waits_for_its_own_join(
    held: PhoenixServer, gate: threading.Event, heard: queue.Queue[Any]
) -> None:
    socket = connect(held.uri).await_connect().join("room:1").leave("room:1").join("room:1")
    push = socket.push("room:1", "say", 1, buffer=True)
    gate.set()
    assert socket.await_reply(push).response == 1
    socket.disconnect().await_disconnect()


def test_pushes_of_other_threads_set_one_timer(held: PhoenixServer) -> None:
    with recording(held.uri, buffer_pushes=True) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room:1"))
        socket = get_state(ref).socket
        for n in range(50):
            socket.push("room:1", "say", n)
            get_state(ref)
        inbox: Any = ref.actor_inbox
        timers = [timer for _, _, timer in inbox._timers if not timer.cancelled]
        assert len(timers) == 1


def test_a_socket_that_was_never_connected_buffers_nothing() -> None:
    socket = new_socket().join("room:1")
    with pytest.raises(NotConnectedError):
        socket.push("room:1", "say", buffer=True)


@pytest.mark.parametrize("value", ["1", 0, -1, True, float("nan"), float("inf")])
def test_a_time_that_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match="reply_timeout must be seconds"):
        new_socket().push("room:1", "say", reply_timeout=value)


def test_a_thread_that_never_awaits_its_replies_does_not_keep_them(
    held: PhoenixServer, gate: threading.Event
) -> None:
    gate.set()
    with joined(held, "room:1") as socket:
        inbox = socket.socket_pid.actor_inbox
        for number in range(2_000):
            socket.push("room:1", "say", {"number": number}, reply_timeout=PATIENCE)
            # Behind the reply comes what is awaited.
            if number % 5 == 4:
                held.broadcast("room:1", "news", {"number": number})
                socket.await_message("room:1", "news", {"number": number}, timeout=PATIENCE)
        assert inbox.depth < 1_000
        for number in range(5_000):  # Without any await.
            socket.push("room:1", "say", {"number": number})
        assert inbox.depth < 5_000
        last = socket.push("room:1", "say", {"number": "last"})
        assert socket.await_reply(last, timeout=PATIENCE).response == {"number": "last"}
