"""What is current where a message is sent becomes current where it is handled.

A trace, for one: context variables do not cross into an actor's thread by themselves. Without a
carrier, which an instrumentation installs, nothing is carried and nothing is paid for it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from pykka._envelope import Envelope

__all__ = ["Carrier", "capture", "install", "installed", "resumed", "stamped"]


class Carrier(Protocol):
    """How to take along what is current. It raises nothing."""

    def capture(self) -> Any:
        """Return what is current in the calling thread."""

    def resume(self, captured: Any) -> AbstractContextManager[object]:
        """Make `captured` current in the calling thread, for a while."""


class CarryingEnvelope(Envelope[Any]):
    """An envelope with what was current where its message was sent."""

    __slots__ = ("carried",)

    def __init__(self, envelope: Envelope[Any], carried: Any) -> None:
        super().__init__(envelope.message, envelope.reply_to)
        self.carried: Any = carried


# A list, since its truth is looked up faster than a function is called.
installed: list[Carrier] = []


def install(carrier: Carrier | None) -> None:
    """Carry by `carrier` from now on; `None` ends it."""
    installed[:] = [carrier] if carrier is not None else []


def capture() -> Any:
    """Return what is current here, `None` without a carrier."""
    for carrier in installed:
        return carrier.capture()
    return None


def stamped(envelope: Envelope[Any]) -> Envelope[Any]:
    """Return an envelope that carries what is current here."""
    for carrier in installed:
        return CarryingEnvelope(envelope, carrier.capture())
    return envelope


class Nothing:
    """What there is to resume when nothing was carried."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


NOTHING = Nothing()


def resumed(captured: Any) -> AbstractContextManager[object]:
    """Make what was captured, or what an envelope carries, current here for a while."""
    if isinstance(captured, Envelope):
        captured = getattr(captured, "carried", None)
    for carrier in installed:
        return carrier.resume(captured) if captured is not None else NOTHING
    return NOTHING
