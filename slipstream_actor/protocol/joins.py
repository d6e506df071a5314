"""The states of one join, the table of its transitions, and what waits for an answer."""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "ENDED",
    "JOINED",
    "JOINING",
    "JOIN_TRANSITIONS",
    "LEAVING",
    "REPLACED",
    "Channel",
    "Input",
    "JoinState",
    "Outcome",
    "Waiting",
]


class JoinState(enum.Enum):
    """Where one join stands."""

    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    REPLACED = "replaced"  # by another join of its topic; the server's phx_close is to come
    ENDED = "ended"


Input: TypeAlias = Literal[
    "ok", "refused", "timeout", "leave", "left", "replace", "overtaken", "error", "close"
]
Outcome: TypeAlias = Literal["succeeded", "failed", "crashed", "left"]
JOINING, JOINED, LEAVING, REPLACED, ENDED = JoinState

# state and input → next state and what the owner is told; what is not here changes nothing.
JOIN_TRANSITIONS: dict[tuple[JoinState, Input], tuple[JoinState, Outcome | None]] = {
    (JOINING, "ok"): (JOINED, "succeeded"),
    (JOINING, "refused"): (ENDED, "failed"),
    (JOINING, "timeout"): (ENDED, "failed"),
    (JOINING, "leave"): (LEAVING, None),
    (JOINING, "replace"): (REPLACED, None),
    (JOINING, "error"): (ENDED, "crashed"),
    (JOINING, "close"): (ENDED, "left"),
    (JOINED, "leave"): (LEAVING, None),
    (JOINED, "replace"): (REPLACED, None),
    (JOINED, "error"): (ENDED, "crashed"),
    (JOINED, "close"): (ENDED, "left"),
    (LEAVING, "refused"): (ENDED, "left"),
    (LEAVING, "left"): (ENDED, "left"),
    (LEAVING, "error"): (ENDED, "left"),
    (LEAVING, "close"): (ENDED, "left"),
    (LEAVING, "overtaken"): (REPLACED, "left"),
    (REPLACED, "refused"): (ENDED, None),
    (REPLACED, "error"): (ENDED, None),
    (REPLACED, "close"): (ENDED, None),
}


class Channel(msgspec.Struct, eq=False):
    """One join of a topic, from its request to its end; `pushes` are its awaited refs, and since
    when each is awaited."""

    topic: str
    join_ref: str
    state: JoinState = JOINING
    leave_ref: str | None = None
    # Those of the topic that were left before it, and whose end has not been told.
    left_before: tuple[Channel, ...] = ()
    # The one that it has replaced.
    follows: Channel | None = None
    pushes: dict[str, float] = msgspec.field(default_factory=dict)


class Waiting(msgspec.Struct, frozen=True):
    """A ref that something waits for: an entry of the ledger. `since`: of a join or a leave; since
    when a push waits its channel knows."""

    kind: Literal["join", "leave", "push"]
    event: str
    channel: Channel
    since: float | None = None
