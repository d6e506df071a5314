"""What experience says of a failure: a table from reasons to hints, for logs, errors and the
troubleshooting page.

Pure: `hint(reason)` takes any reason, and the first row of `HINTS` that knows it has the hint. No
hint holds what the server or the configuration says: each is a constant of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from slipstream_actor.protocol.connect_hints import (
    COMPRESSION,
    CONNECT_HINTS,
    NO_SOCKET,
    NO_WEBSOCKET,
)
from slipstream_actor.protocol.hint_rows import Hint, Row, row
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByPeer,
    ConnectFailed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    PushTimeout,
    TransportFailed,
)

__all__ = ["HINTS", "DecodingFailed", "Hint", "hint", "shape_of"]

Shape: TypeAlias = Literal["an object", "an array", "binary", "something else"]


class DecodingFailed(msgspec.Struct, frozen=True):
    """A message of the server could not be decoded: `serializer` and `error` are the names of the
    types of what raised and of what it raised, `shape` is what the message looks like.

    No callback is given it.
    """

    serializer: str
    error: str
    shape: Shape


def hint(reason: Any, path: str | None = None) -> Hint | None:
    """Return what is known of a reason, `None` when that is nothing; whatever it is, nothing is
    raised. `path` is that of the URI, where it is known."""
    while isinstance(reason, (Disconnected, ChannelEnded)):
        reason = reason.reason
    if isinstance(reason, ConnectFailed) and reason.status == 404 and path is not None:
        return NO_SOCKET if path.rstrip("/").endswith("/websocket") else NO_WEBSOCKET
    for known in HINTS:
        if isinstance(reason, known.of) and known.matches(reason):
            return known.hint
    return None


def shape_of(text: bytes) -> Shape:
    """Return what a text frame looks like, from its beginning."""
    beginning = text[:64].strip()[:1]
    if beginning == b"{":
        return "an object"
    return "an array" if beginning == b"[" else "something else"


def refused_with(*reasons: str) -> Callable[[JoinRefused], bool]:
    """Whether the server's `reason` for a refusal is one of these."""

    def matches(refused: JoinRefused) -> bool:
        response = refused.response
        return isinstance(response, Mapping) and response.get("reason") in reasons

    return matches


def closed_with(*codes: int) -> Callable[[ClosedByPeer], bool]:
    """Whether the close frame has one of these codes."""
    return lambda closed: closed.code in codes


def broke_with(*words: str) -> Callable[[TransportFailed], bool]:
    """Whether one of these is in what is said of it."""
    return lambda failed: any(word in failed.error for word in words)


def sent(serializer: str, *shapes: Shape) -> Callable[[DecodingFailed], bool]:
    """Whether it was this serializer that such a message was none for."""
    return lambda failed: failed.serializer == serializer and failed.shape in shapes


def ends() -> Iterator[Row]:
    """Why connections end that there were."""
    yield row(
        HeartbeatTimeout,
        "heartbeat",
        "the network or a proxy in between has forgotten the connection, or the server is stuck:"
        " while one channel's join runs, all of its connection waits",
    )
    yield row(
        ClosedByPeer,
        "idle",
        "Phoenix ends so what has sent nothing for a minute: heartbeat_interval_msec has to be"
        " shorter than the timeout of the server's socket",
        closed_with(1002),
    )
    yield row(
        ClosedByPeer,
        "too-big",
        "a message was bigger than the server's max_frame_size",
        closed_with(1009),
    )
    yield row(
        ClosedByPeer,
        "1011",
        "the server failed at what it was sent: its serializer is another one than this client's"
        " (vsn), or its log has an exception",
        closed_with(1011),
    )
    yield row(
        TransportFailed,
        "too-big",
        "the server sent more at once than the option max_message_bytes takes",
        broke_with("a frame of more than", "a message of more than"),
    )
    yield row(
        TransportFailed,
        "compression",
        COMPRESSION,
        broke_with("compressed", "does not inflate", "blocks that end it"),
    )
    yield row(
        TransportFailed,
        "odd-frames",
        "something between here and the server changes what it sends, or the server's websocket is"
        " at fault: no Phoenix sends that",
        broke_with("a frame that", "a frame of an extension", "a masked frame", "a control frame"),
    )


def topics() -> Iterator[Row]:
    """Why topics are not joined, and pushes not answered."""
    yield row(
        JoinRefused,
        "unmatched-topic",
        "the server's socket has no channel for this topic: is it spelt as in the server's"
        ' channel "room:*", and does the URI lead to that socket?',
        refused_with("unmatched topic"),
    )
    yield row(
        JoinRefused,
        "join-crashed",
        "the channel's join/3 raised, or has no clause for this topic and these params; the"
        " server's log has the exception",
        refused_with("join crashed"),
    )
    yield row(
        JoinRefused,
        "too-many-channels",
        "Phoenix allows 100 channels on one connection, unless its socket says otherwise",
        refused_with("too many channels joined"),
    )
    yield row(
        JoinRefused,
        "unauthorized",
        "the channel's join/3 says no to these params; they may be a callable, which fetches fresh"
        " ones for each attempt",
        refused_with("unauthorized", "forbidden", "unauthenticated", "invalid token", "expired"),
    )
    yield row(
        JoinTimeout,
        "join-timeout",
        "the channel's join/3 takes longer than join_timeout_msec, or another join of this"
        " connection does, for which this one waits",
    )
    yield row(
        ChannelCrashed,
        "channel-crashed",
        "the channel's process on the server raised, mostly at a push that handle_in has no clause"
        " for; the server's log has the exception",
    )
    yield row(
        PushTimeout,
        "push-timeout",
        "does the channel's handle_in answer this event with a {:reply, ...}?",
    )


def serializers() -> Iterator[Row]:
    """Why messages cannot be decoded."""
    yield row(
        DecodingFailed,
        "vsn",
        'the server speaks V1, and this client V2: the option vsn="1.0.0"',
        sent("V2Serializer", "an object"),
    )
    yield row(
        DecodingFailed,
        "vsn",
        'the server speaks V2, and this client V1: vsn="2.0.0"',
        sent("V1Serializer", "an array", "binary"),
    )
    yield row(
        DecodingFailed,
        "serializer",
        "the server's serializer is another one than this client's: the options serializer and"
        " json_parser have to be its counterparts",
    )


HINTS: tuple[Row, ...] = (*CONNECT_HINTS, *ends(), *topics(), *serializers())
