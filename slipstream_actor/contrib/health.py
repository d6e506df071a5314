"""What a health view answers: how the clients of this process stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from slipstream_actor.errors import one_line
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.supervision.status import HandleStatus

__all__ = ["Health", "Summary", "begin", "health", "is_ready", "is_well", "words"]


class Summary(TypedDict):
    """What a health view shows of a client, without what is not for everybody."""

    state: str
    connected: bool
    topics: dict[str, str]
    restarts: int


class Health(TypedDict):
    """What a health view answers."""

    healthy: bool
    clients: dict[str, Summary]


def is_ready(status: HandleStatus) -> bool:
    """Whether the client runs, is connected, and has joined all that it wants."""
    return status["connected"] and all(now == "joined" for now in status["topics"].values())


def is_well(status: HandleStatus) -> bool:
    """Whether nothing is wrong: it is ready, or nobody has used it in this process yet."""
    return status["state"] == "not started" or is_ready(status)


def summary(status: HandleStatus) -> Summary:
    """Return what is for everybody."""
    return {
        "state": status["state"],
        "connected": status["connected"],
        "topics": status["topics"],
        "restarts": status["restarts"],
    }


def health(handles: Mapping[str, ClientHandle[Any]], *, start: bool = False) -> Health:
    """Return how the clients stand; with `start` those that nobody has used yet are started.

    Waits for no connection. Healthy are clients that are ready, and without `start` those that
    nobody has used in this process yet.
    """
    if start:
        for handle in handles.values():
            begin(handle)
    found = {name: handle.status() for name, handle in handles.items()}
    healthy = all(is_ready(status) if start else is_well(status) for status in found.values())
    return {"healthy": healthy, "clients": {name: summary(now) for name, now in found.items()}}


def begin(handle: ClientHandle[Any]) -> Exception | None:
    """Start a handle's client, if nobody has used it; return what it could not be started for."""
    if handle.status()["state"] == "not started":
        try:
            _ = handle.ref
        except Exception as error:  # Whatever its `init` raises.
            return error
    return None


def words(status: HandleStatus) -> str:
    """Return how a client stands, in words, for a terminal."""
    if not status["connected"]:
        text = f"not connected, {status['state']}"
        why = status["last_failure"] or status["last_end"]
        return f"{text}: {why}" if why else text
    topics = [f"{one_line(topic)} {now}" for topic, now in status["topics"].items()]
    return ", ".join(["connected", *topics])
