"""A shard comes to what the store says: it leaves, waits, marks, joins. Orders wait for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.contrib.ray.answers import Pending
from slipstream_actor.contrib.ray.gaps import Gaps
from slipstream_actor.contrib.ray.hosting import Host
from slipstream_actor.contrib.ray.layout import Decision, decide, release_key, releases
from slipstream_actor.contrib.ray.leasing import Holder
from slipstream_actor.contrib.ray.orders import REQUEST, WATCH
from slipstream_actor.contrib.ray.placement import owner
from slipstream_actor.contrib.ray.store import Store
from slipstream_actor.errors import SlipstreamError, shown
from slipstream_actor.socket.errors import NotJoinedError

__all__ = ["Convergence"]

logger: Logger = get_logger("slipstream_actor.ray")

# Seconds between two looks at all that the store says, whatever was hinted at.
SWEEP = 30.0
# Seconds between two looks at what is waited for: a mark of another shard, the server's answer.
LOOK = 0.05
# Seconds that a shard has lived at least before it ends, when it was in no layout yet.
GRACE = 30.0
# Seconds after which a shard ends that finds nothing in the store: a `stop` asks it at once.
FORGOTTEN = 20.0
# Seconds before what has failed is tried again.
AGAIN = 0.5
# So many topics are looked at by themselves; more, together with all the others.
FEW = 200


class Convergence:
    """What one shard is joined to, and the orders that wait until that is as it is to be."""

    def __init__(
        self,
        shard: int,
        store: Store,
        host: Host,
        holder: Holder,
        tell_of_layout: Callable[[int], object],
    ) -> None:
        self._shard = shard
        self._store = store
        self._host = host
        self._holder = holder
        self._tell_of_layout = tell_of_layout
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._gaps = Gaps(shard, store, host)
        # What is to be looked at; all, at the beginning.
        self._hinted: set[str] = set()
        self._all = True
        # Orders of topics that the client is not told of yet.
        self._held: dict[str, list[Pending]] = {}
        self._layouts: dict[int, int] = {}
        self._marks: frozenset[str] = frozenset()
        # Whether the last look at all has left something that others are to do first.
        self._waits = False
        self._leaves = False
        self._stopped = False
        self._began = self._forgotten_at = time.monotonic()
        self._was_in = False

    @property
    def version(self) -> int | None:
        """Of the layout that it acts on."""
        return max(self._layouts, default=None)

    # what it is told, in Ray's threads

    def hint(self, topic: str | None) -> None:
        """Look at a topic, or at all."""
        with self._lock:
            if topic is None:
                self._all = True
            else:
                self._hinted.add(topic)
        self._wake.set()

    def begin(self, pending: Pending, version: int) -> None:
        """Have an order begin now, or when its topic has been looked at; `version` is of the layout
        that its sender knows."""
        # Behind those of its topic that wait, if there are any.
        if pending.topic in self._host.topics and pending.topic not in self._held:
            pending.begin(self._host.handle, self._take_back)
            return
        self._hold(pending, version)

    def _take_back(self, pending: Pending) -> bool:
        """An order was not sent, since its topic was left: have it go where the topic goes."""
        if pending.topic in self._host.topics:
            return False
        self._hold(pending, 0)
        return True

    def _hold(self, pending: Pending, version: int) -> None:
        with self._lock:
            self._held.setdefault(pending.topic, []).append(pending)
        known = self.version
        self.hint(None if known is None or version > known else pending.topic)

    def stop(self) -> None:
        """Change nothing any more."""
        self._stopped = True
        self._wake.set()

    # the thread of the shard

    def run(self) -> bool:
        """Come to what the store says; return `True` when there is no such shard any more, `False`
        after `stop`."""
        swept, pause = time.monotonic(), 0.0
        while True:
            self._wake.wait(pause)
            if self._stopped:
                return False
            if time.monotonic() >= swept + SWEEP:
                swept = time.monotonic()
                self._host.revive()
                self.hint(None)
            try:
                if self._look():
                    return True
                pause = LOOK if self._waits or self._gaps.open else SWEEP
            except SlipstreamError as error:
                logger.warning("shard %d tries again: %s", self._shard, error)
                self._all, pause = True, AGAIN

    def _look(self) -> bool:
        """Look at what is to be looked at; return whether this shard ends."""
        self._wake.clear()
        everything, hinted = self._take_hints()
        self._gaps.look()
        if everything or (self._waits and self._has_news()):
            return self._look_at_all()
        if hinted:
            self._look_at(hinted)
        return False

    def _take_hints(self) -> tuple[bool, set[str]]:
        with self._lock:
            hinted, self._hinted = self._hinted, set()
            everything, self._all = self._all or len(hinted) > FEW, False
        return everything, hinted

    def _has_news(self) -> bool:
        """Whether another shard has released something, or the server has answered all leaves."""
        left = self._leaves and not self._host.leaving()
        return left or frozenset(self._store.release_keys()) != self._marks

    def _look_at_all(self) -> bool:
        held = self._count_held(None)
        self._read_layouts()
        wanted = set(self._store.wanted_topics())
        leaving = self._host.leaving()
        decision = self._decide(wanted, set(self._host.topics), leaving)
        self._apply(decision, self._store.params_of(decision.join))
        # As it was when that was decided: an answer that has come since is news.
        self._leaves = bool(decision.leave or leaving)
        self._waits = self._leaves or bool(decision.waits_for)
        if decision.release and decision.version is not None and self._holder.holds():
            self._store.put(release_key(decision.version, self._shard), b"")
            self.hint(None)  # There may be nothing left to do, for good.
        if decision.version is not None and not self._waits and self._is_in():
            self._gaps.report(decision.version)
        self._settle(held, wanted)
        return (decision.ends and self._is_obsolete()) or self._is_forgotten()

    def is_in_latest(self) -> bool:
        """Whether the store has a layout by now that this shard is in."""
        try:
            self._read_layouts()
        except SlipstreamError:
            return False
        return self._is_in()

    def _is_in(self) -> bool:
        return self._shard < self._layouts.get(self.version or 0, 0)

    def _is_obsolete(self) -> bool:
        """Whether a shard that is in no layout is not one that a resize is about to need."""
        return self._was_in or time.monotonic() > self._began + GRACE

    def _is_forgotten(self) -> bool:
        """Whether whoever has stopped the shards was gone before this one was told: nothing but the
        claim is in the store, and has not been for long."""
        now = time.monotonic()
        if self._layouts or not self._was_in:
            self._forgotten_at = now
        return now > self._forgotten_at + FORGOTTEN and self._holder.is_claimed()

    def _look_at(self, topics: set[str]) -> None:
        held = self._count_held(topics)
        params = self._store.params_of(topics)
        joined, leaving = topics & self._host.topics.keys(), topics & self._host.leaving()
        decision = self._decide(set(params), joined, leaving)
        self._apply(decision, {topic: params[topic] for topic in decision.join})
        if decision.leave or decision.waits_for:
            self.hint(None)
        self._settle(held, set(params))

    def _read_layouts(self) -> None:
        before = self.version
        self._marks = frozenset(self._store.release_keys())
        self._layouts = self._store.layouts()
        version = self.version
        self._was_in = self._was_in or self._is_in()
        if version is not None and version > (before or 0):
            self._tell_of_layout(version)

    def _decide(self, wanted: set[str], joined: set[str], leaving: set[str]) -> Decision:
        return decide(
            self._shard,
            wanted,
            self._layouts,
            releases(self._marks),
            joined=joined,
            leaving=leaving,
        )

    def _apply(self, decision: Decision, params: dict[str, object]) -> None:
        if not params and not decision.leave:
            return
        if not self._holder.holds():
            return  # Its end is near.
        self._gaps.changing(decision, self._layouts)
        self._host.change(params, decision.leave)

    # the orders that wait

    def _count_held(self, topics: Iterable[str] | None) -> dict[str, int]:
        """Return how many have come before this look: of what comes later it knows too little."""
        with self._lock:
            found = list(self._held if topics is None else topics)
            return {topic: len(self._held[topic]) for topic in found if topic in self._held}

    def _settle(self, held: dict[str, int], wanted: set[str]) -> None:
        """Have those begin, or fail, of whose topics it is known now how they stand."""
        version = self.version
        if version is None:
            return
        shards = self._layouts[version]
        for topic, count in held.items():
            with self._lock:
                found = self._held[topic]
                keep = self._settle_topic(
                    topic, found[:count], owner(topic, shards), topic in wanted
                )
                # Only now: what comes meanwhile is not to overtake them.
                found[:count] = keep
                if not found:
                    del self._held[topic]

    def _settle_topic(
        self, topic: str, pending: list[Pending], shard: int, wanted: bool
    ) -> list[Pending]:
        """Return those that go on waiting."""
        keep = []
        for order in pending:
            if order.is_over:
                continue
            if topic in self._host.topics:
                order.begin(self._host.handle, self._take_back)
            elif shard != self._shard:
                order.move(self.version or 0)
            elif order.order.kind not in (REQUEST, WATCH):
                order.begin(self._host.handle)
            elif wanted or order.order.kind == WATCH:
                keep.append(order)
            else:
                order.fail(
                    NotJoinedError(
                        f"the request on {shown(topic)} was not sent: nobody wants the topic, see"
                        " Shards.join"
                    )
                )
        return keep
