"""A world without threads, sockets and real time, in which the two actors run step by step.

Everything is the package's own but what stands below it: the transport is a queue each way, the
server a simulation of Phoenix (`tests.simulated_server`), the clock a number. Pykka's loop runs
unmodified; a mailbox lets it go on for as many messages as a test says.
"""

from __future__ import annotations

import logging
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import pykka
import pytest
from pykka._envelope import Envelope

from slipstream_actor import ClientActor
from slipstream_actor.actors import process
from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.selector_inbox import READY, SelectorInbox
from slipstream_actor.connection import opening
from slipstream_actor.connection.connection import Connection
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic
from slipstream_actor.protocol.reasons import ConnectFailedKind
from slipstream_actor.wire.waiter import AttemptFailed, Cancelled
from tests.support.simulated_server import Plans, SimulatedServer
from tests.support.simulated_transport import SimulatedTransport, Wire

PACKAGE = "slipstream_actor"
# Who does not come to rest after so many steps never will.
ENDLESS = 50_000


class Idle(BaseException):
    """Leaves Pykka's loop: the mailbox has nothing, or the actor has done its steps."""


class SteppedInbox(Inbox):
    """Hands out as many messages as there are steps, and never waits."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.steps = 0
        self.socket_first = False  # The socket was polled before a message came.
        self._getting = False

    def get(self) -> Envelope[Any]:
        if not self.steps:
            raise Idle
        self._getting = True
        try:
            envelope = super().get()
        finally:
            self._getting = False
        self.steps -= 1
        return envelope

    def _wait(self, timeout: float | None) -> Envelope[Any] | None:
        first = self._ready() if self.socket_first else None
        if (envelope := first or self._poll() or self._ready() or self._due()) is not None:
            return envelope
        if self._steps_connection() and (envelope := self._poll()) is not None:
            return envelope
        if self._getting:
            raise Idle
        return self.world.wait(self, timeout)

    def _steps_connection(self) -> bool:
        """Do one step of the connection here, as who drives it does, if there is one to do."""
        connection = self.driven
        if connection is None or not self.world.drives or not connection.turn.enter():
            return False
        try:
            ready = None if connection.has_mail or connection.left else connection._ready()
            nothing = ready is None and not connection.has_mail and not connection.left
            if nothing or connection.step is None or connection.stopping:
                return False
            return bool(connection.step(None if ready is None else ready.message))
        finally:
            connection.turn.leave(for_good=False)

    def _ready(self) -> Envelope[Any] | None:
        return None


class SteppedSelectorInbox(SteppedInbox, SelectorInbox):
    """The connection's: its selector is the wire."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.ended = DrivenFuture(world)
        self.turn.give()  # There is one thread, and it does one thing after the other.
        self.turn.parked = world.drives

    def put(self, envelope: Envelope[Any]) -> None:
        if isinstance(envelope.message, JoinTopic):
            self.world.asked_to_join(envelope.message)
        super().put(envelope)

    def _ready(self) -> Envelope[Any] | None:
        ready = selectors.EVENT_READ if self._again else 0
        self._again = False
        if isinstance(transport := self._attached, SimulatedTransport):
            if transport.wire.arrived:
                ready |= self._interest & selectors.EVENT_READ
            if not transport.wire.blocked:
                ready |= self._interest & selectors.EVENT_WRITE
        return READY[ready]


class DrivenFuture(Future[Any]):
    """Whoever waits for it has the world go on meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def get(self, *, timeout: float | None = None) -> Any:
        self._world.run_until(lambda: self.done, timeout)
        return super().get(timeout=0)

    def wait(self, timeout: float | None = None) -> bool:
        self._world.run_until(lambda: self.done, timeout)
        return self.done


Answer: TypeAlias = Literal["accept"] | ConnectFailedKind


class Attempt:
    """One connection actor, the network beneath it, and the server's end of it."""

    def __init__(self, number: int, actor: Connection, opened_at: float, plans: Plans) -> None:
        self.number = number
        self.actor = actor
        self.opened_at = opened_at
        self.wire = Wire()
        self.server = SimulatedServer(number, self.wire, plans)
        self.answer: Answer | None = None  # what the server does with the attempt, once it does

    @property
    def alive(self) -> bool:
        return not self.actor.actor_stopped.is_set()

    @property
    def connecting(self) -> bool:
        return self.alive and self.actor._transport is None

    @property
    def inbox(self) -> SteppedSelectorInbox:
        inbox = self.actor.actor_inbox
        assert isinstance(inbox, SteppedSelectorInbox)
        return inbox


