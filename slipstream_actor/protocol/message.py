"""What travels on the wire, decoded: a `Message`, the `Ref` of a push, the `Reply` to it."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.errors import SlipstreamError, said_by_server, shown

__all__ = [
    "OWN_TOPIC",
    "Message",
    "PartlyDecoded",
    "Ref",
    "Reply",
    "ReplyError",
    "as_ref",
    "no_fields",
    "reply_of",
]


# The protocol's, which is no channel's: of heartbeats, and so of `ping`.
OWN_TOPIC = "phoenix"


def no_fields(_: Any, /) -> list[tuple[str, Any]]:
    """The `__rich_repr__` of a struct that hides fields in its `repr`: msgspec's shows all."""
    return []


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message of the Phoenix Channels protocol, in the order that V2 has on the wire.

    `join_ref` and `ref` are `None` for JSON's null. A binary frame has `bytes` as its payload;
    a reply is the event `phx_reply` with the payload `{"status": …, "response": …}`, whether it
    came as text or binary (docs/protocol.md#note-1, #note-2 and #note-25).
    """

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


class PartlyDecoded(Message, array_like=True, frozen=True, gc=False):
    """A message with its payload as it came."""

    payload: msgspec.Raw


class Ref(str):
    """The reference of one push: a string that knows its `topic` and the join it belongs to.

    `join_ref` is `None` while a buffered push waits for its join. `failure` is the reason that a
    push has failed for of which no callback is told, a plain thread's or one that was awaited in
    its buffer, and `None` otherwise. `awaited` says whether the push asks for an outcome.
    """

    __slots__ = ("__weakref__", "awaited", "failure", "join_ref", "topic")

    topic: str
    join_ref: str | None
    failure: Any
    awaited: bool

    def __new__(cls, ref: str, topic: str, join_ref: str | None, *, awaited: bool = False) -> Ref:
        self = str.__new__(cls, ref)
        self.topic = topic
        self.join_ref = join_ref
        self.failure = None
        self.awaited = awaited
        return self

    def __reduce__(self) -> tuple[type[Ref], tuple[str, str, str | None]]:
        return Ref, (str(self), self.topic, self.join_ref)


def as_ref(ref: str, topic: str, join_ref: str | None) -> Ref:
    """Return a ref that knows its push, which it may be already."""
    return ref if type(ref) is Ref else Ref(ref, topic, join_ref)


class Reply(msgspec.Struct, frozen=True):
    """A channel's answer to a push: `status` is any string that the channel chose
    (docs/protocol.md#note-17)."""

    status: str
    response: Any = msgspec.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the status is `"ok"`."""
        return self.status == "ok"

    def unwrap(self) -> Any:
        """Return the response of an `"ok"`; raise `ReplyError` for every other status."""
        if self.status != "ok":
            raise ReplyError(self)
        return self.response


def reply_of(payload: Any) -> Reply | None:
    """Return the reply that a payload is, `None` when it is none."""
    if not isinstance(payload, dict) or not isinstance(status := payload.get("status"), str):
        return None
    return Reply(status, payload.get("response"))


class ReplyError(SlipstreamError):
    """Raised by `Reply.unwrap()` for a status other than `"ok"`; holds the `reply`.

    Its text has the status, and of the response the `reason`, or what its fields are called: it
    comes into logs, and a response may hold anything.
    """

    def __init__(self, reply: Reply) -> None:
        said = said_by_server(reply.response)
        super().__init__(f"the reply has the status {shown(reply.status)}: {said}")
        self.reply = reply

    @property
    def status(self) -> str:
        """The reply's status."""
        return self.reply.status

    @property
    def response(self) -> Any:
        """The reply's response."""
        return self.reply.response
