"""Clients that a test has left running."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pykka
from pykka import ActorDeadError

from slipstream_actor.actors.actor import BaseActor
from slipstream_actor.connection.connection import Connection
from slipstream_actor.testing.kit.clients import title

__all__ = ["living_clients", "no_leaked_clients", "stop"]

__unittest = True

STOP_SECONDS = 5.0
NAP_SECONDS = 0.005


@contextlib.contextmanager
def no_leaked_clients(*, patience: float = 5.0) -> Iterator[None]:
    """Fail for every client, supervisor and connection that the block leaves alive, and stop it.

    What has been asked to end is given `patience` seconds for it. Raises `AssertionError`, which
    names them, and those apart that did not stop; when the block raises, they are stopped all the
    same.
    """
    before = living_actors()
    try:
        yield
    except BaseException:
        stop_all(left_since(before))
        raise
    left = left_after(before, patience)
    names = {ref: title(ref) for ref in left}
    stuck = stop_all(left)
    if left:
        stopped = [ref for ref in left if ref not in stuck]
        lines = listed("left alive, and stopped now:", [names[ref] for ref in stopped])
        header = f"left alive, and did not stop in {STOP_SECONDS} s:"
        lines += listed(header, [names[ref] for ref in stuck])
        raise AssertionError("\n".join(lines))


def living_actors() -> list[Any]:
    """Return the actors of ours that run; the connections of clients stand behind their clients."""
    return list(pykka.ActorRegistry.get_by_class(BaseActor))


def living_clients() -> list[Any]:
    """Return the clients and supervisors that run."""
    return [ref for ref in living_actors() if not issubclass(ref.actor_class, Connection)]


def left_since(before: list[Any]) -> list[Any]:
    """Return those that run, and did not before."""
    return [ref for ref in living_actors() if ref not in before and ref.is_alive()]


def left_after(before: list[Any], patience: float) -> list[Any]:
    """Return those that are left when all have ended that are about to."""
    deadline = time.monotonic() + patience
    nap = threading.Event()
    while left := left_since(before):
        if not any(map(is_ending, left)) or time.monotonic() >= deadline:
            return left
        nap.wait(NAP_SECONDS)
    return []


def is_ending(ref: Any) -> bool:
    """Whether an actor has been asked to end."""
    inbox = ref.actor_inbox
    return bool(inbox.stopping or inbox.ending or inbox.close_requested)


def listed(header: str, names: list[str]) -> list[str]:
    """Return the lines of a list that is not empty."""
    return [header, *sorted(f"    {name}" for name in names)] if names else []


def stop_all(refs: list[Any]) -> list[Any]:
    """Stop supervisors, then clients, then connections; return those that do not stop."""
    ordered = sorted(refs, key=lambda ref: ref.actor_class.stop_order)
    return [ref for ref in ordered if not stop(ref, STOP_SECONDS)]


def stop(ref: pykka.ActorRef[Any], seconds: float) -> bool:
    """Stop an actor; return whether it has stopped within so many seconds."""
    try:
        ref.stop(timeout=seconds)
    except ActorDeadError:
        return True
    except pykka.Timeout:
        return False
    return True