class World:
    """The clock, the actors and the network. `undo` takes the package back to the real ones."""

    def __init__(
        self,
        opened: Callable[[Attempt], object],
        asked_to_join: Callable[[JoinTopic], object],
    ) -> None:
        self.now = 1000.0
        self.drives = False  # Whether clients that wait drive their connections.
        self.attempts: list[Attempt] = []
        self.made = 0
        self.plans = Plans()
        self.asked_to_join = asked_to_join
        self._opened = opened
        self._clients: list[pykka.ThreadingActor] = []
        self._running: list[pykka.ThreadingActor] = []
        self._patches = pytest.MonkeyPatch()
        self._logger = logging.getLogger(PACKAGE)
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL + 1)
        self._patch()

    def _patch(self) -> None:
        patch = self._patches.setattr
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        for name, module in list(sys.modules.items()):
            ours = name.partition(".")[0] == PACKAGE and ".testing" not in name
            if ours and getattr(module, "time", None) is time:
                patch(module, "time", clock)
        patch(process, "_here", threading.local())
        patch(opening, "dial", self._dial)
        patch(opening, "upgrade", lambda wire, *_: SimulatedTransport(wire))
        patch(Connection, "_create_actor_inbox", lambda _: SteppedSelectorInbox(self))
        patch(Connection, "_start_actor_loop", method(self._open))
        patch(ClientActor, "_create_actor_inbox", lambda _: SteppedInbox(self))
        patch(ClientActor, "_start_actor_loop", method(self._start))

    def drive(self, drives: bool) -> None:
        """Say whether clients that wait drive their connections."""
        self.drives = drives
        for attempt in self.attempts:
            attempt.inbox.turn.parked = drives

    def undo(self) -> None:
        """End what still runs, and take the package back."""
        for actor in (*self._clients, *(attempt.actor for attempt in self.attempts)):
            pykka.ActorRegistry.unregister(actor.actor_ref)
            actor.actor_stopped.set()
        self._patches.undo()
        self._logger.setLevel(self._level)

    # actors

    def _start(self, client: pykka.ThreadingActor) -> None:
        self._clients.append(client)
        with self._acting_as(client):
            client._actor_loop_setup()

    def _open(self, actor: Any) -> None:
        self.made += 1
        attempt = Attempt(self.made, actor, self.now, self.plans)
        self.attempts.append(attempt)
        self._opened(attempt)

    def step(self, actor: pykka.ThreadingActor, steps: int = 1) -> bool:
        """Have an actor handle up to so many messages; return whether there was one."""
        inbox = actor.actor_inbox
        assert isinstance(inbox, SteppedInbox)
        if actor.actor_stopped.is_set():
            return False
        if actor in self._running:
            return False  # It is in the middle of one.
        inbox.steps = steps
        with self._acting_as(actor):
            try:
                actor._actor_loop_running()
                actor._actor_loop_teardown()
            except Idle:
                pass
        return inbox.steps < steps

    def step_connection(self, attempt: Attempt, steps: int = 1) -> bool:
        """As `step`; an attempt that the server has not answered waits, unless it is cancelled."""
        if attempt.connecting and attempt.answer is None:
            timeout = attempt.actor._config.connect_timeout_msec / 1000
            if self.now >= attempt.opened_at + timeout:
                attempt.answer = "timeout"
            elif not is_waiting(attempt.inbox, CloseConnection):
                return False
        return self.step(attempt.actor, steps)

    @contextmanager
    def _acting_as(self, actor: pykka.ThreadingActor) -> Iterator[None]:
        """Be the thread of `actor`."""
        process.set_current(actor.actor_ref)
        self._running.append(actor)
        try:
            yield
        finally:
            self._running.pop()
            process.set_current(self._running[-1].actor_ref if self._running else None)

    def _dial(self, config: Any, waiter: Any) -> Wire:
        [attempt] = [a for a in self.attempts if a.actor.actor_inbox is waiter._inbox]
        if attempt.answer is None:
            waiter._inbox.receive(lambda m, _: TAKE if type(m) is CloseConnection else 0, 0)
            raise Cancelled
        if attempt.answer != "accept":
            raise AttemptFailed(attempt.answer, attempt.answer)
        return attempt.wire

    # time

    def wait(self, inbox: SteppedInbox, timeout: float | None) -> Envelope[Any] | None:
        """Have an actor wait in its mailbox: the others go on, and time passes."""
        if timeout == 0:
            return None
        self.run_until(lambda: bool(inbox._queue.qsize() or inbox._ready()), timeout)
        return inbox._poll() or inbox._ready() or inbox._due()

    def run_until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Let everything happen, until a condition or a time."""
        end = self.now + (1e9 if seconds is None else seconds)
        for _ in range(ENDLESS):
            if condition():
                return
            if self.go_on():
                continue
            due = self.next_timer()
            if due is None or due > end:
                self.now = end
                return
            self.now = max(self.now, due)
        raise AssertionError("it does not come to rest")

    def go_on(self) -> bool:
        """Let everything happen that can happen now; return whether there was something."""
        happened = False
        for attempt in tuple(self.attempts):
            if attempt.connecting and attempt.answer is None:
                attempt.answer = "accept"
            attempt.wire.blocked = False
            happened |= attempt.server.serve_all()
            attempt.wire.deliver(ENDLESS)
            happened |= self.step_connection(attempt, 1000)
        for client in self._clients:
            happened |= self.step(client, 1000)
        self.attempts = [a for a in self.attempts if a.alive]
        return happened

    def next_timer(self) -> float | None:
        """Return when the next timer of a living actor is due."""
        actors: list[Any] = [*self._clients, *(attempt.actor for attempt in self.attempts)]
        inboxes = [a.actor_inbox for a in actors if not a.actor_stopped.is_set()]
        timers = [t for inbox in inboxes for t in timers_of(inbox)]
        return min(timers, default=None)


def method(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what, in a class, calls `function` with the instance."""

    def call(actor: Any) -> None:
        function(actor)

    return call


def timers_of(inbox: Inbox) -> list[float]:
    """Return when the timers of a mailbox are due, without the cancelled ones."""
    return [due for due, _, timer in inbox._timers if not timer.cancelled]


def is_waiting(inbox: Inbox, kind: type) -> bool:
    """Whether a message of this type is in the mailbox."""
    while (envelope := inbox._poll()) is not None:
        inbox._stash.append(envelope)
    return any(type(envelope.message) is kind for envelope in inbox._stash)
