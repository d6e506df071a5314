"""An await takes nothing with it that a signal handler's exception ends, nor one of a method that
raises behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from msgspec.structs import replace
from pykka import ActorRef

from slipstream_actor.actors.here import Interrupted, park_if_exiting
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.places import Order, Place
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import JOIN_ENDS
from slipstream_actor.socket import history
from slipstream_actor.socket.state import S, SocketState, commit

__all__ = [
    "NOTHING_AWAITED",
    "ask_or_put_back",
    "await_next",
    "await_or_put_back",
    "take_back",
    "without_awaits",
]

P = ParamSpec("P")
T = TypeVar("T")

# What an await itself raises: the event that it has taken has been told with it.
OUTCOMES = (SlipstreamError, Interrupted)


def await_or_put_back(
    function: Callable[Concatenate[S, P], T], socket: S, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call an await, and put back what it has taken when it raises what is not its own.

    Signals are handled in the main thread, which no actor runs in.
    """
    owner: Any = socket.socket_pid
    if type(owner) is not ThreadRef or owner is not current():
        return function(socket, *args, **kwargs)
    inbox = owner.actor_inbox
    taken: list[Place] = []
    around = inbox.taken
    try:
        inbox.taken = taken
        return function(socket, *args, **kwargs)
    except OUTCOMES:
        park_if_exiting()
        raise
    except BaseException:
        inbox.put_back(taken)
        for place in taken:
            note_end(inbox, place)
        raise
    finally:
        inbox.taken = around


def ask_or_put_back(
    function: Callable[Concatenate[S, P], T], socket: S, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call what asks for something, and put back the ends that it has looked at when it raises:
    then nobody has a socket that knows of them.

    Not one with `await_or_put_back`: behind a call more a signal handler may raise what is lost.
    """
    owner: Any = socket.socket_pid
    if type(owner) is not ThreadRef or owner is not current():
        return function(socket, *args, **kwargs)
    inbox = owner.actor_inbox
    taken: list[Place] = []
    around = inbox.taken
    try:
        inbox.taken = taken
        return function(socket, *args, **kwargs)
    except BaseException:
        inbox.put_back(taken)
        for place in taken:
            note_end(inbox, place)
        raise
    finally:
        inbox.taken = around


def note_end(inbox: Inbox, place: Place) -> None:
    """Note the end of a join that was put back."""
    if type(place.message) in JOIN_ENDS and place.burst is not None:
        inbox.ended_joins[place.message.join_ref] = place.burst.source


def await_next(
    function: Callable[Concatenate[S, P], S], socket: S, *args: P.args, **kwargs: P.kwargs
) -> S:
    """Do so with an await that returns the next socket, and note that a callback may lose it.

    Whoever catches its error knows what has come of what was asked.
    """

    def await_and_commit(socket: S) -> S:
        try:
            after = function(socket, *args, **kwargs)
        except SlipstreamError:
            if (owner := current()) is socket.socket_pid:
                owner.actor_inbox.asked = None
            raise
        if after._link is not None and after._link.awaited:
            meet(socket.socket_pid, after._link.connection)
        return commit(socket, function.__name__, after)

    owner: Any = socket.socket_pid
    if owner is current() and owner.actor_inbox.awaited is not None:
        return await_and_note(await_and_commit, socket)
    return await_or_put_back(await_and_commit, socket)


def meet(owner: Any, connection: Any) -> None:
    """Note a connection that a client has awaited: it ends with the client, though a callback may
    have lost it."""
    inbox = owner.actor_inbox
    if type(owner) is ThreadRef or connection in inbox.met:
        return
    if isinstance(connection, ActorRef):
        inbox.met = (*(known for known in inbox.met if known.is_alive()), connection)


# of a method that may raise, and its client lives


class Awaited:
    """What the awaits of one method of a client have taken of its connection and its joins.

    Each socket that comes of them knows which have led to it: when the method raises, all that the
    client's socket does not know of is put back.
    """

    __slots__ = ("_order", "_places")

    def __init__(self) -> None:
        self._order = Order()
        self._places: list[Place] = []

    def note(self, inbox: Inbox, taken: list[Place]) -> None:
        """Note what an await has just taken, and how it lay."""
        inbox.put_back(taken)
        self._order.note(inbox.kept_stash())
        for place in taken:
            if place.burst is not None:
                self._order.note(place.burst.events)
        for place in taken:
            place.take(self._places)

    def put_back(self, socket: SocketState) -> None:
        """Put back what has not led to `socket`."""
        owner, known = socket.socket_pid, set(self.led_to(socket))
        for place in self._places:
            if place in known:
                continue
            self._order.put_back(place)
            event = place.message
            history.take_back(owner, event)
            note_end(owner.actor_inbox, place)

    def led_to(self, socket: SocketState) -> Iterator[Place]:
        """Yield all that has led to a socket."""
        step = socket._awaited
        while step is not None and step[0] is self:
            yield from step[1]
            step = step[2]


# Of a method that has awaited nothing yet: from now on it is noted.
NOTHING_AWAITED = ()


def take_back(socket: SocketState) -> None:
    """A method has raised, and `socket` is its client's: put back what that does not know of."""
    awaited = socket.socket_pid.actor_inbox.awaited
    if awaited:
        awaited.put_back(socket)


def without_awaits(socket: S) -> S:
    """Return the socket for after the method, where it need not know how it came about."""
    return replace(socket, _awaited=None)


def await_and_note(function: Callable[[S], S], socket: S) -> S:
    """Call an await of such a method, and note what it takes, also of one that raises."""
    inbox = socket.socket_pid.actor_inbox
    taken: list[Place] = []
    around, inbox.taken = inbox.taken, taken
    try:
        after = function(socket)
    except Exception as error:
        note_awaited(inbox, taken)
        failed: Any = error
        if isinstance(error, SlipstreamError) and isinstance(
            getattr(failed, "socket", None), SocketState
        ):
            failed.socket = led_to(failed.socket, taken)
        raise
    else:
        note_awaited(inbox, taken)
        return led_to(after, taken)
    finally:
        inbox.taken = around


def note_awaited(inbox: Inbox, taken: list[Place]) -> None:
    """Note what an await has taken."""
    if taken:
        inbox.awaited = inbox.awaited or Awaited()
        inbox.awaited.note(inbox, taken)


def led_to(socket: S, taken: list[Place]) -> S:
    """Return the socket that has come of an await, and knows of it."""
    if not taken:
        return socket
    awaited, before = socket.socket_pid.actor_inbox.awaited, socket._awaited
    if before is not None and before[0] is not awaited:
        before = None  # Of a method that ran earlier.
    return replace(socket, _awaited=(awaited, taken, before))
