"""One client as plain data: looked at from outside, while a callback of its own may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykka import ActorRef

from slipstream_actor.actors.names import name_of
from slipstream_actor.actors.running import running_in, stack_of
from slipstream_actor.actors.shared import steadily
from slipstream_actor.client.asking import open_requests
from slipstream_actor.client.runner import known_socket
from slipstream_actor.client.state import messages_for
from slipstream_actor.configuration.uris import redact
from slipstream_actor.debug.connections import connection_part
from slipstream_actor.debug.options import options_of
from slipstream_actor.debug.plain import (
    Plain,
    class_name,
    few,
    items_of,
    label,
    list_of,
    mailbox_of,
    name_of_actor,
    plain_reason,
)
from slipstream_actor.debug.suspension import is_suspended
from slipstream_actor.socket.errors import path_of
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.socket import Socket
from slipstream_actor.telemetry.redaction import name

__all__ = ["client_part"]


def client_part(ref: Any, connections: Mapping[Any, Plain], now: float, *, stacks: bool) -> Plain:
    """Return the part of the client `ref`, with the stack of the callback that runs, if asked;
    its connection's is taken out of `connections`, if it is there."""
    inbox, socket = ref.actor_inbox, known_socket(ref)
    part: Plain = {
        "id": ref.actor_urn,
        "label": label(ref),
        "name": name_of_actor(name_of(ref)),
        "class": class_name(ref.actor_class),
        "callback": callback_of(ref, stacks=stacks),
        "suspended": is_suspended(ref),
        "mailbox": mailbox_of(inbox, lambda inbox: messages_for(inbox, socket)),
        "requests": steadily(lambda: open_requests(ref), 0),
        "awaited_pushes": len(inbox.ledger),
        "buffered": {"pushes": len(inbox.buffer), "bytes": inbox.buffer.bytes},
        "reconnects": max(0, getattr(inbox.history, "connections", 0) - 1),
        "history": [passage._asdict() for passage in list_of(lambda: inbox.history or ())],
    }
    link = None if socket is None else socket._link
    connection = None if link is None else link.connection
    known = connections.get(connection)
    if known is None and isinstance(connection, ActorRef):
        known = connection_part(connection, ref, now)
    return {**part, **socket_part(socket), "connection": known}


def socket_part(socket: Socket | None) -> Plain:
    """Return what a client's socket knows; before there is one, what is known of a new one."""
    config = None if socket is None else socket.channel_config
    return {
        "status": "new" if socket is None else socket.status,
        "uri": None if config is None else redact(config.uri),
        "configuration": options_of(config),
        "attempt": 0 if socket is None else socket.reconnect_counter,
        "next_attempt_in": None if socket is None else socket.reconnect_in,
        "last_failure": None
        if socket is None
        else plain_reason(socket.last_failure, path_of(socket)),
        "topics": []
        if socket is None
        else [topic_part(socket, join) for _, join in items_of(socket.joins)],
        "topic_count": 0 if socket is None else len(socket.joins),
        "assigns": [] if socket is None else [name(str(key)) for key in few(socket.assigns)],
    }


def topic_part(socket: Socket, join: Join) -> Plain:
    """Return how a topic stands."""
    return {
        "topic": name(join.topic),
        "status": socket.join_status(join.topic),
        "reason": plain_reason(join.reason),
        "rejoins": join.rejoin_counter,
        "rejoin_in": join.rejoin_in,
        "join_ref": join.join_ref,
    }


def callback_of(ref: Any, *, stacks: bool) -> Plain | None:
    """Return what runs in a client and for how many seconds; `None` when it waits."""
    running = running_in(ref)
    if running is None:
        return None
    part: Plain = {"name": running.callback, "seconds": running.seconds}
    return {**part, "stack": stack_of(ref)} if stacks else part
