"""`Shards.subscribe`: the messages of all shards in one place, and what is missing among them."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self, TypeAlias

from slipstream_actor.actors.future import Future
from slipstream_actor.client.subscriptions import Overflow, Subscription
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import Dropped, ShardRestarted
from slipstream_actor.contrib.ray.messages import decode_messages
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import MessageReceived

__all__ = ["Item", "ShardSubscription"]

logger: logging.Logger = logging.getLogger("slipstream_actor.ray")

Item: TypeAlias = MessageReceived | Dropped | ShardRestarted

# Lists of messages of one shard that wait for this process.
LISTS = 4
# Seconds between two looks whether the subscription is closed.
LOOK = 1.0
# Seconds before a shard that was lost is tried again.
FIRST_DELAY, LONGEST_DELAY = 0.02, 1.0


class ShardSubscription:
    """The messages of all shards that match; an iterator, an asynchronous one, and a context
    manager that closes it.

    Those of a topic come in their order. `Dropped` and `ShardRestarted` stand where messages are,
    or may be, missing. Several may iterate: each item goes to one of them. At most `size` wait
    here and as many at each shard; then the shard's connection reads no more, or the oldest are
    dropped. It ends with `close`, with the handle's `close`, and when the shards are stopped.
    """

    def __init__(
        self,
        pattern: tuple[Any, Any, Any],
        size: int,
        overflow: Overflow,
        find: Callable[[int], Any],
    ) -> None:
        Subscription(*pattern, size=size, overflow=overflow)  # Which knows what is wrong.
        self._pattern = engine.dumps(pattern)
        self._size = size
        self._overflow: Overflow = overflow
        self._find = find
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._items: deque[Item] = deque()
        self._waiting: deque[Future[None]] = deque()
        self._readers: dict[int, Reader] = {}
        self._closed = False
        self._failure: SlipstreamError | None = None
        self.dropped: int = 0

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._items)} messages wait"
        return f"<ShardSubscription, {state}>"

    # the owner's side

    def close(self) -> None:
        """Take no more, and end whoever iterates; what waits is dropped. Waits for nothing."""
        self._end()
        with self._lock:
            self._items.clear()
            self._room.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """Return the next message, waiting for it."""
        while True:
            item, waiter = self._take()
            if item is not None:
                return item
            if waiter is None:
                raise StopIteration
            try:
                waiter.get()
            except BaseException:
                self._forget(waiter)
                raise

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        """Return the next message, waiting for it without blocking the loop."""
        while True:
            item, waiter = self._take()
            if item is not None:
                return item
            if waiter is None:
                raise StopAsyncIteration
            try:
                await waiter
            except BaseException:
                self._forget(waiter)
                raise

    def _take(self) -> tuple[Item | None, Future[None] | None]:
        with self._lock:
            if self._items:
                item = self._items.popleft()
                if len(self._items) <= self._size // 2:
                    self._room.notify_all()
                return item, None
            if self._closed:
                if self._failure is not None:
                    raise self._failure
                return None, None
            waiter: Future[None] = Future()
            self._waiting.append(waiter)
            return None, waiter

    def _forget(self, waiter: Future[None]) -> None:
        """Who waited does no more; what woke it up is another one's."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return
        self._wake(1)

    def _wake(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                waiter = self._waiting.popleft() if self._waiting else None
            if waiter is None:
                return
            waiter.set(None)

    # the shards' side

    def _read(self, shards: int) -> list[Reader]:
        """Have so many shards read; of those that are gone no more."""
        with self._lock:
            if self._closed:
                return []
            gone = [reader for shard, reader in self._readers.items() if shard >= shards]
            for shard in range(shards):
                if shard not in self._readers:
                    self._readers[shard] = Reader(self, shard)
            self._readers = {s: r for s, r in self._readers.items() if s < shards}
            readers = list(self._readers.values())
        for reader in gone:
            reader.retire()
        return readers

    def _end(self, failure: SlipstreamError | None = None) -> None:
        """Take no more; the iteration stops behind what waits, or raises the failure there."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._failure = True, failure
            readers, waiting = list(self._readers.values()), len(self._waiting)
            self._room.notify_all()
        for reader in readers:
            reader.close()
        self._wake(waiting)

    def _put(self, items: list[Item]) -> None:
        """Have items of a shard wait here, as soon as there is room: no more is read till then."""
        with self._room:
            while len(self._items) >= self._size and not self._closed:
                self._room.wait(LOOK)
            if self._closed:
                return
            self._items.extend(items)
        self._wake(len(items))

    def _count_dropped(self, count: int) -> None:
        """Count messages that are missing."""
        with self._lock:
            self.dropped += count


class Reader:
    """Reads the messages of one shard, in a thread; of the next process when that one is gone."""

    def __init__(self, owner: ShardSubscription, shard: int) -> None:
        self._owner = owner
        self._shard = shard
        self._key = uuid.uuid4().hex
        self._actor: Any = None
        self._closed = False
        self._retired = False
        self._wake = threading.Event()
        self._incarnation: str | None = None
        self.began: threading.Event = threading.Event()
        threading.Thread(
            target=self._run, name=f"slipstream_actor messages of shard {shard}", daemon=True
        ).start()

    def retire(self) -> None:
        """There is no such shard any more: what it has still sent is read to its end."""
        self._retired = True

    def close(self) -> None:
        """Read no more, and end the shard's part."""
        self._closed = True
        self._wake.set()
        self.began.set()
        actor = self._actor
        if actor is not None:
            with contextlib.suppress(Exception):
                engine.tell(actor, "close_messages", "control", self._key)

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._closed:
            try:
                if self._follow():
                    delay = FIRST_DELAY
            except engine.Gone as error:
                if error.for_good:
                    self._actor = None
            except SlipstreamError as error:
                logger.info("shard %d cannot be read: %s", self._shard, error)
            except Exception:
                if self._closed:
                    return  # Ray ends before its threads do.
                logger.exception("what shard %d sends cannot be read", self._shard)
            if self._retired:
                return
            self._wake.wait(delay)
            delay = min(LONGEST_DELAY, 2 * delay)

    def _follow(self) -> bool:
        """Read until the stream ends; return whether it has begun."""
        if self._actor is None:
            self._actor = self._owner._find(self._shard)
        owner = self._owner
        stream = engine.stream(
            self._actor, "messages", LISTS, self._key, owner._pattern, owner._size, owner._overflow
        )
        began = False
        while not self._closed:
            try:
                found = engine.next_of(stream, LOOK)
            except StopIteration:
                break
            if isinstance(found, str):
                began = True
                self._begin(found)
            elif found:
                self._hand_on(found)
        return began

    def _begin(self, incarnation: str) -> None:
        if self._incarnation is not None:
            self._owner._put([ShardRestarted(self._shard)])
        self._incarnation = incarnation
        self.began.set()
        if self._closed:
            self.close()

    def _hand_on(self, data: bytes) -> None:
        dropped, messages = decode_messages(data)
        if dropped:
            self._owner._count_dropped(dropped)
            messages.insert(0, Dropped(dropped))
        if messages:
            self._owner._put(messages)
