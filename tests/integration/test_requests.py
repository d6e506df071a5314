"""Requests and handles over real sockets: many at once, binary, V1, across resets and forks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    ClientActor,
    ClientEndedError,
    ClientHandle,
    Message,
    NotConnectedError,
    Reply,
    Socket,
    call,
    connect,
    get_state,
    request,
    subscribe,
    wait_until_joined,
)
from slipstream_actor.actors import expiry
from slipstream_actor.client.requests import GRACE
from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, eventually
from tests.support.programs import Program
from tests.support.raw_server import Peer, RawServer

LOBBY = "rooms:lobby"


class Room(Channel):
    """Answers, or not."""

    seen: list[Any] = []  # noqa: RUF012 - emptied by the fixture

    def join(self, params: Any) -> Any:
        return {}

    def handle_in(self, event: str, payload: Any) -> Any:
        type(self).seen.append((event, payload))
        match event:
            case "silent":
                return None
            case "flood":
                for n in range(payload["count"]):
                    self.push("line", {"n": n})
                return "ok", {}
        return "ok", payload


class Rooms(ClientActor):
    def init(self, uri: str, **options: Any) -> Socket:
        self.gate = threading.Event()
        self.busy = threading.Event()
        usual = {
            "reconnect_after_msec": [10],
            "reconnect_jitter_msec": 0,
            "rejoin_after_msec": [10],
            "rejoin_jitter_msec": 0,
        }
        return connect(uri, **{**usual, **options})

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(LOBBY)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_info(self, message: Any, socket: Socket) -> None:
        self.busy.set()
        self.gate.wait(PATIENCE)


@pytest.fixture
def phoenix() -> Iterator[PhoenixServer]:
    Room.seen = []
    with PhoenixServer({"rooms:*": Room}) as server:
        yield server


@pytest.fixture
def rooms(phoenix: PhoenixServer) -> Iterator[Any]:
    ref = Rooms.start(phoenix.uri)
    yield ref
    ref.stop()


def test_thousands_at_once_from_many_threads(rooms: Any) -> None:
    count, errors = 125, []

    def ask(name: int) -> None:
        asked = [
            request(rooms, LOBBY, "echo", {"of": name, "n": n}, timeout=PATIENCE)
            for n in range(count)
        ]
        for n, future in enumerate(asked):
            if future.get() != Reply("ok", {"of": name, "n": n}):
                errors.append((name, n))

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert not errors
    assert len(Room.seen) == 16 * count
    for name in range(16):  # Each thread's in order.
        assert [p["n"] for _, p in Room.seen if p["of"] == name] == list(range(count))
    connection: Any = get_state(rooms).connection
    assert connection is not None
    assert get_state(connection).refs == {}


def test_thousands_at_once_from_one_loop(rooms: Any) -> None:
    async def main() -> list[Any]:
        async def one(n: int) -> Any:
            return (await request(rooms, LOBBY, "echo", {"n": n}, timeout=PATIENCE)).unwrap()["n"]

        return await asyncio.gather(*map(one, range(2000)))

    before = threading.active_count()
    assert asyncio.run(main()) == list(range(2000))
    assert threading.active_count() < before + 10


def test_payloads_of_bytes(rooms: Any) -> None:
    asked = request(rooms, LOBBY, "echo", b"\x00\xff", timeout=PATIENCE)
    assert asked.get() == Reply("ok", b"\x00\xff")


def test_version_1(phoenix: PhoenixServer) -> None:
    ref = Rooms.start(phoenix.uri, vsn="1.0.0")
    assert request(ref, LOBBY, "echo", {"n": 1}, timeout=PATIENCE).get().response == {"n": 1}
    ref.stop()


def test_what_nobody_can_time_is_not_sent(phoenix: PhoenixServer) -> None:
    ref = Rooms.start(phoenix.uri, max_requests=2)
    for n in range(20):  # By now whoever waits steps the connection.
        assert request(ref, LOBBY, "echo", {"n": n}, timeout=PATIENCE).get().ok

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("no more threads")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expiry, "_clock", expiry.Clock())
        patch.setattr(threading.Thread, "start", no_thread)
        for _ in range(3):  # Due before those: what they have waited by would do.
            with pytest.raises(NotConnectedError, match="not sent: no more threads"):
                request(ref, LOBBY, "echo", timeout=PATIENCE / 2).get()
    assert request(ref, LOBBY, "echo", {"n": 1}, timeout=PATIENCE).get().ok
    ref.stop()


class Own:
    """A serializer of one's own."""

    def encode(self, message: Message) -> str:
        return json.dumps(
            [message.join_ref, message.ref, message.topic, message.event, message.payload]
        )

    def decode(self, data: str | bytes) -> Message:
        return Message(*json.loads(data))


def test_a_serializer_of_ones_own(phoenix: PhoenixServer) -> None:
    ref = Rooms.start(phoenix.uri, serializer=Own())
    assert request(ref, LOBBY, "echo", {"n": 1}, timeout=PATIENCE).get().response == {"n": 1}
    ref.stop()


