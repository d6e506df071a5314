"""What becomes of what callbacks return, and of a client that ends: under `ClientActor`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Set
from typing import Any

import msgspec
import pykka
from msgspec import UNSET

from slipstream_actor.actors import context
from slipstream_actor.actors.actor import BaseActor
from slipstream_actor.actors.envelopes import Interrupted, Timer
from slipstream_actor.actors.forks import ended_for
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.names import register, unregister
from slipstream_actor.client.defaults import Defaults
from slipstream_actor.client.log import say_where
from slipstream_actor.client.requests import Requests
from slipstream_actor.client.returns import (
    Answer,
    Next,
    Stop,
    is_lost,
    is_normal,
    lost_socket_error,
    wrong_return_error,
)
from slipstream_actor.client.telemetry import callback
from slipstream_actor.errors import CallbackReturnError, shown_reason
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.protocol.events import PushFailed
from slipstream_actor.protocol.reasons import ClosedByClient, Disconnected
from slipstream_actor.socket.connecting import ask_to_close, drop_link
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.sending import tell
from slipstream_actor.socket.socket import Socket, new_socket
from slipstream_actor.socket.standing import how_it_stands
from slipstream_actor.socket.telemetry import abandon, push_ended

__all__ = ["Beginning", "CallbackRunner", "IdleTimeout", "kept_of", "known_socket"]

logger: Logger = get_logger("slipstream_actor.client")


class Beginning(msgspec.Struct, frozen=True, eq=False):
    """What `start` hands to the actor's thread, and the future that `init`'s end completes."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: Hashable
    started: Future[Any]


class IdleTimeout(msgspec.Struct, frozen=True, eq=False):
    """Nothing came for the time of a `Next(timeout=…)`."""


# In the place of the method whose new socket may be lost: it has been assigned, and a callback may
# still return one that does not know of it.
ASSIGNED = ""

SUSPENDED = "it is suspended (debug.resume lets it go on)"

NOBODY: frozenset[Future[Any]] = frozenset()


class Kept:
    """All that the library keeps in a client: one attribute, so that the others are the user's."""

    __slots__ = (
        "beginning",
        "callers",
        "carried",
        "ended",
        "idle",
        "name",
        "requests",
        "socket",
        "told_end",
        "watchers",
    )

    def __init__(self, beginning: Beginning, ref: Any) -> None:
        # Until `init` has returned.
        self.beginning: Beginning | None = beginning
        self.name: Hashable = beginning.name
        self.socket: Socket | None = None
        self.idle: Timer | None = None
        self.told_end: Any = None  # the connection that has told its end itself
        self.ended: bool = False
        self.carried: Any = context.capture()
        # Who waits for an answer; a set once somebody has.
        self.callers: Set[Future[Any]] = NOBODY
        self.watchers: dict[str, list[Future[Any]]] = {}
        self.requests: Requests = Requests(ref, self)

    def make_callers(self) -> set[Future[Any]]:
        """Return who waits for an answer, to add somebody; in the client's thread."""
        if not isinstance(self.callers, set):
            self.callers = set()
        return self.callers


def kept_of(ref: Any) -> Kept | None:
    """Return what the client `ref` keeps; `None` for what is no client, or is gone."""
    find = getattr(ref, "_actor_weakref", None)
    kept = getattr(find(), "_slipstream", None) if find is not None else None
    return kept if isinstance(kept, Kept) else None


def known_socket(ref: Any) -> Socket | None:
    """Return the socket that the client `ref` goes on with, if it has one.

    It is not asked for it: it may be in a callback.
    """
    kept = kept_of(ref)
    return kept.socket if kept is not None else None


