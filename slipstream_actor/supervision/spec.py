"""What a supervisor is told of its children, and what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from msgspec import UNSET, UnsetType
from pykka import ActorRef

from slipstream_actor.actors.actor import BaseActor
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.declaration import Restart
from slipstream_actor.errors import ConfigurationError

__all__ = ["Child", "ChildSpec", "is_seconds", "spec_of", "specs"]

Kind = Literal["worker", "supervisor"]
ClientClass: TypeAlias = type[Any]


class Child(NamedTuple):
    """One child of a supervisor, in `which_children`; `ref` is `None` while it does not run."""

    id: Hashable
    ref: ActorRef[Any] | None
    type: Kind
    client_class: ClientClass


class ChildSpec:
    """How a supervisor starts a child, restarts it and stops it.

    The child is started with `client_class.start(*args, name=name, **kwargs)`; `client_class` is a
    `ClientActor`, or `Supervisor` itself. `id` is its name in the supervisor, by default the
    class. `restart` is `"permanent"` (restarted whatever it ended for), `"transient"` (unless it
    ended normally) or `"temporary"` (never); by default what the class says. `shutdown` is how
    many seconds it has to end when it is stopped: 0 does not wait, `None` waits for ever, which is
    the default for a supervisor, whose children have their own times. Raises `ConfigurationError`.
    """

    __slots__ = ("args", "client_class", "id", "kwargs", "name", "restart", "shutdown")

    def __init__(
        self,
        client_class: ClientClass,
        *args: Any,
        id: Hashable | None = None,
        name: Hashable | None = None,
        restart: Restart | None = None,
        shutdown: float | UnsetType | None = UNSET,
        **kwargs: Any,
    ) -> None:
        if not is_supervisable(client_class):
            raise ConfigurationError("client_class", "must be a ClientActor class or Supervisor")
        if restart is not None and restart not in get_args(Restart):
            raise ConfigurationError(
                "restart", "must be 'permanent', 'transient' or 'temporary', or None: as the class"
            )
        if client_class.restart not in get_args(Restart):  # It may have been set since it was made.
            raise ConfigurationError(
                "restart",
                f"of {client_class.__name__} must be 'permanent', 'transient' or 'temporary'",
            )
        if shutdown is UNSET:
            shutdown = 5.0 if issubclass(client_class, ClientActor) else None
        if shutdown is not None and not is_seconds(shutdown):
            raise ConfigurationError("shutdown", "must be seconds, 0 or more, or None: for ever")
        self.client_class: ClientClass = client_class
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.id: Hashable = require_hashable("id", client_class if id is None else id)
        self.name: Hashable = require_hashable("name", name)
        self.restart: Restart = client_class.restart if restart is None else restart
        self.shutdown: float | None = shutdown

    def __repr__(self) -> str:
        # The arguments may be secrets.
        return f"<ChildSpec {self.id!r} of {self.client_class.__name__}>"

    def start(self) -> ActorRef[Any]:
        """Start the child, as `client_class.start` does, and return its ref."""
        kwargs = self.kwargs if self.name is None else {**self.kwargs, "name": self.name}
        ref = self.client_class.start(*self.args, **kwargs)
        if isinstance(ref, ActorRef) and isinstance(ref.actor_inbox, Inbox):
            return ref
        raise TypeError(f"{self.client_class.__name__}.start returned {type(ref).__name__}")


def specs(children: Iterable[Any]) -> tuple[ChildSpec, ...]:
    """Return the specifications of `children`, each with an id of its own."""
    if not isinstance(children, Iterable):
        raise ConfigurationError("children", "must be a list of ChildSpecs or ClientActor classes")
    found = tuple(spec_of(child) for child in children)
    ids: set[Hashable] = set()
    for spec in found:
        if spec.id in ids:
            raise ConfigurationError(
                "children", f"two have the id {spec.id!r}; tell them apart with ChildSpec(…, id=…)"
            )
        ids.add(spec.id)
    return found


def spec_of(child: Any) -> ChildSpec:
    """Return the specification that `child` is, or the default one of the class that it is."""
    if isinstance(child, ChildSpec):
        return child
    if is_supervisable(child):
        return ChildSpec(child)
    raise ConfigurationError(
        "children", f"must be ChildSpecs or ClientActor classes, not {type(child).__name__}"
    )


def is_supervisable(client_class: Any) -> bool:
    """Whether it is a class of actors that say when they are to be restarted."""
    return (
        isinstance(client_class, type)
        and issubclass(client_class, BaseActor)
        and hasattr(client_class, "restart")
    )


def is_seconds(value: Any) -> bool:
    """Whether it is a length of time; it may be infinite."""
    return type(value) in (int, float) and not math.isnan(value) and value >= 0


def require_hashable(option: str, value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError as error:
        raise ConfigurationError(option, f"must be hashable, not {type(value).__name__}") from error
    return value  # type: ignore[no-any-return]
