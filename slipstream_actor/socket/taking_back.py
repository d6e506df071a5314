"""An await that a signal handler's exception ends takes nothing with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from slipstream_actor.actors.here import Interrupted, park_if_exiting
from slipstream_actor.actors.places import Place
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.socket.state import SocketState, commit

__all__ = ["await_next", "await_or_put_back"]

S = TypeVar("S", bound=SocketState)
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
        raise
    finally:
        inbox.taken = around


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
        return commit(socket, function.__name__, after)

    return await_or_put_back(await_and_commit, socket)
