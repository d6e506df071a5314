"""`report`: all that runs in this process, as plain data that JSON can have."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pykka

from slipstream_actor.actors.actor import BaseActor
from slipstream_actor.actors.exit import living_connections, owner_of
from slipstream_actor.actors.forks import current_epoch, gone_error, require_here
from slipstream_actor.actors.names import Target, name_of, resolve
from slipstream_actor.client.client import ClientActor
from slipstream_actor.connection.connection import Connection
from slipstream_actor.debug.clients import client_part
from slipstream_actor.debug.connections import connection_part
from slipstream_actor.debug.plain import (
    Plain,
    class_name,
    label,
    list_of,
    mailbox_of,
    name_of_actor,
    plain_reason,
)
from slipstream_actor.debug.version import installed_version
from slipstream_actor.supervision.handle import living_handles
from slipstream_actor.supervision.supervisor import Supervisor
from slipstream_actor.telemetry.redaction import name

__all__ = ["clients", "get_status", "report"]


def report(*, stacks: bool = False) -> dict[str, Any]:
    """Return every client, connection and supervisor of this process, as data that JSON can have.

    Asks nobody and waits for no callback, so that it also shows a client that hangs; `stacks` adds
    the calls that run in each callback. Times are in seconds, `time` and those of a client's
    history are `time.time()`; `command` is the program's name, without arguments. Of what is many
    (topics, refs) the first 100 are shown, and their count. No token, header's value, param, query
    or payload is in it.

    `clients`: see `get_status`. `connections`: all of them, those of plain threads too.
    `supervisors`: with their children. `handles`: those of `ClientHandle`, used or not.
    """
    epoch, now = current_epoch(), time.monotonic()
    refs = pykka.ActorRegistry.get_by_class(BaseActor)
    supervisors = [ref for ref in refs if issubclass(ref.actor_class, Supervisor)]
    looked_at = ((ref, connection_part(ref, owner, now)) for ref, owner in living_connections())
    connections = {ref: part for ref, part in looked_at if part is not None}
    return {
        "version": installed_version(),
        "python": sys.version.partition(" ")[0],
        "pid": os.getpid(),
        "command": command(),
        "forks": epoch,
        "time": time.time(),
        "clients": [client_part(ref, connections, now, stacks=stacks) for ref in clients()],
        "connections": list(connections.values()),
        "supervisors": [supervisor_part(ref, now) for ref in supervisors],
        "handles": [handle_part(handle) for handle in living_handles()],
    }


def command() -> str:
    """Return which program this is, and none of its arguments: they may hold tokens."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return name(f"-m {spec.name.removesuffix('.__main__')}")
    return name(os.path.basename(sys.argv[0]) if sys.argv else "")


def clients() -> list[Any]:
    """Return the refs of the clients that are alive in this process."""
    current_epoch()
    return pykka.ActorRegistry.get_by_class(ClientActor)


def get_status(target: Target, *, stacks: bool = False) -> dict[str, Any]:
    """Return how a client stands, as its part of a `report`: plain data, which asks nobody.

    Its configuration without secrets, `status`, topics with reasons, the callback that runs and
    since when, its mailbox, what is in flight, its `connection`, and how its connections came and
    went. Of a connection or a supervisor, its own part. Never waits for a callback. Raises
    `ClientEndedError`, and `TypeError` for what is none of these.
    """
    ref, now = resolve(target), time.monotonic()
    kind = getattr(ref, "actor_class", object)
    if not issubclass(kind, (ClientActor, Connection, Supervisor)):
        raise TypeError(f"{ref} is no client, connection or supervisor")
    require_here(ref)
    if not ref.is_alive():
        raise gone_error(f"the status of {ref}", ref.actor_inbox)
    if issubclass(kind, ClientActor):
        return client_part(ref, {}, now, stacks=stacks)
    if issubclass(kind, Supervisor):
        return supervisor_part(ref, now)
    return connection_part(ref, owner_of(ref), now) or {}


def supervisor_part(ref: Any, now: float) -> Plain:
    """Return a supervisor's options, how often it has restarted, and its children."""
    actor = ref._actor_weakref()
    options = None if actor is None else actor._options
    return {
        "id": ref.actor_urn,
        "label": label(ref),
        "name": name_of_actor(name_of(ref)),
        "class": class_name(ref.actor_class),
        "strategy": None if options is None else options.strategy,
        "max_restarts": None if options is None else options.max_restarts,
        "max_seconds": None if options is None else options.max_seconds,
        "restarts": 0 if actor is None else actor._intensity.within(now),
        "mailbox": mailbox_of(ref.actor_inbox),
        "children": []
        if actor is None
        else [child_part(child) for child in list_of(lambda: actor._children)],
    }


def child_part(child: Any) -> Plain:
    """Return a child as its supervisor knows it; `client` is the id of the one that runs."""
    spec, ref = child.spec, child.ref
    id = spec.id.__qualname__ if isinstance(spec.id, type) else name_of_actor(spec.id)
    return {
        "id": id,
        "class": class_name(spec.client_class),
        "restart": spec.restart,
        "client": None if ref is None else ref.actor_urn,
        "restarts": max(0, child.starts - 1),
        "restarting": child.restarting,
    }


def handle_part(handle: Any) -> Plain:
    """Return how a handle's client came to be what it is."""
    life = handle._current()
    ref, due = life.ref, life.due
    # Not `handle.client_class`: one of the settings reads them for that, and imports the class.
    kind = ref.actor_class if ref is not None else vars(handle).get("client_class")
    return {
        "class": None if kind is None else class_name(kind),
        "name": name_of_actor(handle.name),
        "state": life.state,
        "client": None if ref is None else ref.actor_urn,
        "restarts": life.restarts,
        "restart_in": None if due is None else max(0.0, due - time.monotonic()),
        "last_end": plain_reason(life.reason),
        "requests": len(life.waiting),
    }
