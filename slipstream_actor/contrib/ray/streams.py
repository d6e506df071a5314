"""`Shards.subscribe`: the messages of all shards in one place, and what is missing among them."""

from __future__ import annotations

import contextlib
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from slipstream_actor.actors.forks import is_forked
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.stream import Stream
from slipstream_actor.client.subscriptions import Overflow, Subscription
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import Dropped, ShardRestarted
from slipstream_actor.contrib.ray.messages import PatternFailed, decode_messages
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import MessageReceived

__all__ = ["Item", "ShardSubscription"]

logger: Logger = get_logger("slipstream_actor.ray")

Item: TypeAlias = MessageReceived | Dropped | ShardRestarted

# Lists of messages of one shard that wait for this process.
LISTS = 4
# Seconds between two looks whether the subscription is closed.
LOOK = 1.0
# Seconds before a shard that was lost is tried again.
FIRST_DELAY, LONGEST_DELAY = 0.02, 1.0


class ShardSubscription(Stream[Item]):
    """The messages of all shards that match; an iterator, an asynchronous one, and a context
    manager that closes it.

    Those of a topic come in their order. `Dropped` and `ShardRestarted` stand where messages are,
    or may be, missing. Several may iterate: each item goes to one of them. At most `size` wait
    here and as many at each shard; then the shard's connection reads no more, or the oldest are
    dropped. It ends with `close`, with the handle's `close`, when the shards are stopped, and when
    nobody holds it any more. The iteration raises `SlipstreamError` where a shard cannot make the
    pattern, or the pattern raises there.
    """

    def __init__(
        self,
        pattern: tuple[Any, Any, Any],
        size: int,
        overflow: Overflow,
        find: Callable[[int], Any],
    ) -> None:
        super().__init__()
        Subscription(*pattern, size=size, overflow=overflow)  # Which knows what is wrong.
        self._pattern = engine.dumps(pattern)
        self._size = size
        self._overflow: Overflow = overflow
        self._find = find
        self._room = threading.Condition(self._lock)
        self._readers: dict[int, Reader] = {}
        self.dropped: int = 0

    def __repr__(self) -> str:
        state = "closed" if self._ended else f"{len(self._items)} messages wait"
        return f"<ShardSubscription, {state}>"

    # the owner's side

    def close(self) -> None:
        """Take no more, and end whoever iterates; what waits is dropped. Waits for nothing."""
        if is_forked(self):
            return
        self._end()
        with self._lock:
            self._items.clear()
            self._room.notify_all()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __del__(self) -> None:
        # Nobody reads any more, and shards would wait for it. In any thread, in the middle of
        # anything: the readers see to the rest. A child's copy is nobody's; nor is anything left to
        # be done at the interpreter's exit.
        if self._is_finalizing() or is_forked(self):
            return
        for reader in getattr(self, "_readers", {}).values():
            reader.abandon()

    def _has_taken(self) -> None:
        with self._room:
            if len(self._items) <= self._size // 2:
                self._room.notify_all()

    # the shards' side

    def _read(self, shards: int) -> list[Reader]:
        """Have so many shards read; of those that are gone no more."""
        with self._lock:
            if self._ended:
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
        if not self._finish(failure):
            return
        with self._room:
            readers = list(self._readers.values())
            self._room.notify_all()
        for reader in readers:
            reader.close()

    def _put(self, items: list[Item], seconds: float) -> bool:
        """Have items of a shard wait here; return `False` when there was no room in that time."""
        with self._room:
            if len(self._items) >= self._size and not self._ended:
                self._room.wait(seconds)
            if self._ended:
                return True
            if len(self._items) >= self._size:
                return False
            self._items.extend(items)
        self._wake(len(items))
        return True

    def _count_dropped(self, count: int) -> None:
        """Count messages that are missing."""
        with self._lock:
            self.dropped += count


class Reader:
    """Reads the messages of one shard, in a thread; of the next process when that one is gone."""

    def __init__(self, owner: ShardSubscription, shard: int) -> None:
        # Not held: it ends with whoever iterates over it.
        self._owner = weakref.ref(owner)
        self._find = owner._find
        self._arguments = owner._pattern, owner._size, owner._overflow
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

    def abandon(self) -> None:
        """Read no more: the thread ends the shard's part."""
        self._closed = True
        self._wake.set()

    def close(self) -> None:
        """Read no more, and end the shard's part."""
        self.abandon()
        self.began.set()
        self._end_there()

    def _end_there(self) -> None:
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
            except Exception as error:
                if self._closed:
                    return  # Ray ends before its threads do.
                logger.exception("what shard %d sends cannot be read", self._shard)
                if self._incarnation is None:
                    self._fail(f"shard {self._shard} cannot take the pattern: {error!r}")
            if self._retired:
                return
            self._wake.wait(delay)
            delay = min(LONGEST_DELAY, 2 * delay)
        self._end_there()  # Which may have begun since.

    def _fail(self, text: str) -> None:
        """The pattern is of no use at a shard."""
        owner = self._owner()
        if owner is not None:
            owner._end(SlipstreamError(f"subscribe: {text}"))

    def _follow(self) -> bool:
        """Read until the stream ends; return whether it has begun."""
        if self._actor is None:
            self._actor = self._find(self._shard)
        stream = engine.stream(self._actor, "messages", LISTS, self._key, *self._arguments)
        began = False
        while not self._closed:
            try:
                found = engine.next_of(stream, LOOK)
            except StopIteration:
                break
            except PatternFailed as error:
                self._fail(f"the pattern has failed at shard {self._shard}: {error}")
                break
            if isinstance(found, str):
                began = True
                self._begin(found)
            elif found:
                self._hand_on(found)
        return began

    def _begin(self, incarnation: str) -> None:
        if self._incarnation is not None:
            self._put([ShardRestarted(self._shard)])
        self._incarnation = incarnation
        self.began.set()

    def _hand_on(self, data: bytes) -> None:
        dropped, messages = decode_messages(data)
        owner = self._owner()
        if dropped and owner is not None:
            owner._count_dropped(dropped)
            messages.insert(0, Dropped(dropped))
        del owner
        if messages:
            self._put(messages)

    def _put(self, items: list[Item]) -> None:
        """Hand items on, as soon as there is room for them: no more is read till then."""
        while not self._closed:
            owner = self._owner()
            if owner is None or owner._put(items, LOOK):
                return
            del owner
