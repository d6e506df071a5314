"""A reason in a few words, for logs and errors: on one line, in bounds, and without a payload.

Of what the server says only a text that it calls `reason` is shown; of all else the names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from slipstream_actor.errors import MOST_NAMES, one_line, said, said_by_server
from slipstream_actor.protocol.hints import DecodingFailed, hint
from slipstream_actor.protocol.reasons import (
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ClosedByServer,
    ConnectFailed,
    ConnectionCrashed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    LeftByClient,
    ParamsFailed,
    PushTimeout,
    TransportFailed,
)

__all__ = [
    "PHOENIX_REASONS",
    "described",
    "kind_of",
    "named",
    "text_of",
]

# What Phoenix itself gives as the reason of an answer (docs/protocol.md#note-5, #note-11).
PHOENIX_REASONS: frozenset[str] = frozenset(
    {"unmatched topic", "join crashed", "too many channels joined", "stale", "channel_crash"}
)
# And what its guides do: nobody's secret.
WELL_KNOWN = PHOENIX_REASONS | {
    *("unauthorized", "unauthenticated", "forbidden", "not_found", "not found", "closed"),
}
# Why an actor has ended, in a word.
ENDS = frozenset({"normal", "shutdown", "killed", "forked", "ignore", "noproc", "left"})


def text_of(reason: Any) -> str:
    """Return a reason in words; of what is none the type's name."""
    words = TEXTS.get(type(reason))
    return type(reason).__name__ if words is None else words(reason)


def described(reason: Any, path: str | None = None) -> str:
    """Return a reason in words, with its hint if there is one; `path` is that of the URI."""
    known = hint(reason, path)
    return text_of(reason) if known is None else f"{text_of(reason)} (hint: {known})"


def kind_of(reason: Any) -> str:
    """Return the type's name of a reason, or the word of ours that it is."""
    if isinstance(reason, tuple) and reason and reason[0] == "shutdown":
        return "shutdown"
    return reason if isinstance(reason, str) and reason in ENDS else type(reason).__name__


def named(reason: Any) -> str:
    """Return a reason in words of which none is the server's or a user's own: for whoever looks
    in from outside. Of what the server says a reason of Phoenix's own is shown."""
    words = NAMED.get(type(reason))
    if words is not None:
        return words(reason)
    return text_of(reason) if type(reason) in TEXTS else kind_of(reason)


def failed(reason: ConnectFailed) -> str:
    return one_line(reason.detail) or reason.kind


def closed(reason: ClosedByPeer) -> str:
    if reason.code == 1006:
        return "it ended without a close frame (1006)"
    words = f', "{said(reason.reason)}"' if reason.reason else ""
    return f"the server closed it ({reason.code}{words})"


def undecodable(failure: DecodingFailed) -> str:
    looks = f" at {failure.shape}" if failure.shape != "something else" else ""
    return f"{failure.serializer} raised {failure.error}{looks}"


# The types of the arguments follow from the keys.
TEXTS: dict[type, Callable[[Any], str]] = {
    ConnectFailed: failed,
    ClosedByPeer: closed,
    ClosedByClient: lambda _: "closed by this client",
    HeartbeatTimeout: lambda _: "the server did not answer a heartbeat",
    TransportFailed: lambda reason: f"it broke: {one_line(reason.error)}",
    ConnectionCrashed: lambda reason: f"it crashed: {type(reason.error).__name__}",
    JoinRefused: lambda reason: f"the server refused it: {said_by_server(reason.response)}",
    JoinTimeout: lambda _: "the server did not answer in time",
    ParamsFailed: lambda reason: f"its params failed: {type(reason.error).__name__}",
    ChannelCrashed: lambda reason: f"the channel crashed: {said_by_server(reason.payload)}",
    LeftByClient: lambda _: "left by this client",
    ClosedByServer: lambda _: "closed by the server",
    Disconnected: lambda reason: f"disconnected: {text_of(reason.reason)}",
    ChannelEnded: lambda reason: f"the channel has ended: {ended(reason.reason)}",
    PushTimeout: lambda _: "the server did not answer in time",
    BufferExpired: lambda _: "it waited too long in the buffer",
    BufferOverflow: lambda _: "the buffer is full",
    DecodingFailed: undecodable,
}


def ended(reason: Any) -> str:
    """Return why a channel has ended, which may be a word of ours."""
    return one_line(reason) if isinstance(reason, str) else text_of(reason)


def well_known(response: Any) -> str:
    """Return a reason of Phoenix's own in quotes; else what the response's fields are called."""
    reason = response.get("reason") if isinstance(response, Mapping) else None
    if isinstance(reason, str) and reason not in WELL_KNOWN:
        return said_by_server(dict.fromkeys(itertools.islice(response, MOST_NAMES)))
    return said_by_server(response)


NAMED: dict[type, Callable[[Any], str]] = {
    ClosedByPeer: lambda reason: closed(ClosedByPeer(reason.code)),
    JoinRefused: lambda reason: f"the server refused it: {well_known(reason.response)}",
    ChannelCrashed: lambda reason: f"the channel crashed: {well_known(reason.payload)}",
    Disconnected: lambda reason: f"disconnected: {named(reason.reason)}",
    ChannelEnded: lambda reason: f"the channel has ended: {named(reason.reason)}",
}
