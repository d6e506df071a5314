"""What a client in test mode has asked of its server: a join, a leave, a push, a disconnect.

They show what the test itself put in, params and payloads too, unlike the commands that they were.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from slipstream_actor.protocol.message import Ref

__all__ = ["DisconnectRequest", "JoinRequest", "LeaveRequest", "PushRequest", "Request"]


class JoinRequest(msgspec.Struct, frozen=True, eq=False):
    """`client`, a reference, asks to join `topic`; `params` are as the server sees them."""

    client: Any
    topic: str
    params: Any
    join_ref: str | None

    def __str__(self) -> str:
        return f"join {self.topic!r} {self.params!r}"


class LeaveRequest(msgspec.Struct, frozen=True, eq=False):
    """`client` asks to leave the join of `topic` that `join_ref` names."""

    client: Any
    topic: str
    join_ref: str | None

    def __str__(self) -> str:
        return f"leave {self.topic!r}"


class PushRequest(msgspec.Struct, frozen=True, eq=False):
    """`client` pushes `event`; `payload` is as the server sees it, `ref` is what `reply` takes."""

    client: Any
    topic: str
    event: str
    payload: Any
    ref: Ref

    def __str__(self) -> str:
        return f"push {self.topic!r} {self.event!r} {self.payload!r}"


class DisconnectRequest(msgspec.Struct, frozen=True, eq=False):
    """`client` closes its connection, because it is asked to or because it ends."""

    client: Any

    def __str__(self) -> str:
        return "disconnect"


Request: TypeAlias = JoinRequest | LeaveRequest | PushRequest | DisconnectRequest
