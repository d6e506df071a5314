"""What one process has of the shards of a name: links, subscriptions, the layout that it knows."""

from __future__ import annotations

import atexit
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.expiry import call_at
from slipstream_actor.actors.shared import snapshot
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.hanging import Hanging
from slipstream_actor.contrib.ray.link import Link
from slipstream_actor.contrib.ray.operation import Operation
from slipstream_actor.contrib.ray.placement import owner
from slipstream_actor.contrib.ray.shard import Shard
from slipstream_actor.contrib.ray.store import Store
from slipstream_actor.contrib.ray.streams import ShardSubscription
from slipstream_actor.errors import ClientEndedError, SlipstreamError

__all__ = ["Attachment", "actor_name"]

# Seconds between two reads of a layout that is not there yet, and of one after another.
AGAIN = 0.1


_attachments: weakref.WeakSet[Attachment] = weakref.WeakSet()


def close_all() -> None:
    """End what is attached in this process."""
    for attachment in snapshot(_attachments):
        attachment.close()


def close_all_at_exit() -> None:
    """Have `close_all` called at the exit, once, and before what Ray has registered up to now."""
    atexit.unregister(close_all)
    atexit.register(close_all)


def actor_name(name: str, shard: int) -> str:
    """Return what Ray calls the actor of a shard."""
    return f"{name}/{shard}"


