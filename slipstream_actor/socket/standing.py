"""How a socket stands, and what went wrong last, in words: for errors and `repr`.

Never a token, a param, a query or a payload; within bounds, however many topics there are.
"""

from __future__ import annotations

import itertools
from typing import Any

from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.configuration.uris import place
from slipstream_actor.errors import near, said_by_server, shown
from slipstream_actor.protocol.message import OWN_TOPIC
from slipstream_actor.protocol.reason_texts import described, text_of
from slipstream_actor.protocol.reasons import Disconnected
from slipstream_actor.socket.errors import failed_decoding, path_of, undecoded
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.state import SocketState

__all__ = ["how_it_stands", "shape_of_socket", "stands", "topic_stands"]

# What whoever has dropped a method's result is told.
RETURNED = "returned another one, which is the one to go on with"

# Of topics and assigns so many are shown, and so many topics are compared with a misspelt one.
MOST_SHOWN, MOST_COMPARED = 10, 1_000


def stands(socket: SocketState, topic: Any = None) -> str:
    """Return how an await's socket stands, as the end of an error's text."""
    owner = socket.socket_pid
    who = "the socket" if isinstance(owner, ThreadRef) else str(getattr(owner, "label", owner))
    return f": {how_it_stands(socket, topic, who)}"


def how_it_stands(socket: SocketState, topic: Any = None, who: str = "it") -> str:
    """Return how the connection stands, why there is none, and how `topic` stands, if it is one."""
    parts = [f"{who} {connection_stands(socket)}"]
    if socket.status != "connected" and socket.last_failure is not None:
        parts.append(f"the last failure: {described(socket.last_failure, path_of(socket))}")
    if isinstance(topic, str) and topic != OWN_TOPIC:
        parts.append(topic_stands(socket, topic))
    return "; ".join((*parts, *undecoded(socket)))


def connection_stands(socket: SocketState) -> str:
    """Return what is said behind "it"."""
    config, status = socket.channel_config, socket.status
    where = "" if config is None else place(config.uri)
    if status == "waiting":
        seconds, attempt = socket.reconnect_in, socket.reconnect_counter
        return (
            f"is not connected, and tries {where} again in {seconds or 0:.1f} s, attempt {attempt}"
        )
    if (method := dropped_result(socket)) is not None:
        return f"is not the one to ask: {method} {RETURNED}"
    return {
        "new": "has never been asked to connect",
        "connecting": f"is connecting to {where}",
        "connected": f"is connected to {where}",
        "closing": f"is closing its connection to {where}",
        "disconnected": f"is not connected to {where}, and does not try to",
    }[status]


def dropped_result(socket: SocketState) -> str | None:
    """Return the method of whose result somebody has made nothing, and goes on with `socket`."""
    lineage, status, link = socket._lineage, socket.status, socket._link
    if lineage is None:
        return None
    if status == "new" and lineage.has_connected:
        return "connect"
    connection = link.connection if link is not None and status == "connecting" else None
    return "await_connect" if connection and connection is lineage.connected else None


def topic_stands(socket: SocketState, topic: str) -> str:
    """Return how a topic stands."""
    join = socket.joins.get(topic)
    if join is None and socket._lineage is not None and topic in socket._lineage.topics:
        return (
            f"{shown(topic)} was never asked for by this socket, which never changes: join"
            f" {RETURNED}"
        )
    if join is None:
        topics = list(itertools.islice(socket.joins, MOST_COMPARED))
        alike = near(topic[:200], topics)
        meant = f", is it to be {shown(alike[0])}?" if alike else ""
        return f"{shown(topic)} was never asked for{meant}"
    status = socket.join_status(topic)
    if status == "requested" and is_awaited(socket, join):
        return f"{shown(topic)} is joined by another socket: await_join {RETURNED}"
    text = f"{shown(topic)} is {status}"
    if status == "closed" and join.reason is not None:
        lost = isinstance(join.reason, Disconnected)  # Why is said of the connection.
        text += f": {text_of(join.reason) if lost else described(join.reason)}"
    elif status == "requested" and join.response is not None:
        text += f", the last answer was: {said_by_server(join.response)}"
    if join.rejoin_in is not None:
        text += f"; it is asked for again in {join.rejoin_in:.1f} s"
    return text


def is_awaited(socket: SocketState, join: Join) -> bool:
    """Whether somebody has awaited this join, and goes on with the socket from before."""
    lineage = socket._lineage
    return lineage is not None and join.join_ref is not None and join.join_ref in lineage.joined


def shape_of_socket(socket: SocketState) -> str:
    """Return a socket's `repr`: its state, its topics and the names of its assigns."""
    config, status = socket.channel_config, socket.status
    parts = [status if config is None else f"{status} {place(config.uri)}"]
    if (seconds := socket.reconnect_in) is not None:
        parts[0] += f" again in {seconds:.1f} s"
    if socket.joins:
        some = itertools.islice(socket.joins.values(), MOST_SHOWN)
        topics = [topic_shape(socket, join) for join in some]
        parts.append(f"topics {{{', '.join(topics)}{more_than(len(socket.joins))}}}")
    if status != "connected" and socket.last_failure is not None:
        parts.append(f"last failure: {text_of(socket.last_failure)}")
    if (decoding := failed_decoding(socket)) is not None:
        parts.append(str(decoding))
    if socket.assigns:
        names = [str(name)[:200] for name in itertools.islice(socket.assigns, MOST_SHOWN)]
        parts.append(f"assigns {{{', '.join(names)}{more_than(len(socket.assigns))}}}")
    return f"<Socket {', '.join(parts)}>"


def topic_shape(socket: SocketState, join: Join) -> str:
    status = socket.join_status(join.topic)
    why = f" ({text_of(join.reason)})" if status == "closed" and join.reason is not None else ""
    return f"{shown(join.topic)[1:-1]}: {status}{why}"


def more_than(count: int) -> str:
    """Return the end of a list that is cut."""
    return f", … {count - MOST_SHOWN} more" if count > MOST_SHOWN else ""