def test_requests_survive_resets(phoenix: PhoenixServer) -> None:
    """Each has one outcome, and what says that it was not sent was not; the same order."""
    with FaultProxy(phoenix.uri) as proxy:
        ref = Rooms.start(proxy.uri)
        wait_until_joined(ref, LOBBY, PATIENCE)
        asked = []
        for n in range(600):
            asked.append(request(ref, LOBBY, "echo", {"n": n}, timeout=PATIENCE))
            if n % 150 == 149:
                proxy.reset()
        replied, failed = 0, 0

        def count(future: Any) -> None:
            nonlocal replied, failed
            try:
                assert future.get().ok
                replied += 1
            except NotConnectedError as error:
                failed += error.maybe_sent

        for future in asked:
            count(future)
        # The last one may have come when the last reset was not noticed yet.
        while replied == 0 and len(asked) < 700:
            asked.append(request(ref, LOBBY, "echo", {"n": len(asked)}, timeout=PATIENCE))
            count(asked[-1])
        assert replied + failed == len(asked)
        assert replied > 0
        seen = [payload["n"] for _, payload in Room.seen]
        assert seen == sorted(set(seen))  # None twice, and all in order.
        ref.stop()


def test_what_has_timed_out_never_reaches_the_server(phoenix: PhoenixServer) -> None:
    with FaultProxy(phoenix.uri) as proxy:
        proxy.refuse()
        ref = Rooms.start(proxy.uri)
        late = request(ref, LOBBY, "late", timeout=0.05)
        with pytest.raises(AwaitTimeoutError, match="refused"):
            late.get()
        cancelled = request(ref, LOBBY, "cancelled", timeout=PATIENCE)
        cancelled.cancel()
        asked = request(ref, LOBBY, "echo", timeout=PATIENCE)
        proxy.heal()
        assert asked.get().ok
        assert [event for event, _ in Room.seen] == ["echo"]
        ref.stop()


def test_a_reply_passes_what_a_stuck_client_has_not_taken(phoenix: PhoenixServer) -> None:
    """Reading goes on while a request is outstanding, up to twice the bounds."""
    ref = Rooms.start(phoenix.uri, high_watermark=100, low_watermark=10)
    wait_until_joined(ref, LOBBY, PATIENCE)
    actor: Any = ref._actor_weakref()
    ref.tell("hang")
    assert actor.busy.wait(PATIENCE)
    try:
        assert request(ref, LOBBY, "flood", {"count": 150}, timeout=PATIENCE).get().ok
        with pytest.raises(AwaitTimeoutError, match="reading is paused"):
            request(ref, LOBBY, "flood", {"count": 5000}, timeout=4.0).get()
        actor.gate.set()
        assert request(ref, LOBBY, "echo", timeout=PATIENCE).get().ok
    finally:
        actor.gate.set()
        ref.stop()


def test_a_full_subscription_lets_a_reply_pass(phoenix: PhoenixServer) -> None:
    ref = Rooms.start(phoenix.uri)
    wait_until_joined(ref, LOBBY, PATIENCE)
    with subscribe(ref, LOBBY, "line", size=100) as lines:
        assert request(ref, LOBBY, "flood", {"count": 120}, timeout=PATIENCE).get().ok
        asked = request(ref, LOBBY, "flood", {"count": 1000}, timeout=PATIENCE)
        found = [next(lines).payload["n"] for _ in range(1120)]
        assert found == [*range(120), *range(1000)]
        assert asked.get().ok
        assert lines.dropped == 0
    ref.stop()


