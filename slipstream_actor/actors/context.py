"""What is current where a message is sent becomes current where it is handled.

A trace, for one: context variables do not cross into an actor's thread by themselves. Without a
propagator, which an instrumentation installs, nothing is carried and nothing is paid for it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from pykka._envelope import Envelope

__all__ = ["ContextPropagator", "capture", "install", "installed", "resumed", "with_context"]


class ContextPropagator(Protocol):
    """How to take along what is current. It raises nothing."""

    def capture(self) -> Any:
        """Return what is current in the calling thread."""

    def resume(self, captured: Any) -> AbstractContextManager[object]:
        """Make `captured` current in the calling thread, for a while."""


class ContextEnvelope(Envelope[Any]):
    """An envelope with what was current where its message was sent."""

    __slots__ = ("context",)

    def __init__(self, envelope: Envelope[Any], context: Any) -> None:
        super().__init__(envelope.message, envelope.reply_to)
        self.context: Any = context


# A list, since its truth is looked up faster than a function is called.
installed: list[ContextPropagator] = []


def install(propagator: ContextPropagator | None) -> None:
    """Carry by `propagator` from now on; `None` ends it."""
    installed[:] = [propagator] if propagator is not None else []


def capture() -> Any:
    """Return what is current here, `None` without a propagator."""
    for propagator in installed:
        return propagator.capture()
    return None


def with_context(envelope: Envelope[Any]) -> Envelope[Any]:
    """Return an envelope that carries what is current here."""
    for propagator in installed:
        return ContextEnvelope(envelope, propagator.capture())
    return envelope


# What there is to resume when nothing was carried.
NOTHING = nullcontext()


def resumed(captured: Any) -> AbstractContextManager[object]:
    """Make what was captured, or what an envelope carries, current here for a while."""
    if isinstance(captured, Envelope):
        captured = getattr(captured, "context", None)
    for propagator in installed:
        return propagator.resume(captured) if captured is not None else NOTHING
    return NOTHING
