"""Names of actors, as Erlang registers them: where a reference is taken, so is a name.

A name remembers what its last holder has ended for, until somebody takes it.
"""

from __future__ import annotations

import copy
import itertools
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, TypeAlias

import pykka
from pykka import ActorRef

from slipstream_actor.actors.forks import (
    ended_error,
    ended_for,
    reason_of_end,
    renew_lock_in_child,
    require_here,
)
from slipstream_actor.actors.here import park_if_exiting
from slipstream_actor.configuration.arguments import kind_given
from slipstream_actor.errors import AlreadyStartedError, ClientEndedError, near, shown, shown_reason

__all__ = ["Target", "name_of", "register", "resolve", "unregister", "whereis"]

# A handle, an ActorRef, an ActorProxy, a ThreadRef, an actor itself, or a registered name.
Target: TypeAlias = Any

# So many names of actors that have ended are remembered, and so many are compared with a wrong one.
MOST_ENDED, MOST_COMPARED = 1_000, 1_000

# What a single step of the dict does needs no lock, in whatever thread or signal handler.
_names: dict[Hashable, ActorRef[Any]] = {}
# How the last holder of a name is called, and what it has ended for; the longest ago first.
_ended: OrderedDict[Hashable, tuple[str, Any]] = OrderedDict()
# Reentrant: garbage may be collected, or a signal handled, while it is held.
_names_lock = threading.RLock()
# The names stay: in a child they are those of dead actors.
renew_lock_in_child(sys.modules[__name__], "_names_lock")


def register(name: Hashable, ref: ActorRef[Any]) -> None:
    """Give `ref` a name. Raises `AlreadyStartedError` when a living actor has it, and `TypeError`
    for what can be none."""
    try:
        hash(name)
    except TypeError:
        raise TypeError(f"name must be hashable, as a text is, not {kind_given(name)}") from None
    while (holder := _names.setdefault(name, ref)) is not ref:
        if holder.is_alive():
            raise AlreadyStartedError(name, holder)
        unregister(name, holder, reason_of_end(getattr(holder, "actor_inbox", None)))
    with _names_lock:  # As all that changes its order.
        _ended.pop(name, None)


def unregister(name: Hashable, ref: ActorRef[Any], reason: Any = None) -> None:
    """Take the name from `ref`, if it still has it; remember the `reason` that it has ended for."""
    with _names_lock:
        remembered = str(ref), kept(reason)
        # No call stands between the question and the deed: a signal would be handled behind one.
        if name in _names and _names[name] is ref:
            del _names[name]
            if reason is not None:
                remember(name, remembered)


def remember(name: Hashable, remembered: tuple[str, Any]) -> None:
    """Note what the last holder of a name has ended for; the oldest of many is forgotten."""
    _ended.pop(name, None)
    _ended[name] = remembered
    if len(_ended) > MOST_ENDED:
        _ended.popitem(last=False)


def kept(reason: Any) -> Any:
    """Return a reason without what its traceback keeps alive: the client, and what ran in it."""
    if not isinstance(reason, BaseException):
        return reason
    try:
        return copy.copy(reason)
    except Exception:  # Its constructor takes other arguments.
        return shown_reason(reason)


def whereis(name: Hashable) -> ActorRef[Any] | None:
    """Return the living actor that was started with `name=name`, or `None`.

    Raises `TypeError` for what cannot be a name.
    """
    try:
        ref = _names.get(name)
    except TypeError:
        raise wrong_target_error(name) from None
    return ref if ref is not None and ref.is_alive() else None


def name_of(ref: ActorRef[Any]) -> Hashable | None:
    """Return the name that `ref` was started with, while it lives; `None` without one."""
    return next((name for name, holder in list(_names.items()) if holder is ref), None)


def resolve(target: Target) -> Any:
    """Return the reference that `target` is, or that it names.

    Raises `ClientEndedError` if there is none, `ForkedError` if it was the parent's, and
    `TypeError` for what is neither a reference nor a name.
    """
    if isinstance(target, pykka.ActorProxy):
        return target.actor_ref
    if hasattr(target, "tell") and hasattr(target, "is_alive"):
        return target
    if hasattr(target, "_take_request"):  # A handle, which starts its client when it is used.
        return target.ref
    # A name is mostly a text; the other question takes longer.
    if type(target) is not str and isinstance(target, pykka.Actor):
        return target.actor_ref
    ref = whereis(target)
    if ref is None:
        require_here(_names.get(target))
        park_if_exiting()
        if isinstance(target, pykka.Future):  # Anything else may be a name that nobody has yet.
            raise wrong_target_error(target)
        raise nobody_error(target)
    return ref


def wrong_target_error(target: Any) -> TypeError:
    """Return the error for who is given in the place of a client, and what is taken there."""
    text = (
        f"a {type(target).__name__} is no client: give its ref, as start returns it, a proxy, a"
        " ClientHandle, or the name that it was started with"
    )
    if hasattr(target, "socket_pid"):
        text += "; the ref of a socket's client is socket.socket_pid"
    return TypeError(text)


def nobody_error(name: Hashable) -> ClientEndedError:
    """Return the error for a name that no living actor has: what became of its last holder, or
    which names are like it."""
    holder = _names.get(name)
    if holder is not None:
        return ended_error(f"{holder} is not there", holder.actor_inbox)
    if (remembered := _ended.get(name)) is not None:
        label, reason = remembered
        return ended_for(reason, f"{label} is not there")
    text = f"no client has the name {shown(name)}"
    if isinstance(name, type) and issubclass(name, pykka.Actor):
        text += f": {name.__name__}.start(…) returns the ref to give"
    if isinstance(name, str):
        some = itertools.islice((n for n in list(_names) if isinstance(n, str)), MOST_COMPARED)
        alike = near(name[:200], some, 3)
        if alike:
            text += f"; is it to be {' or '.join(map(shown, alike))}?"
    return ClientEndedError("noproc", text)
