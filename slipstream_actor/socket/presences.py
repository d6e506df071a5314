"""What a socket keeps of the topics that `track_presence` named."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Match
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.errors import shown
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.presence import (
    Call,
    Tracked,
    problem_of_diff,
    problem_of_state,
    recorder,
    unsynced,
    with_diff,
    with_held,
    with_state,
)
from slipstream_actor.protocol.undecoded import MESSAGES
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.state import S, SocketState

__all__ = ["begun", "is_tracked", "noting_older", "receive"]

logger: Logger = get_logger("slipstream_actor.client")


def is_tracked(socket: SocketState, message: Any) -> bool:
    """Whether a message is the state or a diff of a topic whose presence the socket tracks."""
    tracked = socket._presences.get(message.topic)
    return tracked is not None and message.event in (tracked.state_event, tracked.diff_event)


def noting_older(match: Match, socket: SocketState, topic: str, older: dict[int, Any]) -> Match:
    """Return the `match` of an await of the join of `topic`; it notes in `older` the states and
    diffs that it passes over: they came before what is awaited."""
    if topic not in socket._presences:
        return match

    def match_and_note(message: Any, source: Any) -> int:
        verdict = match(message, source)
        is_message = not verdict and type(message) in MESSAGES
        if is_message and message.topic == topic and is_tracked(socket, message):
            older[id(message)] = message
        return verdict

    return match_and_note


def begun(socket: S, topic: str, older: dict[int, Any]) -> S:
    """Return the socket after a join that was awaited, before which these messages came."""
    if not older:
        return socket
    return replace(socket, _presences=unsynced(socket._presences, topic, older))


def receive(socket: S, message: MessageReceived, came: Any = None) -> tuple[S, list[Call]]:
    """Return the socket after a state or a diff, and the callbacks that it leads to, in order.

    One that is malformed is logged at warning level, and changes nothing; nor does what comes
    behind the end of the join, nor, while the state is to come, what `came` for the join before.
    """
    topic, payload = message.topic, message.payload
    join = socket.joins.get(topic)
    if join is not None and join.status == "closed":
        return socket, []
    tracked = socket._presences[topic]
    if not tracked.synced and is_of_the_one_before(tracked, join, came):
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


def is_of_the_one_before(tracked: Tracked, join: Join | None, came: Any) -> bool:
    """Whether a message was sent to another join than the current one."""
    if id(came) in tracked.older:
        return True
    return join is not None and getattr(came, "join_ref", None) not in (None, join.join_ref)


def without(socket: S, message: MessageReceived, problem: str) -> tuple[S, list[Call]]:
    """Return the socket as it is, and say why a message has not changed it."""
    event, topic = shown(message.event), shown(message.topic)
    logger.warning("%s of %s is dropped: %s", event, topic, problem)
    return socket, []
