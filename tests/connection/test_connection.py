"""One connection, message by message: over a simulated transport, with a clock of the test's."""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from slipstream_actor.actors import envelopes
from slipstream_actor.actors import inbox as inboxes
from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.selector_inbox import READY, SocketReady
from slipstream_actor.client.subscriptions import Subscription, add
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.extensions import DeflateParameters
from slipstream_actor.connection import connection as module
from slipstream_actor.connection.connection import LAST_WORDS_SECONDS, Connection
from slipstream_actor.connection.pace import LEAST_PACE
from slipstream_actor.connection.stepping import Tick, step_here
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    MessageReceived,
    TopicJoinSucceeded,
)
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reasons import (
    ClosedByClient,
    ClosedByPeer,
    HeartbeatTimeout,
    TransportFailed,
)
from slipstream_actor.wire.deflate import Deflate
from slipstream_actor.wire.websocket import Transport
from tests.support.clients import PATIENCE
from tests.support.raw_server import OK, TEXT, frame, message
from tests.support.simulated_server import Closing
from tests.support.simulated_transport import SimulatedTransport, Wire

READABLE = SocketReady(readable=True, writable=False)
MEGABYTES = 1 << 24
JOINED = "1", "1", "room", "phx_reply", OK


class Stepped:
    """A connection that no thread runs: the test hands it what its inbox has."""

    def __init__(self, clock: SimpleNamespace, **options: Any) -> None:
        self.clock = clock
        self.owner = ThreadRef()
        config = Configuration.validate("ws://localhost/socket/websocket", options)
        self.actor = Connection(self.owner, config)
        self.wire = Wire()
        self.transport = SimulatedTransport(self.wire)
        self.actor._transport = self.transport  # type: ignore[assignment]
        self.told: list[Any] = []

    def connect(self) -> None:
        """The upgrade is over."""
        self.actor.actor_inbox.receive(lambda *_: TAKE, 0)  # The command to open it.
        assert self.actor._transport is not None
        self.actor._connected(self.actor._transport)
        self.run()

    def comes(self, *items: Any) -> None:
        """Let something arrive from the server; the connection is told."""
        self.wire.arrived.extend(items)
        self.actor.on_receive(READABLE)
        self.run()

    def run(self) -> None:
        """Have it handle all that is due, and note what the owner is told meanwhile."""
        while not self.actor.actor_stopped.is_set() and (found := self.next()) is not None:
            self.actor.on_receive(found)

    def next(self) -> Any:
        """Return what its inbox has next, `None` without anything."""
        try:
            return self.actor.actor_inbox.receive(lambda *_: TAKE, 0)
        except TimeoutError:
            return None

    def passes(self, seconds: float) -> None:
        """Let time pass, and have what is due by then happen."""
        self.clock.now += seconds
        self.run()

    def take(self) -> list[Any]:
        """The owner takes all that it has been told."""
        taken = []
        while True:
            try:
                taken.append(self.owner.actor_inbox.receive(lambda *_: TAKE, 0))
            except TimeoutError:
                return taken

    def last_words(self) -> Any:
        """Return the reason that the owner was told at the end, `None` while there is none."""
        events = [event for event in self.take() if type(event) is ChannelClosed]
        return events[-1].reason if events else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    for patched in (module, inboxes, envelopes):
        monkeypatch.setattr(patched, "time", clock)
    return clock


@pytest.fixture
def stepped(clock: SimpleNamespace) -> Iterator[Stepped]:
    stepped = Stepped(clock, heartbeat_interval_msec=10_000, high_watermark=10, low_watermark=2)
    stepped.connect()
    yield stepped
    stepped.actor._end(None)
    stepped.actor.actor_inbox.close()


def tick(n: int = 0) -> bytes:
    """A broadcast of the server."""
    return json.dumps([None, None, "room", "tick", n]).encode()


# what the owner has no room for


def test_a_crowded_owner_is_told_no_more_while_the_connection_closes(stepped: Stepped) -> None:
    """What comes before the close frame is read, lest the close not be seen, and dropped."""
    stepped.comes(*map(tick, range(11)))
    assert stepped.actor._state().undelivered == 11
    stepped.actor.on_receive(CloseConnection())
    for n in range(5):
        stepped.comes(*map(tick, range(100 * n, 100 * (n + 1))))
    assert stepped.actor._state().undelivered == 11
    assert stepped.actor._state().counters.dropped == 500
    # Nor when it has room again: there would be a gap.
    told = [e for e in stepped.take() if type(e) is Message]
    assert [message.payload for message in told] == list(range(11))
    stepped.comes(tick(500))
    stepped.comes(Closing(1000))
    assert [type(event) for event in stepped.take()] == [ChannelClosed]
    assert stepped.actor.actor_stopped.is_set()


