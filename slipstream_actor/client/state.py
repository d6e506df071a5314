"""A look into a running client: what `get_state` returns of one."""

from __future__ import annotations

import msgspec
from pykka import ActorRef

from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.running import Running
from slipstream_actor.connection.connection import Connection
from slipstream_actor.socket.socket import Socket

__all__ = ["ClientState", "connection_of", "messages_for", "state_of"]


class ClientState(msgspec.Struct, frozen=True):
    """A client's state: its socket, how many messages wait, and the ref of its connection.

    `attempt` is the number of the attempt to connect that failed last or is on the way, 0 for one
    that `connect` made; `next_attempt` the seconds until the one that is scheduled, `None` when
    there is none. `callback` is what ran when the question came, `None` when nothing did, and
    `busy_for` for how many seconds: since the client took the message in hand, which with a burst
    of events may have led to several callbacks.
    """

    socket: Socket
    mailbox: int
    connection: ActorRef[Connection] | None
    attempt: int = 0
    next_attempt: float | None = None
    callback: str | None = None
    busy_for: float | None = None


def state_of(socket: Socket, inbox: Inbox, running: Running | None) -> ClientState:
    """Return the state of a client that is answering, and was `running` something when asked."""
    link = socket._link
    return ClientState(
        socket=socket,
        mailbox=messages_for(inbox, socket),
        connection=link.connection if link is not None else None,
        attempt=socket.reconnect_counter,
        next_attempt=socket.reconnect_in,
        callback=running.callback if running is not None else None,
        busy_for=running.seconds if running is not None else None,
    )


def messages_for(inbox: Inbox, socket: Socket | None) -> int:
    """Return how many messages wait for a client, at least. Any thread may ask.

    Of what nobody has taken out of the queue yet only the connection knows how many events it is.
    """
    connection = connection_of(socket)
    flow = None if connection is None else connection.flow
    return max(inbox.depth, 0 if flow is None else flow.delivered - flow.taken)


def connection_of(socket: Socket | None) -> Connection | None:
    """Return the connection that a socket has, to look at it from outside."""
    link = None if socket is None else socket._link
    actor_of = getattr(None if link is None else link.connection, "_actor_weakref", None)
    actor = None if actor_of is None else actor_of()
    return actor if isinstance(actor, Connection) else None
