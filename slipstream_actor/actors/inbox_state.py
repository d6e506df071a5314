"""What an inbox holds. It is one of two for every client, and mostly idle: all that takes memory is
made when it is first needed."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from msgspec import UNSET
from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import Burst, Timer
from slipstream_actor.actors.forks import current_epoch
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.ledger import Ledger
from slipstream_actor.actors.places import Place
from slipstream_actor.actors.push_buffer import PushBuffer
from slipstream_actor.actors.shared import shared_iterator

__all__ = ["MOST_REFS", "InboxState"]

# The stash of whom nothing waits for: an empty deque takes 760 bytes.
NO_STASH: Any = ()

# Of the waits that lead to driving a connection the first do not count: those until it has joined.
AT_FIRST = -4

# More than any process gives out.
MOST_REFS = 10**18


class InboxState:
    """A queue, what a `receive` has passed over, and a heap of timers; and how its owner stands."""

    # Whether its owner may own sockets: a connection owns none.
    OWNS = True

    # What has been said of the owner, a `telemetry.log.OwnerLog`, once something has.
    log: Any = None

    # That dictionary has what hardly any has: the log, and methods of an observer.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_changes",
        "_close_until",
        "_crowded",
        "_in_vain",
        "_messages_turn",
        "_queue",
        "_refs",
        "_sleeping",
        "_stash",
        "_timers",
        "_timers_given",
        "_waited",
        "_waits",
        "asked",
        "awaited",
        "begins_anew",
        "buffer",
        "burst",
        "busy_since",
        "close_requested",
        "closed",
        "deaf",
        "driven",
        "driving",
        "ended",
        "ended_joins",
        "ending",
        "ends_for",
        "envelope",
        "epoch",
        "expected",
        "expecting",
        "former",
        "history",
        "in_main",
        "interrupt",
        "ledger",
        "met",
        "observer",
        "replacing",
        "starting",
        "stop_reason",
        "stopping",
        "subscriptions",
        "suspended",
        "taken",
        "thread",
        "told_all",
        "uncommitted",
    )

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Looked up at run time: gevent patches the module.
        self._queue: queue.SimpleQueue[Envelope[Any]] = queue.SimpleQueue()
        self._stash: deque[Envelope[Any]] = NO_STASH
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_given = 0
        self._crowded = 64
        self._messages_turn = True
        # The inbox of the connection that its owner may drive, while it has one.
        self.driven: Any = None
        # The one that it drives, or drove last: a thread may have several.
        self.driving: Any = None
        # How many waits of its owner speak for driving: of a client all, else those that are short.
        self._waits = AT_FIRST
        self._close_until = 0.0
        # How often it has begun to drive in quiet, in vain, since something has come.
        self._in_vain = 0
        # The reply that its owner waits for while it drives, and what has come of it.
        self.expecting: str | None = None
        self.expected: Any = None
        # Whether it has waited since `first_since_wait` was true last.
        self._waited = True
        # One step of it gives one out, in whatever thread or signal handler.
        self._refs = shared_iterator(range(1, MOST_REFS + 1))
        self.closed: bool = False
        self._sleeping = False
        self.stopping: bool = False
        self.stop_reason: Any = "normal"
        self.interrupt: Callable[[], object] | None = None
        self.envelope: Envelope[Any] | None = None
        self.burst: Burst | None = None
        # The method whose new socket its callback has not returned yet (none, when it has assigned
        # it), and since then the last one that has asked something of the server.
        self.uncommitted: str | None = None
        self.asked: tuple[str] | None = None
        self.begins_anew: bool = False
        self.close_requested: bool = False
        # The callback of a connection that has been replaced runs: it opens no other.
        self.replacing: bool = False
        self.deaf: bool = False
        # The owner tells of no more outcomes: whoever else pushes learns it at the call.
        self.ending: bool = False
        # Nor to itself: it tells of the last ones.
        self.told_all: bool = False
        self.ended: Future[Any] = Future()
        # What for, from when that is settled: before `terminate` runs.
        self.ends_for: Any = UNSET
        # The owner's thread while it runs, and since when it handles what it has in hand.
        self.thread: Any = None
        self.busy_since: float | None = None
        # It calls nothing back until somebody lets it go on.
        self.suspended: bool = False
        # Of a supervisor: which child it starts now.
        self.starting: Hashable | None = None
        # Who else is given the messages of the owner's connection.
        self.subscriptions: tuple[Any, ...] = ()
        # What the await that runs has taken, while somebody wants to know.
        self.taken: list[Place] | None = None
        # What has been awaited of the connection and joins in a method that runs, which may raise
        # while its client lives: `None` when none runs, and nothing at first.
        self.awaited: Any = None
        # How often a message was put into the stash or taken out: also by a signal handler.
        self._changes = 0
        # Whether signals are handled in its owner's thread.
        self.in_main: bool = False
        # How its owner's connections came and went, a `socket.history`, once one has.
        self.history: Any = None
        # Who sees what its owner is told, while somebody looks in from outside.
        self.observer: Any = None
        if self.OWNS:
            self._own()

    def _own(self) -> None:
        """Have what an owner of sockets needs."""
        # The refs of joins that are over, until their ends are taken, with their connections.
        self.ended_joins: dict[str, Any] = {}
        # Connections that nobody can await anything of any more.
        self.former: list[Any] = []
        # Those whose beginning a client has awaited: its socket may know of none of them.
        self.met: tuple[Any, ...] = ()
        self.ledger: Ledger = Ledger()
        self.buffer: PushBuffer = PushBuffer()

    def kept_stash(self) -> deque[Envelope[Any]]:
        """Return the stash, to put something in."""
        made: deque[Envelope[Any]] = deque()
        # Nothing is collected, and no signal handled, between the two.
        if self._stash is NO_STASH:
            self._stash = made
        return self._stash

    def release_stash(self) -> None:
        """Give back what the stash has held, if nothing is in it; only the owner's thread may."""
        if not self._stash:
            self._stash = NO_STASH