def test_an_owner_with_room_is_told_all_while_the_connection_closes(stepped: Stepped) -> None:
    stepped.take()
    stepped.actor.on_receive(CloseConnection())
    stepped.comes(*map(tick, range(5)))
    assert [event.payload for event in stepped.take()] == list(range(5))


# what a subscription has no room for


def subscribed(*connections: Stepped) -> Subscription:
    """Return a subscription of their owners that waits, with the room for one message."""
    subscription = Subscription(ANY, ANY, ANY, size=1, overflow="wait")
    for stepped in connections:
        add(stepped.owner.actor_inbox, subscription._listener)
    return subscription


def test_a_full_subscription_has_its_connection_read_again_when_there_is_room(
    stepped: Stepped,
) -> None:
    subscription = subscribed(stepped)
    stepped.comes(tick())
    assert stepped.actor._state().paused
    assert next(subscription).event == "tick"
    stepped.run()
    assert not stepped.actor._state().paused


def test_one_that_was_full_before_the_connection_has_that_read_again(clock: Any) -> None:
    """Of the client's next connection, or of a handle's next client."""
    first, second = Stepped(clock), Stepped(clock)
    first.connect()
    subscription = subscribed(first, second)
    first.comes(tick())
    second.connect()
    second.actor.on_receive(READABLE)
    assert second.actor._state().paused
    # While it is full the one before comes to its end, slowly.
    first.actor.on_receive(CloseConnection())
    assert not first.actor._state().paused
    first.comes(tick(), Closing(1000))
    assert first.actor.actor_stopped.is_set()
    assert second.actor.actor_inbox in subscription._paused
    assert [next(subscription).event for _ in range(2)] == ["tick", "tick"]
    second.run()
    assert not second.actor._state().paused
    assert subscription._paused == set()
    for stepped in first, second:
        stepped.actor._end(None)
        stepped.actor.actor_inbox.close()


# bytes that no selector sees


def test_what_a_read_has_left_behind_is_read_next(stepped: Stepped) -> None:
    """TLS has decrypted more than one turn may take: the socket says nothing of it."""
    stepped.transport.read_again = True
    stepped.actor.on_receive(READABLE)
    assert stepped.next() == READABLE
    assert stepped.next() is None
    stepped.transport.read_again = False
    stepped.actor.on_receive(READABLE)
    assert stepped.next() is None


def test_reading_goes_on_with_what_was_left_behind(stepped: Stepped) -> None:
    """While it stood still nobody asked, and the socket may have nothing more to tell."""
    stepped.comes(*map(tick, range(11)))
    assert stepped.actor._state().paused
    assert stepped.next() is None
    assert len(stepped.take()) == 12
    # The command to resume, then what the socket does not say.
    stepped.actor.on_receive(stepped.next())
    assert not stepped.actor._state().paused
    assert stepped.next() == READABLE


def test_what_is_inflated_counts_as_it_is_then(clock: SimpleNamespace) -> None:
    """Little has come, and much of it has to be held."""
    stepped = Stepped(clock, max_undelivered_bytes=1000)
    stepped.connect()
    stepped.take()
    stepped.transport.grown = 10_000
    stepped.comes(tick())
    state = stepped.actor._state()
    assert state.paused
    assert state.undelivered_bytes == len(tick()) + 10_000
    assert state.counters.bytes_in == len(tick())
    assert len(stepped.take()) == 1
    stepped.run()
    assert not stepped.actor._state().paused
    stepped.comes(tick())
    assert stepped.actor._state().undelivered_bytes == len(tick())
    stepped.actor._end(None)
    stepped.actor.actor_inbox.close()


# what is a sign of life


def test_whole_messages_are_no_answer_to_a_heartbeat(stepped: Stepped) -> None:
    """A server whose channels talk on while its socket is stuck is given up."""
    stepped.passes(10.0)
    assert stepped.wire.written[-1][3] == "heartbeat"
    for n in range(9):
        stepped.passes(1.0)
        stepped.comes(tick(n))
    stepped.passes(1.0)
    assert stepped.last_words() == HeartbeatTimeout()


