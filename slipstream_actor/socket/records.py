"""What a socket knows of one topic, and of its way to a connection."""

from __future__ import annotations

import time
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Timer
from slipstream_actor.protocol.message import no_fields

__all__ = [
    "ConnectionLink",
    "Join",
    "JoinDetails",
    "JoinStatus",
    "is_stale",
    "left_until",
    "with_details",
]

JoinStatus: TypeAlias = Literal["requested", "joined", "closed"]


class JoinDetails(msgspec.Struct, frozen=True):
    """What a join has besides, for the package alone; it makes no join differ from another.

    `lost`: it is to be joined again on the next connection. `rejoin`: the timer of a `rejoin`.
    `leaving`: the refs of the topic's joins that were left, and whose end has not been told.
    `since`: when it was joined, on the monotonic clock, and `attempts`: its count of rejoins until
    then. `timeout`: seconds for the server's answer.
    """

    lost: bool = False
    rejoin: Timer | None = None
    leaving: tuple[str, ...] = ()
    since: float | None = None
    attempts: int = 0
    timeout: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JoinDetails)

    def __hash__(self) -> int:
        return 0


NO_DETAILS = JoinDetails()


class Join(msgspec.Struct, frozen=True):
    """What the socket knows of one topic.

    `response` is the server's last answer to the join. `join_ref` is the ref of the join that the
    server knows of, `None` while it has not been asked, and when the join is over. `reason` is why
    it is `"closed"`: `LeftByClient`, `ClosedByServer`, `JoinRefused`, `JoinTimeout`,
    `ParamsFailed`, `ChannelCrashed` or `Disconnected`; `None` while it is not.
    """

    topic: str
    params: Any = msgspec.field(default_factory=dict)
    status: JoinStatus = "requested"
    rejoin_counter: int = 0
    response: Any = None
    join_ref: str | None = None
    reason: Any = None
    _details: JoinDetails = NO_DETAILS

    @property
    def rejoin_in(self) -> float | None:
        """Seconds until a `rejoin` that is scheduled, 0 or more; `None` when there is none."""
        timer = self._details.rejoin
        return None if timer is None or timer.cancelled else left_until(timer.due)

    def __repr__(self) -> str:
        # Params may hold tokens.
        return f"<Join {self.topic!r} status={self.status!r} join_ref={self.join_ref!r}>"

    __rich_repr__ = no_fields


def left_until(due: float) -> float:
    """Return the seconds until a time on the monotonic clock, 0 when it is over."""
    return max(0.0, due - time.monotonic())


def with_details(join: Join, **changes: Any) -> Join:
    """Return the join with other details."""
    return replace(join, _details=replace(join._details, **changes))


class ConnectionLink(msgspec.Struct, frozen=True, eq=False):
    """The socket's way to a connection: about to be, being, or having been made.

    `lease` is what a plain thread's sockets of one connection have in common, a
    `process.ConnectionLease`. `since` is when it connected, `opens_at` when it is to connect, on
    the monotonic clock; `attempts` is the count until then. `awaited`: an `await_connect` has taken
    its `ChannelConnected`, and no `handle_connect` follows.
    """

    status: Literal["scheduled", "connecting", "connected"]
    connection: Any = None
    timer: Timer | None = None
    lease: Any = None
    since: float | None = None
    attempts: int = 0
    opens_at: float | None = None
    awaited: bool = False

    @property
    def closing(self) -> bool:
        """Whether its end has been asked for."""
        try:
            return bool(self.connection.actor_inbox.close_requested)
        except AttributeError:  # What a test, or a person, has put in the place of one.
            return False

    @property
    def alive(self) -> bool:
        """Whether the connection lives, or there is none to live, as in test mode."""
        return self.connection is None or self.connection.is_alive()


def is_stale(join: Join, join_ref: str | None) -> bool:
    """Whether `join_ref` is that of another join than the socket's."""
    return join_ref is not None and join_ref != join.join_ref
