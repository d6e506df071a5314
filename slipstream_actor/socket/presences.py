"""What a socket keeps of the topics that `track_presence` named."""

from __future__ import annotations

from msgspec.structs import replace

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.errors import shown
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.presence import (
    Call,
    problem_of_diff,
    problem_of_state,
    recorder,
    with_diff,
    with_held,
    with_state,
)
from slipstream_actor.socket.state import S, SocketState

__all__ = ["is_tracked", "receive"]

logger: Logger = get_logger("slipstream_actor.client")


def is_tracked(socket: SocketState, message: MessageReceived) -> bool:
    """Whether a message is the state or a diff of a topic whose presence the socket tracks."""
    tracked = socket._presences.get(message.topic)
    return tracked is not None and message.event in (tracked.state_event, tracked.diff_event)


def receive(
    socket: S, message: MessageReceived, join_ref: str | None = None
) -> tuple[S, list[Call]]:
    """Return the socket after a state or a diff, and the callbacks that it leads to, in order.

    One that is malformed is logged at warning level, and changes nothing; nor does what comes
    behind the end of the join, or what was sent to the one before (`join_ref`) while the state is
    to come.
    """
    topic, payload = message.topic, message.payload
    join = socket.joins.get(topic)
    if join is not None and join.status == "closed":
        return socket, []
    tracked = socket._presences[topic]
    if not tracked.synced and join is not None and join_ref not in (None, join.join_ref):
        return socket, []
    is_state = message.event == tracked.state_event
    problem = problem_of_state(payload) if is_state else problem_of_diff(payload)
    if problem is not None:
        return without(socket, message, problem)
    calls: list[Call] = []
    if is_state:
        tracked = with_state(tracked, payload, recorder(calls, topic))
    elif tracked.synced:
        tracked = with_diff(tracked, payload, recorder(calls, topic))
    else:
        try:
            tracked = with_held(tracked, payload)
        except Exception as error:
            why = f"it cannot be kept until the state comes: {type(error).__name__}"
            return without(socket, message, why)
    if tracked.synced:
        calls.append(("handle_presence_sync", (topic,)))
    return replace(socket, _presences={**socket._presences, topic: tracked}), calls


def without(socket: S, message: MessageReceived, problem: str) -> tuple[S, list[Call]]:
    """Return the socket as it is, and say why a message has not changed it."""
    event, topic = shown(message.event), shown(message.topic)
    logger.warning("%s of %s is dropped: %s", event, topic, problem)
    return socket, []
