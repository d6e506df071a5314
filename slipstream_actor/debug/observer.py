"""Who sees what a client is told and what it sends, while somebody looks: nobody else pays for it.

Two methods of its inbox, and one of its connection's, are replaced by those of an observer, and the
events of a burst by what tells of each that is taken. So it is seen what is handled, and for how
long; what an await takes; and what is sent.
"""

from __future__ import annotations

import functools
import operator
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from pykka import ActorRef

from slipstream_actor.actors.envelopes import Burst, GetState
from slipstream_actor.actors.forks import renew_lock_in_child
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import is_main_thread
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.client.runner import known_socket
from slipstream_actor.protocol.events import ChannelConnected

__all__ = ["Listener", "listen", "listener_of", "stop_listening"]

L = TypeVar("L")

logger: Logger = get_logger("slipstream_actor.debug")

# Whoever adds or takes away a listener. Reentrant, as all locks here.
_lock = threading.RLock()
renew_lock_in_child(sys.modules[__name__], "_lock")


class Listener(Protocol):
    """Who is told, in the thread in which it happens; one that raises is told no more."""

    def handled(self, message: Any, seconds: float) -> None:
        """The client has handled a message or an event, which took so many seconds."""

    def awaited(self, event: Any) -> None:
        """An await of the client has taken an event."""

    def sent(self, command: Any) -> None:
        """A command is told the client's connection."""

    def answered(self, command: Any, outcome: Any, seconds: float) -> None:
        """A request has an outcome, a `Reply` or an error, so many seconds after it was sent: that
        goes to whoever asked, and not by way of the client."""


class Events(deque[Any]):
    """The events of a burst; `observer` sees each that is taken."""

    observer: Observer

    def popleft(self) -> Any:
        """Take the next one, which is handled now."""
        event = super().popleft()
        self.observer.begin(event)
        return event

    def appendleft(self, event: Any) -> None:
        """Have it back: it was looked at, and is not handled yet."""
        super().appendleft(event)
        self.observer.take_back()

    def __delitem__(self, at: Any) -> None:
        event = self[at]
        super().__delitem__(at)
        self.observer.tell("awaited", event)


class Observer:
    """Sees one client, from when it is installed until it is removed."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._put: Callable[[Any], None] = inbox.put
        self._get: Callable[[], Any] = inbox.get
        self.listeners: tuple[Listener, ...] = ()
        self._connections: list[Inbox] = []
        self._handling: Any = None
        self._begun = 0.0

    def install(self, connection: Any) -> None:
        """See what comes from now on, and what is sent over the `connection` that there is."""
        self.watch(connection)
        self._inbox.observer = self
        vars(self._inbox).update(put=self.put, get=self.get)
        # It may wait in the method that was replaced.
        self._inbox.tell(GetState(None, Future()))

    def remove(self) -> None:
        """See nothing more."""
        for inbox in (self._inbox, *self._connections):
            for name in ("put", "get"):
                vars(inbox).pop(name, None)
        self._inbox.observer = None

    def watch(self, connection: Any) -> None:
        """See what is sent over a connection, which is an actor."""
        inbox = connection.actor_inbox if isinstance(connection, ActorRef) else None
        if isinstance(inbox, Inbox) and inbox not in self._connections:
            self._connections = [inbox]  # A client has one.
            vars(inbox)["put"] = functools.partial(self.send, inbox.put)

    # in the place of the methods

    def put(self, envelope: Any) -> None:
        """Take in a message, in any thread; the events of a burst are seen when they are taken."""
        if type(envelope.message) is Burst:
            self.see(envelope.message)
        self._put(envelope)

    def get(self) -> Any:
        """Return the next message; what was handled until now is done."""
        self.finish()
        envelope = self._get()
        message = envelope.message
        if type(message) is not Burst:
            self.begin(message)
        elif getattr(message.events, "observer", None) is not self:
            self.see(message)  # It has waited since before anybody looked.
        return envelope

    def see(self, burst: Burst) -> None:
        """Have the events of a burst seen when they are taken."""
        for event in burst.events:
            if type(event) is ChannelConnected:
                self.watch(burst.source)
        events = Events(burst.events)
        events.observer, burst.events = self, events

    def send(self, put: Callable[[Any], None], envelope: Any) -> None:
        """Tell of a command, and hand it on."""
        command = envelope.message
        self.tell("sent", command)
        if (request := getattr(command, "request", None)) is not None:
            answer = functools.partial(self.answer, command, time.monotonic())
            request.add_done_callback(answer)
        put(envelope)

    def answer(self, command: Any, since: float, request: Any) -> None:
        """Tell of a request's outcome, behind the last command that has sent it."""
        if request.handed != command.join_ref:
            return
        try:
            outcome = request._result()
        except Exception as error:
            outcome = error
        self.tell("answered", command, outcome, time.monotonic() - since)

    # what is told

    def begin(self, message: Any) -> None:
        """The client handles a message now, and no other."""
        self.finish()
        self._handling, self._begun = message, time.monotonic()

    def take_back(self) -> None:
        """It does not handle what it was to have in hand."""
        self._handling = None

    def finish(self) -> None:
        """It has handled what it had in hand."""
        handled, self._handling = self._handling, None
        if handled is not None:
            self.tell("handled", handled, time.monotonic() - self._begun)

    def tell(self, what: str, *arguments: Any) -> None:
        """Tell the listeners."""
        for listener in self.listeners:
            try:
                getattr(listener, what)(*arguments)
            except (Exception, SystemExit) as error:
                # In the main thread it may be a signal handler's; here it would end the client's
                # thread, of which nobody would learn.
                if isinstance(error, SystemExit) and is_main_thread():
                    raise
                logger.exception("%r has failed and is told no more", listener)
                keep(self, functools.partial(operator.is_not, listener))


def listen(ref: Any, listener: Listener) -> None:
    """Have `listener` told what the client `ref` is told and sends."""
    with _lock:
        observer = ref.actor_inbox.observer
        if observer is None:
            socket = known_socket(ref)
            link = None if socket is None else socket._link
            observer = Observer(ref.actor_inbox)
            observer.listeners = (listener,)
            observer.install(None if link is None else link.connection)
        else:
            observer.listeners = (*observer.listeners, listener)


def listener_of(ref: Any, kind: type[L]) -> L | None:
    """Return the listener of this kind that a client has, `None` without one."""
    observer = ref.actor_inbox.observer
    told = () if observer is None else observer.listeners
    return next((listener for listener in told if isinstance(listener, kind)), None)


def stop_listening(ref: Any, wanted: Callable[[Listener], bool]) -> list[Listener]:
    """Tell no more those listeners of a client that are not `wanted`; return these."""
    observer = ref.actor_inbox.observer
    return [] if observer is None else keep(observer, wanted)


def keep(observer: Observer, wanted: Callable[[Any], Any]) -> list[Listener]:
    """Keep the listeners that are wanted, and the observer as long as there is one."""
    with _lock:
        told: Iterable[Listener] = observer.listeners
        observer.listeners = tuple(listener for listener in told if wanted(listener))
        if not observer.listeners:
            observer.remove()
        return [listener for listener in told if listener not in observer.listeners]
