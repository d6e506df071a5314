"""The process of a shard: a Ray actor that holds one client, and joins it to what the store says.

Ray runs its methods in threads of their groups; nothing here waits for Ray itself.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Generator
from typing import Any, TypedDict

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.client.subscriptions import Overflow
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.answers import Direct, Outbox, Pending
from slipstream_actor.contrib.ray.convergence import Convergence
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.hosting import Host
from slipstream_actor.contrib.ray.leasing import Holder
from slipstream_actor.contrib.ray.messages import encode_messages, take_some
from slipstream_actor.contrib.ray.orders import (
    HINT,
    STALE,
    decode_batch,
    encode_outcomes,
)
from slipstream_actor.contrib.ray.store import Spec, Store

__all__ = ["Shard", "ShardStatus"]

logger: Logger = get_logger("slipstream_actor.ray")

# Seconds after which a stream yields, whether there is something or not: whoever reads it may be
# gone, which shows only then.
KEEPALIVE = 2.0
# Seconds that a lone order is waited for, so that its outcome need not travel for itself.
DIRECT = 0.01
# Bytes up to which it does so: what is bigger Ray has in its object store.
SMALL = 50_000
# Seconds between two attempts at what the store, or the client's own `init`, has refused.
AGAIN = 0.5
# Seconds before a class that cannot be imported is tried again.
LATER = 5.0
# Seconds that a client has to close its connection, when the lease is over.
FAREWELL = 1.0


class ShardStatus(TypedDict, total=False):
    """How a shard stands, in `Shards.status()`; plain data.

    `state`: `"unreachable"` (then there is nothing else), `"starting"`, `"waiting for its lease"`
    or `"running"`; `generation`: which holder of the lease it is; `layout`: the version that it
    acts on; `topics`: how many it is to be joined to, `joined`: to how many it is; `orders`:
    without an outcome; `waiting`: messages that its subscriptions have not handed on; `connection`,
    `restarts`, `last_failure`, `last_end`, `heartbeat_rtt`: as in `HandleStatus`.
    """

    shard: int
    state: str
    node: str
    pid: int
    incarnation: str
    generation: int | None
    layout: int | None
    topics: int
    joined: int
    orders: int
    subscriptions: int
    waiting: int
    connection: str
    restarts: int
    last_failure: str | None
    last_end: str | None
    heartbeat_rtt: float | None


_incarnation: str = ""
_generation: int | None = None


def incarnation() -> str:
    """Return what the shard of this process is called: another one each time that it is started.

    Empty outside shards.
    """
    return _incarnation


def generation() -> int | None:
    """Return a number that is higher for a later process of a shard, for join params by which a
    server may refuse the older one. `None` outside shards, and before the lease is held."""
    return _generation


class Shard:
    """Shard `number` of the shards of that name."""

    def __init__(self, name: str, number: int) -> None:
        global _incarnation  # noqa: PLW0603 - a process is one shard
        self.number: int = number
        self.incarnation: str = uuid.uuid4().hex
        _incarnation = self.incarnation
        self._store = Store(name)
        self._holder: Holder | None = None
        self._host: Host | None = None
        self._convergence: Convergence | None = None
        self._running = threading.Event()
        # Why it does not run yet.
        self._problem: str | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
        self._subscriptions: dict[str, Any] = {}
        # What came before there was a client, in its order.
        self._early: list[tuple[Pending, int]] = []
        threading.Thread(
            target=self._run, name=f"slipstream_actor shard {number} of {name}", daemon=True
        ).start()

    # its life, in a thread of its own

    def _run(self) -> None:
        try:
            spec = self._read_spec()
            if spec is None:
                return
            holder = self._holder = Holder(
                self._store, self.number, self.incarnation, spec.lease, self._fenced
            )
            holder.start()
            # Which takes its time, too.
            host = self._make_host(spec)
            if host is None or not self._await_lease(holder):
                return
            self._convergence = Convergence(
                self.number, self._store, host, holder, self._tell_of_layout
            )
            self._start(host)
            self._begin_early(self._convergence)
            if self._convergence.run():
                self._retire(host, self._convergence)
        except BaseException:
            logger.exception("shard %d of %r has failed", self.number, self._store.name)
            os._exit(1)

    def _read_spec(self) -> Spec | None:
        """Return what it is made of; without any it ends."""
        while not self._stopping.is_set():
            try:
                spec = self._store.spec()
            except StoreUnavailableError as error:
                logger.warning("shard %d waits for Ray's head: %s", self.number, error)
                self._stopping.wait(AGAIN)
                continue
            if spec is None:
                engine.end_this_actor()
            return spec
        return None

    def _make_host(self, spec: Spec) -> Host | None:
        """Return the host of the client, once its class can be imported here."""
        while not self._stopping.is_set():
            try:
                self._host = Host(spec.load_class(), spec.args, spec.kwargs, self.require_lease)
            except Exception as error:
                self._problem = f"{spec.class_name} and its arguments cannot be had here: {error!r}"
                logger.exception("shard %d of %r: %s", self.number, self._store.name, self._problem)
                self._stopping.wait(LATER)
            else:
                self._problem = None
                return self._host
        return None

    def _await_lease(self, holder: Holder) -> bool:
        global _generation  # noqa: PLW0603 - a process is one shard
        while not holder.began.wait(AGAIN):
            if self._stopping.is_set():
                return False
        _generation = holder.generation
        return True

    def _start(self, host: Host) -> None:
        while not self._stopping.is_set():
            try:
                host.start()
            except Exception as error:
                self._problem = f"the client has not started: {error!r}"
                logger.exception("the client of shard %d has not started", self.number)
                self._stopping.wait(AGAIN)
            else:
                self._problem = None
                return

    def _begin_early(self, convergence: Convergence) -> None:
        """Begin what has come so far, before what comes from now on."""
        with self._lock:
            early, self._early = self._early, []
            for pending, version in early:
                convergence.begin(pending, version)
            self._running.set()

    def _retire(self, host: Host, convergence: Convergence) -> None:
        """There is no such shard any more: end when all outcomes have been fetched."""
        deadline = time.monotonic() + FAREWELL
        while any(len(box) for box in self._outboxes.values()) and time.monotonic() < deadline:
            self._stopping.wait(0.02)
        host.stop(0.0)
        self._close_streams()
        self._stopping.wait(0.1)
        if convergence.is_in_latest():
            os._exit(0)  # There is again, and Ray starts it anew.
        engine.end_this_actor()

    def require_lease(self) -> None:
        """End the process at once where the lease is over: nothing is to be delivered any more."""
        holder = self._holder
        if holder is not None and holder.began.is_set() and not holder.holds():
            logger.error("shard %d has no lease any more, and delivers nothing", self.number)
            os._exit(1)

    def _fenced(self, reason: str) -> None:
        """The lease is over: close the connection, if that is quick, and end the process."""
        if self._stopping.is_set():
            return
        logger.error("shard %d ends, without its lease: %s", self.number, reason)
        if self._host is not None:
            farewell = threading.Thread(target=self._host.stop, args=(0.0,), daemon=True)
            farewell.start()
            farewell.join(FAREWELL)
        os._exit(1)

    # what processes ask for, in Ray's threads

    def answers(self, process: str) -> Generator[Any, None, None]:
        """Yield a token for batches, then the outcomes of what a process sends, as they come."""
        outbox = Outbox(f"{self.incarnation}.{uuid.uuid4().hex}")
        if self._stopping.is_set():
            return
        with self._lock:
            former = self._outboxes.get(process)
            self._outboxes[process] = outbox
        if former is not None:
            former.close()
        # It was told to those that were there.
        version = self._convergence.version if self._convergence is not None else None
        if version is not None:
            outbox.tell_of_layout(version)
        try:
            yield outbox.token
            while (found := outbox.outcomes(KEEPALIVE)) is not None:
                self.require_lease()
                yield encode_outcomes(found)
        finally:
            outbox.close()
            with self._lock:
                if self._outboxes.get(process) is outbox:
                    del self._outboxes[process]

    def submit(self, data: bytes) -> str | bytes | None:
        """Take a batch. Returns `STALE` when it is for an earlier process, and an outcome that
        came at once, if it is to wait for one."""
        batch = decode_batch(data)
        outbox = self._outboxes.get(batch.process)
        if outbox is None or outbox.token != batch.token or self._stopping.is_set():
            return STALE
        direct = Direct() if batch.wait else None

        def execute() -> None:
            for order in batch.orders:
                if order.kind == HINT:
                    self.hint(order.topic)
                    outbox.done(order.number)
                    continue
                outbox.take(order, lambda pending: self._begin(pending, batch.version), direct)

        outbox.in_turn(batch.sequence, execute)
        outcome = direct.get(DIRECT) if direct is not None else None
        if outcome is None:
            return None
        self.require_lease()
        data = encode_outcomes([outcome])
        if len(data) <= SMALL:
            return data
        outbox.put(outcome)
        return None

    def _begin(self, pending: Pending, version: int) -> None:
        if not self._running.is_set():
            with self._lock:
                if not self._running.is_set():
                    self._early.append((pending, version))
                    return
        assert self._convergence is not None
        self._convergence.begin(pending, version)

    def messages(
        self, key: str, pattern: bytes, size: int, overflow: Overflow
    ) -> Generator[Any, None, None]:
        """Yield its incarnation, then the messages that match, in lists, from then on."""
        while not self._running.wait(KEEPALIVE):
            if self._stopping.is_set():
                return
            yield b""
        assert self._host is not None
        subscription = self._host.handle.subscribe(
            *engine.loads(pattern), size=size, overflow=overflow
        )
        former, self._subscriptions[key] = self._subscriptions.get(key), subscription
        if former is not None:  # Whose stream its reader has given up.
            former.close()
        told = 0
        try:
            yield self.incarnation
            while (found := take_some(subscription, KEEPALIVE)) is not None:
                self.require_lease()
                messages, dropped = found
                yield encode_messages(dropped - told, messages)
                told = dropped
        finally:
            if self._subscriptions.get(key) is subscription:
                del self._subscriptions[key]
            subscription.close()

    def close_messages(self, key: str) -> None:
        """End the stream of messages of that key."""
        subscription = self._subscriptions.get(key)
        if subscription is not None:
            subscription.close()

    def close_answers(self, process: str) -> None:
        """End the stream of outcomes of a process."""
        outbox = self._outboxes.get(process)
        if outbox is not None:
            outbox.close()

    def hint(self, topic: str | None) -> None:
        """Something has changed in the store: a topic, or all."""
        if self._convergence is not None:
            self._convergence.hint(topic)

    def status(self) -> ShardStatus:
        """Return how it stands."""
        holder, convergence, host = self._holder, self._convergence, self._host
        running = self._running.is_set()
        waiting = holder is not None and not holder.began.is_set()
        found: ShardStatus = {
            "shard": self.number,
            "state": "running" if running else "waiting for its lease" if waiting else "starting",
            "node": engine.node_id(),
            "pid": os.getpid(),
            "incarnation": self.incarnation,
            "generation": holder.generation if holder is not None else None,
            "layout": convergence.version if convergence is not None else None,
            "orders": sum(len(outbox) for outbox in list(self._outboxes.values())),
            "subscriptions": len(self._subscriptions),
            "waiting": sum(len(s._items) for s in list(self._subscriptions.values())),
        }
        if host is not None and running:
            found |= client_status(host)
        elif self._problem is not None:
            found["last_failure"] = self._problem
        return found

    def stop(self, drain: float) -> None:
        """End the client in order; the process is ended by whoever asks, or by itself."""
        self._stopping.set()
        for outbox in list(self._outboxes.values()):
            outbox.tell_of_end()
        if self._convergence is not None and self._host is not None:
            self._convergence.stop()
            self._host.stop(drain)
        if self._holder is not None:
            self._holder.stop()
        self._close_streams()
        threading.Thread(target=self._end_later, daemon=True).start()

    def _end_later(self) -> None:
        """Whoever has stopped it may be gone, and nobody else would end it."""
        threading.Event().wait(LATER)
        engine.end_this_actor()

    def _close_streams(self) -> None:
        for outbox in list(self._outboxes.values()):
            outbox.close()
        for subscription in list(self._subscriptions.values()):
            subscription.end()

    def _tell_of_layout(self, version: int) -> None:
        for outbox in list(self._outboxes.values()):
            outbox.tell_of_layout(version)


def client_status(host: Host) -> ShardStatus:
    """Return how the client of a shard stands."""
    handle = host.handle.status()
    topics = handle["topics"]
    return {
        "topics": len(host.topics),
        "joined": sum(status == "joined" for status in topics.values()),
        "connection": handle["connection"],
        "restarts": handle["restarts"],
        "last_failure": handle["last_failure"],
        "last_end": handle["last_end"],
        "heartbeat_rtt": handle["heartbeat_rtt"],
    }
