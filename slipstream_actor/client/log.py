"""What the log says of a client when a callback has decided what follows of an event."""

from __future__ import annotations

import sys
from typing import Any

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnectFailed,
    TopicJoinClosed,
    TopicJoinFailed,
)
from slipstream_actor.protocol.reasons import ClosedByClient, ConnectFailed, Disconnected
from slipstream_actor.socket.log import next_attempt, place
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.state import SocketState
from slipstream_actor.telemetry.log import OwnerLog, Place, Retry, log_of

__all__ = ["say_after", "say_where"]

# Whether this process was told already; a child is told anew.
_told = False


def say_where(owner: Any) -> None:
    """Say that a client runs where its threads do not, once in a process."""
    global _told  # noqa: PLW0603 - one of the process, for all of its clients
    uwsgi = sys.modules.get("uwsgi")  # Only uWSGI's own interpreters have it.
    if _told or uwsgi is None or getattr(uwsgi, "has_threads", True):
        return
    _told = True
    log = log_of(owner)
    if log is not None:
        log.no_threads()


def _reset_in_child() -> None:
    global _told  # noqa: PLW0603 - it is the parent's
    _told = False


reset_in_child(_reset_in_child)


def say_after(socket: SocketState, event: Any, *, ends: bool) -> None:
    """Say what an event was, and what its callback has made of it: `socket` is what that left
    behind, and the client `ends` with it or goes on."""
    log = log_of(socket.socket_pid)
    if log is None:
        return
    if type(event) in (TopicJoinFailed, TopicJoinClosed):
        say_topic(log, socket, event, ends=ends)
        return
    at = place(socket)
    if type(event) not in (ChannelClosed, ChannelConnectFailed) or at is None:
        return
    is_back = socket.connected  # A callback that awaits may do that.
    delay = None if ends or is_back else next_attempt(socket)
    ends = ends or is_back
    retry: Retry = "never" if delay is None and not ends else delay
    if isinstance(event.reason, ClosedByClient):
        say_closed(log, at, delay, ends=ends)
    elif retry == "never" and is_hopeless(event.reason):
        log.given_up(at, event.reason)
    elif (
        log.lost(at, event.reason, retry, lost_topics(socket))
        if type(event) is ChannelClosed
        else log.connect_failed(at, event.reason, retry)
    ) and retry == "never":
        log.stays(at, "handle_disconnect asked for no other attempt")


def say_closed(log: OwnerLog, at: Place, delay: float | None, *, ends: bool) -> None:
    """The client has closed the connection itself."""
    if delay is not None:
        log.closed(at)
    elif not ends:
        log.stays(at, "disconnect was called")


def say_topic(log: OwnerLog, socket: SocketState, event: Any, *, ends: bool) -> None:
    """A join has failed, or its channel has crashed."""
    say = log.join_failed if type(event) is TopicJoinFailed else log.crashed
    say(event.topic, event.reason, next_join(socket.joins.get(event.topic), ends=ends))


def next_join(join: Join | None, *, ends: bool) -> Retry:
    """Return when a topic is joined again."""
    if join is not None:
        if join.status == "requested":
            return 0.0
        if join.rejoin_in is not None:
            return join.rejoin_in
        if join.status == "joined" or join._details.lost:  # A callback that awaits may do that.
            return None
    return None if ends else "never"


def lost_topics(socket: SocketState) -> list[str]:
    """Return the topics that were lost with the connection."""
    return [t for t, join in socket.joins.items() if isinstance(join.reason, Disconnected)]


def is_hopeless(reason: Any) -> bool:
    """Whether another attempt would fail likewise."""
    return isinstance(reason, ConnectFailed) and not reason.retryable
