"""How a handle's client stands: plain data, which asks nobody and waits for nothing."""

from __future__ import annotations

from typing import Any, TypedDict

from slipstream_actor.client.asking import open_requests
from slipstream_actor.client.runner import known_socket
from slipstream_actor.client.state import connection_of, messages_for
from slipstream_actor.protocol.reason_texts import text_of

__all__ = ["HandleStatus", "status_of"]


class HandleStatus(TypedDict):
    """What `ClientHandle.status()` returns; JSON can have it.

    `state`: `"not started"`, `"running"`, `"restarting"` or `"stopped"`; `connection`: the socket's
    `status`; `topics`: of each its `join_status`; `last_failure`: why the last connection or
    attempt ended, in words; `last_end`: what the client before has ended for; `in_flight`: requests
    without an outcome; `mailbox`: messages that wait for the client; `heartbeat_rtt`: seconds.
    """

    state: str
    connected: bool
    connection: str
    topics: dict[str, str]
    last_failure: str | None
    last_end: str | None
    restarts: int
    in_flight: int
    mailbox: int
    heartbeat_rtt: float | None


def status_of(ref: Any, state: str, restarts: int, last_end: Any, waiting: int) -> HandleStatus:
    """Return how the client `ref` stands; it may be in a callback."""
    socket = known_socket(ref) if ref is not None else None
    connection = connection_of(socket)
    failure = socket.last_failure if socket is not None else None
    return {
        "state": state,
        "connected": socket is not None and socket.connected,
        "connection": socket.status if socket is not None else "new",
        "topics": {topic: str(socket.join_status(topic)) for topic in socket.joins}
        if socket is not None
        else {},
        "last_failure": text_of(failure) if failure is not None else None,
        "last_end": text_of(last_end) if last_end is not None else None,
        "restarts": restarts,
        "in_flight": waiting + (open_requests(ref) if ref is not None else 0),
        "mailbox": messages_for(ref.actor_inbox, socket) if ref is not None else 0,
        # As the connection has it now.
        "heartbeat_rtt": connection.heartbeat_rtt if connection is not None else None,
    }
