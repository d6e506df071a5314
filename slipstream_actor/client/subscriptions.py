"""`subscribe`: a topic's messages for threads and coroutines, beside the client's callbacks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Literal, Self, TypeAlias

from slipstream_actor.actors.forks import ended_for
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.client.asking import requests_of
from slipstream_actor.client.returns import is_normal
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.commands import ResumeReading
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY, matches
from slipstream_actor.protocol.undecoded import UndecodedMessage, decoded

__all__ = ["Overflow", "Subscription", "subscribe"]

Overflow: TypeAlias = Literal["wait", "drop_oldest"]


class Subscription:
    """The messages of a client that match, one after the other.

    An iterator for threads, an asynchronous one for coroutines, and a context manager that closes
    it. Several may iterate: each message goes to one of them. At most `size` wait; with `overflow`
    `"wait"` the connection then reads no more until half of them are taken, with `"drop_oldest"`
    the oldest are dropped, and counted in `dropped`. After `close`, or a normal end of the client,
    the iteration stops; when the client has ended otherwise it raises `ClientEndedError`.
    """

    def __init__(
        self, topic: Any, event: Any, payload: Any, *, size: int, overflow: Overflow
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"size must be a whole number, not {type(size).__name__}")
        if size < 1:
            raise ValueError(f"size must be 1 or more, not {size}")
        if overflow not in ("wait", "drop_oldest"):
            raise ValueError(f'overflow must be "wait" or "drop_oldest", not {overflow!r}')
        self.dropped: int = 0
        self._pattern = topic, event, payload
        self._size = size
        self._waits = overflow == "wait"
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._messages: deque[MessageReceived] = deque()
        self._waiting: deque[Future[None]] = deque()
        self._ended = False
        self._failure: SlipstreamError | None = None
        # Of the connection that has stopped reading for this.
        self._paused: Any = None
        self._inbox: Any = None
        # It goes on with the next client when one ends.
        self.outlives: bool = False

    def __repr__(self) -> str:
        state = "closed" if self._ended else f"{len(self._messages)} messages wait"
        return f"<Subscription to {self._pattern[0]!r} {self._pattern[1]!r}, {state}>"

    # the owner's side

    def close(self) -> None:
        """Take no more, and end whoever iterates; what waits is dropped."""
        self.end()
        with self._lock:
            self._messages.clear()

    def end(self) -> None:
        """Take no more; the iteration stops behind what waits."""
        self._end(None)
        self._detach()
        self._resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[MessageReceived]:
        return self

    def __next__(self) -> MessageReceived:
        """Return the next message, waiting for it."""
        while True:
            message, waiter = self._take()
            if message is not None:
                return message
            if waiter is None:
                raise StopIteration
            try:
                waiter.get()
            except BaseException:
                self._forget(waiter)
                raise

    def __aiter__(self) -> AsyncIterator[MessageReceived]:
        return self

    async def __anext__(self) -> MessageReceived:
        """Return the next message, waiting for it without blocking the loop."""
        while True:
            message, waiter = self._take()
            if message is not None:
                return message
            if waiter is None:
                raise StopAsyncIteration
            try:
                await waiter
            except BaseException:
                self._forget(waiter)
                raise

    def _take(self) -> tuple[MessageReceived | None, Future[None] | None]:
        """Return the next message, or what to wait for, or neither at the end."""
        with self._lock:
            if self._messages:
                message = self._messages.popleft()
            elif self._ended:
                if self._failure is not None:
                    raise self._failure
                return None, None
            else:
                waiter: Future[None] = Future()
                self._waiting.append(waiter)
                return None, waiter
        self._resume()
        return message, None

    def _forget(self, waiter: Future[None]) -> None:
        """Who waited does no more; what woke it up is another one's."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return
        self._wake(1)

    # the connection's side, in its thread

    def full(self, *, urgent: bool = False) -> bool:
        """Whether the connection is to read no more: when it is `urgent`, from twice as much on."""
        most = 2 * self._size if urgent else self._size
        return self._waits and not self._ended and len(self._messages) >= most

    def take(self, events: Iterable[Any], connection: Any) -> None:
        """Take what matches of a burst; `connection` is the inbox of who reads it."""
        count = 0
        for event in events:
            kind = type(event)
            if kind is not MessageReceived and kind is not UndecodedMessage:
                continue
            message = self._matching(event)
            if message is not None:
                count += self._put(message)
        if count:
            self._wake(count)
        if self.full():
            self._paused = connection

    def _matching(self, event: Any) -> MessageReceived | None:
        topic, name, payload = self._pattern
        if not (matches(topic, event.topic) and matches(name, event.event)):
            return None
        whole = decoded(event) if isinstance(event, UndecodedMessage) else event
        if whole is None or not matches(payload, whole.payload):
            return None
        return whole

    def _put(self, message: MessageReceived) -> int:
        with self._lock:
            if self._ended:
                return 0
            if not self._waits and len(self._messages) >= self._size:
                self._messages.popleft()
                self.dropped += 1
            self._messages.append(message)
        return 1

    def _wake(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                waiter = self._waiting.popleft() if self._waiting else None
            if waiter is None:
                return
            waiter.set(None)

    def _resume(self) -> None:
        """Have the connection read again when there is room for half of what there may be."""
        connection = self._paused
        few = self._ended or len(self._messages) <= self._size // 2
        if connection is not None and few:
            self._paused = None
            connection.tell(ResumeReading())

    # the client's side

    def attach(self, ref: Any) -> None:
        """Have the messages of a client from now on, until it ends."""
        if self._ended:
            return
        inbox = ref.actor_inbox
        self._inbox = inbox
        add(inbox, self)
        inbox.ended.add_done_callback(self._client_ended)

    def _client_ended(self, ended: Future[Any]) -> None:
        self._inbox = None
        if self.outlives:
            return
        reason = ended.get()
        self._end(None if is_normal(reason) else ended_for(reason, repr(self)))

    def _detach(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.ended.remove_done_callback(self._client_ended)
            remove(inbox, self)

    def _end(self, failure: SlipstreamError | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended, self._failure = True, failure
            waiting = len(self._waiting)
        self._wake(waiting)


_changing = threading.RLock()


def add(inbox: Any, subscription: Subscription) -> None:
    """Enter a subscription into those of a client; its connection reads them without a lock."""
    with _changing:
        inbox.subscriptions = (*inbox.subscriptions, subscription)


def remove(inbox: Any, subscription: Subscription) -> None:
    """Take it out."""
    with _changing:
        inbox.subscriptions = tuple(s for s in inbox.subscriptions if s is not subscription)


def subscribe(
    client: Target,
    topic: Any = ANY,
    event: Any = ANY,
    payload: Any = ANY,
    *,
    size: int = 1000,
    overflow: Overflow = "wait",
) -> Subscription:
    """Return the messages of a client that match, beside its callbacks, from now on.

    `topic`, `event` and `payload` are patterns as those of `await_message`. Holds across
    reconnects, and for a handle across restarts of its client. Also what `track_presence` takes is
    among them. Raises `TypeError` and `ValueError` for wrong arguments, and `ClientEndedError`.
    """
    subscription = Subscription(topic, event, payload, size=size, overflow=overflow)
    if (attach := getattr(client, "_attach", None)) is not None:
        attach(subscription)
        return subscription
    ref = resolve(client)
    requests_of(ref)  # Only a client has messages.
    subscription.attach(ref)
    return subscription
