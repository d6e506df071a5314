"""`ClientActor`: the actor that users subclass. Events become callbacks, and what these return
becomes the next socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, ClassVar, Self

import msgspec
import pykka
from msgspec import UNSET
from pykka import ActorRef
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from slipstream_actor.actors import context
from slipstream_actor.actors.actor import await_start
from slipstream_actor.actors.calls import Cast, From, answering, refuse_unknown
from slipstream_actor.actors.envelopes import (
    Between,
    Burst,
    GetState,
    Interrupted,
    Request,
    Timer,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import park_if_exiting, require_patched_first
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.process import current
from slipstream_actor.client import handlers
from slipstream_actor.client.callbacks import CALLBACKS
from slipstream_actor.client.declaration import (
    OwnNames,
    Restart,
    require_known,
    require_no_hooks,
    require_plain_callbacks,
    require_restart,
)
from slipstream_actor.client.defaults import CALLBACK_NAMES
from slipstream_actor.client.delivery import EventDelivery
from slipstream_actor.client.invocation import Invocation
from slipstream_actor.client.returns import (
    Answer,
    Ignore,
    InitResult,
    Next,
    Stop,
    lost_socket_error,
    wrong_return_error,
)
from slipstream_actor.client.runner import Beginning, IdleTimeout
from slipstream_actor.client.state import state_of
from slipstream_actor.client.telemetry import callback
from slipstream_actor.configuration.arguments import require_delay
from slipstream_actor.errors import StartError, StartIgnored
from slipstream_actor.socket.apply_event import (
    ConnectionReplaced,
    LeaveAsked,
    LeaveDone,
    ReconnectDue,
    RejoinDue,
    due_join,
    is_due,
)
from slipstream_actor.socket.buffering import BufferDue, tend_buffer
from slipstream_actor.socket.connecting import open_connection, revive_timers
from slipstream_actor.socket.joining import request
from slipstream_actor.socket.sending import RoomMade
from slipstream_actor.socket.taking_back import NOTHING_AWAITED, take_back, without_awaits

__all__ = ["UNNOTICED", "ClientActor", "WatchJoin"]

logger: Logger = get_logger("slipstream_actor.client")


class Continue(msgspec.Struct, frozen=True):
    """`init` returned `Next(then=term)`."""

    term: Any


class WatchJoin(Request):
    """Complete `future` when the topic that is the message is joined."""


# What proxies ask for: an exception of a method, or a property, goes to the caller alone.
OF_PROXIES = (ProxyCall, ProxyGetAttr, ProxySetAttr)

# Messages of the library's own, which do not end a client's idling.
UNNOTICED = (Between, GetState, Timer, WatchJoin, BufferDue, RoomMade, LeaveAsked)


class ClientActor(EventDelivery):
    """A client of a Phoenix server: subclass it, write callbacks, and `start` it.

    Every callback runs in the actor's thread, one at a time, takes the socket as its last
    argument, and returns the socket to go on with; `None` when it did not change; or `Next` or
    `Stop`. `self.socket` is the current socket; in public methods of your own, which work through
    `ref.proxy()`, assign it to change it. A subclass defines no `__init__` and no `on_*`: `init`
    and `terminate` are in their place.
    """

    restart: ClassVar[Restart] = "permanent"

    def __init_subclass__(cls, restart: Restart | None = None, **kwargs: Any) -> None:
        text = "the one argument that a client's class takes is restart"
        require_known(ClientActor, cls, kwargs, text)
        super().__init_subclass__(**kwargs)
        require_no_hooks(ClientActor, cls)
        require_plain_callbacks(ClientActor, cls, CALLBACK_NAMES)
        OWN_NAMES.require_free(cls)
        require_restart(cls.__name__, cls.restart)
        if restart is not None:
            require_restart(cls.__name__, restart)
            cls.restart = restart
        cls._slipstream_routes = handlers.routes_of(cls)
        handlers.warn_of_near_misses(cls)

    @classmethod
    def start(cls, *args: Any, name: Hashable | None = None, **kwargs: Any) -> ActorRef[Self]:
        """Start a client and return its `ActorRef` when `init(*args, **kwargs)` has returned.

        `name` makes it known to `whereis`. Raises what `init` raised, `StartError` when it
        returned `Stop`, `StartIgnored` when it returned `Ignore()`, `AlreadyStartedError` when a
        living actor has the name, `TypeError` for a class with an `__init__`, as `@dataclass`
        writes one, `RuntimeError` where gevent has patched threads after this package was imported.
        """
        require_no_hooks(ClientActor, cls)
        require_patched_first()
        beginning = Beginning(args, kwargs, name, Future())
        try:
            ref = super().start(beginning)
        except RuntimeError as error:  # The system has no more threads.
            park_if_exiting()
            raise StartError(error) from error
        if not await_start(ref, beginning.started):
            raise StartIgnored(cls)
        return ref

    def init(self, *args: Any, **kwargs: Any) -> InitResult:
        """Begin: return the socket, `Next`, `Stop(reason)` or `Ignore()`."""
        return self.socket

    # timers

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Have `handle_info(message, socket)` called in `seconds` (`Process.send_after`).

        Works in any thread, as `send_interval` does. Less than 0 is as 0. Raises `TypeError` for
        what is no number, `ValueError` for NaN and infinity.
        """
        seconds = max(0.0, require_delay("seconds", seconds))
        if current() is self.actor_ref:
            return self.actor_inbox.send_after(seconds, message)
        timer = Timer(message, time.monotonic() + seconds)
        self.actor_inbox.tell(timer)  # Timers are those of its thread.
        return timer

    def send_interval(self, seconds: float, message: Any) -> Timer:
        """Have `handle_info(message, socket)` called every `seconds` (`:timer.send_interval`).

        Raises as `send_after` does, and `ValueError` unless they are more than 0.
        """
        if current() is self.actor_ref:
            return self.actor_inbox.send_interval(seconds, message)
        timer = Timer.repeated(message, seconds)
        self.actor_inbox.tell(timer)
        return timer

    # Pykka's hooks, in the actor's thread

    def on_start(self) -> None:
        """Run `init`; what it raises or returns completes `start`."""
        self.actor_inbox.busy_since = time.monotonic()
        beginning = self._slipstream.beginning
        assert beginning is not None
        carried, self._slipstream.carried = self._slipstream.carried, None
        state = OWN_NAMES.state_of(self)
        try:
            with context.resumed(carried):
                result = callback(self, "init")(*beginning.args, **beginning.kwargs)
            if (taken := OWN_NAMES.take_back(self, state)) is not None:
                raise taken
            if isinstance(result, Stop):
                raise StartError(result.reason)
            if isinstance(result, Ignore):
                self._fail_start(None)
                return
            self._accept("init", result, self.socket)
            then = self._act_on(result)
        except BaseException as error:
            taken = OWN_NAMES.take_back(self, state) if isinstance(error, Exception) else None
            self._fail_start(taken or error)
        else:
            if then is not UNSET:
                with context.resumed(carried):
                    self.actor_inbox.push_front(Continue(then))
            beginning.started.set(True)
            self._slipstream.beginning = None

    def on_receive(self, message: Any) -> Any:
        """Handle a message that is neither a stop nor a proxy's."""
        kind = type(message)
        if kind is Burst:
            return self._deliver(message)
        if kind is Request:
            return self._handle_request(message)
        if kind in CALLBACKS:
            return self._handle_event(message, None)
        handle = HANDLERS.get(kind)
        if handle is not None:
            return handle(self, message)
        if isinstance(message, Request):
            return refuse_unknown(self, message)
        envelope = self.actor_inbox.envelope
        if envelope is not None and envelope.reply_to is not None:
            return self._handle_ask(message, envelope.reply_to)
        return self._run("handle_info", message)

    def on_stop(self) -> None:
        """A stop from outside: end normally, or for its supervisor's reason."""
        OWN_NAMES.take_back(self)
        self._finish(self.actor_inbox.stop_reason)

    def on_failure(self, *exc_info: Any) -> None:
        """A callback raised: end with the exception as the reason."""
        error = exc_info[1]
        if (taken := OWN_NAMES.take_back(self)) is not None:  # Since `init` has returned.
            taken.__cause__, error = error, taken
        try:
            logger.error("%s has crashed", self, exc_info=error)
        finally:
            self._finish(error)

    def _dispatch(self, message: Any) -> Any:
        if context.installed:
            with context.resumed(self.actor_inbox.envelope):
                return self._dispatch_here(message)
        return self._dispatch_here(message)

    def _dispatch_here(self, message: Any) -> Any:
        kind = type(message)
        self.actor_inbox.busy_since = time.monotonic()
        if kind not in UNNOTICED:
            self._cancel_idle()
        # What the last one has dropped, by raising, is nobody's any more.
        self.actor_inbox.uncommitted = None
        if kind is Burst or kind not in OF_PROXIES:
            return super()._dispatch(message)
        # A public method: it changes the socket by assigning `self.socket`.
        self.actor_inbox.awaited = NOTHING_AWAITED
        try:
            result = super()._dispatch(message)
            if self.actor_inbox.uncommitted:
                name = ".".join(message.attr_path)
                raise lost_socket_error(name, self.actor_inbox, self.socket, "assign self.socket")
        except Exception:
            self._live_on()
            raise
        finally:
            self._end_awaits()
        return result

    def _live_on(self) -> None:
        """Go on with the socket that there is, behind an exception that ends nothing: what it had
        is there again, be it called off or awaited."""
        revive_timers(self.socket)
        take_back(self.socket)

    def _end_awaits(self) -> None:
        if self.actor_inbox.awaited:
            self._slipstream.socket = without_awaits(self.socket)
        self.actor_inbox.awaited = None

    def _idle_timeout(self, message: IdleTimeout) -> None:
        if self.actor_inbox.depth:
            # Not idle: what is there already comes first, and cancels this (GenServer's `after`).
            self._slipstream.idle = self.actor_inbox.send_after(0, message)
        else:
            self._run("handle_info", "timeout")

    # what is due, and who waits

    def _buffer_due(self, _: BufferDue) -> None:
        tend_buffer(self.socket)

    @answering
    def _watch_join(self, watch: WatchJoin) -> None:
        # Those whose waiters have given up are done.
        waiting = [f for f in self._slipstream.watchers.get(watch.message, ()) if not f.done]
        self._slipstream.watchers[watch.message] = [*waiting, watch.future]
        self._note_joins()

    def _reconnect_due(self, due: ReconnectDue) -> None:
        if is_due(self.socket, due):
            self.socket = open_connection(self.socket, "reconnect")

    def _rejoin_due(self, due: RejoinDue) -> None:
        join = due_join(self.socket, due)
        if join is not None:
            self.socket = request(self.socket, join, "rejoin")

    # calls

    def _invoke(self, invocation: Invocation) -> None:
        """Run a method of its own as a proxy does: what it raises goes to the caller, and the actor
        lives on."""
        future = invocation.future
        if future.begin():
            call, run = invocation.message, invocation.context.run
            run_for(self, future, lambda: future.set(run(self._dispatch_here, call)))

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
        callers = self._slipstream.make_callers()
        callers.add(future)
        future.add_done_callback(callers.discard)
        socket = self._begin()
        if lives:
            self.actor_inbox.awaited = NOTHING_AWAITED
        try:
            result = callback(self, "handle_call")(message, From(future), socket)
            if isinstance(result, pykka.Future):
                result = Answer(result)
            if not isinstance(result, (Answer, Next, Stop)):
                raise wrong_return_error("handle_call", result)
            self._accept("handle_call", result, socket)
            if isinstance(result, Answer):
                future.set(result.value)
            if isinstance(result, Stop) and result.answer is not UNSET:
                self._stop_with(result.reason, partial(future.set, result.answer))
            else:
                self._go_on(result)
        except Interrupted:
            future.fail(self._stopped())
            raise
        except Exception as error:
            self._live_on()
            if future.fail(error) or not lives:
                raise
            # Raised by a continuation, behind the answer: it can reach nobody.
            self._crash(error)
        except BaseException as error:
            future.fail(error)
            raise
        finally:
            self._end_awaits()


