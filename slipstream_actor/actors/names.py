"""Names of actors, as Erlang registers them: where a reference is taken, so is a name."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, TypeAlias

import pykka
from pykka import ActorDeadError, ActorRef

from slipstream_actor.actors.forks import require_here, reset_in_child
from slipstream_actor.actors.here import park_if_exiting
from slipstream_actor.errors import AlreadyStartedError

__all__ = ["Target", "name_of", "register", "resolve", "unregister", "whereis"]

Target: TypeAlias = Any  # An ActorRef, an ActorProxy, a ThreadRef, or a registered name.

# What a single step of the dict does needs no lock, in whatever thread or signal handler.
_names: dict[Hashable, ActorRef[Any]] = {}
# Reentrant: garbage may be collected, or a signal handled, while it is held.
_names_lock = threading.RLock()


def register(name: Hashable, ref: ActorRef[Any]) -> None:
    """Give `ref` a name. Raises `AlreadyStartedError` when a living actor has it."""
    while (holder := _names.setdefault(name, ref)) is not ref:
        if holder.is_alive():
            raise AlreadyStartedError(name, holder)
        unregister(name, holder)


def unregister(name: Hashable, ref: ActorRef[Any]) -> None:
    """Take the name from `ref`, if it still has it."""
    with _names_lock:
        # No call stands between the question and the deed: a signal would be handled behind one.
        if name in _names and _names[name] is ref:
            del _names[name]


def whereis(name: Hashable) -> ActorRef[Any] | None:
    """Return the living actor that was started with `name=name`, or `None`."""
    ref = _names.get(name)
    return ref if ref is not None and ref.is_alive() else None


def name_of(ref: ActorRef[Any]) -> Hashable | None:
    """Return the name that `ref` was started with, while it lives; `None` without one."""
    return next((name for name, holder in list(_names.items()) if holder is ref), None)


def resolve(target: Target) -> Any:
    """Return the reference that `target` is, or that it names.

    Raises `ActorDeadError` if there is none, `ForkedError` if it was the parent's.
    """
    if isinstance(target, pykka.ActorProxy):
        return target.actor_ref
    if hasattr(target, "tell") and hasattr(target, "is_alive"):
        return target
    ref = whereis(target)
    if ref is None:
        require_here(_names.get(target))
        park_if_exiting()
        raise ActorDeadError(f"no actor has the name {target!r}")
    return ref


def _reset_in_child() -> None:
    """Forget a lock that nobody may be there to release.

    The names stay: they are those of dead actors.
    """
    global _names_lock  # noqa: PLW0603 - nothing else could free it
    _names_lock = threading.RLock()


reset_in_child(_reset_in_child)
