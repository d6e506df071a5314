"""Each message in and out of a client as one readable line: Erlang's `sys:trace`.

    14:03:07.125 Chat 'chat' out rooms:lobby new:msg (3, 7) {'body': 'hello'}
    14:03:07.128 Chat 'chat' in  rooms:lobby new:msg ok {'id': 12} (after 2.91 ms, took 0.08 ms)

Secrets are hidden as the frame log hides them; of what is told by name alone (casts, calls, proxied
methods, what is told with `tell`) no value is shown.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TextIO, TypeAlias

from slipstream_actor.actors.names import Target
from slipstream_actor.debug.control import client_of
from slipstream_actor.debug.observer import listen, stop_listening
from slipstream_actor.debug.plain import label
from slipstream_actor.debug.words import is_message, what_is, what_is_sent
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnectFailed,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
)
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reason_texts import named
from slipstream_actor.protocol.undecoded import UndecodedMessage
from slipstream_actor.telemetry.frame_log import answer_of, name, names_of, payload_of, redacted

__all__ = ["Lines", "Out", "Pace", "trace"]

Out: TypeAlias = TextIO | Callable[[str], object] | None

# Characters of a line, lines per second, and pushes whose reply is waited for.
LONGEST, MOST_A_SECOND, MOST_AWAITED = 1_000, 1_000, 1_000

# Of an event what is in it.
CONTENT: dict[type, Callable[[Any], str]] = {
    MessageReceived: lambda event: redacted(event.payload),
    UndecodedMessage: lambda event: redacted(event.payload),
    ReplyReceived: lambda event: content_of_reply(event.reply),
    TopicJoinSucceeded: lambda event: f"ok {redacted(answer_of(event.response))}",
}

ENDS = (ChannelConnectFailed, ChannelClosed, TopicJoinFailed, TopicJoinClosed, PushFailed)


def content_of_reply(reply: Reply) -> str:
    """Return what is shown of a reply."""
    return f"{name(reply.status)} {redacted(reply.response)}"


def content_of(message: Any) -> str:
    """Return what is shown of what is in a message; empty of most."""
    content = CONTENT.get(type(message))
    if content is not None:
        return content(message)
    return named(message.reason) if type(message) in ENDS else ""


class Pace:
    """Lets so many lines through in each second, and knows how many it did not."""

    def __init__(self, most: int = MOST_A_SECOND) -> None:
        self._most = most
        self._began = float("-inf")
        self._let = 0
        self._held = 0

    def lets(self, now: float) -> int | None:
        """Return how many were held back before this one, `None` when it is held back too."""
        if now - self._began >= 1.0:
            self._began, self._let = now, 0
        if self._let >= self._most:
            self._held += 1
            return None
        self._let += 1
        held, self._held = self._held, 0
        return held


class Lines:
    """Tells `out` of one client, a line for each message. `mine`: only `trace` ends it."""

    def __init__(self, ref: Any, out: Out, *, mine: bool = False) -> None:
        self.mine: bool = mine
        self._label = label(ref)
        self._out = out
        self._pace = Pace()
        # When the pushes were sent whose reply may come, by their refs, and what they are.
        self._sent: OrderedDict[str, tuple[float, str]] = OrderedDict()

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
        self._say(f"out {what}{refs_of(command)} {sent_content(command)}")
        if type(command) is not PushMessage or command.ref is None:
            return
        if command.request is not None:
            self._await_request(command, what)
            return
        self._sent[str(command.ref)] = time.monotonic(), what
        if len(self._sent) > MOST_AWAITED:
            self._sent.popitem(last=False)

    def _came_in(self, message: Any, how: str) -> None:
        what = what_is(message)
        if type(message) is ReplyReceived:
            since, what = self._sent.pop(str(message.ref), (None, f"{what} to {message.ref}"))
            how = how if since is None else f"after {milliseconds(time.monotonic() - since)}, {how}"
        self._say(f"in  {what} {content_of(message)}".rstrip() + f" ({how})")

    def _await_request(self, command: PushMessage, what: str) -> None:
        """A request's reply goes to whoever asked, and not by way of the client."""
        since = time.monotonic()

        def told(future: Any) -> None:
            try:
                outcome = content_of_reply(future.get(timeout=0))
            except Exception as error:
                outcome = type(error).__name__
            after = milliseconds(time.monotonic() - since)
            self._say(f"in  {what} {outcome} (request, after {after})")

        command.request.future.add_done_callback(told)

    # lines

    def _say(self, text: str) -> None:
        held = self._pace.lets(time.monotonic())
        if held is None:
            return
        if held:
            self._write(f"{self._label} {held} lines are not shown: more than {MOST_A_SECOND}/s")
        self._write(f"{self._label} {text}")

    def _write(self, text: str) -> None:
        line = f"{clock(time.time())} {text}"[:LONGEST].rstrip()
        out = sys.stderr if self._out is None else self._out
        if callable(out):
            out(line)
            return
        out.write(f"{line}\n")
        out.flush()


def refs_of(command: Any) -> str:
    """Return the refs of what is sent, as the frame log shows them; a leave's is not known yet."""
    if type(command) is JoinTopic:
        return f" ({command.join_ref}, {command.join_ref})"
    return f" ({command.join_ref}, {command.ref})" if type(command) is PushMessage else ""


def sent_content(command: Any) -> str:
    """Return what is shown of what a command sends: of a join's params the names."""
    if type(command) is JoinTopic:
        return redacted(names_of(command.payload))
    return payload_of(command) if type(command) is PushMessage else ""


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def clock(now: float) -> str:
    """Return the time of day."""
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03}"


def trace(client: Target, on: bool, out: Out = None) -> None:
    """Write a line for each message in and out of a client, or no more.

    `out` is a text stream, or a function that takes a line; by default standard error. It is called
    in the thread of the client or of its connection, which waits for it; when it raises, that is
    logged and the trace is over. At most 1,000 lines in a second, and 1,000 characters in a line.
    An event has how long its callback took, or that an await has taken it; a reply how long after
    its push it came. Another trace of the client takes its place. Costs nothing while it is off.
    Raises `ClientEndedError`, and `TypeError` for what is no client, or no `out`.
    """
    if not (out is None or callable(out) or hasattr(out, "write")):
        raise TypeError(f"out must be a text stream, or a function of a line, not {out!r}")
    ref = client_of("trace", client)
    stop_listening(ref, lambda listener: not (isinstance(listener, Lines) and listener.mine))
    if on:
        listen(ref, Lines(ref, out, mine=True))
