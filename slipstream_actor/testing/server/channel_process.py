"""What runs a channel: a thread with an inbox, as in Phoenix it is a process with a mailbox.

Its thread handles one message after the other, so a callback that blocks holds up this channel and
nothing else. What it says goes to its connection's inbox; once it has ended nothing does,
whatever its thread is still doing (docs/protocol.md#note-18 and #note-24).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from slipstream_actor.testing.server.channel import Channel, ChannelSocket, RefuseJoin, Reply
from slipstream_actor.testing.server.codec import Codec
from slipstream_actor.testing.server.pubsub import Broadcast, Hub

if TYPE_CHECKING:
    from slipstream_actor.testing.server.presence import Presence

logger: logging.Logger = logging.getLogger("slipstream_actor.testing")


@dataclass(frozen=True)
class ChannelEnded:
    """Told to the connection: this channel has ended, crashed or not."""

    process: ChannelProcess
    crashed: bool


class JoinRefs(NamedTuple):
    """The join_ref that a client has sent, and that of all that the channel says.

    They are one, unless the client has sent null: then the channel takes the ref of the join, and
    the connection goes on comparing with null (docs/protocol.md#note-6).
    """

    sent: Any
    said: Any

    @classmethod
    def of(cls, join_ref: Any, ref: Any) -> JoinRefs:
        """Those of a join; what Elixir takes for false is no join_ref."""
        return cls(join_ref, ref if join_ref is None or join_ref is False else join_ref)


class ChannelConnection(Protocol):
    """A connection as a channel sees it; all of it may be called from any thread."""

    codec: Codec

    def post(self, message: str | bytes | ChannelEnded | threading.Event) -> None:
        """A frame to send, the end of a channel, or an event to set when all before it is out."""

    def wake(self) -> None:
        """Makes the connection look whether a join has come to its end."""

    def kill(self) -> None:
        """Ends the connection without a close frame."""


@dataclass(frozen=True)
class JoinOutcome:
    """The outcome of a join."""

    ok: bool
    response: Any


class _Killed(BaseException):
    """Unwinds the thread of a killed channel; no `except Exception` on the way may stop it."""


class _ConnectionGone:
    """In an inbox: the connection is gone; what came before it is handled first."""


@dataclass(frozen=True)
class _Push:
    event: Any
    payload: Any
    ref: Any


@dataclass(frozen=True)
class _Leave:
    ref: Any


@dataclass(frozen=True)
class _Info:
    message: Any


class ChannelProcess:
    """Runs one `Channel`. Made by its connection's thread, which waits for its `outcome`."""

    channel: Channel

    def __init__(
        self,
        topic: str,
        joined_with: JoinRefs,
        connection: ChannelConnection,
        hub: Hub,
        presence: Presence,
    ) -> None:
        self.topic = topic
        self.sent_join_ref: str | None = joined_with[0]
        self.join_ref: str | None = joined_with[1]
        self.hub = hub
        self.presence = presence
        self.outcome: JoinOutcome | None = None
        self._connection = connection
        self._codec = connection.codec
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Any]] = []
        self._sequence = itertools.count()
        self._stop: list[Any] = []
        self._joined = False
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._ended = False
        self._killed = threading.Event()

    # Called by the connection's thread.

    def deliver(self, event: Any, payload: Any, ref: Any) -> None:
        """Hands over a push."""
        self._inbox.put(_Push(event, payload, ref))

    def leave(self, ref: Any) -> None:
        """Hands over a leave, which is answered after the pushes before it."""
        self._inbox.put(_Leave(ref))

    def hang_up(self) -> None:
        """Says that the connection is gone."""
        self._inbox.put(_ConnectionGone())

    def kill(self) -> None:
        """Ends the channel here and now: nothing that it says after this is heard.

        Its thread unwinds when it can.
        """
        self._end()
        self._killed.set()
        self._inbox.put(None)

    # Called by whoever broadcasts.

    def on_broadcast(self, broadcast: Broadcast) -> None:
        """Sends a broadcast to the client, or to the inbox when the channel intercepts it."""
        if broadcast.event in self.channel.intercept:
            self._inbox.put(broadcast)
        else:
            self._emit(broadcast.frame(self._codec))

    # The channel's actions.

    def push(self, event: str, payload: Any) -> None:
        """Encodes in the caller's thread: what cannot be encoded crashes the channel.

        See docs/protocol.md#note-19.
        """
        self._require_joined()
        if not isinstance(event, str):
            raise TypeError(f"an event is a string, not {event!r}")
        self._emit(self._codec.encode_message(self.join_ref, None, self.topic, event, payload))

    def broadcast(self, event: str, payload: Any, everyone: bool) -> None:
        """To the topic's subscribers, this channel among them or not."""
        self._require_joined()
        self.hub.broadcast(self.topic, event, payload, None if everyone else self)

    def reply(self, ref: Any, status: str, response: Any) -> None:
        """A phx_reply; a channel that has ended says nothing (docs/protocol.md#note-24)."""
        if not isinstance(status, str):
            raise TypeError(f"a status is a string, not {status!r}")
        self._emit(self._codec.encode_reply(self.join_ref, ref, self.topic, status, response))

    def answer(self, ref: Any, reply: Reply) -> None:
        """What `handle_in` has returned."""
        if reply is None:
            return
        if isinstance(reply, str):
            reply = (reply, {})
        status, response = reply
        self.reply(ref, status, response)

    def stop(self, reason: Any) -> None:
        """Takes effect when the callback has returned."""
        self._stop.append(reason)
        self._inbox.put(None)

    def send_after(self, seconds: float, message: Any) -> None:
        """A message to the channel itself; one that is due goes the way of all others."""
        if seconds <= 0:
            self._inbox.put(_Info(message))
        else:
            due = time.monotonic() + seconds
            self._inbox.put((due, next(self._sequence), _Info(message)))

    def sleep(self, seconds: float) -> None:
        """Sleeps until the time is over; unwinds the thread when the channel is killed."""
        if self._killed.wait(seconds):
            raise _Killed

    def flush(self) -> None:
        """Waits until the connection has passed on all that it was told so far."""
        self._require_joined()
        passed = threading.Event()
        self._connection.post(passed)
        passed.wait()
        self.sleep(0)

    def drop_connection(self) -> None:
        """Kills the connection."""
        self._connection.kill()

    def _require_joined(self) -> None:
        if not self._joined:
            raise RuntimeError(
                "push and broadcast can be called once join has returned; send yourself a message"
            )

    def _emit(self, message: str | bytes | ChannelEnded) -> None:
        with self._lock:
            if not self._ended:
                self._connection.post(message)

    # The thread.

    def run(self, channel_class: type[Channel], socket: ChannelSocket, params: Any) -> None:
        """Joins, and handles messages until the channel ends."""
        try:
            if self._join(channel_class, socket, params):
                self._terminate(self._loop())
        except _Killed:
            if self._joined:
                self._call(lambda: self.channel.terminate("killed"))
        finally:
            self._end()
            # Once more: a channel that was killed while it joined has subscribed after its end.
            self._unsubscribe()

    def _join(self, channel_class: type[Channel], socket: ChannelSocket, params: Any) -> bool:
        outcome = self._call_join(channel_class, socket, params)
        if outcome.ok:
            self._joined = True
            self.hub.subscribe(self.topic, self)
        self.outcome = outcome
        self._connection.wake()
        return outcome.ok

    def _call_join(
        self, channel_class: type[Channel], socket: ChannelSocket, params: Any
    ) -> JoinOutcome:
        try:
            self.channel = channel_class()
            self.channel.topic, self.channel.socket = self.topic, socket
            self.channel._process = self
            response = self.channel.join(params)
        except RefuseJoin as refusal:
            return JoinOutcome(False, refusal.response)
        except _Killed:
            raise
        except BaseException:
            # A SystemExit too: else the whole connection would wait for this join for ever.
            logger.exception("join of %s crashed", self.topic)
            return JoinOutcome(False, {"reason": "join crashed"})
        return JoinOutcome(True, {} if response is None else response)

    def _loop(self) -> Any:
        """→ the reason that the channel ends with."""
        try:
            while not self._stop:
                self._handle(self._receive())
        except _Killed:
            raise
        except BaseException as error:
            logger.exception("channel %s crashed", self.topic)
            return error
        return self._stop[0]

    def _receive(self) -> Any:
        while True:
            if self._killed.is_set():
                raise _Killed
            if self._timers and self._timers[0][0] <= time.monotonic():
                return heapq.heappop(self._timers)[2]
            try:
                item = self._inbox.get(timeout=self._until_next_timer())
            except queue.Empty:
                continue
            if not isinstance(item, tuple):
                return item
            heapq.heappush(self._timers, item)

    def _until_next_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _handle(self, item: Any) -> None:
        if isinstance(item, _Push):
            self.channel.ref = item.ref
            self.answer(item.ref, self.channel.handle_in(item.event, item.payload))
            self.channel.ref = None
        elif isinstance(item, _Info):
            self.channel.handle_info(item.message)
        elif isinstance(item, Broadcast):
            self.channel.handle_out(item.event, item.payload)
        elif isinstance(item, _Leave):
            self.reply(item.ref, "ok", {})
            self.stop(("shutdown", "left"))
        elif isinstance(item, _ConnectionGone):
            self.stop(("shutdown", "closed"))

    def _terminate(self, reason: Any) -> None:
        """A close is announced before `terminate` runs, a crash after it, as in Phoenix."""
        if is_clean(reason):
            self._unsubscribe()
            self._emit(ChannelEnded(self, crashed=False))
            self._call(lambda: self.channel.terminate(reason))
        else:
            self._call(lambda: self.channel.terminate(reason))
            self._unsubscribe()
            self._emit(ChannelEnded(self, crashed=True))

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except BaseException:
            # A SystemExit too: the client is still to be told of the end.
            logger.exception("terminate of %s raised", self.topic)

    def _unsubscribe(self) -> None:
        self.hub.unsubscribe(self.topic, self)
        self.presence.untrack(self.topic, self)

    def _end(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._unsubscribe()


def is_clean(reason: Any) -> bool:
    """Whether a stop with `reason` is a close and no crash (docs/protocol.md#note-20)."""
    if isinstance(reason, tuple):
        return reason[:1] == ("shutdown",)
    return isinstance(reason, str) and reason in ("normal", "shutdown")
