"""How an owner's connections came and went: the last of them, with the time and the reason."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from slipstream_actor.protocol.events import ChannelClosed, ChannelConnected, ChannelConnectFailed
from slipstream_actor.protocol.reason_texts import kind_of, named

__all__ = ["History", "Passage", "note", "take_back"]

MOST = 20
WHAT: dict[type, str] = {
    ChannelConnected: "connected",
    ChannelConnectFailed: "failed",
    ChannelClosed: "closed",
}


class Passage(NamedTuple):
    """A connection came, went, or did not come: `time` is `time.time()`."""

    time: float
    what: str
    reason: str | None = None
    text: str | None = None


class History(list[Passage]):
    """The last passages; `connections`: how many came in all.

    No deque, which takes 760 bytes, since most have one.
    """

    __slots__ = ("connections",)

    def __init__(self) -> None:
        super().__init__()
        self.connections: int = 0


def note(owner: Any, event: Any) -> None:
    """Remember what a connection's event says, and nothing that the event holds."""
    what, inbox = WHAT.get(type(event)), getattr(owner, "actor_inbox", None)
    if what is None or inbox is None:
        return
    history = inbox.history
    if history is None:
        history = inbox.history = History()
    history.connections += what == "connected"
    reason = getattr(event, "reason", None)
    words = () if reason is None else (kind_of(reason), named(reason))
    history.append(Passage(time.time(), what, *words))
    del history[:-MOST]


def take_back(owner: Any, event: Any) -> None:
    """Forget what was noted last of events of this kind: it will be told once more."""
    what, history = WHAT.get(type(event)), owner.actor_inbox.history
    at = next(
        (at for at, passage in enumerate(reversed(history or ())) if passage.what == what), None
    )
    if at is not None:
        del history[len(history) - 1 - at]
        history.connections -= what == "connected"