class Attachment:
    """One process at the shards of `name`. From all threads."""

    def __init__(self, name: str, store: Store) -> None:
        self.name: str = name
        self.store: Store = store
        # Of this very handle: two of one process do not share streams.
        self.process: str = f"{os.getpid()}.{uuid.uuid4().hex}"
        self._lock = threading.RLock()
        self._links: dict[int, Link] = {}
        self._subscriptions: weakref.WeakSet[ShardSubscription] = weakref.WeakSet()
        self._actors: dict[int, Any] = {}
        self._version = 0
        self._shards = 0
        # The latest version that a shard has told of.
        self._told = 0
        self._ended: SlipstreamError | None = None
        self._hanging = Hanging(store)
        self._reading = threading.Lock()
        _attachments.add(self)
        close_all_at_exit()

    # the layout

    @property
    def shards(self) -> int:
        """How many shards there are, as far as is known here."""
        if not self._shards:
            self.read_layout()
        return self._shards

    @property
    def known_shards(self) -> int:
        """How many were known here the last time that the store was read."""
        return self._shards

    @property
    def version(self) -> int:
        """Of the layout that is known here."""
        return self._version

    def read_layout(self) -> int:
        """Read the latest layout; return its version. Raises `ClientEndedError` when there are no
        shards of that name any more, and `StoreUnavailableError`."""
        layouts = self.store.layouts()
        if not layouts:
            error = ClientEndedError("noproc", f"there are no shards {self.name!r}")
            if self._shards:
                error = ClientEndedError("shutdown", f"the shards {self.name!r} were stopped")
                self.end(error)
            raise error
        version = max(layouts)
        with self._lock:
            if version > self._version:
                self._version, self._shards = version, layouts[version]
                gone = [link for shard, link in self._links.items() if shard >= self._shards]
                self._links = {s: li for s, li in self._links.items() if s < self._shards}
            else:
                gone = []
            subscriptions = snapshot(self._subscriptions)
        for subscription in subscriptions:
            subscription._read(self._shards)
        for link in gone:
            self._retire(link)
        return self._version

    def _retire(self, link: Link) -> None:
        """A shard that is gone gives its last outcomes first."""
        call_at(time.monotonic() + 2.0, link.close)

    def learn_of_layout(self, version: int) -> None:
        """A shard acts on that version: read it, in another thread than the one that tells."""
        with self._lock:
            self._told = max(self._told, version)
        if self._is_behind() and self._reading.acquire(blocking=False):
            threading.Thread(
                target=self._learn, name="slipstream_actor layout", daemon=True
            ).start()

    def _is_behind(self) -> bool:
        return self._told > self._version and self._ended is None

    def _learn(self) -> None:
        try:
            while self._is_behind():
                try:
                    self.read_layout()
                except StoreUnavailableError:
                    threading.Event().wait(AGAIN)
        except ClientEndedError:
            return  # And so has all that is here.
        finally:
            self._reading.release()
        # Behind that: another one may have been told of that has found it reading.
        self.learn_of_layout(self._told)

    # the shards

    def shard_of(self, topic: str) -> int:
        """Return the shard of a topic, as far as is known here."""
        return owner(topic, self.shards)

    def find(self, shard: int) -> Any:
        """Return the actor of a shard, made if there is none. Raises `ClientEndedError` when the
        shards were stopped, and `StoreUnavailableError`."""
        self.require_open()
        name = actor_name(self.name, shard)

        def look() -> Any:
            return engine.actor_of(name)

        actor = engine.within(self.store.patience, look, f"shard {shard} of {self.name!r}")
        if actor is not None:
            self._actors[shard] = actor
            return actor
        self.read_layout()
        if shard >= self._shards:
            raise ClientEndedError("normal", f"there is no shard {shard} of {self.name!r}")
        return self.create(shard)

    def known_actor(self, shard: int) -> Any:
        """Return the actor of a shard as it was found last, `None` if it never was."""
        return self._actors.get(shard)

    def create(self, shard: int) -> Any:
        """Make the actor of a shard, if there is none."""
        name = actor_name(self.name, shard)
        actor = self._actors[shard] = engine.within(
            2 * self.store.patience,
            lambda: engine.create_actor(Shard, name, self.name, shard),
            f"shard {shard} of {self.name!r}",
        )
        return actor

    def link(self, shard: int) -> Link:
        """Return the link to a shard."""
        with self._lock:
            self.require_open()
            link = self._links.get(shard)
            if link is None:
                link = self._links[shard] = Link(
                    shard,
                    self.process,
                    self.find,
                    lambda: self._version,
                    self.learn_of_layout,
                    self.send_again,
                    self._hanging.see_to,
                )
            return link

    # operations

    def send(self, operation: Operation) -> None:
        """Send an operation to the shard of its topic."""
        link = self.link(self.shard_of(operation.topic))
        operation.watch()
        link.submit(operation)

    def send_again(self, operation: Operation) -> None:
        """Send what was not done, a moment later: there may be another layout by then."""
        call_at(time.monotonic() + AGAIN / 4, lambda: self._send_later(operation))

    def _send_later(self, operation: Operation) -> None:
        if operation.done:
            return
        try:
            self.link(self.shard_of(operation.topic)).submit(operation)
        except StoreUnavailableError:
            self.send_again(operation)
        except SlipstreamError as error:
            operation.fail(error)

    # subscriptions

    def subscribe(self, make: Callable[[], ShardSubscription], timeout: float) -> ShardSubscription:
        """Return a subscription that is in force at all shards, or those that answer in time."""
        self.require_open()
        shards = self.shards
        subscription = make()
        with self._lock:
            self.require_open()
            self._subscriptions.add(subscription)
        readers = subscription._read(shards)
        for shard in range(shards):
            self.link(shard)  # Which hears of other layouts.
        deadline = time.monotonic() + timeout
        for reader in readers:
            reader.began.wait(max(0.0, deadline - time.monotonic()))
        return subscription

    # the end

    def require_open(self) -> None:
        """Raise what it has ended with."""
        if self._ended is not None:
            raise ClientEndedError("shutdown", str(self._ended))

    def close(self) -> None:
        """End for this process."""
        self.end(ClientEndedError("normal", f"this handle of the shards {self.name!r} was closed"))

    def end(self, error: SlipstreamError) -> None:
        """End links and subscriptions; what has no outcome has this error."""
        with self._lock:
            if self._ended is not None:
                return
            self._ended = error
            links, self._links = list(self._links.values()), {}
            subscriptions = snapshot(self._subscriptions)
        for subscription in subscriptions:
            subscription._end()
        for link in links:
            link.close(error)