# Seconds that a program gives its requests.
ASKED_FOR = 1.0
ASKS = """
import sys
from slipstream_actor import AwaitTimeoutError, ClientActor, connect, request, wait_until_joined

class Rooms(ClientActor):
    def init(self, uri):
        return connect(uri).join("room")

ref = Rooms.start(sys.argv[1])
wait_until_joined(ref, "room")
count, seconds = int(sys.argv[2]), float(sys.argv[3])
for future in [request(ref, "room", "say", {"n": n}, timeout=seconds) for n in range(count)]:
    try:
        print(future.get().response["n"])
    except AwaitTimeoutError as error:
        print(error)
ref.stop()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("count", [1, 3])
def test_what_was_answered_while_the_process_was_paused_is_no_timeout(count: int) -> None:
    """As with a virtual machine that is frozen for longer than a request has."""
    asked, paused = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        messages = [peer.expect("say") for _ in range(count)]
        asked.set()
        peer.wait_for(paused)
        for message in messages:
            peer.reply(message, {"status": "ok", "response": message[4]})
        peer.serve()

    with (
        RawServer(script) as server,
        Program(ASKS, server.uri, str(count), str(ASKED_FOR)) as program,
    ):
        assert asked.wait(PATIENCE)
        over = time.monotonic() + ASKED_FOR + 2 * GRACE
        program.process.send_signal(signal.SIGSTOP)
        os.waitpid(program.process.pid, os.WUNTRACED)
        paused.set()
        eventually(lambda: time.monotonic() > over, "the end of the requests' time")
        program.process.send_signal(signal.SIGCONT)
        outcome = program.end()
    assert outcome.errors == ""
    assert outcome.output.split() == [str(n) for n in range(count)]


def test_a_connections_thread_does_not_wait(rooms: Any) -> None:
    outcomes: list[Any] = []

    def wait(_: Any) -> None:
        try:
            request(rooms, LOBBY, "echo").get()
        except RuntimeError as error:
            outcomes.append(error)

    wait_until_joined(rooms, LOBBY, PATIENCE)
    asked = request(rooms, LOBBY, "slow" * 1000, timeout=PATIENCE)
    asked.add_done_callback(wait)
    asked.get()
    if eventually(lambda: outcomes or asked.done) and outcomes:
        assert "nothing is to be waited for" in str(outcomes[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_a_client_of_its_own(phoenix: PhoenixServer) -> None:
    handle = ClientHandle(Rooms, phoenix.uri)
    assert handle.request(LOBBY, "echo", {"who": "parent"}, timeout=PATIENCE).get().ok
    inherited = handle.ref
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told = []
        try:
            told.append(handle.status()["state"])
            try:
                request(inherited, LOBBY, "echo").get()
            except ClientEndedError as error:
                told.append(type(error).__name__)
            reply = handle.request(LOBBY, "echo", {"who": "child"}, timeout=PATIENCE).get()
            told.append(reply.response["who"])
            handle.stop()
        finally:
            os.write(write, json.dumps(told).encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    said = os.read(read, 1000)
    os.close(read)
    assert json.loads(said) == ["not started", "ForkedError", "child"]
    assert handle.request(LOBBY, "echo", timeout=PATIENCE).get().ok
    handle.stop()


def test_a_handle_boots_without_phoenix(phoenix: PhoenixServer) -> None:
    with FaultProxy(phoenix.uri) as proxy:
        proxy.refuse()
        handle = ClientHandle(Rooms, proxy.uri)
        begun = time.monotonic()
        with pytest.raises(AwaitTimeoutError):
            handle.request(LOBBY, "echo", timeout=0.1).get()
        assert time.monotonic() - begun < 4.0
        status = handle.status()
        assert not status["connected"]
        assert status["last_failure"] is not None
        json.dumps(status)
        proxy.heal()
        assert handle.request(LOBBY, "echo", timeout=PATIENCE).get().ok
        assert handle.status()["connected"]
        handle.stop()


class Awaiting(Rooms):
    """Connects in a callback that waits for it."""

    def init(self, uri: str, **options: Any) -> Socket:
        self.uri = uri
        return self.joined(connect(uri, **options))

    def joined(self, socket: Socket) -> Socket:
        return socket.await_connect(PATIENCE).join(LOBBY).await_join(LOBBY, PATIENCE)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Answer:
        match message:
            case "connect":
                socket = socket.connect(self.uri)
            case "reconnect":
                socket = socket.disconnect().await_disconnect(PATIENCE).reconnect()
        return Answer(None, self.joined(socket))

    def come_back(self) -> None:
        self.socket = self.joined(self.socket.disconnect().await_disconnect(PATIENCE).reconnect())


def come_back(ref: Any) -> None:
    ref.proxy().come_back().get(timeout=PATIENCE)


@pytest.mark.parametrize(
    "anew",
    [
        lambda ref: None,
        lambda ref: call(ref, "connect", PATIENCE),
        lambda ref: call(ref, "reconnect", PATIENCE),
        come_back,
    ],
    ids=["at its start", "connect", "reconnect", "a method of its own"],
)
def test_a_client_that_has_awaited_its_connection_is_asked(
    phoenix: PhoenixServer, anew: Any
) -> None:
    ref = Awaiting.start(phoenix.uri, reconnect_after_msec=[10], reconnect_jitter_msec=0)
    try:
        anew(ref)
        assert request(ref, LOBBY, "echo", {"n": 1}, timeout=PATIENCE).get() == Reply(
            "ok", {"n": 1}
        )
    finally:
        ref.stop()


def test_a_predicate_that_exits_ends_its_subscription_alone(
    phoenix: PhoenixServer, rooms: Any
) -> None:
    wait_until_joined(rooms, LOBBY, PATIENCE)
    connection = get_state(rooms).connection
    failing, other = subscribe(rooms, payload=lambda _: sys.exit(3)), subscribe(rooms)
    phoenix.broadcast(LOBBY, "line", {"n": 1})
    eventually(lambda: "closed" in repr(failing), "the end of the subscription")
    assert next(other).payload == {"n": 1}
    with pytest.raises(RuntimeError, match="raised SystemExit"):
        next(failing)
    assert get_state(rooms).connection is connection
