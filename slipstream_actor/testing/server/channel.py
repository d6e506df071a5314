"""The class that users subclass to say what a topic of the embedded server does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from slipstream_actor.testing.server.presence import Presence, State
from slipstream_actor.testing.server.pubsub import Hub
from slipstream_actor.testing.server.times import require_delay

Reply = tuple[str, Any] | str | None


class RefuseJoin(Exception):
    """Raised in `Channel.join`: the answer has status "error" and this response.

    See docs/protocol.md#note-11.
    """

    def __init__(self, response: Any = None) -> None:
        super().__init__(response)
        self.response: Any = {} if response is None else response


@dataclass
class ChannelSocket:
    """The connection that a channel belongs to.

    `params`: the connect params (docs/protocol.md#note-40). `id`: the socket's id, None without
    one. `info`: the connect info, as the recorded `params:*` channel shows it. `transport`: always
    "websocket". `assigns`: one mapping for all channels of the connection.
    """

    params: Mapping[str, Any]
    id: str | None
    info: Mapping[str, Any]
    transport: str = "websocket"
    assigns: dict[str, Any] = field(default_factory=dict)


class ChannelActions(Protocol):
    """What a channel asks of the process that runs it."""

    hub: Hub
    presence: Presence

    def push(self, event: str, payload: Any) -> None:
        """Sends an event to the channel's client."""

    def broadcast(self, event: str, payload: Any, everyone: bool) -> None:
        """Sends an event to the topic's subscribers, this channel among them or not."""

    def reply(self, ref: Any, status: str, response: Any) -> None:
        """Replies to the push of this ref."""

    def answer(self, ref: Any, reply: Reply) -> None:
        """Replies with what `handle_in` may return."""

    def stop(self, reason: Any) -> None:
        """Ends the channel when the callback has returned."""

    def send_after(self, seconds: float, message: Any) -> None:
        """Sends the channel a message, for `handle_info`."""

    def sleep(self, seconds: float) -> None:
        """Blocks the channel for so long, or until it ends."""

    def flush(self) -> None:
        """Blocks the channel until the kernel has all that it has sent."""

    def drop_connection(self) -> None:
        """Kills the connection."""


class Channel:
    """One joined topic of one connection; the server makes an instance for every join.

    The callbacks, all of which run in the channel's own thread, one after the other: `join`,
    `handle_in`, `handle_out`, `handle_info`, `terminate`. An exception in `join` answers "join
    crashed" (docs/protocol.md#note-11), one in another callback crashes the channel: the client
    gets a phx_error (docs/protocol.md#note-19). The actions below may be called from any thread
    once `join` has returned; `push` and the broadcasts raise `RuntimeError` before. A payload of
    `bytes` travels as a binary frame.
    """

    intercept: ClassVar[tuple[str, ...]] = ()
    """Events whose broadcasts go to `handle_out` instead of straight to the client."""

    topic: str
    socket: ChannelSocket
    ref: Any = None
    """The ref of the message that `handle_in` is handling."""
    _process: ChannelActions

    def join(self, params: Any) -> Any:
        """Answers a join: returns the response, None for {}; raises `RefuseJoin`.

        `params` is any JSON value (docs/protocol.md#note-16).
        """
        return {}

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Handles a push: returns None for no reply, a status, or a status and a response.

        Any string is a status (docs/protocol.md#note-17).
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle_in for {event!r}")

    def handle_out(self, event: str, payload: Any) -> None:
        """Handles a broadcast of an event in `intercept`; the default pushes it."""
        self.push(event, payload)

    def handle_info(self, message: Any) -> None:
        """Handles what `send` and `send_after` have sent."""

    def terminate(self, reason: Any) -> None:
        """Runs last: `reason` is what `stop` was given, ("shutdown", "left"), ("shutdown",
        "closed"), or the exception.
        """

    @property
    def endpoint(self) -> Hub:
        """The server's `broadcast(topic, event, payload)`, for topics other than this one."""
        return self._process.hub

    def push(self, event: str, payload: Any) -> None:
        """Sends an event to this client alone; the frame carries the join_ref.

        See docs/protocol.md#note-1.
        """
        self._process.push(event, payload)

    def broadcast(self, event: str, payload: Any) -> None:
        """Sends an event to every subscriber of the topic, this client included."""
        self._process.broadcast(event, payload, everyone=True)

    def broadcast_from(self, event: str, payload: Any) -> None:
        """Sends an event to every subscriber of the topic but this client."""
        self._process.broadcast(event, payload, everyone=False)

    def socket_ref(self) -> Any:
        """The ref to `reply` to later.

        Raises `ValueError` for a push without one, as Phoenix does.
        """
        if self.ref is None:
            raise ValueError("a message without a ref cannot be replied to later")
        return self.ref

    def reply(self, ref: Any, status: str, response: Any = None) -> None:
        """Replies to the push of this `ref`, now or later, as often as you like.

        See docs/protocol.md#note-17.
        """
        self._process.reply(ref, status, {} if response is None else response)

    def stop(self, reason: Any = "normal", reply: Reply = None) -> None:
        """Ends the channel after this callback, after `reply` to the current push.

        "normal", "shutdown" and ("shutdown", x) close it, with a phx_close; any other reason is a
        crash (docs/protocol.md#note-20).
        """
        self._process.answer(self.ref, reply)
        self._process.stop(reason)

    def send(self, message: Any) -> None:
        """Sends this channel a message, for `handle_info`."""
        self._process.send_after(0, message)

    def send_after(self, seconds: float, message: Any) -> None:
        """Sends this channel a message in `seconds`, for `handle_info`."""
        require_delay("seconds", seconds)
        self._process.send_after(seconds, message)

    def sleep(self, seconds: float) -> None:
        """Blocks this channel for `seconds`.

        Unlike `time.sleep` it ends at once with the channel or the server.
        """
        require_delay("seconds", seconds)
        self._process.sleep(seconds)

    def flush(self) -> None:
        """Blocks this channel until the kernel has taken all that was sent so far.

        It keeps the memory of a flood within bounds.
        """
        self._process.flush()

    def drop_connection(self) -> None:
        """Kills the connection: the client sees the stream end without a close frame.

        See docs/protocol.md#note-33.
        """
        self._process.drop_connection()

    def track(self, key: str, meta: Mapping[str, Any]) -> None:
        """Adds this channel's presence under `key`; everyone in the topic gets a presence_diff."""
        self._process.presence.track(self.topic, self._process, key, meta)

    def update(self, key: str, meta: Mapping[str, Any]) -> bool:
        """Replaces the meta of the presence under `key`; False when it is not tracked.

        See docs/protocol.md#note-51.
        """
        return self._process.presence.update(self.topic, self._process, key, meta)

    def untrack(self, key: str) -> None:
        """Removes the presence under `key`."""
        self._process.presence.untrack(self.topic, self._process, key)

    def presences(self) -> State:
        """Who is in the topic: the payload of a presence_state."""
        return self._process.presence.state(self.topic)
