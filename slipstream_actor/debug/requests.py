"""What may be asked over a local socket: a line of JSON each, and what is answered.

`report`, `events`, `messages` and `trace` change nothing. All else is control, which has to be
allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from slipstream_actor.actors.names import name_of
from slipstream_actor.debug.control import replace_state, resume, suspend
from slipstream_actor.debug.happenings import happenings
from slipstream_actor.debug.plain import label, name_of_actor
from slipstream_actor.debug.recent import recent_messages
from slipstream_actor.debug.report import clients, report
from slipstream_actor.socket.socket import Socket

__all__ = ["Refused", "answer", "client_called", "parsed"]


class Refused(Exception):
    """A request that is not answered; its text goes to whoever asked."""


LOOKING: dict[str, Callable[[dict[str, Any]], Any]] = {
    "report": lambda request: report(stacks=request.get("stacks") is True),
    "events": lambda _: happenings(),
    "messages": lambda request: recent_messages(
        client_called(request.get("client")), payloads=request.get("payloads") is True
    ),
}
CONTROL: dict[str, Callable[[Any], object]] = {
    "disconnect": lambda ref: replace_state(ref, Socket.disconnect),
    "reconnect": lambda ref: replace_state(ref, lambda socket: socket.reconnect(delay=0)),
    "resume": resume,
    "suspend": suspend,
}


def parsed(line: bytes) -> dict[str, Any]:
    """Return the request that a line is. Raises `Refused`."""
    try:
        request = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("request"), str):
        raise Refused('a request is a line of JSON: {"request": "report"}')
    return request


def answer(request: dict[str, Any], *, allow_control: bool) -> Any:
    """Return the answer to a request other than `trace`. Raises `Refused`, and what control
    raises."""
    what = request["request"]
    look = LOOKING.get(what)
    if look is not None:
        return look(request)
    control = CONTROL.get(what)
    if control is None:
        known = ", ".join((*LOOKING, "trace", *CONTROL))
        raise Refused(f"there is no such request; there are {known}")
    if not allow_control:
        raise Refused(f"{what} is not allowed here: serve(path, allow_control=True) allows it")
    control(client_called(request.get("client")))
    return None


def client_called(known_as: Any) -> Any:
    """Return the ref of the client with this id, label or name, as they are or as a report shows
    them. Raises `Refused`."""
    found = [ref for ref in clients() if isinstance(known_as, str) and known_as in names_of(ref)]
    if not found:
        raise Refused("there is no such client: name it by its id, its label or its name")
    if len(found) > 1:
        raise Refused("there are several such clients: name it by its id")
    return found[0]


def names_of(ref: Any) -> tuple[Any, ...]:
    """Return what a client may be named by: a report shows otherwise what is no plain text."""
    its_name, its_label = name_of(ref), str(getattr(ref, "label", ""))
    return ref.actor_urn, its_label, label(ref), its_name, name_of_actor(its_name)
