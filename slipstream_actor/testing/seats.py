"""The clients that one test is the server of, each in its seat, and how a test names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pykka
from pykka import ActorDeadError

from slipstream_actor.process import resolve
from slipstream_actor.socket import Socket
from slipstream_actor.testing.requests import Request
from slipstream_actor.testing.seat import Seat

__all__ = ["Seats", "living"]


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
        seat = Seat(ref, self._label(client, ref), record)
        void = [s for s in self._seats if s.client is ref or is_replaced(s, client)]
        self._seats = [*(s for s in self._seats if s not in void), seat]
        return seat, void

    def of(self, client: Any) -> list[Seat]:
        """Return a client's seat, also a dead one's by its name, or with `None` all of them."""
        if client is None:
            return self._seats[:]
        try:
            ref = reference(client)
        except ActorDeadError:
            return [seat for seat in self._seats if seat.label == str(client)]
        return [seat for seat in self._seats if seat.client is ref]

    def clear(self) -> list[Seat]:
        """Take all seats out."""
        seats, self._seats = self._seats, []
        return seats

    def _label(self, client: Any, ref: Any) -> str:
        """Return what messages call a client: its name, or its class, with a number if need be."""
        if is_name(client):
            return str(client)
        kind = getattr(ref, "actor_class", None)
        label = first = kind.__name__ if kind is not None else repr(ref)
        taken = {seat.label for seat in self._seats if seat.client is not ref}
        number = 1
        while label in taken:
            number += 1
            label = f"{first} {number}"
        return label


def reference(client: Any) -> Any:
    """Return the reference of a client; `ActorDeadError` for a name that nobody has."""
    return client.socket_pid if isinstance(client, Socket) else resolve(client)


def living(client: Any) -> Any:
    """Return the reference of a living client; raise `ActorDeadError` for any other."""
    ref = reference(client)
    if not ref.is_alive():
        raise ActorDeadError(f"{ref} is not alive")
    return ref


def is_name(client: Any) -> bool:
    """Whether a client is given by its name."""
    return not isinstance(client, Socket | pykka.ActorProxy) and not hasattr(client, "tell")


def is_replaced(seat: Seat, client: Any) -> bool:
    """Whether the client of a seat has ended, and its name is given now for another."""
    return is_name(client) and seat.label == str(client) and not seat.client.is_alive()
