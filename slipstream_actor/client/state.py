"""A look into a running client: what `get_state` returns of one."""

from __future__ import annotations

import msgspec
from pykka import ActorRef

from slipstream_actor.connection.connection import Connection
from slipstream_actor.socket.socket import Socket

__all__ = ["ClientState"]


class ClientState(msgspec.Struct, frozen=True):
    """A client's state: its socket, how many messages wait, and the ref of its connection."""

    socket: Socket
    mailbox: int
    connection: ActorRef[Connection] | None
