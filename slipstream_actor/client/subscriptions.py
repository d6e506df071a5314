"""`subscribe`: a topic's messages for threads and coroutines, beside the client's callbacks."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

from slipstream_actor.actors.forks import ended_for, is_forked, renew_lock_in_child, require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import is_main_thread
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.stream import Stream
from slipstream_actor.client.asking import requests_of
from slipstream_actor.client.returns import is_normal
from slipstream_actor.protocol.commands import ResumeReading
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY, matches, require_text_pattern
from slipstream_actor.protocol.undecoded import MESSAGES, event_of

__all__ = ["Overflow", "Subscription", "subscribe"]

Overflow: TypeAlias = Literal["wait", "drop_oldest"]


class Subscription(Stream[MessageReceived]):
    """The messages of a client that match, one after the other.

    An iterator for threads, an asynchronous one for coroutines, and a context manager that closes
    it. Several may iterate: each message goes to one of them. When `size` wait, with `overflow`
    `"wait"` the connection reads no more until half of them are taken, beyond what has been read
    together (128 KiB at most; while a `request` is without an outcome, up to twice `size`); with
    `"drop_oldest"` the oldest are dropped, and counted in `dropped`, and no more than `size` wait.
    After `close`, or a normal end of the client, the iteration stops; when the client has ended
    otherwise it raises `ClientEndedError`. What a pattern raises (a predicate, an `__eq__`) ends
    this subscription, and nothing else: the iteration raises it, behind the messages that were
    taken before. One that nobody holds any more is closed.
    """

    def __init__(
        self, topic: Any, event: Any, payload: Any, *, size: int, overflow: Overflow
    ) -> None:
        require_text_pattern("topic", topic)
        require_text_pattern("event", event)
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"size must be a whole number, not {type(size).__name__}")
        if size < 1:
            raise ValueError(f"size must be 1 or more, not {size}")
        if overflow not in ("wait", "drop_oldest"):
            raise ValueError(f'overflow must be "wait" or "drop_oldest", not {overflow!r}')
        super().__init__()
        self.dropped: int = 0
        self._pattern = topic, event, payload
        self._size = size
        self._waits = overflow == "wait"
        # The inboxes of the connections that read no more until there is room.
        self._paused: set[Any] = set()
        # The client's, and what that one has of this.
        self._inbox: Any = None
        self._listener: Listener = Listener(self)
        # It goes on with the next client when one ends.
        self.outlives: bool = False

    def __repr__(self) -> str:
        state = "closed" if self._ended else f"{len(self._items)} messages wait"
        return f"<Subscription to {self._pattern[0]!r} {self._pattern[1]!r}, {state}>"

    # the owner's side

    def close(self) -> None:
        """Take no more, and end whoever iterates; what waits is dropped."""
        if is_forked(self):
            return
        self.end()
        with self._lock:
            self._items.clear()

    def __del__(self) -> None:
        # Nobody reads any more, and a connection may wait for it. In any thread, in the middle of
        # anything; not where `__init__` has raised, nor at the interpreter's exit. A child's copy
        # is nobody's.
        if self._is_finalizing() or not hasattr(self, "_listener"):
            return
        if not is_forked(self):
            self.end()

    def end(self) -> None:
        """Take no more; the iteration stops behind what waits."""
        self._end(None)

    def _end(self, failure: Exception | None) -> None:
        self._finish(failure)
        self._detach()
        self._resume()

    def __iter__(self) -> Iterator[MessageReceived]:
        return self

    # the connection's side, in its thread

    def _pauses(self, reader: Any, *, urgent: bool = False) -> bool:
        """Whether a connection is to read no more; then its inbox, `reader`, is told to read again
        when there is room."""
        if not self.full(urgent=urgent):
            return False
        for former in list(self._paused):
            if former.closed:
                self._paused.discard(former)
        # In this order: what is taken before it stands there tells it nothing.
        self._paused.add(reader)
        return self.full(urgent=urgent)

    def full(self, *, urgent: bool = False) -> bool:
        """Whether the connection is to read no more: when it is `urgent`, from twice as much on."""
        most = 2 * self._size if urgent else self._size
        return self._waits and not self._ended and len(self._items) >= most

    def take(self, events: Iterable[Any]) -> None:
        """Take what matches of a burst."""
        try:
            count = self._put_matching(events)
        except (Exception, SystemExit) as error:  # The connection is that of others too.
            # In the main thread it may be a signal handler's.
            if isinstance(error, SystemExit) and is_main_thread():
                raise
            self._end(as_failure(error))
            return
        if count:
            self._wake(count)

    def _put_matching(self, events: Iterable[Any]) -> int:
        """Return how many were put. Raises what a pattern does."""
        count = 0
        for event in events:
            if type(event) not in MESSAGES:
                continue
            message = self._matching(event)
            if message is not None:
                count += self._put(message)
        return count

    def _matching(self, event: Any) -> MessageReceived | None:
        topic, name, payload = self._pattern
        if not (matches(topic, event.topic) and matches(name, event.event)):
            return None
        whole = event_of(event)
        if whole is None or not matches(payload, whole.payload):
            return None
        return whole

    def _put(self, message: MessageReceived) -> int:
        with self._lock:
            if self._ended:
                return 0
            if not self._waits and len(self._items) >= self._size:
                self._items.popleft()
                self.dropped += 1
            self._items.append(message)
        return 1

    def _has_taken(self) -> None:
        self._resume()

    def _take_many(self, most: int) -> tuple[list[MessageReceived], int, Future[None] | None]:
        """Return messages that follow each other, and how many have been dropped up to them.

        When there is none, the third is what to wait for, or `None` at the end. Raises what the
        iteration does.
        """
        require_here(self)  # Before the lock, as in `_take`.
        with self._lock:
            if not self._items:
                waiter = self._take()[1]
                return [], self.dropped, waiter
            # Under one lock: one dropped meanwhile would be missing in the middle.
            found = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            dropped = self.dropped
        self._has_taken()
        return found, dropped, None

    def _resume(self) -> None:
        """Have who waits for it read again when there is room for half of what there may be."""
        if not self._paused or not (self._ended or len(self._items) <= self._size // 2):
            return
        for reader in list(self._paused):
            try:
                # In this order: as soon as it is told it may be in there anew.
                self._paused.discard(reader)
                reader.tell(ResumeReading())
            except BaseException:  # A signal handler's: it may not have been told.
                self._paused.add(reader)
                raise

    # the client's side

    def attach(self, ref: Any) -> None:
        """Have the messages of a client from now on, until it ends. Raises `ForkedError`."""
        if self._ended:
            return
        require_here(ref)
        inbox = ref.actor_inbox
        self._inbox = inbox
        add(inbox, self._listener)
        inbox.ended.add_done_callback(self._listener.client_ended)

    def _client_ended(self, ended: Future[Any]) -> None:
        self._inbox = None
        if self.outlives:
            return
        reason = ended.get()
        self._finish(None if is_normal(reason) else ended_for(reason, repr(self)))

    def _detach(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.ended.remove_done_callback(self._listener.client_ended)
            remove(inbox, self._listener)


class Listener(weakref.ref[Subscription]):
    """A subscription as its client has it, which is not what keeps it."""

    __slots__ = ()

    def take(self, events: Iterable[Any]) -> None:
        """See `Subscription.take`."""
        subscription = self()
        if subscription is not None:
            subscription.take(events)

    def pauses(self, reader: Any, *, urgent: bool) -> bool:
        """See `Subscription._pauses`."""
        subscription = self()
        return subscription is not None and subscription._pauses(reader, urgent=urgent)

    def client_ended(self, ended: Future[Any]) -> None:
        """See `Subscription._client_ended`."""
        subscription = self()
        if subscription is not None:
            subscription._client_ended(ended)


def as_failure(error: Exception | SystemExit) -> Exception:
    """Return what the iteration is to raise for the error of a pattern: for what would end more
    than that, an error of its own, as a generator does."""
    if not isinstance(error, (StopIteration, StopAsyncIteration, SystemExit)):
        return error
    failure = RuntimeError(f"a pattern of a subscription raised {type(error).__name__}")
    failure.__cause__ = error
    return failure


_changing = threading.RLock()
renew_lock_in_child(sys.modules[__name__], "_changing")


def add(inbox: Any, listener: Listener) -> None:
    """Enter a subscription into those of a client; its connection reads them without a lock."""
    change(inbox, listener, (listener,))


def remove(inbox: Any, listener: Listener) -> None:
    """Take it out."""
    change(inbox, listener, ())


def change(inbox: Any, listener: Listener, instead: tuple[Listener, ...]) -> None:
    """Have in its place what is to be there `instead`, whatever a signal handler, or garbage that
    is collected, adds or removes meanwhile."""
    while True:
        before = inbox.subscriptions
        after = (*(held for held in before if held is not listener), *instead)
        with _changing:
            if inbox.subscriptions is before:
                inbox.subscriptions = after
                return


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

    `topic`, `event` and `payload` are patterns as those of `await_message`: a `*` in a text is
    none, `re.compile("rooms:.*")` is. Holds across reconnects, and for a handle across restarts of
    its client. Also what `track_presence` takes is among them. A predicate runs in the connection's
    thread, for each message; what it raises ends the subscription, whose iteration raises it
    (`RuntimeError` for a `SystemExit`). One that nobody holds any more is closed.
    Raises `TypeError` and `ValueError` for wrong arguments, and `ClientEndedError`; in a forked
    child `ForkedError` for a client of the parent, as the iteration over a subscription of the
    parent's does.
    """
    subscription = Subscription(topic, event, payload, size=size, overflow=overflow)
    if (attach := getattr(client, "_attach", None)) is not None:
        attach(subscription)
        return subscription
    ref = resolve(client)
    requests_of(ref)  # Only a client has messages.
    subscription.attach(ref)
    return subscription
