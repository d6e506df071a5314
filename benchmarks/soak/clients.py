"""Clients of every kind. Each joins its topic and stays joined, whatever else it does."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.soak.outcomes import REPLY, OutcomeCounts, PushLedger
from slipstream_actor import (
    ClientActor,
    ClosedByClient,
    Ref,
    Reply,
    SlipstreamError,
    Socket,
    Stop,
    connect,
)

OPTIONS: dict[str, Any] = {
    "heartbeat_interval_msec": 2_000,
    "connect_timeout_msec": 2_000,
    "join_timeout_msec": 3_000,
    "reconnect_jitter_msec": 300,
}
REPLY_TIMEOUT = 3.0
AWAIT_TIMEOUT = 2.0

GO = "go"


class OnPurpose(Exception):
    """A client crashes because it was told to."""


@dataclass
class ClientRecord:
    """What the main thread and a client know of each other; it outlives the client.

    While `load` is clear nothing new is begun. `other`: where there is the same server too.
    """

    name: str
    uri: str
    seed: int
    counts: OutcomeCounts
    load: threading.Event
    other: str = ""
    joined: bool = False
    lives: int = 0

    @property
    def topic(self) -> str:
        """The client's own topic, and its socket's id on the server."""
        return f"bench:{self.name}"

    def options(self, **more: Any) -> dict[str, Any]:
        """The options to connect with."""
        return {**OPTIONS, "params": {"id": self.topic}, **more}


class Client(ClientActor):
    """Joins; what comes of its pushes goes into the ledger."""

    more: ClassVar[dict[str, Any]] = {}
    shared: ClassVar[bool] = False

    def init(self, record: ClientRecord) -> Socket:
        self.record = record
        record.lives += 1
        self.random = random.Random(record.seed)
        self.ledger = PushLedger(record.counts, shared=self.shared)
        self.begin()
        return connect(record.uri, **record.options(**self.more))

    def begin(self) -> None:
        """Start timers."""

    def go(self, socket: Socket) -> Any:
        """Do some work; called at each `GO` while there is to be load and the topic is joined."""
        return None

    def push(self, socket: Socket, event: str, payload: Any, **how: Any) -> Ref | None:
        """Push, with an outcome asked for."""
        return self.ledger.push(lambda: socket.push(self.record.topic, event, payload, **how))

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if message == GO and self.record.load.is_set() and socket.joined(self.record.topic):
            return self.go(socket)
        return None

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(self.record.topic)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Any:
        self.record.joined = True
        return super().handle_join(topic, response, socket)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.record.joined = False
        return super().handle_disconnect(reason, socket)

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.record.joined = False
        return super().handle_topic_close(topic, reason, socket)

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        self.ledger.settle(ref, REPLY)

    def handle_push_failed(
        self, ref: Ref, topic: str, event: str, reason: Any, socket: Socket
    ) -> None:
        self.ledger.settle(ref, type(reason).__name__)

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.record.joined = False
        self.ledger.close()


class Flooded(Client):
    """Asks for floods, and looks at all that comes."""

    def begin(self) -> None:
        self.looked_at = 0
        self.send_interval(0.5, GO)

    def go(self, socket: Socket) -> None:
        event = self.random.choice(("flood", "bflood"))
        self.push(socket, event, {"n": 400, "size": 100}, reply_timeout=REPLY_TIMEOUT)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.looked_at += 1


class Slow(Flooded):
    """Takes its time with each message, so that the connection has to stop reading."""

    more: ClassVar[dict[str, Any]] = {"high_watermark": 100, "low_watermark": 20}

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        super().handle_message(topic, event, payload, socket)
        time.sleep(0.001)
        if self.looked_at % 100 == 0 and socket.joined(topic):
            self.push(socket, "echo", {}, reply_timeout=REPLY_TIMEOUT)


class SharedClient(Client):
    """Pushes for other threads: through its proxy, or they do it themselves with its socket."""

    shared: ClassVar[bool] = True
    more: ClassVar[dict[str, Any]] = {"reply_timeout_msec": int(REPLY_TIMEOUT * 1000)}

    def ask_for(self, event: str, payload: Any) -> bool:
        """Push; return whether it was sent."""
        return self.push(self.socket, event, payload) is not None


class Buffering(Client):
    """Pushes all the time, connected or not; the buffer is small and forgets soon."""

    more: ClassVar[dict[str, Any]] = {
        "buffer_pushes": True,
        "buffer_max_pushes": 30,
        "buffer_max_age_msec": 1_500,
    }

    def begin(self) -> None:
        self.send_interval(0.05, GO)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if self.record.load.is_set():
            size = self.random.choice((10, 1_000))
            self.push(socket, "echo", {"pad": "x" * size}, reply_timeout=REPLY_TIMEOUT)


class Awaiting(Client):
    """Awaits in its callbacks what it has pushed for."""

    def begin(self) -> None:
        self.send_after(0.1, GO)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        try:
            return super().handle_info(message, socket)
        finally:
            self.send_after(0.05, GO)

    def go(self, socket: Socket) -> None:
        what = self.random.randrange(10)
        try:
            if what == 0:
                socket.ping(AWAIT_TIMEOUT)
            elif what == 1:
                self.push(socket, "broadcast", {}, reply_timeout=REPLY_TIMEOUT)
                socket.await_message(self.record.topic, "shout", timeout=AWAIT_TIMEOUT)
            else:
                ref = self.push(socket, "echo", {"what": what})
                if ref is not None:
                    await_outcome(self.ledger, socket, ref)
        except SlipstreamError:
            pass  # The network is as bad as it was ordered; the counts are in the ledger.


class Reconnecting(Client):
    """Leaves and joins again, disconnects and connects again: each time by another command."""

    def begin(self) -> None:
        self.send_interval(0.7, GO)

    def go(self, socket: Socket) -> Socket:
        topic = self.record.topic
        self.push(socket, "slow", {"ms": 50}, reply_timeout=REPLY_TIMEOUT)
        self.record.joined = False
        match self.random.randrange(8):
            case 0:
                return socket.disconnect()
            case 1:
                return socket.disconnect().join(topic, timeout=2).reconnect(delay=0)
            case 2:
                return socket.reconnect(delay=0)
            case 3:
                return socket.connect(self.record.other, **self.record.options()).join(topic)
            case 4:
                return socket.leave(topic, timeout=1).rejoin(topic, delay=0.1)
            case 5:
                return socket.leave(topic, timeout=1).join(topic, timeout=2)
            case _:
                return socket.leave(topic)

    def handle_leave(self, topic: str, socket: Socket) -> Socket:
        if socket.join_status(topic) != "closed" or socket.joins[topic].rejoin_in is not None:
            return socket  # It is on its way.
        return socket.forget(topic).join(topic)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.record.joined = False
        # By a `disconnect`; after the others there is another connection by now.
        if isinstance(reason, ClosedByClient) and socket.status == "disconnected":
            return socket.connect(self.record.uri, **self.record.options())
        return super().handle_disconnect(reason, socket)


class Crashing(Client):
    """Crashes every few seconds, with pushes in flight; its supervisor starts it again."""

    def begin(self) -> None:
        # No two lives are alike.
        self.random = random.Random()
        self.send_after(self.random.uniform(1.0, 4.0), GO)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if not self.record.load.is_set():
            self.send_after(1.0, GO)
            return None
        if socket.joined(self.record.topic):
            for event in ("echo", "never", "slow"):
                self.push(socket, event, {"ms": 100}, reply_timeout=REPLY_TIMEOUT)
        match self.random.randrange(3):
            case 0:
                return Stop("done", socket)
            case 1:
                raise SystemExit(1)
            case _:
                raise OnPurpose


KINDS: tuple[type[Client], ...] = (
    Flooded,
    Slow,
    SharedClient,
    Buffering,
    Awaiting,
    Reconnecting,
    Crashing,
)


def await_outcome(ledger: PushLedger, socket: Socket, ref: Ref) -> None:
    """Await the reply to a push that has no outcome but this. Raises what `await_reply` does."""
    try:
        socket.await_reply(ref, AWAIT_TIMEOUT)
    except SlipstreamError as error:
        ledger.settle(ref, f"awaited {type(error).__name__}")
        raise
    ledger.settle(ref, REPLY)
