"""`ClientActor`: the actor that users subclass. Events become callbacks, and what these return
becomes the next socket."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Literal

import msgspec
import pykka
from msgspec import UNSET
from pykka.messages import ProxyCall

from slipstream_actor.actors import context as carrying
from slipstream_actor.actors.actor import begun
from slipstream_actor.actors.envelopes import Burst, GetState, Interrupted, Request, Timer
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.process import Cast, From, current
from slipstream_actor.client import handlers
from slipstream_actor.client.callbacks import CALLBACKS, lost, wrong_return
from slipstream_actor.client.returns import Answer, Ignore, Next, Stop
from slipstream_actor.client.running import Beginning, IdleTimeout, Running
from slipstream_actor.client.state import ClientState
from slipstream_actor.errors import StartError
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.protocol.events import (
    ChannelConnected,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, Disconnected
from slipstream_actor.socket import pushing
from slipstream_actor.socket.socket import Socket, tell
from slipstream_actor.socket.state import CONNECTION_ENDS, ReconnectDue, RejoinDue, as_it_counts
from slipstream_actor.socket.telemetry import CLIENT, apply_event, callback, push_ended

__all__ = ["ClientActor", "WatchJoin"]

logger: logging.Logger = logging.getLogger("slipstream_actor.client")

Restart = Literal["permanent", "transient", "temporary"]

TOPIC_ENDS = (TopicJoinFailed, TopicJoinClosed, TopicLeft)
FINAL = ("__init__", "on_start", "on_stop", "on_failure", "on_receive")


class Continue(msgspec.Struct, frozen=True):
    """`init` returned `Next(then=term)`."""

    term: Any


class WatchJoin(Request):
    """Complete `future` when the topic that is the message is joined."""


# Messages of the library's own, which do not end a client's idling.
UNNOTICED = (GetState, Timer, WatchJoin, pushing.BufferDue, pushing.RoomMade)


class ClientActor(Running):
    """A client of a Phoenix server: subclass it, write callbacks, and `start` it.

    Every callback runs in the actor's thread, one at a time, takes the socket as its last
    argument, and returns the socket to go on with; `None` when it did not change; or `Next` or
    `Stop`. `self.socket` is the current socket; in public methods of your own, which work through
    `ref.proxy()`, assign it to change it. A subclass defines no `__init__` and no `on_*`: `init`
    and `terminate` are in their place.
    """

    restart: ClassVar[Restart] = "permanent"
    _routes: ClassVar[handlers.Routes | None] = None

    def __init_subclass__(cls, restart: Restart | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        added = [base for base in cls.__mro__ if base not in ClientActor.__mro__]
        for hook in FINAL:
            if any(hook in vars(base) for base in added):
                raise TypeError(f"{cls.__name__}.{hook} is final: write init or terminate instead")
        if restart is not None:
            if restart not in ("permanent", "transient", "temporary"):
                raise TypeError("restart must be 'permanent', 'transient' or 'temporary'")
            cls.restart = restart
        cls._routes = handlers.routes_of(cls)
        handlers.warn_of_near_misses(cls)

    @classmethod
    def start(cls, *args: Any, name: Hashable | None = None, **kwargs: Any) -> Any:
        """Start a client and return its `ActorRef` when `init(*args, **kwargs)` has returned.

        `name` makes it known to `whereis`. Raises what `init` raised, `StartError` when it
        returned `Stop`, `AlreadyStartedError` when a living actor has the name. Returns `None`
        when `init` returned `Ignore()`.
        """
        beginning = Beginning(args, kwargs, name, Future())
        try:
            ref = super().start(beginning)
        except RuntimeError as error:  # The system has no more threads.
            raise StartError(error) from error
        return ref if begun(ref, beginning.started) else None

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Begin: return the socket, `Next`, `Stop(reason)` or `Ignore()`."""
        return self.socket

    # timers

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Have `handle_info(message, socket)` called in `seconds` (`Process.send_after`).

        Works in any thread, as `send_interval` does.
        """
        if current() is self.actor_ref:
            return self.actor_inbox.send_after(seconds, message)
        return self._set(Timer(message, time.monotonic() + seconds))

    def send_interval(self, seconds: float, message: Any) -> Timer:
        """Have `handle_info(message, socket)` called every `seconds` (`:timer.send_interval`)."""
        if current() is self.actor_ref:
            return self.actor_inbox.send_interval(seconds, message)
        return self._set(Timer.repeated(message, seconds))

    def _set(self, timer: Timer) -> Timer:
        """Have the actor itself, whose timers are its thread's, schedule one."""
        self.actor_inbox.tell(timer)
        return timer

    # Pykka's hooks, in the actor's thread

    def on_start(self) -> None:
        """Run `init`; what it raises or returns completes `start`."""
        beginning = self._beginning
        carried, self._carried = self._carried, None
        try:
            with carrying.resumed(carried):
                result = callback(self, "init")(*beginning.args, **beginning.kwargs)
            if isinstance(result, Stop):
                raise StartError(result.reason)
            if isinstance(result, Ignore):
                self._fail_start(None)
                return
            self._accept("init", result, self.socket)
            then = self._act_on(result)
        except BaseException as error:
            self._fail_start(error)
        else:
            if then is not UNSET:
                with carrying.resumed(carried):
                    self.actor_inbox.push_front(Continue(then))
            beginning.started.set(True)

    def on_receive(self, message: Any) -> Any:
        """Handle a message that is neither a stop nor a proxy's."""
        kind = type(message)
        if kind is Burst:
            return self._deliver(message)
        if kind is Request:
            return self._handle_request(message)
        if kind in CALLBACKS:
            return self._handle_event(message, None)
        handle = self._handlers.get(kind)
        if handle is not None:
            return handle(self, message)
        envelope = self.actor_inbox.envelope
        if envelope is not None and envelope.reply_to is not None:
            return self._handle_ask(message, envelope.reply_to)
        return self._run("handle_info", message)

    def on_stop(self) -> None:
        """A stop from outside: end normally, or for its supervisor's reason."""
        self._finish(self.actor_inbox.stop_reason)

    def on_failure(self, *exc_info: Any) -> None:
        """A callback raised: end with the exception as the reason."""
        logger.error("%s has crashed", self, exc_info=exc_info)
        self._finish(exc_info[1])

    def _dispatch(self, message: Any) -> Any:
        if carrying.installed:
            with carrying.resumed(self.actor_inbox.envelope):
                return self._dispatch_here(message)
        return self._dispatch_here(message)

    def _dispatch_here(self, message: Any) -> Any:
        kind = type(message)
        if self._idle is not None and kind not in UNNOTICED:
            self._cancel_idle()
        if kind is not ProxyCall:
            return super()._dispatch(message)
        # A public method: it changes the socket by assigning `self.socket`.
        self._begin()
        result = super()._dispatch(message)
        if self.actor_inbox.uncommitted is not None:
            raise lost(".".join(message.attr_path), self.actor_inbox, "assign self.socket")
        return result

    def _cancel_idle(self) -> None:
        """Something came before the `timeout` of a `Next`."""
        assert self._idle is not None
        self._idle.cancel()
        self._idle = None

    def _idle_timeout(self, message: IdleTimeout) -> None:
        if self.actor_inbox.depth:
            # Not idle: what is there already comes first, and cancels this (GenServer's `after`).
            self._idle = self.actor_inbox.send_after(0, message)
        else:
            self._run("handle_info", "timeout")

    # events

    def _deliver(self, burst: Burst) -> None:
        """Take a connection's events one by one, as long as it is the socket's."""
        inbox = self.actor_inbox
        events, flow, routes = burst.events, burst.flow, self._routes
        inbox.burst = burst
        inbox.uncommitted = None
        try:
            while events and not inbox.stopping and not self._ended:
                socket = self.socket
                if socket._link is None or socket._link.connection is not burst.source:
                    # One that was replaced, or whose socket was lost with an exception.
                    if not tell(burst.source, CloseConnection()):
                        pushing.fail_all_over(self.actor_ref, burst.source, ClosedByClient())
                    return
                event = events.popleft()  # `burst.take`, without its call.
                flow.taken += 1
                if flow.paused:
                    flow.relieve()
                if self._idle is not None:
                    self._cancel_idle()
                if (
                    type(event) is MessageReceived
                    and event.topic not in socket._presences
                    and "handle_message" not in CLIENT
                ):
                    if routes is None:
                        name, handle = "handle_message", self.handle_message
                    else:
                        name = routes.find(event.topic, event.event).name
                        handle = getattr(self, name)
                    result = handle(event.topic, event.event, event.payload, socket)
                    if (result is None or result is socket) and inbox.uncommitted is None:
                        continue
                    self._follow(name, result, socket)
                else:
                    self._handle_event(event, burst.source)
        finally:
            inbox.burst = None

    def _handle_event(self, event: Any, source: Any) -> None:
        """Apply an event to the socket and call its callback."""
        if type(event) is MessageReceived:
            handlers.deliver(self, event)
            return
        socket = self.socket
        if source is None and socket._link is not None and type(event) in CONNECTION_ENDS:
            # Taken at its word: what connection there is, is no longer wanted.
            tell(socket._link.connection, CloseConnection())
        event = as_it_counts(socket, event, source)
        self._socket = apply_event(socket, event)
        if not self._prepare(event, source, socket):
            return
        name, arguments = CALLBACKS[type(event)]
        self._run(name, *arguments(event))
        if self._ended:
            return
        if type(event) is ChannelConnected:
            self.socket = self.socket._send_requested()
        elif type(event) is TopicJoinSucceeded:
            self._note_joins()
        elif type(event) in CONNECTION_ENDS:
            pushing.give_up_buffered(self.socket, Disconnected(event.reason))
        elif type(event) in TOPIC_ENDS:
            reason = getattr(event, "reason", "left")
            pushing.give_up_buffered(self.socket, ChannelEnded(reason))

    def _prepare(self, event: Any, source: Any, before: Socket) -> bool:
        """Do what an event means for pushes; return whether it has a callback."""
        kind = type(event)
        if kind is ReplyReceived:
            self.actor_inbox.ledger.settle(event.ref)
            push_ended(self.actor_inbox.ledger, event.ref, event.reply)
        elif kind is PushFailed:
            # Of a connection's only the first counts; one that was sent by hand, always.
            if self.actor_inbox.ledger.settle(event.ref) is None and source is not None:
                return False
            push_ended(self.actor_inbox.ledger, event.ref, event.reason)
        elif kind is TopicJoinSucceeded:
            if not self.socket.joined(event.topic):
                return False  # It was left meanwhile.
            pushing.send_buffered(self.socket, event.topic)
        elif kind in CONNECTION_ENDS and before._link is not None:
            pushing.fail_all_over(self.actor_ref, before._link.connection, event.reason)
        return True

    def _buffer_due(self, _: pushing.BufferDue) -> None:
        pushing.tend_buffer(self.socket)

    def _watch_join(self, watch: WatchJoin) -> None:
        # Those whose waiters have given up are done.
        waiting = [f for f in self._watchers.get(watch.message, ()) if not f.done]
        self._watchers[watch.message] = [*waiting, watch.future]
        self._note_joins()

    def _reconnect_due(self, due: ReconnectDue) -> None:
        if due.link is self.socket._link:
            self.socket = self.socket._open("reconnect")

    def _rejoin_due(self, due: RejoinDue) -> None:
        if due.join is self.socket.joins.get(due.join.topic) and self.socket.connected:
            self.socket = self.socket._request(due.join, "rejoin")

    # calls

    def _handle_request(self, request: Request) -> None:
        """`call`: GenServer's way, where an exception goes to the caller and ends the actor."""
        self._call(request.message, request.future, lives=False)

    def _handle_ask(self, message: Any, asked: pykka.Future[Any]) -> Future[Any]:
        """`ref.ask`: Pykka's way, where an exception goes to the caller, and that is it."""
        future: Future[Any] = Future()
        # Now, and not with Pykka's after this: the caller has its answer before a continuation.
        asked.set(future)
        self._call(message, future, lives=True)
        return future

    def _call(self, message: Any, future: Future[Any], *, lives: bool) -> None:
        """Have `handle_call` answer `future`.

        An exception goes there too; the actor lives on if it `lives` when an exception is heard.
        """
        self._callers.add(future)
        future.add_done_callback(self._callers.discard)
        socket = self._begin()
        try:
            result = callback(self, "handle_call")(message, From(future), socket)
            if isinstance(result, pykka.Future):
                result = Answer(result)
            if not isinstance(result, (Answer, Next, Stop)):
                raise wrong_return("handle_call", result)
            self._accept("handle_call", result, socket)
            if isinstance(result, Answer):
                future.set(result.value)
            elif isinstance(result, Stop) and result.answer is not UNSET:
                future.set(result.answer)
            self._go_on(result)
        except Interrupted:
            future.fail(self._stopped())
            raise
        except Exception as error:
            if future.fail(error) or not lives:
                raise
            # Raised by a continuation, behind the answer: it can reach nobody.
            self._crash(error)
        except BaseException as error:
            future.fail(error)
            raise

    # the rest of what an actor is told

    def _state(self, asked: GetState) -> None:
        link = self.socket._link
        connection = link.connection if link is not None else None
        asked.future.set(ClientState(self.socket, self.actor_inbox.depth, connection))

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        Cast: lambda self, cast: self._run("handle_cast", cast.message),
        Continue: lambda self, message: self._run("handle_continue", message.term),
        IdleTimeout: _idle_timeout,
        ReconnectDue: _reconnect_due,
        RejoinDue: _rejoin_due,
        WatchJoin: _watch_join,
        GetState: _state,
        Timer: lambda self, timer: self.actor_inbox.schedule(timer),
        pushing.BufferDue: _buffer_due,
        pushing.RoomMade: lambda self, message: None,
    }