class CallbackRunner(Defaults, BaseActor):
    """A client as the one that runs callbacks, and goes on with the socket that they return."""

    actor_inbox: Inbox

    def __init__(self, beginning: Beginning | None = None, /, *args: Any, **kwargs: Any) -> None:
        if not isinstance(beginning, Beginning):
            name = type(self).__name__
            raise TypeError(
                f"{name}(…) makes no client: {name}.start(…) starts one, hands its arguments to"
                " init, and returns the ref to talk to it"
            )
        super().__init__(beginning.name)
        self._slipstream = Kept(beginning, self.actor_ref)
        if beginning.name is not None:
            register(beginning.name, self.actor_ref)
        say_where(self.actor_ref)

    @property
    def socket(self) -> Socket:
        """The current socket; assign it in methods of your own, in the actor's thread."""
        if self._slipstream.socket is None:
            self._slipstream.socket = new_socket()
        return self._slipstream.socket

    @socket.setter
    def socket(self, socket: Socket) -> None:
        if not isinstance(socket, Socket):
            raise TypeError(f"socket must be a Socket, not {type(socket).__name__}")
        name = "the assignment of socket"
        inbox = self.actor_inbox
        self._require_own(name, socket)
        require_owner(socket, name)
        if is_lost(inbox, socket):
            raise lost_socket_error(name, inbox, socket, "assign the socket that it returned")
        if inbox.uncommitted is not None:
            inbox.uncommitted = ASSIGNED
        self._go_on_with(socket)

    # running callbacks

    def _cancel_idle(self) -> None:
        """Something came: the `timeout` of a `Next` is over."""
        if self._slipstream.idle is not None:
            self._slipstream.idle.cancel()
            self._slipstream.idle = None

    def _begin(self) -> Socket:
        self.actor_inbox.uncommitted = None
        return self.socket

    def _run(self, name: str, *arguments: Any, told_as: str | None = None) -> None:
        """Call a callback and follow what it returned, `handle_continue`s included.

        Of a handler by pattern it is `told_as` a `handle_message`.
        """
        socket = self._begin()
        function = callback(self, name, told_as or name)
        self._follow(name, function(*arguments, socket), socket)

    def _follow(self, name: str, result: Any, given: Socket | None) -> None:
        self._accept(name, result, given)
        self._go_on(result)

    def _go_on(self, result: Any) -> None:
        then = self._act_on(result)
        while then is not UNSET and not self._slipstream.ended:
            given = self._begin()
            result = callback(self, "handle_continue")(then, given)
            self._accept("handle_continue", result, given)
            then = self._act_on(result)

    def _accept(self, name: str, result: Any, given: Socket | None) -> None:
        """Go on with the socket that a callback returned; raise for what it may not return."""
        inbox = self.actor_inbox
        kind = type(result)
        if kind is Socket:
            socket: Socket | None = result
        elif result is None:
            socket = None
        elif kind in (Next, Stop) or (kind is Answer and name == "handle_call"):
            socket = result.socket
        else:
            raise wrong_return_error(name, result)
        unchanged = socket is None or socket is given
        if unchanged and inbox.uncommitted:
            raise lost_socket_error(name, inbox, self.socket, "return the socket")
        if socket is not None and not unchanged:
            if is_lost(inbox, socket):
                raise lost_socket_error(name, inbox, socket, "return the socket that it returned")
            self._require_own(name, socket)
            self._go_on_with(socket)
        inbox.uncommitted = None

    def _go_on_with(self, socket: Socket) -> None:
        """Take the next socket; a connection that it does not have is nobody's."""
        former, self._slipstream.socket = self._slipstream.socket, socket
        if former is not None and former.metadata != socket.metadata:
            abandon(former)
            drop_link(former)
        if self._slipstream.watchers:
            self._note_joins()
        link = socket._link
        if link is not None and link.awaited:
            self._slipstream.requests.greet(link.connection)
        else:
            self._slipstream.requests.flush()

    def _note_joins(self) -> None:
        """Tell who waits for a join that the socket has."""
        for topic in [topic for topic in self._slipstream.watchers if self.socket.joined(topic)]:
            for future in self._slipstream.watchers.pop(topic):
                future.set(None)

    def _act_on(self, result: Any) -> Any:
        """Do what an accepted result asks for; return the term to continue with, or `UNSET`."""
        if isinstance(result, Stop):
            self._stop_with(result.reason)
        elif isinstance(result, (Next, Answer)):
            if result.timeout is not None and result.then is UNSET:
                self._slipstream.idle = self.actor_inbox.send_after(result.timeout, IdleTimeout())
            return result.then
        return UNSET

    def _require_own(self, name: str, socket: Socket) -> None:
        if socket.socket_pid is not self.actor_ref:
            raise CallbackReturnError(
                f"{name}: the socket belongs to {socket.socket_pid!r}, and its events go there;"
                " make it in this actor"
            )

    def _standing(self, topic: str | None) -> str:
        """Return what runs, how its socket stands, and how a topic does; any thread may ask.

        Of one that is suspended that too, which nothing else would tell whoever waits.
        """
        socket = self._slipstream.socket
        parts = [super()._standing(topic), SUSPENDED if self.actor_inbox.suspended else ""]
        if socket is not None:
            parts.append(how_it_stands(socket, topic))
        elif not any(parts):
            parts.append("it has not begun")
        return "; ".join(filter(None, parts))

    # ending

    def _stop_with(self, reason: Any, answer: Callable[[], object] | None = None) -> None:
        """End now, without handling what is in the mailbox (GenServer's `{:stop, …}`)."""
        try:
            if not is_normal(reason):
                logger.error("%s stops: %s", self, shown_reason(reason))
        finally:
            self._end_loop(reason)
            self._finish(reason, answer=answer)

    def _fail_start(self, error: BaseException | None) -> None:
        """`init` has failed, or ignored: there never was a client."""
        reason = error if error is not None else "normal"
        if isinstance(error, Interrupted):
            reason, error = self.actor_inbox.stop_reason, self._stopped()
        self._end_loop(reason)
        self._finish(reason, terminate=False)
        beginning = self._slipstream.beginning
        if beginning is None:
            return
        if error is None:
            beginning.started.set(False)
        else:
            beginning.started.fail(error)

    def _finish(
        self, reason: Any, *, terminate: bool = True, answer: Callable[[], object] | None = None
    ) -> None:
        """Run `terminate`, then `answer` whoever has ended it, as GenServer does; close the
        connection, tell all who wait."""
        if self._slipstream.ended:
            return
        self._slipstream.ended = True
        inbox = self.actor_inbox
        inbox.stopping = False
        inbox.ending = True
        if terminate:
            self._fail_pushes()
            try:
                callback(self, "terminate")(reason, self._begin())
            except BaseException:
                logger.exception("terminate of %s raised", self)
            inbox.told_all = True
            self._fail_pushes()  # Its own, that it has not awaited.
        try:
            if answer is not None:
                answer()
            for source in inbox.hear_no_more():
                tell(source, CloseConnection())
            for connection in inbox.met:
                ask_to_close(connection)
            self._close_connection()
        finally:
            self._release(reason)

    def _release(self, reason: Any) -> None:
        """Give up the name, and tell all who wait of the end."""
        if self._slipstream.name is not None:
            unregister(self._slipstream.name, self.actor_ref, reason)
        for future in (
            *self._slipstream.callers,
            *(f for fs in self._slipstream.watchers.values() for f in fs),
        ):
            future.abandon(ended_for(reason, str(future.question or self.actor_ref)))
        self.actor_inbox.ended.set(reason)
        self._slipstream.requests.end(reason)
        try:
            abandon(self.socket)
        except BaseException:  # A handler of telemetry that exits.
            logger.exception("what tells of the end of %s raised", self)

    def _fail_pushes(self) -> None:
        """Tell of every push whose outcome will not be seen any more."""
        inbox = self.actor_inbox
        reason = Disconnected(ClosedByClient())
        unanswered: list[Any] = [*inbox.ledger.settle_all(), *inbox.buffer.take_all()]
        failed = [PushFailed(p.ref.topic, p.event, p.ref, reason) for p in unanswered]
        # Of some the failure has been told, and waits.
        for push in (*inbox.take_all(PushFailed), *failed):
            try:
                push_ended(inbox.ledger, push.ref, push.reason)
                failed_push = callback(self, "handle_push_failed")
                failed_push(push.ref, push.topic, push.event, push.reason, self.socket)
            except BaseException:
                logger.exception("handle_push_failed of %s raised", self)

    def _close_connection(self) -> None:
        """Close the connection with a close frame, and wait for that, for a bounded time."""
        socket = self.socket
        link, config = socket._link, socket.channel_config
        socket.disconnect()
        if link is None or config is None or not isinstance(link.connection, pykka.ActorRef):
            return
        inbox = link.connection.actor_inbox
        if isinstance(inbox, Inbox):
            inbox.ended.wait(config.close_timeout_msec / 1000 + 1)

    def _abandon(self) -> None:
        """Let go of the name and the connection: a supervisor waits no more for the callback."""
        if self._slipstream.name is not None:
            unregister(self._slipstream.name, self.actor_ref, "killed")
        if self._slipstream.socket is not None and self._slipstream.socket._link is not None:
            tell(self._slipstream.socket._link.connection, CloseConnection())