OWN_NAMES = OwnNames(ClientActor)


@answering
def answer_state(client: ClientActor, asked: GetState) -> None:
    """Answer with a snapshot."""
    asked.future.set(state_of(client.socket, client.actor_inbox, asked.message))


def run_between(client: ClientActor, asked: Between) -> None:
    """Run what somebody wants to be run between callbacks: what it raises is theirs."""
    if not asked.future.done:
        run_for(client, asked.future, lambda: asked.message(client, asked.future))


def run_for(client: ClientActor, future: Future[Any], function: Callable[[], object]) -> None:
    """Run what somebody waits for by `future`: what it raises goes there, and ends the client only
    where it is no `Exception`."""
    try:
        function()
    except Interrupted:
        future.fail(client._stopped())
        raise
    except Exception as error:
        future.fail(error)
    except BaseException as error:
        future.fail(error)
        raise


HANDLERS: dict[type, Callable[[Any, Any], Any]] = {
    Cast: lambda client, cast: client._run("handle_cast", cast.message),
    Continue: lambda client, message: client._run("handle_continue", message.term),
    IdleTimeout: ClientActor._idle_timeout,
    LeaveAsked: ClientActor._leave_asked,
    LeaveDone: ClientActor._leave_done,
    ConnectionReplaced: ClientActor._connection_replaced,
    ReconnectDue: ClientActor._reconnect_due,
    RejoinDue: ClientActor._rejoin_due,
    WatchJoin: ClientActor._watch_join,
    Invocation: ClientActor._invoke,
    GetState: answer_state,
    Between: run_between,
    Timer: lambda client, timer: client.actor_inbox.schedule(timer),
    BufferDue: ClientActor._buffer_due,
    RoomMade: lambda client, message: None,
}