def test_an_answer_that_has_come_is_no_timeout(stepped: Stepped) -> None:
    """Whatever kept the thread away: it lies in the socket when the deadline is seen."""
    stepped.passes(10.0)
    _, ref, topic, event, _ = stepped.wire.written[-1]
    assert (topic, event) == ("phoenix", "heartbeat")
    answer = [None, ref, topic, "phx_reply", {"status": "ok", "response": {}}]
    stepped.wire.arrived.append(json.dumps(answer).encode())
    stepped.passes(10.0)
    assert stepped.last_words() is None
    assert stepped.wire.written[-1][3] == "heartbeat"
    assert stepped.wire.written[-1][1] != ref
    stepped.passes(10.0)
    assert stepped.last_words() == HeartbeatTimeout()


@pytest.fixture
def peer(stepped: Stepped) -> Iterator[socket.socket]:
    """The other end of a real socket; what is compressed is inflated."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.settimeout(PATIENCE)
        stepped.actor._transport = Transport(
            here, MEGABYTES, {}, deflate=Deflate.of(DeflateParameters(), MEGABYTES)
        )
        yield there


def test_an_answer_behind_messages_that_grow_is_no_timeout(
    stepped: Stepped, peer: socket.socket
) -> None:
    """They are inflated a few at a time: what is left of them lies in the socket no more."""
    stepped.passes(10.0)
    assert stepped.actor._protocol.heartbeats.unanswered is not None
    big = json.dumps([None, None, "room", "big", "x" * (1 << 20)]).encode()
    stream = zlib.compressobj(wbits=-15)
    for _ in range(3):
        whole = stream.compress(big) + stream.flush(zlib.Z_SYNC_FLUSH)
        peer.sendall(frame(TEXT, whole[:-4], rsv=0x40))
    peer.sendall(
        message(None, stepped.actor._protocol.heartbeats.unanswered.ref, "phoenix", "phx_reply", OK)
    )
    stepped.clock.now += 10.0
    stepped.actor.on_receive(Tick())
    assert stepped.actor._status == "connected"
    assert len(stepped.actor._protocol.heartbeats.round_trips) == 1
    told = [event.event for event in stepped.take() if isinstance(event, MessageReceived | Message)]
    assert told == ["big"] * 3


def test_an_answer_behind_more_than_a_read_takes_is_no_timeout(
    stepped: Stepped, peer: socket.socket
) -> None:
    """Where a client drives, it hears what one read takes, and leaves the rest."""
    inbox = stepped.actor.actor_inbox
    stepped.actor.on_receive(JoinTopic("room", {}, "1", timeout=5.0))
    peer.sendall(message(None, None, "room", "big", "x" * 140_000) + message(*JOINED))
    stepped.clock.now += 5.0
    inbox.driver = SimpleNamespace(REQUESTS=0)
    assert not step_here(stepped.actor, Tick())
    inbox.driver = None
    stepped.actor.on_receive(Tick())
    assert TopicJoinSucceeded("room", {}, "1") in stepped.take()


def test_an_answer_behind_what_there_is_no_room_for_is_no_timeout(
    stepped: Stepped, peer: socket.socket
) -> None:
    """It is heard when the owner has taken what is before it."""
    stepped.actor.on_receive(JoinTopic("room", {}, "1", timeout=5.0))
    peer.sendall(message(None, None, "room", "big", "x" * 11_000) * 12 + message(*JOINED))
    stepped.clock.now += 5.0
    stepped.actor.on_receive(READABLE)
    assert stepped.actor._state().paused
    stepped.actor.on_receive(Tick())
    told = stepped.take()
    stepped.run()
    assert TopicJoinSucceeded("room", {}, "1") in [*told, *stepped.take()]


def test_an_end_heard_at_a_heartbeat_is_left_to_the_connections_thread(stepped: Stepped) -> None:
    """Where a client drives: it would end there, and its own thread would wait for ever."""
    inbox = stepped.actor.actor_inbox
    stepped.clock.now += 10.0
    stepped.wire.arrived.append(Closing(1000))
    inbox.driver = SimpleNamespace(REQUESTS=0)
    assert not step_here(stepped.actor, Tick())
    assert stepped.actor._status == "connected"
    inbox.driver = None
    stepped.run()
    assert stepped.last_words() == ClosedByPeer(1000)


@pytest.mark.parametrize("transfer", ["a big message comes", "a big push goes"])
def test_a_transfer_that_goes_on_is_a_sign_of_life(stepped: Stepped, transfer: str) -> None:
    """The answer to the heartbeat stands behind it."""
    stepped.passes(10.0)
    assert stepped.wire.written[-1][3] == "heartbeat"
    if transfer == "a big push goes":
        stepped.transport._output.append("the rest of it")
        stepped.wire.blocked = True
    else:
        stepped.transport.mid_frame = True
    for _ in range(9):
        stepped.passes(1.0)
        if transfer == "a big push goes":
            stepped.transport.bytes_out += 4 * LEAST_PACE
        else:
            stepped.transport.bytes_in += 4 * LEAST_PACE
        stepped.actor.on_receive(READABLE)
    stepped.passes(1.0)
    assert stepped.last_words() is None
    # Until it does not go on.
    stepped.passes(10.0)
    assert stepped.last_words() == HeartbeatTimeout()


# ends


def test_a_connection_without_a_listener_closes(clock: SimpleNamespace) -> None:
    """The owner has ended, and did not know of it yet: what it pushed last is still sent."""
    stepped = Stepped(clock)
    stepped.owner.actor_inbox.hear_no_more()
    stepped.connect()
    assert list(stepped.wire.up) == ["close 1000"]
    stepped.comes(Closing(1000))
    assert stepped.actor.actor_stopped.is_set()
    assert stepped.owner.actor_inbox.depth == 0
    stepped.actor.actor_inbox.close()


def test_a_listener_that_goes_deaf_later_closes_it_at_the_next_event(stepped: Stepped) -> None:
    stepped.owner.actor_inbox.hear_no_more()
    assert not stepped.wire.up
    stepped.comes(tick())
    assert list(stepped.wire.up) == ["close 1000"]


def test_last_words_are_waited_for_once(stepped: Stepped) -> None:
    """A peer that talks on, and reads nothing, is not listened to for ever."""
    stepped.transport.write_error = "broken pipe"
    stepped.comes(tick(0))
    for n in range(9):
        stepped.passes(LAST_WORDS_SECONDS / 10)
        stepped.comes(tick(n))
    assert stepped.last_words() is None
    stepped.passes(LAST_WORDS_SECONDS / 10 + 0.001)
    assert stepped.last_words() == TransportFailed("broken pipe")


@pytest.mark.parametrize("asked", [False, True], ids=["open", "closing"])
def test_a_stop_waits_for_the_close_frame_of_the_server(asked: bool, stepped: Stepped) -> None:
    if asked:
        stepped.actor.on_receive(CloseConnection())
    inbox = stepped.actor.actor_inbox
    answered: list[float] = []

    def answer(timeout: float | None) -> Any:
        # What a wait in the selector does: the server takes its time, and then answers.
        if not answered:
            answered.append(stepped.clock.now)
            stepped.clock.now += 0.5
            stepped.wire.arrived.extend([tick(1), Closing(1000)])
            return READY[1]
        return None

    inbox._wait = answer  # type: ignore[method-assign]
    stepped.take()
    stepped.actor.on_stop()
    assert list(stepped.wire.up) == ["close 1000"]
    assert answered
    events = stepped.take()
    assert [type(event) for event in events] == [Message, ChannelClosed]
    assert events[-1].reason == ClosedByClient()


@pytest.mark.parametrize("asked", [False, True], ids=["open", "closing"])
def test_a_stop_does_not_wait_for_ever(asked: bool, clock: SimpleNamespace) -> None:
    stepped = Stepped(clock, close_timeout_msec=300)
    stepped.connect()
    assert [type(event) for event in stepped.take()] == [ChannelConnected]
    if asked:
        stepped.actor.on_receive(CloseConnection())
    inbox = stepped.actor.actor_inbox

    def wait(timeout: float | None) -> Any:
        assert timeout is not None
        clock.now += timeout
        return inbox._due()

    inbox._wait = wait  # type: ignore[method-assign]
    stepped.actor.on_stop()
    assert clock.now == pytest.approx(100.3)
    assert stepped.last_words() == ClosedByClient()
    inbox.close()
