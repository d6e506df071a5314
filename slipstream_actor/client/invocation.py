"""A method of a client's own that somebody invokes."""

from __future__ import annotations

from contextvars import Context
from typing import Any

from pykka.messages import ProxyCall

from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.future import Future
from slipstream_actor.configuration.arguments import kind_given
from slipstream_actor.errors import CancelledError

__all__ = ["Invocation", "InvocationFuture", "method_name"]


class InvocationFuture(Future[Any]):
    """The future of an invocation: until that begins it can be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self._claims: dict[str, str] = {}

    def begin(self) -> bool:
        """Whether it is still wanted; from now on it cannot be cancelled."""
        return self._claims.setdefault("first", "begun") == "begun"

    def cancel(self) -> bool:
        """Complete with `CancelledError`, unless it has begun; return whether it was cancelled."""
        if self.done or self._claims.setdefault("first", "cancelled") != "cancelled":
            return False
        return self.fail(CancelledError(f"{self.question} was cancelled"))


def method_name(method: Any) -> str:
    """Return the name of a method that `invoke` is given. Raises `TypeError` for what is none."""
    name = getattr(method, "__name__", None)
    if not callable(method) or not isinstance(name, str):
        raise TypeError(f"invoke takes a method of the client's class, not {kind_given(method)}")
    if name.startswith("_"):
        raise TypeError(f"invoke: {name} is private; proxies do not have it either")
    return name


class Invocation(Request):
    """Have a client run one of its methods: a `ProxyCall`, in the context of whoever invokes it."""

    __slots__ = ("context",)

    message: ProxyCall
    future: InvocationFuture

    def __init__(self, message: ProxyCall, future: InvocationFuture, context: Context) -> None:
        super().__init__(message, future)
        self.context: Context = context
