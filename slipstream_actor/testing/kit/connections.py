"""The clients that one test is the server of, each in its seat, and how a test names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykka import ActorDeadError

from slipstream_actor.actors.process import name_of, resolve
from slipstream_actor.socket.socket import Socket
from slipstream_actor.testing.kit.requests import Request
from slipstream_actor.testing.kit.seat import Seat

__all__ = ["Seats", "living", "title"]


class Seats:
    """The seats of one test, in the order in which they were taken."""

    def __init__(self) -> None:
        self._seats: list[Seat] = []

    def __bool__(self) -> bool:
        return bool(self._seats)

    def add(self, client: Any, record: Callable[[Seat, Request], None]) -> tuple[Seat, list[Seat]]:
        """Seat a living client; return its seat, and those that are void by now.

        Void are its own former one, and that of a dead client whose name it has.
        """
        ref = living(client)
        name = name_of(ref)
        void = [s for s in self._seats if s.client is ref or (name is not None and s.name == name)]
        self._seats = [seat for seat in self._seats if seat not in void]
        for former in void:
            former.withdraw()
        seat = Seat(ref, name, self._label(name, ref), record)
        self._seats.append(seat)
        return seat, void

    def of(self, client: Any) -> list[Seat]:
        """Return a client's seat, also a dead one's by its name, or with `None` all of them."""
        if client is None:
            return self._seats[:]
        try:
            ref = reference(client)
        except ActorDeadError:
            return [seat for seat in self._seats if seat.name == client]
        return [seat for seat in self._seats if seat.client is ref]

    def one(self, client: Any) -> Seat | None:
        """Return a client's seat, `None` when it has none."""
        return next(iter(self.of(client)), None)

    def clear(self) -> list[Seat]:
        """Take all seats out."""
        seats, self._seats = self._seats, []
        for seat in seats:
            seat.withdraw()
        return seats

    def _label(self, name: Any, ref: Any) -> str:
        """Return what messages call a client: its name, or its class, with a number if need be."""
        if name is not None:
            return str(name)
        kind = getattr(ref, "actor_class", None)
        label = first = kind.__name__ if kind is not None else repr(ref)
        taken = {seat.label for seat in self._seats}
        number = 1
        while label in taken:
            number += 1
            label = f"{first} {number}"
        return label


def reference(client: Any) -> Any:
    """Return the reference of a client; `ActorDeadError` for a name that nobody has."""
    return client.socket_pid if isinstance(client, Socket) else resolve(client)


def title(ref: Any) -> str:
    """Return what a failure calls a client: its class, its name if it has one, and its URN."""
    name = name_of(ref)
    if name is None:
        return str(ref)
    return f"{ref.actor_class.__name__} {name!r} ({ref.actor_urn})"


def living(client: Any) -> Any:
    """Return the reference of a living client; raise `ActorDeadError` for any other.

    One that runs `terminate` may still await: Pykka has it for dead, a test has not.
    """
    ref = reference(client)
    inbox = ref.actor_inbox
    if not ref.is_alive() and (inbox.ended.done or not inbox.ending):
        raise ActorDeadError(f"{ref} is not alive")
    return ref
