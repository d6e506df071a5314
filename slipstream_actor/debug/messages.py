"""Each message in and out of a client as an observer tells of it: what it is, what is said with it,
and what is in it, for whoever writes lines of it or keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from slipstream_actor.actors.shared import Ordered
from slipstream_actor.debug.words import is_message, what_is, what_is_sent
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnectFailed,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
)
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reason_texts import named
from slipstream_actor.protocol.undecoded import MESSAGES
from slipstream_actor.telemetry.redaction import answer_of, name, names_of, payload_of, redacted

__all__ = ["Message", "Messages"]

# Pushes whose reply is waited for.
MOST_AWAITED = 1_000

# What an event says beside its name: of a reply the status, of an end the reason.
SAID: dict[type, Callable[[Any], str]] = {
    ReplyReceived: lambda event: name(event.reply.status),
    TopicJoinSucceeded: lambda _: "ok",
    **dict.fromkeys(
        (ChannelConnectFailed, ChannelClosed, TopicJoinFailed, TopicJoinClosed, PushFailed),
        lambda event: named(event.reason),
    ),
}
# What is in it, without what looks like a secret.
PAYLOAD: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys(MESSAGES, lambda event: redacted(event.payload)),
    ReplyReceived: lambda event: redacted(event.reply.response),
    TopicJoinSucceeded: lambda event: redacted(answer_of(event.response)),
}
# What commands send: of a join's params the names.
SENT_PAYLOAD: dict[type, Callable[[Any], str]] = {
    JoinTopic: lambda command: redacted(names_of(command.payload)),
    PushMessage: payload_of,
}


class Message(NamedTuple):
    """A message `in` or `out`; `payload` returns what is shown of what is in it, and is called at
    once or not at all."""

    direction: str
    what: str
    refs: str
    said: str
    payload: Callable[[], str]
    how: str


class Messages:
    """A listener of one client. A subclass has `_note`, which is called in the client's thread or
    its connection's."""

    def __init__(self) -> None:
        # When the pushes were sent whose reply may come, by their refs, and what they are.
        self._sent: Ordered[str, tuple[float, str]] = Ordered()

    def _note(self, message: Message) -> None:
        """Take a message."""
        raise NotImplementedError

    # what an observer tells

    def handled(self, message: Any, seconds: float) -> None:
        """Tell of a message that was handled."""
        if is_message(message):
            self._came_in(message, f"took {milliseconds(seconds)}")

    def awaited(self, event: Any) -> None:
        """Tell of an event that an await has taken."""
        if is_message(event):
            self._came_in(event, "awaited")

    def sent(self, command: Any) -> None:
        """Tell of what is sent."""
        what = what_is_sent(command)
        if what is None:
            return
        payload = content(SENT_PAYLOAD, command)
        self._note(Message("out", what, refs_of(command), "", payload, ""))
        if type(command) is not PushMessage or command.ref is None or command.request is not None:
            return
        self._sent[str(command.ref)] = time.monotonic(), what
        if len(self._sent) > MOST_AWAITED:
            self._sent.pop_first()

    def _came_in(self, message: Any, how: str) -> None:
        what = what_is(message)
        if type(message) is ReplyReceived:
            pushed = self._sent.pop(str(message.ref))
            what = f"{what} to {message.ref}" if pushed is None else pushed[1]
            if pushed is not None:
                how = f"after {milliseconds(time.monotonic() - pushed[0])}, {how}"
        said = content(SAID, message)()
        self._note(Message("in", what, "", said, content(PAYLOAD, message), how))

    def answered(self, command: PushMessage, outcome: Any, seconds: float) -> None:
        """Tell of the outcome of a request, so many seconds after it was sent."""
        said, payload = type(outcome).__name__, nothing
        if isinstance(outcome, Reply):
            said, payload = name(outcome.status), lambda: redacted(outcome.response)
        how = f"request, after {milliseconds(seconds)}"
        self._note(Message("in", what_is_sent(command) or "", "", said, payload, how))


def content(table: dict[type, Callable[[Any], str]], message: Any) -> Callable[[], str]:
    """Return what tells of a message by a table; nothing of what is not in it."""
    tell = table.get(type(message))
    return nothing if tell is None else lambda: tell(message)


def nothing() -> str:
    """Of what has no content."""
    return ""


def refs_of(command: Any) -> str:
    """Return the refs of what is sent, as the frame log shows them; a leave's is not known yet."""
    if type(command) is JoinTopic:
        return f" ({command.join_ref}, {command.join_ref})"
    return f" ({command.join_ref}, {command.ref})" if type(command) is PushMessage else ""


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
